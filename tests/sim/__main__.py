"""Run the simulator.

python -m tests.sim --seed 17                 replay one run exactly, with the last events where it fails
python -m tests.sim --seed 17 --shrink        look for the smallest profile that fails in the same way
python -m tests.sim --seeds 0..5000 --jobs 2  a swarm; what fails is told with its seed, the checker and the last events
python -m tests.sim --market …                the same with real workers, verifiers and cheaters (see --market --help)
python -m tests.sim --speed                   seeds per second of CPU time, for four nodes and ten heights
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.sim.attacks.table import NAMES
from tests.sim.profile import SPEED, Profile, draw
from tests.sim.run import Outcome, one, seed_range
from tests.sim.shrink import shrink
from tests.sim.signatures import REAL, REMEMBERED, SIMULATED

CHUNK = 4
EVERY_S = 10.0
"""Seconds between two lines of progress."""
SHOWN = 15
"""Events of a failing run of a swarm."""
SPEED_RUNS = 40


class Way(NamedTuple):
    """How runs are made."""

    sign: str
    mutant: str
    tail: int


def main() -> int:
    if "--market" in sys.argv:
        from tests.sim.market.__main__ import main as market

        return market([given for given in sys.argv[1:] if given != "--market"])
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="replay this run")
    parser.add_argument("--seeds", type=seed_range, help="A..B: run all of them, B excluded")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--sign", choices=(SIMULATED, REMEMBERED, REAL), default=SIMULATED, help="which signatures")
    parser.add_argument("--mutant", default="", help="break the node on purpose (see tests/sim/mutants)")
    parser.add_argument("--tail", type=int, default=60, help="events to show of a failing run")
    parser.add_argument("--trace", action="store_true", help="show the events of a good run, too")
    parser.add_argument("--shrink", action="store_true", help="look for a smaller profile that fails in the same way")
    parser.add_argument("--speed", action="store_true", help="measure")
    given = parser.parse_args()
    if given.speed:
        return speed()
    if given.seeds:
        return swarm(given.seeds, given.jobs, Way(given.sign, given.mutant, SHOWN))
    way = Way(given.sign, given.mutant, given.tail)
    outcome = _run(given.seed, None, way)
    if outcome.fault or given.trace:
        print("\n".join(outcome.tail))
    print(outcome)
    if outcome.fault and given.shrink:
        _shrink(outcome, way)
    return 1 if outcome.fault else 0


def _run(seed: int, profile: Profile | None, way: Way) -> Outcome:
    return one(seed, profile=profile, sign=way.sign, mutant=way.mutant, tail=way.tail)


def _shrink(failed: Outcome, way: Way) -> None:
    quiet = way._replace(tail=0)

    def runs(seed: int, profile: Profile) -> str:
        return _run(seed, profile, quiet).fault

    seed, profile = shrink(failed.seed, failed.profile, runs, lambda line: print("smaller:", line, flush=True))
    print("\n".join(_run(seed, profile, way).tail))
    extra = f", mutant={way.mutant!r}" if way.mutant else ""
    print(f"the smallest that fails:\none({seed}, profile={profile}{extra})")


def swarm(seeds: range, jobs: int, way: Way) -> int:
    started = time.monotonic()
    told = started
    failed: list[Outcome] = []
    faults: Counter[str] = Counter()
    done = heights = events = 0
    with ProcessPoolExecutor(jobs) as pool:
        for outcome in pool.map(_of_swarm, ((seed, way) for seed in seeds), chunksize=CHUNK):
            done += 1
            faults.update(outcome.faults)
            heights += outcome.height
            events += outcome.steps
            if outcome.fault:
                failed.append(outcome)
                print("\n".join((*outcome.tail, str(outcome))), flush=True)
            if time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                print(f"{done} of {len(seeds)} seeds, {done / (told - started):.1f} a second, {len(failed)} failed", flush=True)
    took = time.monotonic() - started
    print("\n".join(f"{count:9} {name}" for name, count in sorted(faults.items())))
    print(f"{done} seeds in {took:.0f} s ({done / took:.1f} seeds/s), {heights} heights, {events} events")
    print(f"{len(failed)} failed" + (": " + " ".join(str(o.seed) for o in failed[:20]) if failed else ""))
    return 1 if failed else 0


def _of_swarm(given: tuple[int, Way]) -> Outcome:
    return _run(given[0], draw(given[0], NAMES), given[1])


def speed() -> int:
    """One process, CPU time; the first run, which fills the caches, is not counted."""
    one(0, profile=SPEED)
    gc.freeze()
    started = time.process_time()
    outcomes = [one(seed, profile=SPEED) for seed in range(1, SPEED_RUNS + 1)]
    took = time.process_time() - started
    failed = [o for o in outcomes if o.fault or o.height < SPEED.heights]
    events = sum(o.steps for o in outcomes)
    print(f"{SPEED}\n{SPEED_RUNS / took:.1f} seeds a second of CPU time, {events / took:.0f} events a second, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
