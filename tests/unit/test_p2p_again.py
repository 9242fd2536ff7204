"""Peers after the first time: second dials, second answers, restarts, clocks set back, what is counted and what is given back."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import address
from p2p.address_book import MAX_MEMBERS, MAX_SEEDS, AddressBook, normal
from p2p.connection import MAX_OPEN, Intake
from p2p.discovery import Dial, Wanted, choose_dials
from p2p.gossip import GossipTargets
from p2p.half_open import KEPT, MAX_HALF_OPEN_PER_HOST, HalfOpen
from p2p.hosts import host_of_address, network_of_address
from p2p.limits import PeerScores, TokenBucket
from p2p.send_queues import QueueLimit, SendQueues
from p2p.transport import MAX_METERS
from p2p.wire import MAX_ADDRESSES, NODE, PIECE_BYTES, QUEUE_TRANSACTIONS, QUEUES, Reassembler, part_frame
from tests.unit.p2p_kit import FAST, Node, id_of, key_of, members_of, pair, raw, running, until

NOW = 1_800_000_000.0
ME = bytes(20)


def peer(i: int) -> bytes:
    return i.to_bytes(20, "big")


def rng() -> random.Random:
    return random.Random(3)


# --- the book ---------------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_postpones_no_dial_for_long_and_a_small_step_no_back_off() -> None:
    book = AddressBook()
    book.succeeded(peer(1), "h:1", NOW)
    for _ in range(20):
        book.failed(peer(1), "h:1", NOW, rng())
    (place,) = book.places(peer(1))
    assert not place.due(NOW) and not place.due(NOW + 59) and place.due(NOW + 181)
    assert place.due(NOW - 3_600)


def test_a_lasting_connection_forgets_the_failures_of_its_address_also_as_a_seed() -> None:
    book = AddressBook()
    book.add_seed("h:1")
    book.succeeded(peer(1), "h:1", NOW)
    for _ in range(4):
        book.failed(peer(1), "h:1", NOW, rng())
    assert not book.seeds["h:1"].due(NOW) and not book.places(peer(1))[0].due(NOW)
    book.settled(peer(1), "h:1")
    for place in (book.seeds["h:1"], *book.places(peer(1))):
        assert place.failures == 0 and place.due(NOW)


def test_nobody_is_told_its_own_address_and_those_connected_come_first() -> None:
    book = AddressBook()
    for i in range(200):
        book.succeeded(peer(i), f"h{i}:1", NOW)
    told = [entry.id for entry in book.share(rng(), exclude=peer(150), connected={peer(150), peer(151), peer(7)})]
    assert set(told[:2]) == {peer(151), peer(7)} and peer(150) not in told and len(set(told)) == 64


def test_what_a_member_said_of_itself_is_passed_on_only_while_it_is_connected() -> None:
    book = AddressBook()
    book.learn(peer(1), ["h:1"], teller=peer(1))
    assert book.share(rng(), exclude=ME, connected=set()) == []
    assert [e.id for e in book.share(rng(), exclude=ME, connected={peer(1)})] == [peer(1)]


def test_the_book_says_when_its_file_is_old(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "peers.json")
    book.learn(peer(1), ["h:1"], teller=peer(9))
    assert not book.changed, "rumours are not kept"
    book.succeeded(peer(1), "h:1", NOW)
    assert book.changed
    book.write(book.snapshot())
    assert not book.changed
    book.forget(peer(1))
    assert book.changed, "who was removed is removed from the disk"
    book.write(book.snapshot())
    again = AddressBook(tmp_path / "peers.json")
    again.load()
    assert again.members() == []


def test_a_damaged_entry_leaves_nothing_of_the_file_in_the_book(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    good = f'"{address(peer(1))}":[["h:1",1.0,0]]'
    path.write_text(f'{{"version":1,"members":{{{good},"lc1x":[["h:1",1.0,0]]}}}}')
    book = AddressBook(path)
    book.load()
    assert book.members() == [] and book.damaged is not None
    book.load()  # no file any more


def test_a_file_of_many_members_and_addresses_is_taken_within_the_bounds(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    many = ",".join(
        f'"{address(peer(i))}":[{",".join(f"""["h:{k}",1.0,-3]""" for k in range(1, 9))}]' for i in range(MAX_MEMBERS + 9)
    )
    path.write_text(f'{{"version":1,"members":{{{many}}}}}')
    book = AddressBook(path)
    book.load()
    assert len(book.members()) == MAX_MEMBERS
    assert all(len(book.places(member)) == MAX_ADDRESSES for member in book.members())
    assert all(place.failures == 0 for place in book.places(book.members()[0]))


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_a_file_is_read_up_to_its_largest_size(tmp_path: Path, more: int, taken: bool) -> None:
    path = tmp_path / "peers.json"
    held = f'{{"version":1,"members":{{"{address(peer(1))}":[["h:1",1.0,0]]}}}}'
    path.write_text(held + " " * (4_000_000 + more - len(held)))
    book = AddressBook(path)
    book.load()
    assert (book.members() == [peer(1)]) is taken and (book.damaged is None) is taken


def test_a_book_without_a_file_reads_and_writes_none() -> None:
    book = AddressBook()
    book.load()
    book.succeeded(peer(1), "h:1", NOW)
    book.write(book.snapshot())
    assert book.members() == [peer(1)] and book.damaged is None


def test_a_newcomer_pushes_out_who_answered_longest_ago_and_never_itself() -> None:
    book = AddressBook()
    for i in range(1, MAX_MEMBERS + 1):
        book.succeeded(peer(i), "h:1", NOW + i)
    book.succeeded(peer(5_000), "h:1", NOW - 9)  # the clock was set back
    assert peer(5_000) in book.members() and peer(1) not in book.members() and len(book.members()) == MAX_MEMBERS


def test_a_full_book_takes_a_rumour_as_soon_as_one_in_it_failed() -> None:
    book = AddressBook()
    for i in range(MAX_MEMBERS):
        book.learn(peer(i), ["h:1"], teller=peer(10_000 + i // 60))
    for _ in range(2):
        assert book.learn(peer(5_000), ["h:1"], teller=peer(9_999)) == 0
    book.failed(peer(7), "h:1", NOW, rng())
    assert book.learn(peer(5_000), ["h:1"], teller=peer(9_999)) == 1
    assert peer(7) not in book.members()


def test_seeds_are_bounded_back_off_and_forget_who_answered_when_they_go() -> None:
    book = AddressBook()
    for i in range(MAX_SEEDS):
        book.add_seed(f"h{i}:1")
    with pytest.raises(ValueError, match="at most 64"):
        book.add_seed("one:1")
    book.failed(None, "h1:1", NOW, rng())
    assert not book.seeds["h1:1"].due(NOW) and book.seeds["h2:1"].due(NOW)
    book.succeeded(peer(1), "h2:1", NOW)
    assert book.seed_member("h2:1") == peer(1)
    book.remove_seed("h2:1")
    assert book.seed_member("h2:1") is None and "h2:1" not in book.seeds


def test_ports_and_names_have_one_form() -> None:
    assert normal("Node.Example:080") == "node.example:80"
    assert [normal(f"h:{port}") for port in ("0", "65535", "65536", "000080", "٣")] == [None, "h:65535", None, None, None]


# --- whom to dial -----------------------------------------------------------------------------------------------------------------


def dials(book: AddressBook, wanted: Wanted, connected: set[bytes], dialling: set[Dial]) -> list[Dial]:
    return choose_dials(book, NOW, wanted, own_id=ME, connected=connected, dialling=dialling, rng=rng())


def test_dials_under_way_count_towards_the_bounds_and_a_seed_is_dialled_once_for_its_member() -> None:
    book = AddressBook()
    for i in range(1, 30):
        book.succeeded(peer(i), f"h{i}:1", NOW)
    under_way = {Dial("x:1", peer(100)), Dial("x:2", None)}
    assert len(dials(book, Wanted(frozenset(), 5, 8), {peer(1)}, under_way)) == 2, "one is connected, two are dialled"
    assert len(dials(book, Wanted(frozenset(), 50, 8), set(), under_way)) == 6
    seeds = AddressBook()
    for i in range(12):
        seeds.add_seed(f"{address(peer(7))}@s{i}:1")
    assert len(dials(seeds, Wanted(frozenset(), 5, 8), set(), set())) == 1
    for i in range(12):
        seeds.add_seed(f"o{i}:1")
    assert len(dials(seeds, Wanted(frozenset(), 50, 8), set(), set())) == 8
    for place in seeds.seeds.values():
        place.failed(NOW, rng())
    assert dials(seeds, Wanted(frozenset(), 50, 8), set(), set()) == []


# --- gossip, limits, queues -------------------------------------------------------------------------------------------------------


def test_a_member_that_becomes_a_validator_leaves_the_mesh_at_once_and_its_place_is_filled() -> None:
    gossip = GossipTargets(3, rng())
    for i in range(6):
        gossip.peer(peer(i), True)
    before = gossip.mesh_targets()
    gossip.set_validators([before[0]])
    after = gossip.mesh_targets()
    assert before[0] not in after and len(after) == 3 and set(before[1:]) < set(after)
    assert gossip.consensus_targets() == [before[0]] and gossip.consensus_targets(exclude=[before[0]]) == []
    assert gossip.mesh_targets(exclude=[after[0]]) == after[1:]
    for _ in range(30):
        old = set(gossip.mesh_targets())
        gossip.refresh()
        assert len(old - set(gossip.mesh_targets())) == 1, "one is exchanged, and not for itself"


def test_a_clock_that_goes_back_costs_nobody_anything() -> None:
    bucket = TokenBucket(10, 20, 100.0)
    assert bucket.take(0.0, 20) == 0.0, "an hour back is no debt"
    assert bucket.take(0.0, 5) == 0.5


def test_a_block_begins_with_a_clean_score_lasts_longer_each_time_and_ends() -> None:
    standing = PeerScores(limit=10, half_life=1e9, block=60, longest=200, capacity=2)
    lasts = []
    for turn in range(4):
        now = turn * 1_000.0
        assert not standing.penalize(peer(1), now, 9) and standing.penalize(peer(1), now, 9)
        lasts.append(standing.blocked_for(peer(1), now))
        assert standing.score(peer(1), now) == 0
        assert standing.blocked_for(peer(1), now + 201) == 0
    assert lasts == [60, 120, 200, 200]
    standing.penalize(peer(2), 9_000, 1)
    standing.penalize(peer(1), 9_000, 1)
    standing.penalize(peer(3), 9_000, 1)
    assert standing.score(peer(1), 9_000) == 1 and standing.score(peer(2), 9_000) == 0, "the one not seen for longest went"


def test_what_waits_is_counted_to_the_byte_through_drops_and_parts() -> None:
    queues = SendQueues((QueueLimit(4, 3 * PIECE_BYTES),) * QUEUES)
    sizes = [10, 2 * PIECE_BYTES, 20, 30]
    assert all(queues.push(QUEUE_TRANSACTIONS, bytes(size)) for size in sizes)
    assert (queues.count, queues.waiting(QUEUE_TRANSACTIONS), queues.size) == (4, sum(sizes), sum(sizes))
    assert queues.push(QUEUE_TRANSACTIONS, bytes(5))
    assert (queues.count, queues.size, queues.dropped[QUEUE_TRANSACTIONS]) == (4, sum(sizes) - 10 + 5, 1), (
        "the fifth pushed out the first"
    )
    frames = Reassembler()
    came = []
    while (frame := queues.next_frame()) is not None:
        came += [len(payload) + 1 for _, payload in frames.feed(frame)]
    assert came == [2 * PIECE_BYTES, 20, 30, 5]
    assert (queues.count, queues.size, bool(queues)) == (0, 0, False)


def test_the_second_large_message_of_a_lane_has_its_whole_size_again() -> None:
    frames, payload = Reassembler(), bytes(40_000) * 50
    for _ in range(3):
        whole, at, found = bytes((NODE,)) + payload, 0, []
        while at < len(whole):
            frame, at = part_frame(2, whole, at)
            found += frames.feed(frame)
        assert found == [(NODE, payload)]


# --- the door ---------------------------------------------------------------------------------------------------------------------


def test_a_host_is_an_ipv6_64_and_a_mapped_or_scoped_address_is_what_it_stands_for() -> None:
    assert host_of_address("2001:db8:0:1::1") == host_of_address("2001:db8:0:1:ffff::") != host_of_address("2001:db8:0:2::1")
    assert network_of_address("2001:db8:1::1") == network_of_address("2001:db8:1:ffff::1") != network_of_address("2001:db8:2::1")
    assert host_of_address("::ffff:10.0.0.1") == host_of_address("10.0.0.1") != host_of_address("10.0.0.2")
    assert host_of_address("fe80::1%eth0") == host_of_address("fe80::2") and host_of_address("a name") == "a name"


def test_places_of_known_hosts_are_taken_by_no_stranger_and_come_back() -> None:
    door: HalfOpen[int] = HalfOpen(8)
    for i in range(20):
        door.enter(i, f"10.{i}.0.1", known=False)
    assert len(door) == 8 - 8 // KEPT
    for i in range(20, 23):
        gone = door.enter(i, f"11.{i}.0.1", known=True)
        assert all(item < 20 for item in gone)
    assert len(door) == 8
    for i in range(100):
        door.leave(i)
    assert len(door) == 0 and not door.leave(5)
    for i in range(MAX_HALF_OPEN_PER_HOST):
        assert len(HalfOpen[int]().enter(i, "10.0.0.1", known=True)) == 0


def test_known_hosts_that_knock_cost_strangers_none_of_their_places() -> None:
    door: HalfOpen[int] = HalfOpen(8)
    for i in range(6):
        assert door.enter(i, f"10.{i}.0.1", known=True) == []
    assert door.enter(6, "11.0.0.1", known=False) == door.enter(7, "12.0.0.1", known=False) == []
    assert door.enter(8, "13.0.0.1", known=False) == [6], "a stranger gives way to a stranger"


# --- connections ------------------------------------------------------------------------------------------------------------------


def test_each_frame_pays_for_its_own_bytes_only() -> None:
    """Bytes that make up no frame stay counted while whole frames come between them (LC-P2P-28)."""

    class Wire:
        def get_protocol(self) -> Any:
            return self

        def set_protocol(self, _protocol: object) -> None: ...

        def data_received(self, _data: bytes) -> None: ...

    calls: list[int] = []
    wire: Any = Wire()
    intake = Intake(wire, lambda: calls.append(1))
    for _ in range(3 * MAX_OPEN // 50_000):
        intake.data_received(bytes(50_000 + 1_000))
        intake.frame(1_000)
    assert calls == [1], "once"


async def test_a_key_that_was_replaced_ends_the_connection_and_the_address_is_kept() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        b = Node(1, dict(members), seeds=[a.address])
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            known = a.book.members()
            members[b.id] = key_of(2).public
            a.net.recheck_membership()
            await until(lambda: "replaced on the ledger" in a.reasons("peer gone"))
            assert a.book.members() == known, "the member is one still"
            await until(lambda: "another key on the ledger" in a.reasons("connection refused"))
            assert not a.connected()


@pytest.mark.parametrize("dials", [True, False], ids=["it dials", "it is dialled"])
async def test_a_node_whose_key_was_replaced_shows_the_new_one_from_then_on(dials: bool) -> None:
    members = members_of(0, 1)
    rotated, other = Node(0, members), Node(1, members)
    async with running(rotated, other):
        members[rotated.id] = key_of(2).public
        rotated.net.use_key(key_of(2))
        dialling, dialled = (rotated, other) if dials else (other, rotated)
        dialling.book.add_seed(dialled.address)
        await until(lambda: rotated.connected() == {other.id} and other.connected() == {rotated.id})
        assert "another key" not in other.reasons("dial failed") + other.reasons("connection refused")


async def test_a_member_that_was_removed_is_forgotten_and_not_told_of() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a), raw(a):
        await until(lambda: a.connected())
        a.book.succeeded(id_of(1), "h:1", time.time())
        del members[id_of(1)]
        a.net.recheck_membership()
        await until(lambda: not a.connected())
        assert a.book.members() == []


async def test_a_member_that_was_removed_while_away_is_forgotten_too() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        a.book.succeeded(id_of(1), "h:1", time.time())
        assert a.book.members() == [id_of(1)]
        del members[id_of(1)]
        a.net.recheck_membership()
        assert a.book.members() == [], "nobody dials it, and nobody is told of it"


async def test_a_blocked_member_is_not_dialled_before_its_block_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of its connection once brought the dial forward again, and of a long block the book knew nothing."""
    members = members_of(0, 1)
    now, block = [1_000.0], 3_000.0
    a = Node(0, members)
    async with running(a):
        b = Node(1, members, seeds=[a.address], config=replace(FAST, block=block, silence_timeout=1e9, drain_timeout=1e9))
        b.net._clock = lambda: now[0]
        async with running(b):
            await until(lambda: b.connected())
            for _ in range(10):
                b.net.penalize(a.id, "a forged vote")
            await until(lambda: not b.connected() and not b.net._live)
            dialled: list[Dial] = []
            dial = b.net._dial

            async def watched(wanted: Dial) -> None:
                dialled.append(wanted)
                await dial(wanted)

            monkeypatch.setattr(b.net, "_dial", watched)
            wall = time.time() + block - 10
            b.net._wall = lambda: wall  # whatever the back-off of its addresses says
            now[0] += block - 1
            b.net._dial_more()
            assert dialled == [] and not b.net._dialling
            now[0] += 2
            b.net._dial_more()
            assert [dial.peer for dial in b.net._dialling] == [a.id]
            await until(lambda: b.connected() == {a.id})


async def test_the_book_is_on_the_disk_after_a_stop_and_a_disk_that_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, path = members_of(0, 1), tmp_path / "peers.json"
    a = Node(0, members)
    async with running(a):
        b = Node(1, members, seeds=[a.address], config=replace(FAST, save_interval=3_600), path=path)
        async with running(b):
            await until(lambda: b.connected())

            def full(_content: bytes) -> None:
                raise OSError(28, "full")

            with monkeypatch.context() as patch:
                patch.setattr(b.book, "write", full)
                await b.net._save_address_book()
            assert b.book.changed, "it is not on the disk"
    again = AddressBook(path)
    again.load()
    assert again.members() == [id_of(0)]


async def test_a_stop_counts_against_no_address() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        b = Node(1, members, seeds=[a.address])
        async with running(b):
            await until(lambda: b.connected())
        assert all(place.failures == 0 for place in (*b.book.places(a.id), *b.book.seeds.values()))


async def test_a_replaced_connection_is_gone_before_the_new_one_is_there() -> None:
    a = Node(0, members_of(0, 1), config=replace(FAST, cross_window=0))
    async with running(a), raw(a):
        await until(lambda: a.connected())
        async with raw(a):
            await until(lambda: len(a.ups) >= 3)
            assert a.ups == [(id_of(1), True), (id_of(1), False), (id_of(1), True)]
            await until(lambda: len(a.net._live) == 1)
            assert a.connected() == {id_of(1)} and len(a.ups) == 3, "the end of the old one ends nothing"


def test_rates_are_remembered_of_so_many_members_and_those_that_came_last() -> None:
    net = Node(0, members_of(0)).net
    first = net._meter(peer(1))
    for i in range(2, MAX_METERS + 1):
        net._meter(peer(i))
    assert net._meter(peer(1)) is first
    net._meter(peer(MAX_METERS + 1))
    assert len(net._meters) == MAX_METERS and net._meter(peer(1)) is first and peer(2) not in net._meters


async def test_a_pong_counts_once_and_only_for_the_last_ping() -> None:
    async with pair() as (a, b):
        await until(lambda: a.net._peers[b.id].rtt is not None)
        connection = a.net._peers[b.id]
        connection.rtt, connection._ping = None, (7, connection._clock())
        connection.pong(8)
        assert connection.rtt is None
        connection.pong(7)
        measured = connection.rtt
        assert measured is not None
        connection.pong(7)
        assert connection.rtt == measured
        connection.close(4_001, "first")
        connection.close(4_003, "second")
        assert connection.closed_because == "first" and not connection.violated
        assert not connection.send(0, b"\0late")
        await asyncio.wait_for(connection.ended.wait(), 5)
