"""The mempool's room and the block's are shared by account: LC-NODE-15, 16, 61, 62, 63."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import cache
from types import FrameType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.membership import RELEASE_WORK, JudgeCase, Release
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.tx import ParsedTx, sign_tx
from learningchain.chain.node import mempool, space
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import SHORT
from learningchain.chain.node.relay import Relay
from learningchain.chain.node.selection import Selection
from learningchain.chain.node.space import COMMON, GAP, GAP_BURST, LOCAL, MIN_CHARGE, SPARE, URGENT, Space
from learningchain.chain.params import LANES, Params
from learningchain.chain.types import TxBody, net_of, tx_id
from tests.unit.node_kit import PARAMS, genesis, ident, key_of, signed, state_of, transfer

MEMBERS = 40
GENESIS = genesis(4, PARAMS, MEMBERS)
STATE = state_of(GENESIS)
GREEDY = 0


@cache
def pay(sender: int, sequence: int, lane: int = 0, until: int = 500) -> bytes:
    return transfer(sender, sequence, lane=lane, until=until, chain=GENESIS.chain_id)


@cache
def judge(sender: int, sequence: int, lane: int = 1) -> bytes:
    """One with a deadline."""
    return signed(sender, sequence, msgspec.Raw(encode(JudgeCase(ident(0), True))), lane=lane, chain=GENESIS.chain_id)


def pool(**params: int) -> Mempool:
    return Mempool(GENESIS.chain_id, Params(**params))


def add(p: Mempool, *raws: bytes, local: bool = False, state: State = STATE) -> list[ParsedTx]:
    found = [p.add(state, raw, 1, local=local) for raw in raws]
    return [tx for tx in found if tx is not None]


def refused(p: Mempool, raw: bytes, *, local: bool = False) -> str:
    with pytest.raises(InvalidTx) as caught:
        p.add(STATE, raw, 1, local=local)
    assert caught.value.code is TxCode.MEMPOOL_FULL
    return caught.value.text


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 4 small transactions with a gap, 16 others without a deadline, 20 with, 24 with those of the node's users."""
    monkeypatch.setattr(space, "LIMITS", (4 * MIN_CHARGE, 16 * MIN_CHARGE, 20 * MIN_CHARGE, 24 * MIN_CHARGE))
    monkeypatch.setattr(space, "GAP_SHARE", 3 * MIN_CHARGE)
    monkeypatch.setattr(space, "GAP_BURST", MIN_CHARGE)


def senders(p: Mempool) -> list[int]:
    """How many each of the first members has in the pool."""
    held = [p.space.kinds[kind]._txs for kind in (GAP, COMMON, URGENT, LOCAL)]
    return [sum(len(of.get(ident(i), ())) for of in held) for i in range(6)]


# --- room in the pool -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_what_loses_its_predecessor_has_no_more_than_its_account_s_share() -> None:
    """LC-NODE-61, 62: the room for what is not ready would take four, the share of one account is three."""
    p = pool()
    txs = add(p, *(pay(GREEDY, i) for i in range(5)))
    p.remove(txs[0].id)
    assert [tx.id in p for tx in txs] == [False, True, True, True, False]
    assert p.space.kinds[GAP].of(ident(GREEDY)) == space.GAP_SHARE
    ((left, why),) = p.evicted()
    assert left == txs[4].id and why.code is TxCode.MEMPOOL_FULL and p.left(left[:SHORT]), "it may come again"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ready", ["with a deadline", "of this node's user"])
def test_what_loses_its_predecessor_takes_no_space_that_the_kinds_before_its_own_do_not_have(ready: str) -> None:
    """LC-NODE-61, 62: what waits counts against every limit, what was ready only from its own kind's on."""
    p = pool()
    add(p, *(pay(i, at) for i in range(1, 5) for at in range(4)))
    if ready == "with a deadline":
        txs = add(p, *(judge(GREEDY, i) for i in range(4)))
    else:
        txs = add(p, *(pay(GREEDY, i) for i in range(4)), local=True)
    full = space.LIMITS[COMMON]
    assert p.space.used(COMMON) == full and p.space.used(GAP) == 0
    p.remove(txs[0].id)
    assert p.space.used(COMMON) == full
    assert not any(tx.id in p for tx in txs) and [tx for tx, _ in p.evicted()] == [tx.id for tx in txs[1:]]


@pytest.mark.usefixtures("small")
def test_what_waits_for_a_predecessor_has_a_small_room_and_a_share_for_each_account() -> None:
    p = pool()
    add(p, *(pay(GREEDY, i) for i in (1, 2, 3)))
    said = refused(p, pay(GREEDY, 4))
    assert f"{space.GAP_SHARE} bytes of this account" in said and "send sequence 0 of lane 0 first" in said
    add(p, pay(1, 1))
    add(p, pay(2, 1))
    assert senders(p) == [2, 1, 1, 0, 0, 0], "the largest holder of that room made place"
    add(p, pay(3, 1))
    assert "others fill the room" in refused(p, pay(4, 1))
    add(p, pay(GREEDY, 0))
    assert [tx.body.sequence for tx in p.selection(10**6).first()] == [0, 1], "its predecessor came"


@pytest.mark.usefixtures("small")
def test_one_behind_a_gap_takes_the_place_of_another_such_only_from_who_holds_more() -> None:
    p = pool()
    add(p, pay(1, 1), pay(1, 2), pay(2, 1), pay(3, 1))
    assert "others fill the room" in refused(p, pay(2, 2)), "two are what it would hold itself"
    add(p, pay(4, 1))
    assert senders(p)[1:5] == [1, 1, 1, 1]


@pytest.mark.usefixtures("small")
def test_what_waits_now_still_has_the_space_of_its_kind() -> None:
    """A large one behind a small one that leaves: it was counted there before."""
    p = pool()
    many = signed_many(GREEDY, 1, msgspec.Raw(encode(Transfer(ident(2), 1, bytes(64)))), 20)
    large = -(-len(many) // MIN_CHARGE)
    assert large == 2
    add(p, pay(GREEDY, 0), many, *(pay(1 + i % 4, i // 4) for i in range(16 - 1 - large)))
    p.remove(tx_id(pay(GREEDY, 0)))
    assert tx_id(many) in p and p.evicted() == []


@pytest.mark.usefixtures("small")
def test_a_full_pool_takes_everybody_else_s_from_the_tail_of_who_holds_most() -> None:
    p = pool()
    add(p, *(pay(GREEDY, i) for i in range(16)))
    assert "no account holds more than this one would" in refused(p, pay(GREEDY, 16))
    add(p, *(pay(sender, i) for i in range(2) for sender in range(1, 6)))
    assert senders(p) == [6, 2, 2, 2, 2, 2]
    assert p.ready(ident(GREEDY), 0, 5) is not None and p.ready(ident(GREEDY), 0, 6) is None, "its newest sequences left"
    assert [tx for tx, _ in p.evicted()] == [tx_id(pay(GREEDY, i)) for i in range(15, 5, -1)]
    assert p.evicted() == []


@pytest.mark.usefixtures("small")
def test_who_holds_no_more_than_the_newcomer_loses_nothing() -> None:
    p = pool()
    add(p, *(pay(sender, i) for i in range(2) for sender in range(8)))
    refused(p, pay(1, 2))
    assert refused(p, pay(2, 2))
    add(p, pay(9, 0))
    assert sorted(senders(p), reverse=True) == [2, 2, 2, 2, 2, 1], "the first of several equals, in byte order of accounts"
    refused(p, pay(9, 1))


@pytest.mark.usefixtures("small")
def test_what_is_not_ready_goes_first_but_for_a_burst() -> None:
    p = pool()
    add(p, pay(1, 1), pay(1, 2), *(pay(GREEDY, i) for i in range(14)))
    add(p, pay(2, 0))
    assert senders(p)[:3] == [14, 1, 1], "of a small holder, too"
    add(p, pay(3, 0))
    assert senders(p)[:4] == [13, 1, 1, 1]
    refused(p, pay(GREEDY, 13))


@pytest.mark.usefixtures("small")
def test_messages_with_a_deadline_and_this_node_s_users_have_room_that_no_flood_takes() -> None:
    p = pool()
    add(p, *(pay(GREEDY, i) for i in range(16)))
    add(p, *(judge(1, i) for i in range(4)))
    add(p, *(pay(2, i) for i in range(4)), local=True)
    assert p.evicted() == [] and senders(p)[:3] == [16, 4, 4]
    add(p, judge(3, 0))
    add(p, pay(4, 0), local=True)
    assert senders(p)[:5] == [14, 4, 4, 1, 1]


@pytest.mark.usefixtures("small")
def test_a_message_with_a_deadline_of_this_node_s_user_finds_its_reserve_too() -> None:
    p = pool()
    add(p, *(judge(i, at) for i in range(5) for at in range(4)))
    add(p, judge(5, 0), local=True)
    assert p.evicted() == [] and senders(p) == [4, 4, 4, 4, 4, 1]


@pytest.mark.usefixtures("small")
def test_messages_with_a_deadline_are_shared_by_account_as_well() -> None:
    p = pool()
    add(p, *(judge(GREEDY, i) for i in range(20)))
    add(p, judge(1, 0), judge(2, 0))
    add(p, *(pay(3, i) for i in range(3)))
    assert senders(p)[:4] == [15, 1, 1, 3]


def signed_many(sender: int, sequence: int, op: msgspec.Raw, count: int) -> bytes:
    body = TxBody(net_of(GENESIS.chain_id), ident(sender), 0, sequence, 500, [op] * count)
    return sign_tx(key_of(sender), GENESIS.chain_id, body)


@pytest.mark.usefixtures("small")
def test_a_forged_transaction_evicts_nothing() -> None:
    p = pool()
    add(p, *(pay(GREEDY, i) for i in range(16)))
    forged = bytearray(pay(1, 0))
    forged[-1] ^= 1
    with pytest.raises(InvalidTx) as caught:
        p.add(STATE, bytes(forged), 1, local=False)
    assert caught.value.code is TxCode.BAD_SIGNATURE and len(p) == 16


@pytest.mark.usefixtures("small")
def test_what_found_no_room_may_come_again_but_is_not_asked_for_again_for_a_while() -> None:
    p, relay = pool(), Relay()
    add(p, *(pay(GREEDY, i) for i in range(16)))
    add(p, pay(1, 0))
    evicted, never = tx_id(pay(GREEDY, 15)), tx_id(pay(GREEDY, 16))
    refused(p, pay(GREEDY, 16))
    for lost in (evicted, never):
        assert p.left(lost[:SHORT])
        relay.heard([lost[:SHORT]], ident(3), p, 0)
    assert relay.waiting == 0
    p.remove(tx_id(pay(GREEDY, 14)))
    assert [tx.body.sequence for tx in add(p, pay(GREEDY, 15))] == [15], "who has it may send it"
    for height in range(1, 3 * mempool.LEFT_HEIGHTS):
        p.decided(STATE, [], height)
    relay.heard([never[:SHORT]], ident(3), p, 0)
    assert relay.waiting == 1


def test_ids_of_what_found_no_room_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MAX_LEFT", 2)
    monkeypatch.setattr(space, "LIMITS", (0, 0, 0, 0))
    p = pool()
    for i in range(4):
        refused(p, pay(i, 0))
    assert [p.left(tx_id(pay(i, 0))[:SHORT]) for i in range(4)] == [False, False, True, True]


def test_the_whole_pool_is_what_the_limits_say() -> None:
    """50,000 of the smallest, and a holding that nobody may have alone once others come."""
    assert space.LIMITS[LOCAL] // MIN_CHARGE == 50_000
    assert list(space.LIMITS) == sorted(space.LIMITS)
    assert space.charge(b"x") == MIN_CHARGE and space.charge(bytes(65_536)) == 65_536


# --- room in the block ----------------------------------------------------------------------------------------------------------


def by_sender(chosen: list[ParsedTx]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for tx in chosen:
        found[tx.body.sender] = found.get(tx.body.sender, 0) + 1
    return found


def test_a_block_is_shared_by_account_whoever_came_first() -> None:
    p = pool(block_txs=12)
    add(p, *(pay(GREEDY, i) for i in range(50)), *(pay(1, i) for i in range(50)), pay(2, 0), pay(3, 0))
    assert by_sender(p.selection(10**6).first()) == {ident(GREEDY): 2, ident(1): 2, ident(2): 1, ident(3): 1}


def words(sender: int, sequence: int, count: int) -> bytes:
    return signed_many(sender, sequence, msgspec.Raw(encode(JudgeCase(ident(0), True))), count)


def release(sender: int, sequence: int) -> bytes:
    """As small as a word, and a hundred times its work."""
    return signed_many(sender, sequence, msgspec.Raw(encode(Release(3, bytes(32), False))), 1)


SCARCE: dict[str, tuple[int, dict[str, int], list[bytes], list[bytes], dict[int, int]]] = {
    "bytes": (
        64_000,
        {"block_work": 10**8},
        [words(GREEDY, i, 100) for i in range(40)],
        [words(1, i, 1) for i in range(150)],
        {GREEDY: 16, 1: 150},
    ),
    "number": (
        10**7,
        {"block_work": 10**8, "block_txs": 40},
        [words(GREEDY, i, 1) for i in range(100)],
        [words(1, i, 20) for i in range(40)],
        {GREEDY: 20, 1: 20},
    ),
    "work": (
        10**7,
        {"block_work": 16 * RELEASE_WORK},
        [release(GREEDY, i) for i in range(20)],
        [words(1, i, 1) for i in range(20)],
        {GREEDY: 13, 1: 20},
    ),
}


@pytest.mark.parametrize("what", SCARCE)
def test_each_of_bytes_number_and_work_counts_where_it_alone_is_scarce(what: str) -> None:
    """LC-NODE-16: who takes little of it is not held back by who takes much."""
    size, params, greedy, modest, expected = SCARCE[what]
    p = pool(**params)
    add(p, *greedy, *modest)
    assert by_sender(p.selection(size).first()) == {ident(who): count for who, count in expected.items()}


class Lanes:
    """One transaction of each account that is ready: (account, work, urgent)."""

    def __init__(self, *txs: tuple[bytes, int, bool]) -> None:
        self.items = {
            who: SimpleNamespace(
                order=n, tx=SimpleNamespace(raw=bytes(9), work=work, urgent=urgent, body=SimpleNamespace(sender=who, lane=0))
            )
            for n, (who, work, urgent) in enumerate(txs)
        }

    def turns(self, urgent: bool) -> list[bytes]:
        return [who for who, item in self.items.items() if item.tx.urgent is urgent]

    def ready(self, account: bytes, lane: int, ahead: int) -> Any:
        return self.items[account] if (lane, ahead) == (0, 0) else None


def in_batches(lanes: Lanes, *took: list[int]) -> list[list[bytes]]:
    """Who is in the first batch of a block of 100 units of work, and in those after batches that took so much."""
    chosen = Selection(lanes, 10**6, Params(block_work=100))
    return [[tx.body.sender for tx in batch] for batch in (chosen.first(), *map(chosen.more, took))]


def test_what_the_urgent_ones_left_over_opens_no_more_than_the_half_to_others() -> None:
    """LC-NODE-16"""
    lanes = Lanes((b"u", 60, True), (b"a", 40, False), (b"b", 40, False))
    assert in_batches(lanes, [0, 40]) == [[b"u", b"a"], []]
    assert in_batches(lanes, [60, 0]) == [[b"u", b"a"], [b"b"]]


def after(state: State, txs: list[ParsedTx]) -> State:
    """The state when a block has used their sequences."""
    changes: dict[bytes, Any] = {}
    for tx in txs:
        key = account_key(tx.body.sender)
        account = changes.get(key) or state.get(key)
        assert isinstance(account, Account)
        sequences = [n + (lane == tx.body.lane) for lane, n in enumerate(account.sequences)]
        changes[key] = msgspec.structs.replace(account, sequences=sequences)
    state.commit(list(changes.items()), state.tree)
    return state


# --- what it costs --------------------------------------------------------------------------------------------------------------


def steps(work: Callable[[], object]) -> int:
    """Instructions of Python that a call runs in the mempool's modules."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "/chain/node/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def test_expiry_takes_a_bounded_number_at_a_height(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MAX_EXPIRED", 3)
    p = pool()
    add(p, *(pay(i, 0, 0, 5) for i in range(7)), pay(8, 0))
    left = []
    for height in range(4, 9):
        left.append(len(p.decided(STATE, [], height)))
    assert left == [0, 3, 3, 1, 0] and len(p) == 1


# --- bookkeeping ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(6))
def test_the_books_agree_with_what_is_there_after_anything(seed: int) -> None:
    """Lanes, room, turns and expiry are counted anew after each of many random steps."""
    rng, p, state = random.Random(seed), pool(block_txs=8, quota=5), state_of(GENESIS)
    for height in range(1, 400):
        sender, lane = rng.randrange(6), rng.randrange(2)
        account = state.get(account_key(ident(sender)))
        assert isinstance(account, Account)
        sequence = account.sequences[lane] + rng.choice([0, 0, 1, 1, 2, 3, 4, 7])
        raw = judge(sender, sequence, lane) if rng.random() < 0.4 else pay(sender, sequence, lane, height + rng.randrange(1, 60))
        try:
            p.add(state, raw, height, local=rng.random() < 0.2)
        except InvalidTx as fault:
            assert fault.code in (TxCode.MEMPOOL_FULL, TxCode.SEQUENCE_USED, TxCode.EXPIRED)
        if rng.random() < 0.15:
            chosen = p.selection(10**6).first()
            state = after(state, chosen)
            p.decided(state, [tx for tx in chosen if rng.random() < 0.9], height, [tx.body.sender for tx in chosen])
        if rng.random() < 0.05 and len(p):
            p.remove(rng.choice(sorted(p._all)), again=rng.random() < 0.5)
        audit(p, state)


def audit(p: Mempool, state: State) -> None:
    sizes = [0] * 4
    heads: dict[bool, set[bytes]] = {True: set(), False: set()}
    seen = 0
    for account, lanes in p._lanes.items():
        record = state.get(account_key(account))
        assert isinstance(record, Account) and any(lane.txs for lane in lanes) and len(lanes) == LANES
        for lane, expected in zip(lanes, record.sequences, strict=True):
            assert lane.next == expected <= lane.end and lane.end not in lane.txs
            for sequence, held in lane.txs.items():
                ready = lane.next <= sequence < lane.end
                assert held.kind == (held.ready_kind if ready else GAP) and p._all[held.tx.id] is held
                assert held.tx.id in p._expiring[held.tx.body.valid_until] and held.tx.id in p.space.kinds[held.kind]._txs[account]
                sizes[held.kind] += held.size
                seen += 1
            if lane.next < lane.end:
                assert all(at in lane.txs for at in range(lane.next, lane.end))
                heads[lane.txs[lane.next].tx.urgent].add(account)
        assert p.space.kinds[GAP].of(account) <= space.GAP_SHARE
    assert seen == len(p) == len(p._short) == sum(map(len, p._expiring.values()))
    assert [kind.total for kind in p.space.kinds] == sizes
    assert all(sum(sizes[: kind + 1]) <= limit for kind, limit in enumerate(space.LIMITS))
    assert {urgent: set(turns) for urgent, turns in p._turns.items()} == heads
    assert set(p._heights) >= set(p._expiring) and p.size == sum(len(held.tx.raw) for held in p._all.values())


def test_a_ready_newcomer_takes_the_place_of_who_holds_most_that_is_ready_and_leaves_a_burst_alone() -> None:
    """LC-NODE-62: what is not ready, up to a burst of each account, is apart."""
    books = Space()
    books.kinds[GAP].put(b"burst", b"behind a gap", GAP_BURST)
    books.kinds[COMMON].put(b"holder", b"ready", 2_000)
    books.kinds[COMMON].put(b"other", b"less", 1_500)
    assert books.victim(COMMON, COMMON, b"new", 1_000) == b"ready"
    assert books.victim(COMMON, COMMON, b"new", 2_000) is None, "it would hold as much itself"
    books.kinds[GAP].put(b"burst", b"too much", 1)
    assert books.victim(COMMON, COMMON, b"new", 1_000) == b"too much"


def test_who_comes_and_goes_leaves_nothing_in_the_books() -> None:
    books = Space()
    holders = books.kinds[COMMON]
    for number in range(5_000):
        holders.put(b"a", b"%d" % number, 2_000 + number)
        holders.take(b"a", b"%d" % number)
    assert (holders.total, len(holders), holders.of(b"a"), holders.most()) == (0, 0, 0, (0, b""))
    for number in range(5_000):
        holders.put(b"%d" % (number % 7), b"%d" % number, 2_000)
        assert len(holders._heap) <= 2 * len(holders) + SPARE
