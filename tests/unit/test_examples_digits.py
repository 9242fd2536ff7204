"""The digits job keeps the container contract: losses, probe, exit codes, hostile models, hidden data, and its use."""

from __future__ import annotations

import json
import pickle
import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from examples.digits import data, job, use

TRAINING, EVALUATION = data.split_digits()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image's root with the job's data in it, as the sandbox would present it."""
    lc = tmp_path / "lc"
    (lc / "in").mkdir(parents=True)
    (lc / "out").mkdir()
    (lc / "train.csv").write_bytes(TRAINING)
    (lc / "eval.csv").write_bytes(EVALUATION)
    return tmp_path


def run(root: Path, phase: str, seed: int = 1, probe: int = 77, **fields: Any) -> tuple[int, dict[str, Any]]:
    """One run of the job; its exit code and, where it ended well, its result."""
    document = {"v": 1, "phase": phase, "seed": seed, "probe": probe, "budget_s": 60, "threads": 1, "mem_mb": 256}
    document["params"] = {"epochs": 4}
    (root / "lc/in/job.json").write_text(json.dumps({**document, **fields}))
    result = root / "lc/out/result.json"
    result.unlink(missing_ok=True)
    code = job.main([phase], root)
    return code, json.loads(result.read_bytes()) if result.exists() else {}


def evaluate_bytes(root: Path, model: bytes, **fields: Any) -> tuple[int, dict[str, Any]]:
    (root / "lc/in/model").write_bytes(model)
    return run(root, "evaluate", **fields)


def trained(root: Path, **fields: Any) -> bytes:
    code, _ = run(root, "train", **fields)
    assert code == 0
    return (root / "lc/out/model").read_bytes()


def test_the_split_is_every_fifth_digit_and_loses_none() -> None:
    training, evaluation = TRAINING.splitlines(), EVALUATION.splitlines()
    assert (len(training), len(evaluation)) == (1437, 360)
    assert data.split_digits() == (TRAINING, EVALUATION)


def test_different_seeds_reach_different_losses_and_the_same_seed_the_same(root: Path) -> None:
    losses = [run(root, "train", seed=seed)[1]["loss"] for seed in (1, 2, (1 << 64) - 1)]
    assert len(set(losses)) == 3
    assert run(root, "train", seed=2)[1]["loss"] == losses[1]


def test_training_learns(root: Path) -> None:
    _, result = run(root, "train", params={"epochs": 15})
    assert Fraction(result["loss"]) < Fraction("0.25")  # guessing would be 2.3


def test_evaluate_reproduces_the_loss_of_the_training_exactly(root: Path) -> None:
    _, claimed = run(root, "train", seed=5, probe=9)
    model = (root / "lc/out/model").read_bytes()
    code, measured = evaluate_bytes(root, model, seed=123, probe=9)
    assert (code, measured) == (0, claimed)
    assert measured["v"] == 1
    assert measured["n"] == 360


def test_losses_have_nine_digits_and_progress_is_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, result = run(root, "train")
    assert all(len(result[key].partition(".")[2]) == 9 for key in ("loss", "probe_loss"))
    lines = [json.loads(line[3:]) for line in capsys.readouterr().out.splitlines() if line.startswith("LC {")]
    assert [(line["step"], line["of"]) for line in lines] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert f"{lines[-1]['loss']:.4f}" == f"{float(result['loss']):.4f}"


@pytest.mark.parametrize("probe", [0, 1, 1 << 28, 123_456_789, (1 << 31) - 1])
def test_the_probe_selects_what_the_contract_says(root: Path, probe: int) -> None:
    model = trained(root)
    code, result = evaluate_bytes(root, model, probe=probe)
    pixels, digits = job.read_examples(root / "lc/eval.csv")
    each = job.losses(job.load_model(model), pixels, digits)
    selected = [loss for i, loss in enumerate(each) if (probe + i * 1103515245) % 2**31 < 2**28]
    assert code == 0
    assert 20 < len(selected) < 80
    assert result["probe_loss"] == f"{np.mean(selected):.9f}"


def test_a_probe_that_selects_nothing_gives_zero(root: Path) -> None:
    (root / "lc/eval.csv").write_bytes(EVALUATION.splitlines(keepends=True)[0])
    code, result = evaluate_bytes(root, trained(root), probe=1 << 30)
    assert (code, result["probe_loss"], result["n"]) == (0, "0", 1)


GOOD_HEADER = struct.pack("<8sI", b"LCDIGIT1", 2)
WEIGHTS = 64 * 2 + 2 + 2 * 10 + 10


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"LCDIGIT1", id="no header"),
        pytest.param(pickle.dumps({"w1": [1.0]}) * 10, id="pickle"),
        pytest.param(b"PK\x03\x04" + bytes(200), id="zip"),
        pytest.param(GOOD_HEADER + bytes(8 * WEIGHTS - 1), id="truncated"),
        pytest.param(GOOD_HEADER + bytes(8 * WEIGHTS + 1), id="too long"),
        pytest.param(struct.pack("<8sI", b"LCDIGIT1", 0) + bytes(80), id="no units"),
        pytest.param(struct.pack("<8sI", b"LCDIGIT1", 0xFFFFFFFF) + bytes(800), id="huge header"),
        pytest.param(GOOD_HEADER + struct.pack("<d", float("nan")) * WEIGHTS, id="not numbers"),
        pytest.param(GOOD_HEADER + struct.pack("<d", 1e300) * WEIGHTS, id="overflow"),
        pytest.param(bytes(1 << 20), id="too large"),
    ],
)
def test_hostile_models_are_called_invalid(root: Path, model: bytes) -> None:
    code, result = evaluate_bytes(root, model)
    assert (code, result) == (65, {})


def test_a_model_of_zeros_guesses(root: Path) -> None:
    code, result = evaluate_bytes(root, GOOD_HEADER + bytes(8 * WEIGHTS))
    assert (code, result["loss"]) == (0, "2.302585093")


def test_hidden_data_replaces_the_built_in_examples(root: Path) -> None:
    model = trained(root)
    (root / "lc/in/eval").write_bytes(b"".join(TRAINING.splitlines(keepends=True)[:100]))
    code, result = evaluate_bytes(root, model)
    assert (code, result["n"]) == (0, 100)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"1,2,3\n",
        EVALUATION.splitlines()[0] + b",1\n",
        b",".join([b"17"] + [b"0"] * 64) + b"\n",
        b",".join([b"0"] * 64 + [b"10"]) + b"\n",
        b",".join([b"-1"] + [b"0"] * 64) + b"\n",
        b",".join([b"1e9"] + [b"0"] * 64) + b"\n",
        b"\xff\x00" * 400,
    ],
)
def test_junk_as_hidden_data_is_the_contractors_fault_not_the_models(root: Path, content: bytes) -> None:
    model = trained(root)
    (root / "lc/in/eval").write_bytes(content)
    assert evaluate_bytes(root, model) == (1, {})


@pytest.mark.parametrize(
    ("argv", "fields", "code"),
    [
        (["predict"], {}, 64),
        ([], {}, 64),
        (["train", "evaluate"], {}, 64),
        (["train"], {"v": 2}, 64),
        (["train"], {"params": {"epochs": "many"}}, 64),
        (["train"], {"params": {"epochs": True}}, 64),
        (["train"], {"params": {"epochs": 0}}, 64),
        (["train"], {"params": {"learning_rate": float("nan")}}, 64),
        (["train"], {"params": {"layers": 3}}, 64),
        (["train"], {"params": []}, 64),
        (["train"], {"phase": "evaluate"}, 1),
        (["train"], {"seed": "1"}, 1),
        (["train"], {"seed": -1}, 1),
        (["evaluate"], {"phase": "evaluate"}, 1),  # there is no model
    ],
)
def test_exit_codes(root: Path, argv: list[str], fields: dict[str, Any], code: int) -> None:
    document = {"v": 1, "phase": "train", "seed": 1, "probe": 0, "budget_s": 9, "threads": 1, "mem_mb": 64, "params": {}}
    (root / "lc/in/job.json").write_text(json.dumps({**document, **fields}))
    assert job.main(argv, root) == code
    assert not list((root / "lc/out").iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_broken_job_json_is_no_verdict_on_the_model(root: Path, content: bytes) -> None:
    (root / "lc/in/job.json").write_bytes(content)
    assert job.main(["evaluate"], root) == 1


def test_a_diverging_training_fails_without_a_model(root: Path) -> None:
    code, result = run(root, "train", params={"epochs": 20, "learning_rate": 10, "weight_decay": 1})
    assert (code, result) == (1, {})
    assert not (root / "lc/out/model").exists()


def test_a_training_ends_within_its_budget(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's: every epoch takes one second, so 8 of 10 seconds are used and then the model is written."""
    now = [0.0]
    epochs: list[str] = []

    def clock() -> float:
        return now[0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(job, "time", SimpleNamespace(monotonic=clock, sleep=advance))
    monkeypatch.setattr("builtins.print", lambda line, **_: epochs.append(line))
    code, result = run(root, "train", budget_s=10, params={"epochs": 100, "seconds": 100})
    assert code == 0
    assert len(result["loss"]) == len("0.123456789")
    assert now[0] == 8.0
    assert [json.loads(line[3:])["step"] for line in epochs] == [2, 4, 6, 8]


def test_the_contractor_uses_the_downloaded_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(root, params={"epochs": 15})
    path = root / "model"
    path.write_bytes(model)
    reading = use.classify(path)
    assert reading.accuracy > 0.9
    assert use.main([str(path), "0", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"{reading.right} of 360 digits read correctly ({reading.accuracy:.1%})"
    assert [len(line) <= 3 * 16 + 2 * 3 for line in out[-10:-1]] == [True] * 9


def test_use_refuses_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model"
    path.write_bytes(pickle.dumps(list(range(100))))
    assert use.main([str(path)]) == 1
    assert "not a model" in capsys.readouterr().err
    assert use.main([str(tmp_path / "absent")]) == 1
    assert use.main([str(path), "-1"]) == 2
