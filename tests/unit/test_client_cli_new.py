"""`job new`: what it writes, and that the programs in it do what they say outside of any container too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.contracts.job.cli.new import TEMPLATES, files
from learningchain.client.contracts.prediction.http.model_schema import decode_rows, encode_rows, parse_schema
from learningchain.sandbox.losses import parse_losses
from tests.unit.readme_kit import commands

pytest_plugins = ["tests.unit.client_cli_kit"]


PROGRAMS = {name: "job.sh" if name == "shell" else "job.py" for name in TEMPLATES}
INTERPRETERS = {"job.py": sys.executable, "job.sh": "sh"}
MODULES = {"sklearn": "sklearn", "xgboost": "xgboost", "torch": "torch"}


@pytest.mark.parametrize(("template", "program"), PROGRAMS.items())
def test_it_writes_a_whole_job(run: Any, tmp_path: Path, template: str, program: str) -> None:
    folder = tmp_path / "My Job"
    ran = run("job", "new", folder, "--template", template)
    builds = "learningchain job build" if program == "job.py" else "docker build -t my-job"
    assert ran.code == 0 and builds in ran.err and "image check my-job.tar" in ran.err
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    asked = {"schema.json", "sample.jsonl", "job.toml"} if program == "job.py" else set()
    asked |= {"requirements.txt"} if template in MODULES else set()
    assert ("learningchain job lock" in ran.err) == (template in MODULES)
    assert made == {program, "Dockerfile", "README.md", "hidden.csv", "data/train.csv", "data/eval.csv", *asked}
    assert os.access(folder / program, os.X_OK)
    readme, docker = (folder / "README.md").read_text(), (folder / "Dockerfile").read_text()
    assert f"{builds} ." in readme and f"`{program}`" in readme and "{" not in readme
    registers = [words for words in commands(readme) if words[:2] == ["model", "register"]]
    assert all({"schema.json", "sample.jsonl"} < set(words) for words in registers) and len(registers) == bool(asked)
    assert ("answers no questions" in readme) == (not asked) and all(f"| `{file}` |" in readme for file in asked)
    assert ("--start-time 60s" in readme) == (template == "torch"), "importing it takes longer than the default"
    assert f"COPY {program} /lc/job" in docker and "hidden.csv" not in docker, "hidden data is not in the image"


def lc(folder: Path, tmp_path: Path, program: str) -> Path:
    """The program with its folders moved from /lc to one of ours; the root that it then works in."""
    root = tmp_path / "lc"
    for name in ("in", "out"):
        (root / name).mkdir(parents=True)
    shutil.copytree(folder / "data", root / "data")
    text = (folder / program).read_text().replace("/lc/", f"{root}/").replace('Path("/lc")', f'Path("{root}")')
    (root / "job").write_text(text)
    (root / "in/job.json").write_text(json.dumps({"v": 2, "seed": 1, "budget_s": 5, "threads": 1, "params": {}}))
    return root


@pytest.mark.parametrize(("template", "program"), PROGRAMS.items())
def test_its_program_trains_evaluates_and_refuses_what_is_no_model(run: Any, tmp_path: Path, template: str, program: str) -> None:
    if template in MODULES:
        pytest.importorskip(MODULES[template], reason="tests/sandbox/test_job_tools.py has it in a real image")
    by = INTERPRETERS[program]
    assert run("job", "new", tmp_path / "job", "--template", template).code == 0
    root = lc(tmp_path / "job", tmp_path, program)

    def ends(phase: str) -> int:
        return subprocess.run([by, str(root / "job"), phase], capture_output=True, check=False, timeout=60).returncode

    assert ends("train") == 0
    (root / "in/model").write_bytes((root / "out/model").read_bytes())
    assert ends("evaluate") == 0
    losses = parse_losses((root / "out/losses").read_bytes())
    assert len(losses) == 40 and sum(losses) / 40 < 0.1 * 10**9, "it learned the line"
    (root / "in/eval").write_bytes((tmp_path / "job/hidden.csv").read_bytes())
    assert ends("evaluate") == 0
    assert parse_losses((root / "out/losses").read_bytes()) != losses, "hidden data takes the place of the image's"
    for model in (b"", b"hello", bytes(range(256)), b"1 2 3\n", b"[1]", b'["a", {}]', b"[1e999, 1]", b"[" * 9000, b"nan inf\n"):
        (root / "in/model").write_bytes(model)
        assert ends("evaluate") == 65, model[:20]
    assert ends("serve") == 64
    assert ends("predict") == (65 if program == "job.py" else 64), "no model yet, or a program that answers nothing"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("[2]\n", ["7.000000000", "check 7.024000000"]),
        ("[2]\n[-0.5]\n[0]\n", ["7.000000000", "-0.500000000", "1.000000000", "check 7.518000000"]),
        ("[2]\nhello\n", ["unfit 1"]),
        ("\n", ["unfit 0"]),
        ("[]\n", ["unfit 0"]),
        ("[1, 2]\n", ["unfit 0"]),
        ('["2"]\n', ["unfit 0"]),
        ("[NaN]\n", ["unfit 0"]),
        ("[1e999]\n", ["unfit 0"]),
        ("[1e9]\n", ["unfit 0"]),
        (files("python")["sample.jsonl"], ["1.000000000", "8.500000000", "24.700000000", "check 34.324800000"]),
        ("[" * 9_000 + "\n", ["unfit 0"]),
    ],
)
def test_its_model_can_be_asked(run: Any, tmp_path: Path, rows: str, says: list[str]) -> None:
    assert run("job", "new", tmp_path / "job").code == 0
    root = lc(tmp_path / "job", tmp_path, "job.py")
    (root / "in/model").write_text("[3, 1]")
    (root / "in/request.json").write_text(json.dumps({"v": 1, "rows": rows.count("\n"), "seed": 1, "challenge": 400}))
    (root / "in/input").write_text(rows)

    def asked(said: str) -> str:
        command = [sys.executable, str(root / "job"), "predict"]
        return subprocess.run(command, input=said, capture_output=True, text=True, check=True, timeout=60).stdout

    assert asked("").splitlines() == ['LC {"ready":1}'] and not (root / "out/answer").exists(), "nobody asked"
    assert asked("go\n").splitlines() == ['LC {"ready":1}', 'LC {"done":1}']
    assert (root / "out/answer").read_text().splitlines() == says


def test_its_schema_takes_what_it_was_trained_on_and_its_sample_as_it_stands() -> None:
    made = files("python")
    schema, sample = parse_schema(made["schema.json"].encode()), made["sample.jsonl"].encode()
    assert schema.fits(0) is None and encode_rows(schema, decode_rows(schema, sample)) == sample
    points = [line.split(",")[0] for name in ("data/train.csv", "data/eval.csv", "hidden.csv") for line in made[name].split()]
    assert len(points) > 100 and decode_rows(schema, "\n".join(points).encode())
