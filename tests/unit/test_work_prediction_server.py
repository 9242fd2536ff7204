"""A server's machine on a real ledger: from a seat to a paid answer, after restarts, late, without model or rows; its appeals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.prediction import duties, records
from learningchain.chain.contracts.prediction.messages import AppealAnswer, CommitAnswer, OpenAnswer
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.types import cid_text
from learningchain.client.config import ServeConfig, WorkConfig
from learningchain.client.contracts.prediction.roles import sealed
from learningchain.client.contracts.prediction.roles.held_inputs import HeldInputs
from learningchain.client.contracts.prediction.roles.inputs import InputUnfit, PredictionInput
from learningchain.client.contracts.prediction.roles.server import REST_MS, PredictionServer
from learningchain.client.work.events import (
    BringImage,
    Chain,
    Changed,
    ContentReady,
    DropSecret,
    EndScope,
    FetchContent,
    Forget,
    ImageFailed,
    ImageReady,
    KeepWarm,
    Kill,
    ModelFailed,
    ModelWarm,
    RunEnded,
    SecretRefused,
    SecretStored,
    Settled,
    StartRun,
    Submit,
    Unpin,
)
from learningchain.client.work.machine import Machine, Recalled
from learningchain.sandbox import AnswerForm, ParsedAnswer, RunStatus, UnfitRow
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import INPUT, Table, cid_of, number

ROWS = Path("/rows")


class Bench:
    """One server's machine beside a table of seven; `told` is what it said, newest last."""

    def __init__(self, table: Table, name: str = "s0", *secrets: Any, config: WorkConfig | None = None) -> None:
        self.table, self.name = table, name
        known = Recalled(id_of(name), table.chain.chain_id, config or WorkConfig(), bytes, secrets)
        self.machine: Machine = PredictionServer(known)
        self.seen: set[bytes] = set()
        """Keys that were told; one that left the state is told once more."""

    def look(self) -> list[Any]:
        """What it says of the ledger now."""
        state = self.table.chain.state
        anew = not self.seen
        self.seen |= {key for key, _ in state.items() if key[:3] in (b"pb/", b"pj/")}
        self.machine.handle(Changed(state, tuple(sorted(self.seen)), anew))
        return list(self.machine.handle(Chain(state, self.table.chain.clock)))

    def give(self, given: Any) -> list[Any]:
        """What follows of an input, and of the look after it."""
        return [*self.machine.handle(given), *self.look()]

    def ready(self) -> None:
        """Image and model are here."""
        self.look()
        self.give(ImageReady(self.table.model, "sha256:" + "ab" * 32))
        said = self.give(ContentReady(f"model-{self.table.model.hex()}", "model", Path("/model")))
        assert [one.model for one in said if isinstance(one, KeepWarm)] == [self.table.model]

    def stored(self, submit: Submit) -> list[Any]:
        assert submit.secret is not None
        return self.give(SecretStored(submit.secret))


def of(said: list[Any], kind: type) -> list[Any]:
    return [one for one in said if isinstance(one, kind)]


def ran(run: str, *scores: int, status: RunStatus = RunStatus.OK) -> RunEnded:
    return RunEnded(run, status, "", ParsedAnswer((), scores, sum(scores)) if scores else None)


def refused_row(run: str, row: int) -> RunEnded:
    return RunEnded(run, RunStatus.INPUT_REFUSED, "", UnfitRow(row))


def seat(table: Table, **changes: Any) -> tuple[bytes, Bench]:
    """A request that is drawn, and the machine of one of its seats, which has all it needs."""
    request = table.ask(**changes)
    bench = Bench(table, table.drawn(request)[0])
    bench.ready()
    return request, bench


def committed(bench: Bench, run: RunEnded) -> Submit:
    (said,) = of(bench.give(run), Submit)
    assert isinstance(said.op, CommitAnswer)
    return said


# --- answers --------------------------------------------------------------------------------------------------------------------


def test_a_server_fetches_and_warms_its_model_before_anybody_asks() -> None:
    table = Table()
    bench = Bench(table)
    said = bench.look()
    assert [(one.ref, one.urgent, one.holder) for one in of(said, BringImage)] == [(table.model, False, id_of("owner"))]
    fetches = [(one.cid, one.pin, one.holder) for one in of(said, FetchContent)]
    assert fetches == [(cid_text(cid_of("model")), "serve", id_of("owner"))]
    assert bench.look() == [], "what was asked for is not asked for again"
    bench.ready()
    assert not bench.machine.gives_up(table.model) and bench.machine.notices() == []


def test_a_model_that_cannot_be_run_is_told_of_until_it_can() -> None:
    table = Table()
    bench = Bench(table)
    bench.look()
    for wrong, right in (
        (ImageFailed(table.model, "nobody has it", lasting=False), ImageReady(table.model, "sha256:" + "ab" * 32)),
        (ModelFailed(table.model, "it does not start", lasting=False), ModelWarm(table.model)),
    ):
        bench.give(wrong)
        assert [(one.topic, one.ref) for one in bench.machine.notices()] == [("serve.not-ready", table.model)]
        bench.give(right)
        assert bench.machine.notices() == []


def test_from_seat_to_paid_answer() -> None:
    table = Table(pred_open=30_000)
    request = table.ask()
    seats = table.drawn(request)
    bench = Bench(table, seats[0])
    bench.look()
    bench.give(ImageReady(table.model, "sha256:" + "ab" * 32))
    (start,) = of(bench.give(ContentReady(f"model-{table.model.hex()}", "model", Path("/model"))), StartRun)
    assert (start.warm, start.shown) == (table.model, ("predict", 1))
    late = start.late
    assert isinstance(late, PredictionInput) and late.form == AnswerForm(rows=1, classes=0)
    given = late.given()
    assert given["input"] == INPUT and b'"rows":1' in given["request.json"]
    commit = committed(bench, ran(start.run, 1_000))
    table.send((bench.name, commit.op))
    bench.stored(commit)
    others = {name: number(1_000) for name in seats[1:]}
    table.commit(request, others)
    table.until(request, RequestState.OPEN)
    (opened,) = of(bench.look(), Submit)
    assert isinstance(opened.op, OpenAnswer) and opened.op.answer == number(1_000)
    table.send((bench.name, opened.op))
    assert of(bench.look(), Submit) == [], "it is said once"
    table.open(request, others)
    table.leave(request, RequestState.OPEN)
    assert table.outcome(request) == "AGREED" and table.get(records.seat_key(request, 1, id_of(bench.name))).paid > 0
    table.until(request, RequestState.FINAL, step=60_000)
    said = bench.look()
    assert of(said, Forget) == [Forget(request)] and len(of(said, DropSecret)) == 1


def test_after_a_restart_between_commitment_and_opening_the_same_answer_is_opened() -> None:
    table = Table(pred_open=30_000)
    request, bench = seat(table)
    commit = committed(bench, ran(_run_of(bench), 1_000))
    table.send((bench.name, commit.op))
    table.commit(request, {name: number(1_000) for name in table.seats(request) if name != bench.name})
    table.until(request, RequestState.OPEN)
    again = Bench(table, bench.name, commit.secret)
    (opened,) = of(again.look(), Submit)
    table.send((bench.name, opened.op))
    assert table.get(records.seat_key(request, 1, id_of(bench.name))).answer == [number(1_000)]


def _run_of(bench: Bench) -> str:
    """The run that the machine waits for."""
    seats: Any = bench.machine
    (found,) = [one.run for one in seats._seats.values()]
    return str(found)


def test_an_answer_that_the_disk_refused_is_offered_again_and_made_once() -> None:
    table = Table()
    _, bench = seat(table)
    first = committed(bench, ran(_run_of(bench), 1_000))
    assert first.secret is not None
    (second,) = of(bench.give(SecretRefused(first.secret)), Submit)
    assert second.op == first.op
    assert of(bench.stored(second), Submit) == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus.INPUT_REFUSED, AnswerCode.BAD_INPUT),
        (RunStatus.MODEL_INVALID, AnswerCode.FAULT),
        (RunStatus.FAILED, AnswerCode.FAULT),
        (RunStatus.BAD_RESULT, AnswerCode.FAULT),
        (RunStatus.TIMEOUT, AnswerCode.OVERRUN),
        (RunStatus.OUT_OF_RESOURCES, AnswerCode.OVERRUN),
        (RunStatus.UNSUPPORTED, AnswerCode.ABSTAIN),
        (RunStatus.NOT_STARTED, AnswerCode.ABSTAIN),
    ],
)
def test_what_the_end_of_a_run_says_as_an_answer(status: RunStatus, code: AnswerCode) -> None:
    table = Table()
    _, bench = seat(table)
    commit = committed(bench, ran(_run_of(bench), status=status))
    assert commit.secret is not None
    assert sealed.answer_in(commit.secret)[1].answer == Answer(code, [], [], 0)


def test_this_machines_own_trouble_is_tried_again_and_abstains_when_no_time_is_left() -> None:
    table = Table()
    _, bench = seat(table)
    said = bench.give(ran(_run_of(bench), status=RunStatus.ENGINE_ERROR))
    assert of(said, Submit) == [] and of(said, StartRun) == []
    table.block()
    (again,) = of(bench.look(), StartRun)
    table.block(3_000)
    said = bench.look()
    assert of(said, Kill)[0].run == again.run
    (commit,) = of(said, Submit)
    assert sealed.answer_in(commit.secret)[1].answer.code == AnswerCode.ABSTAIN


def test_rows_of_another_number_than_was_said_do_not_fit_and_an_appeal_gets_its_own(tmp_path: Path) -> None:
    """LC-PRE-56"""
    rows = tmp_path / "rows"
    rows.write_bytes(b"[1]\n[2]\n[3]")

    def asked(source: bytes | Path, count: int, chosen: tuple[int, ...]) -> PredictionInput:
        return PredictionInput(source, count, chosen, 7, 9, AnswerForm(rows=len(chosen), classes=0), 1.0)

    assert asked(rows, 3, (0, 1, 2)).given()["input"] == b"[1]\n[2]\n[3]"
    assert asked(rows, 3, (0, 2)).given() == {
        "input": b"[1]\n[3]\n",
        "request.json": b'{"v":1,"rows":2,"seed":7,"challenge":9}',
    }
    with pytest.raises(InputUnfit, match="3 lines"):
        asked(rows, 2, (0, 1)).given()
    table = Table()
    _, bench = seat(table)
    refused = RunEnded(_run_of(bench), RunStatus.NOT_STARTED, "", InputUnfit("3 lines"))
    commit = committed(bench, refused)
    assert commit.secret is not None and sealed.answer_in(commit.secret)[1].answer.code == AnswerCode.BAD_INPUT


@pytest.mark.parametrize(
    ("text", "lines"),
    [(b"", 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2), (b"\na", 2), (b"a\r\nb\rc", 2), (b"\xff\x00\n\x0b\x85", 2)],
)
def test_a_line_ends_with_one_byte_and_the_last_one_may_lack_it(text: bytes, lines: int) -> None:
    """LC-PRE-56: two servers that count otherwise would say BAD_INPUT and an answer of the same bytes."""
    form = AnswerForm(rows=1, classes=0)
    for said in range(1, 4):
        asked = PredictionInput(text, said, tuple(range(said)), 7, 9, form, 1.0)
        if said == lines:
            assert asked.given()["input"] == text
            last = replace(asked, chosen=(said - 1,)).given()["input"]
            assert said == 1 or (text.removesuffix(b"\n") + b"\n").endswith(b"\n" + last)
        else:
            with pytest.raises(InputUnfit, match=f"{lines} lines"):
                asked.given()


def test_a_run_of_a_round_that_is_over_is_killed() -> None:
    table = Table()
    request, bench = seat(table)
    run = _run_of(bench)
    table.leave(request, RequestState.ANSWER)
    said = bench.look()
    assert [one.run for one in of(said, Kill)] == [run]
    assert [one.scope for one in of(said, EndScope)] == [f"{request.hex()}-1"]
    assert of(bench.give(ran(run, 1_000)), Submit) == [], "its answer comes too late"


@pytest.mark.parametrize(("most", "room"), [(200_000, True), (90_000, False)])
def test_inputs_of_others_have_a_bound_and_an_answered_one_goes_first(most: int, room: bool) -> None:
    """It is let go of, not forgotten: its sealed answer stays. Where nothing may go, this node abstains."""
    table = Table(pred_open=30_000)
    request = table.ask(inline=b"", cid=cid_of("rows"), size=100_000)
    bench = Bench(table, table.drawn(request)[0])
    machine: Any = bench.machine
    machine._held = HeldInputs(most)
    answered = b"r" * 32
    machine._held.note(answered, id_of("flood"), 150_000)
    machine._inputs[answered] = ROWS
    said = bench.look()
    assert [(one.ref, one.reason) for one in of(said, Unpin)] == [(answered, f"predict:{answered.hex()}")] * room
    fetches = [one for one in of(said, FetchContent) if one.tag == "input"]
    assert [(one.ref, one.holder) for one in fetches] == [(request, id_of("asker"))] * room and of(said, Forget) == []
    assert (answered in machine._inputs, request in machine._held) == (not room, room)
    if not room:
        (commit,) = of(said, Submit)
        assert sealed.answer_in(commit.secret)[1].answer == Answer(AnswerCode.ABSTAIN, [], [], 0)
        return
    bench.give(ImageReady(table.model, "sha256:" + "ab" * 32))
    bench.give(ContentReady(f"model-{table.model.hex()}", "model", Path("/model")))
    (start,) = of(bench.give(ContentReady(fetches[0].scope, "input", ROWS)), StartRun)
    commit = committed(bench, ran(start.run, 1_000))
    again: Any = Bench(table, bench.name, commit.secret)
    again.look()
    assert request in again.machine._held, "what an earlier start pinned counts"


def test_an_answer_that_is_not_the_one_committed_to_is_not_opened() -> None:
    """A backup of before, or another machine's: what it opens would cost the stake."""
    table = Table(pred_open=30_000)
    request, bench = seat(table)
    commit = committed(bench, ran(_run_of(bench), 1_000))
    table.send((bench.name, commit.op))
    table.commit(request, {name: number(1_000) for name in table.seats(request) if name != bench.name})
    table.until(request, RequestState.OPEN)
    assert commit.secret is not None
    place, own = sealed.answer_in(commit.secret)
    other = sealed.of_answer(place, msgspec.structs.replace(own, commitment=bytes(32)))
    assert of(Bench(table, bench.name, other).look(), Submit) == []
    assert len(of(Bench(table, bench.name, commit.secret).look(), Submit)) == 1


# --- appeals --------------------------------------------------------------------------------------------------------------------


def outvoted(
    bench_config: WorkConfig | None = None, said: Answer | None = None, first: RunEnded | None = None, rows: int = 1
) -> tuple[Table, bytes, Bench]:
    """One says 1,000, or how its `first` run ended, four say something else, and are paid."""
    table = Table(pred_open=30_000)
    request = table.ask(rows=rows, tip=500 * rows)
    seats = table.drawn(request)
    bench = Bench(table, seats[0], config=bench_config)
    bench.ready()
    commit = committed(bench, replace(first or ran("", 1_000), run=_run_of(bench)))
    table.send((bench.name, commit.op))
    bench.stored(commit)
    others = {name: said or number(*[5_000] * rows) for name in seats[1:]}
    table.commit(request, others)
    table.until(request, RequestState.OPEN)
    table.send((bench.name, of(bench.look(), Submit)[0].op))
    table.open(request, others)
    table.leave(request, RequestState.OPEN)
    assert table.outcome(request) == "AGREED" and not table.get(records.seat_key(request, 1, id_of(bench.name))).paid
    assert of(bench.look(), StartRun) == [], "the first half of the window is the requester's own"
    table.half(request)
    return table, request, bench


def test_an_answer_that_was_not_paid_is_run_again_and_appealed() -> None:
    table, request, bench = outvoted()
    (start,) = of(bench.look(), StartRun)
    assert of(bench.look(), StartRun) == [], "once"
    (appeal,) = of(bench.give(ran(start.run, 1_000)), Submit)
    assert appeal.op == AppealAnswer(request, [0])
    table.send((bench.name, appeal.op))
    assert table.state(request) == "APPEAL" and of(bench.look(), Submit) == []


def test_an_answer_that_was_not_paid_waits_for_its_model_after_a_restart_though_nothing_moves() -> None:
    table, request, bench = outvoted()
    machine: Any = bench.machine
    ((place, own),) = machine._sealed.items()
    again = Bench(table, bench.name, sealed.of_answer(place, own))
    assert of(again.look(), StartRun) == []
    again.machine.handle(ImageReady(table.model, "sha256:" + "ab" * 32))
    again.machine.handle(ContentReady(f"model-{table.model.hex()}", "model", Path("/model")))
    (start,) = of(list(again.machine.handle(Chain(table.chain.state, table.chain.clock))), StartRun)
    assert start.ref == request


def test_nobody_appeals_whose_second_run_says_something_else() -> None:
    _, _, bench = outvoted()
    (start,) = of(bench.look(), StartRun)
    assert of(bench.give(ran(start.run, 5_000)), Submit) == []


def test_nobody_appeals_beyond_what_its_operator_allows() -> None:
    _, _, bench = outvoted(WorkConfig(serve=ServeConfig(appeal_max="0.5")))
    assert of(bench.look(), StartRun) == []


@pytest.mark.parametrize(
    "said",
    [number(1_000, check=10**9), number(1_030), number(1_060)],
    ids=["its own value beside another check", "what judges take for equal", "what judges might take for equal"],
)
def test_nobody_appeals_what_judges_let_stand(said: Answer) -> None:
    """Liars who agree on such an answer leave an honest one unpaid, and would have its bond, too. The model's tolerance is 10."""
    table, request, bench = outvoted(said=said)
    assert of(bench.look(), StartRun) == [] and table.state(request) == "AGREED"


def test_what_judges_surely_change_is_appealed() -> None:
    _, _, bench = outvoted(said=number(1_061))
    assert len(of(bench.look(), StartRun)) == 1


def test_a_value_of_a_row_that_does_not_fit_is_appealed_by_that_row() -> None:
    """It is run alone: judges see it among other rows than this machine did."""
    table, request, bench = outvoted(first=refused_row("", 200), rows=256)
    (start,) = of(bench.look(), StartRun)
    assert start.late is not None and (start.late.rows, start.late.chosen, start.late.form.rows) == (256, (200,), 1)
    (appeal,) = of(bench.give(refused_row(start.run, 0)), Submit)
    assert appeal.op == AppealAnswer(request, [200])
    table.send((bench.name, appeal.op))
    table.until(request, RequestState.ANSWER)
    assert 200 in table.record(request).rows


@pytest.mark.parametrize(
    ("rows", "again", "appeals"),
    [
        (16, ran("", status=RunStatus.INPUT_REFUSED), True),
        (17, ran("", status=RunStatus.INPUT_REFUSED), False),
        (17, RunEnded("", RunStatus.NOT_STARTED, "", InputUnfit("3 lines")), True),
        (17, ran("", *[5] * 17), False),
    ],
    ids=["judges see all rows", "judges may not see the row", "lines that are no rows are found by all", "another answer"],
)
def test_who_refused_the_whole_input_appeals_where_judges_surely_do(rows: int, again: RunEnded, appeals: bool) -> None:
    _, request, bench = outvoted(first=ran("", status=RunStatus.INPUT_REFUSED), rows=rows)
    (start,) = of(bench.look(), StartRun)
    assert start.late is not None and start.late.chosen == tuple(range(rows))
    said = of(bench.give(replace(again, run=start.run)), Submit)
    assert [one.op for one in said] == [AppealAnswer(request, [])] * appeals


def test_an_appeal_that_was_lost_is_the_last_one_of_that_model_for_a_day() -> None:
    table, request, bench = outvoted()
    (start,) = of(bench.look(), StartRun)
    table.send((bench.name, of(bench.give(ran(start.run, 1_000)), Submit)[0].op))
    table.until(request, RequestState.ANSWER)
    judges = {name: number(5_000) for name in table.seats(request)}
    table.commit(request, judges)
    table.until(request, RequestState.OPEN)
    table.open(request, judges)
    table.until(request, RequestState.FINAL)
    assert table.record(request).appeal == AppealVerdict.UPHELD
    assert Forget(request) in bench.look()
    clock = table.chain.clock
    again = again_outvoted(table, bench)
    assert of(bench.look(), StartRun) == [] and table.state(again) == "AGREED"
    (start,) = of(list(bench.machine.handle(Chain(table.chain.state, clock + REST_MS))), StartRun)
    assert start.ref == again


def test_one_appeal_at_a_time_is_made() -> None:
    """Who makes this machine's answers stand alone gets one bond, not one for each request."""
    table, request, bench = outvoted()
    (start,) = of(bench.look(), StartRun)
    assert of(bench.give(ran(start.run, 1_000)), Submit)
    bench.machine.handle(Settled(sealed.KIND, f"open:{request.hex()}:1", request))
    machine: Any = bench.machine
    unpaid = duties.duty(table.chain.state, request, id_of(bench.name))
    machine._second.clear()
    assert list(machine._object(table.chain.state, unpaid)) == [], (
        "the message is under way: another one waits for what becomes of it"
    )


def again_outvoted(table: Table, bench: Bench) -> bytes:
    """The same once more, with the same machine, where it is drawn."""
    while True:
        request = table.ask()
        seats = table.drawn(request)
        if bench.name in seats:
            break
        table.everybody(request, number(5_000))
    (start,) = of(bench.look(), StartRun)
    commit = committed(bench, ran(start.run, 1_000))
    table.send((bench.name, commit.op))
    bench.stored(commit)
    others = {name: number(5_000) for name in seats if name != bench.name}
    table.commit(request, others)
    table.until(request, RequestState.OPEN)
    table.send((bench.name, of(bench.look(), Submit)[0].op))
    table.open(request, others)
    table.leave(request, RequestState.OPEN)
    table.half(request)
    return request
