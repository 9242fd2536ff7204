"""Whole nodes in virtual time: what `WorkDriver` makes, with the slices of every contract, on one real ledger.

`Network` has the chain, and its nodes reach each other by files and by messages of channels. A node's containers are played
(`Containers`): what a program does is a function, and how long it takes goes by the loop's clock.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from learningchain.chain.contracts.federation import messages, records
from learningchain.chain.contracts.federation.messages import Secrecy
from learningchain.chain.contracts.federation.records import FederationRecord, FederationState, RoundRecord
from learningchain.chain.contracts.prediction import records as prediction_records
from learningchain.chain.contracts.prediction.formulas import least_stake
from learningchain.chain.contracts.prediction.messages import ServeModel, inline_cid, model_id_of, request_id_of
from learningchain.chain.contracts.prediction.records import RequestRecord
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Image, ImageKind
from learningchain.chain.losses import LossTree
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.arithmetic.vault import of_secret
from learningchain.client.contracts.federation.settings import FederationSettings
from learningchain.client.contracts.federation.wishes import SponsorWish, TrainWish, of_wish
from learningchain.client.contracts.prediction.roles.private import encrypted, of_key
from learningchain.client.work import WorkDriver
from learningchain.client.work.artifacts import cid_of_file
from learningchain.client.work.machine import Recalled
from learningchain.p2p.content.cid import parse
from learningchain.sandbox import AsyncWarmRun, Evaluated, OutputFile, OwnData, RunResult, RunSpec, RunStatus
from learningchain.sandbox.results import ResultReader
from tests.federation.scenario import Terms
from tests.federation_driver import real_terms
from tests.federation_nodes import Problem, descend, losses_of, model_file, values_in
from tests.unit.prediction_kit import asking, program, registration
from tests.unit.work_kit import PARAMS, Chain, FakeEngine, Node, Web, blocks, key_of, working

Program = Callable[["Containers", RunSpec], RunResult]
"""What a container of an image comes to."""
DIMS = 96


class Containers(FakeEngine):
    """`programs`: by image id; images of others are those of jobs, as `FakeEngine` plays them."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.programs: dict[str, Program] = {}
        self.own: dict[str, OwnData] = {}
        self.start_s = 0.5
        self.waiting: set[WarmContainer] = set()
        """Containers of served models that have had no request."""
        self.examples: Any = None
        """What the owner's data are: features and targets."""

    async def own_data(self) -> list[OwnData]:
        return list(self.own.values())

    def _outcome(self, spec: RunSpec) -> RunResult:
        program = self.programs.get(spec.image_id)
        forced = self.end(spec)
        if program is None or forced is not None:
            return super()._outcome(spec)
        return program(self, spec)

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult:
        """A container of a served model, which answers one request."""
        assert spec.image_id in self.images
        await asyncio.sleep(self.start_s)
        return WarmContainer(self)

    def left_behind(self, spec: RunSpec, content: bytes) -> RunResult:
        """A run that leaves a model."""
        path = self._folder / f"{spec.run_id}.model"
        path.write_bytes(content)
        return RunResult(status=RunStatus.OK, reason="done", outputs={"model": OutputFile(path, len(content), b"")})


class WarmContainer:
    """Its model says of a row the number that the row is."""

    def __init__(self, engine: Containers) -> None:
        self._engine = engine
        engine.waiting.add(self)

    async def alive(self) -> bool:
        return self in self._engine.waiting

    async def finish(
        self, late: Mapping[str, Path | bytes], *, wall_s: float, read: Callable[[], ResultReader], cancel: threading.Event
    ) -> RunResult:
        self._engine.waiting.discard(self)
        await asyncio.sleep(0.1)
        rows = late["input"]
        assert isinstance(rows, bytes)
        reader = read()
        reader.take(b"".join(b"%d\n" % int(row) for row in rows.split()) + b"check %d\n" % sum(map(int, rows.split())))
        return RunResult(status=RunStatus.OK, reason="done", result=reader.finish())

    async def close(self) -> None:
        self._engine.waiting.discard(self)


class InPlace:
    """Does tasks (`Compute`) on the loop, at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def perform(self, module: str, task: Any) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        return importlib.import_module(module).perform_in(task, self._folder)

    def close(self) -> None: ...


class WholeNode(Node):
    def __init__(self, network: Network, name: str, folder: Path, config: WorkConfig, seed: int) -> None:
        super().__init__(network.chain, network.web, name, folder, config, seed)
        self.network, self.key = network, key_of(name)
        self.engine: Containers = Containers(folder / "sandbox" / "out", self.rng)

    async def start(self, **more: Any) -> WorkDriver:
        return await super().start(
            sign=self.key.sign,
            derive=of_secret(self.key.secret),
            send=lambda to, channel, payload: self.network.send(self.ledger.own_id, to, channel, payload),
            computing=InPlace(self.folder / "work" / "made"),
            **more,
        )

    @property
    def running(self) -> WorkDriver:
        assert self.work is not None
        return self.work


class Network:
    """`validators` judge, train for bounties and add up for federations; `boss` and `mia` are members."""

    def __init__(self, tmp: Path, validators: Iterable[str] = "abcd", params: Any = PARAMS, attempts: int = 1) -> None:
        self.tmp, self.web = tmp, Web()
        self.chain = Chain([*validators], ["boss", "mia"], params)
        config = working(attempts=attempts, federation=FederationSettings(serve=True, min_verifiers=2))
        self.nodes = {name: WholeNode(self, name, tmp / name, config, 0) for name in (*validators, "boss", "mia")}

    def send(self, sender: bytes, to: bytes, channel: int, payload: bytes) -> bool:
        node = self.nodes[self.chain.names[to]]
        if node.work is None:
            return False
        asyncio.get_running_loop().call_soon(node.work.on_message, sender, channel, payload)
        return True

    async def start(self, *names: str) -> None:
        for name in names or self.nodes:
            await self.nodes[name].start()

    async def stop(self) -> None:
        for node in self.nodes.values():
            if node.work is not None:
                await node.work.stop()

    async def until(self, done: Callable[[], bool], within_s: float, every_s: float = 1.0) -> None:
        await blocks(self.chain, done, within_s, every_s)

    async def settle(self) -> None:
        """Until every node has said what it says by itself: its box key, its capacity, that it adds up."""
        said = -1
        while said < len(self.chain.sent):
            said = len(self.chain.sent)
            await self.minutes(0.5)

    async def minutes(self, count: float) -> None:
        end = asyncio.get_running_loop().time() + count * 60
        await self.until(lambda: asyncio.get_running_loop().time() >= end, count * 120, 10.0)

    async def publish(self, name: str) -> tuple[str, int]:
        """A file of boss with this text: its CID and its size."""
        path = self.tmp / name
        path.write_bytes(name.encode())
        return await self.nodes["boss"].files.add(path, pin="posted")

    async def image(self, name: str) -> Image:
        cid, size = await self.publish(name)
        return Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), sha256(name.encode()), size)

    # --- models ------------------------------------------------------------------------------------------------------------------

    async def serve(self, servers: Iterable[str]) -> bytes:
        """A model of boss that these serve."""
        image, (cid, size) = await self.image("served image"), await self.publish("served model")
        tx = self.chain.offer("boss", [registration(program=[program(image=image, model=parse(cid).to_bytes(), size=size)])])
        self.chain.block()
        assert self.chain.results[tx].code == 0
        model = model_id_of(tx, 0)
        for name in servers:
            assert self.chain.now(name, ServeModel(model, least_stake(self.param("pred_stake"), 100))) == 0
        return model

    async def ask(self, model: bytes, rows: bytes, answers: int) -> tuple[bytes, bytes]:
        """Boss asks privately: the request, and its key."""
        node = self.nodes["boss"]
        key = node.rng.randbytes(32)
        file = encrypted(rows, key, node.rng.randbytes)
        await node.running.stores.secrets.keep(of_key(key))
        op = asking(model, cid=inline_cid(file), size=len(file), inline=file, rows=len(rows.split()), answers=answers)
        tx = self.chain.offer("boss", [replace(op, key_hash=[sha256(key)])])
        self.chain.block()
        assert self.chain.results[tx].code == 0
        return request_id_of(tx, 0), key

    def request(self, ref: bytes) -> RequestRecord:
        found = self.chain.state.get(prediction_records.request_key(ref))
        assert isinstance(found, RequestRecord)
        return found

    def seats(self, request: bytes, round_: int) -> list[str]:
        return [self.chain.names[one] for drawn in self.request(request).rounds if drawn.round == round_ for one in drawn.seats]

    def param(self, name: str) -> int:
        return int(getattr(self.chain.params, name))

    # --- federations -------------------------------------------------------------------------------------------------------------

    def round(self, ref: bytes, r: int) -> RoundRecord | None:
        found = self.chain.state.get(records.round_key(ref, r))
        return found if isinstance(found, RoundRecord) else None

    async def federate(self, owners: Iterable[str], begins: float = 0.0, **terms: Any) -> bytes:
        """A federation of linear regression that boss opened and whose owners joined. `begins`: each value of its first model: no
        owner trains a second time on the very same one."""
        problem = Problem(DIMS)
        tested = problem.draw(64)
        initial = self.tmp / f"initial {begins}"
        first_values = np.full(DIMS, begins, np.float32)
        initial.write_bytes(model_file(first_values))
        image = await self.image("federated image")

        def played(engine: Containers, spec: RunSpec) -> RunResult:
            model = spec.inputs["model"]
            assert isinstance(model, Path)
            values = values_in(model.read_bytes())
            if spec.phase == "local":
                return engine.left_behind(spec, model_file(descend(values, engine.examples)))
            tree = LossTree(losses_of(values, tested))
            return RunResult(status=RunStatus.OK, reason="done", result=Evaluated(tree.measurement, tree.losses))

        for node in self.nodes.values():
            node.engine.programs[f"sha256:{image.image_id.hex()}"] = played
        cid, _ = cid_of_file(initial)
        first = LossTree(losses_of(first_values, tested)).measurement.mean
        ends = self.chain.clock + 5 * 86_400_000
        usual = Terms(bounty=10**6, fee=1_000, target=first // 4, rounds=12, round_ms=30_000, ends=ends)
        more = {"image": image, "dims": DIMS, "size": initial.stat().st_size, "admit_open": True, "clip": 5 * 10**8}
        posted = replace(real_terms(usual, cid.to_bytes()), secrecy=Secrecy.OPEN, **more | terms)
        opened = self.chain.offer("boss", [messages.OpenFederation(posted)])
        self.chain.block()
        assert self.chain.results[opened].code == 0
        federation = messages.federation_id_of(opened, 0)
        wish = SponsorWish(federation, str(initial), b"", "", True)
        await self.nodes["boss"].running.stores.secrets.keep(of_wish(wish, bytes(16)))
        for name in owners:
            node = self.nodes[name]
            own = node.engine.own["scans"] = OwnData(name="scans", digest=sha256(name.encode()), size=100, files=1)
            node.engine.examples = problem.draw(50)
            joined = messages.JoinFederation(federation, published_digest(federation, own.digest), 0)
            assert self.chain.now(name, joined) == 0
            await node.running.stores.secrets.keep(of_wish(TrainWish(federation, "scans", 2 if posted.vetted else 0), bytes(16)))
        return federation

    def federation(self, ref: bytes) -> FederationRecord:
        found = self.chain.state.get(records.federation_key(ref))
        assert isinstance(found, FederationRecord)
        return found

    def has_ended(self, ref: bytes) -> bool:
        """And is still in the state."""
        found = self.chain.state.get(records.federation_key(ref))
        return isinstance(found, FederationRecord) and found.state == FederationState.END


def holdings(node: WholeNode) -> dict[str, int]:
    """How much each collection of the node's driver and of its machines has, each table of its database, each folder of its work:
    whatever is not empty."""
    work = node.running
    seen = {id(work._ledger), id(work._files), id(work.engine)}
    found = _collections(work, "driver", seen)
    for name, part in work._parts.items():
        found |= _collections(part.machine, name, seen)
    db = work._stores.database._db
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        found[f"table {table}"] = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    for path in (node.folder / "work").rglob("*"):
        if path.is_file() and path.parent != node.folder / "work":
            where = f"folder {path.relative_to(node.folder / 'work').parts[0]}"
            found[where] = found.get(where, 0) + 1
    return {name: count for name, count in found.items() if count}


def _collections(one: Any, name: str, seen: set[int]) -> dict[str, int]:
    if id(one) in seen or isinstance(one, Recalled):
        return {}
    seen.add(id(one))
    if isinstance(one, (dict, set, frozenset, list, deque)):
        return {name: len(one)}
    if not type(one).__module__.startswith("learningchain.client") or not hasattr(one, "__dict__"):
        return {}
    found: dict[str, int] = {}
    for key, value in vars(one).items():
        found |= _collections(value, f"{name}.{key.strip('_')}", seen)
    return found


def left(now: dict[str, int], before: dict[str, int], stays: Collection[str]) -> set[str]:
    """What has more than before, and should not."""
    return {what for what, count in now.items() if count > before.get(what, 0)} - set(stays)
