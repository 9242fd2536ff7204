"""The lasting graph: one real ledger whose blocks come when there is something for them, and nodes in virtual time.

An idle graph makes a block each ten minutes, so a month takes minutes of a processor. Nodes look at the clock once a second where a
deadline is near, and else each minute: a look costs what it costs, and nothing that the looks between would see changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.crypto import account_id, sha256
from learningchain.chain.host.terms import HiddenSet, Image, ImageKind
from learningchain.chain.ledger.transition import chain_record, clock_at
from learningchain.chain.node.events import Decided
from learningchain.chain.types import Event
from learningchain.client.contracts.federation.roles import cleanup
from learningchain.client.contracts.federation.settings import FederationSettings
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.keys import hidden
from learningchain.client.work import database, engine_watch, runner, warm_pool
from learningchain.p2p.content.cid import parse
from tests.sim.lasting.checks import Checks
from tests.sim.lasting.machines import LastingNode, now_s
from tests.unit.composed_kit import Network
from tests.unit.work_kit import CAPACITY, PARAMS, START_MS, Chain, Web, hidden_set, key_of, posting, working

BEAT_S = 600.0
BLOCK_S = 1.0
NEAR_MS = 20_000
IDLE_S = 60.0
HOUR_MS = 3_600_000


@contextmanager
def idle_looks() -> Iterator[None]:
    """Nodes look by themselves each minute: `Lasting` wakes them each second where that decides anything. What they keep for
    one month or two they keep for two days: its size stands still after a week. Nothing takes processor time in virtual time."""
    with (
        mock.patch.object(database, "KEEP_MS", 48 * HOUR_MS),
        mock.patch.object(cleanup, "KEEP_MS", 48 * HOUR_MS),
        mock.patch.object(runner, "TICK_S", IDLE_S),
        mock.patch.object(runner, "spent", lambda: (0.0, now_s())),
        mock.patch.object(warm_pool, "TICK_S", IDLE_S),
        mock.patch.object(engine_watch, "LOOK_S", 20 * IDLE_S),
    ):
        yield


class LastingChain(Chain):
    """Its time is the loop's."""

    def __init__(self, *args: Any) -> None:
        self._last = 0
        self.asked = asyncio.Event()
        self.told: Callable[[Iterable[Event]], None] = lambda _: None
        super().__init__(*args)

    @property  # type: ignore[override]
    def time(self) -> int:
        return max(self._last, START_MS + int(1_000 * now_s()))

    @time.setter
    def time(self, at: int) -> None:
        self._last = max(self._last, at)

    def offer(self, name: str, ops: list[Any], lane: int = 1) -> bytes:
        tx = super().offer(name, ops, lane)
        self.asked.set()
        return tx

    def block(self, step_ms: int = 1_000) -> Decided:
        made = super().block(step_ms)
        self.told([event for receipt in made.receipts for event in receipt.events])
        return made

    def due_in_ms(self) -> int | None:
        """Until the next deadline by the wall clock, 0 where one waits for a block alone; None where there is none."""
        if self.state.waits_for_height():
            return 0
        due = self.state.earliest_due()
        return None if due is None else max(0, due - clock_at(chain_record(self.state), self.time, self.params))


class Lasting(Network):
    """`validators` judge, train for bounties and add up for federations; members train; boss posts, asks and opens federations."""

    nodes: dict[str, LastingNode]  # type: ignore[assignment]
    chain: LastingChain

    def __init__(self, tmp: Path, validators: str, members: list[str], params: Any = PARAMS) -> None:
        self.tmp, self.web = tmp, Web()
        self.sizes: dict[str, int] = {}
        """Of files that are said to be larger than they are, by CID."""
        self.takes: dict[tuple[str, str], float] = {}
        self._sealed: dict[str, bytes] = {}
        self.chain = LastingChain([*validators], [*members, "boss"], params, CAPACITY)
        self.nodes = {name: self._node(name) for name in (*validators, *members, "boss")}
        self._tasks: list[asyncio.Task[None]] = []
        self.checks = Checks(self)
        self.chain.told = self.checks.heard

    def _node(self, name: str) -> LastingNode:
        config = working(attempts=1, concurrent=2, serve_won_days=1, federation=FederationSettings(serve=True, min_verifiers=2))
        return LastingNode(self, name, self.tmp / name, config, 0)

    async def add(self, name: str) -> None:
        """The node of somebody who is a member by now."""
        identity = account_id(key_of(name).public)
        self.chain.names[identity], self.chain.ids[name] = name, identity
        self.nodes[name] = self._node(name)
        await self.nodes[name].start()

    # --- time ----------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._tasks = [asyncio.create_task(self._make_blocks()), asyncio.create_task(self._wake_where_it_matters())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await super().stop()

    async def _make_blocks(self) -> None:
        chain = self.chain
        while True:
            due = chain.due_in_ms()
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S if due is None else min(BEAT_S, due / 1_000)):
                    await chain.asked.wait()
            await asyncio.sleep(BLOCK_S)
            chain.asked.clear()
            chain.block()

    async def _wake_where_it_matters(self) -> None:
        while True:
            due = self.chain.due_in_ms()
            if due is not None and due < NEAR_MS:
                for node in self.nodes.values():
                    if node.work is not None:
                        node.work._wake.set()
            await asyncio.sleep(1.0)

    async def until(self, done: Any, within_s: float, every_s: float = 1.0) -> None:
        end = now_s() + within_s
        while not done():
            assert now_s() < end, "it did not happen in time"
            await asyncio.sleep(every_s)

    async def minutes(self, count: float) -> None:
        await asyncio.sleep(60 * count)

    # --- what boss posts -----------------------------------------------------------------------------------------------------

    async def lasting_image(self, name: str, mib: int, **takes: float) -> Image:
        """An image of so many MiB whose runs take so long, by phase."""
        cid, _ = await self.publish(name)
        image = Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), sha256(name.encode()), mib << 20)
        self.sizes[cid] = mib << 20
        self.takes |= {(f"sha256:{image.image_id.hex()}", phase): seconds for phase, seconds in takes.items()}
        return image

    async def post(self, **terms: Any) -> bytes:
        """A job of boss."""
        tx = self.chain.offer("boss", [posting(terms.pop("expiry"), **terms)])
        await self.until(lambda: tx in self.chain.results, 60)
        assert self.chain.results[tx].code == 0, self.chain.results[tx]
        return messages.job_id_of(tx, 0)

    def rests(self, name: str) -> bool:
        """Whether its flag rests."""
        member = self.chain.state.get(member_key(self.chain.ids[name]))
        return isinstance(member, Member) and self.chain.clock < member.rests_until

    def unpublish(self, name: str) -> None:
        """Boss gives up the image and the hidden data of a job."""
        boss, given = self.nodes["boss"].files, {"posted": name.encode(), "hidden": self._sealed.pop(name, b"")}
        for reason, data in given.items():
            for cid in [cid for cid, why in boss.pins.items() if reason in why and boss.held[cid].read_bytes() == data]:
                boss.unpin(cid, reason)

    async def hide(self, name: str, loss: str) -> HiddenSet:
        """Hidden data that add this to each loss."""
        boss, secret = self.nodes["boss"], sha256(name.encode())
        plain, sealed = self.tmp / f"{name}.plain", self.tmp / f"{name}.sealed"
        plain.write_text(loss)
        hidden.encrypt(plain, sealed, secret, bytes(12))
        cid, size = await boss.files.add(sealed, pin="hidden")
        await boss.running.stores.secrets.keep(secrets.of_key(secret))
        self._sealed[name] = sealed.read_bytes()
        plain.unlink()
        sealed.unlink()
        return hidden_set(cid, loss.encode(), secret, size)
