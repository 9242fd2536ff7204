"""What a machine says and brings: frames about its runs, the files it asks for, the outputs it gives.

What is believed of it is what this node counts and hashes itself; every end that is the machine's doing is an ENGINE_ERROR.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Final

import structlog

from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.client.machines import frames as f
from learningchain.client.machines.book import MachineError
from learningchain.client.machines.bringers import ModelBringers
from learningchain.client.machines.joined import JoinedMachine, RemoteRun
from learningchain.client.machines.set_cache import listing_of
from learningchain.sandbox import DataSet, EngineError, OutputFile, Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.phases import CHECKPOINT, SETS
from learningchain.sandbox.results import BadResult, ResultReader
from learningchain.sandbox.spec import on_disk

log: Any = structlog.get_logger("machines")

_STATUSES: Final = {status.value: status for status in RunStatus}

Blame = Callable[[JoinedMachine, RemoteRun, str], None]
"""Ends a run by its machine's doing, and says why."""


def hear(machine: JoinedMachine, frame: object, blame: Blame) -> None:
    """Raises `Malformed` for what has no place here. What concerns a run that is over was under way when it ended."""
    match frame:
        case f.MachinePing():
            return
        case f.Began() | f.RunProgress() | f.Printed() | f.RunOver():
            run = machine.runs.get(frame.run)
        case _:
            raise Malformed(f"{type(frame).__name__} has no place on this connection")
    if run is None or run.done.done():
        return
    match frame:
        case f.RunProgress():
            run.on_progress(Progress(frame.step, frame.of or None, _loss(frame.loss)))
        case f.Printed():
            run.printed = _tail(frame.tail)
        case f.RunOver():
            _hear_end(machine, run, frame, blame)
        case _:
            log.info("a machine began a run", run=frame.run, machine=machine.name)


def _hear_end(machine: JoinedMachine, run: RemoteRun, told: f.RunOver, blame: Blame) -> None:
    status, run.printed = _STATUSES.get(told.status), _tail(told.tail)
    if status is None:
        raise Malformed("no run ends so")
    if status is RunStatus.OK and (lacks := run.lacks()):
        blame(machine, run, f"it says that the run is done, and gave no {lacks}")
        return
    if status in (RunStatus.ENGINE_ERROR, RunStatus.CANCELLED):
        blame(machine, run, f.shown(told.reason))
        return
    result = RunResult(
        status=status,
        reason=f"on the machine {machine.name}: {f.shown(told.reason)}",
        result=run.measured if status is RunStatus.OK else None,
        outputs=dict(run.outputs) if status is RunStatus.OK else {},
        exit_code=None if told.exit_code < 0 else told.exit_code,
        wall_s=told.wall_ms / 1_000,
    )
    run.done.set_result(result)


async def send_file(machine: JoinedMachine, wanted: f.Want, writer: asyncio.StreamWriter) -> None:
    """A machine gets the images and the inputs of its runs, and no other file."""
    run = machine.runs.get(wanted.run)
    if run is None or run.archive is None:
        raise MachineError("The node has no such run on this machine, or not its image")
    path = files_of(run.spec).get(wanted.name) if wanted.name else run.archive.path
    if not wanted.name and run.archive.reference:
        raise MachineError("The machine pulls this image from its registry: the node does not have it as a file")
    if path is None:
        raise MachineError(f"The run has no input {wanted.name}")
    writer.write(f.framed(f.Sized(path.stat().st_size)))
    await _send(path, writer)


async def send_set(machine: JoinedMachine, wanted: f.WantSet, writer: asyncio.StreamWriter) -> None:
    """As files: those of its runs. What a file here has too much or too little the machine finds out."""
    run = machine.runs.get(wanted.run)
    given = None if run is None else run.spec.inputs.get(SETS)
    data = await asyncio.to_thread(_part_of, given, wanted.digest) if isinstance(given, DataSet) else None
    if data is None:
        raise MachineError("The node has no such run on this machine, or not this data set for it")
    listing = await asyncio.to_thread(listing_of, data)
    writer.write(f.framed(f.SetSized(len(listing), data.size)))
    writer.write(listing)
    for file in data.files:
        await _send(file.path, writer)


async def take_output(
    machine: JoinedMachine,
    given: f.GiveOutput,
    out: Path,
    frames: f.FrameReader,
    writer: asyncio.StreamWriter,
    blame: Blame,
    bringers: ModelBringers,
) -> None:
    """An output is counted against the order's cap before a byte of it is taken, and hashed here."""
    run = machine.runs.get(given.run)
    if run is None or run.done.done():
        raise MachineError("The node has no such run on this machine (any more)")
    cap = run.cap(given.name)
    if given.name == CHECKPOINT and run.on_checkpoint is None:
        raise MachineError("Nobody takes a checkpoint of this run now")
    if not 0 < given.size <= cap:
        blame(machine, run, f"it gives {given.name} with {given.size} bytes; 1 to {cap} are allowed")
        raise MachineError(f"{given.name} has {given.size} bytes; 1 to {cap} are allowed")
    try:
        leave_room(out, "taking an output", given.size, 1)
        writer.write(f.framed(f.Sized(given.size)))
        await f.drained(writer)
        file = await _written(frames, given, run, out)
    except (EngineError, OSError) as fault:
        if isinstance(fault, ConnectionError):
            raise
        run.fail(f"the output could not be kept on the node's disk: {fault}")
        raise MachineError("The node cannot keep the output") from None
    if run.done.done():
        file.path.unlink(missing_ok=True)
        raise MachineError("The run is over for the node")
    try:
        await _keep_output(run, given.name, file)
    except BadResult as fault:
        blame(machine, run, f"what it gives as {given.name} is none: {fault}")
        raise MachineError(f"{given.name} cannot be read") from None
    if given.name == "model":
        await bringers.add(run.spec, machine.name)
    writer.write(f.framed(f.OutputReceived()))
    await f.drained(writer)


async def _written(frames: f.FrameReader, given: f.GiveOutput, run: RemoteRun, out: Path) -> OutputFile:
    # Each has a name of its own: a transfer that broke off never ends the file of the one after it.
    path, digest, left = out / f"{given.run}.{given.name}.{token_hex(4)}", hashlib.sha256(), given.size
    file = await asyncio.to_thread(private.writing, path)
    try:
        with file:
            while left:
                piece = await frames.exactly(min(left, f.PIECE))
                left -= len(piece)
                if run.done.done():
                    raise MachineError("The run is over for the node")
                await asyncio.to_thread(_keep, file, digest, piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return OutputFile(path, given.size, digest.digest())


def _keep(file: IO[bytes], digest: Any, piece: bytes) -> None:
    file.write(piece)
    digest.update(piece)


def _part_of(data: DataSet, digest: bytes) -> DataSet | None:
    return next((part for part in on_disk(SETS, data) if part.digest == digest), None)


async def _send(path: Path, writer: asyncio.StreamWriter) -> None:
    with await asyncio.to_thread(private.reading, path) as file:
        while piece := await asyncio.to_thread(file.read, f.PIECE):
            writer.write(piece)
            await f.drained(writer)


async def _keep_output(run: RemoteRun, name: str, file: OutputFile) -> None:
    """Raises `BadResult` for one that is read here."""
    if name == CHECKPOINT and run.on_checkpoint is not None:
        try:
            await asyncio.to_thread(run.on_checkpoint, file)  # it moves the file away
        finally:
            file.path.unlink(missing_ok=True)
        return
    read = next((row.read for row in run.spec.row.outputs if row.name == name), None)
    if read is not None:
        try:
            run.measured = await asyncio.to_thread(_read_with, read(), file.path)
        finally:
            file.path.unlink(missing_ok=True)
        return
    if (before := run.outputs.pop(name, None)) is not None:
        before.path.unlink(missing_ok=True)
    run.outputs[name] = file


def _read_with(reader: ResultReader, path: Path) -> object:
    with private.reading(path) as file:
        while piece := file.read(f.PIECE):
            reader.take(piece)
    return reader.finish()


def files_of(spec: RunSpec) -> dict[str, Path]:
    """What of a run's inputs goes to its machine as a file."""
    return {name: given for name, given in spec.inputs.items() if isinstance(given, Path)}


def _loss(text: str) -> float | None:
    """For display only, as a job's own progress lines are."""
    try:
        loss = float(text)
    except ValueError:
        return None
    return loss if math.isfinite(loss) and abs(loss) < 1e18 else None


def _tail(text: str) -> str:
    return "".join(char if char == "\n" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
