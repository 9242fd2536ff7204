"""Proposals and votes: LC-GOV-1 to LC-GOV-7."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.governance import (
    MAX_OPEN,
    AddValidator,
    GovernanceCode,
    Propose,
    RemoveValidator,
    VoteProposal,
    Withdraw,
    proposals,
)
from learningchain.chain.contracts.membership import ReportDouble
from learningchain.chain.errors import InvalidBlock
from learningchain.chain.host import BANNED, SUSPENDED, account_key
from learningchain.chain.ledger.state import State
from tests.unit.governance_kit import Council, values
from tests.unit.ledger_kit import id_of
from tests.unit.membership_kit import doubled

Code = GovernanceCode
FIVE, SEVEN = ("v1", "v2", "v3", "v4", "v5"), ("v1", "v2", "v3", "v4", "v5", "v6", "v7")


def add(name: str = "alice") -> AddValidator:
    return AddValidator(id_of(name))


def remove(name: str) -> RemoveValidator:
    return RemoveValidator(id_of(name))


def with_status(c: Council, name: str, status: int) -> None:
    """The account stands otherwise from here on."""
    items = [(key, raw) for key, raw in c.state.items()]
    changed = replace(c.account(name), status=status)
    c.state = State.load([(k, r) if k != account_key(id_of(name)) else (k, encode(changed)) for k, r in items])


# --- who, and how many --------------------------------------------------------------------------------------------------------


def test_a_validator_is_added_by_more_than_two_thirds_from_the_next_height_on() -> None:
    """LC-GOV-3, 4, 6"""
    c = Council()
    proposal = c.open(add())
    assert c.vote(proposal, True, "v2") == [0]
    assert c.names() == {"v1", "v2", "v3", "v4"}
    with pytest.raises(InvalidBlock, match="no validator"):
        c.try_(proposer=id_of("alice"))
    assert c.vote(proposal, True, "v3") == [0]
    assert c.names() == {"v1", "v2", "v3", "v4", "alice"}
    assert c.topics() == ["proposal.voted", "proposal.accepted", "validator.added"]
    assert proposals(c.state) == []
    c.block(proposer=id_of("alice"))


@pytest.mark.parametrize(("n", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5)])
def test_the_quorum_is_more_than_two_thirds_of_all(n: int, needed: int) -> None:
    """LC-GOV-4: at the edge of each size of the set."""
    c = Council(SEVEN[:n])
    c.propose(add())
    for count, name in enumerate(SEVEN[1:n], start=2):
        if "alice" in c.names():
            break
        assert count <= needed
        c.vote(proposals(c.state)[0][0], True, name)
    assert "alice" in c.names()


def test_nobody_but_validators_proposes_and_votes() -> None:
    """LC-GOV-1"""
    c = Council()
    assert c.propose(add(), "alice") == Code.NOT_A_VALIDATOR
    proposal = c.open(add())
    assert c.vote(proposal, True, "alice") == [Code.NOT_A_VALIDATOR]
    assert c.vote(b"?" * 32, True, "v2") == [Code.NO_PROPOSAL]


def test_a_suspended_validator_proposes_and_votes_as_any() -> None:
    """LC-GOV-1: suspension takes away its word on cases only."""
    c = Council()
    with_status(c, "v2", SUSPENDED)
    proposal = c.open(add(), "v2")
    assert c.vote(proposal, True, "v1", "v3") == [0, 0]
    assert "alice" in c.names()


def test_a_removed_validator_s_words_count_for_nothing() -> None:
    """LC-GOV-3, 4: those it gave before, and those that come late."""
    c = Council(SEVEN)
    proposal = c.open(add())
    assert c.vote(proposal, True, "v6", "v7") == [0, 0]
    c.decide(remove("v7"), "v1", "v2", "v3", "v4", "v5")
    assert c.vote(proposal, True, "v7") == [Code.NOT_A_VALIDATOR]
    # Six are left, five are needed: v1, v6 said yes.
    assert c.vote(proposal, True, "v2", "v3") == [0, 0]
    assert "alice" not in c.names()
    record = c.record(proposal)
    assert record is not None and id_of("v7") not in record.yes
    assert c.vote(proposal, True, "v4") == [0]
    assert "alice" in c.names()


def test_a_set_that_shrinks_decides_nothing_by_itself_but_by_the_next_word() -> None:
    """LC-GOV-4: a word said again counts where it decides now."""
    c = Council(FIVE)
    proposal = c.open(add())
    assert c.vote(proposal, True, "v2", "v3") == [0, 0]
    c.decide(remove("v5"), "v1", "v2", "v3", "v4")
    # Three of four said yes: enough now, and nobody counts until somebody speaks.
    c.block()
    assert "alice" not in c.names() and c.record(proposal) is not None
    assert c.vote(proposal, True, "v2") == [0]
    assert "alice" in c.names()


def test_a_word_said_again_that_decides_nothing_is_refused() -> None:
    """LC-GOV-3"""
    c = Council()
    proposal = c.open(add())
    assert c.vote(proposal, True, "v1") == [Code.SAME_VOTE]
    assert c.vote(proposal, False, "v2") == [0]
    assert c.vote(proposal, False, "v2") == [Code.SAME_VOTE]


def test_a_later_word_replaces_the_earlier_one() -> None:
    """LC-GOV-3"""
    c = Council()
    proposal = c.open(add())
    assert c.vote(proposal, False, "v2") == [0]
    assert c.vote(proposal, True, "v2") == [0]
    record = c.record(proposal)
    assert record is not None and record.yes == sorted([id_of("v1"), id_of("v2")]) and record.no == []


def test_a_proposal_is_rejected_once_the_quorum_cannot_be_reached() -> None:
    """LC-GOV-4"""
    c = Council()
    proposal = c.open(add())
    assert c.vote(proposal, False, "v2") == [0]
    assert c.record(proposal) is not None
    assert c.vote(proposal, False, "v3") == [0]
    assert c.topics()[-1] == "proposal.rejected" and c.record(proposal) is None


# --- how many, and how long ---------------------------------------------------------------------------------------------------


def test_a_validator_has_eight_open_proposals_at_most() -> None:
    """LC-GOV-2"""
    c = Council()
    first, *_ = [c.open(add(), "v1") for _ in range(MAX_OPEN)]
    assert c.propose(add(), "v1") == Code.TOO_MANY_PROPOSALS
    assert c.propose(add(), "v2") == 0
    assert c.codes(c.tx("v1", Withdraw(first))) == [0]
    assert c.propose(add(), "v1") == 0


def test_a_proposal_expires() -> None:
    """LC-GOV-5"""
    c = Council()
    proposal = c.open(add(), life=5_000)
    assert c.vote(proposal, True, "v2") == [0]
    c.block(step=5_000)
    assert c.topics() == ["proposal.expired"] and c.record(proposal) is None
    assert c.vote(proposal, True, "v3") == [Code.NO_PROPOSAL]


@pytest.mark.parametrize("life", [0, 1_000, 10_000_001_000])
def test_a_proposal_expires_after_now_and_within_its_life(life: int) -> None:
    """LC-GOV-2: the block's clock is 1,000 ms after the one that `life` counts from."""
    c = Council(proposal_life=10_000_000_000 - 1)
    assert c.propose(add(), life=life) == Code.BAD_EXPIRY


def test_only_its_proposer_withdraws_a_proposal() -> None:
    """LC-GOV-5"""
    c = Council()
    proposal = c.open(add())
    assert c.codes(c.tx("v2", Withdraw(proposal))) == [Code.NOT_THE_PROPOSER]
    assert c.codes(c.tx("v1", Withdraw(proposal))) == [0]
    assert c.codes(c.tx("v1", Withdraw(proposal))) == [Code.NO_PROPOSAL]


# --- the set ------------------------------------------------------------------------------------------------------------------


def test_what_changes_the_set_second_in_a_block_waits_for_the_next_one() -> None:
    """LC-GOV-4"""
    c = Council()
    one, two = c.open(add("alice")), c.open(add("bob"))
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    assert c.codes(c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))) == [0, 0]
    assert c.names() == {"v1", "v2", "v3", "v4", "alice"}
    assert "proposal.waits" in c.topics()
    # Three of five are less than the quorum of the set as it is now: it is open again.
    c.block()
    assert c.topics() == ["proposal.reopened"]
    assert c.vote(two, True, "v4") == [0]
    assert c.names() == {"v1", "v2", "v3", "v4", "alice", "bob"}


def test_what_is_decided_takes_no_word_and_is_not_withdrawn() -> None:
    """LC-GOV-3, 5"""
    c = Council()
    one, two = c.open(add("alice")), c.open(add("bob"))
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    last = [c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))]
    late = [c.tx("v4", VoteProposal(two, False)), c.tx("v1", Withdraw(two))]
    assert c.codes(*last, *late) == [0, 0, Code.DECIDED, Code.DECIDED]


def test_what_waits_is_done_in_the_next_block_where_the_quorum_still_holds() -> None:
    """LC-GOV-4"""
    c = Council()
    one, two = c.open(remove("v4")), c.open(add("bob"))
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    assert c.codes(c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))) == [0, 0]
    assert c.codes(c.tx("v1", Withdraw(two))) == [Code.NO_PROPOSAL]
    assert c.topics() == ["proposal.accepted", "validator.added"]
    assert c.names() == {"v1", "v2", "v3", "bob"}


def test_evidence_and_a_decision_in_one_block_change_the_set_one_after_the_other() -> None:
    """LC-GOV-4"""
    c = Council()
    proposal = c.open(add())
    c.vote(proposal, True, "v2")
    evidence = c.tx("alice", ReportDouble(doubled(c, "v4")))
    assert c.codes(evidence, c.tx("v3", VoteProposal(proposal, True))) == [0, 0]
    assert c.names() == {"v1", "v2", "v3"}
    c.block()
    assert c.names() == {"v1", "v2", "v3", "alice"}


def test_a_set_shrinks_to_one_and_no_further() -> None:
    """LC-GOV-7"""
    c = Council(("v1", "v2"))
    c.decide(remove("v2"), "v1", "v2")
    assert c.names() == {"v1"}
    assert c.propose(remove("v1")) == Code.LAST_VALIDATOR


def test_what_cannot_be_done_any_more_when_it_is_decided_fails() -> None:
    """LC-GOV-4"""
    c = Council()
    one, two = c.open(remove("v4")), c.open(remove("v4"), "v2")
    c.vote(one, True, "v2", "v3")
    assert c.names() == {"v1", "v2", "v3"}
    assert c.vote(two, True, "v1", "v3") == [0, 0]
    assert c.topics()[-1] == "proposal.failed"


def test_who_can_be_added() -> None:
    """LC-GOV-6"""
    c = Council()
    assert c.propose(add("v2")) == Code.NOTHING_TO_CHANGE
    assert c.propose(add("nobody")) == Code.NOT_ELIGIBLE
    assert c.propose(remove("alice")) == Code.NOTHING_TO_CHANGE
    with_status(c, "bob", SUSPENDED)
    assert c.propose(add("bob")) == Code.NOT_ELIGIBLE
    with_status(c, "bob", BANNED)
    assert c.propose(add("bob")) == Code.NOT_ELIGIBLE


def test_a_set_has_128_validators_at_most() -> None:
    """LC-GOV-6"""
    c = Council(tuple(f"v{n}" for n in range(1, 129)))
    assert c.propose(add()) == Code.TOO_MANY_VALIDATORS


def test_two_proposals_in_one_transaction_have_two_ids() -> None:
    """LC-GOV-2: also where both expire at the same moment."""
    c = Council()
    made = [Propose(add("alice"), c.clock + 9_000), Propose(values(0, quota=100), c.clock + 9_000)]
    assert c.codes(c.tx("v1", *made)) == [0]
    found = proposals(c.state)
    assert len(found) == 2 and [ref for ref, _ in found] == sorted(ref for ref, _ in found)
