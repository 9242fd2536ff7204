"""What a node holds for a job whose record left the state is given up, but not while the node itself is behind."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from chain.contracts.job import records
from client.config import WorkConfig
from client.contracts.job import secrets
from client.contracts.job.cleanup import DAY_MS, GONE_MS, CleanUp
from client.work.events import Chain, Forget, Keep, Model, Secret
from client.work.machine import Recalled
from tests.unit.job_kit import MemoryStore, cid_of, sha, who
from tests.unit.work_kit import Chain as Ledger

JOB, OTHER = sha("a job"), sha("another")


def clean_up(*known: Secret, config: WorkConfig | None = None) -> CleanUp:
    return CleanUp(Recalled(who("me"), bytes(32), config or WorkConfig(), random.Random(1).randbytes, known))


def look(machine: CleanUp, clock: int, *held: bytes, recent: bool = True, reader: Any = None) -> list[Any]:
    return machine.handle(Chain(reader or MemoryStore(), clock, held=frozenset(held), recent=recent))


def gone(job: bytes) -> Forget:
    return Forget(job, (Keep("", WorkConfig().serve_won_days * DAY_MS, "job", "won"),))


def test_a_job_that_is_missing_for_long_in_recent_states_is_forgotten() -> None:
    machine = clean_up()
    assert look(machine, 1_000, JOB) == []
    assert look(machine, 1_000 + GONE_MS - 1, JOB, OTHER) == []
    assert look(machine, 1_000 + GONE_MS, JOB, OTHER) == [gone(JOB)]
    assert look(machine, 1_000 + 2 * GONE_MS, OTHER) == [gone(OTHER)]


def test_a_node_that_is_behind_forgets_nothing_and_begins_to_wait_anew() -> None:
    """One that begins from an empty database has no job yet: its claims live."""
    machine = clean_up()
    assert look(machine, 1_000, JOB) == []
    assert look(machine, 10 * GONE_MS, JOB, recent=False) == []
    assert look(machine, 11 * GONE_MS, JOB) == []
    assert look(machine, 12 * GONE_MS, JOB) == [gone(JOB)]


def test_a_claim_of_an_earlier_start_is_forgotten_once_though_nothing_is_pinned_for_it() -> None:
    machine = clean_up(secrets.of_claim(sha("c"), JOB, 5, Model(Path("model"), cid_of("m"), 1), sha("salt")))
    assert look(machine, 0) == [] and look(machine, GONE_MS) == [gone(JOB)]
    assert look(machine, 2 * GONE_MS) == []


def test_an_ended_job_is_forgotten_at_once_and_one_that_lives_is_not() -> None:
    ledger = Ledger(["a", "b", "c"], ["boss"])
    job, machine = ledger.post("boss"), clean_up()
    assert look(machine, 0, job, reader=ledger.state) == look(machine, 10 * GONE_MS, job, reader=ledger.state) == []
    ledger.block(50_000)
    assert ledger.ended(job) and ledger.state.get(records.job_key(job)) is not None
    assert look(machine, 10 * GONE_MS, job, reader=ledger.state) == [Forget(job)]
