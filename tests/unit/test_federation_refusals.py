"""Every refusal of the federation contract's rules, played by hand, and what some of its rules are for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.federation.formulas import price, update_size
from tests.federation.records import END, HAVE, IDLE, KEY, MEASURE, OPENING, READY, SCREEN, SUMMING, TRAIN
from tests.federation.scenario import (
    ABSTAIN,
    ALIGNED,
    AWAY,
    DAY,
    INVALID,
    KRUM,
    MEDIAN,
    OK,
    OPENED,
    SAMPLES,
    SECOND,
    SUMS_STAGE,
    USED,
    WRONG,
    AdmitMember,
    Ban,
    CloseFederation,
    CommitMeasure,
    CommitUpdate,
    HaveUpdates,
    JoinFederation,
    LeaveFederation,
    Measure,
    Message,
    NewData,
    OpenFederation,
    OpenMeasure,
    Params,
    PinParts,
    ReadyKey,
    ReferUpdate,
    RemoveMember,
    ScreenUpdates,
    SealKey,
    ServeFederation,
    SetBox,
    SetFlag,
    StartRound,
    Strike,
    SumUpdates,
    Suspend,
    VaultModel,
)
from tests.federation.table import BALANCE, FED, FIRST, SPONSOR, STRANGER, TARGET, Table, terms

GOOD = terms()


@pytest.mark.parametrize(
    ("its", "why"),
    [
        (replace(GOOD, bounty=0), "BAD_TERMS"),
        (replace(GOOD, fee=1), "BAD_TERMS"),
        (replace(GOOD, rounds=1_001), "BAD_TERMS"),
        (replace(GOOD, round_ms=9 * SECOND), "BAD_TERMS"),
        (replace(GOOD, pace_ms=59 * SECOND), "BAD_TERMS"),
        (replace(GOOD, ends=59 * SECOND), "BAD_TERMS"),
        (replace(GOOD, ends=181 * DAY), "BAD_TERMS"),
        (replace(GOOD, min_members=1, min_sum=1), "BAD_TERMS"),
        (replace(GOOD, max_members=129), "BAD_TERMS"),
        (replace(GOOD, min_sum=4), "BAD_TERMS"),
        (replace(GOOD, min_sum=1), "BAD_TERMS"),
        (replace(GOOD, rule=MEDIAN), "BAD_TERMS"),
        (replace(GOOD, rule=MEDIAN, secrecy=OPENED, min_sum=1), None),
        (replace(GOOD, rule=KRUM), None),
        (replace(GOOD, dims=1_023, size=4_192), "BAD_TERMS"),
        (replace(GOOD, split=ALIGNED), "BAD_TERMS"),
        (replace(GOOD, clip=9), "BAD_TERMS"),
        (replace(GOOD, clip=2**50 + 1), "BAD_TERMS"),
        (replace(GOOD, patience=6), "BAD_TERMS"),
        (replace(GOOD, split=ALIGNED, reference=True, dp_milli=1), "BAD_TERMS"),
        (replace(GOOD, size=4_096 + 8), "BAD_MODEL"),
        (replace(GOOD, size=4_096 + 256 * 1_024 + 9), "BAD_MODEL"),
        (replace(GOOD, target=-(10**18)), "BAD_TARGET"),
        (replace(GOOD, bounty=10**15), "INSUFFICIENT"),
    ],
)
def test_terms_out_of_bounds_are_refused(its: object, why: str | None) -> None:
    assert Table().send(SPONSOR, OpenFederation(b"other", its)) == why  # type: ignore[arg-type]


def test_who_is_suspended_barred_or_has_too_many_opens_none() -> None:
    table = Table(params=Params(live=2))
    table.must(STRANGER, Suspend(STRANGER, True))
    assert table.send(STRANGER, OpenFederation(b"x", GOOD)) == "NOT_ACTIVE"
    table.must(STRANGER, Suspend(STRANGER, False))
    for origin in (b"o000", b"o001", b"o002"):
        table.must(STRANGER, Strike(STRANGER, origin))
    assert table.send(STRANGER, OpenFederation(b"x", GOOD)) == "NO_STANDING"
    table.must(SPONSOR, OpenFederation(b"x", GOOD))
    assert table.send(SPONSOR, OpenFederation(b"y", GOOD)) == "TOO_MANY_FEDERATIONS"


# --- members --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "message", "why"),
    [
        (STRANGER, JoinFederation(b"none", b"d"), "NO_SUCH_FEDERATION"),
        (SPONSOR, JoinFederation(FED, b"d"), "OWN_FEDERATION"),
        (b"o000", JoinFederation(FED, b"d"), "ALREADY_MEMBER"),
        (STRANGER, JoinFederation(FED, b"d", 5), "BAD_FILE"),
        (STRANGER, AdmitMember(FED, STRANGER), "NOT_SPONSOR"),
        (SPONSOR, AdmitMember(FED, STRANGER), "NOT_A_MEMBER"),
        (SPONSOR, AdmitMember(FED, b"o000"), "ALREADY_MEMBER"),
        (SPONSOR, RemoveMember(FED, STRANGER), "NOT_A_MEMBER"),
        (STRANGER, LeaveFederation(FED), "NOT_A_MEMBER"),
        (STRANGER, NewData(FED, b"d"), "NOT_A_MEMBER"),
        (b"o000", NewData(FED, b"d", 1), "BAD_FILE"),
        (b"o000", NewData(FED, b"o001"), "DUPLICATE_DATA"),
        (STRANGER, VaultModel(FED, b"cid"), "NOT_A_MEMBER"),
        (STRANGER, StartRound(FED, 0), "NOT_SPONSOR"),
        (SPONSOR, StartRound(FED, 1), "WRONG_ROUND"),
        (STRANGER, CloseFederation(FED), "NOT_SPONSOR"),
        (SPONSOR, SealKey(FED, 5), "WRONG_STATE"),
        (b"v000", ReadyKey(FED, 1), "WRONG_STATE"),
        (b"v000", CommitMeasure(FED, 0, 0, Measure(ABSTAIN)), "WRONG_STATE"),
    ],
)
def test_a_message_that_does_not_fit_is_refused_by_name(sender: bytes, message: Message, why: str) -> None:
    assert Table().send(sender, message) == why


def test_once_a_round_and_no_more_than_max_members() -> None:
    table = Table(its=terms(max_members=6))
    table.must(b"o000", NewData(FED, b"d"))
    assert table.send(b"o000", NewData(FED, b"e")) == "TOO_OFTEN"
    table.must(b"o000", VaultModel(FED, b"cid"))
    assert table.send(b"o000", VaultModel(FED, b"cid")) == "TOO_OFTEN"
    table.join(b"v000")
    table.must(b"v001", JoinFederation(FED, b"d"))
    assert table.send(SPONSOR, AdmitMember(FED, b"v001")) == "DUPLICATE_DATA"
    table.must(b"v002", JoinFederation(FED, b"v002"))
    assert table.send(SPONSOR, AdmitMember(FED, b"v002")) == "FULL"
    for who in table.verifiers[3:7]:
        table.must(who, JoinFederation(FED, who))
    assert table.send(b"v007", JoinFederation(FED, b"v007")) == "FULL"


def test_who_asks_too_long_is_forgotten_and_who_comes_back_keeps_its_index() -> None:
    table = Table()
    table.must(STRANGER, JoinFederation(FED, b"d"))
    table.must(b"o000", LeaveFederation(FED))
    index = table.federation.members[b"o000"].index
    table.block(table.graph.params.pending)
    assert table.federation.end == "ABANDONED"
    table = Table(its=terms(pace_ms=30 * DAY))
    table.must(STRANGER, JoinFederation(FED, b"d"))
    table.must(b"o000", LeaveFederation(FED))
    table.block(table.graph.params.pending)
    table.join(b"o000")
    assert STRANGER not in table.federation.members and table.federation.members[b"o000"].index == index


def test_samples_are_claimed_where_they_count() -> None:
    table = Table(owners=0, its=terms(split=SAMPLES))
    assert table.send(STRANGER, JoinFederation(FED, b"d")) == "BAD_FILE"
    table.must(STRANGER, JoinFederation(FED, b"d", 5))


def test_who_serves_is_active_and_has_a_box_key() -> None:
    table = Table()
    table.must(b"v000", Suspend(b"v000", True))
    assert table.send(b"v000", ServeFederation(True)) == "NOT_ACTIVE"
    assert table.send(b"v000", JoinFederation(FED, b"d")) == "NOT_ACTIVE"
    table.must(b"v001", SetBox(b"v001", False))
    assert table.send(b"v001", ServeFederation(True)) == "BAD_BOXES"


def test_who_sat_on_the_panel_of_a_hidden_file_never_joins() -> None:
    table = Table(its=terms(hidden=True))
    table.start()
    assert table.send(table.federation.panel[0].who, JoinFederation(FED, b"d")) == "OWN_FEDERATION"


# --- rounds ---------------------------------------------------------------------------------------------------------------------


def test_a_round_starts_with_enough_members_a_panel_and_two_aggregators() -> None:
    assert Table(verifiers=0).send(SPONSOR, StartRound(FED, 0)) == "NO_PANEL"
    table = Table(owners=2)
    table.start()
    assert table.send(SPONSOR, StartRound(FED, 1)) == "TOO_FEW_MEMBERS"
    table = Table()
    table.start()
    for who in table.verifiers[1:]:
        table.must(who, ServeFederation(False))
    assert table.send(SPONSOR, StartRound(FED, 1)) == "NO_AGGREGATORS"
    table.graph.clock = table.federation.deadline
    assert table.send(SPONSOR, StartRound(FED, 1)) == "TOO_LATE"


def test_counted_members_are_flagged_ones_where_the_terms_say_so() -> None:
    table = Table(its=terms(vetted=True))
    table.start()
    assert table.start() == "TOO_FEW_MEMBERS"
    for who in table.owners[:3]:
        table.must(who, SetFlag(who, True))
    assert table.start() is None


def test_the_key_is_for_every_seat_and_in_time() -> None:
    table = Table(its=terms(hidden=True))
    table.must(SPONSOR, StartRound(FED, 0))
    table.until(KEY)
    assert table.send(SPONSOR, SealKey(FED, 4)) == "BAD_BOXES"
    table.block(table.graph.params.w_h)
    burned = price(table.graph.params, table.federation.terms)
    assert table.federation.end == "NOKEY" and table.balance(SPONSOR) == BALANCE - burned


def begun(*states: str, **changed: object) -> tuple[Table, int]:
    table = Table(its=terms(**changed))
    table.start()
    return table, table.begun(*states).number


def test_aggregators_are_ready_once_with_a_good_key() -> None:
    table, number = begun(READY)
    who = table.federation.attempt.seats[0].who  # type: ignore[union-attr]
    assert table.send(b"o000", CommitUpdate(FED, number, b"f", update_size(GOOD))) == "KEYS_MISSING"
    assert table.send(STRANGER, ReadyKey(FED, number)) == "NOT_DRAWN"
    assert table.send(who, ReadyKey(FED, number + 1)) == "WRONG_ROUND"
    assert table.send(who, ReadyKey(FED, number, True)) == "BAD_BOXES"
    table.must(who, ReadyKey(FED, number))
    assert table.send(who, ReadyKey(FED, number)) == "ALREADY_READY"


def test_files_are_of_the_roster_of_the_size_of_updates_and_one_each() -> None:
    table, number = begun(TRAIN, reference=True)
    table.join(STRANGER)
    size = update_size(GOOD)
    assert table.send(b"v000", CommitUpdate(FED, number, b"f", size)) == "NOT_A_MEMBER"
    assert table.send(STRANGER, CommitUpdate(FED, number, b"f", size)) == "OUT_OF_ATTEMPT"
    assert table.send(b"o000", CommitUpdate(FED, number, b"f", size + 1)) == "BAD_FILE"
    table.must(b"o000", CommitUpdate(FED, number, b"f", size))
    assert table.send(b"o000", CommitUpdate(FED, number, b"f", size)) == "ALREADY_COMMITTED"
    assert table.send(b"o001", ReferUpdate(FED, number, b"f")) == "NOT_SPONSOR"
    table.must(SPONSOR, ReferUpdate(FED, number, b"f"))
    assert table.send(SPONSOR, ReferUpdate(FED, number, b"f")) == "ALREADY_COMMITTED"
    table.graph.clock = table.federation.deadline
    assert table.send(b"o001", CommitUpdate(FED, number, b"f", size)) == "TOO_LATE"
    other, number = begun(TRAIN)
    assert other.send(SPONSOR, ReferUpdate(FED, number, b"f")) == "NO_REFERENCE"


def test_a_benched_member_is_told_so() -> None:
    table = Table(owners=5)
    table.codes = lambda attempt: {b"o000": WRONG}
    for _ in range(4):
        table.start()
    table.loss = lambda: FIRST
    number = table.begun(TRAIN).number
    assert table.send(b"o000", CommitUpdate(FED, number, b"f", update_size(GOOD))) == "BENCHED"


def test_bitmaps_parts_screens_and_sums_are_said_once_and_fit() -> None:
    table, number = begun(HAVE)
    attempt = table.federation.attempt
    assert attempt is not None
    one, two, three = (seat.who for seat in attempt.seats)
    assert table.send(one, HaveUpdates(FED, number, 2**5)) == "BAD_SCREEN"
    assert table.send(one, HaveUpdates(FED, number, 1, True)) == "BAD_SCREEN"
    table.must(one, HaveUpdates(FED, number, 31))
    assert table.send(one, HaveUpdates(FED, number, 31)) == "ALREADY_SAID"
    table.must(two, HaveUpdates(FED, number, 31))
    table.must(three, HaveUpdates(FED, number, 1))
    table.until(SCREEN)
    screen = ScreenUpdates(FED, number, (USED,) * 5, (), 1)
    assert table.send(three, PinParts(FED, number, 1, ())) == "OUT_OF_ATTEMPT"
    parts = {who: table.truth(attempt, who, "rows") for who in (one, two)}
    assert table.send(one, PinParts(FED, number, 1, ((1, b"a"), (2, b"b")))) == "BAD_SCREEN"
    assert table.send(one, screen) == "PARTS_MISSING"
    table.must(one, parts[one])
    assert table.send(one, parts[one]) == "ALREADY_SAID"
    assert table.send(one, screen) == "PARTS_MISSING"
    table.must(two, parts[two])
    for codes, points in (((USED,) * 4, ()), ((*(USED,) * 4, AWAY), ()), ((USED,) * 5, (1,) * 5)):
        assert table.send(one, ScreenUpdates(FED, number, codes, points, 1)) == "BAD_SCREEN"
    assert table.send(one, replace(screen, norm=0)) == "BAD_SCREEN"
    table.must(one, screen)
    assert table.send(one, screen) == "ALREADY_SCREENED"
    table.must(two, screen)
    assert table.federation.state == SUMMING
    assert table.send(one, SumUpdates(FED, number, b"m")) == "PARTS_MISSING"
    for who in (one, two):
        table.must(who, table.truth(attempt, who, "sums"))
    table.must(one, SumUpdates(FED, number, b"m"))
    assert table.send(one, SumUpdates(FED, number, b"m")) == "ALREADY_SUMMED"
    table.must(two, SumUpdates(FED, number, b"m"))
    assert table.federation.state == MEASURE and table.federation.pair == (one, two)


def test_a_seat_measures_once_opens_what_it_committed_and_says_what_there_is() -> None:
    table = Table()
    table.must(SPONSOR, StartRound(FED, 0))
    table.until(MEASURE)
    one, *others = (seat.who for seat in table.federation.panel)
    table.must(one, CommitMeasure(FED, 0, 0, Measure(OK, 10**18 + 1)))
    assert table.send(one, CommitMeasure(FED, 0, 0, Measure(ABSTAIN))) == "ALREADY_MEASURED"
    assert table.send(others[0], CommitMeasure(FED, 0, 1, Measure(ABSTAIN))) == "WRONG_ROUND"
    assert table.send(STRANGER, CommitMeasure(FED, 0, 0, Measure(ABSTAIN))) == "NO_SEAT"
    for who in others:
        table.must(who, CommitMeasure(FED, 0, 0, Measure(INVALID)))
    assert table.federation.state == OPENING
    assert table.send(one, OpenMeasure(FED, 0, 0, Measure(OK, 1))) == "MEASURE_MISMATCH"
    assert table.send(one, OpenMeasure(FED, 0, 0, Measure(OK, 10**18 + 1))) == "BAD_VOTE"
    table.must(others[0], OpenMeasure(FED, 0, 0, Measure(INVALID)))
    assert table.send(others[0], OpenMeasure(FED, 0, 0, Measure(INVALID))) == "ALREADY_MEASURED"
    for who in others[1:]:
        table.must(who, OpenMeasure(FED, 0, 0, Measure(INVALID)))
    table.block(table.graph.params.w_c)
    assert table.federation.end == "BAD_MODEL"
    assert table.send(SPONSOR, CloseFederation(FED)) == "WRONG_STATE"


# --- what rules are for ---------------------------------------------------------------------------------------------------------


def test_a_member_that_is_removed_in_a_round_keeps_what_it_earned() -> None:
    table, _ = begun(HAVE)
    table.must(SPONSOR, RemoveMember(FED, b"o000"))
    table.loss = lambda: TARGET
    table.until(END)
    assert table.federation.end == "REACHED" and table.balance(b"o000") == BALANCE + GOOD.bounty // 5


def test_data_that_bring_nothing_are_paid_nothing_and_a_new_owner_is_in_from_the_next_base_on() -> None:
    """On a base that was summed before, one alone is left out: the difference of the two sums would be its update."""
    table = Table(its=terms(rounds=8))
    table.start()
    table.loss = lambda: FIRST - 10**8
    for _ in range(4):
        table.start()
    paid = table.federation.paid
    assert paid == GOOD.bounty // 10
    table.join(STRANGER)
    table.start()
    assert table.federation.paid == paid and STRANGER not in table.federation.last
    table.loss = lambda: FIRST - 4 * 10**8
    table.start()
    assert table.federation.paid == 4 * paid and table.balance(STRANGER) > BALANCE


def test_one_aggregator_may_vanish_at_any_time() -> None:
    for step in ("ready", "have", "rows", "screen", "sums", "sum"):
        table = Table()
        table.start()
        table.lies[table.begun(READY).seats[0].who] = lambda said, attempt, step=step: False if said == step else None  # type: ignore[misc]
        table.loss = lambda: TARGET
        table.until(IDLE, END)
        assert table.federation.end == "REACHED", step


def test_a_banned_member_s_share_burns_and_a_suspended_one_is_paid() -> None:
    table, _ = begun(HAVE)
    table.must(b"o000", Ban(b"o000"))
    table.must(b"o001", Suspend(b"o001", True))
    burned = table.graph.money.burned
    table.loss = lambda: TARGET
    table.until(END)
    assert table.graph.money.burned - burned == GOOD.bounty // 5
    assert table.balance(b"o001") == BALANCE + GOOD.bounty // 5


def test_parts_of_a_stage_belong_to_their_state() -> None:
    table, number = begun(SCREEN)
    seat = table.federation.attempt.seats[0].who  # type: ignore[union-attr]
    assert table.send(seat, PinParts(FED, number, SUMS_STAGE, ())) == "WRONG_STATE"
