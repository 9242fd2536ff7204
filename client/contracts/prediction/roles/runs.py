"""What a model's terms mean to the sandbox: its image, its containers, a question, and what a run says. Plain functions."""

from __future__ import annotations

from pathlib import Path

from learningchain.chain.contracts.prediction.duties import ABSTAIN, BAD_INPUT, BAD_KEY, AnswerDuty, RunTerms
from learningchain.chain.contracts.prediction.messages import seed_of
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind
from learningchain.chain.host.terms import ImageKind
from learningchain.chain.types import cid_text
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.roles.inputs import InputSealed, InputUnfit, PredictionInput
from learningchain.client.work.events import RunEnded, WantedImage
from learningchain.sandbox import AnswerForm, AnswerOutcome, ContainerLimits, ParsedAnswer, RunSpec, RunStatus, UnfitRow

MIB = 2**20
UNPACKED = 4
"""How many times the largest image that this node takes it may be unpacked."""
PIDS_SPARE = 64
PHASE = "predict"
_CODES = {
    AnswerOutcome.BAD_INPUT: AnswerCode.BAD_INPUT,
    AnswerOutcome.FAULT: AnswerCode.FAULT,
    AnswerOutcome.OVERRUN: AnswerCode.OVERRUN,
}


def wanted_image(config: WorkConfig, model: RunTerms) -> WantedImage:
    """The model's image, as this node takes images in."""
    posted = model.program.image
    packed = max(1, min(posted.size, config.max_image_mb * MIB))
    return WantedImage(
        reference=posted.reference,
        cid=cid_text(posted.cid) if posted.kind == ImageKind.ARCHIVE else "",
        image_id=f"sha256:{posted.image_id.hex()}" if posted.image_id else "",
        size=posted.size,
        packed=packed,
        unpacked=UNPACKED * config.max_image_mb * MIB,
    )


def predict_spec(model: RunTerms, *, run: str, image: str, path: Path) -> RunSpec | str:
    """A container of a model before it has its request: the same for all requests. A text where none can be started, and why."""
    program, terms = model.program, model.terms
    try:
        limits = ContainerLimits(
            cpus=program.cpus_milli / 1_000,
            mem_mb=program.mem_mb,
            pids=program.threads + PIDS_SPARE,
            tmp_mb=max(1, program.tmp_mb),
            wall_s=float(terms.start_s),
        )
        return RunSpec(
            run_id=run,
            image_id=image,
            phase=PHASE,
            budget_s=terms.start_s,
            seed=seed_of(model.model),
            threads=program.threads,
            params=program.params or "{}",
            limits=limits,
            inputs={"model": path},
        )
    except ValueError as problem:
        return f"the model cannot be run: {problem}"


def late_input(duty: AnswerDuty, model: RunTerms, source: bytes | Path, key: bytes = b"") -> PredictionInput:
    """What a container gets for one request; of a private one `source` is encrypted under `key`."""
    classes = model.terms.classes if model.terms.kind == ModelKind.CLASS else 0
    rows = len(duty.chosen)
    return PredictionInput(
        source=source,
        rows=duty.rows,
        chosen=duty.chosen,
        seed=duty.seed,
        challenge=duty.challenge,
        form=AnswerForm(rows, classes),
        wall_s=2 * model.terms.row_ms * rows / 1_000,
        key=key,
    )


def answer_of(ended: RunEnded) -> Answer | None:
    """What a run says of the request (LC-PRE-25); None where it says nothing of it, and another try may."""
    if isinstance(ended.result, InputUnfit):
        return BAD_INPUT
    if isinstance(ended.result, InputSealed):
        return BAD_KEY
    if isinstance(ended.result, UnfitRow):
        return Answer(AnswerCode.BAD_INPUT, [], [], ended.result.row + 1)
    outcome = ended.status.answer
    if outcome is AnswerOutcome.OK and isinstance(ended.result, ParsedAnswer):
        found = ended.result
        return Answer(AnswerCode.OK, list(found.classes), list(found.scores), found.check)
    if outcome is AnswerOutcome.ABSTAIN:
        return ABSTAIN if ended.status in (RunStatus.UNSUPPORTED, RunStatus.NOT_STARTED) else None
    return Answer(_CODES.get(outcome, AnswerCode.FAULT), [], [], 0)
