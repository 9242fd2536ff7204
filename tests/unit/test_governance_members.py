"""What the validators decide about members: LC-GOV-10."""

from __future__ import annotations

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.governance import (
    AddValidator,
    Admit,
    Ban,
    GovernanceCode,
    LiftBan,
    Remove,
    RemoveValidator,
    SetVerifier,
    VoteProposal,
)
from learningchain.chain.contracts.membership import Member, MemberCode, member_key
from learningchain.chain.errors import Code
from learningchain.chain.host import ACTIVE, BANNED, K_SUPPLY, Supply
from learningchain.chain.ledger.transition import validators_of
from tests.unit.governance_kit import Council
from tests.unit.ledger_kit import GRANT, id_of, key_of

ALL = ("v1", "v2", "v3")


def member(c: Council, name: str) -> Member:
    found = c.state.get(member_key(id_of(name)))
    assert isinstance(found, Member)
    return found


def supply(c: Council) -> Supply:
    found = c.state.get(K_SUPPLY)
    assert isinstance(found, Supply)
    return found


def test_a_newcomer_is_admitted_gets_the_flag_and_joins_the_set() -> None:
    c = Council()
    c.decide(Admit(key_of("nora").public), *ALL)
    assert c.account("nora").balance == 0 and member(c, "nora").root == id_of("nora")
    assert not member(c, "nora").verifier
    c.decide(SetVerifier(id_of("nora"), True), *ALL)
    assert member(c, "nora").verifier
    c.decide(AddValidator(id_of("nora")), *ALL)
    assert "proposal.accepted" in c.topics()


def test_who_is_there_is_not_admitted_again() -> None:
    c = Council()
    assert c.propose(Admit(key_of("alice").public)) == MemberCode.KNOWN_KEY


def test_who_joined_since_it_was_proposed_is_not_admitted_again() -> None:
    """LC-GOV-4: the second of two proposals for one key fails."""
    c = Council()
    one, two = c.open(Admit(key_of("nora").public)), c.open(Admit(key_of("nora").public))
    c.vote(one, True, "v2", "v3")
    assert c.vote(two, True, "v2", "v3") == [0, 0]
    assert c.topics()[-1] == "proposal.failed"


def test_a_network_by_invitation_admits_nobody_by_vote() -> None:
    c = Council(join_policy=1)
    assert c.propose(Admit(key_of("nora").public)) == MemberCode.INVITATIONS_ONLY


def test_a_validator_leaves_the_set_before_it_is_removed_or_banned() -> None:
    c = Council()
    assert c.propose(Remove(id_of("v4"))) == MemberCode.STILL_A_VALIDATOR
    assert c.propose(Ban(id_of("v4"))) == GovernanceCode.IS_A_VALIDATOR
    c.decide(RemoveValidator(id_of("v4")), *ALL)
    c.block()
    c.decide(Remove(id_of("v4")), "v1", "v2", "v3")
    assert member(c, "v4").left > 0 and c.account("v4").balance == GRANT
    assert c.propose(AddValidator(id_of("v4"))) == GovernanceCode.NOT_ELIGIBLE


def test_who_joins_the_set_with_the_next_block_is_not_banned_into_it() -> None:
    c = Council()
    c.decide(SetVerifier(id_of("bob"), True), *ALL)
    add, ban = c.open(AddValidator(id_of("bob"))), c.open(Ban(id_of("bob")))
    c.vote(add, True, "v3")
    c.vote(ban, True, "v2")
    assert c.codes(c.tx("v2", VoteProposal(add, True)), c.tx("v3", VoteProposal(ban, True))) == [0, 0]
    assert "proposal.accepted" in c.topics() and c.topics()[-1] == "proposal.failed"
    c.block()
    assert id_of("bob") in {v.id for v in validators_of(c.state)} and c.account("bob").status == ACTIVE


def test_a_test_of_a_proposal_leaves_nothing_behind() -> None:
    """LC-GOV-10: what is tried when it is proposed is undone."""
    c = Council()
    root = c.account("alice")
    c.open(Ban(id_of("alice")))
    assert c.account("alice") == root and supply(c).burned == 0
    assert c.topics() == ["proposal.made"]


def test_a_ban_burns_and_lifting_it_mints_back_what_burned() -> None:
    c = Council()
    before = supply(c)
    c.decide(Ban(id_of("bob")), *ALL)
    assert c.account("bob").status == BANNED and c.account("bob").balance == 0
    assert supply(c) == Supply(before.minted, GRANT)
    assert c.propose(Ban(id_of("bob"))) == MemberCode.ALREADY_BANNED
    c.decide(LiftBan(id_of("bob")), *ALL)
    assert c.account("bob").status == ACTIVE and c.account("bob").balance == GRANT
    assert supply(c) == Supply(before.minted + GRANT, GRANT)
    assert c.propose(LiftBan(id_of("bob"))) == MemberCode.NOT_BANNED


def test_what_a_banned_account_would_have_got_comes_back_with_its_ban_lifted() -> None:
    """LC-CRD-6, LC-MEM-31: exactly, once, and for this ban alone."""
    c = Council()
    before = supply(c)
    c.decide(Ban(id_of("bob")), *ALL)
    c.block(c.tx("alice", Transfer(id_of("bob"), 70, b"")), c.tx("alice", Transfer(id_of("bob"), 7, b""), sequence=1))
    assert c.account("bob").balance == 0 and supply(c) == Supply(before.minted, GRANT + 77)
    c.decide(LiftBan(id_of("bob")), *ALL)
    assert c.account("bob").balance == GRANT + 77
    assert supply(c) == Supply(before.minted + GRANT + 77, GRANT + 77)
    c.decide(Ban(id_of("bob")), *ALL)
    c.decide(LiftBan(id_of("bob")), *ALL)
    assert c.account("bob").balance == GRANT + 77, "nothing comes back twice"


def test_the_flag_is_set_and_taken() -> None:
    c = Council()
    assert c.propose(SetVerifier(id_of("v2"), True)) == MemberCode.SAME_FLAG
    c.decide(SetVerifier(id_of("v2"), False), *ALL)
    assert not member(c, "v2").verifier
    assert c.propose(SetVerifier(id_of("nobody"), True)) in (MemberCode.NOT_A_MEMBER, Code.UNKNOWN_ACCOUNT)
