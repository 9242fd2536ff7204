"""The worker as a machine: for each input the effects, on states of the real ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain.contracts.job.messages import Claim, Reveal, claim_commitment
from chain.contracts.job.views import cid_text
from chain.host.terms import model_id
from client.config import WorkConfig
from client.contracts.job import policy, secrets
from client.contracts.job.worker import MAX_FAILURES, RETRY_MS, Worker
from client.work.events import Chain as Look
from client.work.events import (
    DropFile,
    DropSecret,
    Effect,
    Forget,
    ImageFailed,
    ImageReady,
    Kill,
    Model,
    NotPublished,
    PublishFile,
    ReleaseImage,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    Settled,
    StartRun,
    Submit,
)
from sandbox import EvaluationResult, RunSpec, RunStatus
from tests.unit.work_kit import PARAMS, Chain, Told, bring, recalled, tell, working

IMAGE = "sha256:" + "cd" * 32


def model(number: int) -> Model:
    return Model(Path(f"/models/{number}"), b"\x01\x55\x12\x20" + bytes([number]) * 32, 100)


def drop(number: int) -> DropFile:
    return DropFile(model(number).path)


def spec(start: StartRun) -> RunSpec:
    assert isinstance(start.spec, RunSpec), start.spec
    return start.spec


def attempt(start: StartRun) -> int:
    assert start.attempt is not None
    return start.attempt.number


def trainings(effects: list[Effect]) -> list[StartRun]:
    return [e for e in effects if isinstance(e, StartRun) and spec(e).phase == "train"]


def claims(effects: list[Effect]) -> list[tuple[bytes, int, Path | None]]:
    """(job, loss, model) of every claim that is to be made: each with the secret that opens it."""
    found = []
    for e in effects:
        if isinstance(e, Submit) and isinstance(e.op, Claim):
            assert e.secret is not None and (e.secret.key, e.secret.ref) == (e.op.commitment, e.ref)
            found.append((e.op.job, e.op.loss, e.secret.path))
    return found


def opening(job: bytes, claim: int, number: int) -> Submit:
    op = Reveal(job, claim, model(number).cid, 100, bytes(32))
    return Submit("job", f"reveal:{job.hex()}", job, op, needs=model(number).path)


def submits(effects: list[Effect]) -> list[Submit]:
    return [e for e in effects if isinstance(e, Submit)]


def serve(job: bytes, number: int) -> PublishFile:
    return PublishFile(job, cid_text(model(number).cid), model(number).path, "job")


class Bench:
    """One worker, `w`, on a chain of its own."""

    def __init__(self, config: WorkConfig | None = None) -> None:
        self.chain = Chain(["v", "x", "y", "z"], ["boss", "w"])
        self.me = self.chain.ids["w"]
        self.restart(config)
        self.told: Told | None = None

    def restart(self, config: WorkConfig | None = None, **known: Any) -> None:
        self.worker = Worker(recalled(self.chain, "w", config, **known))

    def look(self, busy: bool = False) -> list[Effect]:
        """What blocks changed, then a look; a worker that has just started is told all jobs."""
        self.told = tell(self.chain, self.worker, self.told)
        return self.worker.handle(Look(self.chain.state, self.chain.clock, busy))

    def bring(self, job: bytes) -> Effect:
        return bring(self.chain, job)

    def ready(self, job: bytes) -> list[StartRun]:
        """The job's image is there: what is started."""
        assert self.bring(job) in self.look()
        assert self.worker.handle(ImageReady(job, IMAGE)) == []
        return trainings(self.look())

    def trained(self, train: StartRun, number: int) -> StartRun:
        (check,) = self.worker.handle(RunEnded(train.run, RunStatus.OK, "done", EvaluationResult(1, 1), model(number)))
        assert isinstance(check, StartRun)
        assert (spec(check).phase, spec(check).inputs) == ("evaluate", {"model": model(number).path})
        return check

    def measured(self, train: StartRun, number: int, loss: int) -> list[Effect]:
        check = self.trained(train, number)
        return self.worker.handle(RunEnded(check.run, RunStatus.OK, "done", EvaluationResult(loss, 1, 7))) + self.look(busy=True)

    def secret(self, job: bytes, loss: int, number: int) -> Secret:
        sealed = claim_commitment(self.chain.chain_id, job, self.me, model_id(model(number).cid), bytes(32))
        return secrets.of_claim(sealed, job, loss, model(number), bytes(32))

    def stands(self, job: bytes, loss: int, number: int) -> bytes:
        """The worker's claim is on the ledger: its commitment."""
        secret = self.secret(job, loss, number)
        assert self.chain.now("w", Claim(job, loss, secret.key)) == 0
        self.worker.handle(SecretStored(secret))
        self.settled(job)
        return secret.key

    def settled(self, job: bytes) -> None:
        self.worker.handle(Settled("job", f"claim:{job.hex()}", job))


def test_an_open_job_is_fetched_trained_checked_and_claimed_with_the_measured_loss() -> None:
    b = Bench()
    job = b.chain.post("boss")
    assert b.look() == [b.bring(job)]
    assert b.look() == []
    b.worker.handle(ImageReady(job, IMAGE))
    (train,) = b.look()
    assert isinstance(train, StartRun)
    assert (train.ref, attempt(train), spec(train).image_id) == (job, 1, IMAGE)
    assert spec(train).seed == policy.train_seed(b.me, job, 1)
    check = b.trained(train, 1)
    assert (spec(check).limits.wall_s, spec(check).seed) == (5.0, int.from_bytes(job[:8], "big"))
    assert b.worker.handle(RunEnded(check.run, RunStatus.OK, "done", EvaluationResult(500, 1, 7))) == []
    assert claims(b.look()) == [(job, 500, model(1).path)]
    second = trainings(b.look())
    assert second == []  # one at a time: it runs since the look before
    assert b.worker.explain(b.chain.state, job, b.chain.clock) is None


def test_a_loss_below_the_floor_is_claimed_as_the_floor() -> None:
    b = Bench()
    job = b.chain.post("boss", floor=1_000)
    (train,) = b.ready(job)
    assert claims(b.measured(train, 1, 5)) == [(job, 1_000, model(1).path)]


def test_only_what_improves_on_the_own_claim_is_claimed_whatever_others_announce() -> None:
    b = Bench(working(attempts=9))
    job = b.chain.post("boss", tol=0)
    assert b.chain.now("v", Claim(job, 0, bytes(32))) == 0  # unbeatable, and unproven
    (train,) = b.ready(job)
    assert claims(b.measured(train, 1, 10**6)) == [(job, 10**6, model(1).path)]
    b.stands(job, 10**6, 1)
    (train,) = b.look()
    assert isinstance(train, StartRun)
    assert b.measured(train, 2, 10**6 - 21) == [drop(2)]
    (train,) = b.look()
    assert isinstance(train, StartRun)
    assert claims(b.measured(train, 3, 10**6 - 22)) == [(job, 10**6 - 22, model(3).path)]


def test_while_a_claim_is_on_its_way_the_best_of_the_rest_waits() -> None:
    b = Bench(working(attempts=9, concurrent=3))
    job = b.chain.post("boss", tol=0)
    first, second, third = b.ready(job)
    assert claims(b.measured(first, 1, 10**6)) == [(job, 10**6, model(1).path)]
    assert b.measured(second, 2, 500) == []
    check = b.trained(third, 3)
    assert b.worker.handle(RunEnded(check.run, RunStatus.OK, "done", EvaluationResult(400, 1, 7))) == [drop(2)]
    assert b.look(busy=True) == []
    b.stands(job, 10**6, 1)
    assert claims(b.look(busy=True)) == [(job, 400, model(3).path)]


def test_what_waited_for_a_claim_on_its_way_is_dropped_when_the_job_ends_first() -> None:
    b = Bench(working(attempts=2, concurrent=2))
    job = b.chain.post("boss", tol=0)
    first, second = b.ready(job)
    assert claims(b.measured(first, 1, 10**6)) == [(job, 10**6, model(1).path)]
    assert b.measured(second, 2, 500) == []
    b.chain.block(50_000)
    assert b.chain.ended(job)
    assert b.look(busy=True) == [drop(2), Forget(job)]


def test_the_model_of_a_replaced_claim_is_dropped_once_the_new_one_stands() -> None:
    b = Bench(working(attempts=1))
    job = b.chain.post("boss", tol=0)
    b.ready(job)
    old = b.stands(job, 10**6, 1)
    assert b.look(busy=True) == []
    b.stands(job, 500, 2)
    assert b.look(busy=True) == [DropSecret(secrets.CLAIM, old)]


def test_no_training_starts_while_a_committee_waits_but_a_check_goes_on() -> None:
    b = Bench()
    job = b.chain.post("boss")
    b.look()
    b.worker.handle(ImageReady(job, IMAGE))
    assert b.look(busy=True) == []
    (train,) = b.look()
    assert isinstance(train, StartRun)
    b.trained(train, 1)


def test_attempts_and_slots_are_bounded_and_the_best_paying_job_comes_first() -> None:
    b = Bench(working(concurrent=3, attempts=2))
    poor, rich = b.chain.post("boss", bounty=10), b.chain.post("boss", bounty=20)
    assert b.look() == [b.bring(rich), b.bring(poor)]
    for job in (poor, rich):
        b.worker.handle(ImageReady(job, IMAGE))
    started = [(e.ref, attempt(e)) for e in trainings(b.look())]
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
    assert b.worker.handle(RunEnded(train.run, RunStatus.OK, "done", EvaluationResult(1, 1), model(1))) == [drop(1)]


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
    started = [attempt(e) for e in trainings(b.look())]
    assert started == ([again] if again else [])


def test_a_job_that_fails_again_and_again_is_given_up_with_the_reason() -> None:
    b = Bench(working(attempts=9))
    job = b.chain.post("boss")
    assert b.look() == [b.bring(job)]
    for _ in range(MAX_FAILURES):
        b.worker.handle(ImageFailed(job, "nobody serves it", lasting=False))
    b.chain.block(15_000)
    assert b.look() == [ReleaseImage(job)]
    assert b.worker.explain(b.chain.state, job, b.chain.clock) == "given up after 3 failures in a row: nobody serves it"


def test_an_image_that_breaks_a_rule_is_not_tried_again() -> None:
    b = Bench()
    job = b.chain.post("boss")
    b.look()
    b.worker.handle(ImageFailed(job, "it declares a VOLUME", lasting=True))
    b.chain.block(15_000)
    assert b.look() == [ReleaseImage(job)]


def test_what_was_fetched_for_a_job_makes_room_once_nothing_more_is_trained_for_it() -> None:
    b = Bench(working(attempts=2))
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    assert ReleaseImage(job) not in b.measured(train, 1, 10**8)
    b.stands(job, 10**8, 1)
    (train,) = trainings(b.look())
    check = b.trained(train, 2)
    assert ReleaseImage(job) not in b.look()  # its own evaluation is still to come
    b.worker.handle(RunEnded(check.run, RunStatus.OK, "done", EvaluationResult(2 * 10**8, 1, 7)))
    assert [e for e in b.look() if isinstance(e, ReleaseImage)] == [ReleaseImage(job)]
    assert not [e for e in b.look() if isinstance(e, ReleaseImage)]
    # The claim is as good as before: it is revealed, and its model stays.
    expire(b, job)
    assert opening(job, 1, 1) in b.look()


def test_a_model_that_its_own_evaluation_refuses_is_never_claimed() -> None:
    b = Bench()
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    check = b.trained(train, 1)
    assert b.worker.handle(RunEnded(check.run, RunStatus.MODEL_INVALID, "exit 65")) == [drop(1)]
    assert not claims(b.look())


def expire(b: Bench, job: bytes, state: str = "REVEAL") -> None:
    b.chain.block(50_000)
    assert b.chain.describe(job)["state"] == state


@pytest.mark.parametrize(("reveal", "must", "says"), [("always", False, True), ("must", False, False), ("must", True, True)])
def test_reveals_are_made_once_and_where_the_policy_wants_them(reveal: Any, must: bool, says: bool) -> None:
    b = Bench(working(reveal=reveal))
    job = b.chain.post("boss", finalists=1)
    if not must:
        assert b.chain.now("v", Claim(job, 1, bytes(32))) == 0
    b.stands(job, 10**8, 1)
    expire(b, job)
    assert submits(b.look()) == ([opening(job, 1, 1)] if says else [])
    assert submits(b.look()) == []


def test_a_claim_that_is_not_in_this_nodes_book_is_not_revealed() -> None:
    b = Bench()
    job = b.chain.post("boss")
    assert b.chain.now("w", Claim(job, 5, bytes(32))) == 0
    b.chain.block(50_000)
    assert not submits(b.look())


def test_a_model_is_published_only_under_audit_and_all_is_given_up_at_the_end() -> None:
    b = Bench()
    job = b.chain.post("boss", finalists=1)
    b.stands(job, 10**8, 1)
    expire(b, job)
    assert b.look() == [opening(job, 1, 1)]
    assert b.look() == []
    assert b.chain.now("w", Reveal(job, 1, model(1).cid, 100, bytes(32))) == 0
    b.chain.block(PARAMS.job_reveal)
    assert b.look() == [serve(job, 1)]
    assert b.look() == []
    b.worker.handle(NotPublished(job, cid_text(model(1).cid)))
    assert b.look() == [serve(job, 1)]
    while not b.chain.ended(job):
        b.chain.block(60_000)
    assert b.look() == [Forget(job)]
    assert b.look() == []


def test_after_a_restart_used_attempts_stay_used_and_claims_are_revealed() -> None:
    old = Bench()
    job = old.chain.post("boss")
    old.stands(job, 10**8, 1)
    b = Bench()
    b.chain = old.chain
    b.restart(working(attempts=3), secrets=[old.secret(job, 10**8, 1)], attempts={"job": {job: {1, 2}}})
    (train,) = b.ready(job)
    assert attempt(train) == 3
    assert spec(b.trained(train, 2)).limits.wall_s == 5.0
    b.chain.block(50_000)
    assert opening(job, 1, 1) in b.look()


def test_a_claim_on_its_way_at_the_restart_keeps_its_model() -> None:
    b = Bench()
    job = b.chain.post("boss")
    secret = b.secret(job, 500, 1)
    b.restart(WorkConfig(enabled=False), secrets=[secret], pending=[("job", f"claim:{job.hex()}", job)])
    assert b.look() == []
    b.settled(job)  # it never landed
    assert b.look() == [DropSecret(secrets.CLAIM, secret.key)]


def test_a_claim_that_the_disk_refused_is_offered_again_while_the_job_takes_it_and_then_dropped() -> None:
    b = Bench(working(attempts=1))
    job = b.chain.post("boss")
    (train,) = b.ready(job)
    (submit,) = submits(b.measured(train, 1, 10**8))
    assert submit.secret is not None
    for _ in range(2):
        assert b.worker.handle(SecretRefused(submit.secret)) == [submit]
    expire(b, job, "EMPTY")
    assert b.worker.handle(SecretRefused(submit.secret)) == [drop(1)]
    assert b.look() == [Forget(job)]


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
    assert b.look() == [b.bring(job)]
    b.worker.handle(ImageFailed(job, "nobody serves it", lasting=False))
    progress = b.worker._progress_of[job]
    assert progress.retry_at == b.chain.clock + RETRY_MS
    b.chain.block(RETRY_MS + 1)
    assert b.look() == [b.bring(job)]
    b.worker.handle(ImageReady(job, IMAGE))
    (train,) = trainings(b.look())
    b.worker.handle(RunEnded(train.run, RunStatus.FAILED, "why"))
    assert progress.retry_at == b.chain.clock + RETRY_MS, "the image came: the first failure after it"
    assert not progress.gave_up
    b.chain.block(RETRY_MS + 1)
    (train,) = trainings(b.look())
    b.measured(train, 1, 10**8)
    for number in range(1, MAX_FAILURES):
        b.worker.handle(ImageFailed(job, "the engine is busy", lasting=False))
        assert progress.retry_at == b.chain.clock + RETRY_MS * 2 ** (number - 1)
    assert not progress.gave_up, "a measured model ends the row too"
    b.worker.handle(ImageFailed(job, "the engine is busy", lasting=False))
    assert progress.gave_up


def test_a_model_of_a_run_that_nobody_waits_for_is_dropped() -> None:
    b = Bench()
    assert b.worker.handle(RunEnded("train-gone-1-1", RunStatus.OK, "done", EvaluationResult(1, 1), model(4))) == [drop(4)]
    assert b.worker.handle(RunEnded("train-gone-1-1", RunStatus.FAILED, "why")) == []
