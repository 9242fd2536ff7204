"""The worker as a machine: for each input the effects, on states of the real ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain.contracts.job.messages import Claim, Reveal, claim_commitment
from chain.host.terms import model_id
from client.config import WorkConfig
from client.contracts.job import policy
from client.contracts.job.events import (
    ClaimSettled,
    ClaimStored,
    Cleanup,
    DropModel,
    FetchImage,
    Publish,
    PublishFailed,
    StartSelfCheck,
    StartTrain,
    SubmitClaim,
)
from client.contracts.job.events import JobEffect as Effect
from client.contracts.job.events import RevealClaim as RevealEffect
from client.contracts.job.worker import MAX_FAILURES, RETRY_MS, Worker, WorkerMemory
from client.work.events import Chain as Look
from client.work.events import ImageFailed, ImageReady, Kill, Model, ReleaseJob, RunEnded
from sandbox import RunStatus
from tests.unit.work_kit import PARAMS, Chain, Told, tell, working

IMAGE = "sha256:" + "cd" * 32


def model(number: int) -> Model:
    return Model(Path(f"/models/{number}"), b"\x01\x55\x12\x20" + bytes([number]) * 32, 100)


class Bench:
    """One worker, `w`, on a chain of its own."""

    def __init__(self, config: WorkConfig | None = None, memory: WorkerMemory | None = None) -> None:
        self.chain = Chain(["v", "x", "y", "z"], ["boss", "w"])
        self.me = self.chain.ids["w"]
        self.worker = Worker(self.me, config or working(), memory)
        self.told: Told | None = None

    def look(self, busy: bool = False) -> list[Effect]:
        """What blocks changed, then a look; a worker that has just started is told all jobs."""
        self.told = tell(self.chain, self.worker, self.told)
        return self.worker.handle(Look(self.chain.state, self.chain.clock, busy))

    def ready(self, job: bytes, config: WorkConfig | None = None) -> list[StartTrain]:
        """The job's image is there: what is started."""
        assert FetchImage(job) in self.look()
        assert self.worker.handle(ImageReady(job, IMAGE)) == []
        return [e for e in self.look() if isinstance(e, StartTrain)]

    def trained(self, train: StartTrain, number: int) -> StartSelfCheck:
        (check,) = self.worker.handle(RunEnded(train.run, RunStatus.OK, "done", 1, None, model(number)))
        assert isinstance(check, StartSelfCheck)
        return check

    def measured(self, train: StartTrain, number: int, loss: int) -> list[Effect]:
        check = self.trained(train, number)
        return self.worker.handle(RunEnded(check.run, RunStatus.OK, "done", loss, 7)) + self.look(busy=True)

    def stands(self, job: bytes, loss: int, number: int) -> bytes:
        """The worker's claim is on the ledger: its commitment."""
        sealed = claim_commitment(self.chain.chain_id, job, self.me, model_id(model(number).cid), bytes(32))
        assert self.chain.now("w", Claim(job, loss, sealed)) == 0
        self.worker.handle(ClaimStored(job, sealed))
        self.worker.handle(ClaimSettled(job))
        return sealed


def test_an_open_job_is_fetched_trained_checked_and_claimed_with_the_measured_loss() -> None:
    b = Bench()
    job = b.chain.post("boss")
    assert b.look() == [FetchImage(job)]
    assert b.look() == []
    b.worker.handle(ImageReady(job, IMAGE))
    (train,) = b.look()
    assert isinstance(train, StartTrain)
    assert (train.job, train.attempt, train.image_id) == (job, 1, IMAGE)
    assert train.seed == policy.train_seed(b.me, job, 1)
    check = b.trained(train, 1)
    assert (check.model, check.wall_s) == (model(1), 5.0)
    assert b.worker.handle(RunEnded(check.run, RunStatus.OK, "done", 500, 7)) == []
    assert SubmitClaim(job, 1, 500, model(1)) in b.look()
    second = [e for e in b.look() if isinstance(e, StartTrain)]
    assert second == []  # one at a time: it runs since the look before
    assert b.worker.explain(b.chain.state, job, b.chain.clock) is None


def test_a_loss_below_the_floor_is_claimed_as_the_floor() -> None:
    b = Bench()
    job = b.chain.post("boss", floor=1_000)
    (train,) = b.ready(job)
    assert SubmitClaim(job, 1, 1_000, model(1)) in b.measured(train, 1, 5)


def test_only_what_improves_on_the_own_claim_is_claimed_whatever_others_announce() -> None:
    b = Bench(working(attempts=9))
    job = b.chain.post("boss", tol=0)
    assert b.chain.now("v", Claim(job, 0, bytes(32))) == 0  # unbeatable, and unproven
    (train,) = b.ready(job)
    assert SubmitClaim(job, 1, 10**6, model(1)) in b.measured(train, 1, 10**6)
    b.stands(job, 10**6, 1)
    (train,) = b.look()
    assert isinstance(train, StartTrain)
    assert b.measured(train, 2, 10**6 - 21) == [DropModel(model(2))]
    (train,) = b.look()
    assert isinstance(train, StartTrain)
    assert b.measured(train, 3, 10**6 - 22) == [SubmitClaim(job, 3, 10**6 - 22, model(3))]


def test_while_a_claim_is_on_its_way_the_best_of_the_rest_waits() -> None:
    b = Bench(working(attempts=9, concurrent=3))
    job = b.chain.post("boss", tol=0)
    first, second, third = b.ready(job)
    assert SubmitClaim(job, 1, 10**6, model(1)) in b.measured(first, 1, 10**6)
    assert b.measured(second, 2, 500) == []
    check = b.trained(third, 3)
    assert b.worker.handle(RunEnded(check.run, RunStatus.OK, "done", 400, 7)) == [DropModel(model(2))]
    assert b.look(busy=True) == []
    b.stands(job, 10**6, 1)
    assert b.look(busy=True) == [SubmitClaim(job, 3, 400, model(3))]


def test_what_waited_for_a_claim_on_its_way_is_dropped_when_the_job_ends_first() -> None:
    b = Bench(working(attempts=2, concurrent=2))
    job = b.chain.post("boss", tol=0)
    first, second = b.ready(job)
    assert SubmitClaim(job, 1, 10**6, model(1)) in b.measured(first, 1, 10**6)
    assert b.measured(second, 2, 500) == []
    b.chain.block(50_000)
    assert b.chain.ended(job)
    assert b.look(busy=True) == [DropModel(model(2)), Cleanup(job, False)]


def test_the_model_of_a_replaced_claim_is_dropped_once_the_new_one_stands() -> None:
    b = Bench(working(attempts=1))
    job = b.chain.post("boss", tol=0)
    b.ready(job)
    old = b.stands(job, 10**6, 1)
    assert b.look(busy=True) == []
    b.stands(job, 500, 2)
    assert b.look(busy=True) == [DropModel(None, old)]


def test_no_training_starts_while_a_committee_waits_but_a_check_goes_on() -> None:
    b = Bench()
    job = b.chain.post("boss")
    b.look()
    b.worker.handle(ImageReady(job, IMAGE))
    assert b.look(busy=True) == []
    (train,) = b.look()
    assert isinstance(train, StartTrain)
    b.trained(train, 1)


def test_attempts_and_slots_are_bounded_and_the_best_paying_job_comes_first() -> None:
    b = Bench(working(concurrent=3, attempts=2))
    poor, rich = b.chain.post("boss", bounty=10), b.chain.post("boss", bounty=20)
    assert b.look() == [FetchImage(rich), FetchImage(poor)]
    for job in (poor, rich):
        b.worker.handle(ImageReady(job, IMAGE))
    started = [(e.job, e.attempt) for e in b.look() if isinstance(e, StartTrain)]
    assert started == [(rich, 1), (rich, 2), (poor, 1)]
    assert b.look() == []
    reason = b.worker.explain(b.chain.state, rich, b.chain.clock)
    assert reason is not None
    assert "all 2 attempts" in reason


def test_a_run_is_killed_when_the_job_takes_no_more_claims() -> None:
    b = Bench()
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    b.chain.block(50_000)
    assert Kill(train.run, "the job takes no more claims") in b.look()
    assert [e for e in b.look() if isinstance(e, Kill)] == []
    assert b.worker.handle(RunEnded(train.run, RunStatus.OK, "done", 1, None, model(1))) == [DropModel(model(1))]


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (RunStatus.FAILED, 2),
        (RunStatus.TIMEOUT, 2),
        (RunStatus.BAD_RESULT, 2),
        (RunStatus.CANCELLED, 2),
        (RunStatus.ENGINE_ERROR, 1),
        (RunStatus.UNSUPPORTED, None),
    ],
)
def test_a_failed_training_uses_its_attempt_up_but_for_the_engines_faults(status: RunStatus, again: int | None) -> None:
    b = Bench()
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    assert b.worker.handle(RunEnded(train.run, status, "why")) == []
    if status is not RunStatus.CANCELLED and again:
        assert b.look() == []  # not at once
        b.chain.block(12_000)
    started = [e.attempt for e in b.look() if isinstance(e, StartTrain)]
    assert started == ([again] if again else [])


def test_a_job_that_fails_again_and_again_is_given_up_with_the_reason() -> None:
    b = Bench(working(attempts=9))
    job = b.chain.post("boss")
    assert b.look() == [FetchImage(job)]
    for _ in range(MAX_FAILURES):
        b.worker.handle(ImageFailed(job, "nobody serves it", lasting=False))
    b.chain.block(15_000)
    assert b.look() == [ReleaseJob(job)]
    assert b.worker.explain(b.chain.state, job, b.chain.clock) == "given up after 3 failures in a row: nobody serves it"


def test_an_image_that_breaks_a_rule_is_not_tried_again() -> None:
    b = Bench()
    job = b.chain.post("boss")
    b.look()
    b.worker.handle(ImageFailed(job, "it declares a VOLUME", lasting=True))
    b.chain.block(15_000)
    assert b.look() == [ReleaseJob(job)]


def test_what_was_fetched_for_a_job_makes_room_once_nothing_more_is_trained_for_it() -> None:
    b = Bench(working(attempts=2))
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    assert ReleaseJob(job) not in b.measured(train, 1, 10**8)
    sealed = b.stands(job, 10**8, 1)
    (train,) = (e for e in b.look() if isinstance(e, StartTrain))
    check = b.trained(train, 2)
    assert ReleaseJob(job) not in b.look()  # its own evaluation is still to come
    b.worker.handle(RunEnded(check.run, RunStatus.OK, "done", 2 * 10**8, 7))
    assert [e for e in b.look() if isinstance(e, ReleaseJob)] == [ReleaseJob(job)]
    assert not [e for e in b.look() if isinstance(e, ReleaseJob)]
    # The claim is as good as before: it is revealed, and its model stays.
    expire(b, job)
    assert RevealEffect(job, 1, sealed) in b.look()


def test_a_model_that_its_own_evaluation_refuses_is_never_claimed() -> None:
    b = Bench()
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    check = b.trained(train, 1)
    assert b.worker.handle(RunEnded(check.run, RunStatus.MODEL_INVALID, "exit 65")) == [DropModel(model(1))]
    assert not [e for e in b.look() if isinstance(e, SubmitClaim)]


def expire(b: Bench, job: bytes) -> None:
    b.chain.block(50_000)
    assert b.chain.describe(job)["state"] == "REVEAL"


@pytest.mark.parametrize(("reveal", "must", "says"), [("always", False, True), ("must", False, False), ("must", True, True)])
def test_reveals_are_made_once_and_where_the_policy_wants_them(reveal: Any, must: bool, says: bool) -> None:
    b = Bench(working(reveal=reveal))
    job = b.chain.post("boss", finalists=1)
    if not must:
        assert b.chain.now("v", Claim(job, 1, bytes(32))) == 0
    sealed = b.stands(job, 10**8, 1)
    expire(b, job)
    assert [e for e in b.look() if isinstance(e, RevealEffect)] == ([RevealEffect(job, 1, sealed)] if says else [])
    assert [e for e in b.look() if isinstance(e, RevealEffect)] == []


def test_a_claim_that_is_not_in_this_nodes_book_is_not_revealed() -> None:
    b = Bench()
    job = b.chain.post("boss")
    assert b.chain.now("w", Claim(job, 5, bytes(32))) == 0
    b.chain.block(50_000)
    assert not [e for e in b.look() if isinstance(e, RevealEffect)]


def test_a_model_is_published_only_under_audit_and_all_is_given_up_at_the_end() -> None:
    b = Bench()
    job = b.chain.post("boss", finalists=1)
    sealed = b.stands(job, 10**8, 1)
    expire(b, job)
    assert b.look() == [RevealEffect(job, 1, sealed)]
    assert b.look() == []
    assert b.chain.now("w", Reveal(job, 1, model(1).cid, 100, bytes(32))) == 0
    b.chain.block(PARAMS.job_reveal)
    assert b.look() == [Publish(job, sealed)]
    assert b.look() == []
    b.worker.handle(PublishFailed(job))
    assert b.look() == [Publish(job, sealed)]
    while not b.chain.ended(job):
        b.chain.block(60_000)
    assert b.look() == [Cleanup(job, False)]
    assert b.look() == []


def test_after_a_restart_used_attempts_stay_used_and_claims_are_revealed() -> None:
    old = Bench()
    job = old.chain.post("boss")
    sealed = old.stands(job, 10**8, 1)
    b = Bench(working(attempts=3), WorkerMemory({job: {1, 2}}, {sealed: job}, set()))
    b.chain = old.chain
    b.worker = Worker(b.me, working(attempts=3), WorkerMemory({job: {1, 2}}, {sealed: job}, set()))
    (train,) = b.ready(job)
    assert train.attempt == 3
    assert b.trained(train, 2).wall_s == 5.0
    b.chain.block(50_000)
    assert RevealEffect(job, 1, sealed) in b.look()


def test_a_claim_on_its_way_at_the_restart_keeps_its_model() -> None:
    b = Bench()
    job = b.chain.post("boss")
    b.worker = Worker(b.me, WorkConfig(enabled=False), WorkerMemory({}, {b"s" * 32: job}, {job}))
    assert b.look() == []
    b.worker.handle(ClaimSettled(job))  # it never landed
    assert b.look() == [DropModel(None, b"s" * 32)]


def test_a_suspended_worker_stops() -> None:
    b = Bench()
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    account: Any = b.chain.state.get(b"a/" + b.me)
    suspended = account.__class__(account.key, 1, 0, account.balance, account.sequences, account.arrival)
    b.chain.state.commit([(b"a/" + b.me, suspended)], b.chain.state.tree)
    assert b.look() == [Kill(train.run, "this node's identity is suspended or banned")]
    assert b.worker.explain(b.chain.state, job, b.chain.clock) == "this node's identity is suspended or banned"


def test_only_failures_in_a_row_count_and_each_waits_twice_as_long() -> None:
    b = Bench(working(attempts=9))
    job = b.chain.post("boss")
    assert b.look() == [FetchImage(job)]
    b.worker.handle(ImageFailed(job, "nobody serves it", lasting=False))
    race = b.worker._progress_of[job]
    assert race.retry_at == b.chain.clock + RETRY_MS
    b.chain.block(RETRY_MS + 1)
    assert b.look() == [FetchImage(job)]
    b.worker.handle(ImageReady(job, IMAGE))
    (train,) = (e for e in b.look() if isinstance(e, StartTrain))
    b.worker.handle(RunEnded(train.run, RunStatus.FAILED, "why"))
    assert race.retry_at == b.chain.clock + RETRY_MS, "the image came: the first failure after it"
    assert not race.gave_up
    b.chain.block(RETRY_MS + 1)
    (train,) = (e for e in b.look() if isinstance(e, StartTrain))
    b.measured(train, 1, 10**8)
    for number in range(1, MAX_FAILURES):
        b.worker.handle(ImageFailed(job, "the engine is busy", lasting=False))
        assert race.retry_at == b.chain.clock + RETRY_MS * 2 ** (number - 1)
    assert not race.gave_up, "a measured model ends the row too"
    b.worker.handle(ImageFailed(job, "the engine is busy", lasting=False))
    assert race.gave_up


def test_a_model_of_a_run_that_nobody_waits_for_is_dropped() -> None:
    b = Bench()
    assert b.worker.handle(RunEnded("train-gone-1-1", RunStatus.OK, "done", 1, None, model(4))) == [DropModel(model(4))]
    assert b.worker.handle(RunEnded("train-gone-1-1", RunStatus.FAILED, "why")) == []
