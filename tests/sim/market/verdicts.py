"""What a committee's verdict must be, measured by the checker itself: it knows every model's true loss.

With c seats, m of them held by the dishonest, and Q = 2c//3+1 (job contract, VERDICT):

    m < Q       an honest claim is never FALSE: nobody honest is suspended, let alone banned
    m < c/3     and every honest member votes: a quorum of them decides: honest claims are OK and paid, false ones FALSE
    always      a claim that honest members approve and outnumber the others is OK; a false claim that they
                outnumber with their measurements is not
    m >= Q      the cartel's word stands: an honest claim may be FALSE; the ban still takes more than 2/3 of the validators
                or a corroboration, and those who measured otherwise do not confirm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chain.contracts.job import messages, records, rules, store
from chain.contracts.job.records import Posting
from chain.contracts.job.rules import Result, Rule, VoteCode
from chain.ledger.state import State
from chain.types import LogEvent, parse_loss, quorum
from tests.sim.checks import Violation
from tests.sim.market.contractor import PLAIN
from tests.sim.market.engine import WOBBLE, probe_loss, truth_of

if TYPE_CHECKING:
    from tests.sim.market.graph import MarketWorld

FALSE, TRUE, BETWEEN = "false", "true", "between"


@dataclass(frozen=True)
class Counted:
    """The votes of the deciding round on one candidate."""

    seats: int
    pool: int
    dishonest: int
    """Seats of the dishonest."""
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
        """Jobs on which the dishonest were half of the winning side, or more: the probe that counts may be theirs."""
        self.must_ban: list[tuple[bytes, bytes]] = []
        """(account, job): a quorum of validators measured the claim as false."""

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
        audit, round_, claimant, result = note.data[0], note.data[1], note.data[2], Result(note.data[3])
        posting = self._world.postings[job]
        known: Any = state.get(records.claimant_key(job, claimant))
        claim = store.read_claim(state, job, known.index)
        truth = self.truth(posting, claim)
        counted = self._count(state, job, audit, round_, known.index, claim)
        world, needed = self._world, quorum(counted.seats)
        honest = claimant in world.honest_ids
        world.acts[f"verdict on a {truth} claim: {result.name}"] += 1
        if counted.dishonest:
            share = "below a third" if 3 * counted.dishonest < counted.seats else "of a third or more"
            world.acts[f"committee with dishonest members {share}"] += 1
        self._fair(truth, result, counted, needed)
        rule = Rule(note.data[4])
        if (truth, rule) in ((FALSE, Rule.QUORUM_OK), (TRUE, Rule.QUORUM_FALSE)):
            self.unjust.add(job)
        won, lost = (counted.ok, counted.bad_ok) if result == Result.OK else (counted.negative, counted.bad_negative)
        if lost and lost >= won:
            self.unsafe.add(job)
        if truth == TRUE and result == Result.FALSE and honest:
            self.outvoted.add(claimant)
        if result == Result.FALSE and truth == FALSE:
            self._expect_ban(state, job, audit, round_, known.index, claimant)

    @staticmethod
    def _fair(truth: str, result: Result, c: Counted, needed: int) -> None:
        """The table above."""
        if truth != FALSE and result == Result.FALSE and c.dishonest < needed:
            raise Violation(f"an honest claim was judged FALSE by {c}")
        if truth == TRUE and c.ok > c.negative + c.bad_negative and result != Result.OK:
            raise Violation(f"an honest claim was judged {result.name} though more of the honest approved: {c}")
        if truth == FALSE and c.negative > c.bad_ok + c.ok and result == Result.OK:
            raise Violation(f"a false claim passed though more of the honest refuted it: {c}")
        if 3 * c.dishonest < c.seats and c.measured == c.honest:
            wanted = {TRUE: Result.OK, FALSE: Result.FALSE}.get(truth, result)
            if result != wanted:
                raise Violation(f"a {truth} claim was judged {result.name}, with all the honest voting: {c}")

    def _count(self, state: State, job: bytes, audit: int, round_: int, index: int, claim: records.ClaimRecord) -> Counted:
        record = store.read_round(state, job, audit, round_)
        at = record.batch.index(index)
        honest = self._world.honest_ids
        seated = [v for v in record.voters if index in store.read_seat(state, job, audit, round_, v).candidates]
        ok = negative = measured = bad_ok = bad_negative = 0
        for opened in store.opened_ballots(state, job, audit, round_, index):
            is_ok, is_negative = opened.ballot.code == VoteCode.OK, opened.ballot.code in rules.NEGATIVE
            if opened.voter in honest:
                self._truthful(state, job, record, opened, claim)
                ok, negative = ok + is_ok, negative + is_negative
                measured += opened.ballot.code in rules.MEASURED
            else:
                bad_ok, bad_negative = bad_ok + is_ok, bad_negative + is_negative
        bad = sum(voter not in honest for voter in seated)
        return Counted(record.seats[at], record.pools[at], bad, bad_ok, bad_negative, ok, negative, measured)

    def _truthful(
        self, state: State, job: bytes, round_: records.AuditRound, o: store.OpenedBallot, claim: records.ClaimRecord
    ) -> None:
        """An honest verifier says what its sandbox measured, and nothing that it did not."""
        world, ballot = self._world, o.ballot
        world.acts[f"honest ballot {VoteCode(ballot.code).name}"] += 1
        data = world.web.known.get(claim.model)
        truth = None if data is None else truth_of(data)
        if ballot.code == VoteCode.INVALID and (data is None or truth is not None):
            raise Violation("an honest verifier called a good model invalid")
        if ballot.code not in rules.MEASURED:
            return
        if truth is None or abs(ballot.measured - truth) > WOBBLE:
            raise Violation(f"an honest verifier measured {ballot.measured}, the model has {truth}")
        terms = world.postings[job].terms
        if messages.vote_code(terms, claim.loss, ballot.measured) != ballot.code:
            raise Violation(f"an honest verifier voted {VoteCode(ballot.code).name} on a measured {ballot.measured}")
        probe = rules.probe_of(round_.beacon, job, *self._place(state, job, round_))
        if ballot.probe != probe_loss(ballot.measured, probe):
            raise Violation("an honest verifier did not use the round's probe")
        failed = ballot.hidden_loss == rules.MAX_LOSS and ballot.code != VoteCode.OK  # LC-HIDDEN-5: the second run did
        hidden_loss = ballot.measured + parse_loss(PLAIN.decode())
        if ballot.hidden == rules.HiddenVote.VALUE and ballot.hidden_loss != hidden_loss and not failed:
            raise Violation("an honest verifier's hidden loss is not the one of the hidden data")

    @staticmethod
    def _place(state: State, job: bytes, wanted: records.AuditRound) -> tuple[int, int]:
        for audit in range(rules.MAX_FINALISTS):
            for round_ in (1, 2):
                if state.get(records.round_key(job, audit, round_)) == wanted:
                    return audit, round_
        raise Violation("a round that does not stand on the ledger")

    def _expect_ban(self, state: State, job: bytes, audit: int, round_: int, index: int, claimant: bytes) -> None:
        world = self._world
        validators = {m.id for m in world.honest if m.index < world.profile.validators}
        judges = 0
        for at in range(1, round_ + 1):
            opened = store.opened_ballots(state, job, audit, at, index)
            judges += sum(o.voter in validators and o.ballot.code == VoteCode.FALSE for o in opened)
        if judges >= quorum(world.profile.validators):
            self.must_ban.append((claimant, job))
