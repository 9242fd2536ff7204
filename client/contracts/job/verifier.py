"""The verifier: evaluates the candidates of its committees, commits its ballots, opens them, and judges. Pure: inputs to effects.

Which jobs moved is told by `JobsChanged`: of each the state says whether this node sits in its committee, so that a seat is found
however many other jobs there are. A seat is (job, audit, round). For each seat that the beacon gave this node:

    input                     when                                        effect
    Chain, REVEAL or KEY      this node may be drawn                      FetchImage, ahead of the audit
    Chain, COMMIT             a new seat                                  FetchImage, FetchModel for each candidate, OpenHidden
    ImageReady, ModelReady    one evaluation at a time, nearest deadline  StartEvaluate (seed from the job, probe of the round)
    RunEnded                  loss measured                               OK, NEAR or FALSE; with hidden data a second run
    RunEnded                  exit 65                                     INVALID
    ModelMissing              nobody served it in time                    NOMODEL
    RunEnded, ImageFailed     anything else                               ABSTAIN; an engine that failed is tried again
    Chain                     a ballot for each, or no time left          CommitBallots (stored on this disk before)
    Chain, COUNT              own commitment stands                       OpenBallots
    Chain                     the round is over                           Kill, SeatDone
    Chain, case open          own measurement said FALSE, a validator     Judge: confirm the ban

A ballot that is stored is never made anew: a verifier that starts again commits and opens the same one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chain.contracts.job import check_ballot, duties, messages, records, rules, store
from chain.contracts.job.duties import DueBallots, DueOpening
from chain.contracts.job.messages import Ballot, PostJob
from chain.contracts.job.records import ENDED, Job, JobState, Posting
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.contracts.job.views import cid_text
from chain.contracts.membership import Case, Member, case_key, member_key
from chain.errors import Reject
from chain.host import ACTIVE, K_VALIDATORS, Account, Reader, Validators, account_key
from client.config import WorkConfig
from client.contracts.job import policy
from client.contracts.job.events import (
    CommitBallots,
    FetchImage,
    FetchModel,
    HiddenReady,
    JobEffect,
    JobInput,
    JobsChanged,
    Judge,
    ModelMissing,
    ModelReady,
    OpenBallots,
    OpenHidden,
    Seat,
    SeatDone,
    StartEvaluate,
)
from client.work.events import Chain, ImageFailed, ImageReady, Kill, RunEnded, lazily, take
from client.work.order import FairQueue
from sandbox import RunStatus

MAX_MARGIN_MS = 15_000
"""Time kept free before the deadline, to have the commitment in a block: a tenth of the window, at most this."""
MAX_TRIES = 3
"""Engine failures of one evaluation before this node abstains."""
RETRY_MS = 3_000
MAX_AHEAD, MAX_AHEAD_OF_ONE = 16, 4
"""Images that are fetched before a committee is drawn, in all and of one contractor's jobs. A seat always gets its image."""
SLACK = 1.5
"""A verifier grants more wall clock than was posted: machines differ, and the window allows twice."""
SLACK_S = 5.0


@dataclass
class VerifierMemory:
    """What this node knew before it was stopped."""

    votes: dict[Seat, bytes] = field(default_factory=dict)
    """Commitment of each stored ballot."""
    false: set[tuple[bytes, bytes]] = field(default_factory=set)
    """(account, job): this node measured the account's model on the job as false."""


@dataclass
class _Candidate:
    claimant: bytes
    loss: int
    path: Path | None = None
    public: tuple[int, int] | None = None
    """(loss, probe loss) of the run without hidden data."""
    ballot: Ballot | None = None
    run: str = ""
    tries: int = 0
    retry_at: int = 0


@dataclass
class _Duty:
    seat: Seat
    terms: PostJob
    deadline: int
    commit_by: int
    seed: int
    probe: int
    hidden: bool
    candidates: list[_Candidate]
    eval_file: Path | None = None
    bad_key: bool = False

    @property
    def job(self) -> bytes:
        return self.seat[0]


class Verifier:
    """The machine of one node. `me` is its identity."""

    def __init__(self, me: bytes, config: WorkConfig, memory: VerifierMemory | None = None) -> None:
        memory = memory or VerifierMemory()
        self._me, self._config = me, config
        self._votes, self._false = dict(memory.votes), set(memory.false)
        self._duties: dict[Seat, _Duty] = {}
        self._images: dict[bytes, str] = {}
        self._asked: dict[bytes, int] = {}
        """Jobs whose image was asked for; the value is the chain clock before which it is not asked for again."""
        self._hurried: set[bytes] = set()
        """Jobs among them whose image a seat needs."""
        self._said: set[tuple[str, bytes, int, int]] = set()
        self._clock = 0
        self._started = 0
        self._sitting: set[bytes] = set()
        """Jobs under audit in whose committee this node sits."""
        self._soon = FairQueue()
        """Jobs whose committee is drawn next, the nearest deadline first."""

    @property
    def busy(self) -> bool:
        """An evaluation for a committee waits or runs: no training should start now."""
        return bool(self._duties)

    def handle(self, given: JobInput) -> list[JobEffect]:
        """The effects of one input. After every other input the driver gives `Chain` again: runs and commits start there."""
        match given:
            case Chain():
                return self._chain(given.reader, given.clock)
            case JobsChanged():
                self._moved(given)
            case ImageReady():
                self._images[given.ref] = given.image_id
            case ImageFailed():
                self._image_failed(given)
            case ModelReady() if (candidate := self._candidate(given.seat, given.index)) is not None:
                candidate.path = given.path
            case ModelMissing() if (candidate := self._candidate(given.seat, given.index)) is not None:
                code = VoteCode.ABSTAIN if given.local else VoteCode.NOMODEL
                candidate.ballot = candidate.ballot or self._ballot(self._duties[given.seat], code)
            case HiddenReady():
                self._hidden_ready(given)
            case RunEnded():
                self._ended(given)
        return []

    def gives_up(self, job: bytes) -> bool:
        """Whether no seat, and none that may come soon, needs the job's image: then this forgets that it was here."""
        if job in self._sitting or job in self._soon or job in self._asked:
            return False
        self._images.pop(job, None)
        return True

    def remembers(self, seat: Seat) -> bool:
        """Whether the ballots of a seat may still have to be opened."""
        return seat in self._votes

    # --- the chain -------------------------------------------------------------------------------------------------------------

    def _moved(self, given: JobsChanged) -> None:
        if given.anew:
            self._soon.clear()
        # A seat that is being worked on stays while the other jobs are told anew.
        for job in [*self._sitting, *given.jobs] if given.anew else given.jobs:
            self._place(given.reader, job)

    def _place(self, reader: Reader, job: bytes) -> None:
        """Where a job stands for this node: under audit with a seat of its own, soon to be, or neither."""
        record, posting = reader.get(records.job_key(job)), reader.get(records.posting_key(job))
        self._sitting.discard(job)
        self._soon.drop(job)
        if not isinstance(record, Job) or not isinstance(posting, Posting):
            return
        if record.state in (JobState.COMMIT, JobState.COUNT):
            if reader.get(records.seat_key(job, record.audit, record.round, self._me)) is not None:
                self._sitting.add(job)
        elif record.state not in (JobState.REVEAL, JobState.KEY) or posting.poster == self._me:
            return
        elif not policy.too_large(self._config, posting.terms):
            self._soon.add(job, posting.poster, (record.deadline,))

    def _chain(self, reader: Reader, clock: int) -> list[JobEffect]:
        self._clock = clock
        effects: list[JobEffect] = []
        current: set[Seat] = set()
        for job in sorted(self._sitting):
            if not take(effects, job, self._audit(reader, job, clock, current)):
                current |= {seat for seat in self._duties if seat[0] == job}  # what is under way there goes on
        take(effects, b"", lazily(self._fetch_ahead, reader))
        take(effects, b"", lazily(self._leave, current))
        for duty in sorted(self._duties.values(), key=lambda d: (d.deadline, d.seat)):
            take(effects, duty.job, lazily(self._advance, duty, clock))
        self._forget(reader)
        take(effects, b"", lazily(self._judge, reader))
        return effects

    def _fetch_ahead(self, reader: Reader) -> list[JobEffect]:
        """Images before the audit starts, of jobs on whose committee this node may sit."""
        member = reader.get(member_key(self._me))
        if not self._config.verify or not isinstance(member, Member) or not member.verifier:
            return []
        effects: list[JobEffect] = []
        ahead = Counter(self._soon.owner(job) for job in self._images.keys() | self._asked.keys() if job in self._soon)
        full = {poster for poster, count in ahead.items() if count >= MAX_AHEAD_OF_ONE and poster is not None}
        # What was asked for is in `ahead` already, and comes up again where it has to be asked for once more.
        for job, poster in self._soon.walk(full) if ahead.total() < MAX_AHEAD else ():
            if job in self._images or job in self._asked:
                continue
            effects += self._want_image(job)
            ahead[poster] += 1
            if ahead[poster] >= MAX_AHEAD_OF_ONE:
                full.add(poster)
            if ahead.total() >= MAX_AHEAD:
                break
        for job in sorted(self._asked):
            if job in self._soon:
                effects += self._want_image(job)
        return effects

    def _want_image(self, job: bytes, *, urgent: bool = False) -> list[JobEffect]:
        """Asks for an image; once more at once where it was asked for ahead and a seat needs it by now."""
        more = urgent and job not in self._hurried
        if job in self._images or (self._clock < self._asked.get(job, 0) and not more):
            return []
        self._asked[job] = 2**63
        if urgent:
            self._hurried.add(job)
        return [FetchImage(job, urgent)]

    def _audit(self, reader: Reader, job: bytes, clock: int, current: set[Seat]) -> Iterator[JobEffect]:
        for duty in duties.duties_in(reader, job, self._me, clock):
            match duty:
                case DueBallots() if (seat := (job, duty.audit, duty.round)) not in self._votes:
                    current.add(seat)
                    if seat not in self._duties:
                        yield from self._sit(reader, seat, duty)
                case DueOpening() if self._votes.get(seat := (job, duty.audit, duty.round)) == duty.commitment:
                    if self._first("open", seat):
                        yield OpenBallots(seat, duty.commitment)

    def _first(self, what: str, seat: Seat) -> bool:
        key = (what, *seat)
        if key in self._said:
            return False
        self._said.add(key)
        return True

    def _sit(self, reader: Reader, seat: Seat, asked: DueBallots) -> list[JobEffect]:
        """A new seat: fetch everything at once, evaluate one after the other."""
        posting = reader.get(records.posting_key(seat[0]))
        if not isinstance(posting, Posting):
            return []
        terms, count = posting.terms, len(asked.candidates)
        started = store.read_round(reader, *seat).started
        window = asked.deadline - started
        margin = min(MAX_MARGIN_MS, window // 10)
        duty = _Duty(
            seat=seat,
            terms=terms,
            deadline=asked.deadline,
            commit_by=asked.deadline - margin,
            seed=asked.seed,
            probe=asked.probe,
            hidden=asked.hidden is not None,
            candidates=[_Candidate(known.claimant, known.loss) for known in asked.candidates],
        )
        self._duties[seat] = duty
        if not self._config.verify or policy.too_large(self._config, terms):
            self._abstain(duty)
            return []
        # A model that comes later leaves no time for its evaluation.
        until = max(duty.commit_by - 2_000 * terms.limits.eval_s * count, started + window // 4)
        effects = self._want_image(seat[0], urgent=True)
        for index, known in enumerate(asked.candidates):
            effects.append(FetchModel(seat, index, cid_text(known.model), known.size, until))
        if asked.hidden is not None:
            sealed = asked.hidden
            effects.append(OpenHidden(seat, cid_text(sealed.cid), sealed.size, sealed.plain_hash, asked.key, until))
        return effects

    def _leave(self, current: set[Seat]) -> list[JobEffect]:
        """Rounds that ended, and ballots that are stored by now."""
        effects: list[JobEffect] = []
        for seat in [seat for seat in self._duties if seat not in current]:
            for candidate in self._duties.pop(seat).candidates:
                if candidate.run:
                    effects.append(Kill(candidate.run, "the round is over"))
            effects.append(SeatDone(seat))
        return effects

    def _forget(self, reader: Reader) -> None:
        """Nothing is kept about jobs that ended, but what a judgement may still need. Only what is kept is looked at."""
        kept = {
            *self._images,
            *self._asked,
            *(seat[0] for seat in self._votes),
            *(key[1] for key in self._said if key[0] != "judge"),
        }
        live = {job for job in kept if reader.get(records.live_key(job)) is not None}
        if len(live) == len(kept):
            return
        self._images = {job: image for job, image in self._images.items() if job in live}
        self._asked = {job: at for job, at in self._asked.items() if job in live}
        self._hurried &= live
        self._said = {key for key in self._said if key[1] in live or key[0] == "judge"}
        self._votes = {seat: commitment for seat, commitment in self._votes.items() if seat[0] in live}

    # --- a duty ----------------------------------------------------------------------------------------------------------------

    def _advance(self, duty: _Duty, clock: int) -> list[JobEffect]:
        effects: list[JobEffect] = []
        if clock >= duty.commit_by:
            effects += self._give_up(duty)
        if all(candidate.ballot is not None for candidate in duty.candidates):
            return effects + self._commit(duty)
        image = self._images.get(duty.job)
        if image is None:
            return effects + self._want_image(duty.job, urgent=True)
        if any(c.run for d in self._duties.values() for c in d.candidates):
            return effects
        for index, candidate in enumerate(duty.candidates):
            if candidate.path is None or candidate.ballot is not None or clock < candidate.retry_at:
                continue
            if duty.hidden and not duty.bad_key and duty.eval_file is None:
                continue  # decrypting
            return [*effects, self._evaluate(duty, index, candidate, image, clock)]
        return effects

    def _evaluate(self, duty: _Duty, index: int, candidate: _Candidate, image: str, clock: int) -> StartEvaluate:
        self._started += 1
        what = "verify" if candidate.public is None else "hidden"
        candidate.run = f"{what}-{duty.job.hex()[:32]}-{duty.seat[1]}-{duty.seat[2]}-{index}-{self._started}"
        left = (duty.commit_by - clock) / 1_000
        return StartEvaluate(
            run=candidate.run,
            seat=duty.seat,
            index=index,
            model=candidate.path or Path(),
            eval_file=duty.eval_file if what == "hidden" else None,
            seed=duty.seed,
            probe=duty.probe,
            image_id=image,
            wall_s=max(1.0, min(duty.terms.limits.eval_s * SLACK + SLACK_S, left)),
        )

    def _give_up(self, duty: _Duty) -> list[JobEffect]:
        """No time is left: what was not had is NOMODEL, what was not measured an abstention."""
        effects: list[JobEffect] = []
        for candidate in duty.candidates:
            if candidate.run:
                effects.append(Kill(candidate.run, "no time is left before the vote"))
                candidate.run = ""
            if candidate.ballot is None:
                code = VoteCode.NOMODEL if candidate.path is None else VoteCode.ABSTAIN
                candidate.ballot = self._ballot(duty, code)
        return effects

    def _commit(self, duty: _Duty) -> list[JobEffect]:
        if not self._first("commit", duty.seat):
            return []
        ballots = tuple(self._checked(duty, candidate) for candidate in duty.candidates)
        return [CommitBallots(duty.seat, ballots, tuple(candidate.claimant for candidate in duty.candidates))]

    def _checked(self, duty: _Duty, candidate: _Candidate) -> Ballot:
        """The ledger would refuse an odd ballot when it is opened, and silence is struck: an abstention is not."""
        ballot = candidate.ballot or self._ballot(duty, VoteCode.ABSTAIN)
        try:
            check_ballot(duty.terms, candidate.loss, ballot, duty.hidden)
        except Reject:
            return self._ballot(duty, VoteCode.ABSTAIN)
        return ballot

    def stored(self, seat: Seat, commitment: bytes, ballots: tuple[Ballot, ...], claimants: tuple[bytes, ...]) -> None:
        """The ballots of a seat are on this disk: from now on they are this node's vote."""
        self._votes[seat] = commitment
        self._false |= {(claimant, seat[0]) for claimant, b in zip(claimants, ballots, strict=True) if b.code == VoteCode.FALSE}

    def not_stored(self, seat: Seat) -> None:
        """The disk refused: the same ballots are offered again at the next chance."""
        self._said.discard(("commit", *seat))

    # --- what runs and files came to -------------------------------------------------------------------------------------------

    def _candidate(self, seat: Seat, index: int) -> _Candidate | None:
        duty = self._duties.get(seat)
        return duty.candidates[index] if duty else None

    def _ballot(self, duty: _Duty, code: VoteCode) -> Ballot:
        """A vote without a measurement; in a hidden round it still says that the key is bad."""
        return Ballot(int(code), 0, 0, int(HiddenVote.BADKEY if duty.bad_key else HiddenVote.NONE), 0)

    def _abstain(self, duty: _Duty) -> None:
        for candidate in duty.candidates:
            candidate.ballot = candidate.ballot or self._ballot(duty, VoteCode.ABSTAIN)

    def _image_failed(self, failed: ImageFailed) -> None:
        self._asked[failed.ref] = self._clock + RETRY_MS
        if failed.lasting:
            for duty in self._duties.values():
                if duty.job == failed.ref:
                    self._abstain(duty)

    def _hidden_ready(self, given: HiddenReady) -> None:
        duty = self._duties.get(given.seat)
        if duty is None:
            return
        duty.eval_file, duty.bad_key = given.path, given.bad
        if given.path is None and not given.bad:
            self._abstain(duty)

    def _ended(self, ended: RunEnded) -> None:
        for duty in self._duties.values():
            for candidate in duty.candidates:
                if candidate.run == ended.run:
                    candidate.run = ""
                    self._measured(duty, candidate, ended)

    def _measured(self, duty: _Duty, candidate: _Candidate, ended: RunEnded) -> None:
        if candidate.ballot is not None:
            return
        if ended.status is RunStatus.ENGINE_ERROR and candidate.tries + 1 < MAX_TRIES:
            candidate.tries, candidate.retry_at = candidate.tries + 1, self._clock + RETRY_MS
        elif ended.status is RunStatus.MODEL_INVALID:
            candidate.ballot = self._ballot(duty, VoteCode.INVALID)
        elif candidate.public is None:
            self._public(duty, candidate, ended)
        else:
            candidate.ballot = self._with_hidden(duty, candidate, ended)

    def _public(self, duty: _Duty, candidate: _Candidate, ended: RunEnded) -> None:
        if ended.status is not RunStatus.OK or ended.loss is None or ended.probe_loss is None:
            candidate.ballot = self._ballot(duty, VoteCode.ABSTAIN)
            return
        candidate.public = (ended.loss, ended.probe_loss)
        if not duty.hidden or duty.bad_key:
            bad = HiddenVote.BADKEY if duty.bad_key else HiddenVote.NONE
            candidate.ballot = self._measurement(duty, candidate, bad, 0)

    def _with_hidden(self, duty: _Duty, candidate: _Candidate, ended: RunEnded) -> Ballot:
        """A claim that the public data refute stays refuted, even where its model fails on the hidden data (LC-HIDDEN-4, 5)."""
        if ended.status is RunStatus.OK and ended.loss is not None:
            return self._measurement(duty, candidate, HiddenVote.VALUE, ended.loss)
        worst = self._measurement(duty, candidate, HiddenVote.VALUE, rules.MAX_LOSS)
        return worst if worst.code != VoteCode.OK else self._ballot(duty, VoteCode.ABSTAIN)

    def _measurement(self, duty: _Duty, candidate: _Candidate, hidden: HiddenVote, hidden_loss: int) -> Ballot:
        loss, probe = candidate.public or (0, 0)
        code = messages.vote_code(duty.terms, candidate.loss, loss)
        return Ballot(int(code), loss, probe, int(hidden), hidden_loss)

    # --- judging ---------------------------------------------------------------------------------------------------------------

    def _judge(self, reader: Reader) -> list[JobEffect]:
        """Confirm the ban only of those whose model this node measured as false; what people said by hand stands."""
        if self._config.judge != "own-measurement" or not self._false:
            return []
        validators = reader.get(K_VALIDATORS)
        judges = isinstance(validators, Validators) and any(v.id == self._me for v in validators.members)
        return [
            Judge(account, job) for account, job in self._open_cases(reader) if judges and self._first("judge", (account, 0, 0))
        ]

    def _open_cases(self, reader: Reader) -> Iterator[tuple[bytes, bytes]]:
        for account, job in sorted(self._false):
            case, record = reader.get(case_key(account)), reader.get(records.job_key(job))
            if isinstance(case, Case):
                if self._me not in (*case.confirm, *case.lift) and any(r.ref == job for r in case.refs):
                    yield account, job
                continue
            standing = reader.get(account_key(account))
            over = isinstance(record, Job) and record.state in ENDED
            if over or not isinstance(standing, Account) or standing.status != ACTIVE:
                self._false.discard((account, job))
                self._said.discard(("judge", account, 0, 0))
