"""What live postings cost the loop that votes: to find the best-paying job and a seat among them, and to learn of them at first."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

from msgspec.structs import replace

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.records import Job, JobState, Live, Posting
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Limits
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.state import State as LedgerState
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.work.events import Chain, Changed
from tests.unit.work_kit import Chain as Ground
from tests.unit.work_kit import job_changes, posting, recalled

_HUGE = Limits(cpus_milli=1_000, mem_mb=4_194_304, train_s=20, eval_s=5, model_cap=4_096, tmp_mb=8, threads=1)
_POSTERS = 100
_EACH = 500
"""Postings that are put into the state at a time."""
_LOOKS = 20


@dataclass(frozen=True)
class ManyJobsFigure:
    """Milliseconds; of looks the slowest."""

    jobs: int
    piece_ms: float
    """To tell the machines of one piece of what changed: 99 of 100 are faster."""
    told_s: float
    """To tell them of all live jobs, at a start: all pieces together."""
    worker_ms: float
    verifier_ms: float
    new_job_ms: float
    """From a block with a better-paying job to the wish to fetch its image."""


def many_jobs(jobs: int) -> ManyJobsFigure:
    """`jobs` live postings, half of which this node would take, and a seat among as many audits. Raises `RuntimeError`."""
    ground = Ground(["a", "b", "c"], ["boss", "w"])
    state, clock, me = ground.state, ground.clock, recalled(ground, "w")
    for start in range(0, jobs, _EACH):
        _post(state, start, min(_EACH, jobs - start), clock)
    gc.freeze()  # as the daemon does at its start
    worker, verifier = Worker(me), Verifier(recalled(ground, "a", WorkConfig()))
    changes = job_changes(ground)
    told = []
    while (moved := changes.take()) is not None:
        told.append(_timed(lambda given=moved: (worker.handle(given), verifier.handle(given))))
    looks = [_timed(lambda: worker.handle(Chain(state, clock))) for _ in range(_LOOKS)]
    seats = [_timed(lambda: verifier.handle(Chain(state, clock))) for _ in range(_LOOKS)]
    worker = Worker(me)
    worker.handle(Changed(state, tuple(records.job_key(key[2:]) for key in state.keys(b"j/")), True))
    job = _post(state, jobs, 1, clock, bounty=10**9)
    found: list[object] = []
    began = time.perf_counter()
    while (moved := changes.take()) is not None:
        worker.handle(moved)
    found += worker.handle(Chain(state, clock))
    took = time.perf_counter() - began
    if not any(getattr(effect, "ref", b"") == job for effect in found):
        raise RuntimeError("the worker did not find the best-paying job")
    ms = 1_000.0
    return ManyJobsFigure(jobs, ms * sorted(told)[len(told) * 99 // 100], sum(told), ms * max(looks), ms * max(seats), ms * took)


def _timed(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def _terms(number: int, clock: int, bounty: int) -> PostJob:
    return posting(clock + 600_000, bounty=bounty, **({"limits": _HUGE} if number % 2 else {}))


def _post(state: LedgerState, start: int, count: int, clock: int, bounty: int = 1_000) -> bytes:
    overlay, job = Overlay(state), b""
    for number in range(start, start + count):
        job, terms = sha256(b"job" + number.to_bytes(8, "big")), _terms(number, clock, bounty)
        overlay.put(records.posting_key(job), Posting(sha256((number % _POSTERS).to_bytes(4, "big"))[:20], number, 0, terms))
        audited = number % 4 == 3
        overlay.put(records.job_key(job), _record(JobState.COMMIT if audited else JobState.OPEN, clock))
        overlay.put(records.live_key(job), Live(number, terms.expiry))
    changes, _, tree = overlay.finish()
    state.commit(changes, tree)
    return job


def _record(state: JobState, clock: int) -> Job:
    first = records.new_job(_terms(0, clock, 1_000))
    return replace(first, state=int(state), deadline=clock + 300_000, round=int(state is JobState.COMMIT))
