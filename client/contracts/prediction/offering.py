"""What an offered model has beside its terms: a schema, a sample with its answers, an older model that it replaces.

Read by the commands that offer one: `model register`, and `fed deploy`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from learningchain.client.cli.common import Common, WrongUsage
from learningchain.client.contracts.prediction.references import find_model

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json

MAX_SCHEMA = 64 * 1024


class ModelExtras(NamedTuple):
    """What was typed: files, and an own model as people name it."""

    schema: Path | None = None
    sample: Path | None = None
    sample_answers: Path | None = None
    previous: str | None = None

    @property
    def files(self) -> dict[str, Path | None]:
        return {"schema": self.schema, "sample": self.sample, "sample-answers": self.sample_answers}


def check(offered: ModelExtras) -> None:
    """Before anything is sent. Raises `WrongUsage`."""
    if offered.sample_answers is not None and offered.sample is None:
        raise WrongUsage("--sample-answers answer the rows of --sample: give both")
    for option, path in offered.files.items():
        readable(option, path)
    if offered.schema is not None:
        _check_schema(offered.schema, offered.sample)


def _check_schema(path: Path, sample: Path | None) -> None:
    """That it is one, and that the sample's rows are of it: what is wrong is said before a container has run for minutes."""
    from learningchain.client.contracts.prediction.http.model_schema import BadRow, BadSchema, decode_rows, parse_schema

    try:
        schema = parse_schema(path.read_bytes())
        if sample is not None:
            decode_rows(schema, sample.read_bytes())
    except BadSchema as problem:
        raise WrongUsage(f"--schema {path}: {problem}. Nothing was registered") from None
    except BadRow as problem:
        raise WrongUsage(f"--sample {sample} does not fit the schema, nothing was registered: {problem}") from None


def readable(option: str, path: Path | None) -> None:
    """Raises `WrongUsage`."""
    if path is None:
        return
    if not path.is_file():
        raise WrongUsage(f"--{option}: there is no file {path}")
    if option == "schema" and path.stat().st_size > MAX_SCHEMA:
        raise WrongUsage(f"--schema: {path} has more than {MAX_SCHEMA >> 10} KiB")


async def complete(
    node: Client, common: Common, body: Json, offered: ModelExtras, program: Callable[[], Awaitable[dict[str, Any]]]
) -> Json:
    """The registration with what was offered, uploaded. A sample without answers gets them from two runs of `program` here: image,
    model, params and limits as a registered model shows them. Raises `WrongUsage`, and nothing is registered."""
    found = dict(body)
    if offered.previous is not None:
        found["previous"] = await find_model(node, common, offered.previous)
    for option, path in offered.files.items():
        if path is not None:
            stored = await node.upload(path)
            kept = {"cid": stored["cid"], "size": stored["size"]} if option == "schema" else stored["cid"]
            found[option.replace("-", "_")] = kept
    if offered.sample is not None and offered.sample_answers is None:
        found["sample_answers"] = await _answers(node, common, found, await program(), offered.sample)
    return found


async def _answers(node: Client, common: Common, body: Json, program: dict[str, Any], sample: Path) -> str:
    """The content id of what the model says to its sample."""
    from learningchain.client.contracts.prediction.cli.samples import sample_answers

    with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
        path = Path(folder) / "answers"
        path.write_bytes(await sample_answers(node, common, body, program, sample))
        return str((await node.upload(path))["cid"])
