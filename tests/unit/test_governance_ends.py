"""How proposals end, and what is left of them: deadlines, waiting, the edges of their times. LC-GOV-2 to LC-GOV-9."""

from __future__ import annotations

from dataclasses import replace as replaced

import pytest
from msgspec.structs import replace

from learningchain.chain import contracts
from learningchain.chain.contracts.governance import (
    MAX_OPEN,
    NUMBER,
    AddValidator,
    GovernanceCode,
    GovernanceParams,
    Propose,
    RemoveValidator,
    Upgrade,
    VoteProposal,
    Withdraw,
    proposal_key,
    proposals,
)
from learningchain.chain.contracts.membership import Release
from learningchain.chain.host import Host
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.types import LogEvent
from tests.unit.governance_kit import FAR, Council, values
from tests.unit.ledger_kit import id_of, key_of

Code = GovernanceCode
FIVE = ("v1", "v2", "v3", "v4", "v5")


def data_of(c: Council, topic: str) -> list[list[object]]:
    assert c.last is not None
    events = [event for receipt in c.last.receipts for event in receipt.events]
    return [list(event.data) for event in events if isinstance(event, LogEvent) and event.topic == topic]


def waiting(c: Council, life: int = FAR) -> bytes:
    """A proposal that is decided in the block in which another one changes the set: bob, after alice."""
    one, two = c.open(AddValidator(id_of("alice"))), c.open(AddValidator(id_of("bob")), life=life)
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    assert c.codes(c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))) == [0, 0]
    return two


# --- deadlines ----------------------------------------------------------------------------------------------------------------


def test_a_proposal_ends_at_its_time_and_not_a_block_before() -> None:
    """LC-GOV-2, 5"""
    c = Council()
    longest = GovernanceParams().proposal_life
    proposal = c.open(AddValidator(id_of("alice")), life=1_000 + longest)
    assert c.deadlines() == [(id_of("v1"), c.clock + longest, NUMBER, proposal)]
    c.codes(c.tx("v1", Withdraw(proposal)))
    proposal = c.open(AddValidator(id_of("alice")), life=6_000)
    c.block(step=4_999)
    assert c.record(proposal) is not None
    c.block(step=1)
    assert c.topics() == ["proposal.expired"] and c.record(proposal) is None


@pytest.mark.parametrize("end", ["accepted", "rejected", "withdrawn", "expired"])
def test_of_a_proposal_that_ended_nothing_is_left(end: str) -> None:
    """LC-GOV-2 to 5: no record, no deadline that makes nodes begin a block for nothing, and room for the next one."""
    c = Council()
    proposal = c.open(values(0, quota=100), life=5_000)
    match end:
        case "accepted":
            c.vote(proposal, True, "v2", "v3")
        case "rejected":
            c.vote(proposal, False, "v2", "v3")
        case "withdrawn":
            c.codes(c.tx("v1", Withdraw(proposal)))
        case _:
            c.block(step=5_000)
    assert c.topics()[-1] in (f"proposal.{end}", "parameter.changed")
    assert c.deadlines() == []
    assert not {key[:3] for key, _ in c.state.items()} & {b"op/", b"oc/"}


def test_a_proposal_that_stands_behind_its_time_takes_no_word() -> None:
    """LC-GOV-3, 5: where many deadlines wait, its own comes later than its time: from then on it is over all the same."""
    c = Council()
    proposal = c.open(values(0, quota=100))
    record = c.record(proposal)
    assert record is not None
    c.put(proposal_key(proposal), replace(record, expires=c.clock + 1_000))
    last = c.tx("v2", VoteProposal(proposal, True))
    assert c.codes(last, c.tx("v1", Withdraw(proposal))) == [Code.NO_PROPOSAL, Code.NO_PROPOSAL]


def test_every_end_makes_room_for_one_more() -> None:
    """LC-GOV-2: however many of a validator's proposals ended, eight stand and no ninth."""
    c = Council()
    made = [c.open(AddValidator(id_of("alice"))) for _ in range(MAX_OPEN)]
    for proposal in made[1:]:
        assert c.codes(c.tx("v1", Withdraw(proposal))) == [0]
    for _ in made[1:]:
        c.open(AddValidator(id_of("alice")))
    assert c.propose(AddValidator(id_of("alice"))) == Code.TOO_MANY_PROPOSALS


# --- waiting for a turn -------------------------------------------------------------------------------------------------------


def test_what_is_open_again_after_its_turn_is_open_to_its_time() -> None:
    """LC-GOV-4, 5: not for ever."""
    c = Council()
    two = waiting(c)
    assert c.deadlines() == [(id_of("v1"), c.clock, NUMBER, two)]
    c.block()
    record = c.record(two)
    assert c.topics() == ["proposal.reopened"] and record is not None
    assert c.deadlines() == [(id_of("v1"), record.expires, NUMBER, two)]
    while c.clock < record.expires:
        c.block(step=min(60_000, record.expires - c.clock))
    assert c.topics() == ["proposal.expired"] and c.record(two) is None


def test_what_would_be_open_again_when_its_time_is_over_expires() -> None:
    """LC-GOV-4, 5: at its time it is over, not one block behind."""
    c = Council()
    two = waiting(c, life=5_000)
    record = c.record(two)
    assert record is not None
    c.block(step=record.expires - c.clock)
    assert c.topics() == ["proposal.reopened", "proposal.expired"] and c.record(two) is None


def test_words_of_who_left_are_dropped_where_it_is_open_again() -> None:
    """LC-GOV-4: the no's as well, so that nothing is rejected by who is no validator any more."""
    c = Council(FIVE)
    one, two = c.open(RemoveValidator(id_of("v5"))), c.open(AddValidator(id_of("bob")), "v2")
    c.vote(two, False, "v5")
    c.vote(one, True, "v2", "v3")
    c.vote(two, True, "v1", "v3")
    assert c.codes(c.tx("v4", VoteProposal(one, True)), c.tx("v4", VoteProposal(two, True))) == [0, 0]
    waits = c.record(two)
    assert waits is not None and waits.no == [id_of("v5")] and waits.turn
    # Two of its yes are those of strangers by now: it is counted again, and open.
    c.put(proposal_key(two), replace(waits, yes=sorted([id_of("v1"), id_of("v5"), id_of("v6")])))
    c.block()
    found = c.record(two)
    assert found is not None and (found.yes, found.no, found.turn) == ([id_of("v1")], [], 0)
    assert data_of(c, "proposal.reopened") == [[1, 4]]


def test_only_what_changes_the_set_waits() -> None:
    """LC-GOV-4: parameters change in the block that changes the set."""
    c = Council()
    one, two = c.open(AddValidator(id_of("alice"))), c.open(values(0, quota=100))
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    assert c.codes(c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))) == [0, 0]
    assert c.topics()[-2:] == ["proposal.accepted", "parameter.changed"] and proposals(c.state) == []


# --- words and what they do ---------------------------------------------------------------------------------------------------


def test_a_no_said_again_is_refused_though_the_yes_would_decide_by_now() -> None:
    """LC-GOV-3: a no is no way to carry a proposal out."""
    c = Council(FIVE)
    proposal = c.open(values(0, quota=100))
    assert c.vote(proposal, True, "v2", "v3") == [0, 0]
    assert c.vote(proposal, False, "v4") == [0]
    c.decide(RemoveValidator(id_of("v5")), "v1", "v2", "v3", "v4")
    assert c.vote(proposal, False, "v4") == [Code.SAME_VOTE]
    assert c.record(proposal) is not None


def test_an_end_tells_the_words_of_the_present_set_alone() -> None:
    """LC-GOV-5"""
    c = Council(FIVE)
    proposal = c.open(values(0, quota=100), "v2", life=20_000)
    c.vote(proposal, True, "v5")
    c.vote(proposal, False, "v1")
    c.decide(RemoveValidator(id_of("v5")), "v1", "v2", "v3", "v4")
    c.block(step=20_000)
    assert data_of(c, "proposal.expired") == [[1, 1, 4]]


def test_a_proposal_that_fails_is_gone() -> None:
    """LC-GOV-4: with the code of why, and without a second try."""
    c = Council()
    one, two = c.open(RemoveValidator(id_of("v4"))), c.open(RemoveValidator(id_of("v4")), "v2")
    c.vote(one, True, "v2", "v3")
    c.vote(two, True, "v1", "v3")
    assert data_of(c, "proposal.failed") == [[Code.NOTHING_TO_CHANGE]]
    assert proposals(c.state) == [] and c.deadlines() == []
    assert c.vote(two, True, "v1") == [Code.NO_PROPOSAL]


def test_a_parked_proposal_ends_without_effect_and_leaves_its_proposer_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-20, LC-MEM-14"""

    def fail(host: Host, ref: bytes, at: int) -> None:
        raise ValueError("a fault of the contract")

    monkeypatch.setitem(contracts.BY_NUMBER, NUMBER, replaced(contracts.BY_NUMBER[NUMBER], on_due=fail))
    c = Council()
    proposal = c.open(AddValidator(id_of("alice")), life=2_000)
    c.block(step=2_000)
    assert c.record(proposal) is not None
    c.codes(*(c.tx(name, Release(NUMBER, proposal, True)) for name in ("v1", "v2", "v3")))
    assert c.record(proposal) is None and "proposal.expired" in c.topics()
    for _ in range(MAX_OPEN):
        c.open(AddValidator(id_of("alice")))


# --- what is done -------------------------------------------------------------------------------------------------------------


def test_who_joins_the_set_signs_with_its_own_key() -> None:
    """LC-GOV-6"""
    c = Council()
    c.decide(AddValidator(id_of("alice")), "v1", "v2", "v3")
    assert {v.id: v.key for v in validators_of(c.state)}[id_of("alice")] == key_of("alice").public


def test_parameters_that_stay_do_not_keep_others_from_changing() -> None:
    """LC-GOV-8: each change is told with the value before and the one after."""
    c = Council()
    c.decide(values(0, quota=2_048, heartbeat=5_000), "v1", "v2", "v3")
    assert c.topics()[-1] == "parameter.changed"
    (changed,) = data_of(c, "parameter.changed")
    assert changed == [0, "heartbeat", c.genesis.params.heartbeat, 5_000]


@pytest.mark.parametrize(("ahead", "code"), [(0, Code.BAD_UPGRADE), (1, 0), (10_000_000, 0), (10_000_001, Code.BAD_UPGRADE)])
def test_how_far_ahead_an_upgrade_may_lie(ahead: int, code: int) -> None:
    """LC-GOV-9: from the block of the proposal on."""
    c = Council()
    assert c.codes(c.tx("v1", Propose(Upgrade(2, c.height + 1 + ahead), c.clock + FAR))) == [code]
