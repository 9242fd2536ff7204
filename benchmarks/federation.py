"""What a round of federated training costs beside programs and sandbox, with five owners: its arithmetic task by task, and in turns
with it a round of Flower's gRPC server and clients on this machine.

    member       x of two models, masks, boxes: the update file                                 make
    aggregator   boxes of five files, sketches of two masks, the Screen, sums of two masks,     open, sketch, screen, masks, sum
                 and the next model
    ledger       the blocks from StartRound to the settled measurement                          blocks
    loop         the longest step that a machine takes on the event loop                        step

Owners work at the same time on machines of their own, and so do the aggregators: a round takes what one of each takes, and its
blocks. Tasks run beside the loop, in a process of their own.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import flower
from benchmarks.peers.base import Unavailable
from learningchain.client.contracts.federation import tasks
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.roles.computing import perform
from learningchain.client.contracts.federation.tasks import MadeFile
from learningchain.client.keys.boxes import public_of
from learningchain.examples.federation.federated import model_bytes

OWNERS, AGGREGATORS = 5, 3
CLIP = 10**9
SMALL, LARGE = 100_000, 1_000_000
PLACE = AttemptPlace(bytes(32), b"f" * 32, 3, 7)
BEACON = b"b" * 32


@dataclass(frozen=True)
class Parts:
    """Milliseconds, medians; `total` is the median of whole rounds' sums. Bytes of one owner in one round."""

    make: float
    open: float
    sketch: float
    screen: float
    masks: float
    sum: float
    total: float
    cpu: float
    """Of `total`, processor time: that of a machine which nobody else uses."""
    owner_sends: int
    """Its update file, to each aggregator."""
    owner_gets: int
    """The next model, where the last one is at hand."""


@dataclass(frozen=True)
class Rounds:
    """Rounds of one size. `flower_ms`: none where Flower is left out; `to_flower`: median of the ratios of neighbours, `sum`."""

    dims: int
    sum: Parts
    open: Parts
    flower_ms: float | None
    flower_bytes: int
    """That a client of Flower sends, and as many it gets."""
    to_flower: float | None


@dataclass(frozen=True)
class Federation:
    small: Rounds
    large: Rounds
    flower_left_out: str
    blocks: int
    """Of one round, in a federation in memory where every answer is in the next block."""
    step_ms: float
    """Processor time of the longest step of any machine on its event loop, in whole rounds with five owners."""
    load: float


class Desk:
    """Files in memory, named as the content store names them."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes:
        return self.files[path]

    def lay(self, pieces: Iterable[bytes]) -> bytes:
        return b"".join(pieces)

    def write(self, pieces: Iterable[bytes]) -> MadeFile:
        content = b"".join(pieces)
        digest = sha256(content).digest()
        path = Path(digest.hex())
        self.files[path] = content
        return MadeFile(path, b"\x01\x55\x12\x20" + digest, len(content))


class Round:
    """The tasks of one round, as member and aggregator are asked for them."""

    def __init__(self, dims: int, secret: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.dims, self.secret, self.desk = dims, secret, Desk()
        start = rng.normal(0, 0.1, dims).astype(np.float32)
        self.base = self._model(start)
        self.locals = [self._model(start + rng.normal(0.001, 0.01, dims).astype(np.float32)) for _ in range(OWNERS)]
        self.members = [bytes([n]) * 20 for n in range(OWNERS)]
        self.privates = [bytes([n + 1]) * 32 for n in range(AGGREGATORS)]

    def _model(self, values: Any) -> MadeFile:
        return self.desk.write([model_bytes({"w": values})])

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        began, used = time.perf_counter(), time.process_time()
        found = work()
        self.used.append(1_000 * (time.process_time() - used))
        return found, 1_000 * (time.perf_counter() - began)

    def _do(self, task: tasks.FederationTask) -> Any:
        return perform(task, self.desk, os.urandom)

    def play(self) -> dict[str, float]:
        """Milliseconds of each part, of one member and one aggregator. RuntimeError where the round does not use all updates."""
        spent: dict[str, float] = {}
        self.used: list[float] = []
        keys = tuple(map(public_of, self.privates))
        made = [self._timed(partial(self._make, n, keys)) for n in range(OWNERS)]
        files, spent["make"] = [file.path for file, _ in made], statistics.median(ms for _, ms in made)
        opened, spent["open"] = self._timed(lambda: [self._open(n, file, 1) for n, file in enumerate(files)])
        # What the first aggregator does not know it fetches: the second one knows masks 1 and 3.
        others = [self._open(n, file, 2) for n, file in enumerate(files)]
        seeds = [{**dict(mine.seeds), **dict(theirs.seeds)} for mine, theirs in zip(opened, others, strict=True)]
        mine: tuple[int, ...] = (2, 3) if self.secret else (1,)
        (_, spent["sketch"]), parts = self._timed(lambda: self._sketch(seeds, mine)), self._sketch(seeds, (1, 2, 3))
        found, spent["screen"] = self._timed(lambda: self._screen(files, parts))
        if set(found.codes) != {1}:
            raise RuntimeError(f"an honest update was not used: {found.codes}")
        (_, spent["masks"]), sums = self._timed(lambda: self._masks(seeds, mine)), self._masks(seeds, (1, 2, 3))
        result, spent["sum"] = self._timed(lambda: self._sum(files, sums))
        if result is None:
            raise RuntimeError("the next model is not finite")
        self.sends = AGGREGATORS * len(self.desk.files[files[0]])
        self.gets = result[0].size
        makes, rest = self.used[:OWNERS], self.used[OWNERS:]
        return spent | {"total": sum(spent.values()), "cpu": statistics.median(makes) + sum(rest)}

    def _make(self, n: int, keys: tuple[bytes, ...]) -> MadeFile:
        base, local = self.base, self.locals[n].path
        task = tasks.MakeUpdate(PLACE, self.members[n], base.path, local, self.dims, base.size, keys, CLIP, self.secret)
        found: MadeFile = self._do(task)
        return found

    def _open(self, n: int, file: Path, position: int) -> tasks.OpenedUpdate:
        private = self.privates[position - 1]
        task = tasks.OpenUpdate(PLACE, self.members[n], file, self.dims, position, private, self.secret, AGGREGATORS)
        found: tasks.OpenedUpdate = self._do(task)
        if found.answer != "FETCHED":
            raise RuntimeError(f"an update cannot be opened: {found.answer}")
        return found

    def _sketch(self, seeds: list[dict[int, bytes]], masks: tuple[int, ...]) -> tuple[Path, ...]:
        wanted = tuple(tuple(one.get(mask, b"") for one in seeds) for mask in masks)
        return tuple(made.path for made in self._do(tasks.SketchMasks(PLACE, BEACON, self.dims, wanted, OWNERS, None)))

    def _screen(self, files: list[Path], parts: tuple[Path, ...]) -> Any:
        return self._do(tasks.ScreenFiles(PLACE, BEACON, self.dims, tuple(files), parts, (), None, False, False))

    def _masks(self, seeds: list[dict[int, bytes]], masks: tuple[int, ...]) -> tuple[Path, ...]:
        wanted = tuple((mask, tuple(one[mask] for one in seeds if mask in one)) for mask in masks)
        return tuple(made.path for made in self._do(tasks.SumMasks(PLACE, self.dims, wanted, 0)))

    def _sum(self, files: list[Path], sums: tuple[Path, ...]) -> Any:
        task = tasks.SumFiles(self.dims, self.base.size, self.base.path, tuple(files), sums, (), "mean", CLIP)
        return self._do(task)


def federation(turns: int, python: Callable[[], str]) -> Federation:
    """`python`: the interpreter of Flower's environment, or Unavailable. In a process of its own."""
    load, left_out = os.getloadavg()[0], ""
    try:
        program = python()
    except Unavailable as problem:
        program, left_out = "", str(problem)
    found = []
    for dims in (SMALL, LARGE):
        with ExitStack() as stack:
            try:
                peer = stack.enter_context(flower.running(program, OWNERS, dims, turns + 2)) if program else None
                found.append(_rounds(dims, turns, peer))
            except Unavailable as problem:
                program, left_out = "", str(problem)
                found.append(_rounds(dims, turns, None))
    blocks, step_ms = _on_the_ledger()
    return Federation(found[0], found[1], left_out, blocks, step_ms, load)


def _rounds(dims: int, turns: int, peer: flower.Flower | None) -> Rounds:
    """Each turn is a round of both kinds and one of Flower's; the first two are not counted."""
    kinds = {name: Round(dims, name == "sum", 1) for name in ("sum", "open")}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    flowers = []
    for _ in range(turns + 2):
        for name, one in kinds.items():
            seen[name].append(one.play())
        flowers += [peer.round()] if peer else []
    ratios = [mine["total"] / theirs for mine, theirs in zip(seen["sum"][2:], flowers[2:], strict=False)]
    parts = {}
    for name, one in kinds.items():
        medians = {part: statistics.median(turn[part] for turn in seen[name][2:]) for part in seen[name][0]}
        parts[name] = Parts(**medians, owner_sends=one.sends, owner_gets=one.gets)
    theirs = statistics.median(flowers[2:]) if flowers else None
    return Rounds(dims, parts["sum"], parts["open"], theirs, 4 * dims, statistics.median(ratios) if ratios else None)


def _on_the_ledger() -> tuple[int, float]:
    """Blocks of a round, and the longest step of a machine, of a federation of the machines themselves."""
    from learningchain.client.contracts.federation.roles.role import FederationRole
    from tests.federation_nodes import FedWorld

    longest, plain = 0.0, FederationRole.handle

    def timed(self: FederationRole, given: Any) -> Any:
        nonlocal longest
        began = time.thread_time()
        found = plain(self, given)
        longest = max(longest, time.thread_time() - began)
        return found

    FederationRole.handle = timed  # type: ignore[method-assign]
    try:
        world = FedWorld(owners=OWNERS, verifiers=AGGREGATORS + OWNERS)
        world.run(lambda: world.now.r == 2)
        blocks = world.run(lambda: world.now.r == 3)
    finally:
        FederationRole.handle = plain  # type: ignore[method-assign]
    return blocks, 1_000 * longest
