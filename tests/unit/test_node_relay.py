"""How transactions travel: pushed once by their user's node, announced by the others, asked for after a while; all bounded."""

from __future__ import annotations

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.keys.messages import RotateKey, new_key_digest
from learningchain.chain.errors import TxCode
from learningchain.chain.ledger.state import State
from learningchain.chain.node import relay
from learningchain.chain.node.events import Penalize, Send, TxDropped
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import MAX_BATCH, SHORT, GetTxs, TxIds, Txs, decode_message
from learningchain.chain.node.relay import BATCH_BYTES, GRACE, Relay, batches
from learningchain.chain.params import Params
from learningchain.chain.types import tx_id
from tests.unit.node_kit import (
    CHAIN,
    Net,
    fresh,
    genesis,
    ident,
    key_of,
    of_kind,
    receive,
    signed,
    state_of,
    transfer,
)

STATE: State = state_of(genesis())
A, B = ident(1), ident(2)


def pool(*raws: bytes) -> Mempool:
    found = Mempool(CHAIN, Params())
    for raw in raws:
        found.add(STATE, raw, 1, local=True)
    return found


def payloads(found: list[Send]) -> list[object]:
    return [decode_message(effect.payload) for effect in found]


def to_b(source: bytes) -> list[bytes]:
    return [B]


def test_a_user_s_transaction_is_pushed_in_full_once() -> None:
    r, raw = Relay(), transfer(0, 0)
    r.took(tx_id(raw), raw, None)
    assert r.flush() == [Txs([raw])]
    assert r.flush() == []


def test_a_validator_s_transaction_is_announced_to_those_whom_it_does_not_serve() -> None:
    r, raw = Relay(), transfer(0, 0)
    r.took(tx_id(raw), raw, A)
    assert r.flush() == []
    (told,) = r.announce(pool(raw), lambda source: [B] if source == A else [])
    assert payloads([told]) == [TxIds([tx_id(raw)[:SHORT]])]
    assert told.peer == B
    assert r.announce(pool(raw), to_b) == []


def test_what_a_block_holds_by_then_is_not_announced() -> None:
    r, gone, waits = Relay(), transfer(0, 0), transfer(1, 0)
    for raw in (gone, waits):
        r.took(tx_id(raw), raw, A)
    assert payloads(r.announce(pool(waits), to_b)) == [TxIds([tx_id(waits)[:SHORT]])]


def test_an_announced_one_is_asked_for_once_and_only_after_its_push_had_time() -> None:
    r, raw = Relay(), transfer(0, 0)
    short = tx_id(raw)[:SHORT]
    r.heard([short], A, pool(), 1_000)
    r.heard([short], B, pool(), 1_001)
    assert r.ask(pool(), 1_000 + GRACE - 1) == []
    (request,) = r.ask(pool(), 1_000 + GRACE)
    assert (request.peer, payloads([request])) == (A, [GetTxs([short])])
    assert r.ask(pool(), 9_999) == []
    assert r.waiting == 0


def test_nobody_asks_for_what_came_meanwhile_or_is_here() -> None:
    r, raw = Relay(), transfer(0, 0)
    short = tx_id(raw)[:SHORT]
    r.heard([short], A, pool(raw), 0)
    assert r.waiting == 0
    r.heard([short], A, pool(), 0)
    r.took(tx_id(raw), raw, B)
    assert r.waiting == 0
    r.heard([short], A, pool(), 0)
    assert r.ask(pool(raw), 9_999) == []


def test_one_peer_s_flood_of_ids_leaves_room_for_the_others() -> None:
    r, nothing = Relay(), pool()
    for i in range(40):
        r.heard([(i * MAX_BATCH + j).to_bytes(SHORT, "big") for j in range(MAX_BATCH)], A, nothing, 0)
    assert r.waiting == relay.MAX_OF_PEER < relay.MAX_ANNOUNCED
    r.heard([b"x" * SHORT], B, nothing, 0)
    assert [s.peer for s in r.ask(nothing, GRACE)].count(B) == 1
    for peer in range(9):
        r.heard([bytes((peer,)) + i.to_bytes(7, "big") for i in range(relay.MAX_OF_PEER)], bytes((peer,)), nothing, 0)
    assert r.waiting == relay.MAX_ANNOUNCED


def test_where_all_room_is_taken_whoever_has_most_loses_its_newest_until_both_have_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one more: two peers with as many would take each other's places without end."""
    monkeypatch.setattr(relay, "MAX_ANNOUNCED", 4)
    r, nothing = Relay(), pool()
    of_a, of_b = ([name + bytes((i,)) * 7 for i in range(4)] for name in (b"a", b"b"))
    r.heard(of_a, A, nothing, 0)
    r.heard(of_b, B, nothing, 0)
    r.heard(of_a, A, nothing, 0)
    asked = {s.peer: decode_message(s.payload).ids for s in r.ask(nothing, GRACE)}  # type: ignore[union-attr]
    assert asked == {A: of_a[:2], B: of_b[:2]}


def test_only_what_waited_since_the_last_reminder_is_announced_again() -> None:
    r, old, new = Relay(), transfer(0, 0), transfer(1, 0)
    assert r.late(pool(old)) == []
    assert r.late(pool(old, new)) == [tx_id(old)[:SHORT]]
    assert r.late(pool(new)) == [tx_id(new)[:SHORT]]


def test_a_request_is_answered_with_each_transaction_once_and_a_bounded_number_of_bytes() -> None:
    r, raw = Relay(), transfer(0, 0)
    short = tx_id(raw)[:SHORT]
    assert payloads(r.answer([short] * MAX_BATCH, A, pool(raw))) == [Txs([raw])]
    assert r.answer([b"unknown!"], A, pool(raw)) == []


@pytest.mark.parametrize("forged", [0, 1])
def test_what_a_peer_should_not_have_sent_ends_its_message_and_what_is_only_stale_does_not(forged: int) -> None:
    r, held, good = Relay(), pool(), [transfer(n, 0) for n in range(3)]
    stale = transfer(3, 0, until=0)
    wrong = good[forged][:-1] + bytes((good[forged][-1] ^ 1,))
    fault, refused = r.take([stale, *good[:forged], wrong, *good[forged + 1 :]], None, held, STATE, 1)
    assert fault is not None and refused == 2
    assert r.flush() == ([Txs(good[:1])] if forged else []), "what stood before it is pushed on, what stood behind it is not"
    assert r.take([stale, *good], None, held, STATE, 1) == (None, 1)


def test_batches_are_cut_by_number_and_size() -> None:
    assert [len(b) for b in batches([b"x"] * (MAX_BATCH + 3))] == [MAX_BATCH, 3]
    assert [len(b) for b in batches([bytes(BATCH_BYTES // 2)] * 5)] == [2, 2, 1]
    assert batches([]) == []


# --- between nodes --------------------------------------------------------------------------------------------------------------


def test_a_lost_push_is_made_good_by_the_reminder() -> None:
    """A push can be lost with its connection; without a validator's copy no block would ever hold it."""
    net = Net(lost=lambda source, target, message: source == 4 and isinstance(message, Txs) and net.now < net_start + 1_000)
    net_start = net.now
    net.run(10)
    net.submit(4, transfer(4, 0))
    net.reach(1)
    assert net.balance(0, 5) == 10**12 + 5


def test_what_a_replaced_key_signed_leaves_every_pool_with_the_block_that_replaced_it() -> None:
    """LC-NODE-19, also at a node that alone holds it: it would stand in no block, and keep its place until it expires."""
    net = Net(lost=lambda source, target, message: source == 4 and isinstance(message, Txs | TxIds))
    new = key_of(77)
    proof = new.sign(new_key_digest(CHAIN, ident(5), new.public))
    net.submit(4, transfer(5, 0, lane=1))
    net.submit(0, signed(5, 0, msgspec.Raw(encode(RotateKey(new.public, proof)))))
    net.reach(1)
    dropped = of_kind(net.effects[4], TxDropped)
    assert [(one.tx, one.error.code) for one in dropped] == [(tx_id(transfer(5, 0, lane=1)), TxCode.BAD_SIGNATURE)]
    assert not len(net.nodes[4].pool)


def test_a_forged_transaction_costs_its_sender_a_stale_one_does_not() -> None:
    """A bad signature is excused for a while (LC-NODE-70): the sender's key may be a new one there."""
    node = fresh()
    good = transfer(1, 0)
    forged = Txs([good[:-1] + bytes((good[-1] ^ 1,)), transfer(2, 0)])
    assert of_kind(receive(node, 1, forged), Penalize) == []
    assert node.pool.get(tx_id(transfer(2, 0))) is None, "what stands behind it is not looked at"
    node.service.excuses = lambda peer, now: False  # type: ignore[method-assign]
    assert [p.peer for p in of_kind(receive(node, 1, forged), Penalize)] == [A]
    assert of_kind(receive(node, 1, Txs([b"junk"])), Penalize) != []
    assert of_kind(receive(node, 1, Txs([transfer(1, 0, until=0)])), Penalize) == []
    assert of_kind(receive(node, 1, Txs([transfer(77, 0), good])), Penalize) == []
    assert node.pool.get(tx_id(good)) is not None
