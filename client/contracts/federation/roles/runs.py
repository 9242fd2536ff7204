"""What a federation's terms mean to the sandbox: its image, training at home, measuring. Plain functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import ImageKind
from learningchain.chain.types import cid_text
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.roles.images import why_not_run
from learningchain.client.work.events import WantedImage
from learningchain.p2p.content.cid import from_bytes
from learningchain.sandbox import ContainerLimits, DataSet, OwnData, RunSpec

MIB = 2**20
SCHEMA = "schema"
"""What is noted of data that were held against a schema: its hash (`learningchain data add --schema`)."""
UNPACKED = 4
"""How many times the largest image that this node takes it may be unpacked."""
PIDS_SPARE = 64
BUDGET = 0.9
"""The part of the wall clock that a training is told to use: the rest is for stopping in order."""


def run_name(run: str) -> str:
    """What the sandbox calls a run of the machines: the same after a restart, when kept losses are looked for."""
    return f"fed-{sha256(run.encode()).hex()[:40]}"


def wanted_image(config: WorkConfig, terms: FederationTerms, *, hidden: bool) -> WantedImage:
    """The image, as this node takes images in, and the hidden file where a seat of the panel wants it."""
    posted = terms.image
    return WantedImage(
        reference=posted.reference,
        cid=cid_text(posted.cid) if posted.kind == ImageKind.ARCHIVE else "",
        image_id=f"sha256:{posted.image_id.hex()}" if posted.image_id else "",
        size=posted.size,
        packed=max(1, min(posted.size, config.max_image_mb * MIB)),
        unpacked=UNPACKED * config.max_image_mb * MIB,
        files=tuple((cid_text(one.cid), one.size) for one in terms.hidden) if hidden else (),
    )


def local_spec(
    terms: FederationTerms,
    *,
    run: str,
    image_id: str,
    base: Path,
    data: str,
    seed: int,
    owned: Mapping[str, OwnData],
    fitting: bool = False,
    published: tuple[bytes, bytes] | None = None,
    allowed: Sequence[str] = (),
) -> RunSpec | str:
    """Training at home; a text where it cannot be, and why. `owned`: the owner's own data by their names. `fitting`: only on data
    that were held against the posted schema; `published`: the federation and the digest that the ledger has of the owner's data
    there, only on these. Since the owner looked and joined, others may have taken the name. `allowed`: the owner's list of
    programs, as it is now."""
    if refused := why_not_run(terms.image, allowed):
        return refused
    own = owned.get(data)
    if own is None:
        return f"there are no own data {data!r} on this node's engine: add them again (learningchain data add {data} FOLDER)"
    if fitting and terms.schema and own.notes.get(SCHEMA) != from_bytes(terms.schema).digest.hex():
        return (
            f"the own data {data!r} were not held against the schema that the sponsor posted: remove them, and add them again "
            f"(learningchain data add {data} FOLDER --schema schema.json)"
        )
    if published is not None and published_digest(published[0], own.digest) != published[1]:
        return (
            f"the own data {data!r} are others than those that this federation was joined with: they were removed, and others were "
            f"added under the name. Join again to train on them (learningchain fed join {published[0].hex()[:12]} {data}), or add "
            "those of before"
        )
    inputs: dict[str, Path | DataSet | OwnData] = {"model": base, "data": own}
    wall = float(terms.limits.train_s)
    return _spec(terms, wall, run_id=run, image_id=image_id, phase="local", seed=seed, budget_s=_budget(wall), inputs=inputs)


def evaluate_spec(
    terms: FederationTerms, *, run: str, image_id: str, model: Path, hidden: Path | None, several: bool = False
) -> RunSpec | str:
    """A measurement: what the program sees of it is the same for every seat. `several`: of the candidates of a sum of cells, which
    are in the file one behind the other."""
    phase, name = ("evaluates", "models") if several else ("evaluate", "model")
    inputs: dict[str, Path | DataSet] = {name: model} if hidden is None else {name: model, "eval": hidden}
    wall = float(terms.limits.eval_s)
    return _spec(terms, wall, run_id=run, image_id=image_id, phase=phase, budget_s=terms.limits.eval_s, inputs=inputs)


def _budget(wall_s: float) -> int:
    return max(1, int(wall_s * BUDGET))


def _spec(terms: FederationTerms, wall_s: float, **fields: Any) -> RunSpec | str:
    posted = terms.limits
    try:
        limits = ContainerLimits(
            cpus=posted.cpus_milli / 1_000,
            mem_mb=posted.mem_mb,
            pids=posted.threads + PIDS_SPARE,
            model_cap=max(posted.model_cap, terms.size),
            tmp_mb=max(1, posted.tmp_mb),
            file_cap=max(ContainerLimits().file_cap, posted.model_cap, terms.size),
            wall_s=wall_s,
        )
        return RunSpec(threads=posted.threads, params=terms.params or "{}", limits=limits, **fields)
    except ValueError as problem:
        return f"the federation cannot be run: {problem}"
