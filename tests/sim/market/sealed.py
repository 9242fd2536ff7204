"""Votes of people without a node: what they commit to, and the messages that open it, one column each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import Ballot, CommitVote, OpenVote, PostJob
from learningchain.chain.contracts.job.records import Seat
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.verification.votes import BallotCode

Place = tuple[bytes, int, int]
"""Job, audit, round."""


@dataclass
class Sealed:
    """The ballots of one seat, in the order of its candidates, with the losses behind them."""

    salt: bytes
    ballots: list[Ballot] = field(default_factory=list)
    trees: dict[tuple[int, bool], LossTree] = field(default_factory=dict)

    def measured(self, terms: PostJob, claimed: int, public: Sequence[int], hidden: Sequence[int] | None, badkey: bool) -> None:
        """One more ballot: the code follows from the losses."""
        tree = self.trees[len(self.ballots), False] = LossTree(public)
        shown = []
        if hidden is not None:
            secret = self.trees[len(self.ballots), True] = LossTree(hidden)
            shown.append(secret.measurement)
        code = messages.ballot_code(terms, claimed, tree.measurement.mean)
        self.ballots.append(Ballot(int(code), [tree.measurement], shown, badkey))

    def said(self, code: BallotCode) -> None:
        """One more, of a code without a measurement."""
        self.ballots.append(Ballot(int(code), [], [], False))

    def commit(self, chain_id: bytes, place: Place, voter: bytes) -> CommitVote:
        return CommitVote(*place, messages.vote_commitment(chain_id, *place, voter, self.ballots, self.salt))

    def opening(self, place: Place, seat: Seat, probe: bytes) -> OpenVote | None:
        """The next column that the ledger has not seen, or the ballots alone where nothing was measured; None when all is open."""
        if seat.complete:
            return None
        shown = {(column.candidate, column.hidden) for column in seat.shown}
        head = ([], b"") if seat.ballots else (self.ballots, self.salt)
        for (candidate, hidden), tree in sorted(self.trees.items()):
            if (candidate, hidden) not in shown:
                asked = draw_probe(probe, *place, len(tree.losses))
                return OpenVote(*place, *head, candidate, hidden, [open_losses(tree, asked)])
        return None if seat.ballots else OpenVote(*place, *head, 0, False, [])
