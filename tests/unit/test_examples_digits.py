"""The digits job keeps the container contract: losses, exit codes, hostile models, hidden data, and its use."""

from __future__ import annotations

import io
import json
import pickle
import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learningchain.chain.losses import LossTree
from learningchain.examples.digits import data, job, table
from learningchain.sandbox.losses import parse_losses

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


def run(root: Path, phase: str, seed: int = 1, **fields: Any) -> tuple[int, list[int]]:
    """One run of the job; its exit code and what the host reads of its losses (units of 1e-9), where there are any."""
    document: dict[str, Any] = {"v": 2, "phase": phase, "budget_s": 60, "threads": 1, "mem_mb": 256, "params": {"epochs": 4}}
    document |= {"seed": seed} if phase == "train" else {}
    (root / "lc/in/job.json").write_text(json.dumps({**document, **fields}))
    result = root / "lc/out/losses"
    result.unlink(missing_ok=True)
    code = job.main([phase], root)
    return code, list(parse_losses(result.read_bytes())) if result.exists() else []


def evaluate_bytes(root: Path, model: bytes, **fields: Any) -> tuple[int, list[int]]:
    (root / "lc/in/model").write_bytes(model)
    return run(root, "evaluate", **fields)


def trained(root: Path, seed: int = 1, **fields: Any) -> bytes:
    assert run(root, "train", seed, **fields) == (0, [])
    return (root / "lc/out/model").read_bytes()


def loss(root: Path, model: bytes) -> Fraction:
    """The mean, as the host takes it."""
    code, losses = evaluate_bytes(root, model)
    assert code == 0
    return Fraction(LossTree(losses).measurement.mean, 10**9)


def test_different_seeds_reach_different_losses_and_the_same_seed_the_same_model(root: Path) -> None:
    models = [trained(root, seed=seed) for seed in (1, 2, (1 << 64) - 1)]
    assert len({loss(root, model) for model in models}) == 3
    assert trained(root, seed=2) == models[1]


def test_an_evaluation_repeats_itself_line_by_line(root: Path) -> None:
    model = trained(root, seed=5)
    first = evaluate_bytes(root, model)
    raw = (root / "lc/out/losses").read_bytes()
    assert (first[0], len(first[1])) == (0, 360)
    assert evaluate_bytes(root, model) == first
    assert (root / "lc/out/losses").read_bytes() == raw
    assert all(len(line.partition(b".")[2]) == 9 for line in raw.splitlines())


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
    assert evaluate_bytes(root, model) == (65, [])


def test_hidden_data_replaces_the_built_in_examples(root: Path) -> None:
    model = trained(root)
    (root / "lc/in/eval").write_bytes(b"".join(TRAINING.splitlines(keepends=True)[:100]))
    code, losses = evaluate_bytes(root, model)
    assert (code, len(losses)) == (0, 100)


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
    assert evaluate_bytes(root, model) == (1, [])


@pytest.mark.parametrize(
    ("argv", "fields", "code"),
    [
        (["local"], {}, 64),
        ([], {}, 64),
        (["train", "evaluate"], {}, 64),
        (["train"], {"v": 1}, 64),
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
    document = {"v": 2, "phase": "train", "seed": 1, "budget_s": 9, "threads": 1, "mem_mb": 64, "params": {}}
    (root / "lc/in/job.json").write_text(json.dumps({**document, **fields}))
    assert job.main(argv, root) == code
    assert not list((root / "lc/out").iterdir())


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
    assert trained(root, budget_s=10, params={"epochs": 100, "seconds": 100})
    assert now[0] == 8.0
    assert [json.loads(line[3:])["step"] for line in epochs] == [2, 4, 6, 8]


def test_a_look_up_table_knows_the_public_digits_and_no_other(root: Path) -> None:
    """Perfect where workers can read the answers, worse than guessing on what the contractor kept back."""
    path = root / "known.csv"
    path.write_bytes(EVALUATION)
    model = job.save_model(table.table(*job.read_examples(path), np.random.default_rng(7)))
    code, public = evaluate_bytes(root, model)
    assert (code, set(public)) == (0, {0})
    (root / "lc/in/eval").write_bytes(b"".join(TRAINING.splitlines(keepends=True)[::4]))
    code, hidden = evaluate_bytes(root, model)
    assert code == 0
    assert sum(hidden) / len(hidden) > 5 * 10**9, "guessing costs 2.3"


def ask(
    root: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes, rows: int, challenge: int = 5, given: str = "go\n"
) -> tuple[int, list[str]]:
    """One request of the phase predict; its exit code and the answer's lines."""
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    (root / "lc/in/request.json").write_text(json.dumps({"v": 1, "rows": rows, "seed": 7, "challenge": challenge}))
    (root / "lc/in/input").write_bytes(raw)
    answer = root / "lc/out/answer"
    answer.unlink(missing_ok=True)
    code, _ = run(root, "predict")
    return code, answer.read_text().splitlines() if answer.exists() else []


def pixels(count: int) -> tuple[bytes, list[str]]:
    """The first digits of the evaluation as somebody asks about them, and what they are."""
    lines = [line.split(b",") for line in EVALUATION.splitlines()[:count]]
    raw = "".join(json.dumps([[int(pixel) for pixel in line[:-1]]]) + "\n" for line in lines).encode()
    return raw, [line[-1].decode() for line in lines]


def test_it_reads_the_digits_that_somebody_asks_about(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "lc/in/model").write_bytes(trained(root, params={"epochs": 15}))
    raw, digits = pixels(100)
    code, answer = ask(root, monkeypatch, raw, 100)
    assert (code, len(answer)) == (0, 101)
    assert sum(line.split()[0] == digit for line, digit in zip(answer, digits, strict=False)) > 85
    assert all(min(parse_losses(f"{line.split()[1]}\n".encode())) >= 0 for line in answer[:-1])
    assert answer[-1].startswith("check ")
    assert ask(root, monkeypatch, raw, 100) == (0, answer)
    other = ask(root, monkeypatch, raw, 100, challenge=6)[1]
    assert other[:-1] == answer[:-1]
    assert other[-1] != answer[-1]
    assert ask(root, monkeypatch, raw, 100, given="") == (0, [])


def test_what_is_no_digit_is_an_input_that_does_not_fit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "lc/in/model").write_bytes(trained(root))
    raw, _ = pixels(1)
    row = json.loads(raw)
    wrong = [b"", raw + raw, b"1\n", b"[1]\n", b"{}\n", b"x\n", b"\xff\n", b"[" * 9999, json.dumps(row[0]).encode()]
    values: list[Any] = [17, -1, 1.5, True, None, "1", [], 10**30]
    wrong += [json.dumps([[one, *row[0][1:]]]).encode() for one in values]
    for given in wrong:
        refused: tuple[int, list[str]] = (66, []) if given == raw + raw else (0, ["unfit 0"])
        assert ask(root, monkeypatch, given, 1) == refused, given[:80]
    assert ask(root, monkeypatch, raw + raw + b"[]\n" + raw, 4) == (0, ["unfit 2"])
