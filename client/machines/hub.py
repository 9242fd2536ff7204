"""The node's side: waits for its machines, hands them runs, and takes what they bring.

    machine NAME   away --Hello--> ready <--> failing        (it says so, or a run failed there a moment ago)
                    ^                |
                    +-- connection lost; its runs end once it has been away for `LOST_S`

    run            noted -> Take -> Began, RunProgress, Printed, GiveOutput (checkpoints) ... -> GiveOutput (each output)
                         -> RunOver -> ReleaseRun
                    any of: another run_id or order after a new Hello, LOST_S, its time and more, a wrong output -> ENGINE_ERROR

What is believed of a machine: bytes that this node counted and hashed, and losses that it read itself, of machines that its owner
trusts. The rest is shown to people. Every end that is the machine's doing is an ENGINE_ERROR here: the attempt is not used up, and
what the machine says of that run later is told to let go. A run is noted in a file before it is given away: the node's next start
knows it again, takes what comes of it, and has it ready for whoever asks for the run (`resume`). For the loop's thread alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Final, NamedTuple

import structlog
from msgspec import structs

from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.client.machines import frames as f
from learningchain.client.machines.book import TOKEN_MS, MachineBook, MachineError
from learningchain.client.machines.placing import MachinePlace, RoomShare, choose, needs_trust, share_of
from learningchain.client.machines.run_notes import RunNotes, load_order
from learningchain.client.machines.set_cache import listing_of
from learningchain.client.machines.trust import name_in, node_context
from learningchain.p2p.address_book import endpoint, parse_endpoint
from learningchain.p2p.half_open import HalfOpen
from learningchain.p2p.hosts import host_of_address
from learningchain.p2p.limits import TokenBucket
from learningchain.sandbox import DataSet, EngineError, ImageLimits, OutputFile, Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.backend import OnCheckpoint
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.phases import CHECKPOINT, SETS
from learningchain.sandbox.results import BadResult, ResultReader
from learningchain.sandbox.spec import dump_run, on_disk

log: Any = structlog.get_logger("machines")

LOST_S: Final = 30.0
BACK_S: Final = 120.0
"""How long the machines of an earlier start's runs may take to come back: they dial at least once a minute."""
UNASKED_S: Final = 600.0
"""Runs of an earlier start for which nobody asked by then end."""
FAILING_S: Final = 60.0
"""After a run that failed by the machine's doing no other is placed there for so long."""
CANCEL_LOOK_S: Final = 0.1
HELLO_S: Final = 10.0
MAX_HALF_OPEN: Final = 64
DIALS_PER_S, DIALS_AT_ONCE = 10.0, 100.0
"""Connections that one address may open: a handshake takes the loop that votes 0.6 ms, whoever comes."""
MAX_ADDRESSES: Final = 1_024
MAX_BULK: Final = 8
"""Transfers of one machine at a time."""
ENDING_S: Final = 180.0
"""What a machine may take, beyond a run's wall clock and its transfers, to say how the run ended."""
MAX_BROUGHT: Final = 1_024
"""Jobs of which it is remembered who brought a model."""
SLOWEST: Final = 1_000_000
"""Bytes per second at which image and outputs have to move."""
_STATUSES: Final = {status.value: status for status in RunStatus}


@dataclass(eq=False)
class ImageArchive:
    """An image, already checked by this node: as the content store has it, or where its registry has it (`reference`)."""

    path: Path
    limits: ImageLimits
    reference: str = ""

    @property
    def there(self) -> bool:
        return bool(self.reference) or self.path.is_file()

    @property
    def size(self) -> int:
        """Bytes that a machine fetches at most. Raises OSError."""
        return self.limits.archive_bytes if self.reference else self.path.stat().st_size


@dataclass(eq=False)
class RemoteRun:
    spec: RunSpec
    take: f.Take
    archive: ImageArchive | None
    """None where an earlier start gave it."""
    on_progress: Callable[[Progress], None]
    done: asyncio.Future[RunResult]
    on_checkpoint: OnCheckpoint | None = None
    asked: bool = True
    """False for one of an earlier start that nobody has asked for yet."""
    cancel: threading.Event | None = None
    """None until somebody waits for its end; `began`: since when, by the hub's clock."""
    began: float = 0.0
    outputs: dict[str, OutputFile] = field(default_factory=dict)
    measured: object = None
    """What this node read of the output that is read."""
    printed: str = ""

    @property
    def order(self) -> bytes:
        return hashlib.sha256(self.take.order).digest()

    def cap(self, name: str) -> int:
        """Most bytes of an output or a checkpoint; 0 for what it has none of."""
        row, limits = self.spec.row, self.spec.limits
        if name == CHECKPOINT:
            return min(row.checkpoint_cap(limits.model_cap), limits.file_cap)
        return {output.name: row.cap(output, limits.model_cap) for output in row.outputs}.get(name, 0)

    def lacks(self) -> str:
        """The name of an output that did not come; empty where all are here."""
        came = {row.name: self.measured is not None if row.read else row.name in self.outputs for row in self.spec.row.outputs}
        return min((name for name, there in came.items() if not there), default="")

    def moving(self) -> int:
        """Bytes that may move for it in both directions."""
        outputs = sum(self.cap(row.name) for row in self.spec.row.outputs)
        sets = sum(given.size for given in self.spec.inputs.values() if isinstance(given, DataSet))
        return outputs + self.take.archive_bytes + self.cap(CHECKPOINT) + sum(i.size for i in self.take.inputs) + sets


class LeasedFor(NamedTuple):
    """The run that a machine is for, and what its engine says of it."""

    run: str
    said: str


@dataclass(eq=False)
class JoinedMachine:
    """A machine as the node knows it now."""

    name: str
    hello: f.MachineHello | None = None
    writer: asyncio.StreamWriter | None = None
    heard_ms: int | None = None
    runs: dict[str, RemoteRun] = field(default_factory=dict)
    trouble: str = ""
    trouble_until: float = 0.0
    bulk: int = 0
    lost: asyncio.TimerHandle | None = None

    def why_not(self, now: float, arch: str) -> str:
        """Why it takes no run for engines of `arch` at present; empty where it does."""
        if self.hello is None or self.writer is None:
            return "it is away"
        if not self.hello.trouble and self.hello.arch != arch:
            return f"its engine is of {f.shown(self.hello.arch)}, and the node's of {arch or 'nothing known yet'}"
        return self.hello.trouble or (self.trouble if now < self.trouble_until else "")

    def send(self, message: f.FromNode) -> None:
        """Frames to a machine are few and small; one that takes none loses its connection by its own silence."""
        if self.writer is not None:
            self.writer.write(f.framed(message))


class MachineHub:
    """`out`: where outputs are written, each its caller's from then on. `notes`: the file of runs under way. `start` it, `stop` it
    in the end."""

    def __init__(self, book: MachineBook, listen: str, out: Path, notes: Path, now_ms: Callable[[], int], version: str) -> None:
        self.book, self._listen, self._out, self._now_ms, self._version = book, listen, out, now_ms, version
        self._notes = RunNotes(notes)
        self._leaving = False
        self.arch = ""
        """Of the own engine, in the engines' word: an image for it runs on no other."""
        self.trusted: frozenset[str] = frozenset()
        """Machines whose measurements are this node's own word."""
        self._brought: OrderedDict[tuple[str, str], set[str]] = OrderedDict()
        """By a job's image and parameters, who brought a model of it to this process: it is measured by another."""
        self.leased: dict[str, LeasedFor] = {}
        """Machines that are there for one run each, or will be: no other run is placed on them."""
        self._machines: dict[str, JoinedMachine] = {known.name: JoinedMachine(known.name) for known in book.machines}
        self._context = node_context(book.secrets)
        self._half_open: HalfOpen[socket.socket] = HalfOpen(MAX_HALF_OPEN)
        self._dials: OrderedDict[str, TokenBucket] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self.port = 0

    # --- life ------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises `MachineError` where the address cannot be had."""
        host, _, port = self._listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, int(port)), family=family, backlog=64)
        except OSError as fault:
            raise MachineError(
                f"The node cannot listen for its machines on {self._listen}: {fault.strerror or fault}. Choose another address: "
                "learningchain config set cluster.listen HOST:PORT"
            ) from None
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._out.mkdir(parents=True, exist_ok=True)
        for path in self._out.iterdir():  # of an earlier start: whoever brought it brings it again
            path.unlink()
        self._recall()
        self._spawn(self._accept(self._socket))
        self._spawn(self._look())
        log.info("waiting for machines", listen=endpoint(host, self.port), known=len(self._machines))

    def _recall(self) -> None:
        """Runs that an earlier start gave away. Their machines have a while to come back."""
        loop = asyncio.get_running_loop()
        for name, take in self._notes.read():
            machine = self._machines.get(name)
            if machine is None:
                continue
            run = RemoteRun(load_order(take), take, None, lambda _: None, loop.create_future(), asked=False)
            machine.runs[take.run] = run
            machine.lost = machine.lost or loop.call_later(BACK_S, self._end_runs, machine, "it did not come back to the node")
        loop.call_later(UNASKED_S, self.keep, ())

    def leave(self) -> None:
        """Runs that may outlive the node are let go of: they go on, and `run` returns with a result that says so."""
        self._leaving = True

    async def stop(self) -> None:
        for machine in self._machines.values():
            self._end_runs(machine, "the node is stopping")
            if machine.lost is not None:
                machine.lost.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- for the owner ---------------------------------------------------------------------------------------------------------

    def add(self, name: str, address: str, good_ms: int = TOKEN_MS) -> tuple[str, int]:
        """The token's text and its end (wall clock, ms). Raises `MachineError`."""
        where = address or self._listen
        if parse_endpoint(where)[0] in ("0.0.0.0", "::"):
            raise MachineError(
                f"The node listens for machines everywhere ({where}), and the machine needs one address at which it reaches the "
                "node. Say which: learningchain machine add NAME --address HOST:PORT"
            )
        token, until = self.book.add(name, where, self._now_ms(), good_ms)
        return token.text(), until

    def remove(self, name: str, why: str = "its machine was removed") -> bool:
        """Its runs end, and it comes in no more. Raises `MachineError`."""
        if not self.book.remove(name):
            return False
        machine = self._machines.pop(name, None)
        if machine is not None:
            self._end_runs(machine, why)
            self._hang_up(machine)
        return True

    def drain(self, name: str, on: bool) -> bool:
        """It takes no further run, also after a start of the node; those that it has go on. Raises `MachineError`."""
        return self.book.drain(name, on)

    def shown(self) -> list[dict[str, Any]]:
        now, now_ms = self._now(), self._now_ms()
        rows = [self._row(machine, now) for machine in self._machines.values()]
        waiting: list[dict[str, Any]] = [
            {
                "name": one.name,
                "state": "queued" if one.name in self.leased else "invited",
                "why": f.shown(self.leased[one.name].said) if one.name in self.leased else "",
                "cpus_milli": 0,
                "mem_mb": 0,
                "engine": "",
                "version": "",
                "drains": False,
                "runs": [],
                "heard": None,
            }
            for one in self.book.invited(now_ms)
        ]
        return sorted([*rows, *waiting], key=lambda row: str(row["name"]))

    def _row(self, machine: JoinedMachine, now: float) -> dict[str, Any]:
        why, hello = machine.why_not(now, self.arch), machine.hello
        there = "failing" if why else "draining" if self.book.drains(machine.name) else "ready"
        return {
            "name": machine.name,
            "state": "away" if machine.writer is None else there,
            "why": why,
            "cpus_milli": 0 if hello is None else hello.cpus_milli,
            "mem_mb": 0 if hello is None else hello.mem_mb,
            "engine": "" if hello is None else f.shown(hello.engine),
            "version": "" if hello is None else f.shown(hello.program),
            "drains": self.book.drains(machine.name),
            "runs": sorted(machine.runs),
            "heard": machine.heard_ms,
        }

    # --- runs ------------------------------------------------------------------------------------------------------------------

    def place(self, spec: RunSpec) -> str | None:
        """The machine for a run (`placing`); None where none takes it."""
        now = self._now()
        allowed = self._machines.keys() - self.leased.keys()
        if needs_trust(spec):
            allowed &= self.trusted - self._brought.get(_job_of(spec), set())
        places = [
            MachinePlace(
                machine.name,
                RoomShare(machine.hello.cpus_milli, machine.hello.mem_mb),
                tuple(share_of(run.spec) for run in machine.runs.values()),
                not (machine.why_not(now, self.arch) or self.book.drains(machine.name)) and len(machine.runs) < f.MAX_HELD,
            )
            for machine in self._machines.values()
            if machine.hello is not None and machine.name in allowed
        ]
        return choose(share_of(spec), places)

    def idle(self) -> int:
        """Machines that have no run and would take one."""
        now = self._now()
        there = [machine for machine in self._machines.values() if machine.name not in self.leased and not machine.runs]
        return sum(not (machine.why_not(now, self.arch) or self.book.drains(machine.name)) for machine in there)

    def evaluators(self) -> int:
        """Trusted machines that are there and have no training: each may have an evaluation."""
        now, there = self._now(), [self._machines[name] for name in self.trusted & self._machines.keys()]
        free = [machine for machine in there if all(needs_trust(run.spec) for run in machine.runs.values())]
        return sum(not (machine.why_not(now, self.arch) or self.book.drains(machine.name)) for machine in free)

    def trouble_of(self, name: str) -> str | None:
        """Why a machine that is there takes no run, empty where it takes some; None where it is not there."""
        machine = self._machines.get(name)
        return None if machine is None or machine.writer is None else machine.why_not(self._now(), self.arch)

    def has(self, run_id: str) -> bool:
        return self._run(run_id) is not None

    def where(self, run_id: str) -> str:
        """Where a run is that left this node, in words; empty where it did not."""
        there = next((name for name, machine in self._machines.items() if run_id in machine.runs), None)
        if there is not None:
            return f"on the machine {there}"
        return next((f"waits for {name}: {f.shown(one.said)}" for name, one in self.leased.items() if one.run == run_id), "")

    async def run(
        self,
        name: str,
        spec: RunSpec,
        archive: ImageArchive,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        waited_s: float = 0.0,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        """One run on a machine that `place` named, or that is leased for it, to its end, whatever it comes to. `waited_s`: how much
        of its time it has waited for the machine."""
        machine, limits, order = self._machines[name], archive.limits, _order(spec)
        sizes = limits.archive_bytes, limits.unpacked_bytes, limits.files, limits.layers
        inputs = [f.InputFile(name, path.stat().st_size) for name, path in _files(spec).items()]
        take = f.Take(spec.run_id, order, *sizes, int(1_000 * waited_s), inputs, archive.reference)
        run = RemoteRun(spec, take, archive, on_progress, asyncio.get_running_loop().create_future(), on_checkpoint)
        if spec.run_id in machine.runs:
            raise ValueError(f"run {spec.run_id} is under way already")
        machine.runs[spec.run_id] = run
        log.info("a run was placed on a machine", run=spec.run_id, machine=name)
        return await self._to_its_end(machine, run, cancel, give=True)

    def keep(self, specs: Collection[RunSpec]) -> list[str]:
        """Of the runs of an earlier start that nobody has asked for: those that are exactly these stay, the others end."""
        wanted, kept = {spec.run_id: hashlib.sha256(_order(spec)).digest() for spec in specs}, []
        for machine in self._machines.values():
            for run in [run for run in machine.runs.values() if not run.asked]:
                if wanted.get(run.take.run) == run.order:
                    kept.append(run.take.run)
                else:
                    self._over(run, "nobody goes on with it")
                    self._forget(machine, run, None)
        return kept

    def waits(self, run_id: str) -> bool:
        """Whether a run of an earlier start waits for `resume`."""
        return any(run_id in machine.runs and not machine.runs[run_id].asked for machine in self._machines.values())

    async def resume(
        self,
        spec: RunSpec,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        """Goes on with a run of an earlier start that waits, or has ended meanwhile."""
        machine = next(machine for machine in self._machines.values() if spec.run_id in machine.runs)
        run = machine.runs[spec.run_id]
        run.spec, run.on_progress, run.on_checkpoint, run.asked = spec, on_progress, on_checkpoint, True
        log.info("a run on a machine goes on", run=spec.run_id, machine=machine.name)
        return await self._to_its_end(machine, run, cancel)

    async def _to_its_end(
        self, machine: JoinedMachine, run: RemoteRun, cancel: threading.Event, *, give: bool = False
    ) -> RunResult:
        result: RunResult | None = None
        try:
            if give:
                await self._note()
                machine.send(run.take)
            result = await self._result(machine, run, cancel)
            return structs.replace(result, log_tail=run.printed)
        finally:
            if not (run.spec.stays and self._leaving if result is None else result.left):
                self._forget(machine, run, result)
                self._spawn(self._note())  # a note of what is over costs nothing: the next start ends it

    def _forget(self, machine: JoinedMachine, run: RemoteRun, result: RunResult | None) -> None:
        """The machine lets go of it. What it brought stays where it is in the result."""
        if machine.runs.pop(run.take.run, None) is not None:
            machine.send(f.EndRun(run.take.run, "it is over for the node"))
            machine.send(f.ReleaseRun(run.take.run))
            kept = set() if result is None else {file.path for file in result.outputs.values()}
            for file in run.outputs.values():
                if file.path not in kept:
                    file.path.unlink(missing_ok=True)

    async def _result(self, machine: JoinedMachine, run: RemoteRun, cancel: threading.Event) -> RunResult:
        run.cancel, run.began = cancel, self._now()
        self._look_at(machine, run)
        return await asyncio.shield(run.done)

    async def _look(self) -> None:
        """One look for all runs: a timer for each would cost a node with 64 machines more than all that they say."""
        while True:
            await asyncio.sleep(CANCEL_LOOK_S)
            for machine in self._machines.values():
                for run in machine.runs.values():
                    self._look_at(machine, run)

    def _look_at(self, machine: JoinedMachine, run: RemoteRun) -> None:
        """A run that was called off, is left to go on, or took too long, ends here."""
        if run.done.done() or run.cancel is None:
            return
        now = self._now()
        until = run.began + run.spec.limits.wall_s + run.moving() / SLOWEST + ENDING_S
        if self._leaving and run.spec.stays:
            why = "it goes on, for the node to come back to"
            run.done.set_result(RunResult(status=RunStatus.CANCELLED, reason=why, left=True))
        elif run.cancel.is_set():
            run.done.set_result(RunResult(status=RunStatus.CANCELLED, reason="cancelled", wall_s=now - run.began))
        elif now > until:
            self._blame(machine, run, f"it did not say within {until - run.began:.0f} s how the run ended")

    async def _note(self) -> None:
        """A run that could not be noted ends with the node."""
        runs = [(machine.name, run.take) for machine in self._machines.values() for run in machine.runs.values()]
        try:
            await self._notes.write(runs)
        except OSError as fault:
            log.warning("runs on machines could not be noted", why=str(fault))

    def printed(self, run_id: str) -> str | None:
        run = self._run(run_id)
        return None if run is None else run.printed

    def drop_image(self, image_id: str) -> None:
        for machine in self._machines.values():
            machine.send(f.DropImage(image_id))

    def _run(self, run_id: str) -> RemoteRun | None:
        return next((machine.runs[run_id] for machine in self._machines.values() if run_id in machine.runs), None)

    def _over(self, run: RemoteRun, why: str, *, lost: bool = False) -> None:
        if not run.done.done():
            run.done.set_result(RunResult(status=RunStatus.ENGINE_ERROR, reason=why, lost=lost))

    def _blame(self, machine: JoinedMachine, run: RemoteRun, why: str) -> None:
        """The run ends, and others go elsewhere for a while."""
        machine.trouble, machine.trouble_until = f"{run.spec.run_id}: {why}"[: f.MAX_TEXT], self._now() + FAILING_S
        log.warning("a run failed by its machine's doing", run=run.spec.run_id, machine=machine.name, why=why)
        self._over(run, f"the machine {machine.name}: {why}")

    def _end_runs(self, machine: JoinedMachine, why: str) -> None:
        for run in machine.runs.values():
            self._over(run, f"the machine {machine.name}: {why}", lost=True)

    # --- connections -----------------------------------------------------------------------------------------------------------

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, where = await loop.sock_accept(listening)
            except OSError as fault:  # out of descriptors, or it died in the queue
                log.warning("a machine's connection cannot be accepted", why=fault.strerror or str(fault))
                await asyncio.sleep(0.5)
                continue
            if not self._may_dial(host_of_address(str(where[0]))):
                sock.close()
                continue
            for evicted in self._half_open.enter(sock, str(where[0]), known=False):
                with contextlib.suppress(OSError):
                    evicted.shutdown(socket.SHUT_RDWR)
            self._spawn(self._serve(sock, endpoint(str(where[0]), where[1])))

    def _may_dial(self, host: str) -> bool:
        now = self._now()
        bucket = self._dials.setdefault(host, TokenBucket(DIALS_PER_S, DIALS_AT_ONCE, now))
        self._dials.move_to_end(host)
        if len(self._dials) > MAX_ADDRESSES:
            self._dials.popitem(last=False)
        return bucket.spend(now, 1.0)

    async def _serve(self, sock: socket.socket, where: str) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(HELLO_S):
                reader, writer = await self._handshake(sock)
                frames = f.FrameReader(reader)
                first = await frames.of_machine()
            self._half_open.leave(sock)
            await self._first(first, frames, writer)
        except MachineError as refusal:
            log.warning("a machine was refused", where=where, why=str(refusal))
            if writer is not None:
                with contextlib.suppress(OSError, ssl.SSLError):
                    writer.write(f.framed(f.MachineRefused(str(refusal)[: f.MAX_TEXT])))
                    await f.drained(writer)
        except (OSError, ssl.SSLError, TimeoutError, Malformed) as fault:
            log.info("a machine's connection ended", where=where, why=str(fault) or type(fault).__name__)
        finally:
            self._half_open.leave(sock)
            if writer is not None:
                writer.close()
            else:
                sock.close()

    async def _handshake(self, sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=f.PIECE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, sock, ssl=self._context, ssl_handshake_timeout=HELLO_S, ssl_shutdown_timeout=1.0
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _first(self, first: object, frames: f.FrameReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(first, f.JoinMachine):
            await self._join(first, writer)
            return
        machine = self._who(writer)
        match first:
            case f.MachineHello():
                await self._stay(machine, first, frames, writer)
            case f.AskNode():
                _same_protocol(first.protocol)
                writer.write(f.framed(f.NodeSays(self._version[:64], self._now_ms())))
                await f.drained(writer)
            case f.Want():
                await self._bulk(machine, self._send_file(machine, first, writer))
            case f.WantSet():
                await self._bulk(machine, self._send_set(machine, first, writer))
            case f.GiveOutput():
                await self._bulk(machine, self._take_output(machine, first, frames, writer))
            case _:
                raise Malformed("the first frame begins nothing")

    def _who(self, writer: asyncio.StreamWriter) -> JoinedMachine:
        """By its certificate alone. Raises `MachineError`, `Malformed`."""
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        certificate = shown.getpeercert(binary_form=True)
        if certificate is None:
            raise MachineError("This machine has no certificate of the node. Join first: learningchain machine join TOKEN")
        name = name_in(certificate)
        if not self.book.knows(name, certificate):
            raise MachineError(
                f"The node does not know this machine {name!r} (any more): it was removed, or joined anew. "
                "Join again: learningchain machine join TOKEN"
            )
        return self._machines.setdefault(name, JoinedMachine(name))

    async def _join(self, wanted: f.JoinMachine, writer: asyncio.StreamWriter) -> None:
        _same_protocol(wanted.protocol)
        name, certificate = self.book.join(wanted.secret, wanted.key, self._now_ms())
        log.info("a machine joined", machine=name)
        self._machines.setdefault(name, JoinedMachine(name))
        writer.write(f.framed(f.Joined(name, certificate, self.book.secrets.authority)))
        await f.drained(writer)

    async def _stay(
        self, machine: JoinedMachine, hello: f.MachineHello, frames: f.FrameReader, writer: asyncio.StreamWriter
    ) -> None:
        """The connection of a machine, as long as it is there. A new one takes the place of an earlier one."""
        _same_protocol(hello.protocol)
        self._hang_up(machine)
        if machine.lost is not None:
            machine.lost.cancel()
        hello = structs.replace(hello, trouble=f.shown(hello.trouble))
        machine.hello, machine.writer, machine.lost, machine.heard_ms = hello, writer, None, self._now_ms()
        machine.send(f.Admitted(machine.name))
        self._compare(machine, hello)
        log.info("a machine is there", machine=machine.name, trouble=hello.trouble, runs=len(machine.runs))
        pings = asyncio.get_running_loop().create_task(self._ping(machine, writer))
        why = "the connection ended"
        try:
            while True:
                frame = await frames.of_machine()
                machine.heard_ms = self._now_ms()
                self._hear(machine, frame)
        except (OSError, ssl.SSLError, Malformed) as fault:
            why = str(fault) or type(fault).__name__
            raise
        finally:
            pings.cancel()
            if machine.writer is writer:
                machine.writer = None
                log.warning("a machine is away", machine=machine.name, why=why)
                machine.lost = asyncio.get_running_loop().call_later(
                    LOST_S, self._end_runs, machine, f"it has been away for {LOST_S:g} s ({why})"
                )

    async def _ping(self, machine: JoinedMachine, writer: asyncio.StreamWriter) -> None:
        while machine.writer is writer:
            machine.send(f.MachinePing())
            try:
                await f.drained(writer)
            except OSError:  # it takes nothing: what waits for it must not grow
                writer.transport.abort()
                return
            await asyncio.sleep(f.PING_S)

    def _hang_up(self, machine: JoinedMachine) -> None:
        writer, machine.writer = machine.writer, None
        if writer is not None:
            writer.close()

    def _compare(self, machine: JoinedMachine, hello: f.MachineHello) -> None:
        """What it holds against what it was given: a run that it lost is over, and it lets go of what is over here."""
        held = {run.run: run.order for run in hello.runs}
        for run in machine.runs.values():
            if held.get(run.spec.run_id) != run.order:
                self._over(run, f"the machine {machine.name} started anew, and holds the run no more", lost=True)
        for held_run, order in held.items():
            known = machine.runs.get(held_run)
            if known is None or known.order != order:
                machine.send(f.EndRun(held_run, "the node has no such run"))
                machine.send(f.ReleaseRun(held_run))

    def _hear(self, machine: JoinedMachine, frame: object) -> None:
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
                self._hear_end(machine, run, frame)
            case _:
                log.info("a machine began a run", run=frame.run, machine=machine.name)

    def _hear_end(self, machine: JoinedMachine, run: RemoteRun, told: f.RunOver) -> None:
        status, run.printed = _STATUSES.get(told.status), _tail(told.tail)
        if status is None:
            raise Malformed("no run ends so")
        if status is RunStatus.OK and (lacks := run.lacks()):
            self._blame(machine, run, f"it says that the run is done, and gave no {lacks}")
            return
        if status in (RunStatus.ENGINE_ERROR, RunStatus.CANCELLED):
            self._blame(machine, run, f.shown(told.reason))
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

    # --- bytes -----------------------------------------------------------------------------------------------------------------

    async def _bulk(self, machine: JoinedMachine, work: Coroutine[Any, Any, None]) -> None:
        if machine.bulk >= MAX_BULK:
            work.close()
            raise MachineError(f"{MAX_BULK} transfers of this machine are under way already. It tries again")
        machine.bulk += 1
        try:
            await work
        finally:
            machine.bulk -= 1

    async def _send_file(self, machine: JoinedMachine, wanted: f.Want, writer: asyncio.StreamWriter) -> None:
        """A machine gets the images and the inputs of its runs, and no other file."""
        run = machine.runs.get(wanted.run)
        if run is None or run.archive is None:
            raise MachineError("The node has no such run on this machine, or not its image")
        path = _files(run.spec).get(wanted.name) if wanted.name else run.archive.path
        if not wanted.name and run.archive.reference:
            raise MachineError("The machine pulls this image from its registry: the node does not have it as a file")
        if path is None:
            raise MachineError(f"The run has no input {wanted.name}")
        writer.write(f.framed(f.Sized(path.stat().st_size)))
        await _send(path, writer)

    async def _send_set(self, machine: JoinedMachine, wanted: f.WantSet, writer: asyncio.StreamWriter) -> None:
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

    async def _take_output(
        self, machine: JoinedMachine, given: f.GiveOutput, frames: f.FrameReader, writer: asyncio.StreamWriter
    ) -> None:
        """An output is counted against the order's cap before a byte of it is taken, and hashed here."""
        run = machine.runs.get(given.run)
        if run is None or run.done.done():
            raise MachineError("The node has no such run on this machine (any more)")
        cap = run.cap(given.name)
        if given.name == CHECKPOINT and run.on_checkpoint is None:
            raise MachineError("Nobody takes a checkpoint of this run now")
        if not 0 < given.size <= cap:
            self._blame(machine, run, f"it gives {given.name} with {given.size} bytes; 1 to {cap} are allowed")
            raise MachineError(f"{given.name} has {given.size} bytes; 1 to {cap} are allowed")
        try:
            leave_room(self._out, "taking an output", given.size, 1)
            writer.write(f.framed(f.Sized(given.size)))
            await f.drained(writer)
            file = await self._written(frames, given, run)
        except (EngineError, OSError) as fault:
            if isinstance(fault, ConnectionError):
                raise
            self._over(run, f"the output could not be kept on the node's disk: {fault}")
            raise MachineError("The node cannot keep the output") from None
        if run.done.done():
            file.path.unlink(missing_ok=True)
            raise MachineError("The run is over for the node")
        try:
            await _keep_output(run, given.name, file)
        except BadResult as fault:
            self._blame(machine, run, f"what it gives as {given.name} is none: {fault}")
            raise MachineError(f"{given.name} cannot be read") from None
        if given.name == "model":
            self._note_bringer(machine, run)
        writer.write(f.framed(f.OutputReceived()))
        await f.drained(writer)

    def _note_bringer(self, machine: JoinedMachine, run: RemoteRun) -> None:
        self._brought.setdefault(_job_of(run.spec), set()).add(machine.name)
        while len(self._brought) > MAX_BROUGHT:
            self._brought.popitem(last=False)

    async def _written(self, frames: f.FrameReader, given: f.GiveOutput, run: RemoteRun) -> OutputFile:
        # Each has a name of its own: a transfer that broke off never ends the file of the one after it.
        path, digest, left = self._out / f"{given.run}.{given.name}.{token_hex(4)}", hashlib.sha256(), given.size
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

    def _now(self) -> float:
        return time.monotonic()


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


def _job_of(spec: RunSpec) -> tuple[str, str]:
    """What the runs of one job have in common, wherever they run."""
    return spec.image_id, spec.params


def _files(spec: RunSpec) -> dict[str, Path]:
    """What of a run's inputs goes to its machine as a file."""
    return {name: given for name, given in spec.inputs.items() if isinstance(given, Path)}


def _order(spec: RunSpec) -> bytes:
    """Whether it outlives the node is not the machine's to know: it ends what its own program leaves behind."""
    return dump_run(structs.replace(spec, stays=False))


def _same_protocol(theirs: int) -> None:
    if theirs != f.PROTOCOL:
        raise MachineError(
            f"The machine speaks version {theirs} and the node version {f.PROTOCOL}: install the same LearningChain on both"
        )


def _loss(text: str) -> float | None:
    """For display only, as a job's own progress lines are."""
    try:
        loss = float(text)
    except ValueError:
        return None
    return loss if math.isfinite(loss) and abs(loss) < 1e18 else None


def _tail(text: str) -> str:
    return "".join(char if char == "\n" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
