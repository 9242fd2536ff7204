"""A contract that no other file knows: forecasts with a deposit, which comes back when their time is over.

message   guard                                              effect
Forecast  no forecast of that place stands                   deposit locked; a deadline; listed, if rain is expected
Measure   a forecast stands, the sender is a verifier that    the forecast ends early: the deposit comes back, a wrong one's is
          declared its machine, and not who made it          burned
deadline                                                     the deposit comes back; a forecast of rain costs a strike

Its client side is in the folder `client`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.errors import Reject
from learningchain.chain.host import (
    STANDING,
    VERIFIERS,
    Contract,
    Datum,
    EscrowShape,
    Form,
    Host,
    Listing,
    LiveIndex,
    MessageSpec,
    Reader,
    Service,
)
from learningchain.chain.host.deadlines import Deadline
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.params import ContractParams, Positive, Span
from learningchain.chain.tags import Tag

NUMBER = 100
PLACE = Tag("toy/place", "places")
FORECASTS: Service[Forecasts] = Service("forecasts")
Place = Annotated[str, Meta(max_length=32)]
STATION = Capacity(Arch.AMD64, 10, 6, 1, 1, 1)
"""What a machine needs to measure the weather: next to nothing."""


class WeatherParams(ContractParams, frozen=True, kw_only=True):
    weather_open: Span = 60_000
    """How long a forecast stands."""
    weather_deposit: Positive = 10


class WeatherCode(IntEnum):
    FORECAST_STANDS = 10_000
    NO_FORECAST = 10_001
    NO_STATION = 10_002


class Forecast(Wire, frozen=True, tag=32 * NUMBER):
    place: Place
    rain: bool
    stake: Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Measure(Wire, frozen=True, tag=32 * NUMBER + 1):
    place: Place
    rain: bool


class Standing(Wire, frozen=True):
    by: Annotated[bytes, Meta(max_length=20)]
    place: Place
    rain: bool
    until: Annotated[int, Meta(ge=0)]


class Forecasts:
    def __init__(self, host: Host) -> None:
        self._host = host

    def rain(self, place: str) -> bool:
        found = self._host.get(key_of(ref_of(place)), Standing)
        return found is not None and found.rain

    def umbrellas(self) -> list[bytes]:
        return [key for key, _ in self._host.store.scan(b"wf/", 10)]


def ref_of(place: str) -> bytes:
    return PLACE.hash(place.encode())


def key_of(ref: bytes) -> bytes:
    return b"wf/" + ref


def forecast(host: Host, sender: bytes, m: Forecast) -> None:
    ref, p = ref_of(m.place), host.params_of(WeatherParams)
    if host.get(key_of(ref), Standing) is not None:
        raise Reject(WeatherCode.FORECAST_STANDS, f"there is a forecast for {m.place}")
    host.lock(sender, ref + b"W", max(m.stake, p.weather_deposit), "forecast.locked", ref)
    until = Deadline(host, NUMBER, ref, sender).window(0, p.weather_open)
    host.put(key_of(ref), Standing(sender, m.place, m.rain, until))
    host.emit("forecast", ref, sender, m.stake, m.place)


def measure(host: Host, sender: bytes, m: Measure) -> None:
    ref = ref_of(m.place)
    found = host.get(key_of(ref), Standing)
    if found is None:
        raise Reject(WeatherCode.NO_FORECAST, f"nobody said anything about {m.place}")
    if sender == found.by or sender not in host.service(VERIFIERS).able(STATION, host.clock):
        raise Reject(WeatherCode.NO_STATION, "only a verifier measures, and none its own forecast")
    Deadline(host, NUMBER, ref, found.by).clear(found.until)
    host.emit("measured", ref, sender, m.place, int(m.rain))
    if m.rain == found.rain:
        give_back(host, ref)
    else:
        host.burn(ref + b"W", host.escrowed(ref + b"W"), "forecast.burned", ref)
        host.delete(key_of(ref))


def on_due(host: Host, ref: bytes, at: int) -> None:
    found = host.get(key_of(ref), Standing)
    if found is None or found.until != at:
        return
    if found.rain:
        host.service(STANDING).strike(found.by, found.by, "rain", ref)
    give_back(host, ref)


def give_back(host: Host, ref: bytes) -> None:
    found = host.get(key_of(ref), Standing)
    if found is not None:
        host.pay(ref + b"W", found.by, host.escrowed(ref + b"W"), "forecast.returned", ref)
        host.delete(key_of(ref))


def forecaster(reader: Reader, ref: bytes) -> bytes | None:
    found = reader.get(key_of(ref))
    return found.by if isinstance(found, Standing) else None


CONTRACT = Contract(
    name="weather",
    number=NUMBER,
    messages={Forecast: MessageSpec(forecast), Measure: MessageSpec(measure, urgent=True)},
    codes=WeatherCode,
    params=WeatherParams,
    state={b"wf/": Standing},
    listed={b"wf/": Listing(lambda standing: standing.rain, b"wr/")},
    events={
        "forecast": (Datum("by", Form.ID), Datum("stake", Form.CREDITS), Datum("place", Form.TEXT)),
        "measured": (Datum("by", Form.ID), Datum("place", Form.TEXT), Datum("rain")),
    },
    forms={"stake": Form.CREDITS},
    escrows=(EscrowShape("forecast", b"W", owner=forecaster),),
    live=LiveIndex(b"wf/"),
    services={FORECASTS: Forecasts},
    on_due=on_due,
    on_give_back=give_back,
)
