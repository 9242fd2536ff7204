"""One name for one thing: no two product classes share a name, in the same room or across rooms.

`SHARED` is what stands against that today, each name with the number of classes that have it. It only ever gets shorter: a name
that is new here fails, and so does one that no longer belongs on the list.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("chain", "p2p", "sandbox", "client")
# The plain name is what a program or a notebook shows (`<Job id=...>`), and the ledger's as well.
SHARED: dict[str, int] = {"Job": 2, "Model": 2, "Node": 2}


def test_no_two_product_classes_share_a_name() -> None:
    found = Counter(
        node.name
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    shared = {name: count for name, count in found.items() if count > 1}
    more = {name: count for name, count in shared.items() if count > SHARED.get(name, 1)}
    assert not more, f"classes of the product share a name; give the new one another: {more}"
    fewer = {name: shared.get(name, 1) for name, count in SHARED.items() if shared.get(name, 1) < count}
    assert not fewer, f"SHARED says more than there is; write these down as they are, or out: {fewer}"
