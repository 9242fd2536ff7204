"""`python -m tests.twins --rounds 4 --jobs 2`: every case of up to that many rounds; exit 1 when one breaks a promise.

One line for each duplicated validator and cut, then the sum. With four rounds agreement is checked in all cases and healing in a
part of the ends (`--heal-every`); with fewer everything is. Four rounds take about an hour and a quarter of CPU, a window being a
round (`--cuts propose`) a quarter of an hour; a process needs up to a few GB.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.twins.instance import N
from tests.twins.network import Cut, Network
from tests.twins.search import Found, Search, cases, classes


def _one(twin: int, cut: Cut, rounds: int, heal_every: int) -> tuple[int, Cut, Found, float]:
    began = time.process_time()
    found = Search(Network(twin), cut, heal_every=heal_every).run(rounds)
    return twin, cut, found, time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.twins", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="windows of the network, 1 to 4")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--heal-every", type=int, default=None, help="heal one in so many ends; default 1, with four rounds 500")
    names = [cut.name.lower() for cut in Cut]
    parser.add_argument("--cuts", nargs="+", choices=names, default=names, help="where windows end; propose: a window is a round")
    given = parser.parse_args()
    cuts = [Cut[name.upper()] for name in given.cuts]
    every = given.heal_every or (500 if given.rounds > 3 else 1)
    total, spent = Found(), 0.0
    with ProcessPoolExecutor(given.jobs) as pool:
        tasks = [pool.submit(_one, twin, cut, given.rounds, every) for cut in cuts for twin in range(N)]
        for task in as_completed(tasks):
            twin, cut, found, seconds = task.result()
            total.add(found)
            spent += seconds
            print(f"validator {twin} doubled, cut before {cut.name}: {_show(found)}, {seconds:.0f} s", flush=True)
            for violation in found.violations:
                print(f"  VIOLATION {violation}", flush=True)
    print(f"all: {_show(total)}, {spent:.0f} s of CPU")
    print(f"{N * len(cuts) * cases(given.rounds)} cases, {N * len(cuts) * classes(given.rounds)} up to symmetry", flush=True)
    return 1 if total.violations else 0


def _show(found: Found) -> str:
    return (
        f"{found.cases} cases, {found.decided_early} decided before healing, {found.healed} of {found.ends} ends healed, "
        f"round {found.most_rounds} at most, {len(found.violations)} violations"
    )


if __name__ == "__main__":
    sys.exit(main())
