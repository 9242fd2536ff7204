"""What a node holds for a job whose record left the state is given up, but not while the node itself is behind."""

from __future__ import annotations

import random
from typing import Any

from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles.cleanup import DAY_MS, OWN_PIN, UNCLEAR_PIN, CleanUp
from learningchain.client.work.events import Chain, Forget, Keep, Secret
from learningchain.client.work.gone import GONE_MS
from learningchain.client.work.machine import Recalled
from tests.unit.job_kit import MemoryStore, sha, who

JOB, OTHER = sha("a job"), sha("another")


def clean_up(*known: Secret, config: WorkConfig | None = None) -> CleanUp:
    return CleanUp(Recalled(who("me"), bytes(32), config or WorkConfig(), random.Random(1).randbytes, known))


def look(machine: CleanUp, clock: int, *held: bytes, recent: bool = True, reader: Any = None) -> list[Any]:
    return machine.handle(Chain(reader or MemoryStore(), clock, held=frozenset(held), recent=recent))


def gone(job: bytes) -> Forget:
    return Forget(job, (Keep("", WorkConfig().serve_won_days * DAY_MS, OWN_PIN, UNCLEAR_PIN),))


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
