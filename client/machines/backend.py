"""The sandbox of a node that has machines: its own engine, and trainings on theirs (`placing`).

All that the driver asks goes to the node's own engine, as without machines. Beside that the content store's archives are noted by
image, for a machine that needs one; the note is a file, since an image stays on the engine over a start.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from learningchain.chain.storage import private
from learningchain.client.config import parse_gpus
from learningchain.client.machines.book import FOLDER, MachineBook, MachineError
from learningchain.client.machines.hub import MachineHub
from learningchain.client.machines.joined import ImageArchive
from learningchain.client.machines.leases import Leases, LeaseTerms
from learningchain.client.machines.placing import has_sets, may_leave, needs_trust, on_cluster
from learningchain.client.machines.slurm import Slurm, SlurmTerms
from learningchain.p2p.address_book import parse_endpoint
from learningchain.sandbox import AsyncBackend, AsyncWarmRun, DataSet, ImageLimits, OwnData, Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.backend import OnCheckpoint

if TYPE_CHECKING:
    from learningchain.client.config import Config

log: Any = structlog.get_logger("machines")

MAX_ARCHIVES: Final = 4_096
MAX_NOTE: Final = 8 << 20


class _NotedArchive(msgspec.Struct, frozen=True):
    image: str
    path: str
    limits: ImageLimits
    reference: str = ""


class MachinesBackend:
    """`own`: the node's engine. `data`: its data folder. `version`: of the node's program. Implements `sandbox.AsyncBackend`."""

    def __init__(
        self,
        own: AsyncBackend,
        data: Path,
        listen: str,
        now_ms: Callable[[], int],
        version: str = "",
        trusted: Collection[str] = (),
    ) -> None:
        """Raises `MachineError`."""
        self._own = own
        self._path = data / FOLDER / "images.json"
        self.hub = MachineHub(
            MachineBook(data / FOLDER, now_ms()), listen, data / FOLDER / "out", data / FOLDER / "runs.json", now_ms, version
        )
        self.hub.trusted = frozenset(trusted)
        self.leases: Leases | None = None
        """Where a training runs that no machine has room for, if the site gives any."""
        self._archives: dict[str, ImageArchive] = {}
        self._noting = asyncio.Lock()
        self._going_on: set[str] = set()
        """Runs of an earlier start that are on the own engine."""

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        there = self.hub.keep(keep_runs)
        if self.leases is not None:
            await self.leases.recall(there)
        report = await self._own.prepare(keep_images, [spec for spec in keep_runs if spec.run_id not in there])
        self.hub.arch = str(report.get("arch", ""))[:32]
        noted = await asyncio.to_thread(self._noted)
        self._archives = {image: archive for image, archive in noted.items() if image in keep_images} | self._archives
        self._going_on = set(report.get("runs", ()))
        if self.leases is not None:
            report["devices"] = [*report.get("devices", ()), *await self.leases.prove_devices()]
        return report | {"runs": (*report.get("runs", ()), *there)}

    async def look(self, *, again: bool) -> None:
        await self._own.look(again=again)

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str:
        image = await self._own.load(path, image_id, limits)
        await self._add(image, ImageArchive(path, limits))
        return image

    async def pull(self, reference: str, limits: ImageLimits) -> str:
        image = await self._own.pull(reference, limits)
        await self._add(image, ImageArchive(Path(), limits, reference))
        return image

    async def _add(self, image: str, archive: ImageArchive) -> None:
        self._archives[image] = archive
        while len(self._archives) > MAX_ARCHIVES:
            del self._archives[next(iter(self._archives))]
        await self._note()

    async def keep_set(self, name: str, data: DataSet) -> None:
        await self._own.keep_set(name, data)

    async def own_data(self) -> list[OwnData]:
        return await self._own.own_data()

    async def remove_data(self, name: str) -> None:
        await self._own.remove_data(name)

    async def has_image(self, image_id: str) -> bool:
        return await self._own.has_image(image_id)

    async def remove(self, image_id: str) -> None:
        """A machine may have it also where none was to get it any more (`_judged`)."""
        await self._own.remove(image_id)
        self.hub.drop_image(image_id)
        if self._archives.pop(image_id, None) is not None:
            await self._note()

    async def run(
        self,
        spec: RunSpec,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        """Wherever it runs, its checkpoints come here."""
        if self.hub.waits(spec.run_id):
            return await self._on_lease(spec, self.hub.resume(spec, on_progress, cancel, on_checkpoint))
        archive = self._archives.get(spec.image_id)
        if archive is not None and (spec.run_id in self._going_on or not archive.there):
            archive = None
        if on_cluster(spec):
            if archive is None or has_sets(spec):
                why = "its image's archive is not here" if archive is None else "data sets do not go there"
                return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"its devices are a cluster's, and {why}")
            leased = await self._leased(spec, archive, on_progress, cancel, on_checkpoint)
            return leased or RunResult(status=RunStatus.ENGINE_ERROR, reason="its devices are a cluster's, and this node has none")
        if may_leave(spec) and archive is not None:
            machine = self.hub.place(spec)
            if machine is not None:
                result = await self.hub.run(machine, spec, archive, on_progress, cancel, on_checkpoint=on_checkpoint)
                return await self._judged(spec, archive, result)
            if not needs_trust(spec) and not has_sets(spec):
                leased = await self._leased(spec, archive, on_progress, cancel, on_checkpoint)
                if leased is not None:
                    return leased
        return await self._own.run(spec, on_progress, cancel, on_checkpoint)

    def printed(self, run_id: str) -> str | None:
        there = self.hub.printed(run_id)
        return self._own.printed(run_id) if there is None else there

    async def _leased(
        self,
        spec: RunSpec,
        archive: ImageArchive,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        on_checkpoint: OnCheckpoint | None,
    ) -> RunResult | None:
        """One run on a lease, to its end; None where none is to be had."""
        if self.leases is None:
            return None
        lease = await self.leases.take(spec, archive, cancel)
        if lease is None or isinstance(lease, RunResult):
            return lease
        running = self.hub.run(lease.name, spec, archive, on_progress, cancel, self.leases.waited_s(lease), on_checkpoint)
        return await self._judged(spec, archive, await self._on_lease(spec, running))

    async def _on_lease(self, spec: RunSpec, running: Coroutine[Any, Any, RunResult]) -> RunResult:
        """A lease, where the run has one, goes with it, unless it goes on without this node."""
        left = False
        try:
            result = await running
            left = result.left
            return result
        finally:
            if self.leases is not None and not left:
                self.leases.let_go(spec.run_id)

    def elsewhere(self) -> int:
        return self.hub.idle()

    def evaluators(self) -> int:
        return 1 + self.hub.evaluators()

    def troubles(self) -> list[str]:
        rests = self.leases.resting() if self.leases is not None else ""
        return [*self.hub.troubles(), *([rests] if rests else [])]

    def leave(self) -> None:
        if self.leases is not None:
            self.leases.leaving = True
        self.hub.leave()
        self._own.leave()

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult:
        return await self._own.start(spec, cancel)

    async def close(self) -> None:
        if self.leases is not None:
            await self.leases.stop()
        await self.hub.stop()
        await self._own.close()

    async def _judged(self, spec: RunSpec, archive: ImageArchive, result: RunResult) -> RunResult:
        """A machine may not reach a registry that the node reaches: its image stays here then."""
        if archive.reference and result.status is RunStatus.ENGINE_ERROR and not (result.lost or result.left):
            self._archives.pop(spec.image_id, None)
            await self._note()
        return result

    async def _note(self) -> None:
        """An archive that could not be noted is not known after the next start: its trainings stay on the own engine."""
        async with self._noting:
            rows = [_NotedArchive(image, str(one.path), one.limits, one.reference) for image, one in self._archives.items()]
            try:
                await asyncio.to_thread(private.replace, self._path, msgspec.json.encode(rows))
            except OSError as fault:
                log.warning("images for machines could not be noted", why=str(fault))

    def _noted(self) -> dict[str, ImageArchive]:
        try:
            with private.reading(self._path) as file:
                rows = msgspec.json.decode(file.read(MAX_NOTE), type=list[_NotedArchive])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as fault:
            log.warning("images noted for machines cannot be read", why=str(fault))
            return {}
        return {row.image: ImageArchive(Path(row.path), row.limits, row.reference) for row in rows}


def make_leases(config: Config, data: Path, hub: MachineHub) -> Leases:
    """Those of the operator's settings. Raises `MachineError`."""
    slurm, folder = config.slurm, data.absolute() / FOLDER
    address = slurm.address or config.cluster.listen
    if parse_endpoint(address)[0] in ("0.0.0.0", "::"):
        raise MachineError(
            f"The node listens for machines everywhere ({address}), and those of the cluster need one address at which they reach "
            "it. Say which: learningchain config set slurm.address HOST:PORT"
        )
    spool = Path(slurm.spool).absolute() if slurm.spool else folder / "leases"
    command = tuple(slurm.command) or (sys.executable, "-m", "learningchain")
    asked = SlurmTerms(command, slurm.partition, slurm.account, slurm.qos, slurm.constraint)
    offered = tuple(gpu.device for gpu in parse_gpus(config.work.gpus) if gpu.place)
    terms = LeaseTerms(spool, address, slurm.queue_max_s, config.sandbox.backend, config.sandbox.runtime, offered, slurm.cdi)
    return Leases(Slurm(asked), hub, folder / "leases.json", terms)
