"""A contract that no other file knows: forecasts with a deposit, which comes back when their time is over.

message   guard                              effect
Forecast  active, no forecast of that place   deposit locked; until the deadline it is listed, if rain is expected
deadline                                     deposit back; a forecast of rain costs a strike
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from chain.codec import Wire
from chain.crypto import tagged
from chain.errors import Reject
from chain.host import STRIKES, Contract, Datum, EscrowShape, Form, Host, Listing, MessageSpec, Service
from chain.params import ContractParams, Positive, Span

NUMBER = 7
FORECASTS: Service[Forecasts] = Service("forecasts")


class WeatherParams(ContractParams, frozen=True, kw_only=True):
    weather_open: Span = 60_000
    """How long a forecast stands."""
    weather_deposit: Positive = 10


class WeatherCode(IntEnum):
    FORECAST_STANDS = 700


class Forecast(Wire, frozen=True, tag=32 * NUMBER):
    place: Annotated[str, Meta(max_length=32)]
    rain: bool
    stake: Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Standing(Wire, frozen=True):
    by: Annotated[bytes, Meta(max_length=20)]
    rain: bool


class Forecasts:
    def __init__(self, host: Host) -> None:
        self._host = host

    def rain(self, place: str) -> bool:
        found = self._host.get(key_of(ref_of(place)), Standing)
        return found is not None and found.rain

    def umbrellas(self) -> list[bytes]:
        return [key for key, _ in self._host.store.scan(b"wf/", 10)]


def ref_of(place: str) -> bytes:
    return tagged(b"toy/place", place.encode())


def key_of(ref: bytes) -> bytes:
    return b"wf/" + ref


def forecast(host: Host, sender: bytes, m: Forecast) -> None:
    ref, p = ref_of(m.place), host.params_of(WeatherParams)
    if host.get(key_of(ref), Standing) is not None:
        raise Reject(WeatherCode.FORECAST_STANDS, f"there is a forecast for {m.place}")
    host.lock(sender, ref + b"W", max(m.stake, p.weather_deposit), "forecast.locked", ref)
    host.put(key_of(ref), Standing(sender, m.rain))
    host.schedule(host.clock + p.weather_open, NUMBER, ref, sender)
    host.emit("forecast", ref, sender, m.stake, m.place)


def on_due(host: Host, ref: bytes, at: int) -> None:
    found = host.get(key_of(ref), Standing)
    if found is None:
        return
    host.pay(ref + b"W", found.by, host.escrowed(ref + b"W"), "forecast.returned", ref)
    if found.rain:
        host.service(STRIKES).add(found.by, "rain", ref)
    host.delete(key_of(ref))


CONTRACT = Contract(
    name="weather",
    number=NUMBER,
    messages={Forecast: MessageSpec(forecast)},
    codes=WeatherCode,
    params=WeatherParams,
    state={b"wf/": Standing},
    listed={b"wf/": Listing(lambda standing: standing.rain, b"wr/")},
    events={"forecast": (Datum("by", Form.ID), Datum("stake", Form.CREDITS), Datum("place", Form.TEXT))},
    texts={WeatherCode.FORECAST_STANDS: ("there is a forecast for this place", "Wait until it ends")},
    forms={"stake": Form.CREDITS},
    escrows=(EscrowShape("forecast", b"W"),),
    services={FORECASTS: Forecasts},
    on_due=on_due,
)
