"""One seat of this node in a committee: what it had and measured of each candidate, and the ballots that follow. No effects.

    what happened                                    ballot
    losses measured                                  OK, NEAR or FALSE by their mean; with hidden data a second run measures these
    exit 65, or losses that are no numbers           INVALID
    the container ended otherwise, in its full time  BROKEN
    nobody served the model in time                  NOMODEL
    the key opens junk                               as measured on the public data, and BADKEY
    this node's own trouble                          ABSTAIN; an engine that failed is tried again, `MAX_TRIES` times in all

Own trouble is what has nothing to do with the job: the engine, the disk, the clock of a run that this node started too late, its
operator's word. A second run decides as the first one does (LC-HIDDEN-4, 5). A ballot that is decided stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import Ballot, PostJob
from learningchain.chain.losses import Measurement
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.roles.secrets import ColumnId, KeptColumn, Seat
from learningchain.client.work.events import RunEnded
from learningchain.sandbox import Outcome, RunStatus

MAX_TRIES = 3
"""Engine failures of one evaluation before this node abstains."""
RETRY_MS = 3_000


@dataclass
class CandidateProgress:
    """One model that the seat has to evaluate."""

    claimant: bytes
    loss: int
    path: Path | None = None
    public: Measurement | None = None
    """What the run without hidden data measured, once it is on this disk; so is `hidden`."""
    hidden: Measurement | None = None
    ballot: Ballot | None = None
    run: str = ""
    full_time: bool = True
    """The run under way had at least the time that was posted: that it takes longer is its own fault."""
    storing: ColumnId | None = None
    """What it measured is being stored."""
    tries: int = 0
    retry_at: int = 0

    @property
    def is_under_way(self) -> bool:
        return bool(self.run) or self.storing is not None


@dataclass
class SeatProgress:
    """`commit_by`: the chain clock by which the commitment must be on its way. `hidden`: there are hidden data."""

    seat: Seat
    terms: PostJob
    deadline: int
    commit_by: int
    hidden: bool
    candidates: list[CandidateProgress]
    eval_file: Path | None = None
    bad_key: bool = False

    @property
    def job(self) -> bytes:
        return self.seat[0]

    @property
    def claimants(self) -> list[bytes]:
        """In the order of the ballots."""
        return [candidate.claimant for candidate in self.candidates]

    def ballots(self) -> list[Ballot]:
        """One for each candidate."""
        return [candidate.ballot or without_measurement(BallotCode.ABSTAIN) for candidate in self.candidates]

    def column(self, candidate: CandidateProgress) -> ColumnId:
        """What the next run of this candidate measures."""
        return ColumnId(self.seat, candidate.claimant, candidate.public is not None)

    # --- what happened ---------------------------------------------------------------------------------------------------------

    def abstain(self) -> None:
        """From all that is not decided."""
        for candidate in self.candidates:
            self.decide(candidate, BallotCode.ABSTAIN)

    def decide(self, candidate: CandidateProgress, code: BallotCode) -> None:
        """A vote without a measurement."""
        candidate.ballot = candidate.ballot or without_measurement(code)

    def opened(self, path: Path | None, *, bad: bool) -> None:
        """The hidden data are at `path`; `bad`: the key opens junk; neither: this node does not have the file."""
        self.eval_file, self.bad_key = path, bad
        if path is None and not bad:
            self.abstain()
        for candidate in self.candidates:
            self._settle(candidate)

    def ended(self, candidate: CandidateProgress, ended: RunEnded, clock: int) -> KeptColumn | None:
        """A run of the candidate's model came to this. What it measured counts once it is stored (`stored`)."""
        candidate.run = ""
        if candidate.ballot is not None:
            return None
        match ended.status.outcome:
            case Outcome.MEASURED if isinstance(ended.result, Measurement):
                candidate.storing = self.column(candidate)
                return KeptColumn(ended.result, ended.run)
            case Outcome.INVALID:
                self.decide(candidate, BallotCode.INVALID)
            case Outcome.BROKEN if ended.status is not RunStatus.TIMEOUT or candidate.full_time:
                self.decide(candidate, BallotCode.BROKEN)
            case _ if ended.status is RunStatus.ENGINE_ERROR and candidate.tries + 1 < MAX_TRIES:
                candidate.tries, candidate.retry_at = candidate.tries + 1, clock + RETRY_MS
            case _:
                self.decide(candidate, BallotCode.ABSTAIN)
        return None

    def stored(self, candidate: CandidateProgress, measured: Measurement, *, hidden: bool) -> None:
        """What was measured, now or before a restart, is on this disk."""
        candidate.storing, candidate.tries = None, 0
        if hidden:
            candidate.hidden = measured
        else:
            candidate.public = measured
        self._settle(candidate)

    def _settle(self, candidate: CandidateProgress) -> None:
        """The ballot, where everything that it needs was measured."""
        public, hidden = candidate.public, candidate.hidden
        if candidate.ballot is not None or public is None or (self.hidden and hidden is None and not self.bad_key):
            return
        code = messages.ballot_code(self.terms, candidate.loss, public.mean)
        candidate.ballot = Ballot(int(code), [public], [hidden] if hidden is not None else [], self.hidden and hidden is None)


def without_measurement(code: BallotCode) -> Ballot:
    return Ballot(int(code), [], [], False)


def columns_of(claimants: Sequence[bytes], ballots: Sequence[Ballot], seat: Seat) -> Iterator[tuple[int, ColumnId]]:
    """What the ballots of a seat have measured and its openings must show, each with the number of its candidate."""
    for index, (claimant, ballot) in enumerate(zip(claimants, ballots, strict=True)):
        for hidden, column in ((False, ballot.public), (True, ballot.hidden)):
            if column:
                yield index, ColumnId(seat, claimant, hidden)


def found_false(claimants: Sequence[bytes], ballots: Sequence[Ballot]) -> set[bytes]:
    """Whose claims the ballots of a seat say are false."""
    return {claimant for claimant, ballot in zip(claimants, ballots, strict=True) if ballot.code == BallotCode.FALSE}
