"""Every refusal of the prediction contract's rules, played by hand, and what some of its rules are for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.predictions import formulas
from tests.predictions.scenario import (
    FAULT,
    HOUR,
    NO_DATA,
    OK,
    SECOND,
    AddTip,
    Answer,
    Appeal,
    Ask,
    Ban,
    Cancel,
    CommitAnswer,
    GiveKeys,
    Message,
    ModelTerms,
    OpenAnswer,
    Params,
    RegisterModel,
    RegisterPolicy,
    RetireModel,
    Serve,
    SetBox,
    SetFlag,
    SetPrice,
    Strike,
    Suspend,
    Unserve,
)
from tests.predictions.table import MODEL, OWNER, PUPPET, REQUESTER, Table, number

GOOD = ModelTerms("m")
ASKED = Ask(b"r", MODEL, b"f", 100, 1, 5, 1, 5, 100, 60 * SECOND)
POLICY = RegisterPolicy(b"p", MODEL, True, 0, ((-(10**18), 1),))


def strike(table: Table, who: bytes) -> None:
    for origin in (b"s000", b"s001", b"s002"):
        table.must(who, Strike(who, origin))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (RegisterModel(b"x", replace(GOOD, tol=0)), "BAD_MODEL_TERMS"),
        (RegisterModel(b"x", replace(GOOD, kind=1, classes=1)), "BAD_MODEL_TERMS"),
        (RegisterModel(b"x", replace(GOOD, w=0)), "BAD_MODEL_TERMS"),
        (RegisterModel(b"x", replace(GOOD, slots=65)), "BAD_MODEL_TERMS"),
        (RegisterModel(b"x", replace(GOOD, shares=((OWNER, 0),))), "BAD_MODEL_TERMS"),
        (RegisterModel(b"x", replace(GOOD, name="Credit")), "BAD_NAME"),
        (RegisterModel(b"x", replace(GOOD, name="")), "BAD_NAME"),
        (RegisterModel(b"x", GOOD, previous=b"none"), "NO_SUCH_MODEL"),
        (RegisterModel(b"x", GOOD, previous=MODEL), "NOT_OWNER"),
        (RegisterModel(b"x", GOOD, source=b"job"), "BAD_SOURCE"),
        (SetPrice(b"none", (0, 1), (0, 1)), "NO_SUCH_MODEL"),
        (SetPrice(MODEL, (0, 1), (0, 1)), "NOT_OWNER"),
        (RetireModel(MODEL), "NOT_OWNER"),
        (Serve(b"none", 1), "NO_SUCH_MODEL"),
        (Serve(MODEL, 1), "NOT_A_VERIFIER"),
        (Unserve(MODEL), "NOT_SERVING"),
        (replace(ASKED, model=b"none"), "NO_SUCH_MODEL"),
        (replace(ASKED, rows=0), "BAD_REQUEST"),
        (replace(ASKED, rows=257), "BAD_REQUEST"),
        (replace(ASKED, n=4), "BAD_REQUEST"),
        (replace(ASKED, n=17), "BAD_REQUEST"),
        (replace(ASKED, m=6), "BAD_REQUEST"),
        (replace(ASKED, wait=999), "BAD_REQUEST"),
        (replace(ASKED, wait=HOUR + 1), "BAD_REQUEST"),
        (replace(ASKED, size=0), "BAD_DATA_POINT"),
        (replace(ASKED, size=1_000_001), "BAD_DATA_POINT"),
        (replace(ASKED, inline=False), "BAD_DATA_POINT"),
        (replace(ASKED, inline=True, size=2_049), "BAD_DATA_POINT"),
        (replace(ASKED, policy=b"none"), "NO_SUCH_POLICY"),
        (replace(ASKED, tip=4), "TIP_TOO_SMALL"),
        (replace(ASKED, max_charge=5), "CHARGE_TOO_HIGH"),
        (replace(ASKED, n=11, m=11, tip=11), "NO_SERVERS"),
        (replace(ASKED, tip=10**14, max_charge=10**15), "INSUFFICIENT"),
        (AddTip(b"none", 1), "NO_SUCH_REQUEST"),
        (Cancel(b"none"), "NO_SUCH_REQUEST"),
        (Appeal(b"none", ()), "NO_SUCH_REQUEST"),
        (replace(POLICY, model=b"none"), "NO_SUCH_MODEL"),
        (replace(POLICY, rates=((0, 1),)), "BAD_POLICY"),
        (replace(POLICY, rates=()), "BAD_POLICY"),
        (replace(POLICY, least=16), "BAD_POLICY"),
    ],
)
def test_what_makes_no_sense_is_refused_and_locks_nothing(message: Message, why: str) -> None:
    table = Table()
    before = dict(table.graph.money.balance)
    assert table.send(PUPPET, message) == why
    assert table.graph.money.balance == before


def test_who_is_suspended_struck_or_banned_posts_nothing() -> None:
    table = Table()
    table.must(PUPPET, Suspend(PUPPET, True))
    posts = (RegisterModel(b"x", GOOD), ASKED, POLICY)
    assert [table.send(PUPPET, one) for one in posts] == ["NOT_ACTIVE"] * 3
    table.must(PUPPET, Suspend(PUPPET, False))
    strike(table, PUPPET)
    assert [table.send(PUPPET, one) for one in posts[:2]] == ["TOO_MANY_STRIKES"] * 2
    table.must(PUPPET, Ban(PUPPET))
    assert {table.send(PUPPET, one) for one in posts} == {"BANNED"}


def test_a_model_takes_requests_only_while_it_is_live_and_its_owner_is_active() -> None:
    table = Table()
    table.must(OWNER, Suspend(OWNER, True))
    assert table.send(REQUESTER, ASKED) == "NOT_LIVE"
    table.must(OWNER, Suspend(OWNER, False))
    assert table.send(OWNER, SetPrice(MODEL, (1, 1), (0, 2))) == "PRICE_CHANGED"
    table.must(OWNER, RetireModel(MODEL))
    for message in (SetPrice(MODEL, (0, 1), (0, 1)), RetireModel(MODEL), Serve(MODEL, 10**7), ASKED):
        assert table.send(OWNER, message) in ("NOT_LIVE", "NO_SUCH_MODEL")


def test_who_may_serve() -> None:
    table = Table(2, 8, Params(servers=3))
    one, two, three, four, five, *_ = table.judges
    assert table.send(one, Serve(MODEL, 10)) == "STAKE_TOO_SMALL"
    assert table.send(one, Serve(MODEL, 10**12 + 1)) == "INSUFFICIENT"
    table.must(two, SetBox(two, False))
    assert table.send(two, Serve(MODEL, 10**7)) == "NO_BOX_KEY"
    strike(table, three)
    assert table.send(three, Serve(MODEL, 10**7)) == "TOO_MANY_STRIKES"
    table.must(four, SetFlag(four, False))
    assert table.send(four, Serve(MODEL, 10**7)) == "NOT_A_VERIFIER"
    table.must(one, Serve(MODEL, 10**7))
    assert table.send(five, Serve(MODEL, 10**7)) == "SERVERS_FULL"


def test_who_leaves_may_not_come_back_before_the_last_seat_is_final() -> None:
    table = Table(3)
    request = table.ask(n=3)
    table.to_draw(request)
    who = request.seats[0].who
    table.must(who, Unserve(MODEL))
    assert table.send(who, Serve(MODEL, 10**7)) == "NOT_SERVING" == table.send(who, Unserve(MODEL))


def test_a_waiting_request_is_its_requester_s_and_has_its_time() -> None:
    table = Table(validators=10)
    request = table.ask(wait=SECOND)
    assert table.send(PUPPET, Cancel(request.id)) == "NOT_REQUESTER"
    assert table.send(REQUESTER, AddTip(request.id, 0)) == "BAD_REQUEST"
    assert table.send(REQUESTER, AddTip(request.id, 10**14)) == "INSUFFICIENT"
    table.graph.clock += SECOND
    assert table.send(REQUESTER, Cancel(request.id)) == "TOO_LATE"
    table.block()
    assert table.send(REQUESTER, Cancel(request.id)) == "WRONG_STATE" and request.outcome == "EXPIRED"


def test_seats_commit_and_open_once_what_they_committed() -> None:
    table = Table(6)
    request = table.ask(private=True, n=3)
    table.to_draw(request)
    seats = [one.who for one in request.seats]
    sits, stands = seats[0], next(one for one in table.servers if one not in seats)
    assert table.send(PUPPET, GiveKeys(request.id, 1, 3)) == "NOT_REQUESTER"
    assert table.send(REQUESTER, GiveKeys(request.id, 2, 3)) == "WRONG_ROUND"
    assert table.send(REQUESTER, GiveKeys(request.id, 1, 2)) == "BAD_KEYS"
    assert table.send(sits, CommitAnswer(request.id, 1, number(0))) == "WRONG_STATE"
    table.must(REQUESTER, GiveKeys(request.id, 1, 3))
    assert table.send(stands, CommitAnswer(request.id, 1, number(0))) == "NOT_SEATED"
    table.must(sits, CommitAnswer(request.id, 1, number(0)))
    assert table.send(sits, CommitAnswer(request.id, 1, number(0))) == "ALREADY_COMMITTED"
    table.must(seats[1], CommitAnswer(request.id, 1, Answer(OK, (0, 0), (), 0)))
    table.until(request, ("REDRAW",))
    table.until(request, ("KEYS",))
    table.until(request, ("OPEN",))
    assert table.send(seats[2], OpenAnswer(request.id, 1, number(0))) == "NOT_COMMITTED"
    assert table.send(sits, OpenAnswer(request.id, 1, number(1))) == "ANSWER_MISMATCH"
    table.must(sits, OpenAnswer(request.id, 1, number(0)))
    assert table.send(sits, OpenAnswer(request.id, 1, number(0))) == "ALREADY_OPENED"
    assert table.send(seats[1], OpenAnswer(request.id, 1, Answer(OK, (0, 0), (), 0))) == "BAD_ANSWER"
    table.graph.clock = request.deadline
    assert table.send(seats[1], OpenAnswer(request.id, 1, number(0))) == "TOO_LATE"


def test_who_may_appeal() -> None:
    table = Table(6)
    for private in (False, True):
        request = table.ask(n=5, private=private)
        table.to_draw(request)
        if private:
            table.must(REQUESTER, GiveKeys(request.id, 1, 5))
        assert table.send(REQUESTER, Appeal(request.id, ())) == "WRONG_STATE"
        table.play_round(request, {})
        assert table.send(PUPPET, Appeal(request.id, ())) == "NOT_APPEALABLE", "the requester's own half"
        table.block(table.graph.params.w_p // 2)
        assert table.send(PUPPET, Appeal(request.id, ())) == ("NOT_APPEALABLE" if private else "NO_COMMITTEE")
        assert table.send(REQUESTER, Appeal(request.id, (1,))) == "BAD_REQUEST"


def test_a_full_queue_gives_way_to_a_higher_tip_that_waits_a_minute() -> None:
    table = Table(params=Params(waiting=3, waiting_own=2, row=0))
    last = [table.ask(OWNER), table.ask(OWNER), table.ask(PUPPET)][-1]
    assert table.send(REQUESTER, ASKED) == "QUEUE_FULL"
    assert table.send(REQUESTER, replace(ASKED, tip=50, wait=59_999)) == "QUEUE_FULL"
    table.must(REQUESTER, replace(ASKED, tip=50))
    assert last.outcome == "EVICTED" and table.balance(PUPPET) == 10**12


def test_the_requests_and_models_of_one_account_are_bounded() -> None:
    table = Table(params=Params(waiting_own=1, models=1))
    table.ask()
    assert table.send(REQUESTER, ASKED) == "TOO_MANY_WAITING"
    assert table.send(OWNER, RegisterModel(b"x", GOOD)) == "TOO_MANY_MODELS"


# --- what rules are for ---------------------------------------------------------------------------------------------------------


def test_a_lone_request_is_drawn_d_blocks_later_whatever_d_is() -> None:
    for validators, delay in ((1, 1), (4, 1), (7, 2), (10, 3)):
        table = Table(validators=validators)
        request = table.ask()
        table.blocks(delay - 1)
        assert not request.seats
        table.block()
        assert len(request.seats) == 5


def test_what_an_answer_pays() -> None:
    table = Table(terms=ModelTerms("m", tol=10, p=7, w=100))
    request = table.ask(n=5, rows=3, tip=2_000)
    table.to_draw(request)
    liar = request.seats[0].who
    before, owner = table.balance(liar), table.balance(OWNER)
    honest = [one.who for one in request.seats[1:]]
    paid = {one: table.balance(one) for one in honest}
    table.play_round(request, {liar: number(500, rows=3)})
    fee = formulas.burned_fee(2_000, 21, 0)
    assert request.outcome == "AGREED" and table.balance(liar) == before
    assert {table.balance(one) - paid[one] for one in honest} == {400 + fee // 10}
    assert table.balance(OWNER) == owner + 21
    assert table.balance(REQUESTER) == 10**12 - 4 * 400 - 21 - fee


def test_fifteen_judges_in_agreement_take_stakes_and_as_much_of_the_deposit() -> None:
    for judges, falls in ((14, False), (15, True)):
        table = Table(3, judges)
        request = table.ask(n=3)
        table.to_draw(request)
        table.play_round(request, {one: number(500) for one in table.servers})
        table.must(REQUESTER, Appeal(request.id, ()))
        table.until(request, ("ANSWER",))
        table.play_round(request, {})
        assert request.state == "FINAL" and [value.score for value in request.values.values()] == [0]
        table.block()
        lost = [10**12 - table.balance(one) - table.graph.money.held(MODEL, one) for one in table.servers]
        if falls:
            assert table.graph.models[MODEL].state == "RETIRED" and all(one > 300_000 for one in lost)
            assert 10**12 - table.balance(OWNER) == 999_999
        else:
            assert table.graph.models[MODEL].state == "LIVE" and all(one <= 0 for one in lost)


def test_withheld_data_cost_the_appellant_a_fee_a_vote() -> None:
    table = Table(1, 20)
    request = table.ask(n=1)
    table.to_draw(request)
    table.play_round(request, {})
    before = table.balance(PUPPET)
    table.appeal(PUPPET, request)
    table.until(request, ("ANSWER",))
    table.play_round(request, {one: Answer(NO_DATA) for one in table.judges})
    assert before - table.balance(PUPPET) == 20 * table.graph.params.fee


def test_a_fault_that_no_quorum_says_does_not_count_against_a_model() -> None:
    table = Table(5)
    request = table.ask(n=5)
    table.to_draw(request)
    faults = [one.who for one in request.seats[:3]]
    table.play_round(request, {one: Answer(FAULT) for one in faults})
    assert request.outcome == "NO_AGREEMENT"
