"""The examples in real containers: trained, evaluated, and asked for what they learned; the answers repeat themselves."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from learningchain.examples import build
from learningchain.sandbox import ContainerLimits, Evaluated, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.phases import PHASES, InputRow, OutputRow, PhaseRow
from tests.tiers import sampled

LIMITS = ContainerLimits(cpus=1.0, mem_mb=192, model_cap=1 << 20, tmp_mb=8, wall_s=60)
ASKED = PhaseRow(
    (InputRow("model"), InputRow("request.json", late=True, cap=4096), InputRow("input", late=True, cap=1 << 16)),
    (OutputRow("answer", 1 << 16),),
    seeded=True,
)
"""What an image sees of the phase `predict`; the answer comes out as it is."""
EXAMPLES = sampled(("breast_cancer", "diabetes", "german_credit", "digits"), 4, "breast_cancer stands for the others")


class Image:
    def __init__(self, room: Sandbox, name: str, scratch: Path) -> None:
        self.room, self.name, self.scratch = room, name, scratch
        archive = scratch / "image.tar"
        self.id = room.load_archive(archive, build.build(name, archive))

    def spec(self, phase: str, **inputs: Path) -> RunSpec:
        run_id = f"example-{phase}-{os.urandom(3).hex()}"
        params = '{"epochs":4}' if self.name == "digits" and phase == "train" else "{}"
        seed = 7 if PHASES[phase].seeded else None
        return RunSpec(
            run_id=run_id, image_id=self.id, phase=phase, seed=seed, budget_s=30, limits=LIMITS, inputs=inputs, params=params
        )

    def ask(self, model: Path, raw: bytes, rows: int) -> RunResult:
        """One warm container, one request."""
        late = {"request.json": self.scratch / "request.json", "input": self.scratch / "input"}
        late["request.json"].write_text(json.dumps({"v": 1, "rows": rows, "seed": 7, "challenge": 2**31 - 1}))
        late["input"].write_bytes(raw)
        warm = self.room.start(self.spec("predict", model=model))
        assert not isinstance(warm, RunResult), warm
        return warm.finish(late)


def questions(name: str) -> bytes:
    """Two rows of the evaluation data."""
    if name == "digits":
        return (json.dumps([[0, 8] * 32]) + "\n").encode() * 2
    files = build.table_files(name)
    schema, raw = files["/lc/schema.json"], files["/lc/eval.csv"]
    assert isinstance(schema, bytes)
    assert isinstance(raw, bytes)
    inputs = json.loads(schema)["inputs"]
    lines = list(csv.reader(raw.decode().splitlines()))[1:3]
    rows = [[cell if "values" in field else float(cell) for cell, field in zip(line, inputs, strict=False)] for line in lines]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("name", EXAMPLES)
def test_three_phases(room: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(PHASES, "predict", ASKED)
    image = Image(room, name, tmp_path)
    trained = room.run(image.spec("train"))
    assert trained.status is RunStatus.OK, trained
    model = trained.outputs["model"].path
    measured = room.run(image.spec("evaluate", model=model)).result
    assert isinstance(measured, Evaluated)
    assert measured.measurement.mean > 0
    answers = []
    for _ in range(2):
        outcome = image.ask(model, questions(name), 2)
        assert outcome.status is RunStatus.OK, outcome
        answers.append(outcome.outputs["answer"].path.read_text())
        outcome.outputs["answer"].path.unlink()
    assert answers[0] == answers[1]
    words = [line.split() for line in answers[0].splitlines()]
    assert [len(line) for line in words] == [1 if name in ("diabetes", "german_credit") else 2] * 2 + [2]
    assert words[-1][0] == "check"
    assert image.ask(model, questions(name), 1).exit_code == 66
    refused = image.ask(model, questions(name).splitlines(keepends=True)[0] + b"[]\n", 2)
    assert refused.outputs["answer"].path.read_text() == "unfit 1\n"
    refused.outputs["answer"].path.unlink()
    model.unlink()
    room.settle()
    room.remove_image(image.id)
