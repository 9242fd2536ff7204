"""Suspension, bans, strikes and double signing on the ledger: LC-MEM-1 to LC-MEM-12, LC-CRD-6."""

from __future__ import annotations

from dataclasses import replace as replaced
from typing import Any

import pytest
from msgspec.structs import replace

from chain import contracts
from chain.contracts import membership
from chain.contracts.credits import Approve, CreditCode, Transfer, TransferFrom, supply
from chain.contracts.membership import Case, JudgeCase, Member, MemberCode, ReportDouble, case_key, member_key
from chain.errors import Code, InvalidBlock, TxCode
from chain.host import ACTIVE, BANNED, STRIKES, SUSPENDED, SUSPENSIONS, VERIFIERS, History, Host
from chain.ledger.transition import validators_of
from chain.types import (
    PRECOMMIT,
    PREVOTE,
    Evidence,
    LogEvent,
    Proposal,
    ProposalEvidence,
    TransferEvent,
    Vote,
    VoteEvidence,
    proposal_digest,
    vote_digest,
)
from tests.unit.ledger_kit import GRANT, VALIDATORS, Act, Chain, genesis_of, id_of, key_of, own_contract

APPEAL, LIFE = 10_000, 100_000
JOB, JOB2 = b"j" * 32, b"k" * 32


class Court:
    """A chain with a contract that suspends, strikes and pays on request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.closed: list[tuple[bytes, bytes, bool]] = []
        self.seen: list[Any] = []
        bob = id_of("bob")
        own_contract(
            monkeypatch,
            {
                "suspend": lambda host, sender, m: host.service(SUSPENSIONS).suspend(bob, JOB, id_of("alice"), 1),
                "suspend again": lambda host, sender, m: host.service(SUSPENSIONS).suspend(bob, JOB2, id_of("alice"), 1),
                "accuse": lambda host, sender, m: host.service(SUSPENSIONS).suspend(bob, JOB2, id_of("v1"), 1),
                "corroborate": lambda host, sender, m: host.service(SUSPENSIONS).corroborate(bob, JOB),
                "corroborate other": lambda host, sender, m: host.service(SUSPENSIONS).corroborate(bob, JOB2),
                "strike": lambda host, sender, m: host.service(STRIKES).add(bob, "test", JOB),
                "reinstate": lambda host, sender, m: membership.reinstate(host.acting(membership.CONTRACT), bob),
                "strike v1": lambda host, sender, m: host.service(STRIKES).add(id_of("v1"), "test", JOB),
                "fail": lambda host, sender, m: host.service(VERIFIERS).count_draw(id_of("v1"), False),
                "good": lambda host, sender, m: host.service(VERIFIERS).count_draw(id_of("v1"), True),
                "verifiers of the first moment": lambda host, sender, m: self.seen.append(host.service(VERIFIERS).since(0)),
                "look": self._look,
            },
        )
        asked = replaced(contracts.BY_NUMBER[1], on_case_closed=lambda host, *how: self.closed.append(how))
        monkeypatch.setitem(contracts.BY_NUMBER, 1, asked)
        self.chain = Chain(genesis_of("alice", "bob", appeal=APPEAL, strike_life=LIFE))

    def until(self) -> int:
        case = self.chain.state.get(case_key(id_of("bob")))
        assert isinstance(case, Case)
        return case.until

    def _look(self, host: Host, sender: bytes, m: Act) -> None:
        self.seen.append((host.service(STRIKES).live(id_of("bob")), host.service(VERIFIERS).since(host.clock)))

    def do(self, *what: str) -> None:
        assert self.chain.codes(self.chain.tx("alice", *map(Act, what))) == [0]

    def judge(self, confirm: bool, *names: str) -> list[int]:
        return self.chain.codes(*(self.chain.tx(n, JudgeCase(id_of("bob"), confirm)) for n in names))

    def end(self) -> list[Any]:
        """The block in which the appeal ends; its events."""
        return self.chain.block(step=APPEAL)[0].events


@pytest.fixture
def court(monkeypatch: pytest.MonkeyPatch) -> Court:
    return Court(monkeypatch)


# --- suspension ---------------------------------------------------------------------------------------------------------------


def test_a_suspended_account_is_frozen_and_can_send_nothing(court: Court) -> None:
    """LC-MEM-4, 9"""
    chain = court.chain
    court.do("suspend")
    account = chain.account("bob")
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, 0, GRANT)
    skipped = chain.try_(chain.tx("bob", Transfer(id_of("alice"), 1, b"")), building=True).skipped
    assert skipped[0][1].code is TxCode.NOT_ACTIVE
    assert isinstance(chain.state.get(case_key(id_of("bob"))), Case)


def test_what_is_paid_to_a_suspended_account_is_frozen_and_returned_with_the_rest(court: Court) -> None:
    """LC-CRD-6"""
    chain = court.chain
    court.do("suspend")
    chain.block(chain.tx("alice", Transfer(id_of("bob"), 5, b"")))
    assert (chain.account("bob").balance, chain.account("bob").frozen) == (0, GRANT + 5)
    events = court.end()
    assert TransferEvent("returned", id_of("bob"), id_of("bob"), GRANT + 5, JOB) in events
    assert (chain.account("bob").status, chain.account("bob").balance) == (ACTIVE, GRANT + 5)


def test_an_allowance_does_not_reach_a_suspended_owner(court: Court) -> None:
    chain = court.chain
    chain.block(chain.tx("bob", Approve(id_of("alice"), 0, 50)))
    court.do("suspend")
    spend = TransferFrom(id_of("bob"), id_of("alice"), 5)
    assert chain.codes(chain.tx("alice", spend)) == [CreditCode.OWNER_NOT_ACTIVE]


def test_without_a_word_from_the_validators_it_lapses_to_a_strike(court: Court) -> None:
    """LC-MEM-7, 8"""
    court.do("suspend")
    events = court.end()
    assert LogEvent("strike", id_of("bob"), ["lapsed", JOB]) in events
    assert court.chain.state.get(case_key(id_of("bob"))) is None
    assert court.chain.account("bob").status == ACTIVE


def test_three_of_four_validators_ban_and_all_credits_burn(court: Court) -> None:
    chain = court.chain
    court.do("suspend")
    assert court.judge(True, "v1", "v2", "v3") == [0, 0, 0]
    events = court.end()
    assert events == [TransferEvent("ban", id_of("bob"), b"", GRANT, JOB), LogEvent("banned", id_of("bob"), [JOB])]
    account = chain.account("bob")
    assert (account.status, account.balance, account.frozen) == (BANNED, 0, 0)
    assert supply(chain.state)["burned"] == GRANT
    assert validators_of(chain.state) == chain.genesis.validators, "a verdict never touches the validator set"


def test_two_of_four_do_not_ban(court: Court) -> None:
    court.do("suspend")
    court.judge(True, "v1", "v2")
    court.end()
    assert court.chain.account("bob").status == ACTIVE


def test_the_word_of_an_ejected_validator_no_longer_counts(court: Court) -> None:
    """LC-MEM-7: three of the three that are left would be needed. Two stood by the word of one that signed twice."""
    chain = court.chain
    court.do("suspend")
    assert court.judge(True, "v1", "v2", "v3") == [0, 0, 0]
    assert report(chain, doubled(chain, "v3")) == 0
    assert names(chain) == {"v1", "v2", "v4"}
    events = court.end()
    assert LogEvent("strike", id_of("bob"), ["lapsed", JOB]) in events
    assert (chain.account("bob").status, chain.account("bob").balance) == (ACTIVE, GRANT)


def test_nor_does_it_lift_a_ban(court: Court) -> None:
    court.do("suspend", "corroborate")
    assert court.judge(False, "v1", "v2", "v3") == [0, 0, 0]
    assert report(court.chain, doubled(court.chain, "v3")) == 0
    court.end()
    assert court.chain.account("bob").status == BANNED


def test_what_is_paid_to_a_banned_account_burns(court: Court) -> None:
    chain = court.chain
    court.do("suspend")
    court.judge(True, *VALIDATORS)
    court.end()
    receipts = chain.block(chain.tx("alice", Transfer(id_of("bob"), 9, b"m")))
    assert receipts[1].events == [TransferEvent("transfer:banned", id_of("alice"), b"", 9, b"m")]
    assert supply(chain.state)["burned"] == GRANT + 9
    court.do("suspend")
    assert chain.account("bob").status == BANNED


def test_lifted_by_the_validators_leaves_no_strike(court: Court) -> None:
    court.do("suspend", "corroborate")
    assert court.judge(False, "v1", "v2", "v3") == [0, 0, 0]
    court.end()
    member = court.chain.state.get(member_key(id_of("bob")))
    assert isinstance(member, Member) and member.strikes == []
    assert court.chain.account("bob").status == ACTIVE


@pytest.mark.parametrize(
    ("then", "banned"), [("corroborate", True), ("corroborate other", False), ("accuse", True), ("suspend again", False)]
)
def test_corroboration_bans_unless_lifted(court: Court, then: str, banned: bool) -> None:
    """LC-MEM-5: another job of another accuser corroborates; the same accuser, or another job's claimant, does not."""
    court.do("suspend", then)
    court.end()
    assert (court.chain.account("bob").status == BANNED) is banned


def test_a_changed_word_moves(court: Court) -> None:
    """LC-MEM-6"""
    court.do("suspend")
    assert court.judge(True, "v1", "v2", "v3") == [0, 0, 0]
    assert court.judge(True, "v3") == [MemberCode.ALREADY_VOTED]
    assert court.judge(False, "v3") == [0]
    assert court.judge(True, "alice") == [MemberCode.NOT_A_VALIDATOR]
    court.end()
    assert court.chain.account("bob").status == ACTIVE


@pytest.mark.parametrize("first", [True, False], ids=["confirmed first", "lifted first"])
def test_who_changed_its_word_stands_on_one_side(court: Court, first: bool) -> None:
    """LC-MEM-6: nobody's judgement counts for both."""
    court.do("suspend")
    assert court.judge(first, "v1", "v2", "v3") == [0, 0, 0]
    assert court.judge(not first, "v3") == [0]
    case = court.chain.state.get(case_key(id_of("bob")))
    assert isinstance(case, Case)
    sides = (case.confirm, case.lift) if first else (case.lift, case.confirm)
    assert sides == (sorted([id_of("v1"), id_of("v2")]), [id_of("v3")])
    assert LogEvent("strike", id_of("bob"), ["lapsed", JOB]) in court.end(), "two of four neither ban nor lift"
    assert court.chain.account("bob").status == ACTIVE


def test_there_is_nothing_to_judge_without_a_case(court: Court) -> None:
    assert court.judge(True, "v1") == [MemberCode.NO_CASE]


def test_a_second_suspension_does_not_move_the_end(court: Court) -> None:
    court.do("suspend")
    until = court.until()
    court.do("suspend again")
    assert court.until() == until


@pytest.mark.parametrize(("end", "banned"), [("ban", True), ("lift", False), ("reinstate", False)])
def test_how_a_case_ended_is_told_for_every_reference(court: Court, end: str, banned: bool) -> None:
    """LC-BLK-21: what a contract holds for the second one would stay for ever."""
    court.do("suspend", "accuse")
    if end == "reinstate":
        court.do(end)
    else:
        court.judge(banned, *VALIDATORS[:3])
        court.end()
    assert list(dict.fromkeys(court.closed)) == [(ref, id_of("bob"), banned) for ref in (JOB, JOB2)]


# --- strikes and draws --------------------------------------------------------------------------------------------------------


def test_strikes_live_for_a_while(court: Court) -> None:
    """LC-MEM-1"""
    court.do("strike", "strike", "look")
    court.chain.block(step=LIFE // 2)
    court.do("strike", "look")
    court.chain.block(step=LIFE // 2)
    court.do("look")
    assert [live for live, _ in court.seen] == [2, 3, 1]


def test_at_most_sixteen_strikes_are_kept(court: Court) -> None:
    court.do(*["strike"] * 20)
    member = court.chain.state.get(member_key(id_of("bob")))
    assert isinstance(member, Member) and len(member.strikes) == 16


def strikes_of(chain: Chain, name: str) -> list[int]:
    member = chain.state.get(member_key(id_of(name)))
    assert isinstance(member, Member)
    return member.strikes


def test_a_strike_is_forgotten_with_the_moment_at_which_it_ends(court: Court) -> None:
    """LC-MEM-1: live while its end is above the clock. All nodes keep the same ones, or their states differ."""
    court.do("strike")
    (end,) = strikes_of(court.chain, "bob")
    while court.chain.clock < end - 1_000:
        court.chain.block(step=min(60_000, end - court.chain.clock - 1_000))
    court.do("strike")
    assert court.chain.clock == end and strikes_of(court.chain, "bob") == [end + LIFE]


def test_of_too_many_strikes_those_stay_that_end_last(court: Court) -> None:
    ends = []
    for _ in range(18):
        court.do("strike")
        ends.append(court.chain.clock + LIFE)
    assert strikes_of(court.chain, "bob") == ends[-16:]


def test_a_verifier_with_three_live_strikes_is_drawn_no_more(court: Court) -> None:
    """LC-MEM-2: nor is one whose flag is no older than asked for."""
    court.do("strike v1", "strike v1", "look")
    assert id_of("v1") in court.seen[-1][1]
    court.do("strike v1", "look", "verifiers of the first moment")
    assert id_of("v1") not in court.seen[-2][1] and id_of("v2") in court.seen[-2][1]
    assert court.seen[-1] == [], "set then, not before then"


def test_a_suspension_for_many_references_keeps_the_first_ones(court: Court) -> None:
    """LC-MEM-4: whoever accuses has to be able to go on, and the case to be read."""
    court.do("suspend", *["suspend again"] * 70)
    case = court.chain.state.get(case_key(id_of("bob")))
    assert isinstance(case, Case) and [r.ref for r in case.refs] == [JOB] + [JOB2] * 63


def test_verifiers_are_active_flagged_and_not_barred(court: Court) -> None:
    """LC-MEM-2"""
    court.do("look")
    assert court.seen[-1][1] == sorted(map(id_of, VALIDATORS))


def test_more_than_five_failed_draws_of_ten_end_the_flag(court: Court) -> None:
    """LC-MEM-3"""
    court.do(*["fail"] * 5, *["good"] * 5, "good", "fail", "look")
    assert id_of("v1") in court.seen[-1][1]
    court.do(*["fail"] * 2, "look")
    assert id_of("v1") in court.seen[-1][1], "the first failures were forgotten"
    court.do(*["fail"] * 3, "look")
    assert id_of("v1") not in court.seen[-1][1]
    court.do(*["good"] * 10, "look")
    assert id_of("v1") not in court.seen[-1][1], "good draws do not bring it back"


# --- double signing -----------------------------------------------------------------------------------------------------------


def vote(chain: Chain, name: str, block: bytes, height: int = 1, type_: int = PREVOTE, round_: int = 0) -> Vote:
    digest = vote_digest(chain.chain_id, type_, height, round_, block)
    return Vote(type_, height, round_, block, id_of(name), key_of(name).sign(digest))


def proposal(chain: Chain, name: str, block: bytes, height: int = 1, pol_round: int = -1, round_: int = 0) -> Proposal:
    digest = proposal_digest(chain.chain_id, height, round_, pol_round, block)
    return Proposal(height, round_, pol_round, block, id_of(name), key_of(name).sign(digest))


def doubled(chain: Chain, name: str, height: int = 1) -> Evidence:
    return VoteEvidence(vote(chain, name, b"a" * 32, height), vote(chain, name, b"", height))


def report(chain: Chain, evidence: Evidence, by: str = "alice") -> int:
    return chain.codes(chain.tx(by, ReportDouble(evidence)))[0]


def names(chain: Chain) -> set[str]:
    ids = {v.id for v in validators_of(chain.state)}
    return {n for n in VALIDATORS if id_of(n) in ids}


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
    assert report(chain, doubled(chain, "v3")) == MemberCode.OLD_EVIDENCE


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
