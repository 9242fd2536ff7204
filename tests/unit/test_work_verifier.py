"""The verifier as a machine: for each input the effects, on states of the real ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chain.contracts.job import rules
from chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    HiddenSet,
    OpenVote,
    Reveal,
    RevealKey,
    claim_commitment,
    vote_commitment,
)
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.contracts.membership import JudgeCase
from chain.crypto import sha256
from chain.host.terms import model_id
from chain.verification import scale
from client.config import WorkConfig
from client.contracts.job import secrets
from client.contracts.job.ballots import MAX_TRIES
from client.contracts.job.secrets import VoteSecret
from client.contracts.job.verifier import Verifier
from client.work.events import Chain as Look
from client.work.events import (
    ContentMissing,
    ContentReady,
    Decrypt,
    Effect,
    EndScope,
    FetchContent,
    ImageFailed,
    ImageReady,
    Kill,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    StartRun,
    Submit,
)
from sandbox import EvaluationResult, RunSpec, RunStatus
from tests.unit.work_kit import PARAMS, Chain, Told, bring, recalled, tell, working

IMAGE = "sha256:" + "cd" * 32
PATH, EVAL = Path("/models/1"), Path("/hidden/1")
CID = b"\x01\x55\x12\x20" + b"m" * 32
CLAIMED = 10**8
KEY = bytes(32)
HIDDEN = HiddenSet(b"\x01\x55\x12\x20" + b"h" * 32, sha256(b"plain"), sha256(KEY), 50)


@dataclass(frozen=True)
class Committed:
    """What is in a submitted commitment of ballots."""

    seat: secrets.Seat
    ballots: tuple[Ballot, ...]
    claimants: tuple[bytes, ...]


class Bench:
    """Verifier `a`, one of three, and a job with one revealed claim by `w`."""

    def __init__(self, config: WorkConfig | None = None, hidden: bool = False) -> None:
        self.chain = Chain(["a", "b", "c"], ["boss", "w"])
        self.me, self.w = self.chain.ids["a"], self.chain.ids["w"]
        self.restart(config)
        self.told: Told | None = None
        self.submitted: list[Submit] = []
        """Commitments of ballots, the newest last."""
        self.job = self.chain.post("boss", hidden=[HIDDEN] if hidden else [])
        sealed = claim_commitment(self.chain.chain_id, self.job, self.w, model_id(CID), bytes(32))
        assert self.chain.now("w", Claim(self.job, CLAIMED, sealed)) == 0
        self.chain.block(50_000)
        assert self.chain.now("w", Reveal(self.job, 1, CID, 100, bytes(32))) == 0
        self.seat = (self.job, 0, 1)

    def restart(self, config: WorkConfig | None = None, name: str = "a", **known: Any) -> None:
        self.verifier = Verifier(recalled(self.chain, name, config, **known))

    @property
    def scope(self) -> str:
        job, audit, round_ = self.seat
        return f"{job.hex()}-{audit}-{round_}"

    def bring(self, *, urgent: bool = False) -> Effect:
        return bring(self.chain, self.job, urgent=urgent)

    def audit(self) -> Bench:
        self.chain.block(PARAMS.job_reveal)
        if self.chain.describe(self.job)["state"] == "KEY":
            assert self.chain.now("boss", RevealKey(self.job, KEY)) == 0
        assert self.chain.describe(self.job)["state"] == "COMMIT"
        return self

    def look(self) -> list[Any]:
        """The effects, with commitments as what is in them."""
        self.told = tell(self.chain, self.verifier, self.told)
        return [self.read(effect) for effect in self.verifier.handle(Look(self.chain.state, self.chain.clock))]

    def read(self, effect: Effect) -> Any:
        if not isinstance(effect, Submit) or not isinstance(effect.op, CommitVote):
            return effect
        assert effect.secret is not None
        self.submitted.append(effect)
        seat, vote = secrets.seat_in(effect.secret), secrets.vote_in(effect.secret)
        assert (effect.op.job, effect.op.audit, effect.op.round) == seat
        assert (
            effect.op.commitment == vote_commitment(self.chain.chain_id, *seat, self.me, vote.ballots, vote.salt) == vote.commitment
        )
        return Committed(seat, tuple(vote.ballots), tuple(vote.claimants))

    def sitting(self) -> StartRun:
        """Image and model are here: the evaluation that starts."""
        self.audit().look()
        self.verifier.handle(ImageReady(self.job, IMAGE))
        self.verifier.handle(ContentReady(self.scope, "0", PATH))
        (start,) = self.look()
        assert isinstance(start, StartRun)
        return start

    def ended(self, start: StartRun, status: RunStatus = RunStatus.OK, loss: int | None = None, probe: int | None = 7) -> list[Any]:
        measured = None if loss is None else EvaluationResult(loss, 1, probe)
        assert self.verifier.handle(RunEnded(start.run, status, "why", measured)) == []
        return self.look()

    def committed(self, *ballots: Ballot) -> Committed:
        return Committed(self.seat, ballots, (self.w,))

    def late(self) -> None:
        """Almost at the deadline: no time is left to measure anything."""
        left = self.chain.describe(self.job)["deadline"] - self.chain.clock
        self.chain.block(left - 2_000)


def vote(seat: secrets.Seat, sealed: bytes, *said: tuple[bytes, Ballot]) -> Secret:
    """Ballots of a seat as they lie in the database: who is judged, and how."""
    return secrets.of_vote(seat, VoteSecret(sealed, bytes(32), [b for _, b in said], [who for who, _ in said]))


def spec(start: StartRun) -> RunSpec:
    assert isinstance(start.spec, RunSpec), start.spec
    return start.spec


def ballot(code: VoteCode, measured: int = 0, probe: int = 0, hidden: HiddenVote = HiddenVote.NONE, hidden_loss: int = 0) -> Ballot:
    return Ballot(int(code), measured, probe, int(hidden), hidden_loss)


def test_the_image_is_fetched_ahead_and_the_model_once_it_is_under_audit() -> None:
    b = Bench()
    assert b.look() == [b.bring()]
    assert b.look() == []
    assert not b.verifier.busy
    b.verifier.handle(ImageReady(b.job, IMAGE))
    (fetch,) = b.audit().look()
    assert isinstance(fetch, FetchContent)
    assert (fetch.scope, fetch.tag, fetch.ref, fetch.max_size) == (b.scope, "0", b.job, 100)
    deadline = b.chain.describe(b.job)["deadline"]
    assert b.chain.clock < fetch.until < deadline - 10_000  # the evaluation itself needs its time
    assert b.verifier.busy


def test_an_image_that_was_asked_for_ahead_is_hurried_once_a_seat_needs_it() -> None:
    b = Bench()
    assert b.look() == [b.bring()]
    image, model = b.audit().look()
    assert image == b.bring(urgent=True)
    assert isinstance(model, FetchContent)
    assert b.look() == []


def test_an_evaluation_gets_the_seed_of_the_job_and_the_probe_of_the_round() -> None:
    b = Bench()
    start = b.sitting()
    round_ = b.chain.describe(b.job)["rounds"][0]
    assert (spec(start).seed, spec(start).probe) == (int.from_bytes(b.job[:8], "big"), round_["probe"])
    assert (spec(start).inputs, spec(start).image_id, spec(start).limits.wall_s) == ({"model": PATH}, IMAGE, 12.5)


BASE = scale.base(1, CLAIMED)
TOL = scale.tolerance(1, 1_000, CLAIMED)
BOUND = scale.bound(1, CLAIMED)


@pytest.mark.parametrize(
    ("measured", "code"),
    [
        (CLAIMED, VoteCode.OK),
        (CLAIMED + TOL, VoteCode.OK),
        (CLAIMED + TOL + 1, VoteCode.NEAR),
        (CLAIMED + BOUND, VoteCode.NEAR),
        (CLAIMED + BOUND + 1, VoteCode.FALSE),
        (-5, VoteCode.OK),
    ],
)
def test_a_measured_loss_becomes_a_vote(measured: int, code: VoteCode) -> None:
    b = Bench()
    assert b.ended(b.sitting(), loss=measured) == [b.committed(ballot(code, measured, 7))]
    assert b.look() == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus.MODEL_INVALID, VoteCode.INVALID),
        (RunStatus.UNSUPPORTED, VoteCode.ABSTAIN),
        (RunStatus.OUT_OF_RESOURCES, VoteCode.ABSTAIN),
        (RunStatus.FAILED, VoteCode.ABSTAIN),
        (RunStatus.BAD_RESULT, VoteCode.ABSTAIN),
        (RunStatus.TIMEOUT, VoteCode.ABSTAIN),
        (RunStatus.CANCELLED, VoteCode.ABSTAIN),
    ],
)
def test_what_a_run_without_a_loss_becomes(status: RunStatus, code: VoteCode) -> None:
    b = Bench()
    assert b.ended(b.sitting(), status) == [b.committed(ballot(code))]


def test_a_loss_without_a_probe_is_no_measurement() -> None:
    b = Bench()
    assert b.ended(b.sitting(), loss=CLAIMED, probe=None) == [b.committed(ballot(VoteCode.ABSTAIN))]


def test_an_engine_that_fails_is_tried_again_a_few_times() -> None:
    b = Bench()
    start = b.sitting()
    for _ in range(MAX_TRIES - 1):
        assert b.ended(start, RunStatus.ENGINE_ERROR) == []
        b.chain.block(3_000)
        (again,) = b.look()
        assert isinstance(again, StartRun)
        assert again.run != start.run
        start = again
    assert b.ended(start, RunStatus.ENGINE_ERROR) == [b.committed(ballot(VoteCode.ABSTAIN))]


@pytest.mark.parametrize(("local", "code"), [(False, VoteCode.NOMODEL), (True, VoteCode.ABSTAIN)])
def test_a_model_that_is_not_to_be_had(local: bool, code: VoteCode) -> None:
    b = Bench()
    b.audit().look()
    b.verifier.handle(ContentMissing(b.scope, "0", local, "why"))
    assert b.look() == [b.committed(ballot(code))]


@pytest.mark.parametrize("fetched", [True, False])
def test_without_time_left_the_vote_says_what_was_had(fetched: bool) -> None:
    b = Bench()
    b.audit().look()
    if fetched:
        b.verifier.handle(ContentReady(b.scope, "0", PATH))
    b.late()
    code = VoteCode.ABSTAIN if fetched else VoteCode.NOMODEL
    assert b.look() == [b.committed(ballot(code))]


def test_a_run_that_is_too_slow_is_killed_for_the_vote() -> None:
    b = Bench()
    start = b.sitting()
    b.late()
    kill, commit = b.look()
    assert isinstance(kill, Kill)
    assert kill.run == start.run
    assert commit == b.committed(ballot(VoteCode.ABSTAIN))


def test_a_round_that_ended_is_left() -> None:
    b = Bench()
    start = b.sitting()
    while b.chain.describe(b.job)["state"] == "COMMIT":
        b.chain.block(60_000)
    kill, done = b.look()
    assert (kill, done) == (Kill(start.run, "the round is over"), EndScope(b.scope))
    assert not b.verifier.busy


@pytest.mark.parametrize("config", [working(verify=False), working(max_mem_mb=32), working(max_model_mb=1, max_run_s=1)])
def test_a_node_that_may_not_or_cannot_run_it_abstains_at_once(config: WorkConfig) -> None:
    b = Bench(config)
    assert b.look() == []
    assert b.audit().look() == [b.committed(ballot(VoteCode.ABSTAIN))]


def test_an_image_that_breaks_a_rule_means_an_abstention_and_a_missing_one_another_try() -> None:
    b = Bench()
    b.audit().look()
    b.verifier.handle(ImageFailed(b.job, "nobody", lasting=False))
    assert b.look() == []
    b.chain.block(3_000)
    assert b.look() == [b.bring(urgent=True)]
    b.verifier.handle(ImageFailed(b.job, "a VOLUME", lasting=True))
    assert b.look() == [b.committed(ballot(VoteCode.ABSTAIN))]


def test_a_ballot_that_is_decided_is_not_changed_by_what_fails_later() -> None:
    b = Bench()
    b.audit().look()
    b.verifier.handle(ContentMissing(b.scope, "0", False, "nobody serves it"))
    b.verifier.handle(ImageFailed(b.job, "a VOLUME", lasting=True))
    assert b.look() == [b.committed(ballot(VoteCode.NOMODEL))]


def test_stored_ballots_are_opened_and_never_made_anew() -> None:
    b = Bench()
    (commit,) = b.ended(b.sitting(), loss=CLAIMED)
    (submit,) = b.submitted
    assert isinstance(commit, Committed) and submit.secret is not None
    b.verifier.handle(SecretStored(submit.secret))
    assert b.look() == [EndScope(b.scope)]
    assert not b.verifier.busy
    for name in ("a", "b", "c"):
        assert b.chain.now(name, submit.op if name == "a" else CommitVote(b.job, 0, 1, b"c" * 32)) == 0
    salt = secrets.vote_in(submit.secret).salt
    assert b.look() == [Submit("job", f"open:{b.job.hex()}:0:1", b.job, OpenVote(b.job, 0, 1, list(commit.ballots), salt))]
    assert b.look() == []


def test_ballots_that_the_disk_refused_are_offered_again() -> None:
    b = Bench()
    (commit,) = b.ended(b.sitting(), loss=CLAIMED)
    assert b.look() == []
    (submit,) = b.submitted
    assert submit.secret is not None
    b.verifier.handle(SecretRefused(submit.secret))
    assert b.look() == [commit]


def test_after_a_restart_a_stored_ballot_is_not_evaluated_again() -> None:
    b = Bench()
    b.restart(secrets=[vote(b.seat, b"c" * 32)])
    b.audit()
    assert b.look() == []
    assert not b.verifier.busy


def test_a_commitment_that_is_not_this_nodes_is_not_opened() -> None:
    b = Bench()
    b.audit()
    for name in ("a", "b", "c"):
        assert b.chain.now(name, CommitVote(b.job, 0, 1, b"c" * 32)) == 0
    b.restart(secrets=[vote(b.seat, b"d" * 32)])
    assert b.look() == []


# --- hidden data ---------------------------------------------------------------------------------------------------------------


class Hidden(Bench):
    def __init__(self) -> None:
        super().__init__(hidden=True)

    def started(self, opened: ContentReady | ContentMissing) -> StartRun:
        effects = self.audit().look()
        (wanted,) = [e for e in effects if isinstance(e, Decrypt)]
        assert (wanted.key, wanted.plain_hash, wanted.size) == (KEY, HIDDEN.plain_hash, 50)
        self.verifier.handle(ImageReady(self.job, IMAGE))
        self.verifier.handle(ContentReady(self.scope, "0", PATH))
        assert self.look() == []  # not before the data are open
        self.verifier.handle(opened)
        (start,) = self.look()
        assert isinstance(start, StartRun)
        assert "eval" not in spec(start).inputs
        return start

    def second(self, start: StartRun, measured: int) -> StartRun:
        (second,) = self.ended(start, loss=measured)
        assert isinstance(second, StartRun)
        assert (spec(second).inputs["eval"], spec(second).probe) == (EVAL, spec(start).probe)
        return second

    @property
    def opened(self) -> ContentReady:
        return ContentReady(self.scope, "hidden", EVAL)


def test_a_hidden_round_measures_twice() -> None:
    b = Hidden()
    second = b.second(b.started(b.opened), CLAIMED)
    assert b.ended(second, loss=77, probe=3) == [b.committed(ballot(VoteCode.OK, CLAIMED, 7, HiddenVote.VALUE, 77))]


@pytest.mark.parametrize(
    ("measured", "status", "want"),
    [
        (CLAIMED, RunStatus.FAILED, ballot(VoteCode.ABSTAIN)),
        (CLAIMED, RunStatus.MODEL_INVALID, ballot(VoteCode.INVALID)),
        (9 * 10**8, RunStatus.FAILED, ballot(VoteCode.FALSE, 9 * 10**8, 7, HiddenVote.VALUE, rules.MAX_LOSS)),
    ],
)
def test_a_model_that_fails_on_the_hidden_data(measured: int, status: RunStatus, want: Ballot) -> None:
    b = Hidden()
    assert b.ended(b.second(b.started(b.opened), measured), status) == [b.committed(want)]


def test_a_key_that_opens_junk_is_said_with_the_public_measurement() -> None:
    b = Hidden()
    start = b.started(ContentMissing(b.scope, "hidden", False, "junk", bad=True))
    assert b.ended(start, loss=CLAIMED) == [b.committed(ballot(VoteCode.OK, CLAIMED, 7, HiddenVote.BADKEY))]


def test_without_the_hidden_file_this_node_cannot_vote() -> None:
    b = Hidden()
    b.audit().look()
    b.verifier.handle(ContentMissing(b.scope, "hidden", False, "nobody has it", bad=False))
    assert b.look() == [b.committed(ballot(VoteCode.ABSTAIN))]


# --- judging -------------------------------------------------------------------------------------------------------------------


def suspended(memory: bool = True, config: WorkConfig | None = None, name: str = "a") -> Bench:
    """All three measured a false claim; `w` is suspended."""
    b = Bench()
    b.audit()
    false = ballot(VoteCode.FALSE, 9 * 10**8, 7)
    for voter in ("a", "b", "c"):
        sealed = vote_commitment(b.chain.chain_id, b.job, 0, 1, b.chain.ids[voter], [false], bytes(32))
        assert b.chain.now(voter, CommitVote(b.job, 0, 1, sealed)) == 0
    for voter in ("a", "b", "c"):
        assert b.chain.now(voter, OpenVote(b.job, 0, 1, [false], bytes(32))) == 0
    assert b.chain.describe(b.job)["cases"][0]["state"] == "PENDING"
    b.restart(config, name, secrets=[vote(b.seat, bytes(32), (b.w, false))] if memory else [])
    return b


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, True),
        ({"memory": False}, False),
        ({"config": working(judge="never")}, False),
        ({"name": "boss"}, False),
    ],
    ids=["own measurement", "measured nothing", "never", "no validator"],
)
def test_a_ban_is_confirmed_only_by_a_validator_that_measured_it(given: dict[str, Any], says: bool) -> None:
    b = suspended(**given)
    assert b.look() == ([Submit("job", f"judge:{b.w.hex()}:{b.job.hex()}", b.job, JudgeCase(b.w, True))] if says else [])
    assert b.look() == []


@pytest.mark.parametrize("word", [True, False])
def test_a_word_that_was_said_is_not_said_again_nor_overruled(word: bool) -> None:
    b = suspended()
    assert b.chain.now("a", JudgeCase(b.w, word)) == 0
    assert b.look() == []


def test_nothing_is_kept_for_a_case_that_is_closed() -> None:
    b = suspended()
    b.look()
    for _ in range(3):
        b.chain.block(60_000)
    b.look()
    assert b.verifier._judge._measured == set()
