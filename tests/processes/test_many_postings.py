"""65,600 postings stand before the honest ones, on the state of a real node: it sees its seat, the best-paying job and the key that
it owes as if there were none, and no step of its loop reads more of the state than a piece of what changed asks for."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.growth import Chain
from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import records as r
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.records import JobState
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import HiddenSet, Image, ImageKind, Limits
from learningchain.chain.ledger.genesis import Genesis, first_state
from learningchain.chain.ledger.state import State
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.work.database import WorkDatabase
from learningchain.p2p.content.messages import WhoHas, decode_message
from learningchain.p2p.wire import CONTENT
from tests.processes.asker import Asker
from tests.processes.harness import Graph, NodeProcess, Role, eventually
from tests.processes.scripted import CAPACITY, JUDGE, LIMITS, terms

MANY = 65_600
DAY_MS = 24 * 3_600_000
HUGE = Limits(cpus_milli=1_000, mem_mb=4_194_304, train_s=20, eval_s=5, model_cap=4_096, tmp_mb=8, threads=1)
"""More than a node gives to strangers: it works for none of these."""
KEY = bytes(range(32))
BEST, SEAT, OWN = (sha256(name) for name in (b"best", b"seat", b"own"))
"""The job that pays best of those that this node works for, the one on whose committee it sits, and its own with hidden data."""
SLOW_S = 120.0
MOST_READS = 1_280
"""Of one step of the loop: twenty for each key of a piece of what changed, which every machine of the contract looks at."""
WORKS = {"work.verify": True, "work.enabled": True, "work.min_time_left_s": 5}


def cid(name: bytes) -> bytes:
    return b"\x01\x55\x12\x20" + sha256(name)


class Postings(Chain):
    """The database of a graph's one validator, with jobs as blocks leave them; no credits are locked for them, so none may end."""

    def __init__(self, node: NodeProcess, genesis: Genesis) -> None:
        self.folder, self.identity, self.clock = node.data, node.identity, genesis.time
        self.number = 0
        first = {key: raw for key, raw in first_state(genesis)[1] if raw is not None}
        state = State.load(first.items())
        records = {key: encode(record) for key, record in (*self._judges(state), *self._jobs())}
        self.fill(genesis, [node.identity.key], (first | records).items())
        self.store.close()

    def _judges(self, state: State) -> Iterator[tuple[bytes, Any]]:
        """They have said what their machines take."""
        for who in (self.identity.id, JUDGE.id):
            member = state.get(member_key(who))
            assert isinstance(member, Member)
            yield member_key(who), replace(member, capacity=[CAPACITY])

    def _jobs(self) -> Iterator[tuple[bytes, Any]]:
        """Strangers' first, in the order of posting and of their ids."""
        far = self.clock + DAY_MS
        for number in range(MANY):
            poster, image = sha256(b"stranger %d" % (number % 7))[:20], b"strangers' %d" % number
            state = (JobState.OPEN, JobState.OPEN, JobState.REVEAL, JobState.COMMIT)[number % 4]
            best = {"bounty": 10**12, "limits": HUGE} if number % 2 else {"bounty": 1_000}
            yield from self._job(poster, bytes(4) + number.to_bytes(28, "big"), image, far, state, **best)
        honest = sha256(b"honest")[:20]
        yield from self._job(honest, BEST, b"best", far, JobState.OPEN, bounty=10**9)
        yield from self._job(honest, SEAT, b"seat", far, JobState.COMMIT, bounty=10**9)
        yield from self._seat(honest, far)
        hidden = HiddenSet(cid(b"hidden"), sha256(b"plain"), sha256(KEY), 50)
        yield from self._job(self.identity.id, OWN, b"own", far, JobState.KEY, bounty=10**9, hidden=[hidden])
        yield r.K_TOTALS, r.Totals(self.number)

    def _job(self, poster: bytes, job: bytes, image: bytes, far: int, state: JobState, **more: Any) -> Iterator[tuple[bytes, Any]]:
        posted: PostJob = terms(
            far, image=Image(ImageKind.ARCHIVE, "", cid(image), sha256(image), 1_000), **{"limits": LIMITS} | more
        )
        fields = {"round": int(state is JobState.COMMIT), "claimants": int(job == SEAT)}
        record = replace(r.new_job(posted), state=int(state), deadline=far, **fields)
        yield r.posting_key(job), r.Posting(poster, self.number, self.clock, posted)
        yield r.job_key(job), record
        yield r.live_key(job), r.Live(self.number, far)
        yield r.NUMBERS.key(self.number), r.Numbered(job)
        self.number += 1

    def _seat(self, claimant: bytes, far: int) -> Iterator[tuple[bytes, Any]]:
        """One claim of `claimant` under audit, and this node alone on its committee."""
        me = self.identity.id
        claim = r.ClaimRecord(claimant, 1, 5, 1, bytes(32), 0, bytes(32), self.clock, True, 0, cid(b"model"), 9, 0, 0, [])
        yield r.claim_key(SEAT, 0), claim
        yield r.claimant_key(SEAT, claimant), r.ClaimantIndex(0)
        yield r.round_key(SEAT, 0, 1), r.AuditRound(bytes(32), b"", self.clock, far, False, [0], [1], [1], [me])
        yield r.seat_key(SEAT, 0, 1, me), r.Seat([0], b"", [], [], False, "", 0)


class Listener(Asker):
    """Hears what a node asks its peers for."""

    def __init__(self, graph: Graph, member: NodeProcess, nodes: list[NodeProcess]) -> None:
        super().__init__(graph, member, nodes)
        self.wanted: set[bytes] = set()

    def _answer(self, peer: bytes, channel: int, payload: bytes) -> None:
        message = decode_message(payload) if channel == CONTENT else None
        if isinstance(message, WhoHas):
            self.wanted.add(message.root)


@pytest.mark.full("unit/test_work_many_jobs.py counts the reads of each machine among 12,000 postings")
@pytest.mark.timeout(1_800)
async def test_seat_best_job_and_key_are_seen_among_65_600_postings(tmp_path: Path) -> None:
    roles = [Role("v0", validator=True, verifier=True, settings=WORKS), Role("peer")]
    async with Graph(tmp_path, roles, people=[JUDGE]) as graph:
        node, counts = graph["v0"], tmp_path / "counts"
        await asyncio.to_thread(Postings, node, graph.genesis)
        await asyncio.to_thread(_keep_key, node, graph.genesis.chain_id)
        node.program = [sys.executable, "-m", "tests.processes.counted_node", str(counts)]
        listener = Listener(graph, graph["peer"], [node])
        await node.start(within=SLOW_S)
        try:
            await listener.connect()
            mine = {cid(b"best"), cid(b"seat"), cid(b"model")}
            await eventually("the node asks for what it needs", lambda: _asks(listener, mine), SLOW_S)
            await eventually("the key is opened", lambda: _opened(node, OWN), SLOW_S)
            others = listener.wanted - mine
            assert len(others) <= 1 + 16, "one image of who pays next, and some of jobs on whose committee it may come to sit"
            await node.grows(3)
            jobs = await node.api.jobs(limit=3)
            assert [job["id"] for job in jobs] == [job.hex() for job in (OWN, SEAT, BEST)]
            longest = json.loads(counts.read_text())
            assert longest["reads"] <= MOST_READS, longest
        finally:
            await listener.network.stop()
        assert await node.stop() == 0


def _keep_key(node: NodeProcess, chain_id: bytes) -> None:
    """As it is on the disk from before the posting."""
    database = WorkDatabase(node.data / "work" / "work.db", chain_id, node.id)
    database.save(secrets.of_key(KEY), 0)
    database.close()


async def _asks(listener: Listener, wanted: set[bytes]) -> bool:
    return wanted <= listener.wanted


async def _opened(node: NodeProcess, job: bytes) -> bool:
    return (await node.api.job(job.hex()))["key"] == KEY.hex()
