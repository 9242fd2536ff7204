"""What happens in the lasting graph: who posts, trains together, asks, restarts, sleeps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import EndReason
from learningchain.chain.contracts.governance import (
    Action,
    AddValidator,
    Propose,
    RemoveValidator,
    SetVerifier,
    VoteProposal,
    proposal_id,
    proposal_key,
)
from learningchain.chain.contracts.membership import Invite, Join, Leave, Member, join_digest, member_key
from learningchain.chain.contracts.prediction.messages import RetireModel
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.crypto import SigningKey, sha256
from learningchain.chain.host import K_VALIDATORS, Validators
from learningchain.client.contracts.prediction.proven import plain_document
from tests.sim.lasting.graph import HOUR_MS, Lasting
from tests.sim.lasting.machines import now_s
from tests.unit.work_kit import LIMITS, key_of

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
PAY = {"bounty": 2_000_000, "fee": 20_000}


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
        job = await graph.post(expiry=chain.clock + int(hours * HOUR_MS), image=image, limits=limits, **PAY, **changes)
        await graph.until(lambda: chain.ended(job), (hours + 24) * HOUR_S, 30)
        self.checks.job(kind.name, chain.describe(job))
        graph.unpublish(name)

    # --- federations ---------------------------------------------------------------------------------------------------------

    async def federation(self, owners: str | list[str], rounds: int, round_ms: int) -> None:
        graph = self.graph
        ends = graph.chain.clock + (3 * rounds + 24) * round_ms
        graph.takes[f"sha256:{sha256(b'federated image').hex()}", "local"] = 0.7 * round_ms / 1_000
        limits = replace(LIMITS, mem_mb=256, train_s=round_ms // 1_250, eval_s=10, tmp_mb=16)
        ref = await graph.federate(
            owners, len(self.federations) / 64, rounds=rounds, round_ms=round_ms, target=1, ends=ends, limits=limits
        )
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

    async def sleep(self, name: str, since_h: float, until_h: float) -> None:
        """Its machine is off for so long, and nobody told the node before."""
        await until_hour(since_h)
        await self.restart(name, (until_h - since_h) * HOUR_S, leave=False)

    async def jump(self, name: str, hour: float, by_ms: int, minutes: float) -> None:
        """The node comes back with a clock that is wrong for some minutes."""
        await until_hour(hour)
        self.graph.nodes[name].behind_ms = by_ms
        await self.restart(name)
        await self.graph.minutes(minutes)
        self.graph.nodes[name].behind_ms = 0

    async def leave(self, name: str, hour: float) -> None:
        """A member goes, once nothing of it is locked."""
        await until_hour(hour)
        graph, node = self.graph, self.graph.nodes[name]
        node.running.reconfigure(replace(node.config, paused=True))
        while graph.chain.now(name, Leave()):
            await graph.minutes(30)
        await node.end(leave=False)
        del graph.nodes[name]

    async def join(self, name: str, hour: float) -> None:
        """Boss invites somebody, who comes with a node of its own and trains."""
        await until_hour(hour)
        graph, chain = self.graph, self.graph.chain
        key, token = key_of(name), SigningKey(sha256(name.encode()))
        assert chain.now("boss", Invite(token.public, chain.clock + HOUR_MS, 10**8)) == 0
        digest = join_digest(chain.chain_id, token.public, key.public)
        joined = Join(chain.ids["boss"], token.public, key.public, key.sign(digest), token.sign(digest))
        assert chain.now("boss", joined) == 0
        await graph.add(name)

    async def replace_validator(self, old: str, new: str, hour: float) -> None:
        """The others vote it out and somebody else in, who has the flag of a verifier from then on."""
        await until_hour(hour)
        ids, state = self.graph.chain.ids, self.graph.chain.state
        member = state.get(member_key(ids[new]))
        if not isinstance(member, Member) or not member.verifier:
            await self._decide(SetVerifier(ids[new], True))
        for action in (AddValidator(ids[new]), RemoveValidator(ids[old])):
            await self._decide(action)

    async def _decide(self, action: Action) -> None:
        chain = self.graph.chain
        now = chain.state.get(K_VALIDATORS)
        assert isinstance(now, Validators)
        first, *others = [chain.names[one.id] for one in now.members]
        tx = chain.offer(first, [Propose(action, chain.clock + HOUR_MS)])
        await self.graph.until(lambda: tx in chain.results, 60)
        assert chain.results[tx].code == 0, chain.results[tx]
        for name in others:
            if chain.state.get(proposal_key(proposal_id(tx, 0))) is not None:
                chain.now(name, VoteProposal(proposal_id(tx, 0), True))
        await self.graph.minutes(1)


async def until_hour(hour: float) -> None:
    await asyncio.sleep(max(0.0, hour * HOUR_S - now_s()))
