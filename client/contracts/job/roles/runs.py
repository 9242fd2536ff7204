"""What a posting means to the sandbox: its image, its trainings and its evaluations. Plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.host.terms import ImageKind, Use
from learningchain.chain.types import cid_text
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import policy
from learningchain.client.work.events import WantedImage, WantedSet
from learningchain.sandbox import DataSet, OwnData, RunSpec
from learningchain.sandbox.data import joined
from learningchain.sandbox.phases import SETS

NO_SETS: Mapping[str, DataSet] = {}
NO_FILES: Mapping[str, Path] = {}
BUDGET = 0.9
"""The part of the wall clock that a training is told to use: the rest is for stopping in order."""


def wanted_image(config: WorkConfig, terms: PostJob, use: Use = Use.TRAIN | Use.EVALUATE) -> WantedImage:
    """The job's image, and where it has any its hidden data, and what this use reads of data sets and an earlier model."""
    posted, limits = terms.image, policy.image_limits(config, terms)
    earlier = [(cid_text(one.cid), one.size) for one in terms.earlier if use & Use.TRAIN]
    return WantedImage(
        reference=posted.reference,
        cid=cid_text(posted.cid) if posted.kind == ImageKind.ARCHIVE else "",
        image_id=f"sha256:{posted.image_id.hex()}" if posted.image_id else "",
        size=posted.size,
        packed=limits.archive_bytes,
        unpacked=limits.unpacked_bytes,
        files=tuple((cid_text(hidden.cid), hidden.size) for hidden in terms.hidden),
        sets=tuple(WantedSet(one.name, cid_text(one.cid), one.size, one.files) for one in terms.data if one.use & use),
        model=next(iter(earlier), None),
    )


def train_spec(
    terms: PostJob,
    *,
    run: str,
    image_id: str,
    seed: int,
    wall_s: float,
    sets: Mapping[str, DataSet] = NO_SETS,
    model: Path | None = None,
    devices: tuple[str, ...] = (),
) -> RunSpec | str:
    """A training; a text where no container can be started for the posting, and why."""
    budget_s = max(1, int(wall_s * BUDGET))
    found = _sets(terms, Use.TRAIN, sets)
    fields: dict[str, Any] = {"run_id": run, "image_id": image_id, "phase": "train", "seed": seed, "budget_s": budget_s}
    return _spec(terms, wall_s, found, {} if model is None else {"model": model}, devices=devices, **fields)


def evaluate_spec(
    terms: PostJob,
    *,
    run: str,
    image_id: str,
    model: Path,
    wall_s: float,
    hidden: Path | None = None,
    sets: Mapping[str, DataSet] = NO_SETS,
) -> RunSpec | str:
    """An evaluation, with `hidden` one on the hidden data; a text as above. Everything that the program can see of it is the same
    for the claimant and for every verifier."""
    inputs = {"model": model} if hidden is None else {"model": model, "eval": hidden}
    budget_s = terms.limits.eval_s
    found = _sets(terms, Use.EVALUATE, sets)
    return _spec(terms, wall_s, found, inputs, run_id=run, image_id=image_id, phase="evaluate", budget_s=budget_s)


def _sets(terms: PostJob, use: Use, sets: Mapping[str, DataSet]) -> Mapping[str, DataSet]:
    return {one.name: sets[one.name] for one in terms.data if one.use & use}


def _spec(
    terms: PostJob, wall_s: float, sets: Mapping[str, DataSet], files: Mapping[str, Path] = NO_FILES, **fields: Any
) -> RunSpec | str:
    try:
        inputs: dict[str, Path | DataSet | OwnData] = dict(files)
        if sets:
            inputs[SETS] = joined(sets)
        limits = policy.run_limits(terms, wall_s)
        return RunSpec(threads=terms.limits.threads, params=terms.params, limits=limits, inputs=inputs, **fields)
    except ValueError as problem:
        return f"the posting cannot be run: {problem}"
