"""Disk before wire, in the driver that nodes run: every double here writes down what it is asked for, in one journal.

The simulator has a driver of its own. What it proves of the node rests on this one keeping the same order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote, Step
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.node import Node
from learningchain.chain.node.recovery import BLOCK, CONSENSUS, DECIDED
from learningchain.chain.storage.blockstore import CommitBatch
from learningchain.chain.storage.errors import StorageFailed
from learningchain.chain.storage.guard import Kind
from learningchain.chain.types import NIL, PREVOTE, ProposalEvidence, decode_block
from learningchain.client.keys.signing import LocalSigner
from learningchain.client.node import driver
from learningchain.client.node.driver import Driver
from tests.unit.node_kit import genesis, ident, key_of, propose, state_of, transfer, vote

PEER = b"p" * 20
HEIGHTS = 6


class Journal:
    """What happened, in order: (what, which)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, object]] = []

    def __call__(self, what: str, which: object = None) -> None:
        self.entries.append((what, which))

    def names(self) -> list[str]:
        return [what for what, _ in self.entries]


class RecordingWal:
    def __init__(self, journal: Journal) -> None:
        self._note = journal
        self.used = 0
        self.fails = False

    def records(self) -> list[bytes]:
        return []

    def append(self, record: bytes) -> None:
        self._note("append", record)
        self.used += len(record)

    def sync(self) -> None:
        if self.fails:
            raise StorageFailed("The log cannot be written", "the disk is gone", "Look at it")
        self._note("sync")

    def truncate(self) -> None:
        self._note("truncate")
        self.used = 0


class RecordingGuard:
    def __init__(self, journal: Journal) -> None:
        self._note = journal

    def sign(self, kind: Kind, height: int, round_: int, digest: bytes, sign: Callable[[bytes], bytes]) -> bytes | None:
        signature = sign(digest)
        self._note("sign", signature)
        return signature

    def abstain(self, until: int) -> None:
        self._note("abstain", until)


class RecordingStore:
    """Each commit is on disk when the test says so."""

    def __init__(self, journal: Journal) -> None:
        self._note = journal
        self.commits: list[Future[None]] = []
        self.hold_fd: int | None = None
        self.lost: StorageFailed | None = None

    def check_hold(self) -> None:
        if self.lost is not None:
            raise self.lost

    def commit_async(self, *batches: CommitBatch) -> Future[None]:
        self._note("commit", tuple(batch.height for batch in batches))
        self.commits.append(Future())
        return self.commits[-1]


class RecordingNetwork:
    def __init__(self, journal: Journal) -> None:
        self._note = journal

    def send(self, peer: bytes, channel: int, payload: bytes, lane: int) -> None:
        self._note("wire", m.decode_message(payload))

    def broadcast(self, channel: int, payload: bytes, lane: int, exclude: object, targets: object) -> None:
        self._note("wire", m.decode_message(payload))

    def penalize(self, peer: bytes, reason: str) -> None:
        self._note("penalize", reason)

    def queued(self, *_: object) -> int:
        return 0


class Scripted:
    """A node whose consensus stands still; tests run effects as if they had come out of it."""

    def __init__(self) -> None:
        self.chain_id, self.own_id = genesis().chain_id, ident(0)
        self.pool = SimpleNamespace(own=0)
        self.consensus = SimpleNamespace(step=Step.WAIT)
        self.inputs: list[e.Input] = []

    def handle(self, event: e.Input, now: int) -> list[e.Effect]:
        self.inputs.append(event)
        return []

    def flush(self, now: int) -> list[e.Effect]:
        return []


class Driven:
    def __init__(self, node: Any) -> None:
        self.journal = Journal()
        self.node = node
        self.wal, self.store = RecordingWal(self.journal), RecordingStore(self.journal)
        gossip = SimpleNamespace(consensus_targets=lambda exclude: [], mesh_targets=lambda exclude: [])
        self.driver = Driver(
            node,
            signer=LocalSigner(key_of(index_of(node.own_id)), cast(Any, RecordingGuard(self.journal)), node.chain_id, node.own_id),
            store=cast(Any, self.store),
            wal=cast(Any, self.wal),
            gossip=cast(Any, gossip),
            on_decided=lambda d: self.journal("decided", d.height),
            on_dropped=lambda d: self.journal("dropped", d.tx),
            on_evidence=lambda found: self.journal("evidence", found),
        )
        self.driver._network = cast(Any, RecordingNetwork(self.journal))

    def run(self, *effects: e.Effect) -> list[str]:
        """What these effects lead to at once."""
        before = len(self.journal.entries)
        self.driver._run_all(list(effects))
        self.driver._pump()
        return self.journal.names()[before:]


def index_of(identity: bytes) -> int:
    return next(i for i in range(6) if ident(i) == identity)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- a real node ----------------------------------------------------------------------------------------------------------------


async def run_alone() -> Driven:
    """The only validator of a chain decides some heights; a member listens to it."""
    g = genesis(1)
    own = index_of(g.validators[0].id)
    node = Node(ident(own), sha256(b"own"), state_of(g), g.chain_id)
    driven = Driven(node)
    driven.driver.start(cast(Any, RecordingNetwork(driven.journal)))
    driven.driver.feed(e.PeerUp(PEER))
    for n in range(HEIGHTS):
        driven.driver.submit(transfer(own, n, chain=g.chain_id))
        async with asyncio.timeout(20):
            while node.height <= n:
                await asyncio.sleep(0)
                for commit in driven.store.commits:
                    if not commit.done():
                        commit.set_result(None)
    assert not driven.driver.failed.done()
    driven.driver._stopped = True
    for timer in driven.driver._timers:
        timer.cancel()
    return driven


LOST = StorageFailed("The database is no longer held", "the server ended the connection", "Check that the server runs")


async def test_a_node_whose_database_is_no_longer_its_own_signs_nothing_more() -> None:
    g = genesis(1)
    own = index_of(g.validators[0].id)
    driven = Driven(Node(ident(own), sha256(b"own"), state_of(g), g.chain_id))
    driven.driver.start(cast(Any, RecordingNetwork(driven.journal)))
    driven.store.lost = LOST
    driven.driver.submit(transfer(own, 0, chain=g.chain_id))
    with pytest.raises(StorageFailed, match="no longer held"):
        async with asyncio.timeout(20):
            await driven.driver.failed
    assert "append" in driven.journal.names(), "it was about to sign"
    assert "sign" not in driven.journal.names()
    assert not [1 for _, sent in driven.journal.entries if isinstance(sent, m.VoteMessage | m.CompactProposal)]
    driven.driver.stop()


async def test_a_node_that_has_nothing_to_sign_ends_too_when_its_database_is_lost() -> None:
    driven = Driven(Scripted())
    reading, writing = os.pipe()
    driven.store.hold_fd = reading
    driven.node.start = lambda now, records: []
    driven.driver.start(None)
    os.write(writing, b"a word")
    await turns(3)
    os.read(reading, 99)
    assert not driven.driver.failed.done(), "what the store does not mind is no reason"
    driven.store.lost = LOST
    os.close(writing)
    with pytest.raises(StorageFailed, match="no longer held"):
        async with asyncio.timeout(20):
            await driven.driver.failed
    assert not driven.driver._loop.remove_reader(reading), "it is watched no more"
    driven.driver.stop()
    os.close(reading)


async def test_nothing_is_signed_before_its_record_and_all_before_it_are_on_disk() -> None:
    entries = (await run_alone()).journal.entries
    signed = [at for at, (what, _) in enumerate(entries) if what == "sign"]
    assert len(signed) >= 3 * HEIGHTS, "a proposal, a prevote and a precommit for each"
    for at in signed:
        before = [(what, which) for what, which in entries[:at] if what in ("append", "sync")]
        assert before[-1] == ("sync", None), "nothing was appended since"
        written = [which for what, which in before if what == "append"]
        assert cast(bytes, written[-1])[:1] == CONSENSUS, "the intent to sign"
    assert_each_has_an_intent_of_its_own(entries)


def assert_each_has_an_intent_of_its_own(entries: list[tuple[str, object]]) -> None:
    """Between two signatures something was appended and synced: no record stands for two."""
    since: list[str] = []
    for what, _ in entries:
        if what == "sign":
            assert "append" in since and "sync" in since
            since = []
        since.append(what)


async def test_only_what_was_signed_goes_out_and_after_it_was_signed() -> None:
    entries = (await run_alone()).journal.entries
    signatures: set[object] = set()
    told = 0
    for what, which in entries:
        if what == "sign":
            signatures.add(which)
        if what == "wire" and isinstance(which, m.VoteMessage | m.CompactProposal):
            told += 1
            own = which.vote if isinstance(which, m.VoteMessage) else which.proposal
            assert own.signature in signatures
    assert told >= 2 * HEIGHTS


async def test_a_block_is_in_the_log_before_a_vote_for_it_is_signed_and_decided_before_it_is_told() -> None:
    entries = (await run_alone()).journal.entries
    for height in range(1, HEIGHTS + 1):
        body = next(i for i, (what, which) in enumerate(entries) if what == "append" and _block_in(which) == height)
        record = next(i for i, (what, which) in enumerate(entries) if what == "append" and _decided_in(which) == height)
        told = entries.index(("decided", height))
        assert body < record < told
        votes = [i for i, (what, which) in enumerate(entries) if what == "wire" and _votes_at(which) == height]
        assert votes and body < min(votes)


def _block_in(record: object) -> int | None:
    return decode_block(record[1:]).header.height if isinstance(record, bytes) and record[:1] == BLOCK else None


def _decided_in(record: object) -> int | None:
    if not isinstance(record, bytes) or record[:1] != DECIDED:
        return None
    try:
        return m.decode_certificate(record[1:]).height
    except Malformed:
        return None


def _votes_at(message: object) -> int | None:
    return message.vote.height if isinstance(message, m.VoteMessage) else None


# --- a disk that fails ----------------------------------------------------------------------------------------------------------

REQUEST = e.SignRequest(SignVote(PREVOTE, 1, 0, NIL))
INTENT = e.Log(CONSENSUS + b"intent", True)


async def test_a_record_that_cannot_be_synced_is_signed_for_by_nobody() -> None:
    driven = Driven(Scripted())
    driven.wal.fails = True
    with pytest.raises(StorageFailed):
        driven.run(INTENT, REQUEST, e.Send(PEER, encode(m.Status(1, 1)), e.VOTES))
    assert driven.journal.names() == ["append"]


async def test_an_input_whose_record_cannot_be_synced_ends_the_node() -> None:
    driven = Driven(Scripted())
    driven.wal.fails = True
    driven.node.handle = lambda event, now: [INTENT, REQUEST, e.Send(PEER, encode(m.Status(1, 1)), e.VOTES)]
    driven.driver.feed(e.PeerUp(PEER))
    with pytest.raises(StorageFailed):
        await driven.driver.failed
    driven.driver.feed(e.PeerUp(PEER))
    await turns()
    assert driven.journal.names() == ["append"]


# --- behind a commit ------------------------------------------------------------------------------------------------------------


def commit(height: int, *, durable: bool = True) -> e.Commit:
    return e.Commit(height, bytes(32), b"", b"", [], [], [], [], durable)


def decided(height: int) -> e.Decided:
    return e.Decided(height, bytes(32), cast(Any, None), [], [], [])


SPEAKS: dict[str, e.Effect] = {
    "a vote to one": e.Send(PEER, encode(m.VoteMessage(vote(1, PREVOTE, 1, 0, NIL))), e.VOTES),
    "to all validators": e.Gossip(encode(m.Status(3, 1)), e.VOTES, e.Scope.CONSENSUS),
    "to the mesh": e.Gossip(encode(m.Status(3, 1)), e.VOTES, e.Scope.MESH),
    "to all": e.Gossip(encode(m.Status(3, 1)), e.VOTES, e.Scope.ALL),
    "a signature": REQUEST,
    "a record": INTENT,
    "decided": decided(1),
    "evidence": e.Evidenced(ProposalEvidence(propose(1, 1, 0, b"a" * 32), propose(1, 1, 0, b"b" * 32))),
    "a penalty": e.Penalize(PEER, "a reason"),
    "dropped": e.TxDropped(b"t" * 32, cast(Any, None)),
    "abstain": e.Abstain(3),
}


@pytest.mark.parametrize("name", SPEAKS)
async def test_what_tells_somebody_waits_for_the_commit_before_it(name: str) -> None:
    driven = Driven(Scripted())
    assert driven.run(commit(1), SPEAKS[name]) == ["commit"]
    await turns()
    assert driven.journal.names() == ["commit"]
    driven.store.commits[0].set_result(None)
    await turns()
    assert len(driven.journal.names()) >= 2, "and goes on then"
    # Nothing is waited for any more.
    assert driven.run(SPEAKS["a penalty"]) == ["penalize"]


async def test_what_comes_later_does_not_overtake_what_waits() -> None:
    """Also while the node works through what waited, and where the next commit is on disk first."""
    driven = Driven(Scripted())
    note = [e.Penalize(PEER, str(number)) for number in range(6)]
    driven.run(commit(1), note[0], commit(2), note[1])
    driven.run(note[2])
    driven.store.commits[1].set_result(None)
    await turns()
    driven.run(note[3])
    assert "penalize" not in driven.journal.names()
    driven.store.commits[0].set_result(None)
    driven.run(note[4])
    await turns()
    driven.run(note[5])
    assert [which for what, which in driven.journal.entries if what == "penalize"] == [str(number) for number in range(6)]


# --- the log is emptied -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is worth emptying."""
    monkeypatch.setattr(driver, "LOG_WORTH", 10)


async def test_the_log_is_not_emptied_while_a_later_commit_is_under_way(full: None) -> None:
    driven = Driven(Scripted())
    driven.run(e.Log(BLOCK + bytes(20), False), commit(1), commit(2))
    driven.store.commits[0].set_result(None)
    await turns()
    assert "truncate" not in driven.journal.names(), "height 2 is in the log alone"
    driven.store.commits[1].set_result(None)
    await turns()
    assert driven.journal.names()[-1] == "truncate"


async def test_nor_while_a_height_was_not_handed_to_the_database(full: None) -> None:
    driven = Driven(Scripted())
    driven.run(e.Log(BLOCK + bytes(20), False), commit(1, durable=False))
    driven.driver._write_out()
    driven.run(commit(2, durable=False))
    driven.store.commits[0].set_result(None)
    await turns()
    assert "truncate" not in driven.journal.names()
    driven.driver._write_out()
    driven.store.commits[1].set_result(None)
    await turns()
    assert driven.journal.names()[-1] == "truncate"


async def test_nor_while_something_waits_that_belongs_into_it(full: None) -> None:
    """A record that is held stands for a signature that is about to be given."""
    driven = Driven(Scripted())
    driven.run(e.Log(BLOCK + bytes(20), False), commit(1), commit(2), INTENT)
    driven.store.commits[0].set_result(None)
    driven.store.commits[1].set_result(None)
    await turns()
    names = driven.journal.names()
    assert "truncate" not in names or names.index("truncate") > names.index("sync")


async def test_a_log_at_its_bound_is_emptied_only_when_all_is_in_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOG_FULL", 10)
    driven = Driven(Scripted())
    stored: list[str] = []

    class Waits(Future[None]):
        """A commit that the loop has to wait for: it is done when somebody asks for its result."""

        def result(self, timeout: float | None = None) -> None:
            stored.append("waited")
            driven.journal("stored")

    def commit_async(*batches: CommitBatch) -> Future[None]:
        driven.journal("commit", tuple(batch.height for batch in batches))
        return Waits()

    driven.driver._store = cast(Any, SimpleNamespace(commit_async=commit_async))
    driven.run(e.Log(BLOCK + bytes(20), False), commit(1, durable=False), commit(2, durable=False), e.TruncateLog())
    assert driven.journal.names() == ["append", "commit", "stored", "truncate"]
