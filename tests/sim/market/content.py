"""Files of the simulated market: who holds what, who serves it to whom, and how it comes over the faulty network.

`Web` is what exists at all, `Files` what one machine has on its disk (`client.node.interface.Files`). A request goes to every
connected machine and to every outsider whose gateway is reachable, the answer comes back the same way; both may be lost. What comes
is checked against its name. A file is one raw block: its name is the hash of its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learningchain.chain.types import cid_text
from learningchain.client.node.interface import MayHave
from learningchain.client.node.sharing import Sharing
from learningchain.p2p.content.cid import parse
from learningchain.p2p.content.faults import FetchFailed, Reason

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.market.engine import Program
    from tests.sim.market.graph import MarketWorld

ASK_S = 0.4
"""How long one round of questions waits for an answer."""
HEAD = b"\x01\x55\x12\x20"

Serve = Callable[[int, str], bytes | None]
"""(number of the asking machine, name) -> what an outsider sends, None for nothing."""


def cid_of(data: bytes) -> bytes:
    return HEAD + hashlib.sha256(data).digest()


class Web:
    def __init__(self, world: MarketWorld) -> None:
        self.world = world
        self.known: dict[bytes, bytes] = {}
        """Everything that was ever made, by its binary name: what checkers measure themselves."""
        self.machines: dict[int, Files] = {}
        self.outsiders: list[tuple[int, Serve]] = []
        """(gateway machine, what it serves)"""
        self.programs: dict[str, Program] = {}
        """What lying images do, by the name in their reference."""

    def made(self, data: bytes) -> bytes:
        cid = cid_of(data)
        self.known[cid] = data
        return cid


class Files:
    """`client.node.interface.Files` of one machine: pinned files are served while it is up, by the node's own rules."""

    def __init__(self, web: Web, machine: Machine, folder: Path) -> None:
        self._web, self._machine, self._folder = web, machine, folder
        folder.mkdir(parents=True)
        self.held: dict[str, Path] = {}
        self.pins: dict[str, set[str]] = {}
        self._sharing = Sharing()
        self._answers: dict[str, list[asyncio.Future[bytes]]] = {}
        self.fetched = 0
        web.machines[machine.index] = self

    def lost_power(self) -> None:
        self._answers.clear()
        self._sharing = Sharing()

    def put(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        self.held[name] = path
        return path

    def served(self, name: str, peer: bytes) -> bytes | None:
        given = name in self.held and self._sharing.may_have(peer, name, self.pins.get(name, ()))
        return self.held[name].read_bytes() if given else None

    # client.node.interface.Files

    def pinned(self, reason: str) -> list[tuple[str, int, str]]:
        held = [(cid, why) for cid, reasons in self.pins.items() if cid in self.held for why in sorted(reasons)]
        found = [(cid, why) for cid, why in held if why == reason or why.startswith(f"{reason}:")]
        return [(cid, self.held[cid].stat().st_size, why) for cid, why in found]

    def room(self) -> tuple[int, int]:
        return 2**40, 2**40

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        data = path.read_bytes()
        name = cid_text(cid_of(data))
        await asyncio.sleep(0.001 * self._machine.rng.randint(0, 20))
        self.put(name, data)
        self.pin(name, pin)
        return name, len(data)

    def has(self, cid: str) -> bool:
        return cid in self.held

    async def fetch(self, cid: str, *, max_size: int, timeout_s: float, on_progress: Any = None) -> Path:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while cid not in self.held:
            left = end - loop.time()
            if left <= 0:
                raise FetchFailed(parse(cid), Reason.NOBODY, "nobody serves it")
            answer: asyncio.Future[bytes] = loop.create_future()
            self._answers.setdefault(cid, []).append(answer)
            self._ask(cid)
            try:
                data = await asyncio.wait_for(answer, min(left, ASK_S))
            except TimeoutError:
                continue
            self.fetched += 1
            self.put(cid, data)
        if self.held[cid].stat().st_size > max_size:
            raise FetchFailed(parse(cid), Reason.TOO_LARGE, "too large")
        return self.held[cid]

    def pin(self, cid: str, reason: str) -> None:
        self.pins.setdefault(cid, set()).add(reason)

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        return [None for _ in cids]

    def pin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.pin(cid, reason)

    def unpin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.unpin(cid, reason)

    def allow(self, cid: str, peers: Collection[bytes]) -> None:
        self._sharing.name(cid, peers)

    def share_by(self, may_have: MayHave) -> None:
        self._sharing.may_have_by_contract = may_have

    def unpin(self, cid: str, reason: str) -> None:
        self.pins.get(cid, set()).discard(reason)

    # the network

    def _ask(self, name: str) -> None:
        world, me = self._web.world, self._machine.index
        for peer in sorted(self._machine.peers):
            world.carry(me, peer, partial(self._asked, peer, name))
        for gateway, serve in self._web.outsiders:
            if gateway == me:
                self._machine.after(1, partial(self._arrived, name, serve(me, name)))
            else:
                world.carry(me, gateway, partial(self._outside, gateway, serve, name))

    def _asked(self, peer: int, name: str) -> None:
        world = self._web.world
        files = self._web.machines.get(peer)  # a Byzantine machine has none
        if files is not None and world.machines[peer].up and (data := files.served(name, self._machine.id)) is not None:
            world.carry(peer, self._machine.index, partial(self._arrived, name, data))

    def _outside(self, gateway: int, serve: Serve, name: str) -> None:
        data = serve(self._machine.index, name)
        if data is not None and self._web.world.machines[gateway].up:
            self._web.world.carry(gateway, self._machine.index, partial(self._arrived, name, data))

    def _arrived(self, name: str, data: bytes | None) -> None:
        if data is None or not self._machine.up or cid_text(cid_of(data)) != name:
            return
        for answer in self._answers.pop(name, []):
            if not answer.done():
                answer.set_result(data)
