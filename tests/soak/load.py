"""What people do with the graph while it is disturbed: transfers, and whole jobs in which every message is signed here.

Any request may fail at any time: the node that was asked is killed, paused or cut off. Then its sender asks another one, as a user
would. What a node once called final is written down: the verdict looks for it on everybody's ledger.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import BallotCode, CommitVote, OpenVote, job_id_of, vote_commitment
from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.types import parse_loss
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.http import local_url, read_token
from learningchain.client.sdk.types import ApiError, Json
from tests.processes import scripted
from tests.processes.harness import NodeProcess, Person

SENDERS = [Person(f"sender {i}", "1000") for i in range(6)]
CONTRACTOR, WORKERS = Person("contractor", "5000"), [Person(f"worker {i}", "500") for i in range(3)]
JURY = [Person(f"juror {i}", "10", verifier=True) for i in range(4)]
PEOPLE = [*SENDERS, CONTRACTOR, *WORKERS, *JURY]
WAIT_S = 20.0
PAUSE_S = 0.05
"""Between two transfers of one sender: the load of a graph in use, not the most that it can bear."""
STAGE_S = 60.0


class Load:
    """Runs until cancelled. `nodes` tells whom one may ask now."""

    def __init__(self, nodes: Callable[[], list[NodeProcess]], rng: random.Random, listen: Callable[[NodeProcess], str]) -> None:
        self._nodes, self._rng, self._listen = nodes, rng, listen
        self.final: dict[str, int] = {}
        """Transactions that a node called final, and the height that it named."""
        self.outcomes: Counter[str] = Counter()
        self.jobs: Counter[str] = Counter()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for index, sender in enumerate(SENDERS):
                group.create_task(self._transfers(sender, SENDERS[index - 1]))
            group.create_task(self._jobs())

    # --- asking ---------------------------------------------------------------------------------------------------------------

    async def _ask(self, what: Callable[[Client], Any]) -> Any:
        """Of any node; None where that one does not answer."""
        nodes = self._nodes()
        if not nodes:
            await asyncio.sleep(PAUSE_S)
            return None
        node = self._rng.choice(nodes)
        try:
            client = Client(local_url(self._listen(node)), read_token(node.data / "api.token"), timeout_s=WAIT_S + 5)
        except (ApiError, OSError):
            return None
        try:
            return await asyncio.wait_for(what(client), WAIT_S + 5)
        except (ApiError, TimeoutError) as fault:
            self.outcomes[getattr(fault, "kind", "timeout")] += 1
            return None
        finally:
            await client.close()

    async def _send(self, who: Person, *ops: Any) -> Json | None:
        """One transaction that stands in a block and was applied, or None."""
        done = await self._ask(lambda client: client.submit_tx(ops, who.key, wait=WAIT_S))
        if done is None or done.get("height") is None:
            return None
        self.final[done["tx"]] = done["height"]
        self.outcomes["final"] += 1
        return dict(done)

    # --- transfers and jobs ---------------------------------------------------------------------------------------------------

    async def _transfers(self, sender: Person, target: Person) -> None:
        while True:
            await self._send(sender, Transfer(target.id, 1 + self._rng.randrange(1_000), b""))
            await asyncio.sleep(PAUSE_S)

    async def _jobs(self) -> None:
        """One after the other, once all of the jury have said what their machines take.

        A job whose people could not reach the graph in time ends by its deadlines.
        """
        undeclared = list(JURY)
        while undeclared:
            undeclared = [who for who in undeclared if await self._send(who, SetCapacity(scripted.CAPACITY)) is None]
        while True:
            try:
                self.jobs[await self._job()] += 1
            except TimeoutError:
                self.jobs["left to its deadlines"] += 1
            await asyncio.sleep(PAUSE_S)

    async def _job(self) -> str:
        status = await self._until(lambda client: client.status(), lambda found: True)
        chain_id = bytes.fromhex(status["chain_id"])
        posted = await self._send(CONTRACTOR, scripted.terms(status["clock_now"] + 4_000))
        if posted is None:
            return "not posted"
        job = job_id_of(bytes.fromhex(posted["tx"]), 0).hex()
        losses = [f"0.{self._rng.randint(100, 999)}" for _ in WORKERS]
        claims = [scripted.announcement(chain_id, job, who, loss) for who, loss in zip(WORKERS, losses, strict=True)]
        for claim in claims:
            await self._send(claim.who, claim.claim)
        view = await self._stage(job, "REVEAL", "COMMIT", "EMPTY")
        if view["state"] == "REVEAL":
            for claim in claims:
                await self._send(claim.who, claim.opening)
        while view["state"] not in ("PAID", "REFUNDED", "EMPTY"):
            view = await self._stage(job, "COMMIT", "PAID", "REFUNDED", "EMPTY")
            if view["state"] == "COMMIT":
                view = await self._vote(chain_id, job, view)
        return str(view["state"])

    async def _vote(self, chain_id: bytes, job: str, view: Json) -> Json:
        """The jury measures what the claimant under audit said."""
        ref, audit, round_ = bytes.fromhex(job), view["audit"], view["round"]
        candidates = view["rounds"][-1]["candidates"]
        claimed = {claim["claimant"]: claim["loss"] for claim in view["claims"]}
        ballot, opening = scripted.measuring(BallotCode.OK, parse_loss(str(claimed[candidates[0]["claimant"]])))
        ballots = [ballot]
        salts = [secrets.token_bytes(32) for _ in JURY]
        for who, salt in zip(JURY, salts, strict=True):
            await self._send(
                who, CommitVote(ref, audit, round_, vote_commitment(chain_id, ref, audit, round_, who.id, ballots, salt))
            )
        view = await self._stage(job, "COUNT", "DRAW", "PAID", "REFUNDED", "EMPTY")
        if view["state"] == "COUNT":
            for who, salt in zip(JURY, salts, strict=True):
                await self._send(who, OpenVote(ref, audit, round_, ballots, salt, 0, False, [opening]))
        return await self._stage(job, "COMMIT", "PAID", "REFUNDED", "EMPTY")

    async def _stage(self, job: str, *states: str) -> Json:
        return await self._until(lambda client: client.job(job), lambda view: view["state"] in states)

    async def _until(self, what: Callable[[Client], Any], good: Callable[[Any], bool]) -> Json:
        """Raises `TimeoutError`."""
        async with asyncio.timeout(STAGE_S):
            while (found := await self._ask(what)) is None or not good(found):
                await asyncio.sleep(4 * PAUSE_S)
        return dict(found)
