"""The votes of one height: counted per round, type and block, bounded whatever arrives.

Full tallies are kept for the rounds from `KEEP_ROUNDS` behind the current one to the one after it, and for older rounds that a
proof of lock names. Of rounds further ahead each validator's highest vote is kept per type: enough to see that more than a third
of the validators went ahead. At most 2 * n * (KEEP_ROUNDS + 4) first votes are held, and one more per block that is *wanted*.

A validator that votes for two blocks in one place is reported, and its first vote counts. Its second one counts too, but only
towards a wanted block (one that a proposal, a lock or a valid value names): somebody's proof of lock may rest on it, and a node
that saw the other vote first could never be convinced. Counting both is what the paper does (it counts every message received)
and is as safe: two quorums share an honest validator.
"""

from __future__ import annotations

from enum import IntEnum

from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Vote, quorum

KEEP_ROUNDS = 16


class VoteStatus(IntEnum):
    """How a vote relates to those that are held."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2
    """The same validator, type and round, another block."""
    OLD_ROUND = 3
    TOO_FAR = 4
    """Ahead of the next round, and not above what its validator is known to have reached."""


class VoteSet:
    """Votes of one type in one round, by validator index."""

    __slots__ = ("by_id", "first", "majority", "needed")

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.first: dict[int, Vote] = {}
        self.by_id: dict[bytes, dict[int, Vote]] = {}
        self.majority: bytes | None = None
        """The block (or nil) with more than two thirds of the validators, once there is one."""

    def add(self, index: int, vote: Vote) -> None:
        self.first.setdefault(index, vote)
        votes = self.by_id.setdefault(vote.block_id, {})
        votes[index] = vote
        if self.majority is None and len(votes) >= self.needed:
            self.majority = vote.block_id

    @property
    def complete(self) -> bool:
        """More than two thirds voted, for whatever."""
        return len(self.first) >= self.needed

    def votes_for(self, block_id: bytes) -> list[Vote]:
        """Ascending by validator index."""
        return [vote for _, vote in sorted(self.by_id.get(block_id, {}).items())]

    def bitmap(self, n: int) -> bytes:
        bits = bytearray((n + 7) // 8)
        for index in self.first:
            bits[index // 8] |= 1 << index % 8
        return bytes(bits)


class HeightVoteSet:
    def __init__(self, n: int) -> None:
        self.n = n
        self.quorum = quorum(n)
        self.skip = n - self.quorum + 1
        """More validators than can be faulty: one of them is honest (f+1 in the paper)."""
        self.round = 0
        self.committed: tuple[int, bytes] | None = None
        """Round and block of the first quorum of precommits for a block."""
        self._rounds: dict[int, dict[int, VoteSet]] = {}
        self._ahead: dict[int, dict[int, Vote]] = {PREVOTE: {}, PRECOMMIT: {}}
        self._highest: dict[int, int] = {}
        self._top = 0
        self._kept: frozenset[int] = frozenset()

    def tally(self, type_: int, round_: int) -> VoteSet:
        """An empty one where nothing is held."""
        tallies = self._rounds.get(round_)
        return tallies[type_] if tallies else VoteSet(self.quorum)

    def held(self, type_: int, round_: int, index: int) -> Vote | None:
        """The first vote that counts in this place."""
        if round_ > self.round + 1:
            vote = self._ahead[type_].get(index)
            return vote if vote is not None and vote.round == round_ else None
        return self.tally(type_, round_).first.get(index)

    def standing(self, vote: Vote, index: int) -> VoteStatus:
        if vote.round > self.round + 1:
            highest = self._ahead[vote.type].get(index)
            if highest is None or highest.round < vote.round:
                return VoteStatus.NEW
            if highest.round > vote.round:
                return VoteStatus.TOO_FAR
            return VoteStatus.DUPLICATE if highest.block_id == vote.block_id else VoteStatus.CONFLICT
        if vote.round < self.round - KEEP_ROUNDS and vote.round not in self._kept:
            return VoteStatus.OLD_ROUND
        tally = self.tally(vote.type, vote.round)
        if index not in tally.first:
            return VoteStatus.NEW
        return VoteStatus.DUPLICATE if index in tally.by_id.get(vote.block_id, {}) else VoteStatus.CONFLICT

    def add(self, vote: Vote, index: int) -> None:
        """Count a vote whose standing is NEW, or CONFLICT for a wanted block."""
        self.saw_round(index, vote.round)
        if vote.round > self.round + 1:
            self._ahead[vote.type].setdefault(index, vote)
            if self._ahead[vote.type][index].round < vote.round:
                self._ahead[vote.type][index] = vote
            return
        tallies = self._rounds.get(vote.round)
        if tallies is None:
            tallies = self._rounds[vote.round] = {PREVOTE: VoteSet(self.quorum), PRECOMMIT: VoteSet(self.quorum)}
        tally = tallies[vote.type]
        tally.add(index, vote)
        if vote.type == PRECOMMIT and self.committed is None and tally.majority not in (None, NIL):
            self.committed = (vote.round, tally.majority or NIL)

    def saw_round(self, index: int, round_: int) -> None:
        """A proposal, too, shows that its validator reached a round."""
        self._highest[index] = max(round_, self._highest.get(index, 0))
        self._top = max(self._top, round_)

    def skip_to(self) -> int | None:
        """The highest round above the current one that more than a third of the validators reached or passed (line 55)."""
        if self._top <= self.round or len(self._highest) < self.skip:
            return None
        reached = sorted(self._highest.values(), reverse=True)[self.skip - 1]
        return reached if reached > self.round else None

    def keep(self, rounds: frozenset[int]) -> None:
        """Old rounds whose votes stay welcome: those that a proof of lock names."""
        self._kept = rounds

    def enter_round(self, round_: int) -> None:
        """Move the window: forget what fell behind, count what was kept of rounds ahead."""
        self.round = round_
        low = round_ - KEEP_ROUNDS
        self._rounds = {r: t for r, t in self._rounds.items() if r >= low or r in self._kept}
        for by_validator in self._ahead.values():
            for index, vote in sorted(by_validator.items()):
                if vote.round <= round_ + 1:
                    del by_validator[index]
                    if self.standing(vote, index) is VoteStatus.NEW:
                        self.add(vote, index)

    @property
    def size(self) -> int:
        """Votes held, for the checks on bounds."""
        tallied = sum(len(v) for ts in self._rounds.values() for t in ts.values() for v in t.by_id.values())
        return tallied + sum(len(votes) for votes in self._ahead.values())
