"""Opening a federation by a form: image and initial model go into this node, then what it would lock, then it is opened as quoted.

Joining stays with the command and the page of one's own part: it is about data of this machine. Hidden test data and a reference
are the command's alone, for the node encrypts and lends them from the sponsor's disk.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from learningchain.client.api.errors import RequestError, usage
from learningchain.client.contracts.federation.offer import said_of_rules, said_of_secrecy
from learningchain.client.dashboard.page import WAIT_S, Answer, Done, Drawn, Uploaded, Visit, change, outcome, page, upload
from learningchain.client.dashboard.uploads import store_image

_NEW = "/dashboard/federations/new"
_UPLOADED = ("cid", "image_id", "size", "arch", "model_cid", "model_size", "model_dims")
_TEXTS = ("target", "fee", "arch", "secrecy", "rule", "split", "admit", "clip")
"""Fields that are handed on as they were typed."""
_COUNTS = ("rounds", "min_members", "max_members", "min_sum")
_LIMITS = ("mem_mb", "train_s", "eval_s")
_MOST_DIGITS = 15


@page(_NEW)
async def new_federation(visit: Visit) -> Drawn:
    """With what uploads brought, where the browser has no scripts."""
    return _form({name: visit.request.query.get(name, "")[:256] for name in _UPLOADED} | {"auto": "on"}, None, None)


@upload(f"{_NEW}/image")
async def upload_image(visit: Visit) -> Uploaded:
    return Uploaded(_NEW, "The archive is in this node.", await store_image(visit))


@upload(f"{_NEW}/model")
async def upload_model(visit: Visit) -> Uploaded:
    cid, size, path = await visit.store()
    try:
        dims = await asyncio.to_thread(_values, path)
    except ModuleNotFoundError:
        visit.forget(cid)
        raise usage("This node has no numpy, so it cannot look at models: pip install 'learningchain[federation]'") from None
    except ValueError as problem:
        visit.forget(cid)
        raise usage(f"This is no safetensors file of F32 values alone: {problem}", name="BAD_MODEL") from None
    return Uploaded(_NEW, "The model is in this node.", {"model_cid": cid, "model_size": str(size), "model_dims": str(dims)})


def _values(path: Path) -> int:
    """The number of a model's values. Raises ValueError."""
    from learningchain.client.contracts.federation.arithmetic.tensors import BadTensors, read_layout

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            return read_layout(raw).dims
    except (BadTensors, OSError) as problem:
        raise ValueError(str(problem)) from problem


@change(_NEW)
async def open_federation(visit: Visit) -> Answer:
    """Asked for what it locks first; opened only with what was quoted, as it stands in the form that shows it."""
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        body = opening(fields)
        if fields.get("step") != "open":
            quote = await visit.ask("POST /v1/federations/quote", body=body)
            return _form(fields, quote, None, _minds(body, quote))
        done = await visit.ask("POST /v1/federations", body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return _form(fields, None, e)
    there = f"/{done['federation']}" if done["status"] == "final" else ""
    return Done(f"/dashboard/federations{there}", outcome(done, "The federation is opened"))


def _minds(body: Mapping[str, Any], quote: Any) -> list[str]:
    """What a sponsor should know before it opens this, as `fed open` says it."""
    dims, owners = body["model"]["dims"], body.get("min_members", 0)
    rules = said_of_rules(dims, quote, owners, reference=False, krum=body.get("rule") == "krum")
    secrecy = said_of_secrecy(dims, body.get("secrecy"), quote, None, "'open to aggregators'")
    return [*(f"Before you open it: {text}." for text in rules), *([secrecy] if secrecy else [])]


def _form(fields: Mapping[str, str], quote: Any, refused: RequestError | None, minds: Sequence[str] = ()) -> Drawn:
    values = {
        "f": fields,
        "quote": quote,
        "minds": minds,
        "refused": refused.body if refused else None,
        "image": {name: fields.get(name, "") for name in ("cid", "image_id", "size", "arch")},
        "model": {name: fields.get(name, "") for name in ("model_cid", "model_size", "model_dims")},
    }
    return Drawn("federation/new.html", "Open a federation", values, status=refused.status if refused else 200)


def opening(fields: Mapping[str, str]) -> dict[str, Any]:
    """The body of `POST /v1/federations`, from the fields of the form. Raises `RequestError` naming the field."""
    body: dict[str, Any] = {"image": _image(fields), "bounty": fields.get("bounty", "")}
    if not fields.get("model_cid"):
        raise usage("Which model does it begin from? Upload one, or give the content id, bytes and values of one in this node")
    sizes = {name: count(fields, f"model_{name}", f"The model's {what}") for name, what in (("size", "bytes"), ("dims", "values"))}
    body["model"] = {"cid": fields["model_cid"]} | {name: value or 0 for name, value in sizes.items()}
    body["ends_in_s"] = 3_600.0 * (count(fields, "ends_in_h", "The time until it ends") or 24)
    body["round_s"] = 60.0 * (count(fields, "round_min", "The time of a round") or 10)
    body |= {name: fields[name] for name in _TEXTS if fields.get(name)}
    body |= {name: value for name in _COUNTS if (value := count(fields, name, name.replace("_", " "))) is not None}
    body["limits"] = {name: value for name in _LIMITS if (value := count(fields, name, f"The limit {name}")) is not None}
    body["vetted"] = "unvetted" not in fields
    body["look_after"] = {"auto": "auto" in fields}
    return body


def _image(fields: Mapping[str, str]) -> dict[str, Any]:
    size = {"size": found} if (found := count(fields, "size", "The size of the image")) else {}
    if fields.get("reference"):
        return {"reference": fields["reference"]} | size
    if not fields.get("cid"):
        raise usage("Which image? Upload an archive, or give a reference pinned by its digest")
    return {"cid": fields["cid"], "image_id": fields.get("image_id", "")} | size


def count(fields: Mapping[str, str], name: str, what: str) -> int | None:
    text = fields.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise usage(f"{what} is a whole number, not {text[:20]!r}. Correct it")
    return int(text)


PAGES = (new_federation, upload_image, upload_model, open_federation)
