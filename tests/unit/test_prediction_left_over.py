"""Whoever a draw left over judges an appeal: what puppets do to a right answer, honest judges to a false one (LC-PRE-58)."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.membership import SetCapacity, member_key
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.messages import AppealAnswer, PolicyRate, PredictionCode, RegisterPolicy, policy_id_of
from learningchain.chain.contracts.prediction.records import ModelState, RequestState
from learningchain.chain.contracts.prediction.tally import Answer
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, CAPACITY, OWNER, Table, number

TRUE, FALSE = number(5), number(9_000)


def overturned(table: Table, request: bytes, by: str, liars: set[str]) -> bool | None:
    """Whether an appeal changes the value, of which liars say the false one and all others the true one; None: it is refused."""
    answers = {name: FALSE if name in liars else TRUE for name in (*table.servers, *table.judges)}
    if by != ASKER:
        table.half(request)
    if refused := table.refusal(by, AppealAnswer(request, [])):
        assert refused == PredictionCode.NO_COMMITTEE
        return None
    table.until(request, RequestState.ANSWER)
    table.answer(request, {name: answers[name] for name in table.seats(request, 3)})
    return table.record(request).appeal == AppealVerdict.OVERTURNED


@pytest.mark.parametrize(
    ("verifiers", "answers", "puppets", "expected"),
    [
        (8, 5, 2, None),
        (12, 9, 2, None),
        (18, 15, 2, None),
        (30, 15, 8, None),
        (12, 5, 4, False),
        (12, 5, 5, False),
        (20, 9, 6, False),
    ],
)
def test_puppets_that_do_not_serve_overturn_no_answer_of_all_seats(
    verifiers: int, answers: int, puppets: int, expected: bool | None
) -> None:
    """They are most of the judges, and a friend of theirs appeals. Before the draw counted each of these was false and final, at no
    cost, and no policy accepted it any more."""
    table = Table(servers=verifiers - puppets, judges=puppets)
    terms = RegisterPolicy(table.model, True, 100, [PolicyRate(-(10**18), 1)], 3, 0)
    policy = policy_id_of(table.must(OWNER, terms), 0)
    for _ in range(10):
        request = table.ask(answers=answers, policy=[policy])
        table.everybody(request, TRUE)
        assert overturned(table, request, OWNER, set(table.judges)) is expected
        result = table.result(request)
        assert [one.score for one in result.values] == [5] and not result.changed
        assert [one.decision for one in result.decisions] == [Decision.ACCEPT]
    members = [table.get(member_key(id_of(name))) for name in table.servers]
    assert not any(draw.bad for member in members for draw in member.draws), "of the honest judges, whom most contradict"


@pytest.mark.parametrize(
    ("verifiers", "answers", "liars"), [(6, 3, 2), (8, 3, 3), (8, 5, 3), (10, 5, 4), (12, 9, 5), (18, 15, 8), (30, 5, 10)]
)
def test_a_lie_that_was_drawn_falls_where_most_are_honest(verifiers: int, answers: int, liars: int) -> None:
    """Liars serve, and are by luck most of the seats: who was outvoted appeals, or the requester where all lied. In a small graph
    the judges alone could not outweigh them: who told the truth in the draw counts beside."""
    rng = Random(f"{verifiers} {answers} {liars}")
    table = Table(servers=verifiers, judges=0)
    for _ in range(7):
        request = table.ask(answers=answers)
        seats, lying = table.drawn(request), set[str]()
        while 2 * len(lying & set(seats)) <= answers:
            lying = set(rng.sample(table.servers, liars))
        table.answer(request, {name: FALSE if name in lying else TRUE for name in seats})
        assert [one.score for one in table.result(request).values] == [9_000]
        honest = [name for name in seats if name not in lying]
        assert overturned(table, request, honest[0] if honest else ASKER, lying)
        assert [one.score for one in table.result(request).changed] == [5]


@pytest.mark.parametrize(("answers", "liars", "owner_pays"), [(1, 1, False), (3, 3, False), (5, 3, False), (5, 4, True)])
def test_a_lie_falls_on_the_owner_only_where_a_quorum_of_five_seats_said_it(answers: int, liars: int, owner_pays: bool) -> None:
    """A puppet that serves lies, and a friend appeals: before, one seat of one had the owner's deposit burned, the
    model retired and every server out, for a credit. Few lose what they were paid, and the model goes on."""
    table = Table(servers=10, judges=15)
    request = table.ask(answers=answers, tip=1_000 * answers)
    lying = set(table.drawn(request)[:liars])
    table.answer(request, {name: FALSE if name in lying else TRUE for name in table.seats(request)})
    stakes = {name: table.stake(name) for name in table.servers}
    deposit = table.escrowed(records.deposit_escrow(table.model))
    assert overturned(table, request, OWNER, lying)
    lost = {name: stakes[name] - table.stake(name) for name in lying}
    burned = deposit - table.escrowed(records.deposit_escrow(table.model))
    if owner_pays:
        assert burned == deposit and table.standing.state == ModelState.RETIRED
    else:
        assert set(lost.values()) == {1_000} and burned == 0 and table.standing.state == ModelState.LIVE
        assert all(table.server(name) for name in table.servers)
    assert all(table.get(member_key(id_of(name))).strikes for name in lying)


@pytest.mark.parametrize(("puppets", "expected"), [(0, None), (5, None), (6, True)])
def test_friends_who_alone_declare_what_an_owner_asks_for_have_to_outnumber_the_draw(puppets: int, expected: bool | None) -> None:
    """A start of ten minutes is above what nodes declare by default: of thirty honest verifiers none can judge."""
    table = Table(servers=10, judges=30 + puppets, register={"start_s": 600})
    able = set(table.judges[:puppets])
    least = replace(CAPACITY, eval_s=600)
    table.send(*((name, SetCapacity(least)) for name in (*table.servers, *table.judges) if name not in able))
    request = table.ask(answers=5)
    table.everybody(request, TRUE)
    assert overturned(table, request, OWNER, able) is expected


@pytest.mark.parametrize("first", [FALSE, TRUE], ids=["overturned", "nobody agrees"])
def test_judges_of_anothers_appeal_work_for_nothing(first: Answer) -> None:
    """Where few had lied, or the judges do not agree, the bond goes back whole. A requester pays for its own appeal."""
    for by, each in ((OWNER, 0), (ASKER, 10_000)):
        table = Table(servers=10, judges=30, pred_fee=10_000)
        request = table.ask(answers=3)
        table.everybody(request, first)
        if by == OWNER:
            table.half(request)
        before = table.balance(by)
        table.must(by, AppealAnswer(request, []))
        table.until(request, RequestState.ANSWER)
        judges = table.seats(request, 3)
        had = {name: table.balance(name) for name in judges}
        table.answer(request, {name: TRUE if first == FALSE else number(100 * n) for n, name in enumerate(judges)})
        assert {table.balance(name) - had[name] for name in judges} == {each}
        assert before - table.balance(by) == each * len(judges) and len(judges) == 37
