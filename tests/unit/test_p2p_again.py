"""Peers after the first time: second dials, second answers, restarts, clocks set back, what is counted and what is given back."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import address
from p2p.address_book import MAX_MEMBERS, MAX_SEEDS, AddressBook, normal
from p2p.connection import MAX_OPEN, Intake
from p2p.discovery import Dial, Wanted, choose_dials
from p2p.half_open import HalfOpen
from p2p.limits import TokenBucket
from p2p.transport import MAX_METERS
from p2p.wire import MAX_ADDRESSES, NODE, Reassembler, part_frame
from tests.unit.p2p_kit import Node, id_of, key_of, members_of, running, until

NOW = 1_800_000_000.0
ME = bytes(20)


def peer(i: int) -> bytes:
    return i.to_bytes(20, "big")


def rng() -> random.Random:
    return random.Random(3)


# --- the book ---------------------------------------------------------------------------------------------------------------------


def test_nobody_is_told_its_own_address_and_those_connected_come_first() -> None:
    book = AddressBook()
    for i in range(200):
        book.succeeded(peer(i), f"h{i}:1", NOW)
    told = [entry.id for entry in book.share(rng(), exclude=peer(150), connected={peer(150), peer(151), peer(7)})]
    assert set(told[:2]) == {peer(151), peer(7)} and peer(150) not in told and len(set(told)) == 64


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


# --- gossip, limits, queues -------------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_back_costs_nobody_anything() -> None:
    bucket = TokenBucket(10, 20, 100.0)
    assert bucket.take(0.0, 20) == 0.0, "an hour back is no debt"
    assert bucket.take(0.0, 5) == 0.5


def test_the_second_large_message_of_a_lane_has_its_whole_size_again() -> None:
    frames, payload = Reassembler(), bytes(40_000) * 50
    for _ in range(3):
        whole, at, found = bytes((NODE,)) + payload, 0, []
        while at < len(whole):
            frame, at = part_frame(2, whole, at)
            found += frames.feed(frame)
        assert found == [(NODE, payload)]


# --- the door ---------------------------------------------------------------------------------------------------------------------


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


async def test_a_member_that_was_removed_while_away_is_forgotten_too() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        a.book.succeeded(id_of(1), "h:1", time.time())
        assert a.book.members() == [id_of(1)]
        del members[id_of(1)]
        a.net.recheck_membership()
        assert a.book.members() == [], "nobody dials it, and nobody is told of it"


def test_rates_are_remembered_of_so_many_members_and_those_that_came_last() -> None:
    net = Node(0, members_of(0)).net
    first = net._meter(peer(1))
    for i in range(2, MAX_METERS + 1):
        net._meter(peer(i))
    assert net._meter(peer(1)) is first
    net._meter(peer(MAX_METERS + 1))
    assert len(net._meters) == MAX_METERS and net._meter(peer(1)) is first and peer(2) not in net._meters
