"""Transactions that wait: their order, lanes and gaps, what is refused and why, what leaves, and the bounds."""

from __future__ import annotations

import msgspec
import pytest

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.membership import JudgeCase
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import InvalidTx, Malformed, TxCode
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.genesis import MIN_BLOCK_BYTES, check_genesis
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.tx import ParsedTx
from learningchain.chain.node import mempool
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import SHORT
from learningchain.chain.node.space import SPARE
from learningchain.chain.params import LANES, MAX_TX_BYTES, MAX_VALID_FOR, Params
from learningchain.chain.types import SignedTx, tx_digest, tx_id
from tests.unit.node_kit import CHAIN, genesis, ident, signed, state_of, transfer

STATE = state_of(genesis())


def pool(**params: int) -> Mempool:
    return Mempool(CHAIN, Params(**params))


def add(p: Mempool, *raws: bytes, state: State = STATE) -> list[ParsedTx]:
    found = [p.add(state, raw, 1, local=True) for raw in raws]
    return [tx for tx in found if tx is not None]


def refused(p: Mempool, raw: bytes, *, local: bool = True, height: int = 1, state: State = STATE) -> TxCode:
    with pytest.raises(InvalidTx) as caught:
        p.add(state, raw, height, local=local)
    assert caught.value.text
    return caught.value.code


def advanced(sender: int, lane: int, sequence: int) -> State:
    """The state after a block in which a sender used its sequences up to `sequence`."""
    state = state_of(genesis())
    account = state.get(account_key(ident(sender)))
    assert isinstance(account, Account)
    sequences = [sequence if i == lane else n for i, n in enumerate(account.sequences)]
    state.commit([(account_key(ident(sender)), msgspec.structs.replace(account, sequences=sequences))], state.tree)
    return state


def urgent(sender: int, sequence: int, lane: int = 1) -> bytes:
    return signed(sender, sequence, msgspec.Raw(encode(JudgeCase(ident(0), True))), lane=lane)


def test_a_block_takes_them_in_the_order_of_arrival() -> None:
    p = pool()
    raws = [transfer(2, 0), transfer(0, 0), transfer(1, 0), transfer(0, 1)]
    add(p, *raws)
    assert [tx.raw for tx in p.selection(10**6).first()] == raws


def test_one_that_came_before_its_predecessor_waits_for_it() -> None:
    p = pool()
    add(p, transfer(0, 2), transfer(0, 1))
    assert not p.waiting
    assert p.selection(10**6).first() == []
    add(p, transfer(0, 0))
    assert p.waiting
    assert [tx.body.sequence for tx in p.selection(10**6).first()] == [0, 1, 2]


def test_a_gap_in_one_lane_holds_up_no_other() -> None:
    p = pool()
    add(p, transfer(0, 5, lane=0), *(transfer(0, 0, lane=lane) for lane in range(1, LANES)))
    assert [tx.body.lane for tx in p.selection(10**6).first()] == [1, 2, 3]


def test_half_of_a_block_is_kept_for_messages_with_a_deadline() -> None:
    p = pool(block_txs=4)
    add(p, *(transfer(0, i) for i in range(6)), *(urgent(1, i) for i in range(3)))
    chosen = p.selection(10**6).first()
    assert [tx.urgent for tx in chosen] == [True, True, True, False]
    assert len(p.selection(10**6).first()) == 4
    calm = pool(block_txs=4)
    add(calm, *(transfer(0, i) for i in range(6)))
    assert len(calm.selection(10**6).first()) == 2
    rush = pool(block_txs=4)
    add(rush, *(urgent(1, i) for i in range(6)))
    assert len(rush.selection(10**6).first()) == 4


def test_no_account_takes_more_of_a_block_than_its_quota() -> None:
    p = pool(quota=2)
    add(p, *(transfer(0, i) for i in range(4)), transfer(1, 0))
    assert [(tx.body.sender, tx.body.sequence) for tx in p.selection(10**6).first()] == [
        (ident(0), 0),
        (ident(0), 1),
        (ident(1), 0),
    ]


def test_every_refusal_has_its_code() -> None:
    p = pool()
    add(p, transfer(0, 0))
    other = genesis(3)
    forged = encode(SignedTx(decode(SignedTx, transfer(1, 0), MAX_TX_BYTES).body, bytes(63) + b"\1"))
    assert refused(p, b"junk") is TxCode.MALFORMED
    assert refused(p, transfer(1, 0, chain=other.chain_id)) is TxCode.FOREIGN_NETWORK
    assert refused(p, forged) is TxCode.BAD_SIGNATURE
    assert refused(p, transfer(77, 0)) is TxCode.UNKNOWN_SENDER
    assert refused(p, transfer(0, 0, amount=6)) is TxCode.SEQUENCE_USED
    assert refused(p, transfer(0, mempool.MAX_PER_LANE)) is TxCode.SEQUENCE_GAP
    assert refused(p, transfer(1, 0, until=4), height=5) is TxCode.EXPIRED
    assert refused(p, transfer(1, 0, until=2 + MAX_VALID_FOR)) is TxCode.TOO_FAR_AHEAD
    assert refused(p, transfer(0, 2), state=advanced(0, 0, 3)) is TxCode.SEQUENCE_USED
    assert len(p) == 1


def test_what_a_replaced_key_signed_leaves_at_once_and_the_new_one_begins_anew() -> None:
    """LC-NODE-19: of every lane, ready or behind a gap; and others keep theirs."""
    p = pool()
    mine = add(p, transfer(0, 0), transfer(0, 1), transfer(0, 3), urgent(0, 0))
    (other,) = add(p, transfer(1, 0))
    state, new = state_of(genesis()), SigningKey(b"\7" * 32)
    account = state.get(account_key(ident(0)))
    assert isinstance(account, Account)
    state.commit([(account_key(ident(0)), msgspec.structs.replace(account, key=new.public))], state.tree)
    dropped = p.decided(state, [], 1, rekeyed=[ident(0), ident(77)])
    assert {tx: fault.code for tx, fault in dropped} == dict.fromkeys([tx.id for tx in mine], TxCode.BAD_SIGNATURE)
    assert [tx.id for tx in p.selection(10**6).first()] == [other.id] and p.size == len(other.raw)
    assert refused(p, transfer(0, 0), state=state) is TxCode.BAD_SIGNATURE
    body = decode(SignedTx, transfer(0, 0), MAX_TX_BYTES).body
    again = encode(SignedTx(body, new.sign(tx_digest(CHAIN, encode(body)))))
    (tx,) = add(p, again, state=state)
    assert [found.id for found in p.selection(10**6).first()] == [other.id, tx.id]


def test_a_known_one_is_taken_once() -> None:
    p = pool()
    assert len(add(p, transfer(0, 0), transfer(0, 0))) == 1
    assert p.size == len(transfer(0, 0))


def test_a_decided_block_empties_its_part_and_moves_the_rest_up() -> None:
    p = pool()
    first, second, third = add(p, *(transfer(0, i) for i in range(3)))
    assert p.decided(advanced(0, 0, 1), [first], 1) == []
    assert first.id not in p
    assert p.selection(10**6).first() == [second, third]
    assert p.size == len(second.raw) + len(third.raw)


def test_another_transaction_in_its_place_drops_it_and_frees_its_successor() -> None:
    p = pool()
    mine, successor = add(p, transfer(0, 0), transfer(0, 1))
    other = pool()
    (theirs,) = add(other, transfer(0, 0, amount=6))
    state = advanced(0, 0, 1)
    ((gone, why),) = p.decided(state, [theirs], 1)
    assert (gone, why.code) == (mine.id, TxCode.SEQUENCE_USED)
    assert p.selection(10**6).first() == [successor]


def test_an_expired_one_leaves_in_time() -> None:
    p = pool()
    add(p, transfer(0, 0, until=20), transfer(1, 0, until=100))
    assert p.decided(STATE, [], 16) == []
    ((gone, why),) = p.decided(STATE, [], 32)
    assert (gone, why.code) == (tx_id(transfer(0, 0, until=20)), TxCode.EXPIRED)


def test_what_left_without_a_block_comes_back_only_from_its_user() -> None:
    p = pool()
    add(p, transfer(0, 0), transfer(0, 1))
    p.remove(tx_id(transfer(0, 0)))
    assert not p.waiting, "its successor waits again"
    assert p.add(STATE, transfer(0, 0), 1, local=False) is None
    assert not p.waiting
    assert p.add(STATE, transfer(0, 0), 1, local=True) is not None
    assert len(p.selection(10**6).first()) == 2


def test_a_block_is_no_more_work_than_its_network_allows() -> None:
    """Half of it for those without a deadline; the urgent ones here are sixteen units each."""
    p = pool(block_work=96)
    add(p, *(transfer(i % 4, i // 4) for i in range(60)))
    assert len(p.selection(10**6).first()) == 48
    add(p, *(urgent(i % 4, i // 4) for i in range(4)))
    assert [tx.urgent for tx in p.selection(10**6).first()] == [True] * 4 + [False] * 32


def test_ids_of_those_that_left_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MAX_GONE", 2)
    p = pool()
    for i in range(5):
        add(p, transfer(i, 0))
        p.remove(tx_id(transfer(i, 0)))
    assert [p.add(STATE, transfer(i, 0), 1, local=False) is None for i in range(5)] == [False, False, False, True, True]


@pytest.mark.parametrize("wrong", [{"block_bytes": MIN_BLOCK_BYTES - 1}, {"block_bytes": 4_000_001}, {"block_txs": 8_193}])
def test_no_network_has_blocks_that_cannot_hold_a_transaction_or_cannot_travel(wrong: dict[str, int]) -> None:
    """The largest transaction would wait at the head of the queue for ever, or a block would exceed a peer message."""
    with pytest.raises(Malformed):
        check_genesis(genesis(4, Params(**wrong)))


def test_the_first_and_the_last_height_of_a_transaction_are_its_own() -> None:
    """LC-NODE-15: valid until the next block is still valid; as far ahead as allowed is allowed."""
    p = pool()
    assert p.add(STATE, transfer(0, 0, until=5), 5, local=True) is not None
    assert p.add(STATE, transfer(1, 0, until=5 + MAX_VALID_FOR), 5, local=True) is not None


def test_what_its_user_sent_again_is_not_held_against_a_peer_s_copy() -> None:
    """It left for good, came again from its user, and then left for a while only."""
    p, raw = pool(), transfer(0, 0)
    add(p, raw)
    p.remove(tx_id(raw))
    add(p, raw)
    p.remove(tx_id(raw), again=True)
    assert p.add(STATE, raw, 1, local=False) is not None


def test_a_late_copy_of_what_expired_or_lost_its_sequence_is_dropped_unread() -> None:
    p = pool()
    add(p, transfer(0, 0, until=20), transfer(1, 0))
    (theirs,) = add(pool(), transfer(1, 0, amount=6))
    assert len(p.decided(advanced(1, 0, 1), [theirs], 20)) == 2
    assert p.add(STATE, transfer(0, 0, until=20), 1, local=False) is None
    assert p.add(STATE, transfer(1, 0), 1, local=False) is None


def test_what_found_no_room_is_remembered_for_one_to_two_spans_of_heights() -> None:
    """LC-NODE-63"""
    p, raw, span = pool(), transfer(0, 0), mempool.LEFT_HEIGHTS
    add(p, raw)
    p.remove(tx_id(raw), again=True)
    known = []
    for height in range(1, 2 * span + 1):
        p.decided(STATE, [], height)
        known.append(p.left(tx_id(raw)[:SHORT]))
    assert known == [True] * (2 * span - 1) + [False]


def test_accounts_and_heights_that_are_gone_leave_nothing_behind() -> None:
    """Strangers choose both."""
    p = pool()
    for n in range(300):
        add(p, transfer(0, 0, until=2 + n))
        p.remove(tx_id(transfer(0, 0, until=2 + n)))
    assert len(p) == p.size == 0
    assert not p._owed and not p._expiring and len(p._heights) <= SPARE + 1
