"""One seat of this node in a committee: what it had and measured of each candidate, and the ballots that follow. No effects.

    what happened                                    ballot
    loss measured                                    OK, NEAR or FALSE; with hidden data a second run measures these
    exit 65                                          INVALID
    nobody served the model in time                  NOMODEL
    the key opens junk                               as measured on the public data, and BADKEY
    anything else                                    ABSTAIN; an engine that failed is tried again, `MAX_TRIES` times in all

A ballot that is decided stays, whatever happens later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain.contracts.job import check_ballot, messages, rules
from chain.contracts.job.messages import Ballot, PostJob
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.errors import Reject
from client.contracts.job.secrets import Seat
from client.work.events import RunEnded
from sandbox import EvaluationResult, RunStatus

MAX_TRIES = 3
"""Engine failures of one evaluation before this node abstains."""
RETRY_MS = 3_000


@dataclass
class CandidateProgress:
    """One model that the seat has to evaluate."""

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
class SeatProgress:
    """`commit_by`: the chain clock by which the commitment must be on its way. `hidden`: there are hidden data."""

    seat: Seat
    terms: PostJob
    deadline: int
    commit_by: int
    seed: int
    probe: int
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
        """One for each candidate.

        The ledger would refuse an odd one when it is opened, and silence is struck: an abstention is not.
        """
        return [self._checked(candidate) for candidate in self.candidates]

    def _checked(self, candidate: CandidateProgress) -> Ballot:
        ballot = candidate.ballot or self._without_measurement(VoteCode.ABSTAIN)
        try:
            check_ballot(self.terms, candidate.loss, ballot, self.hidden)
        except Reject:
            return self._without_measurement(VoteCode.ABSTAIN)
        return ballot

    # --- what happened ---------------------------------------------------------------------------------------------------------

    def abstain(self) -> None:
        """From all that is not decided."""
        for candidate in self.candidates:
            self.decide(candidate, VoteCode.ABSTAIN)

    def decide(self, candidate: CandidateProgress, code: VoteCode) -> None:
        """A vote without a measurement."""
        candidate.ballot = candidate.ballot or self._without_measurement(code)

    def opened(self, path: Path | None, *, bad: bool) -> None:
        """The hidden data are at `path`; `bad`: the key opens junk; neither: this node does not have the file."""
        self.eval_file, self.bad_key = path, bad
        if path is None and not bad:
            self.abstain()

    def ended(self, candidate: CandidateProgress, ended: RunEnded, clock: int) -> None:
        """A run of the candidate's model came to this."""
        candidate.run = ""
        if candidate.ballot is not None:
            return
        if ended.status is RunStatus.ENGINE_ERROR and candidate.tries + 1 < MAX_TRIES:
            candidate.tries, candidate.retry_at = candidate.tries + 1, clock + RETRY_MS
        elif ended.status is RunStatus.MODEL_INVALID:
            self.decide(candidate, VoteCode.INVALID)
        elif candidate.public is None:
            self._public(candidate, ended)
        else:
            candidate.ballot = self._with_hidden(candidate, ended)

    def _without_measurement(self, code: VoteCode) -> Ballot:
        """In a hidden round it still says that the key is bad."""
        return Ballot(int(code), 0, 0, int(HiddenVote.BADKEY if self.bad_key else HiddenVote.NONE), 0)

    def _public(self, candidate: CandidateProgress, ended: RunEnded) -> None:
        measured = ended.result
        if ended.status is not RunStatus.OK or not isinstance(measured, EvaluationResult) or measured.probe_loss is None:
            self.decide(candidate, VoteCode.ABSTAIN)
            return
        candidate.public = (measured.loss, measured.probe_loss)
        if not self.hidden or self.bad_key:
            candidate.ballot = measurement(self, candidate, HiddenVote.BADKEY if self.bad_key else HiddenVote.NONE, 0)

    def _with_hidden(self, candidate: CandidateProgress, ended: RunEnded) -> Ballot:
        """A claim that the public data refute stays refuted, even where its model fails on the hidden data (LC-HIDDEN-4, 5)."""
        if ended.status is RunStatus.OK and isinstance(ended.result, EvaluationResult):
            return measurement(self, candidate, HiddenVote.VALUE, ended.result.loss)
        worst = measurement(self, candidate, HiddenVote.VALUE, rules.MAX_LOSS)
        return worst if worst.code != VoteCode.OK else self._without_measurement(VoteCode.ABSTAIN)


def measurement(seat: SeatProgress, candidate: CandidateProgress, hidden: HiddenVote, hidden_loss: int) -> Ballot:
    loss, probe = candidate.public or (0, 0)
    code = messages.vote_code(seat.terms, candidate.loss, loss)
    return Ballot(int(code), loss, probe, int(hidden), hidden_loss)


def found_false(claimants: Sequence[bytes], ballots: Sequence[Ballot]) -> set[bytes]:
    """Whose claims the ballots of a seat say are false."""
    return {claimant for claimant, ballot in zip(claimants, ballots, strict=True) if ballot.code == VoteCode.FALSE}
