"""`python -m tests.federation --federations 100000 --first 0`: the fuzzer of the federation contract's rules.

With `--real` the same graphs run through the contract's real handlers, and the two are compared after every block. With `--cells`
most of the federations are of small models, whose owners sit in cells.
"""

from __future__ import annotations

import argparse
import sys
import time

from .fuzz import Report, play_federations
from .rows import CELLS, ROWS


def progress(report: Report) -> None:
    if report.graphs % 500 == 0:
        print(f"seed {report.last}: {report.federations} federations", file=sys.stderr, flush=True)


def beside(federations: int, first: int, cells: bool) -> int:
    """The exit status: 1 where the model and the handlers part."""
    from tests.federation_driver import play_cells, play_seed  # the model itself imports nothing of the product
    from tests.side_by_side import show

    return show(play_cells if cells else play_seed, "federations", federations, first, CELLS if cells else ROWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--federations", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--real", action="store_true", help="beside the real handlers")
    parser.add_argument("--cells", action="store_true", help="most federations have cells")
    options = parser.parse_args()
    if options.real:
        sys.exit(beside(options.federations, options.first, options.cells))
    began = time.process_time()
    report = play_federations(options.federations, options.first, progress, options.cells)
    seconds = time.process_time() - began
    for row, words in (CELLS if options.cells else ROWS).items():
        print(f"{report.rows[row]:>10}  {row:<22} {words}")
    print(
        f"{report.federations} federations in {report.graphs} graphs (seeds {report.first}..{report.last}), {report.blocks} blocks,"
    )
    print(f"{report.messages} messages, {seconds:.0f} s of processor time")
    print("refused by:", ", ".join(sorted(report.refusals)))
    print("not reached:", ", ".join(report.missed()) or "nothing")


if __name__ == "__main__":
    main()
