"""The terms of a job that lie beside its program: `job.toml` in its folder, under `[post]`. The command and Python read them, and
what is said there goes before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from learningchain.client.sdk.types import Json, RejectedError, UsageError

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobQuote
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.http import Progress

FILE = "job.toml"


class PostTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[post]` may say, as the options of `job submit` say it."""

    name: str | None = None
    bounty: str | float | None = None
    expires: str | float | None = None
    fee: str | float | None = None
    finalists: int | None = None
    tol: str | float | None = None
    floor: str | float | None = None
    float_kind: Literal["f32", "f64"] | None = None
    on_cheat: Literal["refund", "next-best"] | None = None
    cpus: float | None = None
    mem_mb: int | None = None
    tmp_mb: int | None = None
    train_time: str | float | None = None
    eval_time: str | float | None = None
    model_mb: float | None = None
    threads: int | None = None
    gpus: int | None = None
    gpu_mem_mb: int | None = None
    gpu_kind: Literal["cuda", "rocm"] | None = None
    begin_with: str | None = msgspec.field(name="from", default=None)
    """A paid job, whose model trainings begin with."""
    hidden: str | None = None
    """A file, named from the job's folder."""
    params: dict[str, Any] | None = None
    sets: dict[str, str] | None = None
    """CIDs of published sets by their names in the job; `:train` or `:evaluate` behind one: for that alone."""


def combined(folder: Path | None, said: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The terms of a posting, and where each comes from: what was `said` (None: nothing), else `job.toml`. Raises `UsageError`."""
    found = {} if folder is None or not os.path.isdir(folder) else terms_of(folder)
    spoken = {name: value for name, value in said.items() if value is not None}
    return found | spoken, dict.fromkeys(found, FILE) | dict.fromkeys(spoken, "")


def terms_of(folder: Path) -> dict[str, Any]:
    """What a job's folder says of its posting, numbers of credits, losses and times as texts. Raises `UsageError`."""
    from learningchain.sandbox.building import read_settings
    from learningchain.sandbox.image_writer import ImageBuildError

    try:
        terms = msgspec.convert(read_settings(folder).post, PostTerms)
    except ImageBuildError as problem:
        raise UsageError(str(problem)) from None
    except msgspec.ValidationError as problem:
        known = ", ".join(PostTerms.__struct_encode_fields__)
        raise UsageError(f"{folder / FILE}, [post]: {problem}. It may say {known}") from None
    found = {name: value for name in PostTerms.__struct_fields__ if (value := getattr(terms, name)) is not None}
    for name in ("bounty", "expires", "fee", "tol", "floor", "train_time", "eval_time"):
        if isinstance(found.get(name), float | int):
            found[name] = f"{found[name]:.15g}" + ("s" if name in ("expires", "train_time", "eval_time") else "")
    if "hidden" in found:
        found["hidden"] = folder / found["hidden"]
    if "sets" in found:
        found["sets"] = [f"{name}={cid}" for name, cid in found["sets"].items()]
    return found


def read_set(text: str) -> Json:
    """Name, CID and use of a data set. Raises `UsageError`."""
    import re

    name, _, rest = text.partition("=")
    cid, _, use = rest.partition(":")
    if not re.fullmatch("[a-z0-9_-]{1,32}", name) or not cid or use not in ("", "train", "evaluate"):
        raise UsageError(f"--set {text[:120]!r} is not NAME=CID, NAME=CID:train or NAME=CID:evaluate; NAME of a-z, 0-9, - and _")
    return {"name": name, "cid": cid, "use": use or "both"}


async def data_of(node: Client, sets: list[Json]) -> Json:
    """What a posting says of its sets: bytes and files as their manifests have them."""
    found = [(one, await node.published(one["cid"])) for one in sets]
    return {"data": [one | {"size": known["size"], "files": known["files"]} for one, known in found]} if found else {}


def devices_of(terms: Mapping[str, Any]) -> Json:
    """What a posting says of the GPUs that its training asks for. Raises `UsageError`."""
    from learningchain.chain.host.terms import MAX_DEVICE_MB, MAX_DEVICES

    count, mem_mb, kind = (terms.get(name) for name in ("gpus", "gpu_mem_mb", "gpu_kind"))
    if count is None:
        if mem_mb is not None or kind is not None:
            raise UsageError("--gpu-mem-mb and --gpu-kind say which GPUs: how many says --gpus, such as --gpus 1")
        return {}
    if not 1 <= count <= MAX_DEVICES or not 0 <= (mem_mb or 0) <= MAX_DEVICE_MB:
        raise UsageError(f"--gpus is 1 to {MAX_DEVICES}, and --gpu-mem-mb at most {MAX_DEVICE_MB}")
    return {"devices": {"kind": kind or "cuda", "count": count, "mem_mb": mem_mb or 0}}


async def earlier_of(node: Client, job: str, target: Path, on_progress: Progress | None = None) -> Json:
    """What a posting says of a paid job's model, which is written into the file `target`: whoever posts serves it. Raises
    `ApiError`, OSError."""
    from learningchain.client.contracts.job.references import find

    found = await node.job(await find(node, job))
    got = await node.fetch_model(found["id"], target, on_progress=on_progress)
    loss = next(claim["loss"] for claim in found["claims"] if claim["claimant"] == found["winner"])
    return {"earlier": {"job": found["id"], "cid": got.cid, "size": got.size, "loss": loss}}


def taken(quote: JobQuote) -> None:
    """Raises RejectedError, where the posting would be refused."""
    if (refusal := quote["refusal"]) is not None:
        why = f"The job would be refused and was not sent: {refusal['message']}"
        raise RejectedError(why, code=refusal["code"], name=refusal["name"])
