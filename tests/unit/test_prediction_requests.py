"""Requests on a real ledger: posted, queued, drawn, evicted, dropped, given back. LC-PRE-16 to 21, 45, 46, 53, 54."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.prediction import deadlines, records
from learningchain.chain.contracts.prediction.messages import AddTip, CancelRequest, PredictionCode, ServeModel, inline_cid
from learningchain.chain.contracts.prediction.records import EndedRequest, OpenRequest, Queued, RequestState, WaitingOf
from learningchain.chain.contracts.prediction.tally import AnswerCode
from learningchain.chain.errors import Code
from learningchain.chain.ledger.restart import carry
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, INPUT, OWNER, Table, asking, cid_of, code, number

CHARGE = 500 + 3 + 26
"""Of five answers to one row at a floor of 100: tip, royalty, a twentieth of both."""


def test_five_who_agree_are_paid_and_the_request_is_final_after_a_while() -> None:
    table = Table()
    before = {name: table.balance(name) for name in (ASKER, OWNER, *table.servers)}
    request = table.ask(tip=1_000_000)
    seats = table.drawn(request)
    assert len(set(seats)) == 5
    table.answer(request, {name: number(1_000 + i) for i, name in enumerate(seats)})
    assert (table.state(request), table.outcome(request)) == ("AGREED", "AGREED")
    fee = (1_000_000 + 3 + 19) // 20
    each = 1_000_000 // 5 + min(20_000, fee // 10)
    assert [table.balance(name) - before[name] for name in seats] == [each] * 5
    assert table.balance(OWNER) - before[OWNER] == 3
    assert before[ASKER] - table.balance(ASKER) == 1_000_000 + 3 + fee
    assert [(one.score, one.support) for one in table.result(request).values] == [(1_002, 5)]
    table.until(request, RequestState.FINAL, step=60_000)
    assert [one.paid for one in table.result(request).seats] == [200_000] * 5
    assert table.standing.unfinal_seats == 0


def test_a_request_takes_six_blocks_where_every_message_is_there_in_time() -> None:
    """Posted, drawn, committed, open, opened, settled. What a graph takes beyond that are messages that came a block later."""
    table = Table()
    first = table.chain.height + 1
    request = table.ask()
    table.block()
    seats = table.seats(request)
    table.commit(request, {name: number(7) for name in seats})
    table.block()
    assert table.state(request) == "OPEN"
    table.open(request, {name: number(7) for name in seats})
    table.block()
    assert (table.state(request), table.chain.height - first + 1) == ("AGREED", 6)


# --- refusals --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> Table:
    """Of refusals: each leaves everything as it was."""
    return Table(people=("other",))


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"rows": 0}, PredictionCode.BAD_REQUEST),
        ({"rows": 257}, PredictionCode.BAD_REQUEST),
        ({"answers": 4}, PredictionCode.BAD_REQUEST),
        ({"answers": 17}, PredictionCode.BAD_REQUEST),
        ({"agree": 6}, PredictionCode.BAD_REQUEST),
        ({"agree": 0}, PredictionCode.BAD_REQUEST),
        ({"tip": 10**15 + 1}, PredictionCode.BAD_REQUEST),
        ({"wait": 999}, PredictionCode.BAD_REQUEST),
        ({"wait": 3_600_001}, PredictionCode.BAD_REQUEST),
        ({"cid": b"x"}, PredictionCode.BAD_DATA_POINT),
        ({"size": 0}, PredictionCode.BAD_DATA_POINT),
        ({"size": 1_000_001, "inline": b""}, PredictionCode.BAD_DATA_POINT),
        ({"size": 5}, PredictionCode.BAD_DATA_POINT),
        ({"cid": cid_of("another")}, PredictionCode.BAD_DATA_POINT),
        ({"inline": bytes(2_049), "size": 2_049, "cid": inline_cid(bytes(2_049))}, PredictionCode.BAD_DATA_POINT),
        ({"policy": [bytes(32)]}, PredictionCode.NO_SUCH_POLICY),
        ({"tip": 499}, PredictionCode.TIP_TOO_SMALL),
        ({"max_charge": CHARGE - 1}, PredictionCode.CHARGE_TOO_HIGH),
        ({"answers": 9, "agree": 8}, PredictionCode.NO_SERVERS),
        ({"tip": 10**14}, PredictionCode.CHARGE_TOO_HIGH),
        ({"tip": 10**11}, Code.INSUFFICIENT_CREDITS),
    ],
    ids=str,
)
def test_requests_that_are_refused(table: Table, changes: dict[str, Any], refused: int) -> None:
    assert table.refusal(ASKER, asking(table.model, **changes)) == refused


def test_inline_bytes_have_their_own_name(table: Table) -> None:
    assert asking(table.model).cid == inline_cid(INPUT)
    assert table.refusal(ASKER, asking(bytes(32))) == PredictionCode.NO_SUCH_MODEL


def test_a_requester_does_not_answer_itself_and_an_owner_only_where_few_others_do() -> None:
    table = Table(servers=3)
    assert table.refusal("s0", asking(table.model, answers=3)) == PredictionCode.NO_SERVERS
    table = Table(servers=4, register={"name": "own"})
    mine = table.register(by="s0", name="mine")
    table.send(*((name, ServeModel(mine, 1_010_000)) for name in table.servers))
    table.model = mine
    table.block()
    assert "s0" not in table.drawn(table.ask(answers=3)), "three others serve"
    few = table.register(by="s0", name="few")
    table.send(*((name, ServeModel(few, 1_010_000)) for name in ("s0", "s1", "s2")))
    table.model = few
    table.block()
    assert sorted(table.drawn(table.ask(answers=3))) == ["s0", "s1", "s2"]


# --- the queue -------------------------------------------------------------------------------------------------------------------


def waiting(**more: int) -> Table:
    """A model whose five servers are busy: what is asked after that waits."""
    table = Table(servers=5, register={"slots": 1}, people=("other", "third"), **more)
    table.drawn(table.ask(inline=b"", size=1_000_000, cid=cid_of("large")))
    return table


def order(table: Table) -> list[bytes]:
    """The requests that wait, in the order of the queue."""
    keys = table.chain.state.keys(records.QUEUE)
    return [one.request for key in keys for one in [table.get(key)] if isinstance(one, Queued)]


def test_higher_tips_go_first_and_what_is_a_minute_old_is_overtaken_by_nothing() -> None:
    table = waiting(pred_a0=300_000)
    low = table.ask(wait=3_600_000)
    high = table.ask(tip=5_000, wait=3_600_000)
    assert order(table) == [high, low]
    table.block(59_000)
    late = table.ask(tip=10**8, wait=3_600_000)
    assert order(table) == [high, low, late], "sixty seconds later"


def test_who_may_change_what_waits() -> None:
    table = waiting(pred_a0=300_000)
    request = table.ask()
    for message in (AddTip(request, 1), CancelRequest(request)):
        assert table.refusal("other", message) == PredictionCode.NOT_REQUESTER
    for message in (AddTip(bytes(32), 1), CancelRequest(bytes(32))):
        assert table.refusal(ASKER, message) == PredictionCode.NO_SUCH_REQUEST
    assert table.codes((ASKER, AddTip(request, 0)), ("other", AddTip(request, 1)))[0] == PredictionCode.BAD_REQUEST
    drawn = next(ref for ref in table.chain.state.keys(records.OPEN) if ref[3:] != request)[3:]
    assert table.refusal(ASKER, CancelRequest(drawn)) == PredictionCode.WRONG_STATE


def test_a_full_queue_lets_its_last_one_go_for_a_better_one() -> None:
    table = waiting(pred_a0=300_000, pred_waiting=2)
    first, second = table.ask(), table.ask("other")
    assert table.refusal("third", asking(table.model)) == PredictionCode.QUEUE_FULL
    assert table.refusal("third", asking(table.model, tip=5_000, wait=59_999)) == PredictionCode.QUEUE_FULL
    before = table.balance("other")
    better = table.ask("third", tip=5_000)
    assert (table.outcome(second), table.balance("other") - before) == ("EVICTED", CHARGE)
    assert table.record(better).evictor and order(table) == [better, first]
    spent = table.balance("third")
    table.until(better, RequestState.FAILED)
    assert table.outcome(better) == "EXPIRED"
    assert table.balance("third") - spent == 5_003, "but for its fee: who evicts for nothing evicts for ever"


def test_of_one_requester_so_many_may_wait() -> None:
    table = waiting(pred_a0=300_000, pred_waiting_own=1)
    request = table.ask()
    assert table.refusal(ASKER, asking(table.model)) == PredictionCode.TOO_MANY_WAITING
    assert table.get(records.waiting_key(table.model, id_of(ASKER))) == WaitingOf(1)
    table.must(ASKER, CancelRequest(request))
    assert table.get(records.waiting_key(table.model, id_of(ASKER))) is None
    table.ask()


# --- ends ------------------------------------------------------------------------------------------------------------------------


def test_results_leave_two_with_each_posting() -> None:
    table = Table(servers=3, pred_keep=60_000)
    requests = [table.ask(answers=3) for _ in range(3)]
    for request in requests:
        table.everybody(request, code(AnswerCode.ABSTAIN))
    assert table.get(records.ENDS.key(0)) == EndedRequest(requests[0], table.record(requests[0]).ended)
    table.block(60_000)
    last = table.ask(answers=3)
    assert [table.get(records.request_key(one)) is None for one in requests] == [True, True, False]
    assert table.get(records.REQUESTS.key(1)) is None
    assert table.get(records.OPEN + last) == OpenRequest(3)
    table.ask(answers=3)
    assert table.get(records.request_key(requests[2])) is None


@pytest.mark.parametrize(
    ("rows", "inline", "fee"), [(1, 0, 85), (256, 0, 1_360), (1, 1, 90), (1, 2_048, 1_365), (256, 2_048, 2_640)]
)
def test_what_is_kept_burns_a_least_fee(rows: int, inline: int, fee: int) -> None:
    """LC-PRE-1: a million requests of 256 rows at the least floor are 5 GB for 30 days: 1,360 credits, not 13. So are a million of
    2,048 bytes that they carry."""
    table = Table(servers=3, register={"floor": 1, "royalty": 0}, pred_row=5)
    before = table.balance(ASKER)
    data = b"x" * inline
    given: dict[str, Any] = {"inline": b"", "cid": cid_of("x"), "size": 9}
    if inline:
        given = {"inline": data, "cid": inline_cid(data), "size": inline}
    table.ask(answers=1, agree=1, rows=rows, tip=rows, **given)
    assert before - table.balance(ASKER) == rows + fee


def test_ordinals_count_what_is_kept() -> None:
    table = Table(servers=3, pred_keep=60_000)
    first, second = table.ask(answers=3), table.ask(answers=3)
    assert [table.terms(one).ordinal for one in (first, second)] == [0, 1]
    assert [table.terms(one).asked for one in (first, second)] == [1, 2]
    for request in (first, second):
        table.until(request, RequestState.FAILED)
    table.block(60_000)
    third = table.ask(answers=3)
    assert (table.terms(third).ordinal, table.terms(third).asked) == (0, 1)


def test_a_restart_ends_requests_and_carries_models_and_stakes() -> None:
    table = Table()
    drawn, untouched = table.ask(), table.balance(ASKER)
    table.drawn(drawn)
    carried = carry(table.chain.state)
    assert [(one.contract, one.ref) for one in carried.ended] == [("prediction", drawn)]
    prefixes = {one.key[:3] for one in carried.records}
    assert {b"pm/", b"ps/", b"pk/", b"pz/"} <= prefixes and b"py/" not in prefixes
    assert untouched == 10**9 - CHARGE
    assert not [one for one in carried.records if one.key.startswith(b"pa/")]


def test_the_work_of_a_deadline_is_known_before() -> None:
    table = Table()
    request = table.ask(answers=3)
    state = table.chain.state
    assert deadlines.due_work(state, table.model) == 7 + 1 + 1 * (15 + 1)
    assert deadlines.due_work(state, request) == 0
    table.drawn(request)
    assert deadlines.due_work(table.chain.state, request) == 3 + 7
    table.commit(request, dict.fromkeys(table.seats(request), number(5)))
    table.until(request, RequestState.OPEN)
    assert deadlines.due_work(table.chain.state, request) == 3 + 1
    assert deadlines.due_work(table.chain.state, bytes(20)) == 128
    assert deadlines.due_work(table.chain.state, bytes(32)) == 0
