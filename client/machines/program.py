"""The program on a machine of a node: dials the node, runs what it is given in this machine's own sandbox, brings what came out.

    clean up, self-test --> dial --Hello--> served --Take--> image fetched where needed, run --> outputs given, RunOver --> Release
                              ^               |
                              +-- 1..60 s ----+   the runs go on; what they left is kept until the node has it, or for `KEEP_S`

The node's identity, its ledger and its API are not here: this program holds a TLS key of its own, and orders. A failing self-test
is told in the Hello, and made again. A machine whose program is killed cleans up at its next start: its runs are over then.

A lease is a machine for one run (`leases`): its program makes the self-test before it dials, and is `over` once the node has let go
of that run, refuses it, or has given it none for `IDLE_S`. Its run has the devices that the lease has, by their names here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Final

import msgspec
import structlog
from msgspec import structs

from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.chain.types import format_loss
from learningchain.client.machines import frames as f
from learningchain.client.machines.set_cache import SetCache
from learningchain.client.machines.trust import (
    MAX_FILE,
    MachineJoinToken,
    MachineSecrets,
    fingerprint,
    joining_context,
    key_pem,
    machine_context,
    new_key,
    public_der,
)
from learningchain.p2p.address_book import parse_endpoint
from learningchain.sandbox import (
    AsyncBackend,
    DataSet,
    Evaluated,
    ImageLimits,
    OutputFile,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
    SandboxError,
)
from learningchain.sandbox.data import KnownSets
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.phases import CHECKPOINT, SETS
from learningchain.sandbox.spec import load_run

log: Any = structlog.get_logger("machine")

FILE: Final = "machine.json"
"""In the data folder, private: what `join` wrote."""
FOLDER: Final = "machine"
CONNECT_S: Final = 10.0
FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
TEST_AGAIN_S: Final = 60.0
KEEP_S: Final = 72 * 3_600.0
MAX_GIVING: Final = 3
"""Outputs that are given at a time: a node takes eight transfers of a machine, and some may be the rest of a lost connection."""
PRINT_S: Final = 1.0
PROGRESS_S: Final = 0.5
SETS_BYTES: Final = 64 << 30
IDLE_S: Final = 300.0
"""A lease without a run is given back by then, whatever became of its node."""


class NodeRefused(Exception):
    """The node is there, and says no; the text is the node's."""


@dataclass(eq=False)
class _Held:
    """A run that this machine has, until the node lets go of it."""

    take: f.Take
    cancel: threading.Event = field(default_factory=threading.Event)
    result: RunResult | None = None
    ended: float = 0.0
    told: bool = False
    progressed: float = 0.0
    saved: OutputFile | None = None
    """The newest checkpoint that the node has not got."""
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    sets: frozenset[bytes] = frozenset()
    """Digests of its data sets."""

    @property
    def order(self) -> bytes:
        return hashlib.sha256(self.take.order).digest()


async def join(token: MachineJoinToken) -> MachineSecrets:
    """A certificate for this machine, for what the token is good for. Raises `NodeRefused`, OSError, ssl.SSLError, `Malformed`."""
    key = new_key()
    async with asyncio.timeout(CONNECT_S), _connected(token.address, joining_context()) as (frames, writer):
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if hashlib.sha256(shown.getpeercert(binary_form=True) or b"").digest() != token.certificate:
            raise NodeRefused(
                f"What answers at {token.address} is not the node that made the token: it shows another certificate. Nothing was "
                "told to it. Check the address, and make another token: learningchain machine add NAME"
            )
        writer.write(f.framed(f.JoinMachine(f.PROTOCOL, token.secret, public_der(key))))
        answer = await _answer(frames)
        if not isinstance(answer, f.Joined):
            raise Malformed("the node answered with something else than a certificate")
        fingerprint(answer.certificate)
        return MachineSecrets(answer.name, token.address, answer.authority, answer.certificate, key_pem(key))


async def ask_node(secrets: MachineSecrets) -> f.NodeSays:
    """What the node says to a machine that it would let in. Raises as `join`."""
    async with asyncio.timeout(CONNECT_S), _connected(secrets.address, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(f.AskNode(f.PROTOCOL)))
        answer = await _answer(frames)
        if not isinstance(answer, f.NodeSays):
            raise Malformed("the node answered with something else than who it is")
        return answer


@contextlib.asynccontextmanager
async def _connected(address: str, context: ssl.SSLContext) -> AsyncIterator[tuple[f.FrameReader, asyncio.StreamWriter]]:
    host, port = parse_endpoint(address)
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="node", limit=f.PIECE)
    try:
        yield f.FrameReader(reader), writer
    finally:
        writer.close()


async def _answer(frames: f.FrameReader) -> f.FromNode:
    answer = await frames.of_node()
    if isinstance(answer, f.MachineRefused):
        raise NodeRefused(f.shown(answer.text))
    return answer


def read_secrets(data: Path) -> MachineSecrets:
    """What `join` wrote. Raises FileNotFoundError, OSError, ValueError."""
    with private.reading(data / FILE) as file:
        return msgspec.json.decode(file.read(MAX_FILE), type=MachineSecrets)


class MachineProgram:
    """`folder` is its own; `sandbox` proves its limits in `prepare`. `run` never returns: it is cancelled."""

    def __init__(
        self,
        secrets: MachineSecrets,
        folder: Path,
        sandbox: AsyncBackend,
        version: str,
        *,
        lease: bool = False,
        sets_cap: int = SETS_BYTES,
        devices: tuple[str, ...] = (),
    ) -> None:
        self._secrets, self._folder, self._sandbox, self._version, self._devices = secrets, folder, sandbox, version, devices
        self._context, self._lease, self.over = machine_context(secrets), lease, asyncio.Event()
        self._held: dict[str, _Held] = {}
        self._loaded: set[str] = set()
        self._report: dict[str, Any] = {}
        self._trouble = "its self-test has not ended"
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sets, self._bringing = SetCache(folder / "sets", sets_cap), asyncio.Lock()
        self._loading, self._giving = asyncio.Lock(), asyncio.Semaphore(MAX_GIVING)

    async def run(self) -> None:
        await asyncio.to_thread(self._sweep)
        preparing = asyncio.get_running_loop().create_task(self._prepare())
        if self._lease:
            await preparing
            asyncio.get_running_loop().call_later(IDLE_S, self._end_if_idle)
        left = time.monotonic()
        try:
            while True:
                try:
                    await self._live()
                except (OSError, ssl.SSLError, TimeoutError, Malformed, NodeRefused) as fault:
                    if self._writer is not None:
                        left = time.monotonic()
                    log.warning("the node is out of reach", address=self._secrets.address, why=str(fault) or type(fault).__name__)
                    if self._lease and isinstance(fault, NodeRefused):
                        self.over.set()
                finally:
                    self._writer = None
                self._forget_old()
                await asyncio.sleep(_pause(time.monotonic() - left))
        finally:
            preparing.cancel()
            await self._stop()

    def _end_if_idle(self) -> None:
        if not self._held:
            self.over.set()

    async def wind_down(self) -> None:
        """Its runs end, and the node hears of that where it is there."""
        for held in self._held.values():
            held.cancel.set()
        if tasks := list(self._tasks):
            await asyncio.wait(tasks, timeout=f.SILENT_S)

    async def _stop(self) -> None:
        await self.wind_down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(SandboxError):
            for image in self._loaded if self._lease else ():
                await self._sandbox.remove(image)
            await self._sandbox.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sweep(self) -> None:
        """Nothing of an earlier process counts, but data sets that are whole."""
        self._sets.sweep()
        for name in ("images", "in", "checkpoints", "sandbox/out"):
            folder = self._folder / name
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in folder.iterdir():
                path.unlink()

    async def _prepare(self) -> None:
        """Nothing of a stranger runs before every limit of the sandbox was seen to hold."""
        while self._trouble:
            try:
                self._report = await self._sandbox.prepare((), ())
                self._trouble = f.shown("; ".join(str(one["detail"]) for one in self._report.get("devices", ()) if not one["ok"]))
                log.info("the sandbox is ready", **{k: self._report[k] for k in ("engine", "arch", "cpus", "mem_mb")})
            except Exception as problem:
                self._trouble = f.shown(str(problem))
                log.error("no run can be taken here", why=str(problem), again_in_s=TEST_AGAIN_S)
            if self._lease:
                return
            if self._writer is not None:
                self._writer.close()  # the next Hello says how it is
            if self._trouble:
                await asyncio.sleep(TEST_AGAIN_S)

    def engine_is(self, gone: str) -> None:
        """What a look at the engine came to: why it cannot be used, or an empty text. The node hears of a change at once."""
        said = f.shown(f"the container engine is gone: {gone}") if gone else ""
        if not self._report or said == self._trouble:  # before the first self-test has ended, that says how it is
            return
        self._trouble = said
        log.warning("the engine is gone: no run is taken here", why=gone) if gone else log.info("the engine is back")
        if self._writer is not None:
            self._writer.close()  # the next Hello says how it is

    # --- the connection ----------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """One connection until it ends, which it always does with an exception."""
        async with _connected(self._secrets.address, self._context) as (frames, writer):
            said = self._trouble
            writer.write(f.framed(self._hello()))
            answer = await _answer(frames)
            if not isinstance(answer, f.Admitted):
                raise Malformed("the node's first answer is no welcome")
            self._writer = writer
            if said != self._trouble:  # it changed on the way: the next Hello says how it is now
                writer.close()
            log.info("the node is there", address=self._secrets.address, name=answer.name)
            for run, held in self._held.items():
                self._spawn(self._deliver(run, held) if held.result is not None else self._give_checkpoint(run, held))
            pings = asyncio.get_running_loop().create_task(self._ping(writer))
            try:
                while True:
                    self._hear(await _answer(frames))
            finally:
                pings.cancel()

    def _hello(self) -> f.MachineHello:
        report = self._report
        return f.MachineHello(
            f.PROTOCOL,
            self._version[:64],
            str(report.get("engine", ""))[:64],
            str(report.get("arch", ""))[:32],
            1_000 * int(report.get("cpus", 0)),
            int(report.get("mem_mb", 0)),
            self._trouble,
            [f.HeldRun(run, held.order) for run, held in self._held.items()],
        )

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(f.framed(f.MachinePing()))
                await f.drained(writer)
                await asyncio.sleep(f.PING_S)

    def _say(self, message: f.FromMachine) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(f.framed(message))

    def _hear(self, frame: f.FromNode) -> None:
        match frame:
            case f.MachinePing():
                pass
            case f.Take() if frame.run not in self._held:
                if len(self._held) >= f.MAX_HELD:
                    raise Malformed(f"more than {f.MAX_HELD} runs")
                held = self._held[frame.run] = _Held(frame)
                self._spawn(self._work(held))
            case f.Take():
                raise Malformed(f"the run {frame.run} is here already")
            case f.EndRun():
                if (found := self._held.get(frame.run)) is not None:
                    found.cancel.set()
            case f.ReleaseRun():
                self._release(frame.run)
            case f.DropImage():
                self._spawn(self._drop(frame.image))
            case _:
                raise Malformed(f"{type(frame).__name__} has no place on this connection")

    def _release(self, run: str) -> None:
        """Its outputs go now, or with its end."""
        held = self._held.pop(run, None)
        if held is None:
            return
        if self._lease:
            self.over.set()
        held.told = True
        held.cancel.set()
        for file in [] if held.result is None else held.result.outputs.values():
            file.path.unlink(missing_ok=True)
        if held.saved is not None:
            held.saved.path.unlink(missing_ok=True)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for run in [run for run, held in self._held.items() if held.result is not None and now > held.ended + KEEP_S]:
            log.warning("what a run left is given up: the node did not come for it", run=run)
            self._release(run)

    async def _drop(self, image: str) -> None:
        try:
            await self._sandbox.remove(image)
        except SandboxError as problem:
            log.warning("an image could not be removed", image=image, why=str(problem))

    # --- runs ------------------------------------------------------------------------------------------------------------------

    async def _work(self, held: _Held) -> None:
        run, began = held.take.run, time.monotonic()
        try:
            result = await self._result(held, began)
        except Exception as problem:  # whatever the engine does, the node must hear of an end
            log.error("a run failed outside its container", run=run, exc_info=problem)
            result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")
        held.result, held.ended = result, time.monotonic()
        for given in held.take.inputs:
            self._input(held, given).unlink(missing_ok=True)
        log.info("run ended", run=run, status=result.status.value, why=result.reason)
        if held.told:  # the node let go of it meanwhile
            for file in result.outputs.values():
                file.path.unlink(missing_ok=True)
            return
        await self._deliver(run, held)

    async def _result(self, held: _Held, began: float) -> RunResult:
        spec = load_run(held.take.order, {given.name: self._input(held, given) for given in held.take.inputs})
        spec = _on_this_machine(spec, held.take.run, self._devices)
        await self._bring_image(held, spec)
        for given in held.take.inputs:
            await self._fetch(f.Want(held.take.run, given.name), self._input(held, given), given.size)
        if isinstance(sets := spec.inputs.get(SETS), KnownSets):
            spec = structs.replace(spec, inputs={**spec.inputs, SETS: await self._bring_sets(held, sets)})
        if spec.phase == "train":  # an evaluation has the time that everybody gives it: what measures is the same everywhere
            left = spec.limits.wall_s - held.take.waited_ms / 1_000 - (time.monotonic() - began)
            if left < 1:
                return RunResult(status=RunStatus.ENGINE_ERROR, reason="the machine and the image were there too late for the run")
            spec = _shorter(spec, left)
        if held.cancel.is_set():
            return RunResult(status=RunStatus.CANCELLED, reason="cancelled")
        self._say(f.Began(spec.run_id))
        log.info("run begins", run=spec.run_id, phase=spec.phase)
        printing = asyncio.get_running_loop().create_task(self._print(spec.run_id))
        try:
            result = await self._sandbox.run(spec, lambda progress: self._progress(held, progress), held.cancel, self._keeper(held))
        finally:
            printing.cancel()
        await asyncio.to_thread(self._sets.check, held.sets if result.status is RunStatus.ENGINE_ERROR else ())
        return await asyncio.to_thread(_with_losses, result, spec.run_id, self._folder / "sandbox" / "out")

    async def _bring_sets(self, held: _Held, sets: KnownSets) -> DataSet:
        """Those of a run, each from this disk where it is here. One at a time: who needs the same one finds it."""
        held.sets = frozenset(known.digest for known in sets.sets)
        parts = []
        async with self._bringing:
            for known in sets.sets:
                found = await asyncio.to_thread(self._sets.find, known.digest)
                parts.append(found or await self._fetch_set(f.WantSet(held.take.run, known.digest), known.size))
        files = [structs.replace(file, name=file.name.removeprefix(f"{SETS}/")) for part in parts for file in part.files]
        return DataSet(tuple(sorted(files, key=lambda file: file.name)))

    async def _fetch_set(self, wanted: f.WantSet, size: int) -> DataSet:
        used = {digest for held in self._held.values() for digest in held.sets}
        async with _connected(self._secrets.address, self._context) as (frames, writer):
            writer.write(f.framed(wanted))
            answer = await _answer(frames)
            if not isinstance(answer, f.SetSized):
                raise Malformed("the node answered with something else than a data set")
            found = await self._sets.bring(wanted.digest, size, answer.listing, frames.exactly, used)
            log.info("a data set was fetched", bytes=size, files=len(found.files))
            return found

    def _input(self, held: _Held, given: f.InputFile) -> Path:
        return self._folder / "in" / f"{held.take.run}.{given.name}"

    def _keeper(self, held: _Held) -> Callable[[OutputFile], None]:
        """What takes a run's checkpoints, on the run's own thread."""
        loop = asyncio.get_running_loop()

        def keep(file: OutputFile) -> None:
            path = self._folder / "checkpoints" / f"{held.take.run}.{token_hex(4)}"
            os.replace(file.path, path)
            loop.call_soon_threadsafe(self._saved, held, structs.replace(file, path=path))

        return keep

    def _saved(self, held: _Held, file: OutputFile) -> None:
        before, held.saved = held.saved, file
        if before is not None:
            before.path.unlink(missing_ok=True)
        if held.result is None:
            self._spawn(self._give_checkpoint(held.take.run, held))

    async def _give_checkpoint(self, run: str, held: _Held) -> None:
        """The newest, as soon as the node is there. Where it came to nothing it stays for the next connection."""
        async with held.saving:
            file = held.saved
            if file is None or self._writer is None:
                return
            try:
                await self._give(f.GiveOutput(run, CHECKPOINT, file.size), file.path)
            except NodeRefused as problem:
                log.warning("the node takes no checkpoint of a run", run=run, why=str(problem))
            except (OSError, ssl.SSLError, TimeoutError, Malformed) as fault:
                log.warning("a checkpoint could not be given; it is kept", run=run, why=str(fault) or type(fault).__name__)
                return
            if held.saved is file:
                held.saved = None
            file.path.unlink(missing_ok=True)

    def _progress(self, held: _Held, progress: Progress) -> None:
        now = time.monotonic()
        if now < held.progressed + PROGRESS_S:
            return
        held.progressed = now
        loss = "" if progress.loss is None else repr(progress.loss)[:32]
        self._say(f.RunProgress(held.take.run, progress.step, progress.of or 0, loss))

    async def _print(self, run: str) -> None:
        before = ""
        while True:
            await asyncio.sleep(PRINT_S)
            now = (self._sandbox.printed(run) or "")[-f.MAX_TAIL :]
            if now != before:
                self._say(f.Printed(run, now))
                before = now

    async def _bring_image(self, held: _Held, spec: RunSpec) -> None:
        """One at a time. What came is held against the image's id by the sandbox, as every image of a stranger."""
        async with self._loading:
            if await self._sandbox.has_image(spec.image_id):
                return
            path = self._folder / "images" / f"{spec.image_id.removeprefix('sha256:')}.tar"
            limits = ImageLimits(
                archive_bytes=held.take.archive_bytes,
                unpacked_bytes=held.take.unpacked_bytes,
                files=held.take.files,
                layers=held.take.layers,
            )
            if held.take.reference:
                pulled = await self._sandbox.pull(held.take.reference, limits)
                self._loaded.add(pulled)
                if pulled != spec.image_id:
                    raise Malformed(f"what the registry gives here is {pulled}, and the node's is {spec.image_id}")
                return
            try:
                await self._fetch(f.Want(held.take.run, ""), path, held.take.archive_bytes)
                self._loaded.add(spec.image_id)
                await self._sandbox.load(path, spec.image_id, limits)
            finally:
                path.unlink(missing_ok=True)

    async def _fetch(self, wanted: f.Want, path: Path, most: int) -> None:
        what = wanted.name or "image"
        async with _connected(self._secrets.address, self._context) as (frames, writer):
            writer.write(f.framed(wanted))
            answer = await _answer(frames)
            if not isinstance(answer, f.Sized) or answer.size > most:
                raise Malformed(f"the {what} is larger than the order says")
            leave_room(path.parent, f"fetching the {what} of a run", answer.size, 1)
            with private.writing(path) as file:
                left = answer.size
                while left:
                    piece = await frames.exactly(min(left, f.PIECE))
                    left -= len(piece)
                    await asyncio.to_thread(file.write, piece)
            log.info("an image was fetched" if not wanted.name else "an input was fetched", bytes=answer.size, name=wanted.name)

    async def _deliver(self, run: str, held: _Held) -> None:
        """Outputs, then how it ended. A connection that is gone: with the next one; the node refuses what it needs no more."""
        result = held.result
        if result is None or self._writer is None:
            return
        if result.status is not RunStatus.OK:
            await self._give_checkpoint(run, held)
        try:
            if held.saved is not None and result.status is not RunStatus.OK:
                raise ConnectionError("its checkpoint is not there yet")
            for name, file in result.outputs.items():
                await self._give(f.GiveOutput(run, name, file.size), file.path)
        except NodeRefused as problem:
            log.warning("the node takes no output of a run", run=run, why=str(problem))
            result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"its output was refused: {problem}")
        except (OSError, ssl.SSLError, TimeoutError, Malformed) as fault:
            log.warning("an output could not be given; it is kept", run=run, why=str(fault) or type(fault).__name__)
            if self._writer is not None:
                self._writer.close()  # with the next connection it is tried again
            return
        code = -1 if result.exit_code is None else result.exit_code
        tail, wall_ms = result.log_tail[-f.MAX_TAIL :], int(1_000 * result.wall_s)
        self._say(f.RunOver(run, result.status.value, f.shown(result.reason), code, wall_ms, tail))

    async def _give(self, given: f.GiveOutput, path: Path) -> None:
        async with self._giving, _connected(self._secrets.address, self._context) as (frames, writer):
            writer.write(f.framed(given))
            await _answer(frames)
            with await asyncio.to_thread(private.reading, path) as file:
                await _send(file, writer)
            if not isinstance(await _answer(frames), f.OutputReceived):
                raise Malformed("the node did not say that it has the output")


def _with_losses(result: RunResult, run: str, out: Path) -> RunResult:
    """What was measured goes to the node as a job writes it: the node reads it itself."""
    if not isinstance(result.result, Evaluated):
        return result
    raw = "".join(f"{format_loss(loss)}\n" for loss in result.result.losses).encode()
    path = out / f"{run}.losses"
    with private.writing(path) as file:
        file.write(raw)
    return structs.replace(result, outputs={"losses": OutputFile(path, len(raw), hashlib.sha256(raw).digest())})


def _on_this_machine(spec: RunSpec, run: str, here: tuple[str, ...]) -> RunSpec:
    """The run with the devices that are here, all of them. Raises `Malformed` where it is not what was ordered."""
    if spec.run_id != run or not all(isinstance(given, Path | KnownSets) for given in spec.inputs.values()):
        raise Malformed("the order is of another run, or needs the owner's own data")
    if len(spec.devices) != len(here):
        raise Malformed(f"the run needs {len(spec.devices)} devices, and {len(here)} are here")
    return structs.replace(spec, devices=here)


def _pause(away_s: float) -> float:
    """Until the next dial: a tenth of what the node has been away for, so that one that starts again has its machines at once."""
    return min(MAX_PAUSE_S, max(FIRST_PAUSE_S, away_s / 10))


def _shorter(spec: RunSpec, left: float) -> RunSpec:
    """The same within the time that is left: what its program is told to keep to shrinks with what it is killed by."""
    budget_s = max(1, int(spec.budget_s * left / spec.limits.wall_s))
    return structs.replace(spec, budget_s=budget_s, limits=structs.replace(spec.limits, wall_s=left))


async def _send(file: IO[bytes], writer: asyncio.StreamWriter) -> None:
    while piece := await asyncio.to_thread(file.read, f.PIECE):
        writer.write(piece)
        await f.drained(writer)
