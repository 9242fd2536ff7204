"""The example about sentences in real containers: trained and evaluated on a published set, and asked for a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from learningchain.examples.sentences import build
from learningchain.examples.sentences.data import CLASSES, split_sentences
from learningchain.sandbox import AnswerForm, ContainerLimits, Evaluated, ParsedAnswer, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.answers import AnswerReader, request_json
from learningchain.sandbox.data import joined, scan_folder

LIMITS = ContainerLimits(cpus=2.0, mem_mb=512, model_cap=1 << 16, tmp_mb=8, wall_s=240)
ASKED = ("Why is there a second charge on my card?", "The package never came", "my login is broken", "You are wonderful, thanks")
GUESSED = 1.386
"""The loss of who knows nothing: ln 4."""


@pytest.mark.full("it fetches a language model of 84 MB; unit/test_examples_sentences.py has what needs none")
def test_a_classifier_is_trained_on_a_published_set_and_answers_sentences(room: Sandbox, tmp_path: Path) -> None:
    try:
        image = room.load_archive(tmp_path / "image.tar", build.build(tmp_path / "image.tar"))
    except build.ModelMissing as missing:
        pytest.skip(f"it needs a language model: {missing}")
    folder = tmp_path / "sentences"
    folder.mkdir()
    for name, table in zip(("train.csv", "eval.csv"), split_sentences(), strict=True):
        (folder / name).write_bytes(table)
    sets = joined({"sentences": scan_folder(folder)})

    def spec(phase: str, inputs: Any) -> RunSpec:
        seed = None if phase == "evaluate" else 7
        run = f"sentences-{phase}-{os.urandom(3).hex()}"
        return RunSpec(run_id=run, image_id=image, phase=phase, seed=seed, budget_s=200, limits=LIMITS, inputs=inputs)

    trained = room.run(spec("train", {"sets": sets}))
    assert trained.status is RunStatus.OK, trained
    model = trained.outputs["model"].path
    evaluated = room.run(spec("evaluate", {"model": model, "sets": sets}))
    assert isinstance(evaluated.result, Evaluated), evaluated
    assert (evaluated.result.measurement.mean / 1e9 < GUESSED / 2, len(evaluated.result.losses)) == (True, 16)

    warm = room.start(spec("predict", {"model": model}))
    assert not isinstance(warm, RunResult), warm
    rows = "".join(json.dumps([sentence]) + "\n" for sentence in ASKED).encode()
    late = {"request.json": request_json(len(ASKED), 7, 2**31), "input": rows}
    answered = warm.finish(late, read=lambda: AnswerReader(AnswerForm(rows=len(ASKED), classes=len(CLASSES))))
    assert isinstance(answered.result, ParsedAnswer), answered
    assert [CLASSES[found] for found in answered.result.classes] == ["bill", "delivery", "account", "praise"]
