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
from weather import Forecast, Measure, Standing

from chain.ledger.genesis import Genesis
from chain.ledger.state import State
from tests.network import genesis as network_genesis
from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.checks import EPOCH
from tests.sim.checks_ledger import Ledger, refuse_if
from tests.sim.checks_members import Members
from tests.sim.market import Market
from tests.sim.mutants.patch import Edit, Mutant, applied
from tests.sim.profile import PARAMS, draw
from tests.sim.run import seed_range
from tests.sim.signatures import SIMULATED, signatures
from tests.sim.world import World

SAID, PLACES, LANE = 8, ("Ulm", "Bonn", "Kiel"), 3
GENEROUS = Mutant("whoever is wrong gets the deposit back", (Edit("weather", "if m.rain == found.rain:", "if True:"),))


class Rules:
    """The contract a second time, from the table at its head: what the simulator's own ledger does with its messages."""

    def __init__(self, ledger: Ledger, members: Members, ended: Counter[str]) -> None:
        self.l, self.members, self.ended = ledger, members, ended
        ledger.handlers |= {Forecast: self._forecast, Measure: self._measure}
        ledger.on_due[weather.NUMBER] = self._due

    def _forecast(self, sender: bytes, m: Any) -> None:
        ref, until = weather.ref_of(m.place), self.l.chain.clock + self.l.params.weather_open
        refuse_if(self.l.get(b"wf/" + ref) is not None, 10_000)
        self.l.lock(sender, ref + b"W", max(m.stake, self.l.params.weather_deposit))
        self.l.put(b"wf/" + ref, Standing(sender, m.place, m.rain, until))
        self.l.schedule(until, weather.NUMBER, ref, sender)

    def _measure(self, sender: bytes, m: Any) -> None:
        ref = weather.ref_of(m.place)
        found = self.l.get(b"wf/" + ref)
        refuse_if(found is None, 10_001)
        refuse_if(sender == found.by or sender not in self.members.able(weather.STATION, self.l.chain.clock), 10_002)
        self.l.cancel(found.until, weather.NUMBER, ref, found.by)
        right = m.rain == found.rain
        self._end(ref, found.by if right else None, "returned early" if right else "burned")

    def _due(self, ref: bytes, at: int) -> None:
        found = self.l.get(b"wf/" + ref)
        if found is not None and found.until == at:
            if found.rain:
                self.members.strike(found.by, found.by)
            self._end(ref, found.by, "returned at the deadline")

    def _end(self, ref: bytes, to: bytes | None, how: str) -> None:
        self.ended[how] += 1
        self.l.release(ref + b"W", to)
        self.l.put(b"wf/" + ref, None)


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
        Rules(self.checks.chain.ledger, self.checks.chain.members, self.faults)
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
    with applied(GENEROUS) if broken else nullcontext():
        failed = {seed: fault for seed in seeds if (fault := one(seed, seen))}
    json.dump({"failed": failed, "seen": seen}, sys.stdout)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(seed_range(sys.argv[1]), "mutant" in sys.argv[2:]))
