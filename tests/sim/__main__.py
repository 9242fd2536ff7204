"""Run the simulator.

python -m tests.sim --seed 17             replay one run exactly, with its trace where it fails
python -m tests.sim --seeds 0..5000 --jobs 2
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.sim.run import Outcome, one


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, help="replay this run")
    parser.add_argument("--seeds", help="A..B: run all of them, B excluded")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--real", action="store_true", help="verify every signature on every machine")
    parser.add_argument("--mutant", default="", help="break the node on purpose (see tests/sim/mutants.py)")
    parser.add_argument("--tail", type=int, default=60, help="lines of the trace to show")
    parser.add_argument("--trace", action="store_true", help="show the trace of a good run, too")
    given = parser.parse_args()
    if given.seeds:
        first, last = (int(part) for part in given.seeds.split(".."))
        return swarm(range(first, last), given.jobs, given.real, given.mutant)
    outcome = one(given.seed or 0, real=given.real, mutant=given.mutant, tail=given.tail)
    if outcome.fault or given.trace:
        print("\n".join(outcome.tail))
    print(outcome)
    return 1 if outcome.fault else 0


def swarm(seeds: range, jobs: int, real: bool, mutant: str) -> int:
    started = time.monotonic()
    failed: list[Outcome] = []
    faults: Counter[str] = Counter()
    heights = events = 0
    with ProcessPoolExecutor(jobs) as pool:
        for outcome in pool.map(_run, ((seed, real, mutant) for seed in seeds), chunksize=8):
            faults.update(outcome.faults)
            heights += outcome.height
            events += outcome.steps
            if outcome.fault:
                failed.append(outcome)
                print(outcome, flush=True)
    took = time.monotonic() - started
    injected = ", ".join(f"{count} {name}" for name, count in sorted(faults.items()))
    print(f"{len(seeds)} seeds in {took:.0f} s ({len(seeds) / took:.1f} seeds/s), {heights} heights, {events} events, {injected}")
    print(f"{len(failed)} failed" + (": " + " ".join(str(o.seed) for o in failed[:20]) if failed else ""))
    return 1 if failed else 0


def _run(given: tuple[int, bool, str]) -> Outcome:
    seed, real, mutant = given
    return one(seed, real=real, mutant=mutant, tail=0)


if __name__ == "__main__":
    sys.exit(main())
