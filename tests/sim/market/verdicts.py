"""What a committee's verdict must be, measured by the checker itself: it knows every model's true loss.

With c seats, m of them held by the dishonest, and Q = 2c//3+1 (job contract, VERDICT), where the job's evaluation is honest:

    m < Q       an honest claim is never FALSE: nobody honest is suspended, let alone banned
    m < c/3     all seats neutral, and every honest one measured: honest claims are OK and paid, false ones FALSE
    always      a claim that counting honest seats approve and outnumber the others is neither FALSE nor REFUSED; a false one that
                they outnumber with their measurements is not OK
    m >= Q      the cartel's word stands: an honest claim may be FALSE; a ban still takes the judges' votes

Where the contractor's own program lies, a verdict says what that program said. Then the bounds of `losses` hold, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from learningchain.chain.contracts.job import messages, records, store
from learningchain.chain.contracts.job.records import Posting, Result
from learningchain.chain.ledger.state import State
from learningchain.chain.types import LogEvent, quorum
from learningchain.chain.verification.votes import MEASURED, NEGATIVE, BallotCode, OpenedVote, counted
from tests.sim.checks import Violation
from tests.sim.market.contractor import HARDER
from tests.sim.market.engine import WOBBLE, losses_of, truth_of

if TYPE_CHECKING:
    from tests.sim.market.graph import MarketWorld

FALSE, TRUE, BETWEEN = "false", "true", "between"


@dataclass(frozen=True)
class Counted:
    """The votes of the deciding round on one candidate, as far as they count."""

    seats: int
    dishonest: int
    """Seats of the dishonest."""
    neutral: bool
    """No finalist sits."""
    bad_ok: int
    bad_negative: int
    ok: int
    """Opened by honest members."""
    negative: int
    measured: int
    """Of those, how many measured a loss."""

    @property
    def honest(self) -> int:
        return self.seats - self.dishonest


class Verdicts:
    def __init__(self, world: MarketWorld) -> None:
        self._world = world
        self.outvoted: set[bytes] = set()
        """Honest claimants of whom a cartel of a quorum said FALSE."""
        self.unjust: set[bytes] = set()
        """Jobs on which a quorum of a committee lied."""
        self.unsafe: set[bytes] = set()
        """Jobs on which the dishonest were half of a side, or more: the losses that others are compared with may be theirs."""
        self.framed: dict[bytes, set[bytes]] = defaultdict(set)
        """Honest claimants of whom lying programs said FALSE: whose programs."""
        self.liars: dict[bytes, set[bytes]] = defaultdict(set)
        """Dishonest claimants that were found out: the contractors for whose jobs."""

    def truth(self, posting: Posting, claim: records.ClaimRecord) -> str:
        """What the claimed model is, as the contract's tolerances see it."""
        data = self._world.web.known.get(claim.model)
        loss = None if data is None else truth_of(data)
        if loss is None:
            return FALSE
        if loss + WOBBLE <= claim.loss + messages.tolerance(posting.terms, claim.loss):
            return TRUE
        return FALSE if loss - WOBBLE > claim.loss + messages.bound(posting.terms, claim.loss) else BETWEEN

    def judged(self, note: LogEvent, state: State) -> None:
        job = note.ref
        audit, round_, claimant = note.data[0], note.data[1], note.data[2]
        result, line = Result(note.data[3]), records.Line(note.data[4])
        world, posting = self._world, self._world.postings[job]
        known: Any = state.get(records.claimant_key(job, claimant))
        claim = store.read_claim(state, job, known.index)
        truth, lying = self.truth(posting, claim), world.lies(posting)
        honest = claimant in world.honest_ids
        told = "by a lying program" if lying else f"on a {truth} claim"
        world.acts[f"verdict {told}: {result.name}"] += 1
        if lying:
            if honest and result == Result.FALSE:
                self.framed[claimant].add(posting.poster)
            self._count(state, job, audit, round_, known.index, claim, measured=False)
            return
        c = self._count(state, job, audit, round_, known.index, claim, measured=True)
        if c.dishonest:
            share = "below a third" if 3 * c.dishonest < c.seats else "of a third or more"
            world.acts[f"committee with dishonest members {share}"] += 1
        self._fair(truth, result, c)
        if (truth, line) in ((FALSE, records.Line.QUORUM_OK), (TRUE, records.Line.QUORUM_FALSE)):
            self.unjust.add(job)
        won, lost = (c.ok, c.bad_ok) if result == Result.OK else (c.negative, c.bad_negative)
        if lost and lost >= won:
            self.unsafe.add(job)
        if truth != FALSE and result == Result.FALSE and honest:
            self.outvoted.add(claimant)
        if result == Result.FALSE and truth == FALSE and not honest:
            self.liars[claimant].add(posting.poster)

    @staticmethod
    def _fair(truth: str, result: Result, c: Counted) -> None:
        """The table above."""
        if truth != FALSE and result == Result.FALSE and c.dishonest < quorum(c.seats):
            raise Violation(f"an honest claim was judged FALSE by {c}")
        if truth == TRUE and c.ok > c.negative + c.bad_negative and result in (Result.FALSE, Result.REFUSED):
            raise Violation(f"an honest claim was judged {result.name} though more of the honest approved: {c}")
        if truth == FALSE and c.negative > c.bad_ok + c.ok and result == Result.OK:
            raise Violation(f"a false claim passed though more of the honest refuted it: {c}")
        if 3 * c.dishonest < c.seats and c.neutral and c.measured == c.honest:
            wanted = {TRUE: Result.OK, FALSE: Result.FALSE}.get(truth, result)
            # One seat alone says FALSE of nobody; a model that is no model has no loss that votes could agree on.
            if result != wanted and (result, c.seats) != (Result.REFUSED, 1):
                raise Violation(f"a {truth} claim was judged {result.name}, with all the honest voting: {c}")

    def _count(
        self, state: State, job: bytes, audit: int, round_: int, index: int, claim: records.ClaimRecord, *, measured: bool
    ) -> Counted:
        read = store.read_seats(state, job, audit, round_)
        if read is None:
            raise Violation("a verdict without a round")
        record, honest = read.record, self._world.honest_ids
        job_record: Any = state.get(records.job_key(job))
        finalists = {store.read_claim(state, job, i).claimant for i in job_record.finalists}
        seated = [voter for voter, seat in read.seats.items() if index in seat.candidates]
        opened = read.opened(index, finalists)
        for vote in opened:
            if vote.voter in honest:
                self._truthful(state, job, record, read.seats[vote.voter], index, vote, claim, measured=measured)
        votes = counted(opened)
        good, bad = ([v for v in votes if (v.voter in honest) == side] for side in (True, False))
        return Counted(
            seats=record.seats[record.batch.index(index)],
            dishonest=sum(voter not in honest for voter in seated),
            neutral=not finalists & set(seated),
            bad_ok=sum(v.code == BallotCode.OK for v in bad),
            bad_negative=sum(v.code in NEGATIVE for v in bad),
            ok=sum(v.code == BallotCode.OK for v in good),
            negative=sum(v.code in NEGATIVE for v in good),
            measured=sum(v.code in MEASURED for v in good),
        )

    def _truthful(
        self,
        state: State,
        job: bytes,
        round_: records.AuditRound,
        seat: records.Seat,
        index: int,
        vote: OpenedVote,
        claim: records.ClaimRecord,
        *,
        measured: bool,
    ) -> None:
        """An honest verifier says what its sandbox measured, and nothing that it did not. `measured`: the program is honest."""
        world = self._world
        world.acts[f"honest ballot {vote.code.name}"] += 1
        data, terms = world.web.known.get(claim.model), world.postings[job].terms
        truth = None if data is None else truth_of(data)
        if vote.code == BallotCode.INVALID and (data is None or truth is not None):
            raise Violation("an honest verifier called a good model invalid")
        if vote.code == BallotCode.BROKEN and measured:
            raise Violation("an honest verifier called a good program broken")
        if vote.public is None:
            return
        if messages.ballot_code(terms, claim.loss, vote.public.measured) != vote.code:
            raise Violation(f"an honest verifier voted {vote.code.name} on a measured {vote.public.measured}")
        if data is None or truth is None:
            raise Violation(f"an honest verifier measured {vote.public.measured} of what is no model")
        if not measured:
            return
        if abs(vote.public.measured - truth) > WOBBLE:
            raise Violation(f"an honest verifier measured {vote.public.measured}, the model has {truth}")
        if any(min(abs(loss - true) for true in losses_of(data, truth)) > WOBBLE for loss in vote.public.shown):
            raise Violation("an honest verifier showed losses that no evaluation of the model has")
        if vote.hidden is not None and vote.hidden.measured != vote.public.measured + HARDER:
            raise Violation("an honest verifier's hidden loss is not the one of the hidden data")
