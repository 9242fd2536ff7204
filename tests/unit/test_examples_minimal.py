"""The smallest job, which people copy from the README, keeps the whole contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples.minimal import job


def run(lc: Path, phase: str, seed: int = 1, probe: int = 3, version: int = 1) -> tuple[int, dict[str, Any]]:
    (lc / "in").mkdir(parents=True, exist_ok=True)
    (lc / "out").mkdir(exist_ok=True)
    (lc / "in/job.json").write_text(json.dumps({"v": version, "phase": phase, "seed": seed, "probe": probe}))
    (lc / "out/result.json").unlink(missing_ok=True)
    code = job.main(phase, lc)
    result = lc / "out/result.json"
    return code, json.loads(result.read_bytes()) if result.exists() else {}


def test_it_learns_and_evaluate_reproduces_the_loss(tmp_path: Path) -> None:
    code, claimed = run(tmp_path, "train")
    assert code == 0
    assert float(claimed["loss"]) < 0.1
    (tmp_path / "in/model").write_bytes((tmp_path / "out/model").read_bytes())
    assert run(tmp_path, "evaluate") == (0, claimed)
    assert run(tmp_path, "train", seed=2)[1]["loss"] != claimed["loss"]


@pytest.mark.parametrize("model", [b"", b"[1]", b"[1, null]", b'["x", 1]', b"[NaN, 1]", b"[1e300, 1]", b"\xff", b"[" * 9999])
def test_junk_is_called_an_invalid_model(tmp_path: Path, model: bytes) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/model").write_bytes(model)
    assert run(tmp_path, "evaluate") == (65, {})


def test_unknown_versions_and_phases_are_unsupported(tmp_path: Path) -> None:
    assert run(tmp_path, "train", version=2)[0] == 64
    assert run(tmp_path, "predict")[0] == 64
