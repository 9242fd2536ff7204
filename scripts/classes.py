"""Fails where a class has more than 400 lines and no reason for it stands here, or where a reason is no longer needed.

    python scripts/classes.py          the figures, and every class above the bound

A class that long mostly holds two ideas: cut it where the second one begins. `LONG` may only get shorter.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
ROOMS: Final = ("chain", "p2p", "sandbox", "client")
MOST: Final = 400
LONG: Final = {
    "chain/node/node.py Node": "a pure machine of one node: each method is the answer to one input, over the same height and pool",
    "chain/storage/blockstore.py BlockStore": "one database: what is committed together is written and read by the same statements",
    "client/contracts/job/roles/verifier.py Verifier": "one machine: a seat from the draw to the opened ballot",
    "client/contracts/job/roles/worker.py Worker": "one machine: a race from the posting to the claim, over the same progress",
    "client/contracts/prediction/roles/server.py PredictionServer": "one machine: a request from the draw to the opened answer",
    "p2p/content/store.py ContentStore": "one folder under one lock: quota, pins and files change together or not at all",
    "p2p/transport.py Network": "one table of connections: dialling, accepting, sending and cutting off change the same entries",
    "sandbox/docker/service.py Sandbox": "one engine: each method is a call of `sandbox.Backend`, and all of them share its locks",
}


def long_classes() -> dict[str, int]:
    """By file and name: the lines of every class above the bound."""
    found = {}
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST:
                found[f"{path.relative_to(ROOT)} {node.name}"] = lines
    return found


def main() -> int:
    found = long_classes()
    for name, lines in sorted(found.items(), key=lambda one: -one[1]):
        print(f"{lines} lines: {name}: {LONG.get(name, 'NO REASON')}")
    wrong = [f"{name} has {found[name]} lines: cut it where its second idea begins" for name in found.keys() - LONG.keys()]
    wrong += [f"{name} is no longer so long: take its line out" for name in LONG.keys() - found.keys()]
    for one in sorted(wrong):
        print(f"scripts/classes.py: {one}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
