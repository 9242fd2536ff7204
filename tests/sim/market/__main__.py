"""Run the simulated market.

python -m tests.sim --market --seed 17                 replay one run exactly, with the last events where it fails
python -m tests.sim --market --seeds 0..500 --jobs 2   a swarm; what fails is told with its seed and the checker
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.sim.market.run import Outcome, one
from tests.sim.run import seed_range

SHOWN = 15
EVERY_S = 10.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim --market", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="replay this run")
    parser.add_argument("--seeds", type=seed_range, help="A..B: run all of them, B excluded")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--real", action="store_true", help="verify every signature on every machine")
    parser.add_argument("--tail", type=int, default=60, help="events to show of a failing run")
    parser.add_argument("--trace", action="store_true", help="show the events of a good run, too")
    given = parser.parse_args(arguments)
    if given.seeds:
        return swarm(given.seeds, given.jobs)
    outcome = one(given.seed, real=given.real, tail=given.tail)
    if outcome.fault or given.trace:
        print("\n".join(outcome.tail))
    print(outcome)
    print("\n".join(f"{count:9} {act}" for act, count in sorted(outcome.acts.items())))
    return 1 if outcome.fault else 0


def swarm(seeds: range, jobs: int) -> int:
    started = told = time.monotonic()
    failed: list[Outcome] = []
    counted: Counter[str] = Counter()
    done = heights = 0
    with ProcessPoolExecutor(jobs) as pool:
        for outcome in pool.map(_of_swarm, seeds, chunksize=4):
            done, heights = done + 1, heights + outcome.height
            counted.update(outcome.faults)
            counted.update(outcome.acts)
            if outcome.fault:
                failed.append(outcome)
                print("\n".join((*outcome.tail, str(outcome))), flush=True)
            if time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                print(f"{done} of {len(seeds)} seeds, {len(failed)} failed", flush=True)
    print("\n".join(f"{count:9} {name}" for name, count in sorted(counted.items())))
    print(f"{done} seeds in {time.monotonic() - started:.0f} s, {heights} heights")
    print(f"{len(failed)} failed" + (": " + " ".join(str(o.seed) for o in failed[:20]) if failed else ""))
    return 1 if failed else 0


def _of_swarm(seed: int) -> Outcome:
    return one(seed, tail=SHOWN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
