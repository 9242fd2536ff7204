"""`image check`: a job's image run as a worker and as verifiers would run it, before anybody pays for that.

    worker: train, evaluate -> verifier: evaluate again -> with other threads -> on fewer processors -> a stranger's model

What differs between these runs says which float kind and tolerance fit; what they took says which limits to ask for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import reading
from learningchain.client.cli.common import HERE, Common, WrongUsage, cell, facts, listing, read_params, size_text, span
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.job.cli.cost import trainers_text
from learningchain.client.contracts.job.cli.local_runs import LocalRuns, Ran, RunFailed, opened
from learningchain.client.contracts.job.cli.submit import long_training, read_limits, scanned

if TYPE_CHECKING:
    from learningchain.chain.host.terms import Limits
    from learningchain.client.contracts.job.cli.checking import Beside, Evaluation, EvaluationReach, Finding, LimitsToAsk
    from learningchain.sandbox import DataSet
    from learningchain.sandbox.archive import ScannedImage

SEED = 1
TRAINING = "Worker: training"
SHORT_S = 20.0
"""Runs that take longer are not repeated to see how much memory is enough."""
STRANGERS_MODEL = bytes(range(256))
"""What somebody may claim with who has no model."""
NOBODY_ASKED = "not known: no node of yours answers"
DEFAULT_RATE = 10
"""Micro-credits a CPU second where no network is known."""


@dataclass
class Checked:
    """What was found so far, in the order in which it is found."""

    archive: Path
    image: ScannedImage
    limits: Limits
    on_gpu: Sequence[int] = ()
    """Losses of the model as the owner's GPU measured them."""
    runs: list[tuple[str, int, int, Ran]] = field(default_factory=list)
    """(what, threads, processors, how it went)"""
    model_bytes: int = 0
    enough_mb: int = 0
    """Memory with which the runs still ended well."""
    evaluations: list[Evaluation] = field(default_factory=list)
    hidden: list[Evaluation] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    """What every container was started for."""


def check(
    archive: Annotated[Path, Parameter(name="ARCHIVE", help="A docker-archive, from job build or docker save.")],
    /,
    *,
    params: Annotated[str | None, Parameter(help="JSON object for the container, or @FILE.")] = None,
    model: Annotated[Path | None, Parameter(help="A model to evaluate. Default: train one.")] = None,
    hidden: Annotated[Path | None, Parameter(help="A hidden evaluation file, as for job submit.")] = None,
    gpu_losses: Annotated[
        Path | None,
        Parameter(help="What the evaluation of --model wrote on a GPU of yours: is it what processors measure?"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        Parameter(
            name="--set", negative="", help="NAME=DIR: a folder that the program finds in /lc/in/sets/NAME. May be repeated."
        ),
    ] = None,
    cpus: Annotated[float | None, Parameter(help="Processors for one run. Default: 1.")] = None,
    mem_mb: Annotated[int | None, Parameter(help="Memory for one run, MiB. Default: 1024.")] = None,
    tmp_mb: Annotated[int | None, Parameter(help="Scratch space in /tmp, MiB of that memory. Default: 64.")] = None,
    train_time: Annotated[str | None, Parameter(help="Longest training run here: 60s, 10m, 2h. Default: 1m.")] = None,
    eval_time: Annotated[str | None, Parameter(help="Longest evaluation: 60s, 10m. Default: 60s.")] = None,
    model_mb: Annotated[float | None, Parameter(help="Largest model, MiB. Default: 64.")] = None,
    threads: Annotated[int | None, Parameter(help="Threads for one run. Default: as many as processors.")] = None,
    common: Common = HERE,
) -> int:
    """Run an image as a worker and as verifiers would, and say what to write into a posting. Needs a Docker Engine, no node.

    Exit code 1: the image is no job that could be paid, and the text says why.
    """
    limits = posted_limits(read_limits(cpus, mem_mb, tmp_mb, train_time or "1m", eval_time, model_mb, threads))
    text = _text(read_params(params) if params is not None else {})
    for path in (model, hidden):
        if path is not None and not path.is_file():
            raise WrongUsage(f"There is no file {path}")
    on_gpu = () if gpu_losses is None else _on_gpu(gpu_losses, model)
    data = folders(sets or [])
    checked = Checked(archive, scanned(archive), limits, on_gpu)
    try:
        with opened(common, text, limits) as runs:
            runs.sets = data
            checked.started = runs.started
            _load(runs, checked)
            _run_all(runs, checked, model, hidden)
    except RunFailed as failed:
        return _failed(common, checked, failed)
    return _report(common, checked, hidden is not None, params, tuple(data))


def _on_gpu(losses: Path, model: Path | None) -> Sequence[int]:
    """What a GPU measured. Raises `WrongUsage`."""
    from learningchain.sandbox.losses import MAX_LOSSES_BYTES, BadLosses, parse_losses

    if model is None:
        raise WrongUsage(
            "--gpu-losses needs the model that was evaluated on the GPU: --model FILE. One that is trained here is another"
        )
    try:
        return parse_losses(reading.file(losses, MAX_LOSSES_BYTES))
    except (OSError, BadLosses) as problem:
        raise WrongUsage(f"{losses} is no file of losses, as an evaluation writes to /lc/out/losses: {problem}") from None


def folders(sets: list[str]) -> dict[str, DataSet]:
    """The data sets that stand for published ones, by their names in the job. Raises `WrongUsage`."""
    from learningchain.sandbox.data import scan_folder

    found: dict[str, DataSet] = {}
    for one in sets:
        name, _, folder = one.partition("=")
        if not re.fullmatch("[a-z0-9_-]{1,32}", name) or not folder or name in found:
            raise WrongUsage(f"--set {one[:120]!r} is not NAME=DIR, each name once; NAME of a-z, 0-9, - and _")
        try:
            found[name] = scan_folder(Path(folder).expanduser())
        except (OSError, ValueError) as problem:
            raise WrongUsage(f"--set {name}: {folder} cannot be a data set: {problem}") from None
    return found


# --- what runs -----------------------------------------------------------------------------------------------------------------


def _load(runs: LocalRuns, checked: Checked) -> None:
    from learningchain.sandbox import BadImage

    architecture = checked.image.config.architecture
    try:
        runs.image_id = runs.backend.load_archive(checked.archive, checked.image.image_id)
    except BadImage as problem:
        raise WrongUsage(f"{checked.archive} cannot be run here (it is built for {architecture}): {problem}") from None


def _run_all(runs: LocalRuns, checked: Checked, model: Path | None, hidden: Path | None) -> None:
    limits, all_ = checked.limits, runs.engine.cpus
    other, fewer = (1 if limits.threads > 1 else 4), all_ // 2
    if model is None:
        trained = _noted(checked, "worker: train", 0, all_, runs.train(TRAINING, SEED))
        model = trained.model
        if model is None:
            raise WrongUsage("The training left no model")
    checked.model_bytes = model.stat().st_size
    if checked.image.config.dropped:
        names = ", ".join(checked.image.config.dropped[:8])
        checked.advice.append(f"no container is given these of the image's environment: {names}; nodes drop them of every image")
    plans = [("worker: evaluate", 0, 0), ("verifier: evaluate", 0, 0), (f"verifier: {other} thread{'s' * (other > 1)}", other, 0)]
    if fewer:
        plans.append((f"verifier: {fewer} processor{'s' * (fewer > 1)}", 0, fewer))
    else:
        checked.advice.append("this machine has one processor: how the losses differ between numbers of them was not seen")
    _evaluate(runs, checked, checked.evaluations, model, None, plans)
    if hidden is not None:
        last = ("verifier: hidden, again", other, fewer)
        _evaluate(runs, checked, checked.hidden, model, hidden, [("verifier: hidden", 0, 0), last])
    _stranger(runs, checked)
    _memory(runs, checked, model, hidden)


def _memory(runs: LocalRuns, checked: Checked, model: Path, hidden: Path | None) -> None:
    """The least memory that is enough. Short runs cannot be looked into, but tried with less."""
    from learningchain.client.contracts.job.cli.checking import memory_tries

    seen = max((ran.memory for *_, ran in checked.runs if ran.memory is not None), default=None)
    checked.enough_mb = checked.limits.mem_mb
    for mb in memory_tries(seen, checked.limits.mem_mb):
        text = f"Is {mb} MiB of memory enough?"
        try:
            for what, _, _, ran in checked.runs:
                if ran.seconds < SHORT_S and what == "worker: train":
                    runs.train(f"{text} Training", SEED, mem_mb=mb)
                elif ran.seconds < SHORT_S and what == "worker: evaluate":
                    runs.evaluate(f"{text} Evaluating", model, hidden=hidden, mem_mb=mb)
        except RunFailed:
            continue
        checked.enough_mb = mb
        return


def _evaluate(
    runs: LocalRuns, checked: Checked, into: list[Evaluation], model: Path, hidden: Path | None, plans: list[tuple[str, int, int]]
) -> None:
    from learningchain.client.contracts.job.cli.checking import Evaluation

    for what, threads, processors in plans:
        text = what[0].upper() + what[1:]
        ran = runs.evaluate(text, model, hidden=hidden, threads=threads, processors=processors)
        threads, processors = threads or checked.limits.threads, processors or runs.engine.cpus
        _noted(checked, what, threads, processors, ran)
        into.append(Evaluation(threads, processors, ran.losses or (), ran.seconds))
        if checked.on_gpu and hidden is None and len(checked.on_gpu) != (here := len(into[-1].losses)):
            raise WrongUsage(
                f"--gpu-losses has {len(checked.on_gpu)} lines, the evaluation here {here}: they are of other examples"
            )


def _noted(checked: Checked, what: str, threads: int, processors: int, ran: Ran) -> Ran:
    checked.runs.append((what, threads or checked.limits.threads, processors, ran))
    return ran


def _stranger(runs: LocalRuns, checked: Checked) -> None:
    """What somebody without a model may hand in must be refused in order: with exit code 65."""
    model = runs.folder / "strangers-model"
    model.write_bytes(STRANGERS_MODEL[: checked.limits.model_cap])
    try:
        runs.evaluate("Verifier: 256 bytes that are no model", model)
    except RunFailed as failed:
        if failed.status != "model-invalid":
            checked.advice.append(
                f"256 bytes that are no model: {failed.reason}. Better exit with 65 for what is no model: then everybody sees why"
            )
        return
    checked.advice.append("256 bytes that are no model were evaluated like one: read models strictly, and exit with 65 for others")


# --- what it says --------------------------------------------------------------------------------------------------------------


def _report(common: Common, checked: Checked, hidden: bool, params: str | None, sets: tuple[str, ...]) -> int:
    from learningchain.chain.verification.scale import FloatKind
    from learningchain.client.config import WorkConfig
    from learningchain.client.contracts.job.cli.checking import beside, judge, reach, too_long, wanted

    finding = judge(checked.evaluations)
    of_hidden = judge(checked.hidden) if checked.hidden else None
    repeats = finding.repeats and (of_hidden is None or of_hidden.repeats)
    kind = max((f.float_kind for f in (finding, of_hidden) if f and f.float_kind), default=None)
    tol = max(f.tol for f in (finding, of_hidden) if f)
    gpu = beside(checked.evaluations[0].losses, checked.on_gpu, kind or FloatKind.F32, tol) if checked.on_gpu else None
    advice = [
        *finding.advice,
        *(gpu.advice if gpu else ()),
        *(f"hidden data: {a}" for a in (of_hidden.advice if of_hidden else ())),
        *checked.advice,
    ]
    if long := long_training(checked.limits.train_s):
        advice.append(long.removesuffix("."))
    slowest = max(ran.seconds for _, _, _, ran in checked.runs[-len(checked.evaluations) - len(checked.hidden) :])
    usual = WorkConfig()
    can = reach(slowest, usual.max_eval_s, finding.examples, checked.model_bytes, usual.max_model_mb << 20)
    advice += too_long(can)
    want = wanted(slowest, checked.enough_mb, checked.limits.mem_mb, checked.model_bytes)
    needs, fee = _needs(checked, want), _fee(common, checked, want, hidden)
    name = None if kind is None else kind.name.lower()
    command = _command(checked, want, name, tol, params, hidden, sets) if repeats else None
    trainers = _trainers(common, checked)
    document = {"trainers": trainers} | _document(
        checked, finding, of_hidden, gpu, can, want, needs, fee, name, tol, advice, command
    )

    def people(console: Console) -> None:
        console.print(facts(f"Image {checked.archive}", _image_rows(checked)))
        console.print()
        console.print(_runs_table(checked))
        console.print(cell(_others_text(checked), "dim"), soft_wrap=True)
        console.print()
        found = _found_rows(checked, finding, of_hidden, gpu, can, name, tol, needs, fee)
        train_s = checked.limits.train_s
        told = NOBODY_ASKED if trainers is None else trainers_text(trainers, train_s)
        console.print(facts("Found", [*found, ("train so long", told)]))
        if finding.widest:
            console.print()
            console.print(_widest_table(checked, finding))
        for number, text in enumerate(advice, 1):
            console.print(cell(f"{number}. {text[0].upper()}{text[1:]}.", "yellow"), soft_wrap=True)
        if command:
            console.print()
            console.print("To post it:")
            console.print(cell(f"  {command}"), soft_wrap=True)

    common.out.show(document, people)
    return 0 if repeats else 1


def _failed(common: Common, checked: Checked, failed: RunFailed) -> int:
    document = {
        "archive": str(checked.archive),
        "image_id": checked.image.image_id,
        "ok": False,
        "runs": [_run_view(*run) for run in checked.runs],
        "started": checked.started,
        "failed": {"status": failed.status, "reason": failed.reason, "log": failed.log},
    }

    def people(console: Console) -> None:
        if checked.runs:
            console.print(_runs_table(checked))
        done = "the training" if not checked.runs else "an evaluation"
        what = f"Not known: this machine could not run {done}" if failed.here else f"No job: {done} did not end as it should"
        console.print(cell(f"{what}: {failed.reason}.", "red"), soft_wrap=True)
        if failed.log.strip():
            console.print("The end of what it printed:")
            console.print(cell(failed.log.rstrip()), soft_wrap=True)

    common.out.show(document, people)
    if failed.here:
        common.out.note("That says nothing of the image. Mend it, then check again; learningchain doctor looks at the engine")
    else:
        common.out.note("What an image must do: docs/sandbox.md, or begin with: learningchain job new DIR")
    return 1


def _needs(checked: Checked, want: LimitsToAsk) -> dict[str, Any]:
    """The least capacity that a verifier must have declared for such a posting."""
    limits = checked.limits
    return {
        "arch": checked.image.config.architecture,
        "cpus_milli": limits.cpus_milli,
        "mem_mb": want.mem_mb,
        "image": checked.archive.stat().st_size,
        "model_cap": want.model_cap,
        "eval_s": want.eval_s,
    }


def _fee(common: Common, checked: Checked, want: LimitsToAsk, hidden: bool) -> dict[str, Any]:
    """The least fee of a judged vote with the limits that are proposed, and where its rate is from; in credits."""
    from learningchain.chain.contracts.job.messages import DEFAULT_FINALISTS
    from learningchain.chain.types import format_credits
    from learningchain.chain.verification import windows

    rate, source = _rate(common)
    e = windows.evaluation(want.eval_s, hidden)
    work = windows.judging_work(e, checked.limits.cpus_milli, want.model_cap, hidden)
    fee = max(1, windows.least_fee(work, rate))
    return {
        "rate": format_credits(rate),
        "rate_from": source,
        "evaluation_s": e,
        "least": format_credits(fee),
        "finalists": DEFAULT_FINALISTS,
        "locked": format_credits(windows.fees_locked(fee, DEFAULT_FINALISTS)),
    }


def _trainers(common: Common, checked: Checked) -> int | None:
    """How many nodes train for as long as a training may take here; None where no node can be asked."""
    from learningchain.client.sdk.types import ApiError, UnreachableError

    arch, train_s = checked.image.config.architecture, checked.limits.train_s
    try:
        return common.ask(lambda node: node.trainers(arch, train_s))["trainers"]
    except (ApiError, UnreachableError, WrongUsage):
        return None


def _rate(common: Common) -> tuple[int, str]:
    from learningchain.chain.errors import Malformed
    from learningchain.chain.ledger.genesis import MAX_GENESIS_BYTES, all_params, from_json

    path = common.folder / "genesis.json"
    try:
        return all_params(from_json(reading.file(path, MAX_GENESIS_BYTES)))["job_rate"], str(path)
    except (OSError, Malformed, KeyError):
        return DEFAULT_RATE, "the default: no network is installed here"


def _command(
    checked: Checked, want: LimitsToAsk, kind: str | None, tol: int, params: str | None, hidden: bool, sets: tuple[str, ...]
) -> str:
    import shlex

    from learningchain.chain.types import format_loss

    words = ["learningchain", "job", "submit", "--image-archive", str(checked.archive), "--bounty", "20", "--expires", "30m"]
    limits = checked.limits
    words += ["--eval-time", f"{want.eval_s}s", "--model-mb", str(want.model_cap // 2**20), "--float-kind", str(kind)]
    words += ["--mem-mb", str(want.mem_mb)]
    words += ["--cpus", f"{limits.cpus_milli / 1000:g}", "--threads", str(limits.threads)]
    words += ["--tol", format_loss(tol)] if tol else []
    words += ["--params", params] if params is not None else []
    words += ["--hidden", "FILE"] if hidden else []
    words += [word for name in sets for word in ("--set", f"{name}=CID")]
    return shlex.join([*words, "--dry-run"])


# --- views ---------------------------------------------------------------------------------------------------------------------


def _image_rows(checked: Checked) -> list[tuple[str, Any]]:
    image = checked.image
    size = f"{size_text(checked.archive.stat().st_size)}, {size_text(image.unpacked_bytes)} unpacked in {image.files} files"
    return [("image", image.image_id), ("for", image.config.architecture), ("size", size)]


def _runs_table(checked: Checked) -> Any:
    rows = [
        [what, threads, processors, f"{ran.seconds:.2f} s", "-" if ran.memory is None else size_text(ran.memory)]
        for what, threads, processors, ran in checked.runs
    ]
    return listing(["run", "threads", "processors", "took", "memory"], rows, {"threads", "processors", "took", "memory"})


def _others_text(checked: Checked) -> str:
    """Every container that ran beside those of the table: nobody has to guess what happened on his machine."""
    listed = {what[0].upper() + what[1:] for what, *_ in checked.runs} | {TRAINING}
    others = [what for what in checked.started if what not in listed]
    runs = f"{len(checked.started)} runs, one after the other, each in a container of its own"
    return f"{runs}: the {len(checked.runs)} above; {'; '.join(others)}."


def _tolerance_text(tol: int) -> str:
    from learningchain.chain.types import format_loss

    return format_loss(tol) if tol else "rounding alone: none to be posted"


def _found_rows(
    checked: Checked,
    finding: Finding,
    hidden: Finding | None,
    gpu: Beside | None,
    can: EvaluationReach,
    kind: str | None,
    tol: int,
    needs: dict[str, Any],
    fee: dict[str, Any],
) -> list[tuple[str, Any]]:
    from learningchain.chain.types import format_loss

    count = len(checked.evaluations)
    same = f"differing by {format_loss(finding.spread)}" if finding.widest else "no difference between them"
    repeats = cell(f"yes: {count} evaluations, {same}", "green") if finding.repeats else cell("no", "red")
    image, cpus = size_text(needs["image"]), f"{needs['cpus_milli'] / 1000:g}"
    machine = f"{needs['arch']}, processors: {cpus}, {needs['mem_mb']} MiB, an image of {image}"
    price = f"at least {fee['least']}: {span(fee['evaluation_s'])} at {fee['rate']} a CPU second ({fee['rate_from']})"
    rows: list[tuple[str, Any]] = [
        ("repeats", repeats),
        ("examples", finding.examples),
        ("loss", format_loss(finding.loss)),
        ("float kind", kind),
        ("tolerance", _tolerance_text(tol) if kind else "-"),
        ("model", size_text(checked.model_bytes)),
        ("memory", f"{checked.enough_mb} MiB were enough here"),
        ("a verifier needs", f"{machine}, a model of {size_text(needs['model_cap'])}, {span(needs['eval_s'])} for an evaluation"),
        ("evaluation", _reach_text(can)),
        ("fee of a vote", price),
        ("fees locked", f"{fee['locked']} with {fee['finalists']} finalists; what is not paid comes back"),
    ]
    if gpu is not None:
        text = f"{format_loss(gpu.loss)}, {format_loss(abs(gpu.difference))} from that, of {format_loss(gpu.allowed)} allowed"
        apart = f": {gpu.outside} examples are outside" if gpu.outside else "" if gpu.inside else ": outside"
        rows.insert(3, ("loss on your GPU", cell(text + apart, "green" if gpu.inside else "red")))
    if hidden is not None:
        rows.insert(3, ("hidden loss", f"{format_loss(hidden.loss)} over {hidden.examples} examples"))
    return rows


def _reach_text(can: EvaluationReach) -> str:
    text = f"{span(can.seconds)} on processors here"
    if not can.fits:
        return f"{text}: too long for many verifiers"
    more = f"{can.examples:,} examples of this model, or a model of {size_text(can.model)} on these"
    return f"{text}; up to {more}, where a verifier's {span(can.most_s)} are to be enough"


def _widest_table(checked: Checked, finding: Finding) -> Any:
    from learningchain.chain.types import format_loss

    names = [what for what, *_ in checked.runs if what != "worker: train"][: len(checked.evaluations)]
    rows = [[one.example, *map(format_loss, one.losses), format_loss(one.width)] for one in finding.widest]
    return listing(["example", *names, "difference"], rows, {"example", *names, "difference"})


def _run_view(what: str, threads: int, processors: int, ran: Ran) -> dict[str, Any]:
    return {"run": what, "threads": threads, "processors": processors, "seconds": round(ran.seconds, 3), "memory": ran.memory}


def _document(
    checked: Checked,
    finding: Finding,
    hidden: Finding | None,
    gpu: Beside | None,
    can: EvaluationReach,
    want: LimitsToAsk,
    needs: dict[str, Any],
    fee: dict[str, Any],
    kind: str | None,
    tol: int,
    advice: list[str],
    command: str | None,
) -> dict[str, Any]:
    from learningchain.chain.types import format_loss

    return {
        "archive": str(checked.archive),
        "image_id": checked.image.image_id,
        "ok": command is not None,
        "runs": [_run_view(*run) for run in checked.runs],
        "started": checked.started,
        "examples": finding.examples,
        "loss": format_loss(finding.loss),
        "spread": format_loss(finding.spread),
        "widest": [{"example": one.example, "losses": [format_loss(loss) for loss in one.losses]} for one in finding.widest],
        "hidden": None if hidden is None else {"examples": hidden.examples, "loss": format_loss(hidden.loss)},
        "gpu": None if gpu is None else _gpu_view(gpu),
        "reach": {"seconds": round(can.seconds, 3), "most_s": can.most_s, "examples": can.examples, "model_bytes": can.model},
        "float_kind": kind,
        "tol": format_loss(tol),
        "model_bytes": checked.model_bytes,
        "enough_mem_mb": checked.enough_mb,
        "limits": {"eval_s": want.eval_s, "mem_mb": want.mem_mb, "model_cap": want.model_cap},
        "verifier_needs": needs,
        "fee": fee,
        "advice": advice,
        "command": command,
    }


def _gpu_view(gpu: Beside) -> dict[str, Any]:
    from learningchain.chain.types import format_loss

    widest = [
        {"example": one.example, "processors": format_loss(one.losses[0]), "gpu": format_loss(one.losses[1])} for one in gpu.widest
    ]
    found = {"loss": format_loss(gpu.loss), "difference": format_loss(gpu.difference), "tol": format_loss(gpu.allowed)}
    return {**found, "inside": gpu.inside, "examples_outside": gpu.outside, "widest": widest}


# --- reading what was typed ----------------------------------------------------------------------------------------------------


def posted_limits(given: dict[str, Any]) -> Limits:
    """The limits that `job submit` would post for these, where a training may take a minute."""
    import math

    from learningchain.chain.host.terms import Limits

    cpus = given.get("cpus", 1.0)
    return Limits(
        cpus_milli=round(1_000 * cpus),
        mem_mb=given.get("mem_mb", 1_024),
        train_s=given.get("train_s", 60),
        eval_s=given.get("eval_s", 60),
        model_cap=given.get("model_cap", 64 * 2**20),
        tmp_mb=given.get("tmp_mb", 64),
        threads=given.get("threads", math.ceil(cpus)),
    )


def _text(params: dict[str, Any]) -> str:
    """Parameters as a posting carries them."""
    import msgspec

    return msgspec.json.encode(params).decode()
