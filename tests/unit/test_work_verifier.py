"""The verifier as a machine: for each input the effects, on states of the real ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    OpenVote,
    Reveal,
    RevealKey,
    claim_commitment,
    vote_commitment,
)
from learningchain.chain.contracts.job.records import ClaimantIndex, Posting
from learningchain.chain.contracts.membership import Case, JudgeCase, case_key
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import HiddenSet, model_id
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.losses import LossTree, Measurement, Opening, Probe, draw_probe, open_losses
from learningchain.chain.verification import scale
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.ballots import CandidateProgress
from learningchain.client.contracts.job.roles.judging import CaseJudge
from learningchain.client.contracts.job.roles.secrets import ColumnId, FalseClaim, KeptColumn, VoteSecret
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.work.events import Chain as Look
from learningchain.client.work.events import (
    ContentMissing,
    ContentReady,
    Decrypt,
    DropLosses,
    DropSecret,
    Effect,
    FetchContent,
    ImageFailed,
    ImageReady,
    KeepSecret,
    Kill,
    LossesOpened,
    OpenLosses,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    StartRun,
    Submit,
)
from learningchain.sandbox import RunSpec, RunStatus
from tests.unit.work_kit import CAPACITY, Chain, Told, bring, evaluated, measured, posting, recalled, tell, working

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
    """Verifier `a`, one of three, and a job with one claim by `w`, which is about to be revealed."""

    def __init__(
        self, config: WorkConfig | None = None, hidden: bool = False, chain: Chain | None = None, poster: str = "boss"
    ) -> None:
        self.chain = chain or Chain(["a", "b", "c"], ["boss", "rival", "w"])
        self.me, self.w = self.chain.ids["a"], self.chain.ids["w"]
        self.restart(config)
        self.told: Told | None = None
        self.submitted: list[Submit] = []
        """Commitments of ballots, the newest last."""
        self.poster, self.hidden = poster, hidden
        self.job = self.chain.post(poster, hidden=[HIDDEN] if hidden else [])
        sealed = claim_commitment(self.chain.chain_id, self.job, self.w, model_id(CID), bytes(32))
        assert self.chain.now("w", Claim(self.job, CLAIMED, sealed, True)) == 0
        self.chain.block(50_000)
        assert self.state == "REVEAL"
        self.seat = (self.job, 0, 1)

    @property
    def state(self) -> str:
        return str(self.chain.describe(self.job)["state"])

    def restart(self, config: WorkConfig | None = None, name: str = "a", **known: Any) -> None:
        self.verifier = Verifier(recalled(self.chain, name, config, **known))

    @property
    def scope(self) -> str:
        job, audit, round_ = self.seat
        return f"{job.hex()}-{audit}-{round_}"

    def bring(self, *, urgent: bool = False) -> Effect:
        return bring(self.chain, self.job, urgent=urgent)

    def audit(self) -> Bench:
        """The model is revealed, the key opened, the committee drawn."""
        assert self.chain.now("w", Reveal(self.job, 1, CID, 100, bytes(32))) == 0
        self.chain.block()
        if self.state == "KEY":
            assert self.chain.now(self.poster, RevealKey(self.job, KEY)) == 0
        assert self.state == "DRAW"
        self.chain.block()
        assert self.state == "COMMIT"
        return self

    def look(self, evaluators: int = 1) -> list[Any]:
        """The effects, with commitments as what is in them."""
        self.told = tell(self.chain, self.verifier, self.told)
        given = Look(self.chain.state, self.chain.clock, evaluators=evaluators)
        return [self.read(effect) for effect in self.verifier.handle(given)]

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

    def ended(self, start: StartRun, status: RunStatus = RunStatus.OK, loss: int | None = None) -> list[Any]:
        """What a run came to; what it measured is stored at once."""
        said = self.verifier.handle(RunEnded(start.run, status, "why", None if loss is None else measured(loss)))
        if loss is not None and status is RunStatus.OK:
            (keep,) = said
            assert isinstance(keep, KeepSecret)
            assert self.verifier.handle(SecretStored(keep.secret)) == []
        else:
            assert said == []
        return self.look()

    def committed(self, *ballots: Ballot) -> Committed:
        return Committed(self.seat, ballots, (self.w,))

    def late(self) -> None:
        """Almost at the deadline: no time is left to measure anything."""
        left = self.chain.describe(self.job)["deadline"] - self.chain.clock
        self.chain.block(left - 2_000)

    def vote(self, loss: int, hidden: int | None = None) -> VoteSecret:
        """This node's vote is on its disk and everybody's on the ledger."""
        (commit,) = self.ended(self.sitting(), loss=loss)
        assert isinstance(commit, Committed)
        submit = self.submitted[-1]
        assert submit.secret is not None
        self.verifier.handle(SecretStored(submit.secret))
        for name in ("a", "b", "c"):
            assert self.chain.now(name, submit.op if name == "a" else CommitVote(self.job, 0, 1, b"c" * 32)) == 0
        self.chain.block()
        assert self.state == "COUNT"
        return secrets.vote_in(submit.secret)

    def probe(self, count: int = 100) -> Probe:
        beacon = bytes.fromhex(self.chain.describe(self.job)["rounds"][0]["probe"])
        return draw_probe(beacon, *self.seat, count)

    def opening(self, loss: int) -> Opening:
        return open_losses(LossTree(evaluated(loss).losses), self.probe())


def column(b: Bench, loss: int, run: str = "verify-1", hidden: bool = False) -> Secret:
    """What a verifier measured of `w`, as it lies in the database."""
    return secrets.of_column(ColumnId(b.seat, b.w, hidden), KeptColumn(measured(loss), run))


def vote(seat: secrets.Seat, sealed: bytes, *said: tuple[bytes, Ballot]) -> Secret:
    """Ballots of a seat as they lie in the database: who is judged, and how."""
    return secrets.of_vote(seat, VoteSecret(sealed, bytes(32), [b for _, b in said], [who for who, _ in said]))


def spec(start: StartRun) -> RunSpec:
    assert isinstance(start.spec, RunSpec), start.spec
    return start.spec


def ballot(code: BallotCode, loss: int | None = None, hidden: int | None = None, badkey: bool = False) -> Ballot:
    columns: list[list[Measurement]] = [[] if one is None else [measured(one)] for one in (loss, hidden)]
    return Ballot(int(code), columns[0], columns[1], badkey)


def test_the_image_is_fetched_ahead_and_the_model_once_it_is_under_audit() -> None:
    b = Bench()
    assert b.look() == [b.bring()]
    assert b.look() == []
    assert not b.verifier.busy
    b.verifier.handle(ImageReady(b.job, IMAGE))
    assert b.chain.now("w", Reveal(b.job, 1, CID, 100, bytes(32))) == 0
    b.chain.block()
    assert (b.look(), b.state) == ([], "DRAW")
    b.chain.block()
    (fetch,) = b.look()
    assert isinstance(fetch, FetchContent)
    assert (fetch.scope, fetch.tag, fetch.ref, fetch.max_size) == (b.scope, "0", b.job, 100)
    deadline = b.chain.describe(b.job)["deadline"]
    assert b.chain.clock < fetch.until < deadline - 10_000  # the evaluation itself needs its time
    assert b.verifier.busy


@pytest.mark.parametrize(
    ("size", "claimed", "before_ms"),
    [
        pytest.param(3_565_158_400, True, 3_565_158, id="an image of an hour"),
        pytest.param(3_565_158_400, False, None, id="which nobody claimed with: no committee is drawn"),
        pytest.param(50_000_000, True, None, id="what comes within the time for reveals"),
    ],
)
def test_a_large_image_is_fetched_before_its_job_closes(size: int, claimed: bool, before_ms: int | None) -> None:
    """The windows of a committee are for its evaluations: who begins then abstains."""
    b = Bench(chain=Chain(["a", "b", "c"], ["boss", "rival", "w"], capacity=CAPACITY))
    chain, expiry = b.chain, b.chain.clock + 7_200_000
    job = chain.post("rival", expiry=expiry, image=replace(posting(0).image, size=size))
    sealed = claim_commitment(chain.chain_id, job, b.w, model_id(CID), bytes(32))
    assert not claimed or chain.now("w", Claim(job, CLAIMED, sealed, True)) == 0

    def asked_at(clock: int) -> bool:
        while chain.clock < clock:
            chain.block(min(50_000, clock - chain.clock))
        return bring(chain, job) in b.look()

    begins = expiry if before_ms is None else expiry - before_ms
    assert not asked_at(chain.clock + 1_000) and not asked_at(begins - 2_000)
    assert before_ms is None or (asked_at(begins + 1_000) and not b.look() and not b.verifier.gives_up(job))


def test_an_evaluation_says_nothing_of_who_runs_it_and_its_losses_are_kept() -> None:
    b = Bench()
    start = b.sitting()
    assert (spec(start).seed, start.keep) == (None, True)
    assert (spec(start).inputs, spec(start).image_id, spec(start).limits.wall_s) == ({"model": PATH}, IMAGE, 12.5)


def test_each_computer_that_evaluates_has_one_evaluation_at_a_time() -> None:
    b = Bench()
    first = b.sitting()
    seat = b.verifier._duties[b.seat]
    seat.candidates += [CandidateProgress(b"other", CLAIMED, path=PATH), CandidateProgress(b"third", CLAIMED, path=PATH)]
    assert b.look() == [] and b.look(evaluators=1) == []
    (second,) = b.look(evaluators=2)
    assert isinstance(second, StartRun) and second.run != first.run
    assert b.look(evaluators=2) == []
    b.verifier.handle(RunEnded(first.run, RunStatus.FAILED, "why", None))
    (third,) = b.look(evaluators=2)
    assert isinstance(third, StartRun) and third.run not in (first.run, second.run)


TOL = scale.tolerance(1, 1_000, CLAIMED)
BOUND = scale.bound(1, CLAIMED)


@pytest.mark.parametrize(
    ("measured_", "code"),
    [
        (CLAIMED, BallotCode.OK),
        (CLAIMED + TOL, BallotCode.OK),
        (CLAIMED + TOL + 1, BallotCode.NEAR),
        (CLAIMED + BOUND, BallotCode.NEAR),
        (CLAIMED + BOUND + 1, BallotCode.FALSE),
        (-5, BallotCode.OK),
    ],
)
def test_a_measured_mean_becomes_a_vote(measured_: int, code: BallotCode) -> None:
    b = Bench()
    assert b.ended(b.sitting(), loss=measured_) == [b.committed(ballot(code, measured_))]
    assert b.look() == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus.MODEL_INVALID, BallotCode.INVALID),
        (RunStatus.UNSUPPORTED, BallotCode.BROKEN),
        (RunStatus.OUT_OF_RESOURCES, BallotCode.BROKEN),
        (RunStatus.FAILED, BallotCode.BROKEN),
        (RunStatus.BAD_RESULT, BallotCode.BROKEN),
        (RunStatus.TIMEOUT, BallotCode.BROKEN),
        (RunStatus.NOT_STARTED, BallotCode.ABSTAIN),
        (RunStatus.CANCELLED, BallotCode.ABSTAIN),
    ],
)
def test_what_a_run_without_losses_becomes(status: RunStatus, code: BallotCode) -> None:
    b = Bench()
    assert b.ended(b.sitting(), status) == [b.committed(ballot(code))]


def test_a_run_that_was_started_too_late_for_its_full_time_says_nothing_of_the_model() -> None:
    b = Bench()
    b.audit().look()
    b.verifier.handle(ImageReady(b.job, IMAGE))
    left = b.chain.describe(b.job)["deadline"] - b.chain.clock
    b.chain.block(left - 8_000)
    b.verifier.handle(ContentReady(b.scope, "0", PATH))
    (start,) = b.look()
    assert isinstance(start, StartRun) and spec(start).limits.wall_s < 5.0
    assert b.ended(start, RunStatus.TIMEOUT) == [b.committed(ballot(BallotCode.ABSTAIN))]


def test_what_was_measured_is_on_the_disk_before_it_counts() -> None:
    b = Bench()
    start = b.sitting()
    (keep,) = b.verifier.handle(RunEnded(start.run, RunStatus.OK, "why", measured(CLAIMED)))
    assert keep == KeepSecret(column(b, CLAIMED, start.run))
    assert b.look() == [], "no ballot yet, and no second run"
    assert b.verifier.handle(SecretRefused(keep.secret)) == [keep], "a full disk is tried again"
    assert b.verifier.handle(SecretStored(keep.secret)) == []
    assert b.look() == [b.committed(ballot(BallotCode.OK, CLAIMED))]


def test_after_a_restart_what_was_measured_is_not_measured_again() -> None:
    b = Bench()
    b.restart(secrets=[column(b, CLAIMED)])
    b.audit()
    effects = b.look()
    assert b.committed(ballot(BallotCode.OK, CLAIMED)) in effects
    assert not [e for e in effects if isinstance(e, StartRun)]


@pytest.mark.parametrize(("local", "code"), [(False, BallotCode.NOMODEL), (True, BallotCode.ABSTAIN)])
def test_a_model_that_is_not_to_be_had(local: bool, code: BallotCode) -> None:
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
    code = BallotCode.ABSTAIN if fetched else BallotCode.NOMODEL
    assert b.look() == [b.committed(ballot(code))]


def test_a_run_that_is_too_slow_is_killed_for_the_vote() -> None:
    b = Bench()
    start = b.sitting()
    b.late()
    kill, commit = b.look()
    assert isinstance(kill, Kill)
    assert kill.run == start.run
    assert commit == b.committed(ballot(BallotCode.ABSTAIN))


@pytest.mark.parametrize("config", [working(verify=False), working(max_mem_mb=32), working(max_eval_s=4)])
def test_a_node_that_may_not_or_cannot_run_it_abstains_at_once(config: WorkConfig) -> None:
    b = Bench(config)
    assert not [e for e in b.look() if isinstance(e, StartRun)]
    assert b.committed(ballot(BallotCode.ABSTAIN)) in b.audit().look()


def test_an_image_that_breaks_a_rule_means_an_abstention_and_a_missing_one_another_try() -> None:
    b = Bench()
    b.audit().look()
    b.verifier.handle(ImageFailed(b.job, "nobody", lasting=False))
    assert b.look() == []
    assert [one.topic for one in b.verifier.notices()] == ["vote.no-image"]
    b.chain.block(3_000)
    assert b.look() == [b.bring(urgent=True)]
    b.verifier.handle(ImageReady(b.job, "sha256:" + "ab" * 32))
    assert b.verifier.notices() == []
    b.restart()
    b.look()
    b.verifier.handle(ImageFailed(b.job, "a VOLUME", lasting=True))
    assert b.look() == [b.committed(ballot(BallotCode.ABSTAIN))]


def test_stored_ballots_are_opened_with_what_the_probe_asks_for_and_never_made_anew() -> None:
    b = Bench()
    vote = b.vote(CLAIMED)
    run = next(run for run in (e.run for e in b.look() if isinstance(e, OpenLosses)))
    b.restart(secrets=[column(b, CLAIMED, run), secrets.of_vote(b.seat, vote)])
    assert b.look() == [OpenLosses(f"{b.scope}-open", "0-0", b.job, run, measured(CLAIMED), b.probe())]
    assert b.look() == []
    assert not b.verifier.busy
    said = b.verifier.handle(LossesOpened(f"{b.scope}-open", "0-0", b.opening(CLAIMED)))
    op = OpenVote(b.job, 0, 1, vote.ballots, vote.salt, 0, False, [b.opening(CLAIMED)])
    assert said == [Submit("job", f"open:{b.job.hex()}:0:1:0:0", b.job, op)]
    assert b.chain.now("a", op) == 0
    assert b.chain.describe(b.job)["rounds"][0]["committee"][0]["voter"]
    dropped = [DropSecret(secrets.COLUMN, column(b, CLAIMED).key), DropLosses(b.job, run)]
    assert b.look() == dropped, "all of it is open"


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


# --- hidden data ---------------------------------------------------------------------------------------------------------------


class Hidden(Bench):
    def __init__(self) -> None:
        super().__init__(hidden=True)

    def started(self, opened: ContentReady | ContentMissing) -> StartRun:
        """The public data need no key: their run starts at once."""
        effects = self.audit().look()
        (wanted,) = [e for e in effects if isinstance(e, Decrypt)]
        assert (wanted.key, wanted.plain_hash, wanted.size, wanted.holder) == (
            KEY,
            HIDDEN.plain_hash,
            50,
            self.chain.ids[self.poster],
        )
        self.verifier.handle(ImageReady(self.job, IMAGE))
        self.verifier.handle(ContentReady(self.scope, "0", PATH))
        (start,) = self.look()
        assert isinstance(start, StartRun)
        assert "eval" not in spec(start).inputs
        self.verifier.handle(opened)
        return start

    def second(self, start: StartRun, loss: int) -> StartRun:
        (second,) = self.ended(start, loss=loss)
        assert isinstance(second, StartRun)
        assert spec(second).inputs == {"model": PATH, "eval": EVAL}
        return second

    @property
    def opened(self) -> ContentReady:
        return ContentReady(self.scope, "hidden", EVAL)


def test_a_hidden_round_measures_twice_and_opens_both_columns() -> None:
    b = Hidden()
    second = b.second(b.started(b.opened), CLAIMED)
    assert b.ended(second, loss=77) == [b.committed(ballot(BallotCode.OK, CLAIMED, 77))]
    submit = b.submitted[-1]
    assert submit.secret is not None
    b.verifier.handle(SecretStored(submit.secret))
    for name in ("a", "b", "c"):
        assert b.chain.now(name, submit.op if name == "a" else CommitVote(b.job, 0, 1, b"c" * 32)) == 0
    b.chain.block()
    for tag, loss in (("0-0", CLAIMED), ("0-1", 77)):
        (wanted,) = [e for e in b.look() if isinstance(e, OpenLosses)]
        assert (wanted.tag, wanted.measured) == (tag, measured(loss)), "the second one when the first stands"
        (said,) = b.verifier.handle(LossesOpened(f"{b.scope}-open", tag, b.opening(loss)))
        assert isinstance(said, Submit) and bool(said.op.ballots) is (tag == "0-0")
        assert b.chain.now("a", said.op) == 0
    (mine,) = [v for v in b.chain.describe(b.job)["rounds"][0]["committee"] if v["votes"]]
    assert mine["opened"]


@pytest.mark.parametrize(
    ("loss", "status", "want"),
    [
        (CLAIMED, RunStatus.FAILED, ballot(BallotCode.BROKEN)),
        (CLAIMED, RunStatus.MODEL_INVALID, ballot(BallotCode.INVALID)),
        (9 * 10**8, RunStatus.FAILED, ballot(BallotCode.BROKEN)),
        (9 * 10**8, RunStatus.NOT_STARTED, ballot(BallotCode.ABSTAIN)),
    ],
)
def test_a_model_that_fails_on_the_hidden_data(loss: int, status: RunStatus, want: Ballot) -> None:
    b = Hidden()
    assert b.ended(b.second(b.started(b.opened), loss), status) == [b.committed(want)]


# --- judging -------------------------------------------------------------------------------------------------------------------

FALSE = 9 * 10**8


def convicted(chain: Chain, poster: str) -> Bench:
    """All three measured a false claim of `w` in a job of this contractor; `w` is suspended."""
    b = Bench(chain=chain, poster=poster)
    b.audit()
    said = ballot(BallotCode.FALSE, FALSE)
    for voter in ("a", "b", "c"):
        sealed = vote_commitment(chain.chain_id, *b.seat, chain.ids[voter], [said], bytes(32))
        assert chain.now(voter, CommitVote(b.job, 0, 1, sealed)) == 0
    chain.block()
    opening = b.opening(FALSE)
    for voter in ("a", "b", "c"):
        assert chain.now(voter, OpenVote(b.job, 0, 1, [said], bytes(32), 0, False, [opening])) == 0
    chain.block()
    assert chain.describe(b.job)["cases"][0]["state"] == "PENDING"
    return b


def found(b: Bench, origin: str | None = None) -> Secret:
    """What this node measured of `w` in the job of a bench."""
    root = b.chain.ids[origin or b.poster]
    return secrets.of_false(FalseClaim(b.w, b.job, root, b.chain.clock))


def suspended(config: WorkConfig | None = None, name: str = "a", roots: tuple[str, ...] = ("rival", "boss")) -> Bench:
    """False claims in the jobs of two contractors: the case of the first one lapsed, that of the second one is open. The node knows
    those that it measured, by the roots of their contractors, the last one first."""
    chain = Chain(["a", "b", "c"], ["boss", "rival", "w"])
    benches = [convicted(chain, poster) for poster in ("boss", "rival")][::-1]
    b = benches[0]
    b.restart(config, name, secrets=[found(bench, root) for bench, root in zip(benches, roots, strict=False)])
    return b


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, True),
        ({"roots": ()}, False),
        ({"roots": ("rival",)}, False),
        ({"roots": ("boss", "boss")}, False),
        ({"roots": ("rival",), "config": working(judge="own-measurement")}, True),
        ({"roots": (), "config": working(judge="own-measurement")}, False),
        ({"config": working(judge="never")}, False),
        ({"name": "boss"}, False),
    ],
    ids=["two contractors", "measured nothing", "one contractor", "one root", "own", "own, nothing", "never", "no validator"],
)
def test_a_ban_is_confirmed_only_by_a_validator_whose_sandbox_measured_it(given: dict[str, Any], says: bool) -> None:
    b = suspended(**given)
    assert b.look() == ([Submit("job", f"judge:{b.w.hex()}:2", b.job, JudgeCase(b.w, True))] if says else [])
    assert b.look() == []


def test_an_own_ballot_that_says_false_is_kept_as_long_as_a_case_may_look_back_with_the_contractors_root() -> None:
    b = Bench()
    start = b.sitting()
    b.ended(start, loss=FALSE)
    submit = b.submitted[-1]
    assert submit.secret is not None
    (keep,) = b.verifier.handle(SecretStored(submit.secret))
    assert isinstance(keep, KeepSecret) and keep.secret.keep_ms == secrets.KEEP_FALSE_MS
    assert secrets.false_in(keep.secret) == FalseClaim(b.w, b.job, b.chain.ids["boss"], b.chain.clock)
    assert b.verifier.handle(SecretRefused(keep.secret)) == [keep]
    assert b.verifier.handle(SecretStored(keep.secret)) == []


@pytest.mark.parametrize("word", [True, False])
def test_a_word_that_was_said_is_not_said_again_nor_overruled(word: bool) -> None:
    b = suspended()
    assert b.chain.now("a", JudgeCase(b.w, word)) == 0
    assert b.look() == []


@pytest.mark.parametrize(("part", "says"), [("none", True), ("claimant", False), ("poster", False), ("accused", False)])
def test_who_has_a_part_in_the_case_confirms_nothing_by_itself(part: str, says: bool) -> None:
    b = suspended()
    state, accused = Overlay(b.chain.state), b.w
    posting, case = state.get(records.posting_key(b.job)), state.get(case_key(b.w))
    assert isinstance(posting, Posting) and isinstance(case, Case)
    if part == "claimant":
        state.put(records.claimant_key(b.job, b.me), ClaimantIndex(1))
    elif part == "poster":
        state.put(records.posting_key(b.job), replace(posting, poster=b.me))
    elif part == "accused":
        accused = b.me
        state.put(case_key(b.me), case)
    judge = CaseJudge(b.me, "own-measurement", [FalseClaim(accused, b.job, b.chain.ids["rival"], b.chain.clock)])
    assert len(list(judge.look(state, b.chain.clock))) == says
