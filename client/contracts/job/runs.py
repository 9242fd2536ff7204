"""What a posting means to the sandbox: its image, its trainings and its evaluations. Plain functions."""

from __future__ import annotations

from pathlib import Path

from chain.contracts.job.messages import PostJob
from chain.contracts.job.views import cid_text
from chain.host.terms import ImageKind
from client.config import WorkConfig
from client.contracts.job import policy
from client.contracts.job.events import StartEvaluate, StartSelfCheck, StartTrain
from client.work.events import WantedImage
from sandbox import DataSet, RunSpec

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


def train_spec(terms: PostJob, start: StartTrain) -> RunSpec:
    """Raises ValueError for a posting that no container can be started for."""
    return RunSpec(
        run_id=start.run,
        image_id=start.image_id,
        phase="train",
        seed=start.seed,
        probe=0,
        budget_s=max(1, int(start.wall_s * BUDGET)),
        threads=terms.limits.threads,
        params=terms.params,
        limits=policy.run_limits(terms, start.wall_s),
    )


def evaluate_spec(terms: PostJob, start: StartSelfCheck | StartEvaluate) -> RunSpec:
    """Everything that the job can see is the same for every verifier of a round. Raises ValueError."""
    inputs: dict[str, Path | DataSet] = {"model": start.model.path if isinstance(start, StartSelfCheck) else start.model}
    if isinstance(start, StartEvaluate) and start.eval_file is not None:
        inputs["eval"] = start.eval_file
    return RunSpec(
        run_id=start.run,
        image_id=start.image_id,
        phase="evaluate",
        seed=int.from_bytes(start.job[:8], "big") if isinstance(start, StartSelfCheck) else start.seed,
        probe=start.probe,
        budget_s=terms.limits.eval_s,
        threads=terms.limits.threads,
        params=terms.params,
        limits=policy.run_limits(terms, start.wall_s),
        inputs=inputs,
    )
