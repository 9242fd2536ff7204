"""The exchange after the first time: what ended, left, was denied or repeated must not weigh on what comes next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain.codec import encode
from p2p.content.cid import Cid
from p2p.content.dag import CHUNK
from p2p.content.events import (
    Cancel,
    DownloadFinished,
    MessageReceived,
    PeerConnected,
    PeerDisconnected,
    PenalizePeer,
    SendMessage,
    Served,
    TimerTick,
)
from p2p.content.exchange import ENDGAME_MS, MAX_OWED, NOBODY_MS, Exchange
from p2p.content.faults import FetchFailed, Reason
from p2p.content.messages import ContentBlock, DontHave, Has, WantBlocks, WhoHas, decode_message
from p2p.content.serving import MAX_ACTIVE, MAX_PER_PEER, MAX_QUEUED, Serve
from tests.unit.content_kit import ScriptedPeer, World, pattern, root_of
from tests.unit.test_content_service import Net

DATA = pattern(20 * CHUNK + 7)
ROOT, BLOCKS = root_of(DATA)
LEAVES = [cid for cid in BLOCKS if cid.raw]


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    net = Net(tmp_path)
    yield net
    await net.close()


def others(n: int) -> list[tuple[Cid, dict[Cid, bytes]]]:
    return [root_of(bytes([i]) * (CHUNK + 9)) for i in range(n)]


# --- who is gone ------------------------------------------------------------------------------------------------------------------


def test_the_time_without_anybody_begins_when_the_last_one_left() -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", BLOCKS, mute=True))
    world.fetch(ROOT)
    while world.now < NOBODY_MS - 2_000:
        world.step()
    world.disconnect(b"a")
    while world.now < NOBODY_MS + 10_000:
        world.step()
    assert ROOT not in world.ended
    world.connect(ScriptedPeer(b"b", BLOCKS))
    assert isinstance(world.run(ROOT), DownloadFinished)


def test_what_a_gone_peer_wanted_is_not_served_to_it_when_it_is_back() -> None:
    machine = Exchange(lambda peer, root: True)
    machine.handle(0, PeerConnected(b"a"))
    want = [cid.to_bytes() for cid in LEAVES[:12]]
    first = machine.handle(1, MessageReceived(b"a", encode(WantBlocks(ROOT.to_bytes(), want))))
    assert len([e for e in first if isinstance(e, Serve)]) == MAX_PER_PEER
    machine.handle(2, PeerDisconnected(b"a"))
    machine.handle(3, PeerConnected(b"a"))
    later = [e for _ in range(MAX_PER_PEER) for e in machine.handle(4, Served(b"a"))] + machine.handle(300, TimerTick())
    assert later == []
    assert not machine.busy


def test_who_leaves_and_comes_back_has_no_more_under_way_for_it() -> None:
    """What is being read for a peer goes on when it is gone: connecting again and again would have blocks without end read."""
    machine = Exchange(lambda peer, root: True)
    want = encode(WantBlocks(ROOT.to_bytes(), [cid.to_bytes() for cid in LEAVES[:12]]))
    under_way = []
    for now in range(5):
        machine.handle(now, PeerConnected(b"a"))
        under_way += [e for e in machine.handle(now, MessageReceived(b"a", want)) if isinstance(e, Serve)]
        machine.handle(now, PeerDisconnected(b"a"))
    assert len(under_way) == MAX_PER_PEER
    machine.handle(5, PeerConnected(b"a"))
    assert not [e for e in machine.handle(5, MessageReceived(b"a", want)) if isinstance(e, Serve)]
    assert len([e for e in machine.handle(6, Served(b"a")) if isinstance(e, Serve)]) == 1, "a place is free as one ends"


# --- what ended -------------------------------------------------------------------------------------------------------------------


def test_what_peers_owe_is_counted_up_to_a_bound_and_down_with_each_block() -> None:
    world = World()
    files = others(MAX_OWED + 20)
    mute = ScriptedPeer(b"a", {cid: block for _, blocks in files for cid, block in blocks.items()}, mute=True)
    world.connect(mute)
    for root, _ in files:
        world.fetch(root)
        for _ in range(3):
            world.step()
        world.feed(Cancel(root))
    owed = world.machine.owed(b"a")
    assert owed == MAX_OWED
    late = encode(ContentBlock(files[0][0].to_bytes(), files[0][0].to_bytes(), files[0][1][files[0][0]]))
    for left in range(owed, 0, -1):
        assert world.machine.owed(b"a") == left
        assert world.machine.handle(world.now, MessageReceived(b"a", late)) == [], "late, and asked for"
    (effect,) = world.machine.handle(world.now, MessageReceived(b"a", late))
    assert isinstance(effect, PenalizePeer), "one more than was asked for"


def test_a_liar_that_comes_back_is_not_even_asked_whether_it_has_it() -> None:
    world = World()
    liar = ScriptedPeer(b"a", BLOCKS, lies=True)
    world.connect(liar)
    world.fetch(ROOT)
    while not world.penalized:
        world.step()
    world.disconnect(b"a")
    asked: list[object] = []
    on = ScriptedPeer.on

    class Watched(ScriptedPeer):
        def on(self, world: World, message: object) -> None:
            asked.append(message)
            on(self, world, message)  # type: ignore[arg-type]

    world.connect(Watched(b"a", BLOCKS))
    world.feed(MessageReceived(b"a", encode(Has(ROOT.to_bytes()))))  # unasked
    for _ in range(12):
        world.step()
    assert asked == []


# --- the end of a download --------------------------------------------------------------------------------------------------------


def test_near_the_end_one_more_peer_tries_what_another_owes_for_a_while() -> None:
    world = World()
    root, blocks = root_of(pattern(1_000))
    world.connect(ScriptedPeer(b"first", blocks, mute=True))
    world.fetch(root)
    for _ in range(3):
        world.step()
    helpers = [ScriptedPeer(name, blocks, delay=400) for name in (b"second", b"third")]
    for helper in helpers:
        world.connect(helper)
    began = world.now
    while world.now < began + ENDGAME_MS - 500:
        world.step()
    assert [helper.asked for helper in helpers] == [[], []], "the first one has its time"
    assert isinstance(world.run(root), DownloadFinished)
    assert sorted(len(helper.asked) for helper in helpers) == [0, 1], "one of them, once"


def test_a_finished_file_is_not_lost_to_its_deadline_while_the_disk_makes_it_durable() -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", BLOCKS))
    world.fetch(ROOT, deadline=100_000)
    while world.machine._sessions[ROOT].phase.name != "COMPLETING":
        world.step()
    assert world.machine.handle(world.now + 10**6, TimerTick()) == []
    assert isinstance(world.run(ROOT), DownloadFinished)


# --- serving ----------------------------------------------------------------------------------------------------------------------


def test_wants_of_one_peer_are_bounded_in_all_and_places_over_all_peers() -> None:
    machine = Exchange(lambda peer, root: True)
    peers = [bytes([i]) for i in range(MAX_ACTIVE)]
    for peer in peers:
        machine.handle(0, PeerConnected(peer))
    serves = 0
    for peer in peers:
        for _ in range(5):
            want = [cid.to_bytes() for cid in LEAVES[:20]]
            given = machine.handle(1, MessageReceived(peer, encode(WantBlocks(ROOT.to_bytes(), want))))
            serves += sum(isinstance(e, Serve) for e in given)
            if peer == peers[0]:
                assert serves == MAX_PER_PEER
    assert serves == MAX_ACTIVE
    total = serves
    running = serves
    turn = dict.fromkeys(peers, 0)
    for effect_round in range(10_000):
        peer = peers[effect_round % len(peers)]
        if not machine._serving._active.get(peer):
            continue
        begun = [e.peer for e in machine.handle(2, Served(peer)) if isinstance(e, Serve)]
        running += len(begun) - 1
        assert running <= MAX_ACTIVE
        for whose in begun:
            turn[whose] += 1
        total += len(begun)
    assert running == 0 and not machine.busy
    assert total <= len(peers) * (MAX_QUEUED + MAX_PER_PEER)
    assert max(turn.values()) - min(turn.values()) <= MAX_PER_PEER


def test_whoever_may_not_have_it_any_more_is_told_so_when_it_asks() -> None:
    machine = Exchange(lambda peer, root: False)
    machine.handle(0, PeerConnected(b"a"))
    assert machine.handle(1, MessageReceived(b"a", encode(WhoHas(ROOT.to_bytes())))) == [], "silence gives nothing away"
    (sent,) = machine.handle(1, MessageReceived(b"a", encode(WantBlocks(ROOT.to_bytes(), [ROOT.to_bytes()]))))
    assert isinstance(sent, SendMessage) and decode_message(sent.payload) == DontHave(ROOT.to_bytes())


# --- the service ------------------------------------------------------------------------------------------------------------------


async def test_a_call_that_is_given_up_ends_its_download_and_the_next_one_begins_anew(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(3 * CHUNK)
    root = await a.add(data, pin="test")
    net.taps[b"a"] = lambda frame: [frame] if len(frame) < 1_000 else []
    first, second = (asyncio.ensure_future(b.fetch(root, max_size=10**9, timeout_s=60)) for _ in range(2))
    while not b._machine.busy:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    assert b._machine.busy, "the other still waits"
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert not b._machine.busy and not b._waiters
    del net.taps[b"a"]
    assert (await b.fetch(root, max_size=10**9, timeout_s=30)).read_bytes() == data


async def test_what_waits_when_the_node_stops_is_told_so_and_nothing_begins_after(net: Net) -> None:
    b = net.add(b"b")
    root, _ = root_of(b"nobody has it")
    waiting = asyncio.ensure_future(b.fetch(root, max_size=10, timeout_s=60))
    while not b._machine.busy:
        await asyncio.sleep(0)
    await b.close()
    for work in (waiting, b.fetch(root, max_size=10, timeout_s=60)):
        with pytest.raises(FetchFailed, match="shutting down") as failed:
            await work
        assert failed.value.reason is Reason.CANCELLED
    await b.close()


async def test_what_is_here_already_is_refused_when_larger_than_wanted_and_pinned_when_asked(net: Net) -> None:
    b = net.add(b"b")
    root = await b.add(b"0123456789")
    with pytest.raises(FetchFailed) as failed:
        await b.fetch(root, max_size=9, timeout_s=5)
    assert failed.value.reason is Reason.TOO_LARGE
    assert (await b.fetch(root, max_size=10, timeout_s=5, pin="job:1")).read_bytes() == b"0123456789"
    assert b.store.reasons(root) == ["job:1"]
