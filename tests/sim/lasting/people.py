"""What happens in the lasting graph: who posts, trains together, asks, restarts, sleeps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import EndReason
from learningchain.chain.contracts.prediction.messages import RetireModel
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.crypto import sha256
from learningchain.client.contracts.prediction.proven import plain_document
from tests.sim.lasting.graph import HOUR_MS, Lasting
from tests.sim.lasting.machines import now_s
from tests.unit.work_kit import LIMITS

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


@dataclass(frozen=True)
class Kind:
    """A kind of job: hours of training, MiB of its image, seconds of an evaluation of those that it may take."""

    name: str
    train_h: float
    image_mib: int = 10
    eval_s: float = 60
    eval_limit_s: int = 600
    hidden: bool = False


MINUTES = Kind("minutes", 0.2)
HOURS = Kind("hours", 3.0)
HIDDEN = Kind("hidden", 1.0, hidden=True)
LIMIT = Kind("at the limit of its windows", 2.0, eval_s=590)
LARGE = Kind("an image of an hour", 2.0, image_mib=3_400)
LONG = Kind("thirty hours", 29.0)


class People:
    def __init__(self, graph: Lasting) -> None:
        self.graph, self.checks = graph, graph.checks
        self.number = 0
        self.federations: list[bytes] = []
        self.requests = 0

    # --- jobs ----------------------------------------------------------------------------------------------------------------

    async def job(self, kind: Kind) -> None:
        """Post one, and see it to its end."""
        graph, chain = self.graph, self.graph.chain
        self.number += 1
        name = f"job {self.number}"
        image = await graph.lasting_image(name, kind.image_mib, train=kind.train_h * HOUR_S, evaluate=kind.eval_s)
        limits = replace(LIMITS, train_s=int(kind.train_h * 1.2 * HOUR_S) + 60, eval_s=kind.eval_limit_s)
        hours = kind.train_h * 1.5 + 1 + kind.image_mib / 3_000
        changes: dict[str, Any] = {"hidden": [await graph.hide(name, "0.25")]} if kind.hidden else {}
        job = await graph.post(expiry=chain.clock + int(hours * HOUR_MS), image=image, limits=limits, fee=200_000, **changes)
        await graph.until(lambda: chain.ended(job), (hours + 24) * HOUR_S, 30)
        self.checks.job(kind.name, chain.describe(job))
        graph.unpublish(name)

    # --- federations ---------------------------------------------------------------------------------------------------------

    async def federation(self, owners: str | list[str], rounds: int, round_ms: int) -> None:
        graph = self.graph
        ends = graph.chain.clock + (3 * rounds + 24) * round_ms
        graph.takes[f"sha256:{sha256(b'federated image').hex()}", "local"] = 0.7 * round_ms / 1_000
        limits = replace(LIMITS, mem_mb=256, train_s=round_ms // 1_250, eval_s=10, tmp_mb=16)
        ref = await graph.federate(owners, rounds=rounds, round_ms=round_ms, target=1, ends=ends, limits=limits)
        self.federations.append(ref)
        await graph.until(lambda: graph.has_ended(ref), 4 * rounds * round_ms / 1_000 + DAY_S, 30)
        found = graph.federation(ref)
        if EndReason(found.end) is not EndReason.ROUNDS or found.r != rounds:
            self.checks.fault(f"a federation ended {EndReason(found.end).name} after {found.r} rounds")
        for name in owners:
            member = graph.chain.state.get(records.member_key(ref, graph.chain.ids[name]))
            if not isinstance(member, records.FederationMember) or not member.paid:
                self.checks.fault(f"{name} got nothing of a federation: {member}")
        self.checks.jobs[f"federation {EndReason(found.end).name}"] += 1

    # --- models --------------------------------------------------------------------------------------------------------------

    async def serve(self, servers: str, every_h: float, until_h: float) -> None:
        """A model that is asked now and then, until its owner takes it back."""
        model = await self.graph.serve(servers)
        while now_s() < until_h * HOUR_S:
            await asyncio.sleep(every_h * HOUR_S)
            await self.ask(model)
        assert self.graph.chain.now("boss", RetireModel(model)) == 0

    async def ask(self, model: bytes) -> None:
        """Three rows, privately, to three of those who serve it."""
        graph = self.graph
        request, key = await graph.ask(model, b"4\n7\n", 3)
        await graph.until(lambda: graph.request(request).state in (RequestState.FINAL, RequestState.FAILED), 2 * HOUR_S, 5)
        found, plain = graph.request(request), plain_document(graph.chain.state, request, key)
        self.checks.jobs[f"request {RequestState(found.state).name}"] += 1
        if plain is None or [value["score"] for value in plain["values"]] != ["4.000000000", "7.000000000"]:
            self.checks.fault(f"a request is {RequestState(found.state).name}: {plain}")

    # --- nodes ---------------------------------------------------------------------------------------------------------------

    async def restart(self, name: str, off_s: float = 20.0, *, leave: bool = True) -> None:
        node = self.graph.nodes[name]
        if node.work is None:
            return
        await node.end(leave=leave)
        await asyncio.sleep(off_s)
        await node.start()

    async def nights(self, days: int) -> None:
        """Each node restarts every night, one after the other: told to, or by a cut of its power."""
        for day in range(days):
            await until_hour(24 * day + 2)
            for number, name in enumerate(list(self.graph.nodes)):
                await asyncio.sleep(420)
                await self.restart(name, leave=bool((day + number) % 2))


async def until_hour(hour: float) -> None:
    await asyncio.sleep(max(0.0, hour * HOUR_S - now_s()))
