"""What a block may be and what it does: LC-BLK-10 to LC-BLK-15."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer, supply
from learningchain.chain.crypto import ZERO_HASH, sha256
from learningchain.chain.errors import Code, InvalidBlock
from learningchain.chain.host import Host
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record, clock_at
from learningchain.chain.merkle import list_root
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import TransferEvent
from tests.unit.ledger_kit import GRANT, NUMBER, Act, Chain, genesis_of, id_of, own_contract

# --- parent, time, proposer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [0, 1, 3])
def test_a_block_has_the_next_height(height: int) -> None:
    chain = Chain()
    chain.block()
    with pytest.raises(InvalidBlock, match="does not follow"):
        chain.try_(height=height)


@pytest.mark.parametrize("step", [0, -1])
def test_time_only_goes_forward(step: int) -> None:
    chain = Chain()
    with pytest.raises(InvalidBlock, match="not after the parent"):
        chain.try_(step=step)
    assert chain.try_(step=1)


def test_the_proposer_is_a_validator_of_this_height() -> None:
    chain = Chain()
    with pytest.raises(InvalidBlock, match="no validator"):
        chain.try_(proposer=id_of("alice"))


def test_the_chain_clock_ignores_outages() -> None:
    chain = Chain(genesis_of(max_step=60_000))
    start = chain.clock
    chain.block(step=1_500)
    chain.block(step=10**9)
    assert chain.clock == start + 61_500
    assert chain_record(chain.state).time == 1_000_000 + 1_500 + 10**9
    assert clock_at(chain_record(chain.state), 0, chain.genesis.params) == chain.clock, "it never goes back"


def test_trying_a_block_out_changes_nothing() -> None:
    chain = Chain()
    root, record = chain.state.root, chain_record(chain.state)
    done = chain.try_(chain.tx("alice", Transfer(id_of("bob"), 1, b"")))
    assert (chain.state.root, chain_record(chain.state)) == (root, record)
    assert done.state_root != root


def test_the_roots_are_those_of_what_was_done() -> None:
    chain = Chain()
    chain.block(chain.tx("alice", Transfer(id_of("bob"), 1, b"")))
    assert chain.last is not None
    assert chain.last.state_root == chain.state.root
    assert chain.last.receipt_root == list_root([encode(r) for r in chain.last.receipts])
    stored = dict(chain.state.items())
    assert State.load(stored.items()).root == chain.state.root


# --- the beacon ---------------------------------------------------------------------------------------------------------------


def one_validator(reward: int = 0) -> Chain:
    return Chain(genesis_of("alice", validators=("v1",), block_reward=reward))


def test_each_block_reveals_what_its_proposer_committed_to() -> None:
    chain = one_validator(7)
    first = chain.beacon
    chain.block()
    assert chain.beacon == sha256(first + ZERO_HASH), "the first block of a proposer has nothing to reveal"
    reveal = chain.input().reveal
    before = chain.beacon
    chain.block()
    assert reveal != ZERO_HASH
    assert chain.beacon == sha256(before + reveal)
    assert chain.account("v1").balance == GRANT + 14


def test_a_missing_secret_counts_as_zeros_and_costs_the_reward() -> None:
    chain = one_validator(7)
    chain.block()
    before = chain.beacon
    assert chain.block(reveal=ZERO_HASH)[0].events == []
    assert chain.beacon == sha256(before + ZERO_HASH)
    assert chain.account("v1").balance == GRANT + 7
    assert len(chain.block()[0].events) == 1, "the next one reveals the newer commitment"


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_wrong_secret_makes_the_block_invalid(blocks: int) -> None:
    chain = one_validator()
    for _ in range(blocks):
        chain.block()
    with pytest.raises(InvalidBlock, match="beacon secret"):
        chain.try_(reveal=b"\x01" * 32)


# --- the reward ---------------------------------------------------------------------------------------------------------------


def test_the_reward_is_minted_to_the_proposer_and_counted() -> None:
    chain = Chain(genesis_of(block_reward=7))
    proposer = chain.input().proposer
    assert chain.block()[0].events == [TransferEvent("block reward", b"", proposer, 7, b"")]
    assert supply(chain.state)["minted"] == 4 * GRANT + 7 == chain.state.total()


def test_a_full_supply_ends_the_reward_and_not_the_chain() -> None:
    chain = Chain(genesis_of(validators=("v1",), grant=MAX_INT - 10, block_reward=7))
    rewards = [[e.amount for e in chain.block()[0].events if isinstance(e, TransferEvent)] for _ in range(3)]
    assert rewards == [[7], [3], []]
    assert supply(chain.state)["minted"] == MAX_INT


def test_minting_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-CRD-1"""
    own_contract(monkeypatch, {"mint": lambda host, sender, m: host.mint(sender, MAX_INT, "found", b"")})
    chain = Chain()
    assert chain.codes(chain.tx("alice", Act("mint"))) == [Code.OVERFLOW]


# --- deadlines ----------------------------------------------------------------------------------------------------------------


class Alarms:
    """A contract that sets deadlines and writes down when they ring."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, max_due: int = 256) -> None:
        self.rung: list[tuple[int, bytes]] = []
        self.plan: list[tuple[int, bytes]] = []
        self.then: Any = lambda host, ref, at: None
        own_contract(monkeypatch, {"set": self._set}, self._ring)
        self.chain = Chain(genesis_of("alice", "bob", max_due=max_due))

    def _set(self, host: Host, sender: bytes, m: Act) -> None:
        for after, ref in self.plan:
            host.schedule(host.clock + after, NUMBER, ref, sender)

    def _ring(self, host: Host, ref: bytes, at: int) -> None:
        self.rung.append((at, ref))
        self.then(host, ref, at)

    def set(self, *plan: tuple[int, bytes]) -> int:
        self.plan = list(plan)
        assert self.chain.codes(self.chain.tx("alice", Act("set"))) == [0]
        return self.chain.clock


def test_deadlines_come_before_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms = Alarms(monkeypatch)
    alarms.set((10, b"x"))
    balances: list[int] = []
    alarms.then = lambda host, ref, at: balances.append(host.free(id_of("bob")))
    alarms.chain.block(alarms.chain.tx("bob", Transfer(id_of("alice"), 5, b"")))
    assert balances == [GRANT]


def test_at_most_max_due_ring_in_a_block_and_the_rest_stay_due(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms = Alarms(monkeypatch, max_due=3)
    now = alarms.set(*[(1, bytes([n])) for n in range(7)])
    for expected in (3, 6, 7, 7):
        alarms.chain.block()
        assert [ref for _, ref in alarms.rung] == [bytes([n]) for n in range(expected)]
    assert {at for at, _ in alarms.rung} == {now + 1}


def test_a_deadline_set_by_a_deadline_waits_for_the_next_block(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms = Alarms(monkeypatch)
    alarms.set((1, b"x"))
    alarms.then = lambda host, ref, at: (
        host.schedule(host.clock - 50, NUMBER, ref, id_of("alice")) if len(alarms.rung) < 3 else None
    )
    for rung in (1, 2, 3, 3):
        alarms.chain.block()
        assert len(alarms.rung) == rung
