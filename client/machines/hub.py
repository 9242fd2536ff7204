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
import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, Final

import structlog
from msgspec import structs

from learningchain.chain.errors import Malformed
from learningchain.client.machines import frames as f
from learningchain.client.machines.book import TOKEN_MS, MachineBook, MachineError
from learningchain.client.machines.bringers import ModelBringers
from learningchain.client.machines.gate import MachineGate
from learningchain.client.machines.heard import files_of, hear, send_file, send_set, take_output
from learningchain.client.machines.joined import ImageArchive, JoinedMachine, LeasedFor, RemoteRun, waiting_row
from learningchain.client.machines.placing import MachinePlace, RoomShare, choose, needs_trust, share_of
from learningchain.client.machines.run_notes import RunNotes, load_order
from learningchain.client.machines.trust import name_in, node_context
from learningchain.p2p.address_book import endpoint, parse_endpoint
from learningchain.sandbox import Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.backend import OnCheckpoint
from learningchain.sandbox.spec import dump_run

log: Any = structlog.get_logger("machines")

LOST_S: Final = 30.0
BACK_S: Final = 120.0
"""How long the machines of an earlier start's runs may take to come back: they dial at least once a minute."""
UNASKED_S: Final = 600.0
"""Runs of an earlier start for which nobody asked by then end."""
FAILING_S: Final = 60.0
"""After a run that failed by the machine's doing no other is placed there for so long."""
CANCEL_LOOK_S: Final = 0.1
MAX_BULK: Final = 8
"""Transfers of one machine at a time."""
ENDING_S: Final = 180.0
"""What a machine may take, beyond a run's wall clock and its transfers, to say how the run ended."""
SLOWEST: Final = 1_000_000
"""Bytes per second at which image and outputs have to move."""


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
        self._bringers = ModelBringers(notes.with_name("brought.json"))
        self.leased: dict[str, LeasedFor] = {}
        """Machines that are there for one run each, or will be: no other run is placed on them."""
        self._machines: dict[str, JoinedMachine] = {known.name: JoinedMachine(known.name) for known in book.machines}
        self._gate = MachineGate(node_context(book.secrets), self._first, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    # --- life ------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises `MachineError` where the address cannot be had."""
        host, self.port = self._gate.open(self._listen)
        self._out.mkdir(parents=True, exist_ok=True)
        for path in self._out.iterdir():  # of an earlier start: whoever brought it brings it again
            path.unlink()
        self._recall()
        self._gate.start()
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
        self._gate.close()

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

    def lets_in(self, name: str) -> bool:
        """Whether a machine of this name has joined, or has a token that is good; not once it was removed."""
        return name in {*(one.name for one in self.book.machines), *(one.name for one in self.book.invited(self._now_ms()))}

    def drain(self, name: str, on: bool) -> bool:
        """It takes no further run, also after a start of the node; those that it has go on. Raises `MachineError`."""
        return self.book.drain(name, on)

    def shown(self) -> list[dict[str, Any]]:
        now, now_ms = self._now(), self._now_ms()
        rows = [machine.row(now, self.arch, self.book.drains(machine.name)) for machine in self._machines.values()]
        waiting = [waiting_row(one.name, self.leased.get(one.name)) for one in self.book.invited(now_ms)]
        return sorted([*rows, *waiting], key=lambda row: str(row["name"]))

    # --- runs ------------------------------------------------------------------------------------------------------------------

    def place(self, spec: RunSpec) -> str | None:
        """The machine for a run (`placing`); None where none takes it."""
        now = self._now()
        allowed = self._machines.keys() - self.leased.keys()
        if needs_trust(spec):
            allowed &= self.trusted - self._bringers.of(spec)
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

    def troubles(self) -> list[str]:
        """What its owner should know of machines that are there."""
        now = self._now()
        rests = {machine.name: machine.resting(now) for machine in self._machines.values()}
        return [f"{name} rests: {why}" for name, why in sorted(rests.items()) if why]

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
        inputs = [f.InputFile(name, path.stat().st_size) for name, path in files_of(spec).items()]
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
                    run.fail("nobody goes on with it")
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

    def _blame(self, machine: JoinedMachine, run: RemoteRun, why: str) -> None:
        """The run ends, and others go elsewhere for a while."""
        machine.trouble, machine.trouble_until = f"{run.spec.run_id}: {why}"[: f.MAX_TEXT], self._now() + FAILING_S
        log.warning("a run failed by its machine's doing", run=run.spec.run_id, machine=machine.name, why=why)
        run.fail(f"the machine {machine.name}: {why}")

    def _end_runs(self, machine: JoinedMachine, why: str) -> None:
        machine.lose(machine.runs.values(), f"the machine {machine.name}: {why}", self._now())

    # --- connections -----------------------------------------------------------------------------------------------------------

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
                await self._bulk(machine, send_file(machine, first, writer))
            case f.WantSet():
                await self._bulk(machine, send_set(machine, first, writer))
            case f.GiveOutput():
                await self._bulk(machine, take_output(machine, first, self._out, frames, writer, self._blame, self._bringers))
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
        pings = asyncio.get_running_loop().create_task(machine.ping(writer))
        why = "the connection ended"
        try:
            while True:
                frame = await frames.of_machine()
                machine.heard_ms = self._now_ms()
                hear(machine, frame, self._blame)
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

    def _hang_up(self, machine: JoinedMachine) -> None:
        writer, machine.writer = machine.writer, None
        if writer is not None:
            writer.close()

    def _compare(self, machine: JoinedMachine, hello: f.MachineHello) -> None:
        """What it holds against what it was given: a run that it lost is over, and it lets go of what is over here."""
        held = {run.run: run.order for run in hello.runs}
        gone = [run for run in machine.runs.values() if held.get(run.spec.run_id) != run.order]
        machine.lose(gone, f"the machine {machine.name} started anew, and holds the run no more", self._now())
        for held_run, order in held.items():
            known = machine.runs.get(held_run)
            if known is None or known.order != order:
                machine.send(f.EndRun(held_run, "the node has no such run"))
                machine.send(f.ReleaseRun(held_run))

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

    def _now(self) -> float:
        return time.monotonic()


def _order(spec: RunSpec) -> bytes:
    """Whether it outlives the node is not the machine's to know: it ends what its own program leaves behind."""
    return dump_run(structs.replace(spec, stays=False))


def _same_protocol(theirs: int) -> None:
    if theirs != f.PROTOCOL:
        raise MachineError(
            f"The machine speaks version {theirs} and the node version {f.PROTOCOL}: install the same LearningChain on both"
        )
