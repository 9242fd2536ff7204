"""Which data connections the exchange machine opens, and what it asks of them (LC-CONTENT-18 to 20), in virtual time."""

from __future__ import annotations

import random

import pytest

from learningchain.p2p.content import moves
from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import (
    DownloadFailed,
    DownloadFinished,
    EndMove,
    LeavesMoved,
    MoveEnded,
    MoveOpened,
    OpenMove,
    TakeLeaves,
)
from learningchain.p2p.content.faults import Reason
from learningchain.p2p.content.moves import (
    FORGIVE_MS,
    MAX_FAULTS,
    MAX_MOVES,
    MAX_OF_FETCH,
    MAX_OF_PEER,
    MOVE_STALL_MS,
    REST_MS,
    RUNS_AHEAD,
    SPARE_MS,
    TICKET_MS,
)
from tests.unit.content_kit import ScriptedPeer, World, pattern, root_of

SIZE, RUN = 160, 16
ROOT, BLOCKS = root_of(pattern(SIZE * CHUNK))
NEVER = 10**9


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "RUN", RUN)


class Moving(World):
    """What the machine orders of data connections. Messages bring a block in `delay` ms."""

    def __init__(self, peers: int, blocks: dict[Cid, bytes] = BLOCKS, *, delay: int = 300) -> None:
        super().__init__(moves=True)
        for number in range(peers):
            peer = ScriptedPeer(b"peer%d" % number, blocks, delay=delay)
            peer.port = 7_402
            self.connect(peer)

    def of(self, kind: type) -> list[OpenMove | TakeLeaves | EndMove]:
        return [order for order in self.ordered if isinstance(order, kind)]

    @property
    def open(self) -> list[int]:
        ended = {order.move for order in self.of(EndMove)}
        return [order.move for order in self.of(OpenMove) if order.move not in ended]

    def until_opened(self, count: int = 1) -> list[int]:
        while len(self.of(OpenMove)) < count:
            self.step()
            assert self.now < 100_000, "no connection is opened"
        return self.open

    def runs(self, move: int) -> list[tuple[int, int]]:
        return [(o.first, len(o.digests)) for o in self.of(TakeLeaves) if isinstance(o, TakeLeaves) and o.move == move]

    def asked_by_message(self) -> int:
        return sum(cid.raw for peer in self.peers.values() for cid in peer.asked)

    def pass_time(self, ms: int) -> None:
        until = self.now + ms
        while self.now < until:
            self.step()


def test_leaves_are_asked_for_in_file_order_and_a_run_ahead() -> None:
    world = Moving(1)
    world.fetch(ROOT)
    (move,) = world.until_opened()
    assert not world.runs(move), "nothing is asked of a connection that is not there"
    world.feed(MoveOpened(move))
    (first, most), (second, _) = world.runs(move)
    assert most == RUN and second == first + RUN and len(world.runs(move)) == RUNS_AHEAD
    world.feed(LeavesMoved(move, RUN, RUN * CHUNK))
    assert world.runs(move)[-1][0] == second + RUN


def test_messages_rest_while_leaves_come_and_go_on_when_none_do() -> None:
    world = Moving(1, delay=3_000)
    world.fetch(ROOT)
    (move,) = world.until_opened()
    world.feed(MoveOpened(move))
    world.pass_time(1_000)
    world.feed(LeavesMoved(move, 1, CHUNK))
    asked = world.asked_by_message()
    for _ in range(8):
        world.pass_time(REST_MS - 500)
        world.feed(LeavesMoved(move, 1, CHUNK))
    assert world.asked_by_message() == asked
    world.pass_time(REST_MS + 3_000)
    assert world.asked_by_message() > asked


def test_a_fetch_a_peer_and_all_have_few_connections() -> None:
    of_fetch = Moving(MAX_OF_FETCH + 2)
    of_fetch.fetch(ROOT)
    of_fetch.until_opened(MAX_OF_FETCH)
    of_fetch.pass_time(500)
    assert len(of_fetch.of(OpenMove)) == MAX_OF_FETCH
    files = [root_of(pattern(20 * CHUNK) + bytes([mark])) for mark in range(8)]
    every = {cid: block for _, blocks in files for cid, block in blocks.items()}
    for peers, most in ((1, MAX_OF_PEER), (5, MAX_MOVES)):
        world = Moving(peers, every)
        for root, _ in files:
            world.fetch(root)
        found: list[int] = []
        while len(found) < 400:
            world.step()
            found.append(len(world.open))
        assert max(found) == most


@pytest.mark.parametrize("wrong", [False, True])
def test_a_peer_whose_connections_fail_gives_the_rest_by_messages(wrong: bool) -> None:
    world = Moving(1)
    world.fetch(ROOT)
    faults = 1 if wrong else MAX_FAULTS
    for fault in range(faults):
        move = world.until_opened(fault + 1)[-1]
        world.feed(MoveOpened(move))
        world.feed(MoveEnded(move, "broken", wrong))
    world.pass_time(FORGIVE_MS - 2_000)
    assert len(world.of(OpenMove)) == faults and not world.penalized
    assert isinstance(world.run(ROOT), DownloadFinished)


def test_whoever_moved_a_wrong_leaf_gives_nothing_more_of_a_fetch_that_others_give() -> None:
    world = Moving(2)
    world.fetch(ROOT)
    liar, _ = world.until_opened(2)
    (name,) = [order.peer for order in world.of(OpenMove) if isinstance(order, OpenMove) and order.move == liar]
    world.feed(MoveOpened(liar))
    world.feed(MoveEnded(liar, "wrong", wrong=True))
    asked = len(world.peers[name].asked)
    assert isinstance(world.run(ROOT), DownloadFinished)
    assert len(world.peers[name].asked) == asked and not world.penalized


def test_whoever_had_no_place_is_asked_again_after_a_while() -> None:
    world = Moving(1, delay=2_000)
    world.fetch(ROOT)
    for fault in range(MAX_FAULTS):
        world.feed(MoveEnded(world.until_opened(fault + 1)[-1], "no place"))
    failed = world.now
    world.until_opened(MAX_FAULTS + 1)
    assert FORGIVE_MS <= world.now - failed <= FORGIVE_MS + 3_000
    world.feed(MoveEnded(world.open[-1], "wrong", wrong=True))
    world.pass_time(2 * FORGIVE_MS)
    assert len(world.of(OpenMove)) == MAX_FAULTS + 1 and not world.ended, "what was wrong is not forgiven"


def test_a_whole_run_forgives_a_peer_its_faults() -> None:
    world = Moving(1)
    world.fetch(ROOT)
    for turn in range(MAX_FAULTS + 1):
        move = world.until_opened(turn + 1)[-1]
        world.feed(MoveOpened(move))
        if turn == 1:
            world.feed(LeavesMoved(move, RUN, RUN * CHUNK))
        if turn < MAX_FAULTS:
            world.feed(MoveEnded(move, "broken"))


def test_what_a_connection_owes_when_it_ends_is_asked_for_again() -> None:
    world = Moving(2)
    world.fetch(ROOT)
    one, other = world.until_opened(2)
    world.feed(MoveOpened(one))
    world.feed(LeavesMoved(one, 10, 10 * CHUNK))
    first = world.runs(one)[0][0]
    world.feed(MoveEnded(one, "broken"))
    world.feed(MoveOpened(other))
    assert world.runs(other)[0] == (first + 10, RUN)


def test_one_that_brings_nothing_is_ended() -> None:
    alone = Moving(1, delay=NEVER)
    alone.peers[b"peer0"].delay = 20
    alone.fetch(ROOT)
    (move,) = alone.until_opened()
    alone.peers[b"peer0"].delay = NEVER
    alone.feed(MoveOpened(move))
    alone.pass_time(MOVE_STALL_MS - 1_000)
    assert alone.open == [move]
    alone.pass_time(2_000)
    assert move not in alone.open


@pytest.mark.parametrize("brings", [0, 1])
def test_a_slow_one_is_relieved_by_one_that_has_nothing_to_do(brings: int) -> None:
    two = Moving(2, delay=20)
    two.fetch(ROOT)
    slow, fast = two.until_opened(2)
    two.feed(MoveOpened(slow))
    two.feed(MoveOpened(fast))
    while sum(count for _, count in two.runs(fast)) + sum(count for _, count in two.runs(slow)) < SIZE - 40:
        two.feed(LeavesMoved(fast, RUN, RUN * CHUNK))
    two.feed(LeavesMoved(fast, 2 * RUN, 2 * RUN * CHUNK))
    two.feed(LeavesMoved(fast, 2 * RUN, 2 * RUN * CHUNK))
    for _ in range(4):
        assert two.open == [slow, fast]
        two.feed(LeavesMoved(slow, brings, brings * CHUNK))
        two.pass_time(500)
    two.pass_time(500)
    last = sum(two.runs(slow)[-1]) - 1
    assert two.open == [fast] and any(first <= last < first + count for first, count in two.runs(fast))


def test_a_ticket_is_used_for_a_part_of_its_time_and_then_asked_for_again() -> None:
    world = Moving(1)
    world.fetch(ROOT)
    (move,) = world.until_opened()
    world.feed(MoveOpened(move))
    while world.now < TICKET_MS - SPARE_MS + 1_000:
        world.pass_time(1_700)
        world.feed(LeavesMoved(move, 1, CHUNK))
    asked = world.runs(move)
    assert len(asked) > RUNS_AHEAD and world.open == [move], "what was asked for still comes"
    world.feed(LeavesMoved(move, 2 * RUN, 2 * RUN * CHUNK))
    assert world.runs(move) == asked and not world.open
    assert world.until_opened(2) == [2]


def test_a_disk_that_fails_ends_the_fetch() -> None:
    world = Moving(1)
    world.fetch(ROOT)
    (move,) = world.until_opened()
    world.feed(MoveOpened(move))
    world.feed(MoveEnded(move, "", disk="the disk is full"))
    ended = world.ended[ROOT]
    assert isinstance(ended, DownloadFailed) and ended.reason == Reason.STORAGE and "full" in ended.text


@pytest.mark.parametrize("what", ["gone", "cancelled"])
def test_connections_end_with_their_peer_and_with_their_fetch(what: str) -> None:
    world = Moving(1)
    world.fetch(ROOT, deadline=20_000)
    (move,) = world.until_opened()
    world.feed(MoveOpened(move))
    if what == "gone":
        world.disconnect(b"peer0")
    else:
        world.peers[b"peer0"].delay = NEVER
        world.run(ROOT)
    assert not world.open
    world.feed(LeavesMoved(move, 1, CHUNK))
    world.feed(MoveEnded(move, "late"))


@pytest.mark.parametrize("seed", range(20))
def test_every_file_comes_whole_whatever_the_connections_do(seed: int) -> None:
    """Connections bring some leaves or none, end, or bring wrong ones; some leaves stand in many places."""
    rng = random.Random(seed)
    parts = [bytes([rng.randrange(3) * rng.randrange(40)]) * CHUNK for _ in range(rng.randint(20, 120))]
    data = b"".join(part if rng.random() < 0.3 else pattern(CHUNK * (n + 1))[-CHUNK:] for n, part in enumerate(parts)) + b"x"
    root, blocks = root_of(data)
    world = Moving(rng.randint(1, 5), blocks, delay=rng.choice([5, 100, 2_000]))
    world.fetch(root)
    owed: dict[int, int] = {}
    moved, done = 0, 0
    while root not in world.ended:
        world.step()
        for order in world.ordered[done:]:
            if isinstance(order, OpenMove):
                owed[order.move] = 0
                if rng.random() < 0.8:
                    world.feed(MoveOpened(order.move))
            elif isinstance(order, TakeLeaves):
                owed[order.move] += len(order.digests)
            else:
                owed.pop(order.move, None)
        done = len(world.ordered)
        for move in list(owed):
            match rng.randrange(6):
                case 0 | 1 if owed.get(move):
                    count = rng.randint(1, owed[move])
                    owed[move] -= count
                    moved += count
                    world.feed(LeavesMoved(move, count, count * CHUNK))
                case 2 if rng.random() < 0.2:
                    del owed[move]
                    world.feed(MoveEnded(move, "broken", wrong=rng.random() < 0.2))
    assert isinstance(world.ended[root], DownloadFinished)
    assert world.progress[-1].done == len(data) and not world.penalized
