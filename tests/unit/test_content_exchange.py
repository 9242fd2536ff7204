"""The exchange machine in virtual time: several peers at once, liars, dead and slow ones, limits, resumption, fairness."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.codec import encode
from learningchain.p2p.content import exchange
from learningchain.p2p.content.cid import Cid, Codec, cid_of
from learningchain.p2p.content.dag import CHUNK, encode_node
from learningchain.p2p.content.events import (
    BlockStored,
    Cancel,
    DownloadFailed,
    DownloadFinished,
    DownloadOpened,
    Fetch,
    MessageReceived,
    Offered,
    PeerConnected,
    PeerDisconnected,
    PenalizePeer,
    SendMessage,
    Served,
    StoreLeaf,
    StoreNode,
    TimerTick,
)
from learningchain.p2p.content.exchange import (
    ENDGAME_MS,
    MAX_OWED,
    MAX_SESSIONS,
    MAX_UNDER_WAY,
    MAX_UNWRITTEN,
    NOBODY_MS,
    STALL_MS,
    WINDOW_MAX,
    Exchange,
)
from learningchain.p2p.content.faults import Reason
from learningchain.p2p.content.messages import ContentBlock, DontHave, Has, WantBlocks, WhoHas, decode_message
from learningchain.p2p.content.questions import MOST
from learningchain.p2p.content.serving import MAX_ACTIVE, MAX_PER_PEER, MAX_QUEUED, MAX_UNSENT, Serve
from tests.unit.content_kit import ScriptedPeer, World, pattern, root_of

DATA = pattern(40 * CHUNK + 123)
ROOT, BLOCKS = root_of(DATA)


def test_a_file_comes_from_several_peers_at_once() -> None:
    world = World()
    peers = [ScriptedPeer(name, BLOCKS) for name in (b"a", b"b", b"c")]
    for peer in peers:
        world.connect(peer)
    world.fetch(ROOT)
    assert isinstance(world.run(ROOT), DownloadFinished)
    assert bytes(world.files[ROOT]) == DATA
    assert all(len(peer.asked) > 5 for peer in peers)
    assert sum(len(peer.asked) for peer in peers) == len(BLOCKS), "no block is asked for twice"
    assert world.progress[-1].done == world.progress[-1].size == len(DATA)
    assert world.released == [ROOT]
    assert not world.penalized


@pytest.mark.parametrize("size", [0, 5, CHUNK])
def test_a_file_of_one_leaf(size: int) -> None:
    root, blocks = root_of(pattern(size))
    world = World()
    world.connect(ScriptedPeer(b"a", blocks))
    world.fetch(root)
    assert isinstance(world.run(root), DownloadFinished)
    assert bytes(world.files[root]) == pattern(size)


def test_a_liar_is_not_asked_again_even_when_it_is_the_only_one_and_comes_back() -> None:
    world = World()
    liar = ScriptedPeer(b"liar", BLOCKS, lies=True)
    world.connect(liar)
    world.fetch(ROOT)
    while not world.penalized:
        world.step()
    world.disconnect(b"liar")
    world.peers[b"liar"] = liar
    assert world.machine.handle(world.now, PeerConnected(b"liar")) == [], "nor whether it has it"
    asked = len(liar.asked)
    ended = world.run(ROOT)
    assert isinstance(ended, DownloadFailed)
    assert ended.reason == Reason.NOBODY
    assert len(liar.asked) == asked


def test_who_lets_requests_lie_is_asked_for_one_block_until_it_delivers_again() -> None:
    """LC-CONTENT-11: the window that grew with its blocks is gone."""
    world = World()
    peer = ScriptedPeer(b"a", BLOCKS)
    world.connect(peer)
    world.fetch(ROOT)
    while len(peer.asked) < len(BLOCKS) - 10:
        world.step()
    peer.mute = True
    silent = world.now
    while world.now < silent + STALL_MS // 2:  # what was on its way arrives, and as much is asked for anew
        world.step()
    before = len(peer.asked)
    while world.now < silent + STALL_MS + STALL_MS // 2:
        world.step()
    assert len(peer.asked) == before + 1
    peer.mute = False
    assert isinstance(world.run(ROOT), DownloadFinished)
    assert bytes(world.files[ROOT]) == DATA


def test_nobody_has_it() -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", {}))
    world.fetch(ROOT)
    ended = world.run(ROOT)
    assert isinstance(ended, DownloadFailed)
    assert (ended.reason, "no connected peer" in ended.text) == (Reason.NOBODY, True)
    assert NOBODY_MS <= world.now <= NOBODY_MS + 500


def test_the_deadline_ends_a_download_that_is_too_slow() -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", BLOCKS, delay=2_000))
    world.fetch(ROOT, deadline=9_000)
    ended = world.run(ROOT)
    assert isinstance(ended, DownloadFailed)
    assert ended.reason == Reason.TIMEOUT
    assert "kept" in ended.text


def test_content_above_the_limit_costs_one_node() -> None:
    world = World()
    peer = ScriptedPeer(b"a", BLOCKS)
    world.connect(peer)
    world.fetch(ROOT, max_size=len(DATA) - 1)
    ended = world.run(ROOT)
    assert isinstance(ended, DownloadFailed)
    assert ended.reason == Reason.TOO_LARGE
    assert peer.asked == [ROOT]
    assert not world.disk, "nothing reached the disk"


@pytest.mark.parametrize("leaf", [b"x" * CHUNK, b"short"])
def test_a_tree_that_lies_about_its_pieces_fails_without_blaming_the_server(leaf: bytes) -> None:
    """The publisher made it; the peer only served what was asked for."""
    other = cid_of(Codec.RAW, leaf)
    last = cid_of(Codec.RAW, b"end")
    block = encode_node(2 * CHUNK + 4, 1, [other, other, last])
    root = cid_of(Codec.DAG_PB, block)
    world = World()
    world.connect(ScriptedPeer(b"a", {root: block, other: leaf, last: b"end"}))
    world.fetch(root)
    ended = world.run(root)
    assert isinstance(ended, DownloadFailed)
    assert ended.reason == Reason.MALFORMED
    assert not world.penalized


def test_everything_on_disk_needs_no_peer() -> None:
    world = World()
    world.disk = dict(BLOCKS)
    world.fetch(ROOT)
    assert isinstance(world.run(ROOT), DownloadFinished)


def test_cancel_ends_at_once_and_late_blocks_harm_nobody() -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", BLOCKS, delay=30))
    world.fetch(ROOT)
    while world.written < 3:
        world.step()
    world.feed(Cancel(ROOT))
    ended = world.ended[ROOT]
    assert isinstance(ended, DownloadFailed)
    assert ended.reason == Reason.CANCELLED
    while world.now < 2_000:
        world.step()
    assert not world.penalized
    assert not world.machine.busy


def test_too_many_downloads_are_refused_with_a_reason() -> None:
    world = World()
    for i in range(MAX_SESSIONS + 1):
        world.fetch(cid_of(Codec.RAW, bytes([i])))
    (ended,) = world.ended.values()
    assert isinstance(ended, DownloadFailed)
    assert ended.reason == Reason.BUSY


def test_what_is_under_way_stays_bounded() -> None:
    machine = Exchange(lambda peer, root: False)
    world = World()
    world.machine = machine
    peers = [ScriptedPeer(bytes([i]), BLOCKS, delay=1) for i in range(20)]
    for peer in peers:
        world.connect(peer)
    world.fetch(ROOT)
    while ROOT not in world.ended:
        world.step()
        session = machine._sessions.get(ROOT)
        if session is not None:
            assert len(session.flying) + len(session.storing) <= MAX_UNDER_WAY
        for known in machine._peers.values():
            assert len(known.in_flight) <= WINDOW_MAX


def test_of_one_peer_so_many_blocks_are_asked_at_a_time_however_well_it_delivers() -> None:
    """LC-CONTENT-11: the window grows with what it brings, and no further than its bound."""
    world, most = World(), 0
    world.connect(ScriptedPeer(b"a", BLOCKS, delay=1))
    world.fetch(ROOT)
    while ROOT not in world.ended:
        world.step()
        most = max(most, *(len(known.in_flight) for known in world.machine._peers.values()))
    assert most == WINDOW_MAX


def test_peers_that_do_not_have_it_are_asked_once_a_second_and_those_that_do_are_not() -> None:
    machine = Exchange(lambda *_: False)
    for peer in (b"has", b"has not"):
        machine.handle(0, PeerConnected(peer))
    asked: list[tuple[int, bytes]] = []

    def note(now: int, effects: list[Any]) -> None:
        sent = [(e.peer, decode_message(e.payload)) for e in effects if isinstance(e, SendMessage)]
        asked.extend((now, peer) for peer, message in sent if isinstance(message, WhoHas))

    note(0, machine.handle(0, Fetch(ROOT, len(DATA), 10**9)))
    machine.handle(0, MessageReceived(b"has", encode(Has(ROOT.to_bytes()))))
    for now in range(250, 5_001, 250):
        note(now, machine.handle(now, TimerTick()))
    assert asked == [(0, b"has"), (0, b"has not"), *((now, b"has not") for now in (1_000, 2_000, 3_000, 4_000, 5_000))]


def test_nothing_but_the_root_is_asked_for_before_the_disk_made_room_for_the_whole() -> None:
    """A file that does not fit costs its peers one block."""
    machine = Exchange(lambda *_: False)
    machine.handle(0, PeerConnected(b"p"))
    machine.handle(0, Fetch(ROOT, len(DATA), 10**9))
    machine.handle(0, DownloadOpened(ROOT, False, (), frozenset(), 0))

    def wanted(effects: list[Any]) -> list[bytes]:
        sent = [decode_message(e.payload) for e in effects if isinstance(e, SendMessage)]
        return [cid for message in sent if isinstance(message, WantBlocks) for cid in message.blocks]

    assert wanted(machine.handle(1, MessageReceived(b"p", encode(Has(ROOT.to_bytes()))))) == [ROOT.to_bytes()]
    came = encode(ContentBlock(ROOT.to_bytes(), ROOT.to_bytes(), BLOCKS[ROOT]))
    assert wanted(machine.handle(2, MessageReceived(b"p", came))) == wanted(machine.handle(300, TimerTick())) == []
    assert len(wanted(machine.handle(301, BlockStored(ROOT, ROOT)))) > 1


def test_a_block_that_came_from_one_is_waited_for_from_no_other() -> None:
    """Its place in the other one's window is free at once, and its silence counts for nothing."""
    root, blocks = root_of(b"a small file")
    machine = Exchange(lambda *_: False)
    for peer in (b"slow", b"quick"):
        machine.handle(0, PeerConnected(peer))
    machine.handle(0, Fetch(root, 100, 10**9))
    machine.handle(0, DownloadOpened(root, False, (), frozenset(), 0))
    machine.handle(0, MessageReceived(b"slow", encode(Has(root.to_bytes()))))
    machine.handle(0, MessageReceived(b"quick", encode(Has(root.to_bytes()))))
    machine.handle(ENDGAME_MS, TimerTick())
    assert all(known.in_flight == {(root, root)} for known in machine._peers.values()), "the idle one tries it, too"
    came = encode(ContentBlock(root.to_bytes(), root.to_bytes(), blocks[root]))
    assert any(isinstance(effect, StoreLeaf) for effect in machine.handle(ENDGAME_MS + 1, MessageReceived(b"quick", came)))
    assert all(not known.in_flight for known in machine._peers.values())
    late = machine.handle(ENDGAME_MS + 2, MessageReceived(b"slow", came))
    assert not [effect for effect in late if isinstance(effect, PenalizePeer)], "it was asked"


def test_who_lets_three_requests_in_a_row_lie_is_left_alone_and_one_delivery_clears_it() -> None:
    machine, peer, now = Exchange(lambda *_: False), b"p", 0
    machine.handle(now, PeerConnected(peer))
    machine.handle(now, Fetch(ROOT, len(DATA), 10**9))
    machine.handle(now, DownloadOpened(ROOT, False, (), frozenset(), 0))
    machine.handle(now, MessageReceived(peer, encode(Has(ROOT.to_bytes()))))

    def lies() -> bool:
        """A time in which nothing comes; whether the peer is asked again."""
        nonlocal now
        now += STALL_MS
        sent = [decode_message(e.payload) for e in machine.handle(now, TimerTick()) if isinstance(e, SendMessage)]
        return any(isinstance(message, WantBlocks) for message in sent)

    assert lies() and lies()
    found = machine.handle(now, MessageReceived(peer, encode(ContentBlock(ROOT.to_bytes(), ROOT.to_bytes(), BLOCKS[ROOT]))))
    assert any(isinstance(effect, StoreNode) for effect in found)
    machine.handle(now, BlockStored(ROOT, ROOT))
    assert lies() and lies(), "it is counted anew"
    assert not lies(), "three in a row"
    assert machine.handle(now, MessageReceived(peer, encode(Has(ROOT.to_bytes())))), "until it says again that it has it"


# --- hostile peers ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_hostile_bytes_are_penalized_and_nothing_else(payload: bytes) -> None:
    machine = Exchange(lambda peer, root: True)
    machine.handle(0, PeerConnected(b"p"))
    assert all(isinstance(e, PenalizePeer | SendMessage | Serve) for e in machine.handle(1, MessageReceived(b"p", payload)))


def test_blocks_that_nobody_asked_for_are_penalized() -> None:
    machine = Exchange(lambda peer, root: True)
    machine.handle(0, PeerConnected(b"p"))
    frame = encode(ContentBlock(ROOT.to_bytes(), ROOT.to_bytes(), BLOCKS[ROOT]))
    (effect,) = machine.handle(1, MessageReceived(b"p", frame))
    assert isinstance(effect, PenalizePeer)


def test_a_stranger_is_ignored() -> None:
    machine = Exchange(lambda peer, root: True)
    assert machine.handle(1, MessageReceived(b"p", encode(WhoHas(ROOT.to_bytes())))) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_peers_do_the_file_is_right_or_not_there(seed: int) -> None:
    """Peers lie, die, delay, come and go as the seed says; one sound peer stays. The file arrives and no sound peer is blamed."""
    rng = random.Random(seed)
    data = pattern(rng.randrange(0, 12 * CHUNK))
    root, blocks = root_of(data)
    world = World()
    kinds = {bytes([i]): rng.choice(["sound", "lies", "mute", "slow", "holes"]) for i in range(rng.randrange(1, 5))}
    for name, kind in kinds.items():
        held = blocks if kind != "holes" else {c: b for c, b in blocks.items() if c == root or rng.random() < 0.5}
        lies, mute = kind == "lies" and len(data) > 0, kind == "mute"
        world.connect(ScriptedPeer(name, held, delay=rng.choice([1, 40]) if kind != "slow" else 3_000, lies=lies, mute=mute))
    world.connect(ScriptedPeer(b"sure", blocks, delay=20))
    world.fetch(root)
    leaving = [name for name in kinds if rng.random() < 0.3]
    while root not in world.ended:
        world.step()
        if leaving and rng.random() < 0.1:
            world.disconnect(leaving.pop())
        assert world.now < 200_000
    assert isinstance(world.ended[root], DownloadFinished)
    assert bytes(world.files.get(root, b"")) == data
    assert {kinds.get(name) for name in world.penalized} <= {"lies"}


# --- serving ----------------------------------------------------------------------------------------------------------------------


def _want(machine: Exchange, peer: bytes, root: Cid, cids: list[Cid]) -> list[object]:
    frame = encode(WantBlocks(root.to_bytes(), [cid.to_bytes() for cid in cids]))
    return list(machine.handle(1, MessageReceived(peer, frame)))


def _server(*peers: bytes) -> Exchange:
    machine = Exchange(lambda peer, root: root == ROOT and peer != b"stranger")
    for peer in (*peers, b"stranger"):
        machine.handle(0, PeerConnected(peer))
    return machine


def test_only_what_is_allowed_is_offered_and_served() -> None:
    machine = _server(b"a")
    (sent,) = machine.handle(1, MessageReceived(b"a", encode(WhoHas(ROOT.to_bytes()))))
    assert isinstance(sent, SendMessage)
    assert decode_message(sent.payload) == Has(ROOT.to_bytes())
    assert machine.handle(1, MessageReceived(b"stranger", encode(WhoHas(ROOT.to_bytes())))) == []
    (sent,) = _want(machine, b"stranger", ROOT, [ROOT])  # type: ignore[assignment]
    assert decode_message(sent.payload) == DontHave(ROOT.to_bytes())
    assert _want(machine, b"a", ROOT, [ROOT]) == [Serve(b"a", ROOT, ROOT)]


def test_permission_that_is_taken_back_stops_what_waits() -> None:
    allowed = [True]
    machine = Exchange(lambda peer, root: allowed[0])
    machine.handle(0, PeerConnected(b"a"))
    leaves = [cid for cid in BLOCKS if cid.raw]
    assert len(_want(machine, b"a", ROOT, leaves[:10])) == MAX_PER_PEER
    allowed[0] = False
    assert machine.handle(2, Served(b"a")) == []


def test_peers_that_read_nothing_have_nothing_read_for_them_and_take_no_turn() -> None:
    """Five of them would hold every place: a block that does not fit the link of its peer may not wait for it."""
    stuck = [bytes([i]) for i in range(MAX_ACTIVE // MAX_PER_PEER + 1)]
    waits = dict.fromkeys(stuck, MAX_UNSENT)
    machine = Exchange(lambda peer, root: root == ROOT, lambda peer: waits.get(peer, 0))
    for peer in (*stuck, b"quick"):
        machine.handle(0, PeerConnected(peer))
    leaves = [cid for cid in BLOCKS if cid.raw]
    for peer in stuck:
        assert _want(machine, peer, ROOT, leaves[:8]) == []
    assert len(_want(machine, b"quick", ROOT, leaves[:4])) == min(4, MAX_PER_PEER)
    assert machine.busy, "somebody has to look again"
    waits[stuck[0]] = MAX_UNSENT - 1
    found = machine.handle(300, TimerTick())
    assert [effect.peer for effect in found if isinstance(effect, Serve)] == [stuck[0]] * MAX_PER_PEER


def test_a_greedy_peer_costs_only_itself() -> None:
    """A queue of its own, few under way at once, and the next peer's first block does not wait for the greedy one's last."""
    greedy = [bytes([i]) for i in range(5)]
    machine = _server(*greedy, b"modest")
    leaves = [cid for cid in BLOCKS if cid.raw]
    active = 0
    for _ in range(10):
        for peer in greedy:
            active += len(_want(machine, peer, ROOT, leaves[:32]))
    assert active == MAX_ACTIVE
    assert all(len(queue) <= MAX_QUEUED for queue in machine._serving._queues.values())
    assert _want(machine, b"modest", ROOT, leaves[:1]) == []
    served: list[bytes] = []
    for i in range(len(greedy)):
        served += [e.peer for e in machine.handle(2, Served(greedy[i])) if isinstance(e, Serve)]
    assert b"modest" in served


# --- questions that are answered later (LC-CONTENT-15) ----------------------------------------------------------------------------


def told(effects: list[Any]) -> list[bytes]:
    """Who is told Has."""
    return [e.peer for e in effects if isinstance(e, SendMessage) and isinstance(decode_message(e.payload), Has)]


def test_who_asked_in_vain_is_told_once_when_it_may_have_it() -> None:
    may: set[bytes] = set()
    machine = Exchange(lambda peer, _: peer in may)
    for peer in (b"a", b"b", b"other"):
        machine.handle(0, PeerConnected(peer))
    for peer in (b"a", b"b"):
        assert told(machine.handle(1, MessageReceived(peer, encode(WhoHas(ROOT.to_bytes()))))) == []
    assert told(machine.handle(2, Offered(ROOT))) == [], "nobody may have it yet"
    may |= {b"a", b"other"}
    assert told(machine.handle(3, Offered(ROOT))) == [b"a"], "who did not ask is told nothing"
    assert told(machine.handle(4, Offered(ROOT))) == []
    may.add(b"b")
    assert told(machine.handle(5, Offered(ROOT))) == [b"b"]


def test_of_a_peers_questions_the_newest_are_remembered_until_it_goes() -> None:
    machine = Exchange(lambda *_: False)
    machine.handle(0, PeerConnected(b"p"))
    roots = [root_of(b"%d" % n)[0] for n in range(MOST + 1)]
    for root in [*roots, roots[1]]:
        machine.handle(1, MessageReceived(b"p", encode(WhoHas(root.to_bytes()))))
    machine._allowed = lambda *_: True
    assert told(machine.handle(2, Offered(roots[0]))) == []
    assert all(told(machine.handle(2, Offered(root))) == [b"p"] for root in roots[1:-1])
    machine.handle(3, PeerDisconnected(b"p"))
    assert told(machine.handle(4, Offered(roots[-1]))) == []


LEAVES = [cid for cid in BLOCKS if cid.raw]


def others(n: int) -> list[tuple[Cid, dict[Cid, bytes]]]:
    return [root_of(bytes([i]) * (CHUNK + 9)) for i in range(n)]


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


def test_a_finished_file_is_not_lost_to_its_deadline_while_the_disk_makes_it_durable() -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", BLOCKS))
    world.fetch(ROOT, deadline=100_000)
    while world.machine._sessions[ROOT].phase.name != "COMPLETING":
        world.step()
    assert world.machine.handle(world.now + 10**6, TimerTick()) == []
    assert isinstance(world.run(ROOT), DownloadFinished)


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


class SlowDisk(World):
    """It takes what it gets, and says so when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.unsaid: list[StoreLeaf] = []

    def _run(self, effect: object) -> None:
        if isinstance(effect, StoreLeaf):
            self.unsaid.append(effect)
        else:
            super()._run(effect)


def test_what_waits_for_the_disk_counts_among_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in memory as well: fast peers before a slow disk would fill it."""
    monkeypatch.setattr(exchange, "MAX_UNDER_WAY", 10)
    world = SlowDisk()
    for i in range(5):
        world.connect(ScriptedPeer(bytes([i]), BLOCKS, delay=1))
    world.fetch(ROOT)
    most = 0
    while ROOT not in world.ended:
        for _ in range(40):
            world.step()
        most = max(most, len(world.unsaid))
        taken, world.unsaid = world.unsaid, []
        for effect in taken:
            World._run(world, effect)
    assert most == 10
    assert bytes(world.files[ROOT]) == DATA


def test_while_the_disk_is_behind_nobody_is_asked_for_more_whatever_the_number_of_downloads() -> None:
    world = SlowDisk()
    made = [root_of(pattern(60 * CHUNK + n)) for n in (0, 1, 2)]
    world.connect(ScriptedPeer(b"a", {cid: block for _, blocks in made for cid, block in blocks.items()}, delay=1))
    for root, _ in made:
        world.fetch(root)
    while not all(root in world.ended for root, _ in made):
        for _ in range(400):
            world.step()
        assert len(world.unsaid) < MAX_UNWRITTEN + WINDOW_MAX, "what was asked for when it fell behind still came"
        taken, world.unsaid = world.unsaid, []
        for effect in taken:
            World._run(world, effect)
    assert [bytes(world.files[root]) for root, _ in made] == [pattern(60 * CHUNK + n) for n in (0, 1, 2)]
