"""The smallest jobs, which people copy from README: short, as README has them, and they keep the whole contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learningchain.chain.losses import LossTree
from learningchain.sandbox.losses import parse_losses

from .readme_kit import STARTS, blocks

FOLDER = Path(__file__).parents[2] / "examples" / "minimal"
JOBS = {"python": (FOLDER / "job.py", 20), "shell": (FOLDER / "job.sh", 15)}
"""By the language of README's block: the file, and the lines that it may have."""


def run(lc: Path, language: str, phase: str, seed: int = 1, model: bytes | None = None) -> tuple[int, bytes]:
    """One run of a job whose /lc is a folder here; its exit code, and what the phase leaves."""
    for name in ("in", "out"):
        shutil.rmtree(lc / name, ignore_errors=True)
        (lc / name).mkdir(parents=True)
    document = {"v": 2, "phase": phase, "budget_s": 9, "threads": 1, "mem_mb": 64, "params": {}}
    (lc / "in/job.json").write_text(json.dumps(document | ({"seed": seed} if phase == "train" else {})))
    if model is not None:
        (lc / "in/model").write_bytes(model)
    text = JOBS[language][0].read_text().replace("/lc/", f"{lc}/")
    program = [sys.executable, "-"] if language == "python" else ["sh", "-s"]
    env = os.environ | {"LC_SEED": str(seed)}
    done = subprocess.run([*program, phase], input=text, text=True, env=env, capture_output=True, timeout=60, check=False)
    left = lc / "out" / ("model" if phase == "train" else "losses")
    return done.returncode, left.read_bytes() if left.exists() else b""


@pytest.mark.parametrize("language", JOBS)
def test_readme_has_it_and_it_is_short(language: str) -> None:
    path, most = JOBS[language]
    first = next(block.text for block in blocks(STARTS[0]) if block.language == language)
    assert first == path.read_text()
    assert len(first.splitlines()) <= most


@pytest.mark.parametrize("language", JOBS)
def test_it_learns_and_evaluations_repeat_themselves(tmp_path: Path, language: str) -> None:
    code, model = run(tmp_path, language, "train")
    assert (code, run(tmp_path, language, "train")) == (0, (0, model))
    code, raw = run(tmp_path, language, "evaluate", model=model)
    measured = LossTree(parse_losses(raw)).measurement
    assert (code, measured.count) == (0, 40)
    assert 0 < measured.mean < 10**8
    assert run(tmp_path, language, "evaluate", model=model) == (0, raw)
    others = {run(tmp_path, language, "train", seed=seed)[1] for seed in (2**31, 2**63 - 1, 2**64 - 2, 2**64 - 1)}
    assert len(others | {model}) == 5, "a worker's seeds have 64 bits"


def test_both_measure_the_same(tmp_path: Path) -> None:
    lines = [parse_losses(run(tmp_path, language, "evaluate", model=model)[1]) for language, model in MODELS.items()]
    assert lines[0] == lines[1]


MODELS = {"python": b"[2.5, 1.25]", "shell": b"2.5 1.25\n"}
JUNK = {
    "python": [b"", b"[1]", b"[1, null]", b'["x", 1]', b"[1e300, 1]", b"\xff", b"[" * 9999],
    "shell": [b"1\n", b"1 2 3\n", b"x 1\n", b"1e3 1\n", b"\xff 1\n", b"1 1\n1 1\n"],
}


@pytest.mark.parametrize(("language", "model"), [(language, model) for language, models in JUNK.items() for model in models])
def test_junk_is_called_an_invalid_model(tmp_path: Path, language: str, model: bytes) -> None:
    assert run(tmp_path, language, "evaluate", model=model)[0] == 65
