"""`python -m tests.settlement --jobs 300000 --first 0`: the fuzzer of the second settlement, with the rows that it reached.

With `--real` the same scenarios run through the contract's real handlers, and the two are compared after every block.
"""

from __future__ import annotations

import argparse
import sys
import time

from .fuzz import Report, play_jobs
from .rows import ROWS


def progress(report: Report) -> None:
    if report.graphs % 1_000 == 0:
        print(f"seed {report.last}: {report.jobs} jobs", file=sys.stderr, flush=True)


def beside(jobs: int, first: int) -> int:
    """The exit status: 1 where the model and the handlers part."""
    from tests.settlement_driver import play_seed  # the model itself imports nothing of the product
    from tests.side_by_side import show

    return show(play_seed, "jobs", jobs, first, ROWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--real", action="store_true", help="beside the real handlers")
    options = parser.parse_args()
    if options.real:
        sys.exit(beside(options.jobs, options.first))
    began = time.process_time()
    report = play_jobs(options.jobs, options.first, progress)
    seconds = time.process_time() - began
    for row, words in ROWS.items():
        print(f"{report.rows[row]:>10}  {row:<26} {words}")
    print(f"{report.jobs} jobs in {report.graphs} graphs (seeds {report.first}..{report.last}), {report.blocks} blocks,")
    print(f"{report.messages} messages, {report.bans} bans, {seconds:.0f} s of processor time")
    print("ends:", ", ".join(f"{state} {count}" for state, count in sorted(report.ends.items())))
    print("at most:", ", ".join(f"{count} {name}" for name, count in report.most.items()))
    print("not reached:", ", ".join(report.missed()) or "nothing")


if __name__ == "__main__":
    main()
