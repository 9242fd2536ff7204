"""A block's work and size are rules of validity: LC-BLK-11, LC-BLK-25."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts import MESSAGES
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.contracts.membership import JudgeCase
from learningchain.chain.errors import Code, InvalidBlock, Malformed, TxCode
from learningchain.chain.ledger.genesis import MIN_BLOCK_BYTES, MIN_BLOCK_WORK, check_genesis
from learningchain.chain.ledger.transition import MAX_ALL_REFUSED, MAX_REFUSED, validators_of
from learningchain.chain.ledger.tx import ParsedTx, parse_tx, sign_tx
from learningchain.chain.node import candidates
from learningchain.chain.params import MAX_OPS, Params
from learningchain.chain.types import Block, TxBody, net_of
from tests.unit.ledger_kit import Chain, genesis_of, id_of
from tests.unit.node_kit import T0, genesis, ident, key_of, state_of, transfer

CLAIM = Claim(bytes(32), 0, bytes(32), True)
"""On no job: refused at once."""


def pay(amount: int = 1) -> Transfer:
    return Transfer(id_of("bob"), amount, b"")


def heavy(chain: Chain, work: int, name: str = "alice") -> list[ParsedTx]:
    """Transactions that take so much work."""
    full = [chain.tx(name, *[pay()] * MAX_OPS) for _ in range(work // MAX_OPS)]
    return full + ([chain.tx(name, *[pay()] * (work % MAX_OPS))] if work % MAX_OPS else [])


def worked(chain: Chain, *txs: ParsedTx) -> list[int]:
    """What each transaction took, as a proposer sees it."""
    found: list[int] = []

    def more(took: list[int]) -> list[ParsedTx]:
        found.extend(took)
        return []

    chain.try_(*txs, building=True, more=more)
    return found


def small(**params: int) -> Chain:
    return Chain(genesis_of("alice", "bob", block_work=MIN_BLOCK_WORK, bandwidth_base=10_000, **params))


def test_a_block_of_one_unit_too_much_work_is_invalid() -> None:
    chain = small()
    at_most = heavy(chain, MIN_BLOCK_WORK)
    assert {r.code for r in chain.try_(*at_most).receipts} == {Code.OK}
    with pytest.raises(InvalidBlock, match=f"more work than {MIN_BLOCK_WORK}"):
        chain.try_(*at_most, chain.tx("bob", pay()))


def test_the_messages_behind_the_limit_are_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proposer puts into a block costs the others no more than the limit."""
    ran = []
    spec = MESSAGES[Transfer][1]
    counted = type(spec)(lambda host, sender, op: (ran.append(1), spec.handler(host, sender, op))[1], spec.urgent, spec.work)
    monkeypatch.setitem(MESSAGES, Transfer, (MESSAGES[Transfer][0], counted))
    chain = small()
    with pytest.raises(InvalidBlock):
        chain.try_(*heavy(chain, 2 * MIN_BLOCK_WORK))
    assert len(ran) == MIN_BLOCK_WORK


def test_a_refused_message_ends_its_transaction_s_work() -> None:
    """A hundred claims on no job count as the one that was tried."""
    chain = small()
    assert worked(chain, chain.tx("alice", *[CLAIM] * MAX_OPS), chain.tx("v1", pay(), pay(10**15), pay())) == [32, 2]
    chain = small()
    many = [chain.tx("alice", *[CLAIM] * MAX_OPS) for _ in range(MIN_BLOCK_WORK // 32)]
    assert len(chain.try_(*many).receipts) == 1 + len(many)
    with pytest.raises(InvalidBlock, match="more work"):
        chain.try_(*many, chain.tx("bob", pay()))


def test_words_on_a_case_cannot_fill_a_block_like_payments() -> None:
    """A validator that says one thing and the other, each time looking at all that the case is about."""
    chain = small()
    assert worked(chain, chain.tx("v1", JudgeCase(id_of("bob"), True))) == [16]


def test_the_work_of_a_message_may_be_a_function_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-25: as the block counts it, as a proposer chooses by it, and never more than the most that was stated."""
    own, spec = MESSAGES[Transfer]
    varying = replace(spec, work=lambda op: 10 * op.amount, work_most=40)
    monkeypatch.setitem(MESSAGES, Transfer, (own, varying))
    chain = small()
    txs = [chain.tx("alice", pay(1), pay(3)), chain.tx("alice", pay(1_000)), chain.tx("bob", Transfer(bytes(20), 2, b""), pay(1))]
    assert [tx.work for tx in txs] == [40, 40, 30]
    assert worked(chain, *txs) == [40, 40, 20], "the second message was not tried"
    at_most = [chain.tx("v1", *[pay(4)] * MAX_OPS) for _ in range(MIN_BLOCK_WORK // (40 * MAX_OPS))]
    at_most += [chain.tx("v2", *[pay(4)] * (MIN_BLOCK_WORK % (40 * MAX_OPS) // 40), pay(0))]
    chain.try_(*at_most)
    with pytest.raises(InvalidBlock, match="more work"):
        chain.try_(*at_most, chain.tx("v3", pay(4)))
    monkeypatch.undo()
    assert (spec.heaviest, varying.heaviest) == (1, 40)


def test_a_proposer_leaves_out_what_has_no_room_and_keeps_it() -> None:
    chain = small()
    txs = [*heavy(chain, MIN_BLOCK_WORK - 1), chain.tx("bob", pay(), pay(), lane=0), chain.tx("v1", pay())]
    made = chain.try_(*txs, building=True)
    assert made.skipped == [] and made.txs == [*txs[:-2], txs[-1]]
    assert chain.try_(*made.txs).state_root == made.state_root


def test_a_proposer_fills_the_room_that_refused_messages_left() -> None:
    """LC-NODE-60"""
    chain = small()
    first, then = [chain.tx("alice", *[CLAIM] * MAX_OPS)], [[chain.tx("bob", pay())], [chain.tx("v1", pay())]]
    made = chain.try_(*first, building=True, more=lambda took: then.pop(0) if then else [])
    assert [tx.body.sender for tx in made.txs] == [id_of(name) for name in ("alice", "bob", "v1")]


def test_a_proposer_puts_a_bounded_number_of_refused_transactions_of_an_account_into_a_block() -> None:
    """LC-NODE-60: the next one leaves, and its sender is told its code; nobody else is concerned."""
    chain = small()
    bad = [chain.tx("alice", CLAIM) for _ in range(MAX_REFUSED + 2)]
    good, other = chain.tx("alice", pay(), lane=1), chain.tx("bob", CLAIM)
    made = chain.try_(*bad, good, other, building=True)
    assert made.txs == [*bad[:MAX_REFUSED], good, other]
    assert [(tx, fault.code) for tx, fault in made.skipped] == [(bad[-2], TxCode.REFUSED), (bad[-1], TxCode.SEQUENCE_GAP)]
    assert "300" in made.skipped[0][1].text
    assert chain.try_(*made.txs).state_root == made.state_root, "as if they had not come"
    assert len(chain.try_(*bad).receipts) == 1 + len(bad), "no rule of validity"


def test_a_proposer_puts_a_bounded_number_of_refused_transactions_of_all_accounts_into_a_block() -> None:
    """LC-NODE-60: however many identities share them. What is not refused goes in behind them."""
    names = [f"m{i}" for i in range(MAX_ALL_REFUSED // MAX_REFUSED + 1)]
    chain = Chain(genesis_of("bob", *names))
    bad = [chain.tx(name, CLAIM) for name in names for _ in range(MAX_REFUSED)]
    good = [chain.tx(names[-1], pay(), lane=1), chain.tx(names[0], pay())]
    made = chain.try_(*bad, *good, building=True)
    assert made.txs == [*bad[:MAX_ALL_REFUSED], *good]
    assert (made.skipped[0][0], made.skipped[0][1].code) == (bad[MAX_ALL_REFUSED], TxCode.REFUSED)
    assert "of all accounts" in made.skipped[0][1].text
    assert len(chain.try_(*bad).receipts) == 1 + len(bad), "no rule of validity"


def memo(sequence: int, lengths: list[int], chain: bytes) -> bytes:
    ops = [msgspec.Raw(encode(Transfer(ident(1), 1, bytes(length)))) for length in lengths]
    return sign_tx(key_of(0), chain, TxBody(net_of(chain), ident(0), 0, sequence, 500, ops))


def exactly(size: int, chain: bytes) -> list[bytes]:
    """Transactions of so many bytes together."""
    full = memo(0, [64] * MAX_OPS, chain)
    count = size // len(full) - 1
    raws = [memo(i, [64] * MAX_OPS, chain) for i in range(count)]
    rest, least = size - sum(map(len, raws)), len(memo(count, [0], chain))
    half = rest // 2
    for part in (half, rest - half):
        ops = next(n for n in range(1, MAX_OPS) if len(memo(len(raws), [64] * n, chain)) >= part >= least)
        missing = len(memo(len(raws), [64] * ops, chain)) - part
        raws.append(memo(len(raws), [64] * (ops - 1) + [64 - missing], chain))
    assert sum(map(len, raws)) == size
    return raws


@pytest.mark.parametrize("params", [{"block_txs": 2}, {"block_bytes": MIN_BLOCK_BYTES}], ids=["transactions", "bytes"])
def test_a_block_one_above_the_network_s_size_is_invalid(params: dict[str, int]) -> None:
    made = genesis(4, Params(**params))
    chain, state = made.chain_id, state_of(made)

    def block(raws: list[bytes]) -> Block:
        proposer = validators_of(state)[1].id
        return candidates.build(state, proposer, bytes(32), 0, chain, T0 + 1, [parse_tx(raw) for raw in raws])[0].block()

    for over in (0, 1):
        few = [transfer(0, i, chain=chain) for i in range(2 + over)]
        proposed = block(few if "block_txs" in params else exactly(MIN_BLOCK_BYTES + over, chain))
        if over:
            with pytest.raises(InvalidBlock, match="larger than this network allows"):
                candidates.execute(state, proposed, chain, None)
        else:
            assert candidates.execute(state, proposed, chain, None).state_root == proposed.header.state_root


@pytest.mark.parametrize("wrong", [{"block_bytes": MIN_BLOCK_BYTES - 1}, {"block_work": MIN_BLOCK_WORK - 1}])
def test_no_network_has_blocks_that_cannot_hold_any_transaction(wrong: dict[str, int]) -> None:
    check_genesis(genesis(4, Params(block_work=MIN_BLOCK_WORK)))
    with pytest.raises(Malformed):
        check_genesis(genesis(4, Params(**wrong)))
