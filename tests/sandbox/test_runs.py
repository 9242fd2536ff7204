"""Runs on a real engine: the contract with well-behaved jobs, and what hostile ones get."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from learningchain.chain.losses import LossTree
from learningchain.sandbox import Evaluated, Progress, RunResult, RunSpec, RunStatus, Sandbox

from .conftest import LIMITS, RunJob


def test_a_training_run_gives_model_and_progress(run_job: RunJob) -> None:
    seen: list[Progress] = []
    outcome = run_job("good", on_progress=seen.append)
    assert (outcome.status, outcome.result, outcome.exit_code) == (RunStatus.OK, None, 0)
    model = outcome.outputs["model"]
    assert model.path.read_bytes() == b"weights"
    assert (model.size, model.sha256) == (7, hashlib.sha256(b"weights").digest())
    assert seen[-1] == Progress(3, 3, 1 / 3)
    assert outcome.log_tail.startswith('LC {"step": 1')


def test_the_job_sees_exactly_what_the_contract_says(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"the model")
    (tmp_path / "eval").write_bytes(b"hidden")
    outcome = run_job("echo", model=tmp_path / "model", eval_file=tmp_path / "eval")
    assert (outcome.status, outcome.loss, outcome.outputs) == (RunStatus.OK, 375_000_000, {})
    assert outcome.result == Evaluated(LossTree([250_000_000, 500_000_000]).measurement, array("q", [250_000_000, 500_000_000]))
    seen = json.loads(outcome.log_tail)
    assert seen["argv"] == ["/lc/job", "evaluate"]
    assert seen["in"]["model"] == "the model"
    assert seen["in"]["eval"] == "hidden"
    assert seen["in"]["job.json"] == ('{"v":2,"phase":"evaluate","budget_s":5,"threads":1,"mem_mb":96,"params":{"mode":"echo"}}')
    assert seen["cwd"] == seen["env"]["HOME"] == seen["env"]["TMPDIR"] == "/tmp"
    assert {key: seen["env"][key] for key in ("LC_VERSION", "LC_PHASE", "OMP_NUM_THREADS")} == {
        "LC_VERSION": "2",
        "LC_PHASE": "evaluate",
        "OMP_NUM_THREADS": "1",
    }
    assert "LC_SEED" not in seen["env"]


def test_a_training_has_a_seed(run_job: RunJob) -> None:
    seen = json.loads(run_job("echo").log_tail)
    assert seen["env"]["LC_SEED"] == "18446744073709551615"
    assert seen["in"].keys() == {"job.json"}
    assert seen["in"]["job.json"] == (
        '{"v":2,"phase":"train","seed":18446744073709551615,"budget_s":5,"threads":1,"mem_mb":96,"params":{"mode":"echo"}}'
    )


def test_who_tries_out_an_image_chooses_its_processors_and_threads(room: Sandbox, run_job: RunJob) -> None:
    there = room.check_engine().cpus
    for asked, wanted in ((0, there), (1, 1), (1024, there)):
        seen = json.loads(run_job("echo", limits=msgspec.structs.replace(LIMITS, processors=asked)).log_tail)
        assert seen["processors"] == list(range(wanted))


def test_every_run_has_a_user_of_its_own(run_job: RunJob) -> None:
    uids = {json.loads(run_job("echo").log_tail)["uid"] for _ in range(2)}
    assert len(uids) == 2
    assert min(uids) > 10_000


@pytest.mark.parametrize(
    ("mode", "status", "why"),
    [
        ("exit64", RunStatus.UNSUPPORTED, "exit 64"),
        ("exit65", RunStatus.MODEL_INVALID, "exit 65"),
        ("exit75", RunStatus.OUT_OF_RESOURCES, "exit 75"),
        ("exit1", RunStatus.FAILED, "exit 1"),
        ("network", RunStatus.FAILED, "exit 9"),
        ("disk", RunStatus.FAILED, "exit 9"),
        ("root", RunStatus.FAILED, "exit 9"),
        ("memory", RunStatus.OUT_OF_RESOURCES, "more than 96 MiB"),
        ("model_link", RunStatus.BAD_RESULT, "model is a symbolic link"),
        ("model_folder", RunStatus.BAD_RESULT, "model"),
        ("model_pipe", RunStatus.BAD_RESULT, "model"),
        ("model_sparse", RunStatus.BAD_RESULT, "limit is 262144"),
        ("model_missing", RunStatus.BAD_RESULT, "model is missing"),
        ("model_empty", RunStatus.BAD_RESULT, "model is empty"),
    ],
)
def test_a_run_that_breaks_a_rule_ends_with_its_name(run_job: RunJob, mode: str, status: RunStatus, why: str) -> None:
    outcome = run_job(mode)
    assert outcome.status is status, outcome
    assert re.search(why, outcome.reason), outcome.reason
    assert outcome.outputs == {}
    assert outcome.loss is None


@pytest.mark.parametrize(
    ("mode", "status", "why"),
    [
        ("exit65", RunStatus.MODEL_INVALID, "exit 65"),
        ("losses_link", RunStatus.BAD_RESULT, "losses is a symbolic link"),
        ("losses_missing", RunStatus.BAD_RESULT, "losses is missing"),
        ("losses_nan", RunStatus.MODEL_INVALID, "losses, line 2: 'nan' is no number"),
        ("losses_words", RunStatus.BAD_RESULT, "losses, line 2: 'loss' is no loss"),
    ],
)
def test_an_evaluation_that_measures_nothing_says_whose_fault_it_is(
    run_job: RunJob, tmp_path: Path, mode: str, status: RunStatus, why: str
) -> None:
    (tmp_path / "model").write_bytes(b"m")
    outcome = run_job(mode, model=tmp_path / "model")
    assert (outcome.status, why in outcome.reason, outcome.result) == (status, True, None), outcome


@pytest.mark.parametrize("mode", ["forever", "silent_forever", "fork_bomb"])
def test_the_hosts_clock_ends_what_does_not_end_itself(run_job: RunJob, mode: str) -> None:
    outcome = run_job(mode, limits=msgspec.structs.replace(LIMITS, wall_s=1.0))
    assert outcome.status is RunStatus.TIMEOUT
    assert "1 s of wall clock" in outcome.reason


def test_a_flood_of_output_is_cut_off(run_job: RunJob) -> None:
    outcome = run_job("flood", limits=msgspec.structs.replace(LIMITS, log_cap=1 << 20))
    assert outcome.status is RunStatus.FAILED
    assert "more than 1048576 bytes of output" in outcome.reason
    assert len(outcome.log_tail) <= 8192


def test_files_in_shared_memory_are_bounded(run_job: RunJob) -> None:
    outcome = run_job("memory_in_tmp")
    assert outcome.status in (RunStatus.FAILED, RunStatus.OUT_OF_RESOURCES)


def test_what_a_job_leaves_running_dies_with_it(run_job: RunJob) -> None:
    outcome = run_job("orphans")
    assert outcome.status is RunStatus.OK
    assert outcome.outputs["model"].path.read_bytes() == b"weights"


def test_cancelling_kills_at_once(run_job: RunJob) -> None:
    cancel = threading.Event()
    outcome = run_job("forever", cancel=cancel, on_progress=lambda _: cancel.set())
    assert outcome.status is RunStatus.CANCELLED
    assert outcome.wall_s < LIMITS.wall_s


def test_runs_go_side_by_side(run_job: RunJob) -> None:
    with ThreadPoolExecutor(3) as pool:
        outcomes: list[RunResult] = list(pool.map(run_job, ["good", "exit64", "good"]))
    assert [outcome.status for outcome in outcomes] == [RunStatus.OK, RunStatus.UNSUPPORTED, RunStatus.OK]


def test_an_image_that_is_not_there_is_named(room: Sandbox) -> None:
    missing = "sha256:" + "0" * 64
    outcome = room.run(RunSpec(run_id="none", image_id=missing, phase="train", seed=0, budget_s=1))
    assert outcome.status is RunStatus.ENGINE_ERROR
    assert missing in outcome.reason


def test_params_that_are_no_object_are_refused(room: Sandbox, image: str) -> None:
    spec = RunSpec(run_id="params", image_id=image, phase="train", seed=0, budget_s=1, params="[" * 5000)
    outcome = room.run(spec)
    assert outcome.status is RunStatus.NOT_STARTED
    assert "params" in outcome.reason


def test_an_image_goes_at_once_after_its_last_run(room: Sandbox, archive: tuple[Path, str], run_job: RunJob, image: str) -> None:
    """Not only when the background has removed the run's container: nobody asks a second time."""
    for _ in range(3):
        assert run_job("good").status is RunStatus.OK
        room.remove_image(image)
        assert not room.has_image(image)
        assert room.load_archive(*archive) == image
