"""Appeals on a real ledger: who judges, what it costs, what it takes from whom. LC-PRE-35 to 42."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import BOX_BYTES, AppealAnswer, GiveKeys, PredictionCode
from learningchain.chain.contracts.prediction.records import ModelState, RequestState
from learningchain.chain.contracts.prediction.tally import Answer
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, OWNER, Table, number

FEE = 10_000
"""pred_fee, which is u where the floor is small."""


def answered(table: Table, answer: Answer, **asked: Any) -> bytes:
    """A request whose five seats said the same."""
    request = table.ask(**asked)
    table.everybody(request, answer)
    assert table.state(request) == "AGREED"
    return request


def appealed(table: Table, request: bytes, by: str = ASKER, rows: tuple[int, ...] = ()) -> list[str]:
    """Its judges."""
    table.appeal(request, by, rows)
    assert table.state(request) == "APPEAL"
    table.until(request, RequestState.ANSWER)
    return table.seats(request, 3)


def verdict(table: Table, request: bytes) -> str:
    return AppealVerdict(table.record(request).appeal).name


def test_judges_who_say_the_same_uphold_and_have_the_bond() -> None:
    table = Table()
    request = answered(table, number(5))
    before = {name: table.balance(name) for name in (ASKER, *table.judges)}
    judges = appealed(table, request)
    assert set(judges) <= {*table.judges, *(name for name in table.servers if name not in table.seats(request, 1))}
    seated = len(judges)
    assert table.escrowed(records.bond_escrow(request)) == FEE * seated
    table.answer(request, dict.fromkeys(judges, number(7)))
    assert (table.state(request), verdict(table, request)) == ("FINAL", "UPHELD")
    assert before[ASKER] - table.balance(ASKER) == FEE * seated
    assert all(table.balance(name) - before[name] == FEE for name in judges if name in before)
    assert [(one.row, one.score) for one in table.result(request).changed] == [(0, 7)]


def test_judges_who_say_something_else_overturn_and_the_bond_comes_back() -> None:
    table = Table(judges=5)
    request = answered(table, number(5))
    before = table.balance("j0")
    judges = appealed(table, request, by="j0")
    assert "j0" not in judges
    table.answer(request, dict.fromkeys(judges, number(9_000)))
    assert (verdict(table, request), table.balance("j0")) == ("OVERTURNED", before)
    changed = table.result(request).changed[0]
    assert (changed.row, changed.score, changed.support) == (0, 9_000, len(judges))
    assert table.result(request).values[0].score == 5, "the old one stays beside it"
    assert {table.stake(name) for name in table.servers} == {1_010_000}, "six judges slash nobody"


def test_fifteen_judges_without_a_doubt_take_stakes_and_deposit() -> None:
    table = Table(judges=16)
    request = answered(table, number(5))
    liars = table.seats(request, 1)
    before = {name: table.balance(name) for name in (OWNER, *table.servers, *table.judges)}
    judges = appealed(table, request, by=OWNER, rows=(0,))
    assert len(judges) >= 15
    table.answer(request, dict.fromkeys(judges, number(9_000)))
    assert verdict(table, request) == "OVERTURNED"
    assert [table.balance(name) - before[name] for name in liars] == [1_010_000 - 200_000] * 5, "what is left comes back"
    assert table.escrowed(records.deposit_escrow(table.model)) == 0
    assert table.standing.state == ModelState.RETIRED, "its deposit is spent"
    assert all(table.balance(name) - before[name] == FEE for name in judges)
    for name in liars:
        member = table.get(member_key(id_of(name)))
        assert isinstance(member, Member) and [one.origin for one in member.strikes] == [id_of(ASKER)]
    assert table.balance(OWNER) == before[OWNER]


def test_an_appeal_answers_sixteen_rows_at_most_and_those_that_were_named() -> None:
    table = Table()
    request = answered(table, number(*[5] * 20), rows=20, tip=10_000)
    table.appeal(request, rows=(3, 19))
    table.until(request, RequestState.ANSWER)
    rows = table.record(request).rows
    assert len(rows) == 16 and rows == sorted(set(rows)) and {3, 19} <= set(rows)
    judges = table.seats(request, 3)
    table.answer(request, dict.fromkeys(judges, number(*[5] * 16)))
    assert verdict(table, request) == "UPHELD"


def test_rows_that_a_seat_disputes_are_answered_whoever_appeals_and_names_others() -> None:
    """Three of five lie in one of 256 rows, and lie apart in fifteen others each: they are paid, so are the two who do not lie."""
    table = Table(judges=6)
    request = table.ask(rows=256, tip=10**6)
    seats = table.drawn(request)
    said: dict[str, Answer] = {}
    for place, name in enumerate(seats):
        rows = [5] * 256
        if place < 3:
            rows[200] = 9_000
            rows[20 * place : 20 * place + 15] = [1_000 * (place + 1)] * 15
        said[name] = number(*rows, check=0)
    table.answer(request, said)
    assert (table.state(request), table.result(request).values[200].score) == ("AGREED", 9_000)
    assert all(table.get(records.seat_key(request, 1, id_of(name))).paid for name in seats)
    judges = appealed(table, request, by=OWNER, rows=tuple(range(100, 108)))
    rows = table.record(request).rows
    assert len(rows) == 16 and {200, *range(100, 108)} <= set(rows)
    table.answer(request, dict.fromkeys(judges, number(*[5] * 16)))
    assert verdict(table, request) == "OVERTURNED"
    assert [one.score for one in table.result(request).changed if one.row == 200] == [5]


def test_the_first_half_of_the_window_is_the_requesters_own() -> None:
    table = Table()
    request = answered(table, number(5))
    half = table.record(request).answered + table.params.pred_appeal // 2
    while table.chain.clock + 60_000 < half:
        table.block(60_000)
    early = table.codes((OWNER, AppealAnswer(request, [])), step=half - 1 - table.chain.clock)
    assert early == [PredictionCode.NOT_APPEALABLE]
    table.send((OWNER, AppealAnswer(request, [])), step=1)
    assert table.state(request) == "APPEAL"
    table = Table()
    request = answered(table, number(5))
    table.must(ASKER, AppealAnswer(request, []))
    assert table.state(request) == "APPEAL"


def test_appeals_that_are_refused() -> None:
    table = Table(servers=5, judges=5)
    request = answered(table, number(5, 5), rows=2, tip=1_000)
    for rows in ([2], [1, 0], [0, 0], list(range(9))):
        assert table.refusal(ASKER, AppealAnswer(request, rows)) == PredictionCode.BAD_REQUEST
    assert table.refusal(ASKER, AppealAnswer(request, [])) == PredictionCode.NO_COMMITTEE
    assert table.refusal(ASKER, AppealAnswer(bytes(32), [])) == PredictionCode.NO_SUCH_REQUEST
    fresh = table.ask()
    assert table.refusal(ASKER, AppealAnswer(fresh, [])) == PredictionCode.WRONG_STATE
    table = Table()
    request = answered(table, number(5))
    table.must(ASKER, AppealAnswer(request, []))
    assert table.refusal(OWNER, AppealAnswer(request, [])) == PredictionCode.WRONG_STATE, "the first one alone"


def test_a_private_request_is_its_requesters_to_appeal() -> None:
    table = Table()
    request = table.ask(key_hash=[bytes(32)])
    seats = table.drawn(request)
    table.must(ASKER, GiveKeys(request, 1, [bytes(BOX_BYTES)] * 5))
    table.answer(request, dict.fromkeys(seats, number(5)))
    table.half(request)
    assert table.refusal(OWNER, AppealAnswer(request, [])) == PredictionCode.NOT_APPEALABLE
    before = table.balance(ASKER)
    table.must(ASKER, AppealAnswer(request, []))
    table.until(request, RequestState.KEYS)
    assert table.refusal(OWNER, GiveKeys(request, 3, [bytes(BOX_BYTES)])) == PredictionCode.NOT_REQUESTER
    table.leave(request, RequestState.KEYS)
    assert (table.state(request), table.record(request).appeal) == ("FINAL", 0)
    assert table.balance(ASKER) < before, "the bond burned"
