"""The whole table: each attack with 4 and with 6 of 20 owners, with and without a reference, and without any defence."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import page, picture
from .figures import measured

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURES = DOCS / "federation-attacks.md", DOCS / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.federation_attacks", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the pictures and the tables of docs/federation-attacks.md, too")
    given = parser.parse_args()
    print("accuracy in percent, mean of the seeds (worst of them)")
    print(f"{'attack':14} {'bad':>4} {'plain mean':>15} {'peers':>15} {'reference':>15}")
    cells = measured(range(given.seeds), lambda line: print(line, flush=True))
    if given.write:
        (PICTURES / "federation-attacks.svg").write_text(picture.accuracy(cells))
        (PICTURES / "federation-pay.svg").write_text(picture.pay(cells))
        PAGE.write_text(page.placed(PAGE.read_text(), page.blocks(cells)))


if __name__ == "__main__":
    main()
