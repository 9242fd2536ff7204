"""What it means to try a registered model: its own sample, put to a container that is started as a server starts one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from learningchain.chain.contracts.prediction.duties import RunTerms
from learningchain.chain.contracts.prediction.tally import ModelKind
from learningchain.chain.types import cid_text
from learningchain.client.contracts.prediction.http.lines import MAX_ANSWERS, MAX_SAMPLE, lines_of
from learningchain.client.contracts.prediction.roles import runs
from learningchain.client.contracts.prediction.roles.inputs import PredictionInput
from learningchain.client.work.trials import PreparedTrial, TrialImpossible, WantedTrial
from learningchain.sandbox import AnswerForm, ParsedAnswer
from learningchain.sandbox.answers import BadAnswer, parse_answer

PHASE = "try"
LONGEST_S = 600.0
"""The most that the sample's rows may take in a run, whatever the model's terms say: other trials wait for this one."""
MODEL, SAMPLE, ANSWERS = "model", "sample", "answers to the sample"


def wanted_trial(model: RunTerms) -> WantedTrial:
    """Of a model with a sample."""
    files = [(MODEL, model.cid, model.size), (SAMPLE, cid_text(model.terms.sample), MAX_SAMPLE)]
    if model.terms.sample_answers:
        files.append((ANSWERS, cid_text(model.terms.sample_answers), MAX_ANSWERS))

    def prepare(run: str, image: str, paths: Mapping[str, Path]) -> PreparedTrial:
        return _prepared(model, run, image, paths)

    return WantedTrial(model.model, PHASE, lambda config: runs.wanted_image(config, model), tuple(files), prepare)


def _prepared(model: RunTerms, run: str, image: str, paths: Mapping[str, Path]) -> PreparedTrial:
    """Raises `TrialImpossible`, OSError."""
    terms = model.terms
    sample = paths[SAMPLE].read_bytes()
    count = len(lines_of(sample))
    if not 1 <= count <= terms.max_rows:
        raise TrialImpossible(f"its sample has {count} rows, and one request to this model has 1 to {terms.max_rows}")
    form = AnswerForm(count, terms.classes if terms.kind == ModelKind.CLASS else 0)
    spec = runs.predict_spec(model, run=run, image=image, path=paths[MODEL])
    if isinstance(spec, str):
        raise TrialImpossible(spec)
    wall_s = min(LONGEST_S, 2 * terms.row_ms * count / 1_000)
    late = PredictionInput(source=sample, rows=count, chosen=tuple(range(count)), seed=1, challenge=1, form=form, wall_s=wall_s)
    return PreparedTrial(spec, late, terms.tol, _owners(paths.get(ANSWERS), form))


def _owners(path: Path | None, form: AnswerForm) -> ParsedAnswer | None:
    """What the owner registered as the answers to its sample. Raises `TrialImpossible`, OSError."""
    if path is None:
        return None
    try:
        return parse_answer(path.read_bytes(), form)
    except BadAnswer as problem:
        raise TrialImpossible(f"the owner's answers to its sample cannot be read: {problem}") from None
