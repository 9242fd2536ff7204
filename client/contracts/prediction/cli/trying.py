"""`model try`: a model in this machine's own sandbox, twice and free, with its sample or other rows; `model register` does it, too.

The image and the model come through the node; they run as a server runs them, in a sandbox of the command's own, which is gone when
it ends.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.app import OK, REFUSED
from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, listing, size_text
from learningchain.client.cli.local_sandbox import opened_sandbox
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.prediction.cli.ask import read_rows
from learningchain.client.contracts.prediction.cli.models import ModelText
from learningchain.client.contracts.prediction.cli.tables import schema_for
from learningchain.client.contracts.prediction.cli.typed import are_values, rows_of_values
from learningchain.client.contracts.prediction.http.lines import MAX_ANSWERS, MAX_SAMPLE, lines_of
from learningchain.client.contracts.prediction.http.model_schema import BadRow, decode_rows, encode_rows
from learningchain.client.contracts.prediction.references import find_model

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import RegisteredModelView
    from learningchain.client.sdk.client import Client
    from learningchain.client.work.tries import Trial
    from learningchain.sandbox import AnswerForm, Backend, ParsedAnswer, RunSpec

SHOWN_ROWS = 16
PIDS_SPARE = 64


def try_model(
    model: ModelText,
    /,
    *rows: Annotated[
        str, Parameter(name="ROWS", help="Rows as predict takes them, or one file with them. Default: the model's own sample.")
    ],
    file: Annotated[Path | None, Parameter(help="A file with a row a line (JSON Lines).")] = None,
    common: Common = HERE,
) -> int:
    """Ask a model twice in this machine's own sandbox, and compare: a server whose answers differ loses its fee. Exit code 1: they
    differ, or there are none. Rows are what predict takes: plain values, lists, objects by the inputs' names."""
    values = file is None and not _is_file(rows) and are_values(rows)
    text = None if values else _rows_of(rows, file)

    async def run(node: Client) -> tuple[RegisteredModelView, Trial]:
        found = await node.model(await find_model(node, common, model))
        if values:
            given: bytes | None = await rows_of_values(node, found, rows)
        else:
            given = text if text is None else await _as_lists(node, found, text)
        return found, await trial_of(node, common, found, given)

    found, trial = common.ask(run)
    common.out.show(document(trial), lambda console: show_trial(console, found, trial))
    return OK if not trial.why else REFUSED


def _rows_of(rows: tuple[str, ...], file: Path | None) -> bytes | None:
    """None where the model's own sample is to be asked. Raises `WrongUsage`."""
    if not rows and file is None:
        return None
    return read_rows((), Path(rows[0])) if file is None and _is_file(rows) else read_rows(rows, file)


def _is_file(rows: tuple[str, ...]) -> bool:
    return len(rows) == 1 and Path(rows[0]).is_file()


async def _as_lists(node: Client, model: RegisteredModelView, rows: bytes) -> bytes:
    """The rows as a container gets them: what the node would make of a request. Raises `WrongUsage`."""
    if model["schema"] is None:
        return rows
    schema = await schema_for(node, model)
    try:
        return await asyncio.to_thread(lambda: encode_rows(schema, decode_rows(schema, rows)))
    except BadRow as problem:
        raise WrongUsage(f"The rows do not fit the model: {problem}. Correct the row") from None


async def trial_of(node: Client, common: Common, model: RegisteredModelView, rows: bytes | None) -> Trial:
    """What a model says to these rows, or to its own sample. Raises `WrongUsage` where it has none, or nothing can run here."""
    if rows is None and model["sample"] is None:
        raise WrongUsage("This model has no sample of its own: give rows (learningchain model try MODEL '[0.1, 0.7]', or --file)")
    with tempfile.TemporaryDirectory(prefix="learningchain-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        for name, cid, size in _parts(model):
            common.out.note(f"Fetching the {name}, {size_text(size)}.")
            await node.fetch(cid, folder / name, max_size=size)
        owner = None
        if rows is None:
            await node.fetch(str(model["sample"]), folder / "sample", max_size=MAX_SAMPLE)
            if model["sample_answers"] is not None:
                await node.fetch(model["sample_answers"], folder / "answers", max_size=MAX_ANSWERS)
                owner = folder / "answers"
        asked = (folder / "sample").read_bytes() if rows is None else rows
        return await asyncio.to_thread(_tried, common, model, folder, asked, owner)


def _parts(model: RegisteredModelView) -> Iterator[tuple[str, str, int]]:
    if model["image"]["cid"]:
        yield "image", model["image"]["cid"], model["image"]["size"]
    yield "model", model["model"]["cid"], model["model"]["size"]


def _tried(common: Common, model: RegisteredModelView, folder: Path, rows: bytes, answers: Path | None) -> Trial:
    from learningchain.client.work import tries
    from learningchain.sandbox import AnswerForm
    from learningchain.sandbox.answers import request_json

    count = len(lines_of(rows))
    if not 1 <= count <= model["max_rows"]:
        raise WrongUsage(f"There are {count} rows, and one request to this model has 1 to {model['max_rows']}")
    form = AnswerForm(rows=count, classes=model["classes"] or 0)
    with opened_sandbox(common, folder / "room") as (backend, _):
        image = _loaded(backend, model, folder)
        asked = {"input": rows, "request.json": request_json(count, 1, 1)}
        wall_s = 2 * model["row_ms"] * count / 1_000 + 1
        spec = _spec(model, image, folder / "model")
        owner = _answers(answers, form)
        return tries.try_model(
            backend, spec, asked, form, tol=_units(model["tol"]), wall_s=wall_s, owner=owner, tell=common.out.note
        )


def _units(text: str) -> int:
    from learningchain.chain.types import parse_loss

    return parse_loss(text)


def _spec(model: RegisteredModelView, image: str, path: Path) -> RunSpec:
    """A container of the model, as a server starts one. Raises `WrongUsage`."""
    from learningchain.chain.contracts.prediction.messages import seed_of
    from learningchain.sandbox import ContainerLimits, RunSpec

    try:
        return RunSpec(
            run_id=f"try-{secrets.token_hex(4)}",
            image_id=image,
            phase="predict",
            budget_s=model["start_s"],
            seed=seed_of(bytes.fromhex(model["id"])),
            threads=model["threads"],
            params=model["params"] or "{}",
            limits=ContainerLimits(
                cpus=model["cpus_milli"] / 1_000,
                mem_mb=model["mem_mb"],
                pids=model["threads"] + PIDS_SPARE,
                tmp_mb=max(1, model["tmp_mb"]),
                wall_s=float(model["start_s"]),
            ),
            inputs={"model": path.resolve()},
        )
    except ValueError as problem:
        raise WrongUsage(f"No container can be started with this model's terms: {problem}") from None


def _answers(path: Path | None, form: AnswerForm) -> ParsedAnswer | None:
    """What the owner registered as the answers to its sample. Raises `WrongUsage`."""
    from learningchain.sandbox.answers import BadAnswer, parse_answer

    if path is None:
        return None
    try:
        return parse_answer(path.read_bytes(), form)
    except BadAnswer as problem:
        raise WrongUsage(f"The owner's answers to its sample cannot be read: {problem}. Do not serve it") from None


def _loaded(backend: Backend, model: RegisteredModelView, folder: Path) -> str:
    """The image's id on this machine's engine. Raises `WrongUsage`."""
    from learningchain.sandbox import BadImage, ImageNotFound

    image = model["image"]
    try:
        if image["cid"]:
            return backend.load_archive(folder / "image", f"sha256:{image['image_id']}")
        return backend.pull(image["reference"])
    except (BadImage, ImageNotFound) as problem:
        raise WrongUsage(f"Nobody can run this model's image: {problem}") from None


# --- what is shown --------------------------------------------------------------------------------------------------------------


def document(trial: Trial) -> dict[str, Any]:
    """For machines."""
    from learningchain.chain.types import format_loss

    runs = [
        {
            "outcome": run.outcome.value,
            "reason": run.reason,
            "ready_s": round(run.ready_s, 3),
            "answer_s": round(run.answer_s, 3),
            "classes": list(run.answer.classes) if run.answer is not None else [],
            "scores": [format_loss(score) for score in run.answer.scores] if run.answer is not None else [],
        }
        for run in trial.runs
    ]
    return {"ok": not trial.why, "why": trial.why, "runs": runs}


def show_trial(console: Console, model: RegisteredModelView, trial: Trial) -> None:
    rows: list[tuple[str, Any]] = [
        (f"run {number}", f"{run.outcome.value}: ready after {run.ready_s:.2f} s, answered after {run.answer_s:.2f} s more")
        for number, run in enumerate(trial.runs, 1)
    ]
    rows.append(("it may be served", "yes" if not trial.why else f"no: {trial.why}"))
    console.print(facts(f"Model {model['name']} ({model['id'][:12]}) on this machine", rows))
    shown = document(trial)["runs"][0]
    if shown["scores"]:
        classes = shown["classes"] or [None] * len(shown["scores"])
        lines = [[row, label, score] for row, (label, score) in enumerate(zip(classes, shown["scores"], strict=True))]
        console.print(listing(["row", "class", "score"], lines[:SHOWN_ROWS], {"row", "score"}))
    elif log := trial.runs[0].log_tail.strip():
        console.print(f"The program's last words:\n{log}")
