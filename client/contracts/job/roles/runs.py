"""What a posting means to the sandbox: its image, its trainings and its evaluations. Plain functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.views import cid_text
from learningchain.chain.host.terms import ImageKind
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import policy
from learningchain.client.work.events import WantedImage
from learningchain.sandbox import DataSet, RunSpec

BUDGET = 0.9
"""The part of the wall clock that a training is told to use: the rest is for stopping in order."""


def wanted_image(config: WorkConfig, terms: PostJob) -> WantedImage:
    """The job's image, and its hidden data where it has any."""
    posted, limits = terms.image, policy.image_limits(config, terms)
    return WantedImage(
        reference=posted.reference,
        cid=cid_text(posted.cid) if posted.kind == ImageKind.ARCHIVE else "",
        image_id=f"sha256:{posted.image_id.hex()}" if posted.image_id else "",
        size=posted.size,
        packed=limits.archive_bytes,
        unpacked=limits.unpacked_bytes,
        files=tuple((cid_text(hidden.cid), hidden.size) for hidden in terms.hidden),
    )


def train_spec(terms: PostJob, *, run: str, image_id: str, seed: int, wall_s: float) -> RunSpec | str:
    """A training; a text where no container can be started for the posting, and why."""
    budget_s = max(1, int(wall_s * BUDGET))
    return _spec(terms, wall_s, run_id=run, image_id=image_id, phase="train", seed=seed, budget_s=budget_s)


def evaluate_spec(
    terms: PostJob, *, run: str, image_id: str, model: Path, wall_s: float, hidden: Path | None = None
) -> RunSpec | str:
    """An evaluation, with `hidden` one on the hidden data; a text as above. Everything that the program can see of it is the same
    for the claimant and for every verifier."""
    inputs: dict[str, Path | DataSet] = {"model": model} if hidden is None else {"model": model, "eval": hidden}
    budget_s = terms.limits.eval_s
    return _spec(terms, wall_s, run_id=run, image_id=image_id, phase="evaluate", budget_s=budget_s, inputs=inputs)


def _spec(terms: PostJob, wall_s: float, **fields: Any) -> RunSpec | str:
    try:
        return RunSpec(threads=terms.limits.threads, params=terms.params, limits=policy.run_limits(terms, wall_s), **fields)
    except ValueError as problem:
        return f"the posting cannot be run: {problem}"
