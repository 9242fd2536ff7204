"""The driver's order: what is voted with comes first, transactions and proposals wait their turn and are bounded."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.service import QUESTIONS, PeerService
from learningchain.chain.storage.blockstore import CommitBatch
from learningchain.chain.storage.errors import DiskFull
from learningchain.chain.types import Certificate
from learningchain.client.node import driver
from learningchain.client.node.driver import Driver

PEER = b"p" * 20
VALIDATOR = b"v" * 20
STATUS = encode(m.Status(7, 1))


def txs(number: int) -> bytes:
    return encode(m.Txs([number.to_bytes(8, "big")]))


class Recorder:
    """A node that only notes in which order it is driven."""

    def __init__(self) -> None:
        self.handled: list[bytes | None] = []
        self.pool = SimpleNamespace(own=0)
        self.service = PeerService()

    def goes_first(self, peer: bytes) -> bool:
        return peer == VALIDATOR

    def hears(self, peer: bytes) -> bool:
        return self.service.hears(peer, 0)

    def handle(self, event: e.Input, now: int) -> list[e.Effect]:
        assert isinstance(event, e.Received)
        self.handled.append(event.payload)
        return []

    def flush(self, now: int) -> list[e.Effect]:
        self.handled.append(None)
        return []


@pytest.fixture
async def driven() -> tuple[Recorder, Driver]:
    node, nothing = Recorder(), cast(Any, None)
    quiet = cast(Any, lambda *_: None)
    made = Driver(
        cast(Any, node),
        signer=SimpleNamespace(serve=quiet),  # type: ignore[arg-type]
        store=nothing,
        wal=nothing,
        gossip=nothing,
        on_decided=quiet,
        on_dropped=quiet,
        on_evidence=quiet,
    )
    return node, made


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_vote_is_not_held_up_by_transactions_that_came_before_it(driven: tuple[Recorder, Driver]) -> None:
    node, driver_ = driven
    for payload in (txs(1), txs(2), STATUS):
        driver_.feed(e.Received(PEER, payload))
    assert node.handled == [STATUS]
    await turns(5)
    assert [h for h in node.handled if h is not None] == [STATUS, txs(1), txs(2)]


@pytest.mark.parametrize(
    "question",
    [
        m.GetBlock(7, bytes(32), []),
        m.GetBlocks(1, 64),
        m.GetExecutedBlocks(1, 64),
        m.GetSnapshot(),
        m.GetValidatorChanges(1),
        m.GetBuckets(7, [1]),
        m.GetHeaders(7, 512),
    ],
)
async def test_questions_of_validators_go_before_those_of_others(question: m.Message, driven: tuple[Recorder, Driver]) -> None:
    """LC-P2P-25: what a height waits for is asked by them."""
    node, driver_ = driven
    for peer in (PEER, VALIDATOR):
        driver_.feed(e.Received(peer, encode(question)))
    assert node.handled == [encode(question)], "the validator's"
    await turns(5)
    assert [h for h in node.handled if h is not None] == [encode(question)] * 2


async def test_questions_that_could_not_be_answered_are_dropped_unread(driven: tuple[Recorder, Driver]) -> None:
    """LC-NODE-73: of who is no validator; of validators the answers are bounded, and their questions are few."""
    node, driver_ = driven
    most, question = QUESTIONS.rate.burst, encode(m.GetBlock(7, bytes(32), []))
    for peer in (PEER, VALIDATOR):
        for _ in range(most + 9):
            driver_.feed(e.Received(peer, question))
    assert len(node.handled) == most + 9, "the validator's"
    await turns(2 * most)
    assert len([h for h in node.handled if h is not None]) == 2 * most + 9


async def test_users_wait_while_peers_transactions_do(driven: tuple[Recorder, Driver], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a node would let in what others cannot check in time, and proposals would wait behind it."""
    node, driver_ = driven
    monkeypatch.setattr(driver, "OVERLOADED_BYTES", len(txs(0)))
    monkeypatch.setattr(driver, "OVERLOADED_OWN", 2)
    assert not driver_.overloaded
    for number in range(9):
        driver_.feed(e.Received(PEER, txs(number)))
    assert not driver_.overloaded, "one peer alone closes nobody's door"
    for peer in (b"q" * 20, b"r" * 20):
        driver_.feed(e.Received(peer, txs(number)))
    assert driver_.overloaded
    await turns(12)
    assert not driver_.overloaded
    node.pool.own = 2
    assert driver_.overloaded


async def test_transactions_that_wait_are_bounded(driven: tuple[Recorder, Driver]) -> None:
    node, driver_ = driven
    driver_._waiting._most = 2 * len(txs(0))
    for number in range(5):
        driver_.feed(e.Received(PEER, txs(number)))
    await turns(10)
    driver_.feed(e.Received(PEER, txs(9)))
    await turns(3)
    assert [h for h in node.handled if h is not None] == [txs(0), txs(1), txs(9)]


class FullStore:
    """Refuses every height for want of space, from a thread, as the writer does; notes what it is handed."""

    def __init__(self) -> None:
        self.handed: list[int] = []
        self._writer = ThreadPoolExecutor(1)

    def commit_async(self, *heights: CommitBatch) -> Future[None]:
        self.handed += [batch.height for batch in heights]
        return self._writer.submit(self._refuse)

    def _refuse(self) -> None:
        raise DiskFull("Could not store height 1", "no space left on the device", "Free some space there")


async def test_after_a_full_disk_the_node_stops_with_that_reason_and_hands_nothing_on(driven: tuple[Recorder, Driver]) -> None:
    """A height behind the one that failed cannot be stored: it follows nothing. The log holds it."""
    _, driver_ = driven
    store = FullStore()
    driver_._store = cast(Any, store)
    commits = [e.Commit(h, bytes(32), b"", b"", [], [], [], [], False) for h in (1, 2)]
    driver_._run(commits[0])
    driver_._write_out()
    with pytest.raises(DiskFull):
        await driver_.failed
    driver_._run(commits[1])
    driver_.stop()
    assert store.handed == [1]


async def test_a_node_that_stops_in_good_health_stores_what_was_decided(driven: tuple[Recorder, Driver]) -> None:
    _, driver_ = driven
    store = FullStore()
    store._refuse = lambda: None  # type: ignore[method-assign]
    driver_._store = cast(Any, store)
    driver_._run(e.Commit(1, bytes(32), b"", b"", [], [], [], [], False))
    driver_.stop()
    assert store.handed == [1]


class SlowStore:
    """Stores when the test says so."""

    def __init__(self) -> None:
        self.commits: list[Future[None]] = []

    def commit_async(self, *_: CommitBatch) -> Future[None]:
        self.commits.append(Future())
        return self.commits[-1]


def decided(height: int) -> e.Decided:
    return e.Decided(height, bytes(32), cast(Any, None), [], [], [])


def committed(height: int) -> e.Commit:
    return e.Commit(height, bytes(32), b"", b"", [], [], [], [], True)


async def test_nobody_is_told_of_a_height_before_it_is_on_disk(driven: tuple[Recorder, Driver]) -> None:
    """Work on the next heights and requests for more do not wait; all else keeps its order."""
    _, driver_ = driven
    store, told = SlowStore(), list[object]()
    driver_._store, driver_._on_decided = cast(Any, store), lambda d: told.append(d.height)
    driver_._wal = cast(Any, SimpleNamespace(used=0))
    driver_._network = cast(Any, SimpleNamespace(send=lambda peer, channel, payload, lane: told.append(m.decode_message(payload))))
    asks, tells = m.GetBlocks(5, 9), m.Status(2, 1)
    first = [committed(1), decided(1), e.Send(PEER, encode(tells), e.VOTES), e.Send(PEER, encode(asks), e.REQUESTS)]
    driver_._run_all([*first, committed(2), decided(2)])
    await turns(3)
    assert told == [asks]
    store.commits[1].set_result(None)
    await turns(3)
    assert told == [asks], "the one before it is not on disk"
    store.commits[0].set_result(None)
    await turns(3)
    assert told == [asks, 1, tells, 2]
    driver_._run_all([decided(3)])
    assert told[-1] == 3, "nothing is waited for any more"
    assert driver_._durable is None


async def test_what_waits_for_the_disk_is_its_own_height_not_an_earlier_one(driven: tuple[Recorder, Driver]) -> None:
    """Where nothing is held yet when an earlier height is stored, what comes then still waits, and both heights can be served."""
    node, driver_ = driven
    store, told, answered = SlowStore(), list[int](), list[m.Message]()
    store.blocks = lambda start, count, size: []  # type: ignore[attr-defined]
    driver_._store, driver_._on_decided = cast(Any, store), lambda d: told.append(d.height)
    driver_._wal = cast(Any, SimpleNamespace(used=0))
    certificate = encode(Certificate(7, 0, bytes(32), [0], [bytes(64)]))
    for height, durable in ((1, True), (2, True)):
        driver_._run_all([e.Commit(height, bytes(32), b"%d" % height, certificate, [], [], [], [], durable)])
    store.commits[0].set_result(None)
    await turns(3)
    driver_._run_all([decided(2)])
    assert told == []

    def handle(event: e.Input, now: int) -> list[e.Effect]:
        assert isinstance(event, e.Answered) and event.answer is not None
        answered.append(m.decode_message(event.answer))
        return []

    node.handle = handle  # type: ignore[method-assign]
    driver_._run(e.ReadBlocks(PEER, 2, 64, 2_000_000))
    while not answered:
        await asyncio.sleep(0)
    assert isinstance(answered[0], m.Blocks) and [item.block for item in answered[0].blocks] == [b"2"]
    store.commits[1].set_result(None)
    await turns(3)
    assert told == [2] and not driver_._unstored


async def test_after_the_end_no_timer_does_anything(driven: tuple[Recorder, Driver], monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is closed by then."""
    monkeypatch.setattr(driver, "GATHER_MS", 0)
    _, driver_ = driven
    store = FullStore()
    driver_._store = cast(Any, store)
    driver_._run(e.Commit(1, bytes(32), b"", b"", [], [], [], [], False))
    driver_._fail(ValueError("something else"))
    driver_.stop()
    await turns(5)
    assert store.handed == []
    assert isinstance(driver_.failed.exception(), ValueError)


async def test_nobody_is_told_of_a_height_that_could_not_be_stored(driven: tuple[Recorder, Driver]) -> None:
    _, driver_ = driven
    store, told = SlowStore(), list[int]()
    driver_._store, driver_._on_decided = cast(Any, store), lambda d: told.append(d.height)
    driver_._run_all([committed(1), decided(1)])
    store.commits[0].set_exception(DiskFull("Could not store height 1", "no space left on the device", "Free some space there"))
    with pytest.raises(DiskFull):
        await driver_.failed
    await turns(3)
    assert told == []
