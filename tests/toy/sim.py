"""The simulated graph in a program in which `weather` is installed: members forecast and measure while everything goes wrong.

python -m tests.toy.sim A..B [mutant]   tells as JSON what failed, and how often what happened; `mutant`: a broken contract
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import nullcontext
from typing import Any

import msgspec
import weather  # type: ignore[import-not-found]
from weather import Forecast, Measure

from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.state import State
from tests.conformance import keys, ledger, machine, membership, wire
from tests.conformance import records as r
from tests.conformance.checks import Refused
from tests.conformance.ledger import State as Records
from tests.network import genesis as network_genesis
from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.checks import EPOCH
from tests.sim.market import Market
from tests.sim.mutants.patch import Edit, Mutant, applied
from tests.sim.profile import PARAMS, draw
from tests.sim.run import seed_range
from tests.sim.signatures import SIMULATED, signatures
from tests.sim.world import World

SAID, PLACES, LANE = 8, ("Ulm", "Bonn", "Kiel"), 3
GENEROUS = Mutant("whoever is wrong gets the deposit back", (Edit("weather", "if m.rain == found.rain:", "if True:"),))


# --- the contract a second time, from the table at its head: for the implementation that executes every decided block again ------

PLACE = wire.text(0, 32)
MESSAGES = (
    wire.Record("Forecast", ("place", PLACE), ("rain", wire.BOOL), ("stake", wire.POSITIVE), tag=weather.NUMBER * 32),
    wire.Record("Measure", ("place", PLACE), ("rain", wire.BOOL), tag=weather.NUMBER * 32 + 1),
)
STATE = {
    b"wf/": wire.Record("Standing", ("by", wire.ID), ("place", PLACE), ("rain", wire.BOOL), ("until", wire.UINT)),
    b"gp100/": wire.Record("WeatherParams", ("open", wire.UINT), ("deposit", wire.UINT)),
}
STATION = [1, 10, 6, 1, 1, 1]
"""arch, cpus_milli, mem_mb, image, model_cap, eval_s"""


def _ref(place: str) -> bytes:
    return keys.tagged("toy/place", place.encode())


def _refuse_if(wrong: bool, code: int) -> None:
    if wrong:
        raise Refused("the contract of weather says no", code)


class Rules:
    """`ended` counts how forecasts end."""

    def __init__(self, ended: Counter[str]) -> None:
        self.ended = ended
        machine.HANDLERS |= {weather.NUMBER * 32: self._forecast, weather.NUMBER * 32 + 1: self._measure}
        machine.DUE[weather.NUMBER] = self._due

    def _forecast(self, s: Records, sender: bytes, place: str, rain: bool, stake: int) -> None:
        ref, (open_, deposit) = _ref(place), s.at(weather.NUMBER, s.clock)
        _refuse_if(s.get(b"wf/" + ref) is not None, 10_000)
        amount = max(stake, deposit)
        account = s.account(sender)
        _refuse_if(account is None or account.balance < amount, 1)
        ledger.lock(s, sender, ref + b"W", amount, "forecast.locked", ref)
        s.put(b"wf/" + ref, [sender, place, rain, s.clock + open_])
        ledger.schedule(s, sender, s.clock + open_, weather.NUMBER, ref)
        s.noted("forecast", ref, sender, stake, place)

    def _measure(self, s: Records, sender: bytes, place: str, rain: bool) -> None:
        ref = _ref(place)
        found = s.get(b"wf/" + ref)
        _refuse_if(found is None, 10_001)
        _refuse_if(sender == found[0] or sender not in membership.able(s, STATION, s.clock), 10_002)
        ledger.cancel(s, found[0], found[3], weather.NUMBER, ref)
        s.noted("measured", ref, sender, place, int(rain))
        if rain == found[2]:
            self._return(s, ref, found[0], "returned early")
        else:
            self.ended["burned"] += 1
            ledger.burn(s, ref + b"W", ledger.escrowed(s, ref + b"W"), "forecast.burned", ref)
            s.drop(b"wf/" + ref)

    def _due(self, s: Records, ref: bytes, at: int) -> None:
        found = s.get(b"wf/" + ref)
        if found is not None and found[3] == at:
            if found[2]:
                membership.strike(s, found[0], found[0], "rain", ref)
            self._return(s, ref, found[0], "returned at the deadline")

    def _return(self, s: Records, ref: bytes, to: bytes, how: str) -> None:
        self.ended[how] += 1
        ledger.pay(s, ref + b"W", to, ledger.escrowed(s, ref + b"W"), "forecast.returned", ref)
        s.drop(b"wf/" + ref)


def _known() -> None:
    """Its messages and records become known to the second implementation."""
    ops: Any = dict(r.TX_BODY.fields)["ops"]
    ops.of.by_tag |= {message.tag: message for message in MESSAGES}
    r.STATE.update(STATE)
    machine.URGENT.add(weather.NUMBER * 32 + 1)


class Forecasters(Market):
    """The clients of every run, who also talk about the weather."""

    said = SAID

    def tick(self) -> None:
        up = [m for m in self.world.machines if m.up and m.honest]
        if up:
            self._talk(max(up, key=lambda m: m.node.height).node.state)
        super().tick()

    def _talk(self, state: State) -> None:
        machine, place = self.rng.randrange(len(self.world.ids)), self.rng.choice(PLACES)
        if self._busy(machine, LANE):
            return
        standing: Any = state.get(weather.key_of(weather.ref_of(place)))
        if standing is None and self.said:
            self.said -= 1
            self._send(state, machine, LANE, Forecast(place, self.rng.random() < 0.5, self.rng.randint(1, 99)))
        elif standing is not None and self.rng.random() < 0.3:
            self._send(state, machine, LANE, Measure(place, self.rng.random() < 0.5))

    def unfinished(self) -> str:
        """What was said is also over: every deposit has left its escrow."""
        if self.said or any(lane == LANE for _, lane, _ in self.offers):
            return f"{self.said} forecasts to come"
        up = [m for m in self.world.machines if m.up and m.honest]
        state = max(up, key=lambda m: m.node.height).node.state if up else self.world.genesis_state
        standing = [place for place in PLACES if state.get(weather.key_of(weather.ref_of(place))) is not None]
        return f"forecasts stand for {standing}" if standing else super().unfinished()


class Weather(World):
    def genesis(self) -> Genesis:
        return network_genesis("sim", EPOCH, msgspec.structs.replace(PARAMS, weather_open=900), super().genesis().accounts)

    def clients(self) -> Market:
        Rules(self.faults)
        return Forecasters(self)


def one(seed: int, seen: Counter[str]) -> str:
    """What went wrong; empty for a good run. `seen` counts what happened."""
    with signatures(SIMULATED):
        world = Weather(seed, draw(seed, NAMES), BY_NAME)
        try:
            world.run()
        except Exception as fault:
            return f"{type(fault).__name__}: {fault}"
        finally:
            seen.update(world.faults)
            world.close()
    return ""


def main(seeds: range, broken: bool) -> int:
    seen: Counter[str] = Counter()
    _known()
    with applied(GENEROUS) if broken else nullcontext():
        failed = {seed: fault for seed in seeds if (fault := one(seed, seen))}
    json.dump({"failed": failed, "seen": seen}, sys.stdout)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(seed_range(sys.argv[1]), "mutant" in sys.argv[2:]))
