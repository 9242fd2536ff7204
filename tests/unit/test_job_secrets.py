"""Secrets of jobs as they lie in the work database: each is found again as what it was kept for, after a restart too."""

from __future__ import annotations

from pathlib import Path

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job.messages import Ballot
from learningchain.chain.crypto import sha256
from learningchain.chain.losses import Measurement
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.secrets import ClaimSecret, ColumnId, FalseClaim, KeptColumn, Seat, VoteSecret
from learningchain.client.work.events import Model
from tests.unit.job_kit import sha, who
from tests.unit.work_kit import measured

JOB = sha("a job")
SEATS: list[Seat] = [(JOB, 0, 1), (JOB, 0, 2), (JOB, 1, 1), (JOB, 1, 2), (sha("another"), 0, 1), (JOB, 258, 65_537)]


def kept(loss: int) -> KeptColumn:
    measurement: Measurement = measured(loss)
    return KeptColumn(measurement, f"run {loss}")


def test_a_vote_is_that_of_its_seat() -> None:
    vote = VoteSecret(b"c" * 32, b"s" * 32, [Ballot(int(BallotCode.NOMODEL), [], [], False)], [who("a")])
    found = [secrets.of_vote(seat, vote) for seat in SEATS]
    assert [secrets.seat_in(secret) for secret in found] == SEATS
    assert len({secret.key for secret in found}) == len(SEATS) and all(secrets.vote_in(secret) == vote for secret in found)
    assert {secret.kind for secret in found} == {secrets.VOTE} and [secret.ref for secret in found] == [seat[0] for seat in SEATS]


def test_a_column_is_that_of_its_seat_its_claimant_and_its_data() -> None:
    columns = [ColumnId(seat, who(name), hidden) for seat in SEATS for name in ("a", "b") for hidden in (False, True)]
    found = [secrets.of_column(column, kept(i)) for i, column in enumerate(columns)]
    assert [secrets.column_in(secret) for secret in found] == [(column, kept(i)) for i, column in enumerate(columns)]
    assert [secrets.column_key(column) for column in columns] == [secret.key for secret in found]
    assert len({secret.key for secret in found}) == len(columns), "public and hidden losses do not overwrite each other"
    assert [secrets.seat_in(secret) for secret in found] == [column.seat for column in columns]


def test_what_opens_a_claim_lies_under_its_commitment() -> None:
    model = Model(Path("model"), b"a cid", 7)
    secret = secrets.of_claim(sha("commitment"), JOB, -5, model, b"s" * 32)
    assert (secret.kind, secret.key, secret.ref, secret.path) == (secrets.CLAIM, sha("commitment"), JOB, Path("model"))
    assert secrets.claim_in(secret) == ClaimSecret(-5, model.cid, 7, b"s" * 32)


def test_a_key_of_hidden_data_lies_under_its_hash_and_a_false_claim_stays_when_its_job_is_over() -> None:
    secret = secrets.of_key(b"k" * 32)
    assert (secret.kind, secret.key, secret.blob) == (secrets.KEY, sha256(b"k" * 32), b"k" * 32)
    found = [FalseClaim(who(name), job, who("boss"), 9) for name in ("a", "b") for job in (JOB, sha("another"))]
    kept_ = [secrets.of_false(one) for one in found]
    assert [secrets.false_in(one) for one in kept_] == found and len({one.key for one in kept_}) == 4
    assert {one.keep_ms for one in kept_} == {secrets.KEEP_FALSE_MS} and kept_[0].blob == encode(found[0])
