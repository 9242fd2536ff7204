"""A federation whose programs are real: images of `examples.federation` in containers, the machines and the contract around them as
in `tests.federation_nodes`. Only the network between the nodes is left out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import messages
from learningchain.chain.contracts.federation.messages import FederationTerms, Secrecy
from learningchain.client.contracts.federation.wishes import SponsorWish, TrainWish
from learningchain.examples.federation.build import EXAMPLES, build, initial
from learningchain.examples.federation.federated import model_bytes
from learningchain.sandbox import ContainerLimits, Evaluated, OwnData, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.data import scan_folder
from tests.federation import scenario
from tests.federation_alone import FIRST_SEED, train_alone
from tests.federation_driver import real_terms
from tests.federation_nodes import FedNode, FedWorld, Problem, file_of

TRAIN_S = 60


class Room:
    """One example's image on an engine, and own data by name. At the end the sandbox's own clean-up takes all of it."""

    def __init__(self, sandbox: Sandbox, name: str, scratch: Path) -> None:
        self.sandbox, self.example, self.name, self.scratch = sandbox, EXAMPLES[name], name, scratch
        archive = scratch / "image.tar"
        self.image = sandbox.load_archive(archive, build(name, archive))
        archive.unlink()
        self.initial = model_bytes(initial(name))
        self.runs = 0

    def add(self, name: str, table: bytes) -> OwnData:
        folder = self.scratch / name
        folder.mkdir()
        (folder / "rows.csv").write_bytes(table)
        return self.sandbox.add_data(name, scan_folder(folder))

    def run(self, phase: str, model: bytes, **more: Any) -> RunResult:
        self.runs += 1
        path = self.scratch / f"model-{self.runs}"
        path.write_bytes(model)
        limits = ContainerLimits(cpus=1.0, mem_mb=self.example.mem_mb, pids=64, model_cap=1 << 20, tmp_mb=8, wall_s=2.0 * TRAIN_S)
        inputs = {"model": path, **more.pop("inputs", {})}
        spec = RunSpec(
            run_id=f"fed-{phase}-{os.urandom(4).hex()}",
            image_id=self.image,
            phase=phase,
            budget_s=TRAIN_S,
            params=self.example.params,
            limits=limits,
            inputs=inputs,
            **more,
        )
        try:
            return self.sandbox.run(spec)
        finally:
            path.unlink()

    def trained(self, model: bytes, data: OwnData, seed: int) -> bytes:
        """What `local` makes of it. AssertionError where the run fails."""
        found = self.run("local", model, seed=seed, inputs={"data": data})
        assert found.status is RunStatus.OK, (found.reason, found.log_tail)
        return found.outputs["model"].path.read_bytes()

    def losses(self, model: bytes) -> list[int]:
        found = self.run("evaluate", model)
        assert isinstance(found.result, Evaluated), (found.reason, found.log_tail)
        return list(found.result.losses)

    def loss(self, model: bytes) -> float:
        found = self.losses(model)
        return sum(found) / len(found) / 1e9


class RoomWorld(FedWorld):
    """`tables`: the data of each owner. Seats of the panel run `evaluate` each for itself, or share one run of each model."""

    def __init__(self, room: Room, tables: list[bytes], share: bool = False, **more: Any) -> None:
        self.room, self.tables = room, tables
        self.own: dict[bytes, OwnData] = {}
        self.seen: dict[Path, list[int]] | None = {} if share else None
        super().__init__(len(tables), **more)

    def _terms(self, dims: int, more: dict[str, Any]) -> tuple[FederationTerms, Path]:
        made = self.store.write([self.room.initial])
        dims = (len(self.room.initial) - 8 - int.from_bytes(self.room.initial[:8], "little")) // 4
        terms = scenario.Terms(
            bounty=10**6, fee=1_000, target=0, rounds=12, round_ms=30_000, ends=self.ledger.clock + 5 * 86_400_000
        )
        played = replace(real_terms(terms, made.cid), dims=dims, size=made.size, admit_open=True)
        # Below 1,024 parameters a sum says too much of each update, and updates are open (LC-FED-10).
        secrecy = Secrecy.SUM if dims >= 1_024 else Secrecy.OPEN
        return replace(played, clip=round(self.room.example.clip * 1e9), secrecy=secrecy, **more), made.path

    def _begin(self, problem: Problem) -> None:
        self.submit(self.sponsor, messages.OpenFederation(self.terms))
        for one in self.verifiers:
            self.submit(one, messages.ServeFederation(True))
        for n, (one, table) in enumerate(zip(self.owners, self.tables, strict=True)):
            self.own[one] = self.room.add(f"owner-{n}-{self.federation.hex()[:8]}-{os.urandom(2).hex()}", table)
            self.nodes[one].owned = self.own[one]
            self.submit(one, self.joins(one, self.federation))
        self.block()
        self.nodes[self.sponsor].wish(SponsorWish(self.federation, str(self.initial), b"", "", True))
        for one in self.owners:
            self.nodes[one].wish(TrainWish(self.federation, "own", 2))

    def trained(self, node: FedNode, spec: RunSpec) -> bytes:
        return self.room.trained(bytes(self.store.read(file_of(spec, "model"))), self.own[node.me], spec.seed or 0)

    def measured(self, spec: RunSpec) -> list[int]:
        path = file_of(spec, "model")
        if self.seen is None:
            return self.room.losses(bytes(self.store.read(path)))
        if path not in self.seen:
            self.seen[path] = self.room.losses(bytes(self.store.read(path)))
        return self.seen[path]

    def best(self) -> bytes:
        """The best model."""
        return next(content for path, content in self.store.files.items() if path.name == self.now.best_model.hex())

    def alone(self, rounds: int) -> list[float]:
        """The best loss that each owner comes to by itself, with as many trainings as the federation had. The program of the image
        runs in one process, and makes what it makes in a container. AssertionError where it does not."""
        paths = [self.room.scratch / f"alone-{n}" for n in range(len(self.tables))]
        for path, table in zip(paths, self.tables, strict=True):
            path.write_bytes(table)
        found, first = train_alone(self.room.name, paths, rounds)
        same = self.room.trained(self.room.initial, self.own[self.owners[0]], FIRST_SEED)
        assert hashlib.sha256(same).hexdigest() == first
        return found
