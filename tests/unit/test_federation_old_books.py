"""Books that an older version wrote in the middle of a round (`tests/upgrade/make_federation.py`) are read, written as they were
to the last byte, and gone on from: the attempt that they are of counts."""

from __future__ import annotations

import lzma
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import decode, encode, read
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.host.terms import HiddenSet
from learningchain.chain.ledger.listings import MAX_RECORD, type_of
from learningchain.chain.losses import LossTree
from learningchain.client.contracts.federation import work
from learningchain.client.contracts.federation.roles.journal import JOURNAL, journal_in
from learningchain.client.contracts.federation.roles.runs import run_name
from tests.federation_nodes import HIDDEN_KEY, MACHINES, FedWorld, raw_cid
from tests.played_ledger import ScannedStore

FOLDER = Path(__file__).parents[1] / "upgrade"
HIDDEN = HiddenSet(raw_cid(b"sealed"), sha256(b"plain").digest(), sha256(HIDDEN_KEY).digest(), 1_000)
WRITTEN: Any = msgspec.msgpack.decode(lzma.decompress((FOLDER / "federation-9fe86a70.xz").read_bytes()), type=dict[str, Any])


def restored(moment: str) -> FedWorld:
    """The nodes as they start again from what their disks have, and the ledger as it was."""
    world, found = FedWorld(hidden=[HIDDEN], reference=True, target=1), WRITTEN[moment]
    store = ScannedStore()
    for key, raw in found["state"]:
        store.put(key, decode(type_of(key), raw, MAX_RECORD))
    world.ledger.store, world.ledger.height, world.clock, world.mail = store, found["height"], found["clock"], []
    world.store.files |= {Path(path): content for path, content in found["files"].items()}
    for me, node in world.nodes.items():
        kept = found["nodes"][me]
        node.books, node.known, node.outbox, node.fetches = dict(kept["books"]), set(kept["known"]), [], {}
        node.served = {cid: tuple(peers) for cid, peers in kept["served"].items()}
        node.losses = {run_name(run): LossTree(losses) for run, losses in kept["losses"].items()}
        node.runs = []
        for name in MACHINES:
            node.restart(name)
    return world


@pytest.mark.parametrize(("moment", "role"), [("screen", "aggregator"), ("open", "panel")])
def test_a_round_goes_on_from_books_of_before(moment: str, role: str) -> None:
    world = restored(moment)
    busy = [node for node in world.nodes.values() if len(node.books.get(f"federation.{role}", b"")) > 200]
    assert len(busy) >= 3, "seats that have something under way"
    for node in busy:
        assert encode(node.machines[role].book) == node.books[f"federation.{role}"]
    r, start = world.now.r, world.now.starts
    world.run(lambda: world.state == FederationState.IDLE or world.now.r > r)
    assert (world.now.starts, world.now.best_r) == (start, r), "this attempt, and it came to something"
    assert not any(world.nodes[one].runs for one in world.owners), "nothing is trained twice"
    measured = [run for node in world.nodes.values() for run in node.runs if run.phase == "evaluate"]
    assert bool(measured) is (moment == "screen"), "nor measured"
    world.run()
    assert not world.ledger.refused and all(world.paid(one) > 0 for one in world.owners)


def read_book(name: str, blob: bytes) -> Any:
    return journal_in(blob) if name == JOURNAL else read(work.BOOKS[name], blob)


def test_books_of_before_are_written_as_they_were() -> None:
    nodes = [node for moment in WRITTEN.values() for node in moment["nodes"].values()]
    books = [(name, blob) for node in nodes for name, blob in node["books"].items()]
    assert {name for name, _ in books} == {*work.BOOKS, JOURNAL}
    assert [encode(read_book(name, blob)) for name, blob in books] == [blob for _, blob in books]
