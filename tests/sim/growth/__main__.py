"""`python -m tests.sim.growth [--members 100 1000 10000] [--json FILE] [--plot FILE] [--from FILE]`: table, figures, picture.

Each size runs in a process of its own: 10,000 members take some minutes and gigabytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.sim.growth.measure import allowed, measure
from tests.sim.growth.picture import picture

VALIDATORS = 100
SIZES = [100, 1_000, 10_000]


def rows(found: list[dict[str, Any]]) -> list[list[str]]:
    """A line for each figure, a column for each size, the growth from the first size to the last at the end."""

    def line(name: str, values: list[float], digits: int = 0) -> list[str]:
        ratio = f"{values[-1] / values[0]:.2f}" if values[0] else ""
        return [name, *(f"{v:,.{digits}f}" for v in values), ratio]

    out = []
    for who in ("member", "validator"):
        for what in ("messages", "bytes"):
            for which, name in (("mean", "mean"), ("most", "the busiest")):
                out.append(line(f"{who}: {what}/s, {name}", [f[who][what][which] for f in found]))
    out.append(line("connections of a member, mean", [f["connections"]["mean"] for f in found]))
    out.append(line("  the most", [f["connections"]["most"] for f in found]))
    out.append(line("joining: messages of a member, mean", [f["joining"]["mean"] for f in found]))
    out.append(line("joining: bytes of a member, mean", [f["joining_bytes"]["mean"] for f in found]))
    out.append(line("joining: refused dials of a member, mean", [f["refused"] for f in found], 1))
    out.append(line("votes and proposals per height / validators^2", [f["votes_per_height"] for f in found], 2))
    out.append(line("  of them to members", [f["votes_to_members"] for f in found]))
    out.append(line("a decided block is everywhere after, ms", [f["reach_ms"] for f in found]))
    return out


def show(found: list[dict[str, Any]]) -> None:
    few, many = found[0]["members"], found[-1]["members"]
    print("| per node | " + " | ".join(f"{f['members']:,} members" for f in found) + " | growth |")
    print("|---" * (len(found) + 2) + "|")
    for row in rows(found):
        print("| " + " | ".join(row) + " |")
    print(f"\nlog({many:,}) / log({few:,}) = {allowed(few, many):.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.growth", description="What a node sends as the graph grows.")
    parser.add_argument("--validators", type=int, default=VALIDATORS)
    parser.add_argument("--members", type=int, nargs="+", default=SIZES)
    parser.add_argument("--one", type=int, help="measure this number of members alone, and write JSON to the standard output")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--from", dest="source", type=Path, help="show the figures of this file instead of measuring")
    parser.add_argument("--plot", type=Path, help="draw an SVG")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(asdict(measure(given.validators, given.one))))
        return 0
    if given.source is not None:
        found = json.loads(given.source.read_text())
    else:
        found = [_apart(given.validators, members) for members in given.members]
    show(found)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.plot is not None:
        given.plot.write_text(picture(found))
    return 0


def _apart(validators: int, members: int) -> Any:
    print(f"... {members:,} members", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tests.sim.growth", "--validators", str(validators), "--one", str(members)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
