"""Suspension, judges, bans: LC-MEM-4 to LC-MEM-9, 14, 19, 20, LC-CRD-6."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from learningchain.chain.contracts import membership
from learningchain.chain.contracts.credits import Approve, CreditCode, Transfer, TransferFrom, supply
from learningchain.chain.contracts.membership import MAX_CASE_REFS, MemberCode, SetCapacity, member_key
from learningchain.chain.errors import Code, TxCode
from learningchain.chain.host import ACTIVE, BANNED, MEMBERS, STANDING, SUSPENDED, SUSPENSIONS, Due, Host, due_key, split_due
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.types import LogEvent, TransferEvent
from learningchain.chain.verification.votes import Judgement
from tests.unit.ledger_kit import GRANT, VALIDATORS, id_of, key_of
from tests.unit.membership_kit import APPEAL, JOB, JOB2, JOB3, LIFE, SMALL, Court, doubled, names, report


@pytest.fixture
def court(monkeypatch: pytest.MonkeyPatch) -> Court:
    return Court(monkeypatch)


def ended(topic: str, *, ref: bytes = JOB, case: int = 1, confirms: int = 0, lifts: int = 0, judges: int = 4) -> LogEvent:
    return LogEvent(topic, id_of("bob"), [ref, case, confirms, lifts, judges])


# --- freezing -----------------------------------------------------------------------------------------------------------------


def test_an_accused_account_is_suspended_with_the_amount_frozen_and_a_case_opens(court: Court) -> None:
    """LC-MEM-4"""
    assert court.accuse(1_000) is True
    account = court.chain.account("bob")
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, GRANT - 1_000, 1_000)
    case, clock = court.case(), court.chain.clock
    assert (case.number, case.since, case.until) == (1, clock, clock + APPEAL)
    assert [(r.ref, r.owner, r.origin) for r in case.refs] == [(JOB, id_of("alice"), id_of("alice"))]
    assert court.last_events("suspended") == [LogEvent("suspended", id_of("bob"), [JOB, id_of("alice"), 1_000, clock + APPEAL, 1])]


@pytest.mark.parametrize(("amount", "frozen"), [(0, 0), (GRANT - 1, GRANT - 1), (GRANT, GRANT), (GRANT + 1, GRANT)])
def test_no_more_than_is_free_is_frozen(court: Court, amount: int, frozen: int) -> None:
    court.accuse(amount)
    account = court.chain.account("bob")
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, GRANT - frozen, frozen)
    moved = [e for r in court.chain.last.receipts for e in r.events if isinstance(e, TransferEvent)]  # type: ignore[union-attr]
    assert moved == ([TransferEvent("frozen", id_of("bob"), id_of("bob"), frozen, JOB)] if frozen else [])


def test_what_is_free_of_a_suspended_account_moves_and_what_is_frozen_does_not(court: Court) -> None:
    """LC-MEM-9, LC-CRD-6: what reaches it meanwhile is free."""
    chain = court.chain
    chain.block(chain.tx("bob", Approve(id_of("alice"), 0, GRANT)))
    court.accuse(GRANT - 10)
    assert chain.codes(chain.tx("bob", Transfer(id_of("alice"), 11, b""))) == [Code.INSUFFICIENT_CREDITS]
    assert chain.codes(chain.tx("bob", Transfer(id_of("alice"), 4, b""))) == [0]
    assert chain.codes(chain.tx("alice", TransferFrom(id_of("bob"), id_of("carol"), 7))) == [Code.INSUFFICIENT_CREDITS]
    assert chain.codes(chain.tx("alice", TransferFrom(id_of("bob"), id_of("carol"), 6))) == [0]
    assert chain.codes(chain.tx("alice", Transfer(id_of("bob"), 5, b""))) == [0]
    assert (chain.account("bob").balance, chain.account("bob").frozen) == (5, GRANT - 10)
    court.end()
    assert (chain.account("bob").status, chain.account("bob").balance, chain.account("bob").frozen) == (ACTIVE, GRANT - 5, 0)


def test_a_suspended_account_may_declare_a_capacity_and_approve(court: Court) -> None:
    """LC-MEM-9"""
    court.accuse()
    chain = court.chain
    assert chain.codes(chain.tx("bob", SetCapacity(SMALL), Approve(id_of("alice"), 0, 5))) == [0]


# --- further verdicts ---------------------------------------------------------------------------------------------------------


def test_a_further_verdict_freezes_likewise_and_moves_the_end(court: Court) -> None:
    """LC-MEM-4"""
    court.accuse(1_000)
    first = court.case()
    court.chain.block(step=APPEAL // 2)
    court.accuse(500, owner="carol", ref=JOB2)
    case = court.case()
    assert (case.number, case.since, case.until) == (first.number, first.since, court.chain.clock + APPEAL)
    assert court.chain.account("bob").frozen == 1_500
    assert court.last_events("case.extended")[0].data == [JOB2, id_of("carol"), 500, case.until, 1]
    court.chain.block(step=first.until - court.chain.clock)
    assert court.open_case() is not None, "the first end has no meaning any more"
    court.chain.block(step=case.until - court.chain.clock)
    assert court.open_case() is None and court.chain.account("bob").balance == GRANT


def test_a_case_ends_at_most_four_appeals_after_its_first_verdict(court: Court) -> None:
    court.accuse()
    since = court.case().since
    while court.chain.clock < since + 4 * APPEAL - 1_000:
        court.accuse(1)
        assert court.case().until == min(court.chain.clock + APPEAL, since + 4 * APPEAL)
    court.chain.block(step=since + 4 * APPEAL - court.chain.clock)
    assert court.open_case() is None
    assert court.do(lambda host: host.service(SUSPENSIONS).longest_ms()) == [4 * APPEAL]


def test_a_case_for_many_references_keeps_the_first_ones(court: Court) -> None:
    """LC-MEM-4: whoever accuses has to be able to go on, and the case to be read."""
    court.accuse(owner="carol", ref=JOB2)
    court.do(*[lambda host: host.service(SUSPENSIONS).accuse(id_of("bob"), id_of("alice"), 1, JOB, 1)] * 70)
    assert [r.ref for r in court.case().refs] == [JOB2] + [JOB] * (MAX_CASE_REFS - 1)


def test_nobody_fills_its_own_case_and_stays_unbarred_and_unstruck_for_others(court: Court) -> None:
    """LC-MEM-4: sixty-four references of one root make room for the next root: who posted that work is a party of the case, bars
    the accused, and strikes it when the case lapses."""
    court.do(
        *[lambda host, n=n: host.service(SUSPENSIONS).accuse(id_of("bob"), id_of("alice"), 1, b"%d" % n, 1) for n in range(70)]
    )  # type: ignore[misc]
    court.accuse(owner="v1", ref=JOB2)
    court.accuse(owner="carol", ref=JOB2)
    refs = court.case().refs
    assert len(refs) == MAX_CASE_REFS and [r.ref for r in refs[:62]] == [b"%d" % n for n in range(62)]
    assert [(r.ref, r.origin) for r in refs[62:]] == [(JOB2, id_of("v1")), (JOB2, id_of("carol"))]
    assert court.do(lambda host: host.service(SUSPENSIONS).barred_from(id_of("bob"), id_of("carol"))) == [True]
    court.parties.add((JOB2, id_of("v1")))
    assert court.judge(True, "v1") == [MemberCode.PARTY]
    court.end()
    member: Any = court.chain.state.get(member_key(id_of("bob")))
    assert sorted(strike.origin for strike in member.strikes) == sorted(map(id_of, ("alice", "v1", "carol")))


def test_cases_are_numbered_in_their_order(court: Court) -> None:
    court.accuse()
    court.end()
    court.accuse(who="carol")
    court.accuse(owner="dave")
    assert (court.case("carol").number, court.case("bob").number) == (2, 3)


def test_who_is_suspended_is_barred_from_the_roots_of_its_case_alone(court: Court) -> None:
    court.accuse(owner="carol")
    seen = court.do(
        *[
            lambda host, who=who, owner=owner: host.service(SUSPENSIONS).barred_from(id_of(who), id_of(owner))  # type: ignore[misc]
            for who, owner in (("bob", "carol"), ("bob", "dave"), ("carol", "bob"), ("dave", "carol"))
        ]
    )
    assert seen == [True, False, False, False]


# --- judges -------------------------------------------------------------------------------------------------------------------


def test_nobody_is_banned_by_silence(court: Court) -> None:
    """LC-MEM-7: not even where two contractors' verdicts corroborate each other."""
    court.accuse()
    court.accuse(owner="carol", ref=JOB2)
    events = court.end()
    assert court.chain.account("bob").status == ACTIVE and court.chain.account("bob").balance == GRANT
    assert ended("case.lapsed") in events


@pytest.mark.parametrize(("words", "banned"), [(3, True), (2, False)])
def test_more_than_two_thirds_of_the_judges_ban(court: Court, words: int, banned: bool) -> None:
    """LC-MEM-7, 8: three of four."""
    court.accuse()
    assert court.judge(True, *VALIDATORS[:words]) == [0] * words
    assert court.open_case() is not None, "a case is judged at its end"
    events = court.end()
    account = court.chain.account("bob")
    if banned:
        assert events == [TransferEvent("ban", id_of("bob"), b"", GRANT, JOB), ended("banned", confirms=3)]
        assert (account.status, account.balance, account.frozen) == (BANNED, 0, 0)
        assert supply(court.chain.state)["burned"] == GRANT
        assert validators_of(court.chain.state) == court.chain.genesis.validators, "a verdict never touches the validator set"
    else:
        assert (account.status, account.balance) == (ACTIVE, GRANT)
        assert ended("case.lapsed", confirms=2) in events


CORROBORATION = {
    "two roots": (["alice", "carol"], [], True),
    "one root twice": (["alice", "alice"], [], False),
    "an OK for a third": (["alice", "carol"], ["dave"], False),
    "an OK for one of them": (["alice", "carol"], ["carol"], True),
    "an OK for each of them": (["alice", "carol"], ["alice", "carol"], True),
    "an OK for its own second identity": (["alice", "carol"], ["bob"], True),
    "its own jobs push out what others found": (["alice", "carol"], ["bob"] * 64, True),
}


@pytest.mark.parametrize("name", CORROBORATION)
def test_more_than_half_ban_where_verdicts_corroborate_each_other(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """LC-MEM-5: three of five judges are more than half and no two thirds."""
    accusers, vouchers, banned = CORROBORATION[name]
    court = five(monkeypatch)
    for owner in accusers:
        court.accuse(owner=owner)
    vouched = [partial(_vouched, owner=owner) for owner in vouchers]
    court.do(*vouched)
    assert court.judge(True, "v1", "v2", "v3") == [0] * 3
    court.end()
    assert (court.chain.account("bob").status == BANNED) is banned


def _vouched(host: Host, owner: str) -> None:
    host.service(STANDING).judged(id_of("bob"), id_of(owner), Judgement.OK, JOB)


def five(monkeypatch: pytest.MonkeyPatch) -> Court:
    """Five validators: three are more than a half, four more than two thirds."""
    return Court(monkeypatch, validators=(*VALIDATORS, "v5"))


def test_half_of_the_judges_ban_nobody_even_so(court: Court) -> None:
    court.accuse()
    court.accuse(owner="carol", ref=JOB2)
    court.judge(True, "v1", "v2")
    court.end()
    assert court.chain.account("bob").status == ACTIVE


@pytest.mark.parametrize("what", ["FALSE", "OK"])
def test_verdicts_corroborate_for_a_month(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """LC-MEM-5: the first verdict is a month old, to the millisecond, when the case ends; a millisecond less and it counts."""
    for late in (0, 1):
        with monkeypatch.context() as patch:
            court = five(patch)
            if what == "FALSE":
                court.accuse(owner="carol")
                then = court.chain.clock
                court.end()
            else:
                court.judged(Judgement.OK, "dave")
                then = court.chain.clock
            while court.chain.clock < then + LIFE - 2 * APPEAL:
                court.chain.block(step=5_000)
            court.chain.block(step=then + LIFE - APPEAL - 1_000 - late - court.chain.clock)
            court.accuse(owner="alice")
            if what == "OK":
                court.plan = []
                court.do(
                    lambda host: host.service(STANDING).judged(id_of("bob"), id_of("carol"), Judgement.FALSE, JOB2),
                )
            court.judge(True, "v1", "v2", "v3")
            court.end()
            assert court.chain.clock == then + LIFE - late
            counts = late == 1
            assert (court.chain.account("bob").status == BANNED) is (counts if what == "FALSE" else not counts)


def test_the_verdicts_of_a_lifted_case_corroborate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-MEM-19"""
    court = five(monkeypatch)
    court.accuse(owner="carol")
    court.judge(False, "v1", "v2", "v3")
    assert [(v.case, v.lifted) for v in court.verdicts().last] == [(1, True)]
    court.accuse(owner="alice", ref=JOB2)
    court.judge(True, "v1", "v2", "v3")
    court.end()
    assert court.chain.account("bob").status == ACTIVE
    assert [(v.case, v.lifted) for v in court.verdicts().last] == [(1, True), (2, False)]


def test_more_than_half_of_the_judges_lift_at_once(court: Court) -> None:
    """LC-MEM-7: three of four; the end that was set never comes."""
    court.accuse(1_000)
    until = court.case().until
    assert court.judge(False, "v1", "v2") == [0, 0]
    assert court.open_case() is not None
    assert court.judge(False, "v3") == [0]
    assert court.open_case() is None and court.chain.account("bob").balance == GRANT
    assert court.last_events("case.lifted") == [ended("case.lifted", lifts=3)]
    assert court.member().strikes == []
    assert court.closed == [(JOB, id_of("bob"), False)]
    assert court.judge(False, "v4") == [MemberCode.NO_CASE]
    court.accuse(owner="carol")
    court.chain.block(step=until - court.chain.clock)
    assert court.open_case() is not None


def test_a_word_is_counted_when_a_lift_comes(court: Court) -> None:
    """Two of four, and two of the three that are left: only a judge's message ends a case before its time."""
    court.accuse()
    court.judge(False, "v1", "v2")
    assert report(court.chain, doubled(court.chain, "v4")) == 0
    court.chain.block()
    assert court.open_case() is not None
    assert court.judge(False, "v3") == [0]
    assert court.open_case() is None


def test_the_word_of_a_validator_that_left_no_longer_counts(court: Court) -> None:
    """LC-MEM-7"""
    court.accuse()
    assert court.judge(True, "v1", "v2", "v3") == [0, 0, 0]
    assert report(court.chain, doubled(court.chain, "v3")) == 0
    assert names(court.chain) == {"v1", "v2", "v4"}
    assert ended("case.lapsed", confirms=2, judges=3) in court.end()
    assert court.chain.account("bob").status == ACTIVE


def test_the_lift_of_a_validator_that_left_no_longer_counts(court: Court) -> None:
    """LC-MEM-7: one of the two that are left is no majority, whatever those said that are gone."""
    court.accuse()
    assert court.judge(False, "v1", "v2") == [0, 0]
    for gone in ("v1", "v2"):
        assert report(court.chain, doubled(court.chain, gone)) == 0
        court.chain.block()
    assert names(court.chain) == {"v3", "v4"}
    assert court.judge(False, "v3") == [0]
    assert court.open_case() is not None
    assert court.judge(False, "v4") == [0]
    assert court.open_case() is None


def deadlines(court: Court) -> list[int]:
    """When cases end, as the state has it."""
    return [split_due(key)[1] for key in court.chain.state.keys(b"d/") if split_due(key)[2] == membership.NUMBER]


def test_a_case_has_one_deadline_whatever_becomes_of_it(court: Court) -> None:
    """One that was moved, or whose case was lifted, takes no room in the state and no part of a block's deadlines."""
    court.accuse()
    court.chain.block(step=1_000)
    court.accuse(owner="carol", ref=JOB2)
    assert deadlines(court) == [court.case().until]
    court.judge(False, "v1", "v2", "v3")
    assert court.open_case() is None and deadlines(court) == []


def test_the_end_of_a_case_is_as_much_work_as_it_has_references_and_judges(court: Court) -> None:
    """LC-BLK-31: each of them is told, and the part of four validators in each is looked for."""
    due_work = membership.CONTRACT.due_work
    assert due_work is not None
    assert due_work(court.chain.state, id_of("bob")) == 0
    for owner, ref in (("alice", JOB), ("carol", JOB2), ("dave", JOB3)):
        court.accuse(owner=owner, ref=ref)
    assert due_work(court.chain.state, id_of("bob")) == 3 + 3 * 4 // 4


def test_an_accused_validator_is_no_judge_of_itself_and_counts_among_none(court: Court) -> None:
    """LC-MEM-20: three judges are left; all three of them are more than two thirds."""
    court.accuse(who="v4")
    assert court.judge(False, "v4", who="v4") == [MemberCode.NOT_A_VALIDATOR]
    court.judge(True, "v1", "v2", who="v4")
    events = court.end("v4")
    assert [e.data[2:] for e in events if isinstance(e, LogEvent) and e.topic == "case.lapsed"] == [[2, 0, 3]]
    court.accuse(who="v4")
    court.judge(True, "v1", "v2", "v3", who="v4")
    court.end("v4")
    assert court.chain.account("v4").status == BANNED


def test_a_banned_validator_is_no_judge(court: Court) -> None:
    court.accuse(who="v4")
    court.judge(True, "v1", "v2", "v3", who="v4")
    court.end("v4")
    court.accuse()
    court.judge(True, "v1", "v2", "v3")
    assert ended("banned", case=2, confirms=3, judges=3) in court.end()


def test_a_suspended_judge_may_lift_and_not_confirm(court: Court) -> None:
    """LC-MEM-20: and it counts among the judges: a suspension takes nobody's voice away."""
    court.accuse()
    court.accuse(who="v4", ref=JOB2)
    assert court.judge(True, "v4") == [MemberCode.PARTY]
    assert court.judge(False, "v4", "v1", "v2") == [0, 0, 0]
    assert court.last_events("case.lifted") == [ended("case.lifted", lifts=3)]


def test_who_has_a_part_in_a_job_of_the_case_may_lift_and_not_confirm(court: Court) -> None:
    """LC-MEM-20: of any job of the case; the contract says who."""
    court.parties = {(JOB2, id_of("v1")), (JOB3, id_of("v2"))}
    court.accuse()
    assert court.judge(True, "v1") == [0]
    court.accuse(ref=JOB2)
    assert court.judge(False, "v1") == [0]
    assert court.judge(True, "v1", "v2") == [MemberCode.PARTY, 0]


def test_a_word_stays_though_its_judge_becomes_a_party(court: Court) -> None:
    court.accuse()
    court.judge(True, "v1", "v2", "v3")
    court.parties = {(JOB, id_of("v1"))}
    court.end()
    assert court.chain.account("bob").status == BANNED


def test_a_changed_word_moves(court: Court) -> None:
    """LC-MEM-6: nobody's judgement counts for both."""
    court.accuse()
    assert court.judge(True, "v1", "v2", "v3") == [0, 0, 0]
    assert court.judge(True, "v3") == [MemberCode.ALREADY_VOTED]
    assert court.judge(False, "v3") == [0]
    assert (court.case().confirm, court.case().lift) == (sorted([id_of("v1"), id_of("v2")]), [id_of("v3")])
    assert court.last_events("case.judged") == [LogEvent("case.judged", id_of("bob"), [id_of("v3"), "lift"])]
    assert court.judge(True, "v3") == [0] and court.case().lift == []
    assert court.judge(True, "alice") == [MemberCode.NOT_A_VALIDATOR]


def test_there_is_nothing_to_judge_without_a_case(court: Court) -> None:
    assert court.judge(True, "v1") == [MemberCode.NO_CASE]
    assert court.judge(True, "v1", who="nobody") == [MemberCode.NO_CASE]


# --- ends ---------------------------------------------------------------------------------------------------------------------


def test_a_case_that_lapses_leaves_a_strike_for_each_root(court: Court) -> None:
    """LC-MEM-8"""
    for owner, ref in (("carol", JOB2), ("alice", JOB), ("carol", JOB3)):
        court.accuse(owner=owner, ref=ref)
    strikes = [e for e in court.end() if isinstance(e, LogEvent) and e.topic == "strike"]
    assert [e.data for e in strikes] == [["lapsed", JOB2, id_of("carol")], ["lapsed", JOB, id_of("alice")]]
    assert sorted(s.origin for s in court.member().strikes) == sorted([id_of("alice"), id_of("carol")])


@pytest.mark.parametrize(("confirms", "lifts", "struck"), [(0, 0, 1), (1, 1, 1), (0, 1, 0), (1, 2, 0), (2, 1, 1)])
def test_more_lifts_than_confirmations_leave_no_strike(court: Court, confirms: int, lifts: int, struck: int) -> None:
    court.accuse()
    court.judge(True, *VALIDATORS[:confirms])
    court.judge(False, *VALIDATORS[confirms : confirms + lifts])
    court.end()
    assert len(court.member().strikes) == struck


def test_a_banned_account_sends_nothing_holds_nothing_and_verifies_nothing(court: Court) -> None:
    """LC-MEM-8, 9, LC-CRD-6"""
    chain = court.chain
    chain.block(chain.tx("v4", Approve(id_of("alice"), 0, 50)))
    court.accuse(who="v4")
    court.judge(True, "v1", "v2", "v3", who="v4")
    court.end("v4")
    skipped = chain.try_(chain.tx("v4", Transfer(id_of("alice"), 1, b"")), building=True).skipped
    assert skipped[0][1].code is TxCode.BANNED
    assert chain.codes(chain.tx("alice", TransferFrom(id_of("v4"), id_of("alice"), 5))) == [CreditCode.OWNER_BANNED]
    burned = supply(chain.state)["burned"]
    receipts = chain.block(chain.tx("alice", Transfer(id_of("v4"), 9, b"m")))
    assert receipts[1].events == [TransferEvent("transfer:banned", id_of("alice"), b"", 9, b"m")]
    assert supply(chain.state)["burned"] == burned + 9
    assert not court.member("v4").verifier
    assert court.accuse(who="v4") is False and chain.account("v4").status == BANNED
    strikes = court.member("v4").strikes
    court.strike("alice", who="v4")
    court.draw("alice", bad=True, who="v4")
    assert court.member("v4").strikes == strikes and court.member("v4").draws == []


def test_who_has_no_account_is_not_accused(court: Court) -> None:
    assert court.accuse(who="nobody") is False
    assert court.open_case("nobody") is None


@pytest.mark.parametrize("end", ["ban", "lift", "lapse", "give back"])
def test_how_a_case_ended_is_told_for_every_reference(court: Court, end: str) -> None:
    """LC-BLK-21: what a contract holds for the second one would stay for ever."""
    court.accuse()
    court.accuse(owner="carol", ref=JOB2)
    if end == "give back":
        court.do(lambda host: membership.reinstate(host.acting(membership.CONTRACT), id_of("bob")))
    else:
        court.judge(end == "ban", *VALIDATORS[: 3 if end != "lapse" else 0])
        if end != "lift":
            court.end()
    assert court.open_case() is None
    assert list(dict.fromkeys(court.closed)) == [(ref, id_of("bob"), end == "ban") for ref in (JOB, JOB2)]


def test_a_case_that_is_given_back_holds_nothing_against_the_account(court: Court) -> None:
    """LC-MEM-14"""
    court.accuse(1_000)
    court.do(lambda host: membership.reinstate(host.acting(membership.CONTRACT), id_of("bob")))
    assert (court.chain.account("bob").status, court.chain.account("bob").balance) == (ACTIVE, GRANT)
    assert court.member().strikes == [] and court.verdicts().last[0].lifted


def test_a_deadline_from_before_a_case_was_extended_ends_nothing(court: Court) -> None:
    """LC-MEM-7"""
    court.accuse()
    bob = id_of("bob")
    court.chain.put(due_key(bob, court.chain.clock + 1, membership.NUMBER, bob), Due(membership.NUMBER, bob))
    court.chain.block()
    assert court.case().until > court.chain.clock


# --- verdicts kept ------------------------------------------------------------------------------------------------------------


def test_the_last_verdicts_are_kept_and_older_ones_counted(court: Court) -> None:
    """LC-MEM-19"""
    for _ in range(66):
        court.judged(Judgement.REFUSED, "carol")
    court.accuse(owner="dave")
    kept = court.verdicts()
    assert (len(kept.last), kept.older) == (64, 3)
    last = kept.last[-1]
    assert (last.origin, last.verdict, last.time, last.case) == (id_of("dave"), Judgement.FALSE, court.chain.clock, 1)
    assert kept.last[0].case == 0 and kept.last[0].verdict == Judgement.REFUSED


def test_verdicts_in_work_of_its_own_root_are_not_kept(court: Court) -> None:
    """LC-MEM-19: whoever invited it, or was invited with it, neither vouches for it nor pushes others' verdicts out."""
    court.do(lambda host: host.service(MEMBERS).admit(key_of("otto").public, id_of("carol")))
    court.judged(Judgement.OK, "carol", who="otto")
    court.judged(Judgement.OK, "otto", who="carol")
    court.judged(Judgement.REFUSED, "alice", who="otto")
    assert [v.origin for v in court.verdicts("otto").last] == [id_of("alice")]
    assert court.chain.state.get(membership.judged_key(id_of("carol"))) is None
