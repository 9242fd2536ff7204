"""Bandwidth in the pool and the proposer's choice (LC-NODE-15, 67): refused at entry, or kept and not proposed for a while."""

from __future__ import annotations

import msgspec
import pytest

from learningchain.chain.bandwidth import RESERVE, charged
from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import Reveal
from learningchain.chain.contracts.membership import JudgeCase
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import K_CHAIN, Account, ChainRecord, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.node.mempool import REST_MS, Mempool
from learningchain.chain.params import Params
from tests.unit.node_kit import CHAIN, Net, genesis, ident, signed, state_of, transfer
from tests.unit.node_kit import PARAMS as NET_PARAMS

PARAMS = Params()
SIZE = len(transfer(0, 0))
HEARTBEAT = NET_PARAMS.heartbeat


def state_with(left: int, *, sender: int = 0, later: int = 0) -> State:
    """A sender without credits that has so many bytes left, `later` milliseconds after genesis."""
    state = state_of(genesis())
    record = chain_record(state)
    clock = record.clock + later
    full = PARAMS.bandwidth_base * PARAMS.bandwidth_window // 1_000
    account = state.get(account_key(ident(sender)))
    assert isinstance(account, Account)
    arrival = charged(PARAMS, 0, 0, clock, full - left)
    poor = msgspec.structs.replace(account, balance=0, arrival=arrival if left < full else 0)
    moved = ChainRecord(record.chain_id, record.height, record.time + later, clock, record.beacon)
    state.commit([(account_key(ident(sender)), poor), (K_CHAIN, moved)], state.tree)
    return state


def pool() -> Mempool:
    return Mempool(CHAIN, PARAMS)


def urgent(sender: int, sequence: int, *, once: bool) -> bytes:
    op = Reveal(bytes(32), 1, b"", 0, bytes(32)) if once else JudgeCase(ident(0), True)
    return signed(sender, sequence, msgspec.Raw(encode(op)), lane=1)


def test_what_has_no_bandwidth_is_refused_at_entry_of_the_own_user_too_with_the_time_to_wait() -> None:
    p = pool()
    with pytest.raises(InvalidTx, match=r"send it again in \d+ s") as caught:
        p.add(state_with(SIZE - 1), transfer(0, 0), 1, local=True)
    assert caught.value.code is TxCode.BANDWIDTH
    assert p.add(state_with(SIZE), transfer(0, 0), 1, local=False) is not None


def test_what_waits_counts_so_that_nobody_hoards_more_than_can_stand() -> None:
    p, state = pool(), state_with(3 * SIZE + 5)
    taken = 0
    for n in range(10):
        try:
            taken += p.add(state, transfer(0, n), 1, local=False) is not None
        except InvalidTx as e:
            assert e.code is TxCode.BANDWIDTH
    assert taken == len(p) == 3
    p.remove(p.selection(10**6).first()[-1].id)
    assert p.add(state, transfer(0, 2, amount=7), 1, local=True) is not None, "what left owes nothing any more"


@pytest.mark.parametrize("once", [True, False])
def test_an_urgent_one_finds_the_reserve(once: bool) -> None:
    raw = urgent(0, 0, once=once)
    assert pool().add(state_with(0), raw, 1, local=False) is not None
    with pytest.raises(InvalidTx):
        pool().add(state_with(len(raw) - RESERVE - 2), raw, 1, local=False)


def test_what_ran_dry_stays_holds_up_nobody_and_has_its_turn_again_later() -> None:
    p, rich = pool(), state_with(10**5)
    for n in range(5):
        p.add(rich, transfer(0, n), 1, local=False)
    other = p.add(rich, transfer(1, 0), 1, local=False)
    dry = state_with(2 * SIZE + 2)
    clock = chain_record(dry).clock
    chosen = p.selection(10**6, dry, clock).first()
    assert [tx.body.sequence for tx in chosen if tx.body.sender == ident(0)] == [0, 1]
    assert other in chosen
    assert len(p) == 6
    assert p.selection(10**6, dry, clock).first() == [other], "not looked at for a while"
    p.decided(state_with(10**5, later=REST_MS - 1), [], 1)
    assert p.selection(10**6, rich, clock).first() == [other]
    p.decided(state_with(10**5, later=REST_MS), [], 2)
    assert len(p.selection(10**6, rich, clock).first()) == 6


def make_dry(state: State, sender: int) -> None:
    """Nothing is left, nor will be for the next hour."""
    account = state.get(account_key(ident(sender)))
    assert isinstance(account, Account)
    arrival = (chain_record(state).clock + PARAMS.bandwidth_window + 3_600_000) * 1_000
    state.commit([(account_key(ident(sender)), msgspec.structs.replace(account, arrival=arrival))], state.tree)


@pytest.mark.parametrize("once", [None, False, True], ids=["transfer", "urgent", "once"])
def test_who_waits_for_bandwidth_alone_makes_no_empty_blocks(once: bool | None) -> None:
    net = Net()
    for node in net.nodes:
        raw = transfer(5, 0) if once is None else urgent(5, 0, once=once)
        assert node.pool.add(node.state, raw, 1, local=False) is not None
        make_dry(node.state, 5)
    net.run(HEARTBEAT - 1_000)
    assert {node.height for node in net.nodes} == {0}
    net.run(3_000)
    assert {node.height for node in net.nodes} == {1}


def test_a_transfer_without_bandwidth_holds_up_no_urgent_one_of_its_account() -> None:
    p, rich = pool(), state_with(10**5)
    p.add(rich, transfer(0, 0), 1, local=False)
    said = p.add(rich, urgent(0, 0, once=False), 1, local=False)
    dry = state_with(0)
    assert p.selection(10**6, dry, chain_record(dry).clock).first() == [said]


def test_messages_that_are_not_charged_take_nothing_from_those_that_are() -> None:
    """LC-TX-14: neither where they wait, nor where a block is put together."""
    p, state = pool(), state_with(SIZE)
    for n in range(3):
        assert p.add(state, urgent(0, n, once=True), 1, local=False) is not None
    assert p.add(state, transfer(0, 0), 1, local=False) is not None
    assert len(p.selection(10**6, state, chain_record(state).clock).first()) == 4


def test_what_is_charged_takes_nothing_from_messages_that_are_not() -> None:
    p, rich = pool(), state_with(10**5)
    for n in range(5):
        p.add(rich, transfer(0, n), 1, local=False)
    raw = urgent(0, 0, once=True)
    dry = state_with(len(raw) - RESERVE + 2)
    assert p.add(dry, raw, 1, local=False) is not None, "the rest of the reserve is there for it, whatever waits beside"
