"""How accounts share a block: by what they took of it so far, in bytes, number and work. LC-NODE-16, LC-NODE-60."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from learningchain.chain.node.selection import OVERHEAD, Selection
from learningchain.chain.params import Params


@dataclass
class Item:
    tx: Any
    order: int


@dataclass
class Waiting:
    """A pool: what each account has ready, the one whose turn is longest ago first."""

    lanes: dict[bytes, list[Item]] = field(default_factory=dict)
    order: int = 0
    rested: list[bytes] = field(default_factory=list)

    def add(self, who: bytes, count: int = 1, *, size: int = 100, work: int = 1, urgent: bool = False) -> None:
        for _ in range(count):
            body = SimpleNamespace(sender=who, lane=0)
            tx = SimpleNamespace(raw=b"x" * (size - OVERHEAD), work=work, urgent=urgent, once=True, body=body)
            self.lanes.setdefault(who, []).append(Item(tx, self.order))
            self.order += 1

    def turns(self, urgent: bool) -> list[bytes]:
        return [who for who, items in self.lanes.items() if items and items[0].tx.urgent is urgent]

    def ready(self, account: bytes, lane: int, ahead: int) -> Item | None:
        items = self.lanes.get(account, []) if lane == 0 else []
        return items[ahead] if ahead < len(items) else None

    def rest(self, account: bytes, urgent: bool, clock: int) -> None:
        self.rested.append(account)


def chosen(waiting: Waiting, size: int = 10**6, **params: int) -> Counter[bytes]:
    return Counter(tx.body.sender for tx in Selection(waiting, size, Params(**params)).first())


def test_nobody_s_thousands_hold_up_another_one_s_first() -> None:
    waiting = Waiting()
    waiting.add(b"many", 1_000)
    for who in (b"a", b"b", b"c"):
        waiting.add(who)
    assert chosen(waiting, block_txs=16, quota=100) == {b"many": 5, b"a": 1, b"b": 1, b"c": 1}, "half of a block, shared"
    waiting.add(b"a", 1_000)
    assert chosen(waiting, block_txs=16, quota=100) == {b"many": 3, b"a": 3, b"b": 1, b"c": 1}


def test_who_is_alone_gets_all_that_there_is_up_to_its_quota() -> None:
    waiting = Waiting()
    waiting.add(b"one", 1_000, urgent=True)
    assert chosen(waiting, block_txs=16, quota=100) == {b"one": 16}
    assert chosen(waiting, block_txs=16, quota=7) == {b"one": 7}


def test_without_a_deadline_half_of_a_block_s_bytes_are_to_be_had_and_one_transaction_in_any_case() -> None:
    waiting = Waiting()
    waiting.add(b"one", 100, size=1_000)
    assert chosen(waiting, size=10_000, block_txs=100, quota=100) == {b"one": 5}
    assert chosen(waiting, size=10_000, block_txs=1, quota=100) == {b"one": 1}, "half of one would be none"


def test_what_was_chosen_stands_in_the_order_in_which_it_became_ready_with_deadlines_first() -> None:
    waiting = Waiting()
    for who, urgent in (
        (b"a", False),
        (b"b", False),
        (b"b", False),
        (b"a", False),
        (b"c", True),
        (b"d", True),
        (b"d", True),
        (b"c", True),
    ):
        waiting.add(who, urgent=urgent)
    found = Selection(waiting, 10**6, Params()).first()
    assert [tx.body.sender for tx in found] == [b"c", b"d", b"d", b"c", b"a", b"b", b"b", b"a"]


@pytest.mark.parametrize(
    ("large", "small", "params", "size"),
    [
        ({"size": 1_000}, {"size": 100}, {"block_txs": 10_000}, 8_800),
        ({"work": 1_000}, {"work": 100}, {"block_txs": 10_000, "block_work": 8_800}, 10**6),
    ],
    ids=["bytes", "work"],
)
def test_a_share_is_counted_in_what_is_taken_most_of(
    large: dict[str, Any], small: dict[str, Any], params: dict[str, int], size: int
) -> None:
    waiting = Waiting()
    waiting.add(b"large", 100, **large)
    waiting.add(b"small", 100, **small)
    found = chosen(waiting, size, quota=10**6, **params)
    assert 10 * found[b"large"] <= found[b"small"] + 10 and found[b"large"] >= 2


def test_what_took_less_than_was_thought_leaves_room_for_others_without_a_deadline_too() -> None:
    waiting = Waiting()
    waiting.add(b"a", 9, work=20)
    selection = Selection(waiting, 10**6, Params(block_work=100, quota=100))
    assert len(selection.first()) == 2, "half of the block"
    assert len(selection.more([5, 5])) == 2, "forty of it are left"
    assert selection.more([20, 20]) == [], "they took all that they could"


def test_of_the_room_that_is_left_who_took_least_comes_first() -> None:
    waiting = Waiting()
    waiting.add(b"a", 9, work=20)
    selection = Selection(waiting, 10**6, Params(block_work=100, quota=100))
    assert [tx.body.sender for tx in selection.first()] == [b"a", b"a"]
    waiting.add(b"b", 9, work=20)
    assert [tx.body.sender for tx in selection.more([10, 10])] == [b"b"]


def test_those_with_a_deadline_come_first_and_may_take_all() -> None:
    waiting = Waiting()
    waiting.add(b"a", 9, work=20)
    waiting.add(b"b", 9, work=20, urgent=True)
    found = Selection(waiting, 10**6, Params(block_work=100, quota=100)).first()
    assert [tx.body.sender for tx in found] == [b"b"] * 5
    waiting.lanes[b"b"] = waiting.lanes[b"b"][:4]
    found = Selection(waiting, 10**6, Params(block_work=100, quota=100)).first()
    assert [tx.body.sender for tx in found] == [b"b"] * 4 + [b"a"]


@pytest.mark.parametrize(("size", "taken"), [(200, 2), (199, 1), (100, 1), (99, 0)])
def test_a_frame_counts_with_its_bytes(size: int, taken: int) -> None:
    waiting = Waiting()
    waiting.add(b"a", 9, urgent=True)
    assert sum(chosen(waiting, size).values()) == taken
