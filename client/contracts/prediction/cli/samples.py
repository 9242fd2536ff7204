"""The answers to a model's sample, for `--sample` of `model register` and `fed deploy`: who registers a sample says what the model
answers to it, and has it from a run on this machine.

The run has another seed than a server's, which is drawn from the registered model's id: an image whose answers depend on it needs
answers of its owner's own (`--sample-answers`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from learningchain.client.cli.common import Common, WrongUsage
from learningchain.client.contracts.prediction.cli.trying import trial_of

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import RegisteredModelView
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json
    from learningchain.sandbox import ParsedAnswer

NO_SEED = "00" * 32
TMP_MB = 64


async def sample_answers(node: Client, common: Common, body: Json, program: dict[str, Any], sample: Path) -> bytes:
    """What a model that is to be registered as `body` says answers to its sample, twice the same on this machine. `program`: image,
    model, params and limits, as a registered model shows them. Raises `WrongUsage`, and nothing is registered."""
    terms = {"id": NO_SEED, "sample": None, "classes": body.get("classes")}
    terms |= {name: body[name] for name in ("name", "tol", "max_rows", "row_ms", "start_s")}
    common.out.note("The sample is put to the model in this machine's own sandbox, twice (--sample-answers FILE: without that).")
    trial = await trial_of(node, common, cast("RegisteredModelView", {**terms, **program}), sample.read_bytes())
    answer = trial.runs[0].answer
    if trial.why or answer is None:
        last = trial.runs[-1].log_tail.strip().splitlines()[-1:]
        said = f". Its last words: {last[0][:200]}" if last else ""
        raise WrongUsage(f"Nothing was registered, for nobody could serve the model with this sample: {trial.why}{said}")
    return answer_text(answer)


def answer_text(answer: ParsedAnswer) -> bytes:
    """An answer as an image writes it (LC-ANS-3 to 6)."""
    from learningchain.chain.types import format_loss

    scores = [format_loss(score) for score in answer.scores]
    if answer.classes:
        scores = [f"{label} {score}" for label, score in zip(answer.classes, scores, strict=True)]
    return "".join(f"{line}\n" for line in [*scores, f"check {format_loss(answer.check)}"]).encode()


async def program_of(node: Client, body: Json) -> dict[str, Any]:
    """What a registration of a job's winner, or of an image and a model, would run. Raises `WrongUsage`."""
    return await _of_job(node, body["job"]) if "job" in body else _of_body(body)


async def _of_job(node: Client, job: str) -> dict[str, Any]:
    """Image, limits and winning model of a paid job. Raises `WrongUsage`."""
    found = await node.job(job)
    model = next((claim["model"] for claim in found["claims"] if claim["claimant"] == found["winner"] and claim["model"]), None)
    if found["state"] != "PAID" or model is None:
        raise WrongUsage(f"Job {job[:12]} is {found['state']} and has no winner that was paid: a model is a paid job's winner")
    limits = {name: found["limits"][name] for name in ("cpus_milli", "mem_mb", "tmp_mb", "threads")}
    return {"image": found["image"], "model": model, "params": found["terms"]["params"], **limits}


def _of_body(body: Json) -> dict[str, Any]:
    limits = body["limits"]
    cpus = limits.get("cpus", 1.0)
    return {
        "image": {**body["image"], "image_id": body["image"]["image_id"].removeprefix("sha256:")},
        "model": body["model"],
        "params": json.dumps(body.get("params", {}), separators=(",", ":"), ensure_ascii=False),
        "cpus_milli": round(cpus * 1_000),
        "mem_mb": limits.get("mem_mb", 512),
        "tmp_mb": TMP_MB,
        "threads": max(1, -int(-cpus // 1)),
    }
