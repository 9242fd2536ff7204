"""LC-CONTENT-21: what a node sends one peer in a day has a bound, and whoever is refused is told until when."""

from __future__ import annotations

import pytest

from learningchain.chain.codec import encode
from learningchain.p2p.content import day
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.day import DAY_MS, DaysOfPeers
from learningchain.p2p.content.events import DownloadFailed, DownloadFinished, MessageReceived, PeerConnected, SendMessage
from learningchain.p2p.content.exchange import Exchange
from learningchain.p2p.content.faults import Reason
from learningchain.p2p.content.messages import DontHave, Later, WantBlocks, WhoHas, decode_message
from learningchain.p2p.content.serving import Serve
from tests.unit.content_kit import ScriptedPeer, World, pattern, root_of

DATA = pattern(40 * CHUNK + 123)
ROOT, BLOCKS = root_of(DATA)
A, B = b"a", b"b"
NAME = ROOT.to_bytes()


@pytest.mark.parametrize(
    ("most", "sent", "now", "wait"),
    [
        pytest.param(0, [(A, 10**15, 0)], 1, 0, id="no bound"),
        pytest.param(100, [], 5, 0, id="nothing was sent"),
        pytest.param(100, [(A, 99, 5)], 5, 0, id="a byte is left"),
        pytest.param(100, [(A, 100, 5)], 5, DAY_MS, id="all of it"),
        pytest.param(100, [(A, 60, 5), (A, 60, 9)], 10, DAY_MS - 5, id="the day begins with the first byte"),
        pytest.param(100, [(B, 1_000, 5)], 10, 0, id="another one had it"),
        pytest.param(100, [(A, 100, 5)], 5 + DAY_MS - 1, 1, id="its last moment"),
        pytest.param(100, [(A, 100, 5)], 5 + DAY_MS, 0, id="the day is over"),
        pytest.param(100, [(A, 100, 5), (A, 1, 5 + DAY_MS)], 5 + DAY_MS, 0, id="a new day"),
        pytest.param(100, [(A, 1, 5), (A, 100, 5 + DAY_MS)], 6 + DAY_MS, DAY_MS - 1, id="and all of that"),
    ],
)
def test_a_peer_is_sent_the_bytes_of_a_day_in_a_day(most: int, sent: list[tuple[bytes, int, int]], now: int, wait: int) -> None:
    days = DaysOfPeers(most)
    for peer, size, when in sent:
        days.add(peer, size, when)
    assert days.wait_ms(A, now) == wait


def test_the_end_of_the_day_is_told_once() -> None:
    days = DaysOfPeers(100)
    assert [days.add(A, 60, 0), days.add(A, 60, 1), days.add(A, 60, 2), days.add(A, 100, DAY_MS)] == [False, True, False, True]


def test_days_of_many_peers_are_bounded_and_the_first_begun_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day, "MAX_PEERS", 2)
    days = DaysOfPeers(1)
    for number, peer in enumerate((A, B, b"c")):
        days.add(peer, 1, number)
    assert [days.wait_ms(peer, 3) > 0 for peer in (A, B, b"c")] == [False, True, True]


def test_a_refusal_tells_when_there_is_more_and_only_those_who_may_have_the_file() -> None:
    waits = {A: 1_001, b"stranger": 1_001}
    machine = Exchange(lambda peer, root: peer != b"stranger", wait_ms=lambda peer: waits.get(peer, 0))
    for peer in (A, B, b"stranger"):
        machine.handle(0, PeerConnected(peer))

    def answers(peer: bytes, message: WhoHas | WantBlocks) -> list[object]:
        found = machine.handle(1, MessageReceived(peer, encode(message)))
        return [decode_message(one.payload) if isinstance(one, SendMessage) else one for one in found]

    assert answers(A, WhoHas(NAME)) == [Later(NAME, 2)] == answers(A, WantBlocks(NAME, [NAME]))
    assert answers(b"stranger", WhoHas(NAME)) == []
    assert answers(b"stranger", WantBlocks(NAME, [NAME])) == [DontHave(NAME)]
    assert answers(B, WantBlocks(NAME, [NAME])) == [Serve(B, ROOT, ROOT)]


@pytest.mark.parametrize("from_the_start", [True, False])
def test_whoever_is_told_later_says_so_where_nobody_else_has_it(from_the_start: bool) -> None:
    world, peer = World(), ScriptedPeer(A, BLOCKS)
    peer.later_s = 3_600 if from_the_start else 0
    world.connect(peer)
    world.fetch(ROOT)
    while not from_the_start and len(peer.asked) < 3:
        world.step()
    peer.later_s = 3_600
    ended = world.run(ROOT)
    assert isinstance(ended, DownloadFailed) and ended.reason == Reason.NOBODY
    assert "sends one peer in a day" in ended.text and "1 h 0 min" in ended.text
    assert not world.penalized


def test_another_one_is_asked_instead() -> None:
    world, spent = World(), ScriptedPeer(A, BLOCKS)
    spent.later_s = 60
    world.connect(spent)
    world.connect(ScriptedPeer(B, BLOCKS))
    world.fetch(ROOT)
    assert isinstance(world.run(ROOT), DownloadFinished)
    assert bytes(world.files[ROOT]) == DATA
