"""Bandwidth: what an account may have in blocks, what is charged, and that moving credits about earns no byte (LC-TX-11 to 14)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain import bandwidth
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import CommitVote, Reveal
from learningchain.chain.contracts.membership import JudgeCase
from learningchain.chain.errors import InvalidBlock, InvalidTx, TxCode
from learningchain.chain.params import CREDIT, Params
from tests.unit.ledger_kit import Chain, genesis_of, id_of

PARAMS = Params()
WINDOW_S = PARAMS.bandwidth_window // 1_000


def left(chain: Chain, name: str) -> int:
    account = chain.account(name)
    return bandwidth.left(chain.genesis.params, account.balance, account.arrival, chain.clock)


def narrow() -> Chain:
    """Who has nothing but its identity may send 65 kB in a window, and earns 16 bytes in a second."""
    return Chain(genesis_of("alice", "bob", grant=CREDIT - 1, bandwidth_base=16, max_step=10**7))


def test_a_member_without_a_credit_has_256_kib_and_earns_64_bytes_in_a_second() -> None:
    assert bandwidth.left(PARAMS, CREDIT - 1, 0, 10**12) == 64 * WINDOW_S == 256 * 1_024
    assert bandwidth.rate(PARAMS, CREDIT - 1) == 64
    assert bandwidth.rate(PARAMS, 1_000 * CREDIT) == 16_064


@pytest.mark.parametrize("amount", [0, 1], ids=["refused", "accepted"])
def test_a_transfer_is_charged_whatever_becomes_of_it(amount: int) -> None:
    chain = narrow()
    before = left(chain, "alice")
    tx = chain.tx("alice", Transfer(id_of("bob"), amount, b""))
    chain.block(tx)
    assert left(chain, "alice") in (before - len(tx.raw), before - len(tx.raw) - 1)


def test_a_block_with_more_of_an_account_than_its_bandwidth_is_invalid() -> None:
    chain, pay = narrow(), [Transfer(id_of("bob"), 0, b"x" * 64)] * 100
    txs = [chain.tx("alice", *pay) for _ in range(8)]
    room = left(chain, "alice") // len(txs[0].raw)
    chain.block(*txs[:room])
    with pytest.raises(InvalidBlock) as caught:
        chain.block(txs[room])
    cause = caught.value.__cause__
    assert isinstance(cause, InvalidTx) and cause.code is TxCode.BANDWIDTH
    wait_s = int(cause.text.split("again in ")[1].split(" s")[0])
    assert cause.retry_after_s == wait_s > 0
    chain.try_(txs[room], step=1_000 + wait_s * 1_000)
    with pytest.raises(InvalidBlock):
        chain.try_(txs[room], step=wait_s * 1_000)


def test_a_proposer_leaves_out_what_has_no_bandwidth() -> None:
    chain, pay = narrow(), [Transfer(id_of("bob"), 0, b"x" * 64)] * 100
    txs = [chain.tx("alice", *pay) for _ in range(8)]
    room = left(chain, "alice") // len(txs[0].raw)
    done = chain.try_(*txs, building=True)
    assert done.txs == txs[:room]
    assert done.skipped[0][1].code is TxCode.BANDWIDTH


URGENT: list[tuple[str, Any]] = [
    ("once", Reveal(bytes(32), 1, b"", 0, bytes(32))),
    ("vote", CommitVote(bytes(32), 0, 0, bytes(32))),
    ("word", JudgeCase(bytes(20), True)),
]


@pytest.mark.parametrize("op", [op for _, op in URGENT], ids=[name for name, _ in URGENT])
def test_an_urgent_one_goes_into_the_reserve_and_is_charged_where_it_is_refused(op: Any) -> None:
    chain, pay = narrow(), [Transfer(id_of("bob"), 0, b"x" * 64)] * 100
    while True:
        tx = chain.tx("alice", *pay)
        if len(tx.raw) > left(chain, "alice"):
            break
        chain.block(tx)
    tx = chain.tx("alice", *[op] * 100, lane=1)
    before = left(chain, "alice")
    assert chain.codes(tx, step=1) != [0]
    assert left(chain, "alice") <= before - len(tx.raw) + 1
    assert left(chain, "alice") >= -bandwidth.RESERVE


def test_credits_that_come_and_go_cost_no_bandwidth() -> None:
    chain = Chain(genesis_of("alice", "bob", grant=CREDIT))
    sent = 0
    for _ in range(12):
        txs = [chain.tx(a, Transfer(id_of(b), 1, b"")) for a, b in (("alice", "bob"), ("bob", "alice"))]
        chain.block(*txs)
        sent += len(txs[0].raw)
    assert left(chain, "alice") >= 64 * WINDOW_S - sent


Move = tuple[int, int, int, int, int]
IDENTITIES = 4


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 50 * CREDIT), min_size=IDENTITIES, max_size=IDENTITIES),
    st.lists(
        st.tuples(
            st.integers(0, IDENTITIES - 1),
            st.integers(0, IDENTITIES - 1),
            st.integers(0, 100 * CREDIT),
            st.integers(0, 600_000),
            st.integers(0, 3),
        ),
        max_size=60,
    ),
)
def test_passing_credits_about_earns_a_coalition_no_byte(start: list[int], moves: list[Move]) -> None:
    """All that its identities write is no more than what they had saved up at first and what their credits earned since."""
    balances, arrivals, clock = list(start), [0] * IDENTITIES, 10**12
    allowed = sum(bandwidth.rate(PARAMS, b) for b in balances) * PARAMS.bandwidth_window
    written = 0
    for source, target, amount, wait, greed in moves:
        allowed += sum(bandwidth.rate(PARAMS, b) for b in balances) * wait
        clock += wait
        for who in range(IDENTITIES):  # everything that it may send, in the largest transactions, or a part
            size = bandwidth.left(PARAMS, balances[who], arrivals[who], clock) * greed // 3
            if size > 0:
                after = bandwidth.charged(PARAMS, balances[who], arrivals[who], clock, size)
                assert after <= bandwidth.latest(PARAMS, balances[who], clock, False)
                arrivals[who], written = after, written + size
        if source != target:
            moved = min(amount, balances[source])
            for who, change in ((source, -moved), (target, moved)):
                arrivals[who] = bandwidth.moved(PARAMS, balances[who], balances[who] + change, arrivals[who], clock)
                balances[who] += change
        assert written * 1_000 <= allowed
