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
SHARED = {
    "_Block": 2,
    "_Header": 2,
    "_Known": 2,
    "_Record": 2,
    "Account": 2,
    "Allowance": 2,
    "ApiError": 2,
    "Block": 2,
    "Case": 2,
    "Changes": 2,
    "Connection": 2,
    "Contractor": 2,
    "Entry": 2,
    "Failed": 2,
    "Finished": 2,
    "Gossip": 2,
    "Intent": 2,
    "Limits": 3,
    "Listener": 2,
    "Member": 2,
    "Memory": 2,
    "Moved": 2,
    "NetworkConfig": 2,
    "Node": 3,
    "Offer": 2,
    "Opened": 3,
    "PeerDown": 2,
    "PeerUp": 2,
    "Penalize": 2,
    "Place": 3,
    "Progress": 2,
    "Ready": 2,
    "Received": 2,
    "Release": 2,
    "Result": 2,
    "Reveal": 2,
    "RevealKey": 2,
    "Run": 2,
    "Runs": 2,
    "Send": 2,
    "Service": 2,
    "Signed": 2,
    "Snapshots": 2,
    "Source": 4,
    "Standing": 2,
    "State": 2,
    "Status": 3,
    "Store": 2,
    "Stored": 2,
    "Tally": 2,
    "Tick": 2,
    "Work": 2,
}


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
