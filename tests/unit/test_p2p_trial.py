"""A node that is older than a rotation catches up from whoever it dialled, and from nobody that proves nothing. LC-P2P-42."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.p2p.tls import OtherKey, PeerIdentity
from learningchain.p2p.wire import NODE, Hello
from tests.unit.p2p_kit import CHAIN, FAST, Node, id_of, key_of, members_of, running, until
from tests.unit.test_p2p_bounds import connection

OLD, NEW = 1, 7
"""The dialled member's key on an old ledger, and its key now."""
SLOW, SHORT = replace(FAST, trial=60.0), replace(FAST, trial=0.05)


def rotated(*, port: int = 0) -> Node:
    """The member of OLD under its key NEW, on a ledger that knows it."""
    return Node(NEW, members_of(0, 2) | {id_of(OLD): key_of(NEW).public}, own_id=id_of(OLD), port=port)


async def test_a_node_older_than_a_rotation_catches_up_from_the_rotated_peer() -> None:
    peer, ledger = rotated(), members_of(0, OLD, 2)
    async with running(peer):
        stale = Node(0, ledger, seeds=[peer.address], config=SLOW)
        async with running(stale):
            await until(lambda: stale.connected() and peer.connected())
            stale.net.recheck_membership()
            await until(lambda: stale.net.send(peer.id, NODE, b"blocks?", 2) and peer.messages)  # under load it may dial again
            ledger[id_of(OLD)] = key_of(NEW).public  # what it caught up with says so
            stale.net.recheck_membership()
            await until(lambda: stale.connected() == {peer.id} and "replaced" not in stale.reasons("peer gone"))
            await until(lambda: all(c.trial is None for c in stale.net._peers.values()) and stale.connected())


async def test_a_thief_of_a_name_that_serves_nothing_is_left_again() -> None:
    """And the member whose name it used is not blocked for what it sent."""
    peer = rotated()
    async with running(peer):
        stale = Node(0, members_of(0, OLD), seeds=[peer.address], config=SHORT)
        async with running(stale):
            await until(lambda: "did not grow" in stale.reasons("peer gone"))
        stale = Node(0, members_of(0, OLD), seeds=[peer.address], config=SLOW)
        async with running(stale):
            await until(lambda: stale.connected())
            stale.net.penalize(peer.id, "a forged block")
            await until(lambda: "a forged block" in stale.reasons("peer gone"))
            assert not stale.reasons("blocked")


async def _breaks_a_frame(peer: Node, stale: Node, times: int) -> None:
    await until(lambda: stale.connected() and peer.connected())
    await peer.net._peers[stale.id].link.ws.send_bytes(b"")
    await until(lambda: stale.reasons("peer gone").count("an empty frame") == times)


async def test_frames_that_a_thief_of_a_name_breaks_block_nobody() -> None:
    """Two of them in a short time block a member, and the member of this name may be somebody else (LC-P2P-18, 42)."""
    peer = rotated()
    async with running(peer):
        stale = Node(0, members_of(0, OLD), seeds=[peer.address], config=SLOW)
        async with running(stale):
            await _breaks_a_frame(peer, stale, 1)
            await _breaks_a_frame(peer, stale, 2)
            assert not stale.reasons("blocked")


async def test_as_long_as_the_ledger_grows_the_peer_stays() -> None:
    peer, heights = rotated(), iter(range(10_000))
    async with running(peer):
        stale = Node(0, members_of(0, OLD), seeds=[peer.address], config=SHORT)
        stale.net._height = lambda: next(heights)
        async with running(stale):
            await until(lambda: stale.connected())
            seen = next(heights)
            await until(lambda: next(heights) > seen + 40)  # more than the trial's time of looks
            assert stale.connected() == {peer.id}


async def test_a_peer_that_proves_itself_takes_the_place_of_one_on_trial() -> None:
    peer, other = rotated(), Node(2, members_of(0, 2))
    async with running(peer, other):
        stale = Node(0, members_of(0, OLD, 2), seeds=[peer.address], config=SLOW)
        async with running(stale):
            await until(lambda: stale.connected() == {peer.id})
            stale.book.add_seed(other.address)
            await until(lambda: stale.connected() == {other.id})
            assert "others have theirs" in stale.reasons("peer gone")
            await until(lambda: "has another key" in stale.reasons("dial failed"))


async def test_nobody_is_taken_on_trial_that_dialled() -> None:
    stale = Node(0, members_of(0, OLD))
    async with running(stale):
        peer = Node(NEW, members_of(0) | {id_of(OLD): key_of(NEW).public}, own_id=id_of(OLD), seeds=[stale.address])
        async with running(peer):
            await until(lambda: "has another key on the ledger" in peer.reasons("refused by peer"))
            assert not stale.ups


@pytest.mark.parametrize(
    ("key", "dialled", "known", "connected", "taken"),
    [
        (NEW, True, set(), False, True),
        (NEW, False, set(), False, False),
        (NEW, True, {NEW}, False, False),
        (NEW, True, set(), True, False),
        (OLD, True, set(), False, False),
    ],
    ids=["its ledger may be old", "it dialled", "somebody's key before", "others are here", "its first key, that was replaced"],
)
def test_whom_a_node_takes_under_another_key(key: int, dialled: bool, known: set[int], connected: bool, taken: bool) -> None:
    """LC-P2P-42: a key that this ledger knows as anybody's, now or before, is no newer one: whoever stole it is left out."""
    node = Node(0, {id_of(0): key_of(0).public, id_of(OLD): key_of(3).public})
    node.net._known_key = {key_of(i).public for i in known}.__contains__
    if connected:
        somebody: Any = object()
        node.net._peers[id_of(2)] = somebody
    identity = PeerIdentity(id_of(OLD), key_of(key).public)
    if taken:
        node.net._check_key(identity, None, dialled=dialled)
    else:
        with pytest.raises(OtherKey):
            node.net._check_key(identity, None, dialled=dialled)


@pytest.mark.parametrize("trial", [None, 99.0])
def test_a_connection_on_trial_counts_as_a_dial_that_failed_however_long_it_lasted(trial: float | None) -> None:
    """LC-P2P-42: its address waits, and others are dialled meanwhile."""
    now = [1_000.0]
    one = connection(now)
    one.trial = trial
    node = Node(0, members_of(0, 1), clock=lambda: now[0])
    node.book.succeeded(one.id, one.link.address, 0.0)
    for _ in range(3):
        node.book.failed(one.id, one.link.address, 0.0, random.Random(1))
    now[0] += 3_600
    node.net._lasted(one)
    (place,) = node.book.places(one.id)
    assert place.failures == (0 if trial is None else 4)


@pytest.mark.parametrize(("key", "score"), [(OLD, 57.0), (NEW, 0.0)])
def test_what_is_sent_before_the_hello_counts_against_who_proved_to_be_the_member(key: int, score: float) -> None:
    """LC-P2P-28, 42: a thief of a former or future key cannot have its owner blocked."""
    node = Node(0, members_of(0, OLD), clock=lambda: 1_000.0)
    node.net._overfed(connection([1_000.0]).link, PeerIdentity(id_of(OLD), key_of(key).public))
    assert node.net._standing.score(id_of(OLD), 1_000.0) == score


@pytest.mark.parametrize(("outbound", "known"), [(True, {"10.0.0.1:1"}), (False, {"10.0.0.1:9"})])
def test_the_port_of_a_hello_belongs_to_the_host_that_dialled(outbound: bool, known: set[str]) -> None:
    """Where this node dialled, it knows the address already: another port of the same host may be anybody's."""
    link = replace(connection([1_000.0]).link, address="10.0.0.1:1", outbound=outbound)
    node = Node(0, members_of(0, 1))
    node.net._learn(link, id_of(1), Hello(PROTOCOL_VERSION, CHAIN, 9, [], 0))
    assert {place.address for place in node.book.places(id_of(1))} == known
