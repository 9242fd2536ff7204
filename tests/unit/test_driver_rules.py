"""The driver's own rules: what ends with it, what it gathers, whom it sends to, what it hands to the database and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote, Timeout, TimeoutKind
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.storage.blockstore import CommitBatch
from learningchain.chain.storage.errors import StorageFailed
from learningchain.chain.types import NIL, PREVOTE
from learningchain.client.node import driver
from learningchain.p2p.wire import NODE
from tests.unit.test_driver_order import PEER, Driven, Scripted, commit, decided, turns

LOST = StorageFailed("The database cannot be read", "the disk is gone", "Look at it")


def read(start: int, count: int) -> e.ReadBlocks:
    return e.ReadBlocks(PEER, start, count, 2_000_000)


def sized(height: int, size: int) -> e.Commit:
    return e.Commit(height, bytes(32), bytes(size), b"", [], [], [], [], False)


class Clock:
    """Timers that fire when the test says so."""

    def __init__(self, driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr(driven.driver._loop, "call_later", self._later)

    def _later(self, seconds: float, action: Callable[[], None]) -> object:
        self.set.append((seconds, action))
        return object()


@pytest.fixture
async def driven() -> Driven:
    return Driven(Scripted())


# --- timers and tasks ---------------------------------------------------------------------------------------------------------


async def test_a_timer_is_in_milliseconds_and_comes_back_once_it_fired(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        clock, timer = Clock(driven, patched), Timeout(TimeoutKind.PROPOSE, 3, 1, 1_500)
        driven.run(e.SetTimer(timer, 1_500))
        ((seconds, fire),) = clock.set
        assert seconds == 1.5
        fire()
        assert driven.node.inputs == [e.Fired(timer)]
        assert not driven.driver._timers, "a node sets some of them for every height, for years"


async def test_what_is_late_may_be_among_what_waits_so_it_waits_behind_it(driven: Driven) -> None:
    txs = e.Received(PEER, encode(m.Txs([b"transaction"])))
    late = e.Fired(e.Late(b"b" * 32))
    driven.driver.feed(txs)
    driven.driver.feed(late)
    assert driven.node.inputs == []
    await turns()
    assert driven.node.inputs == [txs, late]


async def test_the_end_leaves_no_timer_no_task_and_no_process(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    driven.driver._helpers.close()
    driven.driver._helpers = cast(Any, SimpleNamespace(close=lambda: closed.append(True)))
    never = asyncio.Event()
    driven.driver._snapshots = cast(Any, SimpleNamespace(answer=lambda question: never.wait()))
    driven.run(e.ReadSnapshot(PEER, m.GetSnapshot()), e.SetTimer(e.Tick(), 3_600_000))
    (timer,), (task,) = driven.driver._timers, driven.driver._tasks
    await turns()
    driven.driver.stop()
    await turns()
    assert timer.cancelled() and task.cancelled() and closed == [True]


async def test_a_node_that_failed_waits_for_what_the_database_is_writing(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed next. What could not be written is not tried again."""
    waited: list[set[Future[None]]] = []
    monkeypatch.setattr(driver, "wait", lambda commits: waited.append(set(commits)))
    driven.run(commit(1), commit(2, durable=False))
    driven.driver._fail(LOST)
    driven.driver.stop()
    assert driven.driver.failed.exception() is LOST
    assert waited == [set(driven.store.commits)] and len(driven.store.commits) == 1


# --- inputs ---------------------------------------------------------------------------------------------------------------------


async def test_what_a_flush_leads_to_is_handled_before_more_is_taken_from_the_line(driven: Driven) -> None:
    own, first = driven.node, e.Received(PEER, encode(m.Txs([b"one"])))
    asked = iter([[REQUEST], *[[]] * 9])
    own.flush = lambda now: next(asked)
    driven.driver.feed(first)
    await turns(1)
    assert [type(event) for event in own.inputs] == [e.Received, e.SignedMessage]


async def test_what_a_callback_feeds_waits_until_all_effects_before_it_ran(driven: Driven) -> None:
    """Its own effects would come between those of the input before it."""
    own, seen = driven.node, driven.journal
    own.flush = lambda now: [decided(1), e.Penalize(PEER, "flushed")]
    own.handle = lambda event, now: seen("handled") or []
    driven.driver._on_decided = lambda d: driven.driver.feed(e.PeerUp(PEER))
    driven.driver._flush_soon()
    await turns(1)
    assert seen.names() == ["penalize", "handled"]


REQUEST = e.SignRequest(SignVote(PREVOTE, 1, 0, NIL))


# --- the wire -------------------------------------------------------------------------------------------------------------------

MESH, VALIDATORS = [b"m" * 20], [b"v" * 20]


@pytest.mark.parametrize(("scope", "targets"), [(e.Scope.CONSENSUS, VALIDATORS), (e.Scope.MESH, MESH), (e.Scope.ALL, None)])
async def test_each_scope_has_its_targets_and_who_knows_is_left_out_of_all(
    driven: Driven, scope: e.Scope, targets: list[bytes] | None
) -> None:
    sent: list[object] = []
    asked: list[frozenset[bytes]] = []

    def of(found: list[bytes]) -> Callable[[frozenset[bytes]], list[bytes]]:
        return lambda exclude: (asked.append(exclude), found)[1]

    driven.driver._gossip = cast(Any, SimpleNamespace(consensus_targets=of(VALIDATORS), mesh_targets=of(MESH)))
    driven.driver._network = cast(Any, SimpleNamespace(broadcast=lambda *given: sent.append(given)))
    known = frozenset({PEER})
    driven.run(e.Gossip(b"payload", e.TRANSACTIONS, scope, known))
    assert sent == [(NODE, b"payload", e.TRANSACTIONS, known, targets)]
    assert asked == ([known] if targets else [])


# --- blocks for peers -----------------------------------------------------------------------------------------------------------


async def test_of_what_is_not_stored_yet_a_peer_gets_exactly_what_it_asks_for(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[int]] = []
    monkeypatch.setattr(driver, "answer", lambda store, wanted, unstored: given.append([b.height for b in unstored]) or b"told")
    driven.run(*(commit(height, durable=False) for height in range(4, 10)))
    driven.run(read(5, 3))
    while not driven.node.inputs:
        await asyncio.sleep(0)
    assert given == [[5, 6, 7]]
    assert driven.node.inputs == [e.Answered(PEER, b"told")]


async def test_a_database_that_cannot_be_read_ends_the_node(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty answer instead would hide damage for as long as others serve what this node cannot."""

    def broken(*_: object) -> bytes:
        raise LOST

    monkeypatch.setattr(driver, "answer", broken)
    driven.run(read(5, 3))
    with pytest.raises(StorageFailed):
        async with asyncio.timeout(20):
            await driven.driver.failed
    assert driven.node.inputs == []


# --- a snapshot -----------------------------------------------------------------------------------------------------------------


async def test_after_a_switch_nothing_more_is_done_and_it_counts_once_it_is_on_disk(driven: Driven) -> None:
    """What this node still decided would be in the database of a chain that the next one does not begin from."""
    staged = asyncio.Event()
    driven.driver._snapshots = cast(Any, SimpleNamespace(ready=staged.wait))
    assert driven.run(e.Switch(7), commit(8), decided(8)) == []
    driven.driver.feed(e.PeerUp(PEER))
    await turns()
    assert driven.node.inputs == [] and not driven.driver.switched.done()
    staged.set()
    assert await driven.driver.switched == 7


async def test_a_snapshot_that_cannot_be_made_ready_is_no_beginning(driven: Driven) -> None:
    async def ready() -> None:
        raise LOST

    driven.driver._snapshots = cast(Any, SimpleNamespace(ready=ready))
    driven.run(e.Switch(7))
    with pytest.raises(StorageFailed):
        await driven.driver.failed
    assert not driven.driver.switched.done()


# --- the database ---------------------------------------------------------------------------------------------------------------


async def test_heights_that_follow_each_other_share_one_transaction(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        clock = Clock(driven, patched)
        driven.run(*(commit(height, durable=False) for height in (1, 2, 3)))
        ((seconds, write),) = clock.set
        assert seconds == driver.GATHER_MS / 1_000 and driven.journal.entries == []
        write()
        assert driven.journal.entries == [("commit", (1, 2, 3))]
        driven.run(commit(4, durable=False))
        assert len(clock.set) == 2, "the next ones have a time of their own"
        write()
        assert driven.journal.entries[-1] == ("commit", (4,))
        write()
        assert len(driven.journal.entries) == 2, "nothing is left"


async def test_what_gathers_is_bounded_in_bytes_and_counted_anew_behind_each_transaction(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "GATHER_BYTES", 100)
    driven.run(sized(1, 60), sized(2, 40))
    assert driven.journal.entries == [], "a hundred are not above"
    driven.run(sized(3, 1))
    assert driven.journal.entries == [("commit", (1, 2, 3))]
    driven.run(sized(4, 60))
    assert len(driven.journal.entries) == 1


async def test_who_waits_for_what_was_decided_waits_for_all_of_it(driven: Driven) -> None:
    driven.run(commit(1, durable=False))
    driven.driver._write_out()
    driven.run(commit(2, durable=False))
    waits = asyncio.create_task(driven.driver.settled())
    await turns()
    assert [which for _, which in driven.journal.entries] == [(1,), (2,)]
    driven.store.commits[1].set_result(None)
    await turns()
    assert not waits.done()
    driven.store.commits[0].set_result(None)
    async with asyncio.timeout(20):
        await waits
    async with asyncio.timeout(20):
        await driven.driver.settled()


class Stored:
    """Each height is on disk when it was handed over, and the journal says so."""

    hold_fd = None

    def __init__(self, driven: Driven) -> None:
        self._note = driven.journal

    def commit_async(self, *batches: CommitBatch) -> Future[None]:
        self._note("commit", tuple(batch.height for batch in batches))
        done: Future[None] = Future()
        done.set_result(None)
        return done


async def test_a_start_that_applies_the_log_again_tells_of_it_once_it_is_stored(driven: Driven) -> None:
    """Before anything else comes in."""
    driven.driver._store = cast(Any, Stored(driven))
    driven.node.start = lambda now, records: [commit(1), decided(1), e.SetTimer(e.Tick(), 3_600_000)]
    driven.driver.start(None)
    assert driven.journal.names() == ["commit", "decided"]
    driven.driver.stop()


async def test_what_comes_behind_a_commit_that_is_stored_waits_for_nothing(driven: Driven) -> None:
    driven.run(commit(1))
    driven.store.commits[0].set_result(None)
    await turns()
    assert driven.run(decided(1)) == ["decided"]


async def test_a_height_that_could_not_be_stored_empties_no_log_and_frees_nothing(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LOG_WORTH", 0)
    driven.wal.used = 10
    driven.run(commit(1))
    driven.store.commits[0].set_exception(LOST)
    with pytest.raises(StorageFailed):
        await driven.driver.failed
    assert "truncate" not in driven.journal.names()
    assert list(driven.driver._unstored) == [1]
