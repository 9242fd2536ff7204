"""Double signing on the ledger: LC-MEM-10 to LC-MEM-12."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.membership import MemberCode, ReportDouble
from learningchain.chain.errors import Code, InvalidBlock
from learningchain.chain.host import ACTIVE, ClockMark, History
from learningchain.chain.host.ages import MOST_MARKS, add_mark
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.types import (
    PRECOMMIT,
    PREVOTE,
    Evidence,
    LogEvent,
    ProposalEvidence,
    Vote,
    VoteEvidence,
    vote_digest,
)
from tests.unit.ledger_kit import Chain, genesis_of, id_of, key_of
from tests.unit.membership_kit import doubled, names, proposal, report, vote


@pytest.mark.parametrize("kind", ["votes", "proposals"])
def test_a_double_signer_leaves_the_set_from_the_next_height(kind: str) -> None:
    """LC-MEM-10, 11"""
    chain = Chain()
    evidence = doubled(chain, "v2")
    if kind == "proposals":
        evidence = ProposalEvidence(proposal(chain, "v2", b"a" * 32), proposal(chain, "v2", b"b" * 32))
    done = chain.try_(chain.tx("alice", ReportDouble(evidence), sequence=0))
    assert id_of("v2") not in {v.id for v in done.next_validators}
    assert len(validators_of(chain.state)) == 4
    assert report(chain, evidence) == 0
    assert names(chain) == {"v1", "v3", "v4"}
    assert chain.account("v2").status == ACTIVE
    with pytest.raises(InvalidBlock, match="no validator"):
        chain.try_(proposer=id_of("v2"))
    assert report(chain, evidence) == MemberCode.KNOWN_EVIDENCE


def bad_evidence(chain: Chain) -> dict[str, Evidence]:
    a, b = b"a" * 32, b"b" * 32
    forged = Vote(PREVOTE, 1, 0, b, id_of("v2"), key_of("v3").sign(vote_digest(chain.chain_id, PREVOTE, 1, 0, b)))
    foreign = Vote(PREVOTE, 1, 0, b, id_of("v2"), key_of("v2").sign(vote_digest(bytes(32), PREVOTE, 1, 0, b)))
    first = vote(chain, "v2", a)
    return {
        "the same vote twice": VoteEvidence(first, first),
        "different types": VoteEvidence(first, vote(chain, "v2", b, type_=PRECOMMIT)),
        "different heights": VoteEvidence(first, vote(chain, "v2", b, height=2)),
        "different rounds": VoteEvidence(first, vote(chain, "v2", b, round_=1)),
        "different validators": VoteEvidence(first, vote(chain, "v3", b)),
        "one forged": VoteEvidence(first, forged),
        "one of another chain": VoteEvidence(first, foreign),
        "no validator": VoteEvidence(vote(chain, "bob", a), vote(chain, "bob", b)),
        "the same proposal for another proof": ProposalEvidence(proposal(chain, "v2", a), proposal(chain, "v2", a, pol_round=0)),
        "proposals of different rounds": ProposalEvidence(proposal(chain, "v2", a), proposal(chain, "v2", b, round_=1)),
        "proposals of different heights": ProposalEvidence(proposal(chain, "v2", a), proposal(chain, "v2", b, height=2)),
        "proposals of different validators": ProposalEvidence(proposal(chain, "v2", a), proposal(chain, "v3", b)),
        "a proposal forged": ProposalEvidence(proposal(chain, "v2", a), replace(proposal(chain, "v3", b), proposer=id_of("v2"))),
    }


@pytest.mark.parametrize("name", bad_evidence(Chain()))
def test_evidence_that_proves_nothing_is_refused(name: str) -> None:
    """Anybody can keep what an honest validator signed: its votes and proposals of other rounds and heights."""
    chain = Chain()
    chain.block()
    assert report(chain, bad_evidence(chain)[name]) == MemberCode.BAD_EVIDENCE
    assert len(names(chain)) == 4


def test_evidence_has_an_age() -> None:
    chain = Chain(genesis_of("alice", evidence_age=3))
    assert report(chain, doubled(chain, "v2", height=2)) == MemberCode.OLD_EVIDENCE, "of a height to come"
    assert report(chain, doubled(chain, "v2", height=0)) == MemberCode.OLD_EVIDENCE, "before any validators"
    chain.block()
    assert report(chain, doubled(chain, "v2")) == 0, "block 4, height 1"
    chain.block(step=30_000)
    assert report(chain, doubled(chain, "v3")) == MemberCode.OLD_EVIDENCE


def test_who_sets_the_pace_of_blocks_makes_no_evidence_too_old() -> None:
    """LC-MEM-10: a member had ten thousand blocks in five minutes; `evidence_age` counts the time of an idle graph as well."""
    chain = Chain(genesis_of("alice", evidence_age=100))
    for _ in range(300):
        chain.block(step=35)
    assert report(chain, doubled(chain, "v2")) == 0
    for _ in range(40):
        chain.block(step=30_000)
    assert report(chain, doubled(chain, "v3")) == MemberCode.OLD_EVIDENCE
    assert report(chain, doubled(chain, "v3", height=chain.height - 2)) == 0


def test_marks_stay_few_whatever_the_pace_and_the_parameters() -> None:
    """LC-BLK-41"""
    marks: list[ClockMark] = []
    for height in range(2_000):
        span = 160 if height < 500 else 16_000 if height < 1_000 else 50
        marks = add_mark(marks, height, 7 * height, span) or marks
        assert len(marks) <= MOST_MARKS and all(a.height < b.height for a, b in pairwise(marks))
        assert height < 30 or marks[0].clock <= 7 * height - min(span, 160)


def test_the_set_changes_once_in_a_block() -> None:
    chain = Chain()
    one, two = (chain.tx(by, ReportDouble(doubled(chain, who))) for by, who in (("alice", "v1"), ("bob", "v2")))
    assert chain.codes(one, two) == [0, Code.NOT_ALLOWED]
    assert names(chain) == {"v2", "v3", "v4"}
    assert report(chain, doubled(chain, "v2")) == 0
    assert names(chain) == {"v3", "v4"}


def test_the_last_validator_stays() -> None:
    chain = Chain(genesis_of("alice", validators=("v1",)))
    assert report(chain, doubled(chain, "v1")) == MemberCode.LAST_VALIDATOR
    assert names(chain) == {"v1"}


def test_evidence_is_judged_by_the_set_of_its_height() -> None:
    """LC-MEM-12"""
    chain = Chain()
    for _ in range(2):
        chain.block()
    assert report(chain, doubled(chain, "v2", height=1)) == 0
    assert report(chain, doubled(chain, "v2", height=4)) == MemberCode.BAD_EVIDENCE, "it was no validator then"


def test_more_evidence_against_who_left_does_not_crowd_out_the_history() -> None:
    chain = Chain()
    for _ in range(4):
        chain.block()
    assert report(chain, doubled(chain, "v2", height=1)) == 0
    receipts = chain.block(*(chain.tx("alice", ReportDouble(doubled(chain, "v2", height=h))) for h in (2, 3, 4)))
    assert [r.events for r in receipts[1:]] == [[LogEvent("double.signing", id_of("v2"), [h])] for h in (2, 3, 4)]
    history = chain.state.get(b"gh/")
    assert isinstance(history, History) and [s.since for s in history.sets] == [1, 6]
    assert report(chain, doubled(chain, "v2", height=3)) == MemberCode.KNOWN_EVIDENCE
