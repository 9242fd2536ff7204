"""Makes the books of a federation's roles as an older version wrote them, in the middle of a round, with the ledger and the files
around them: what `tests/unit/test_federation_old_books.py` goes on from. Run once, in a checkout of that version:

    cd CHECKOUT && PYTHONPATH=. python THIS_FILE federation-VERSION.xz
"""

from __future__ import annotations

import lzma
import re
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace as replace_record

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.records import FederationState, member_key
from learningchain.chain.host.terms import HiddenSet
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.roles.cleanup import FedCleanUp
from learningchain.client.contracts.federation.wishes import VaultWish, vault_with  # type: ignore[attr-defined]
from learningchain.client.work.events import KeepBook
from tests.federation_nodes import HIDDEN_KEY, FedWorld, raw_cid
from tests.unit.test_federation_node import member

HIDDEN = HiddenSet(raw_cid(b"sealed"), sha256(b"plain").digest(), sha256(HIDDEN_KEY).digest(), 1_000)
ROUND = 6


class Watcher:
    """What a node has beside its four roles: the journal of the first owner, and of what the best model was made."""

    def __init__(self, world: FedWorld) -> None:
        self.clean = FedCleanUp(lambda: {world.federation})
        self.part = member(world)
        self.real, self.machine = world.nodes[world.owners[0]], self.part.machine  # type: ignore[attr-defined]

    def look(self, world: FedWorld) -> None:
        self.machine._joined = vars(self.real.machines["member"])["_joined"]
        chain = replace(world.chain(), held=frozenset({world.federation}))
        for one in (self.part, self.clean):
            for effect in one.handle(chain):
                if isinstance(effect, KeepBook) and effect.name not in ("federation.member", "federation.vaults"):
                    self.real.books[effect.name] = effect.blob


def moment(world: FedWorld) -> dict[str, Any]:
    nodes, named = {}, b""
    for me, node in world.nodes.items():
        waiting = {one.key for one in node.outbox}
        losses = {run: list(tree.losses) for run, tree in node.losses.items()}
        nodes[me] = {"books": {**node.books}, "served": {**node.served}, "known": sorted(node.known - waiting), "losses": losses}
        named += b"".join(node.books.values()) + "".join(f"/content/{cid.hex()}" for cid in node.served).encode()
    paths = {Path(one.decode()) for one in re.findall(rb"/content/[0-9a-f]{72}", named)}
    state = [(key, encode(record)) for key, record in sorted(world.ledger.store.records.items())]
    files = {str(path): world.store.files[path] for path in sorted(paths)}
    return {"height": world.ledger.height, "clock": world.clock, "state": state, "nodes": nodes, "files": files}


def main(target: Path) -> None:
    world = FedWorld(hidden=[HIDDEN], reference=True, target=1)
    for one in world.owners:
        world.nodes[one].give("member", vault_with(VaultWish(world.federation, True, [])))
    watcher, moments = Watcher(world), dict[str, Any]()
    for one in world.owners:
        # The data that the nodes of `tests.federation_nodes` have since then are those that the ledger has the word on.
        key, digest = member_key(world.federation, one), sha256(b"data of " + one).digest()
        joined = replace_record(world.ledger.get(key), digest=published_digest(world.federation, digest))
        world.ledger.store.put(key, joined)

    def screened() -> bool:
        return (
            world.state == FederationState.SCREEN
            and world.attempt().deciding
            and all(b"/content/" in world.nodes[one].books["federation.aggregator"] for one in world.attempt().deciding)
        )

    def opens() -> bool:
        return world.state == FederationState.OPEN

    for name, done in (("screen", screened), ("open", opens)):
        while not (world.now.r == ROUND and done()):
            world.block()
            watcher.look(world)
        moments[name] = moment(world)
    target.write_bytes(lzma.compress(msgspec.msgpack.encode(moments), preset=9))
    print(target.stat().st_size, {name: len(one["files"]) for name, one in moments.items()})


main(Path(sys.argv[1]).resolve())
