"""Reads who imports whom inside `client/`, and fails where more arrows between rooms run upwards than there were.

    python scripts/rooms.py            the figures, and every arrow that runs upwards with an import that makes it

A room is a folder or a loose file of `client/`. The contracts' slices are one room, and the registry that finds them
(`client.contracts` itself) is another. An arrow is a pair of rooms of which the first imports the second, for type checkers too.
`FLOORS` lists the rooms from the top; an arrow from a lower one to a higher one runs upwards. `UPWARDS` may only fall: whoever
mends one lowers it.

The two that are left are for type checkers alone. `Config` and `Client` are put together from the slices when the program runs, and
a checker has to be told of what, or `config.work.attempts` and `node.submit_job()` had no type for whoever uses them. Neither
can move above the slices, whose code reads the one and calls the other: a command of jobs asks `node.account()`, which is
membership's.
"""

from __future__ import annotations

import sys
from typing import Final

import grimp

PACKAGE: Final = "learningchain"
FLOORS: Final = (
    *("slices", "cli", "doctor", "daemon", "dashboard", "api", "notify", "receipts", "callbacks", "work", "sdk", "node"),
    *("machines", "data", "config_change", "signer", "keys", "kept", "config", "schema", "addresses", "reading", "contracts"),
)
UPWARDS: Final = 2


def room_of(module: str) -> str | None:
    """The room of a module of `client/`; None for any other module."""
    parts = module.split(".")
    if parts[1:2] != ["client"] or len(parts) < 3:
        return None
    return "slices" if parts[2] == "contracts" and len(parts) > 3 else parts[2]


def arrows() -> dict[tuple[str, str], str]:
    """By the two rooms of an arrow, an import that makes it."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: dict[tuple[str, str], str] = {}
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            pair = room_of(module), room_of(imported)
            if pair[0] is not None and pair[1] is not None and pair[0] != pair[1]:
                found.setdefault((pair[0], pair[1]), f"{module} imports {imported}")
    return found


def main() -> int:
    found = arrows()
    unknown = sorted({room for pair in found for room in pair} - set(FLOORS))
    if unknown:
        print(
            f"scripts/rooms.py does not place these rooms of client/: {', '.join(unknown)}. Put them into FLOORS", file=sys.stderr
        )
        return 1
    upwards = {pair: why for pair, why in sorted(found.items()) if FLOORS.index(pair[0]) > FLOORS.index(pair[1])}
    for (low, high), why in upwards.items():
        print(f"{low} -> {high}: {why}")
    print(f"client/: {len(FLOORS)} rooms, {len(found)} arrows, {len(upwards)} of them upwards (at most {UPWARDS})")
    if len(upwards) == UPWARDS:
        return 0
    more = len(upwards) > UPWARDS
    why = "a new arrow runs upwards: hand in what the lower room needs" if more else "fewer run upwards: lower UPWARDS"
    print(f"scripts/rooms.py: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
