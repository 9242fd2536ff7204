"""What a worker is willing to do: each refusal names the setting; the order, seeds and limits of runs."""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.job import Limits, OnCheat, PostJob
from chain.contracts.job.messages import HiddenSet
from chain.contracts.job.records import ClaimRecord, JobState
from chain.crypto import address
from client.contracts.job import policy
from client.contracts.job.policy import JobOffer
from client.work import WorkConfig
from sandbox.spec import MIB
from tests.unit.work_kit import LIMITS, posting, working

ME, BOSS = b"m" * 20, b"b" * 20
NOW = 1_000_000
LEFT = 100_000


def offer(state: int = JobState.OPEN, paid: int = 0, refunded: int = 0, own: ClaimRecord | None = None, **terms: Any) -> JobOffer:
    return JobOffer(b"j" * 32, BOSS, posting(NOW + terms.pop("left", LEFT), **terms), state, paid, refunded, own)


def limits(**changes: int) -> Limits:
    known = {
        name: getattr(LIMITS, name) for name in ("cpus_milli", "mem_mb", "train_s", "eval_s", "model_cap", "tmp_mb", "threads")
    }
    return Limits(**(known | changes))


def claimed(count: int, loss: int) -> ClaimRecord:
    return ClaimRecord(ME, count, loss, b"p", bytes(32), 0, 0, b"", 0, 0, 0, [])


def explain(config: WorkConfig, given: JobOffer, attempts: int = 0) -> str | None:
    return policy.explain(config, given, clock=NOW, me=ME, attempts=attempts)


def test_a_plain_job_is_taken() -> None:
    assert explain(working(), offer()) is None


@pytest.mark.parametrize(
    ("config", "given", "attempts", "why"),
    [
        (WorkConfig(enabled=False), offer(), 0, "[work] enabled"),
        (working(), offer(state=JobState.REVEAL), 0, "no more claims"),
        (working(), offer(left=-1), 0, "no more claims"),
        (working(), offer(own=claimed(16, 5)), 0, "all 16 claims"),
        (working(denied_contractors=[address(BOSS)]), offer(), 0, "denied_contractors"),
        (working(allowed_contractors=[address(ME)]), offer(), 0, "allowed_contractors"),
        (working(), offer(paid=2, refunded=3), 0, "refunded 3 times"),
        (working(min_bounty="10.000001"), offer(), 0, "the bounty is 10, below 10.000001 ([work] min_bounty)"),
        (working(min_time_left_s=101), offer(), 0, "only 100 s are left"),
        (working(min_time_left_s=0), offer(left=1_000), 0, "only 1 s are left"),
        (working(max_image_mb=1), offer(image=posting(0).image.__class__(1, "x", b"", b"", MIB + 1)), 0, "image: 2 MiB, more"),
        (working(max_model_mb=1), offer(limits=limits(model_cap=MIB + 1)), 0, "max_model_mb"),
        (working(max_mem_mb=32), offer(), 0, "memory: 64 MiB, more than 32 ([work] max_mem_mb)"),
        (working(max_mem_mb=64), offer(limits=limits(tmp_mb=65)), 0, "max_mem_mb"),
        (working(max_hidden_mb=1), offer(hidden=[HiddenSet(b"", bytes(32), bytes(32), 2 * MIB)]), 0, "max_hidden_mb"),
        (working(max_run_s=4), offer(), 0, "an evaluation may take 5 s"),
        (working(), offer(limits=limits(mem_mb=15)), 0, "less than a container needs"),
        (working(), offer(limits=limits(threads=1_025)), 0, "1025 threads"),
        (working(attempts=2), offer(), 2, "all 2 attempts"),
    ],
)
def test_what_is_refused_and_why(config: WorkConfig, given: JobOffer, attempts: int, why: str) -> None:
    reason = explain(config, given, attempts)
    assert reason is not None
    assert why in reason


def test_the_contractor_does_not_claim_on_its_own_job() -> None:
    assert policy.explain(working(), offer(), clock=NOW, me=BOSS) == "a contractor may not claim on its own job"


def test_a_contractor_that_pays_is_trusted_with_some_refunds() -> None:
    assert explain(working(), offer(paid=3, refunded=3)) is None
    assert explain(working(check_record=False), offer(refunded=9)) is None


def test_best_paying_first_then_the_one_that_ends_first() -> None:
    offers = [offer(bounty=5), offer(bounty=9, left=90_000), offer(bounty=9, left=80_000)]
    assert sorted(offers, key=lambda o: policy.best_paying(o.terms)) == [offers[2], offers[1], offers[0]]


def test_every_attempt_of_every_worker_has_another_seed_and_the_same_again_later() -> None:
    seeds = [policy.train_seed(me, job, n) for me in (ME, BOSS) for job in (b"j" * 32, b"k" * 32) for n in (1, 2)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert policy.train_seed(ME, b"j" * 32, 1) == seeds[0]


@pytest.mark.parametrize(
    ("left_ms", "train_s", "max_run_s", "wall"),
    [
        (100_000, 20, 3_600, 20.0),
        (100_000, 500, 3_600, 93.0),
        (100_000, 500, 30, 30.0),
        (10_000, 500, 500, 6.5),
        (1_400, 9, 9, None),
    ],
)
def test_a_training_leaves_time_to_evaluate_and_to_claim(left_ms: int, train_s: int, max_run_s: int, wall: float | None) -> None:
    terms = posting(NOW + left_ms, limits=limits(train_s=train_s))
    found = policy.train_seconds(working(max_run_s=max_run_s), terms, NOW)
    assert found == (wall if wall is None else pytest.approx(wall))


def test_a_claim_must_improve_by_twice_the_tolerance_on_the_own_claim_only() -> None:
    terms: PostJob = posting(NOW + LEFT, tol=0, on_cheat=int(OnCheat.REFUND))
    tol = 10 + 1  # f64 at a loss of 1,000,000 units
    assert policy.improves(terms, None, 10**18)
    assert policy.improves(terms, claimed(1, 1_000_000), 1_000_000 - 2 * tol)
    assert not policy.improves(terms, claimed(1, 1_000_000), 1_000_000 - 2 * tol + 1)
    assert not policy.improves(terms, claimed(16, 1_000_000), 0)


def test_run_limits_are_those_of_the_posting() -> None:
    found = policy.run_limits(posting(0, limits=limits(cpus_milli=1_500, tmp_mb=0, threads=4, model_cap=512 * MIB)), 7.0)
    assert (found.cpus, found.mem_mb, found.wall_s, found.tmp_mb, found.pids) == (1.5, 64, 7.0, 1, 100)
    assert found.file_cap == found.model_cap == 512 * MIB
