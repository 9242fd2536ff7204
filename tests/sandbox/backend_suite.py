"""What every backend of the sandbox must do, whatever it runs containers on.

A backend is put through it by a class that derives from `BackendSuite` and has two fixtures: `backend`, whose end checks that
nothing is left, and `archive`, an image with `suite_job` as its /lc/job. The Docker backend passes it on a real engine and on the
double that the unit tests use: by that the double is known to behave alike. How well a backend isolates is not asked here but by
its self-test and by the hostile cases.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest

from learningchain.chain.losses import LossTree
from learningchain.sandbox import (
    AnswerForm,
    AnswerOutcome,
    Backend,
    BadImage,
    ContainerLimits,
    DataRefused,
    DataSet,
    Evaluated,
    OwnData,
    ParsedAnswer,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
    WarmRun,
)
from learningchain.sandbox.answers import AnswerReader
from learningchain.sandbox.data import DataFile, joined, scan_folder
from learningchain.sandbox.phases import PHASES, InputRow, OutputRow, PhaseRow
from learningchain.sandbox.results import BadResult, UnfitRow

LIMITS = ContainerLimits(cpus=1.0, mem_mb=96, pids=48, model_cap=65_536, tmp_mb=8, log_cap=65_536, wall_s=60)
LARGE = 1 << 20
"""Bytes from which the suite's backends have inputs on a disk."""


class NumberReader:
    """Of a file that holds a number of at most 100 digits."""

    def __init__(self) -> None:
        self._raw = b""

    def take(self, piece: bytes) -> None:
        self._raw += piece
        if len(self._raw) > 100:
            raise BadResult("answer has more than 100 bytes")

    def finish(self) -> object:
        if not self._raw.isdigit():
            raise BadResult("answer is no number")
        return int(self._raw)


SUM = PhaseRow(
    (InputRow("question"), InputRow("data", needed=False, folder=True)),
    (OutputRow("answer", 100, NumberReader), OutputRow("trace", 1000)),
    longest_s=60,
)
"""A phase that the product does not have: it is added as a row, and by nothing else."""
SERVE = PhaseRow(
    (InputRow("model", needed=False), InputRow("input", late=True, cap=1000)), (OutputRow("answer", 100, NumberReader),)
)


class BackendSuite:
    @pytest.fixture(autouse=True)
    def phases(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(PHASES, "sum", SUM)
        monkeypatch.setitem(PHASES, "serve", SERVE)

    @pytest.fixture
    def image(self, backend: Backend, archive: tuple[Path, str]) -> str:
        return backend.load_archive(*archive)

    def spec(self, image: str, mode: str, phase: str = "train", **more: object) -> RunSpec:
        limits = {key: more.pop(key) for key in list(more) if key in LIMITS.__struct_fields__}
        return RunSpec(
            **{  # type: ignore[arg-type]
                "run_id": f"{mode.replace('_', '-')}-{os.urandom(4).hex()}",
                "image_id": image,
                "phase": phase,
                "seed": 7 if PHASES.get(phase, SUM).seeded else None,
                "budget_s": 5,
                "params": json.dumps({"mode": mode}),
                "limits": ContainerLimits(**({name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__} | limits)),
                **more,
            }
        )

    # images

    def test_the_engine_says_what_it_is(self, backend: Backend) -> None:
        info = backend.check_engine()
        assert info.version
        assert info.architecture
        assert info.cpus >= 1

    def test_an_image_comes_and_goes(self, backend: Backend, archive: tuple[Path, str]) -> None:
        with pytest.raises(BadImage, match="not sha256:00"):
            backend.load_archive(archive[0], "sha256:" + "0" * 64)
        assert backend.load_archive(*archive) == archive[1]
        assert backend.has_image(archive[1])
        assert backend.load_archive(*archive) == archive[1], "a second time does no harm"
        backend.remove_image(archive[1])
        assert not backend.has_image(archive[1])
        backend.remove_image(archive[1])

    def test_a_reference_without_a_digest_is_not_pulled(self, backend: Backend) -> None:
        with pytest.raises(BadImage, match="names no digest"):
            backend.pull("debian:latest")

    def test_an_image_that_is_not_there_is_no_jobs_fault(self, backend: Backend) -> None:
        outcome = backend.run(self.spec("sha256:" + "0" * 64, "good"))
        assert (outcome.status, "not on this engine" in outcome.reason) == (RunStatus.ENGINE_ERROR, True), outcome

    # runs

    def test_a_training_gives_its_model_and_its_progress(self, backend: Backend, image: str) -> None:
        seen: list[Progress] = []
        outcome = backend.run(self.spec(image, "good"), on_progress=seen.append)
        assert (outcome.status, outcome.reason, outcome.exit_code) == (RunStatus.OK, "done", 0), outcome
        assert (outcome.result, outcome.loss) == (None, None)
        model = outcome.outputs["model"]
        assert outcome.outputs.keys() == {"model"}
        assert (model.path.read_bytes(), model.size, model.sha256) == (b"weights", 7, hashlib.sha256(b"weights").digest())
        assert seen[-1] == Progress(3, 3)
        assert outcome.log_tail.startswith('LC {"step":1')
        model.path.unlink()

    def test_an_evaluation_finds_its_inputs_and_no_others(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "m").write_bytes(b"the model")
        (tmp_path / "e").write_bytes(b"hidden")
        outcome = backend.run(self.spec(image, "echo", "evaluate", inputs={"model": tmp_path / "m", "eval": tmp_path / "e"}))
        seen = json.loads(outcome.log_tail.splitlines()[0])
        assert outcome.status is RunStatus.OK, outcome
        assert outcome.outputs == {}
        assert isinstance(outcome.result, Evaluated)
        assert outcome.result.measurement == LossTree([250_000_000, 500_000_000]).measurement
        assert (list(outcome.result.losses), outcome.loss) == ([250_000_000, 500_000_000], 375_000_000)
        assert (seen["model"], seen["eval"], seen.keys()) == ("the model", "hidden", {"job.json", "model", "eval"})
        assert json.loads(seen["job.json"])["params"] == {"mode": "echo"}

    def test_evaluations_of_one_model_cannot_be_told_apart_by_their_inputs(
        self, backend: Backend, image: str, tmp_path: Path
    ) -> None:
        """Whoever runs them: nothing that a caller may choose but what was posted reaches the program."""
        (tmp_path / "m").write_bytes(b"the model")
        seen = set()
        for run, wall in (("check-1", 60.0), ("verify-2", 30.0)):
            spec = self.spec(image, "echo", "evaluate", inputs={"model": tmp_path / "m"}, run_id=run, wall_s=wall)
            seen.add(backend.run(spec).log_tail.splitlines()[0])
        assert len(seen) == 1
        with pytest.raises(ValueError, match="has no seed"):
            self.spec(image, "echo", "evaluate", inputs={"model": tmp_path / "m"}, seed=1)
        with pytest.raises(ValueError, match="has a seed"):
            self.spec(image, "echo", seed=None)

    @pytest.mark.parametrize(
        ("mode", "status", "why"),
        [
            ("no_result", RunStatus.BAD_RESULT, "losses is missing"),
            ("not_a_number", RunStatus.MODEL_INVALID, "losses, line 2: 'nan' is no number"),
            ("no_lines", RunStatus.BAD_RESULT, "losses, line 1: it has no newline at its end"),
        ],
    )
    def test_losses_that_are_none_say_whose_fault_it_is(
        self, backend: Backend, image: str, tmp_path: Path, mode: str, status: RunStatus, why: str
    ) -> None:
        (tmp_path / "m").write_bytes(b"the model")
        outcome = backend.run(self.spec(image, mode, "evaluate", inputs={"model": tmp_path / "m"}))
        assert (outcome.status, why in outcome.reason, outcome.result) == (status, True, None), outcome

    @pytest.mark.parametrize(
        ("mode", "status", "why"),
        [
            ("exit64", RunStatus.UNSUPPORTED, "exit 64"),
            ("exit65", RunStatus.MODEL_INVALID, "exit 65"),
            ("exit75", RunStatus.OUT_OF_RESOURCES, "exit 75"),
            ("exit9", RunStatus.FAILED, "exit 9"),
            ("flood", RunStatus.FAILED, "more than 65536 bytes of output"),
            ("no_result", RunStatus.BAD_RESULT, "model is missing"),
            ("large", RunStatus.BAD_RESULT, "limit is 65536"),
            ("empty", RunStatus.BAD_RESULT, "model is empty"),
            ("link", RunStatus.BAD_RESULT, "model is a symbolic link"),
        ],
    )
    def test_an_end_has_a_status_and_a_reason(self, backend: Backend, image: str, mode: str, status: RunStatus, why: str) -> None:
        outcome = backend.run(self.spec(image, mode))
        assert (outcome.status, why in outcome.reason, outcome.outputs, outcome.result) == (status, True, {}, None), outcome

    def test_the_wall_clock_ends_a_run(self, backend: Backend, image: str) -> None:
        outcome = backend.run(self.spec(image, "forever", wall_s=1.0))
        assert (outcome.status, "1 s of wall clock" in outcome.reason) == (RunStatus.TIMEOUT, True), outcome

    def test_a_run_is_cancelled_by_its_event_and_by_its_name(self, backend: Backend, image: str) -> None:
        event = threading.Event()
        outcome = backend.run(self.spec(image, "forever"), on_progress=lambda _: event.set(), cancel=event)
        assert outcome.status is RunStatus.CANCELLED
        spec, found = self.spec(image, "forever"), []
        outcome = backend.run(spec, on_progress=lambda _: found.append(backend.cancel(spec.run_id)))
        assert (outcome.status, found) == (RunStatus.CANCELLED, [True])
        assert not backend.cancel(spec.run_id)
        outcome = backend.run(self.spec(image, "good"), cancel=event)
        assert (outcome.status, "before it began" in outcome.reason) == (RunStatus.CANCELLED, True)

    def test_it_says_how_much_memory_a_run_holds_while_it_runs(self, backend: Backend, image: str) -> None:
        spec, held = self.spec(image, "forever"), []

        def look(_: Progress) -> None:
            held.append(backend.memory(spec.run_id))
            backend.cancel(spec.run_id)

        backend.run(spec, on_progress=look)
        assert held[0] is not None and 1 << 17 < held[0] <= spec.limits.mem_mb << 20
        assert backend.memory(spec.run_id) is None and backend.memory("no-such-run") is None

    def test_it_tells_what_a_run_has_printed_while_it_runs(self, backend: Backend, image: str) -> None:
        spec, told = self.spec(image, "forever"), []

        def look(_: Progress) -> None:
            told.append(backend.printed(spec.run_id))
            backend.cancel(spec.run_id)

        outcome = backend.run(spec, on_progress=look)
        assert told[0] and outcome.log_tail.startswith(told[0])
        assert backend.printed(spec.run_id) is None and backend.printed("no-such-run") is None

    def test_a_name_is_for_one_run_at_a_time(self, backend: Backend, image: str) -> None:
        spec, told = self.spec(image, "forever"), []

        def again(_: Progress) -> None:
            with pytest.raises(ValueError, match="under way already"):
                backend.run(spec)
            told.append(backend.cancel(spec.run_id))

        assert backend.run(spec, on_progress=again).status is RunStatus.CANCELLED
        assert told == [True]

    # phases

    def test_a_phase_is_a_row(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "q").write_text("41")
        outcome = backend.run(self.spec(image, "answer", "sum", inputs={"question": tmp_path / "q"}))
        assert (outcome.status, outcome.result, outcome.loss) == (RunStatus.OK, 41, None), outcome
        assert outcome.outputs["trace"].path.read_text() == "question"
        for mode, why in (("long_answer", "answer has more than 100 bytes"), ("no_number", "answer is no number")):
            outcome = backend.run(self.spec(image, mode, "sum", inputs={"question": tmp_path / "q"}))
            assert (outcome.status, why in outcome.reason, outcome.outputs) == (RunStatus.BAD_RESULT, True, {}), outcome

    def test_a_row_refuses_what_is_not_in_it(self, image: str, tmp_path: Path) -> None:
        data = DataSet((DataFile("a", tmp_path, 1, bytes(32)),))
        for why, inputs, wall in (
            ("needs the input 'question'", {}, 60),
            ("'model' is none of this phase's inputs", {"question": tmp_path, "model": tmp_path}, 60),
            ("'data' must be a folder", {"question": tmp_path, "data": tmp_path}, 60),
            ("'question' must be a file", {"question": data}, 60),
            ("within 60 s in this phase", {"question": tmp_path}, 61),
        ):
            with pytest.raises(ValueError, match=why):
                self.spec(image, "answer", "sum", inputs=inputs, wall_s=wall)
        with pytest.raises(ValueError, match="unknown phase 'sell'"):
            self.spec(image, "answer", "sell")

    # warm runs

    def warm(self, backend: Backend, spec: RunSpec) -> WarmRun:
        run = backend.start(spec)
        assert not isinstance(run, RunResult), run
        return run

    def test_a_warm_run_waits_for_its_late_input(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "m").write_text("40")
        (tmp_path / "i").write_text("2")
        run = self.warm(backend, self.spec(image, "warm", "serve", inputs={"model": tmp_path / "m"}))
        with pytest.raises(ValueError, match="waits for input"):
            run.finish({"model": tmp_path / "m"})
        outcome = run.finish({"input": tmp_path / "i"})
        assert (outcome.status, outcome.result) == (RunStatus.OK, 42), outcome
        assert "before ['job.json', 'model']" in outcome.log_tail
        assert run.finish({"input": tmp_path / "i"}).status is RunStatus.CANCELLED, "one container, one request"
        run.close()

    def test_a_run_of_a_phase_that_waits_goes_through_in_one(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "i").write_text("5")
        outcome = backend.run(self.spec(image, "warm", "serve", inputs={"input": tmp_path / "i"}))
        assert (outcome.status, outcome.result) == (RunStatus.OK, 5), outcome

    def test_a_warm_run_ends_unused(self, backend: Backend, image: str) -> None:
        spec = self.spec(image, "warm", "serve")
        run = self.warm(backend, spec)
        with pytest.raises(ValueError, match="under way already"):
            backend.start(spec)
        run.close()
        run.close()
        self.warm(backend, spec)
        assert backend.cancel(spec.run_id)
        self.warm(backend, spec).close()
        assert not backend.cancel(spec.run_id)
        with pytest.raises(ValueError, match="waits for nothing"):
            backend.start(self.spec(image, "good"))

    def test_a_warm_run_that_is_none_has_an_outcome(self, backend: Backend, image: str, tmp_path: Path) -> None:
        for mode, status, why in (
            ("exit64", RunStatus.UNSUPPORTED, "exit 64"),
            ("no_result", RunStatus.FAILED, "before it was ready"),
            ("forever", RunStatus.TIMEOUT, "wall clock"),
        ):
            outcome = backend.start(self.spec(image, mode, "serve", wall_s=1.0 if mode == "forever" else 60.0))
            assert isinstance(outcome, RunResult)
            assert (outcome.status, why in outcome.reason) == (status, True), outcome
        (tmp_path / "i").write_text("2" * 1001)
        outcome = self.warm(backend, self.spec(image, "warm", "serve")).finish({"input": tmp_path / "i"})
        assert (outcome.status, "larger than" in outcome.reason) == (RunStatus.NOT_STARTED, True), outcome
        (tmp_path / "i").write_text("2")
        outcome = self.warm(backend, self.spec(image, "warm_forever", "serve", wall_s=2.0)).finish({"input": tmp_path / "i"})
        assert outcome.status is RunStatus.TIMEOUT

    # predictions

    def asked(self, backend: Backend, image: str, folder: Path, rows: str, form: AnswerForm) -> RunResult:
        (folder / "m").write_text("40")
        run = self.warm(backend, self.spec(image, "predicts", "predict", seed=3, inputs={"model": folder / "m"}))
        question = {"request.json": json.dumps({"rows": form.rows}).encode(), "input": rows.encode()}
        return run.finish(question, wall_s=20.0, read=lambda: AnswerReader(form))

    def test_a_model_answers_and_is_not_waited_for(self, backend: Backend, image: str, tmp_path: Path) -> None:
        """The job of this mode never ends by itself; what it left when it was done is its answer."""
        outcome = self.asked(backend, image, tmp_path, "2\n3\n", AnswerForm(rows=2, classes=3))
        scores = (42_500_000_000, 43_500_000_000)
        assert (outcome.status, outcome.result) == (RunStatus.OK, ParsedAnswer((0, 1), scores, 85 * 10**9)), outcome
        assert outcome.status.answer is AnswerOutcome.OK

    @pytest.mark.parametrize(
        ("rows", "form", "status", "why", "answer"),
        [
            ("2 3", AnswerForm(rows=1, classes=3), RunStatus.INPUT_REFUSED, "exit 66", AnswerOutcome.BAD_INPUT),
            ("2 ?", AnswerForm(rows=2, classes=3), RunStatus.INPUT_REFUSED, "row 1 of the input", AnswerOutcome.BAD_INPUT),
            ("2 3 ?", AnswerForm(rows=2, classes=3), RunStatus.BAD_RESULT, "names no row", AnswerOutcome.FAULT),
            ("2", AnswerForm(rows=1), RunStatus.BAD_RESULT, "line 1: '0 42.5' is no row", AnswerOutcome.FAULT),
            ("3", AnswerForm(rows=1, classes=2), RunStatus.OK, "done", AnswerOutcome.OK),
            ("4", AnswerForm(rows=1, classes=2), RunStatus.BAD_RESULT, "there is no class 2", AnswerOutcome.FAULT),
            ("x", AnswerForm(rows=1, classes=2), RunStatus.FAILED, "exit 1", AnswerOutcome.FAULT),
        ],
    )
    def test_how_a_prediction_ends_says_what_its_answer_is(
        self, backend: Backend, image: str, tmp_path: Path, rows: str, form: AnswerForm, status: RunStatus, why: str, answer: object
    ) -> None:
        outcome = self.asked(backend, image, tmp_path, rows, form)
        assert (outcome.status, why in outcome.reason, outcome.status.answer) == (status, True, answer), outcome
        if rows == "2 ?":
            assert outcome.result == UnfitRow(1)

    def test_a_request_has_a_wall_clock_of_its_own(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "i").write_text("2")
        run = self.warm(backend, self.spec(image, "warm_forever", "serve"))
        for wall_s in (0.0, 1e9):
            with pytest.raises(ValueError, match="a run lasts at most"):
                run.finish({"input": tmp_path / "i"}, wall_s=wall_s)
        outcome = run.finish({"input": tmp_path / "i"}, wall_s=0.25)
        assert (outcome.status, outcome.reason) == (RunStatus.TIMEOUT, "still running after 0.25 s of wall clock"), outcome
        assert outcome.status.answer is AnswerOutcome.OVERRUN

    def test_a_warm_run_says_whether_it_still_waits(self, backend: Backend, image: str) -> None:
        spec = self.spec(image, "warm", "serve")
        run = self.warm(backend, spec)
        assert run.alive()
        run.close()
        assert not run.alive()
        run = self.warm(backend, self.spec(image, "leaves", "serve"))
        until = time.monotonic() + 20
        while run.alive():
            assert time.monotonic() < until, "its job has ended"
            time.sleep(0.01)
        assert not run.alive()

    # data

    def numbers(self, folder: Path, *values: int) -> DataSet:
        (folder / "deep" / "down").mkdir(parents=True)
        for at, value in enumerate(values):
            (folder / ("deep/down" if at % 2 else ".") / f"number {at} \N{GREEK SMALL LETTER ALPHA}").write_text(str(value))
        return scan_folder(folder)

    def test_a_data_set_is_read_by_any_number_of_runs(self, backend: Backend, image: str, tmp_path: Path) -> None:
        data = self.numbers(tmp_path / "data", 1, 20, 300)
        (tmp_path / "q").write_text("4000")
        backend.keep_data(data)
        for _ in range(2):
            outcome = backend.run(self.spec(image, "answer", "sum", inputs={"question": tmp_path / "q", "data": data}))
            assert (outcome.status, outcome.result) == (RunStatus.OK, 4321), outcome
            trace = outcome.outputs["trace"].path.read_text()
            assert trace.startswith("data/deep/down/number 1 \N{GREEK SMALL LETTER ALPHA} data/number 0"), trace
        outcome = backend.run(self.spec(image, "answer", "sum", inputs={"question": tmp_path / "q"}))
        assert outcome.result == 4000, "no other run sees it"

    def test_a_published_set_is_brought_before_the_run_that_reads_it(self, backend: Backend, image: str, tmp_path: Path) -> None:
        data = self.numbers(tmp_path / "data", 1, 20)
        backend.keep_set("digits", data)
        for file in data.files:
            file.path.unlink()
        outcome = backend.run(self.spec(image, "echo", inputs={"sets": joined({"digits": data})}))
        assert (outcome.status, '"sets/digits/deep/down/number 1' in outcome.log_tail) == (RunStatus.OK, True), outcome
        with pytest.raises(OSError, match="No such file"):
            backend.keep_set("letters", data)

    def test_a_large_file_is_found_where_a_small_one_is(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "m").write_text(" " * LARGE + "7")
        for _ in range(2):
            outcome = backend.run(self.spec(image, "answer", "sum", inputs={"question": tmp_path / "m"}))
            assert (outcome.status, outcome.result) == (RunStatus.OK, 7), outcome
            assert outcome.outputs["trace"].path.read_text() == "question"

    def test_data_that_changed_since_they_were_measured_reach_no_job(self, backend: Backend, image: str, tmp_path: Path) -> None:
        data = self.numbers(tmp_path / "data", 1)
        path = data.files[0].path
        for content, why in (("2", "is not what it was"), ("11", "is not what it was"), ("", "became shorter")):
            path.write_text(content)
            with pytest.raises(OSError, match=why):
                backend.keep_data(data)
        path.unlink()
        (tmp_path / "q").write_text("1")
        outcome = backend.run(self.spec(image, "answer", "sum", inputs={"question": tmp_path / "q", "data": data}))
        assert (outcome.status, "No such file" in outcome.reason) == (RunStatus.ENGINE_ERROR, True), outcome

    def test_what_waits_for_inputs_has_them_in_memory(self, backend: Backend, image: str, tmp_path: Path) -> None:
        (tmp_path / "m").write_bytes(b" " * LARGE + b"40")
        (tmp_path / "i").write_text("2")
        outcome = self.warm(backend, self.spec(image, "warm", "serve", inputs={"model": tmp_path / "m"})).finish(
            {"input": tmp_path / "i"}
        )
        assert (outcome.status, outcome.result) == (RunStatus.OK, 42), outcome
        assert "before ['job.json', 'model']" in outcome.log_tail

    def test_all_that_is_left_is_found_by_the_clean_up(self, backend: Backend, image: str, tmp_path: Path) -> None:
        backend.keep_data(self.numbers(tmp_path / "data", 1))
        self.warm(backend, self.spec(image, "warm", "serve"))
        report = backend.cleanup(keep_images=[image])
        assert report.problems == ()
        assert backend.has_image(image)
        assert backend.cleanup().images >= 1
        assert not backend.has_image(image)
        report = backend.cleanup()
        assert (report.containers, report.volumes, report.images) == (0, 0, 0)

    # the owner's own data

    def own(self, backend: Backend, folder: Path, *values: int) -> OwnData:
        return backend.add_data("scans", self.numbers(folder, *values), notes={"from": "here"})

    def train(self, backend: Backend, image: str, data: OwnData, model: Path, mode: str = "echo") -> RunResult:
        return backend.run(self.spec(image, mode, "local", inputs={"model": model, "data": data}))

    def test_own_data_are_there_until_they_are_removed(self, backend: Backend, image: str, tmp_path: Path) -> None:
        sent: list[int] = []
        files = self.numbers(tmp_path / "data", 1, 2)
        data = backend.add_data("scans", files, notes={"from": "here"}, on_bytes=sent.append)
        assert backend.list_data() == [data]
        assert (data.name, data.digest, data.size, data.files) == ("scans", files.content_digest, 2, 2)
        assert (data.notes, sum(sent)) == ({"from": "here"}, 2)
        with pytest.raises(DataRefused, match="data called scans already"):
            backend.add_data("scans", files)
        model = tmp_path / "model"
        model.write_bytes(b"WEIGHTS")
        outcome = self.train(backend, image, data, model)
        assert (outcome.status, outcome.loss) == (RunStatus.OK, 375_000_000), outcome
        assert "data/" in outcome.log_tail and '"model": "WEIGHTS"' in outcome.log_tail
        assert outcome.outputs["model"].path.read_bytes() == b"weights"
        assert backend.remove_data("scans") == data
        assert backend.list_data() == []
        with pytest.raises(DataRefused, match="no data called scans"):
            backend.remove_data("scans")
        outcome = self.train(backend, image, data, model)
        assert (outcome.status, "no data called scans" in outcome.reason) == (RunStatus.ENGINE_ERROR, True), outcome

    def test_no_other_phase_gets_own_data_and_local_gets_no_others(self, backend: Backend, image: str, tmp_path: Path) -> None:
        data = self.own(backend, tmp_path / "data", 1)
        (tmp_path / "model").write_bytes(b"weights")
        for phase, inputs, why in (
            ("train", {"data": data}, "none of this phase's inputs"),
            ("evaluate", {"model": tmp_path / "model", "data": data}, "none of this phase's inputs"),
            ("evaluate", {"model": tmp_path / "model", "eval": data}, "must be a file"),
            ("predict", {"model": tmp_path / "model", "data": data}, "none of this phase's inputs"),
            ("sum", {"question": tmp_path / "model", "data": data}, "may never be the owner's own data"),
            ("local", {"model": tmp_path / "model", "data": self.numbers(tmp_path / "set", 1)}, "must be the owner's own data"),
            ("local", {"model": tmp_path / "model"}, "needs the input 'data'"),
        ):
            with pytest.raises(ValueError, match=why):
                self.spec(image, "good", phase, inputs=inputs)
        backend.remove_data("scans")

    def test_a_trained_model_is_as_long_as_the_one_it_came_from(self, backend: Backend, image: str, tmp_path: Path) -> None:
        data = self.own(backend, tmp_path / "data", 1)
        for mode, model, why in (
            ("good", b"eight by", "model has 7 bytes, and not 8"),
            ("good", b"six by", "model has 7 bytes; the limit is 6"),
            ("link", b"weights", "model is a symbolic link"),
            ("no_lines", b"weights", "losses, line 1: it has no newline"),
        ):
            (tmp_path / "model").write_bytes(model)
            outcome = self.train(backend, image, data, tmp_path / "model", mode)
            assert (outcome.status, why in outcome.reason) == (RunStatus.BAD_RESULT, True), outcome
        backend.remove_data("scans")

    def test_a_clean_up_keeps_whole_data_where_it_should(self, backend: Backend, tmp_path: Path) -> None:
        data = self.own(backend, tmp_path / "data", 1)
        assert backend.cleanup(keep_data=True).problems == ()
        assert backend.list_data() == [data]
        assert backend.cleanup().problems == ()
        assert backend.list_data() == []
