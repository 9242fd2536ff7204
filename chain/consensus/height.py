"""What a node knows of the height it is deciding: the variables of the paper, and what it signed, saw and checked.

Only `machine`, `validation` and `resend` touch this. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from learningchain.chain.consensus.messages import RoundState, SignProposal, SignVote, Step, TimeoutKind
from learningchain.chain.consensus.votes import HeightVoteSet
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.chain.types import NIL, NO_ROUND, PRECOMMIT, PREVOTE, Certificate, Proposal, Validator, Vote

MAX_OPEN_CHECKS = 64
"""Blocks asked about and never answered (a proposer may name blocks that do not exist); the oldest are forgotten."""


@dataclass(slots=True)
class _CheckedBlock:
    valid: bool | None = None
    fresh: tuple[int, bool] | None = None
    """Round and answer of the last check as a fresh proposal. A refusal says nothing about the block itself."""
    asked_fresh_in: int | None = None
    asked: bool = False


class BlockChecks:
    """What the node told of blocks, one open question per block."""

    def __init__(self) -> None:
        self._known: dict[bytes, _CheckedBlock] = {}

    def validity(self, block_id: bytes) -> bool | None:
        known = self._known.get(block_id)
        return known.valid if known else None

    def freshness(self, block_id: bytes, round_: int) -> bool | None:
        """Whether the block is valid and in time as a fresh proposal of this round."""
        known = self._known.get(block_id)
        if known is None:
            return None
        if known.valid is False:
            return False
        return known.fresh[1] if known.fresh and known.fresh[0] == round_ else None

    def note_fresh(self, block_id: bytes, round_: int, good: bool) -> None:
        known = self._known.setdefault(block_id, _CheckedBlock())
        known.fresh = (round_, good)
        if good:
            known.valid = True

    def ask(self, block_id: bytes, round_: int, fresh: bool) -> bool:
        """True when the question is to be put now; False while an earlier one about this block is open."""
        known = self._known.setdefault(block_id, _CheckedBlock())
        if known.asked:
            return False
        known.asked, known.asked_fresh_in = True, round_ if fresh else None
        return True

    def answer(self, block_id: bytes, valid: bool) -> None:
        """Ignored unless something was asked, or it is good news."""
        known = self._known.get(block_id)
        if known is None or not (known.asked or valid):
            return
        asked_fresh_in, known.asked, known.asked_fresh_in = known.asked_fresh_in, False, None
        if asked_fresh_in is not None:
            self.note_fresh(block_id, asked_fresh_in, valid)
        else:
            known.valid = valid

    def forget_refusal(self, block_id: bytes) -> None:
        """So that the question is put again: a certificate says that the block is valid."""
        known = self._known.get(block_id)
        if known is not None and known.valid is False:
            known.valid = None

    def prune(self, wanted: set[bytes]) -> None:
        open_ = [i for i, known in self._known.items() if known.asked and i not in wanted][-MAX_OPEN_CHECKS:]
        self._known = {i: known for i, known in self._known.items() if i in wanted or i in open_}


@dataclass(slots=True)
class HeightState:
    """One height. `round`, `locked_*` and `valid_*` are round_p, lockedRound_p, lockedValue_p, validRound_p and validValue_p."""

    height: int
    validators: list[Validator]
    own: int | None
    """The node's index among the validators; None for an observer."""
    votes: HeightVoteSet
    index_of: dict[bytes, int]
    round: int = 0
    step: Step = Step.WAIT
    locked_round: int = NO_ROUND
    locked_id: bytes = NIL
    valid_round: int = NO_ROUND
    valid_id: bytes = NIL
    proposals: dict[int, Proposal] = field(default_factory=dict)
    """The first one of the current and of the next round."""
    checks: BlockChecks = field(default_factory=BlockChecks)
    asked: dict[tuple[int, int], SignVote | SignProposal] = field(default_factory=dict)
    """Signatures asked for, by (type, round), of this round and the one before."""
    signed: dict[tuple[int, int], Vote | Proposal] = field(default_factory=dict)
    """Those that came."""
    unlogged: list[Vote | Proposal] = field(default_factory=list)
    """Own messages that the next log record has to carry."""
    timed: set[TimeoutKind] = field(default_factory=set)
    """Timeouts scheduled in this round: the paper's "for the first time"."""
    accused: set[int] = field(default_factory=set)
    """Validators reported for this height."""
    certificate: Certificate | None = None
    """The decision: made, or waiting for its block."""

    @staticmethod
    def start(height: int, validators: list[Validator], own_id: bytes | None) -> HeightState:
        ids = [v.id for v in validators]
        if not 1 <= len(ids) <= MAX_VALIDATORS or any(a >= b for a, b in pairwise(ids)):
            raise BrokenInvariant(f"height {height}: validators must be 1 to {MAX_VALIDATORS}, sorted by id, each once")
        index_of = {id_: index for index, id_ in enumerate(ids)}
        own = index_of.get(own_id) if own_id is not None else None
        return HeightState(height, validators, own, HeightVoteSet(len(ids)), index_of)

    def proposer(self, round_: int) -> int:
        """Index of the proposer: rotates with height and round."""
        return (self.height + round_) % len(self.validators)

    @property
    def proposal(self) -> Proposal | None:
        return self.proposals.get(self.round)

    def wanted(self) -> set[bytes]:
        """Blocks that matter now."""
        ids = {p.block_id for p in self.proposals.values()} | {self.locked_id, self.valid_id}
        if self.certificate is not None:
            ids.add(self.certificate.block_id)
        ids.discard(NIL)
        return ids

    def note_proposal(self, proposal: Proposal) -> None:
        self.proposals[proposal.round] = proposal
        self.votes.saw_round(self.index_of[proposal.proposer], proposal.round)
        self.keep_proofs()

    def note_certificate(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.checks.forget_refusal(certificate.block_id)

    def collect(self, round_: int, block_id: bytes) -> Certificate:
        """The certificate that the precommits held make; only for a quorum."""
        votes = self.votes.tally(PRECOMMIT, round_).votes_for(block_id)
        return Certificate(self.height, round_, block_id, [self.index_of[v.validator] for v in votes], [v.signature for v in votes])

    def take_unlogged(self) -> tuple[list[Vote], list[Proposal]]:
        """For the record that is written now."""
        messages, self.unlogged = self.unlogged, []
        return [m for m in messages if isinstance(m, Vote)], [m for m in messages if isinstance(m, Proposal)]

    def keep_proofs(self) -> None:
        rounds = {self.valid_round, *(p.pol_round for p in self.proposals.values())}
        self.votes.keep(frozenset(rounds - {NO_ROUND}))

    def enter(self, round_: int) -> None:
        """Lines 12 and 13, and forgetting what no rule can use any more."""
        self.round, self.step = round_, Step.PROPOSE
        self.timed.clear()
        self.proposals = {r: p for r, p in self.proposals.items() if r >= round_}
        self.asked = {key: request for key, request in self.asked.items() if key[1] >= round_ - 1}
        self.signed = {key: message for key, message in self.signed.items() if key[1] >= round_ - 1}
        self.keep_proofs()
        self.votes.enter_round(round_)
        self.checks.prune(self.wanted())

    def round_state(self) -> RoundState:
        n = len(self.validators)
        own = [m for _, m in sorted(self.signed.items()) if isinstance(m, Vote)]
        return RoundState(
            self.height,
            self.round,
            int(self.step),
            self.locked_round,
            self.locked_id,
            self.valid_round,
            self.valid_id,
            own[-4:],
            self.proposal is not None,
            self.votes.tally(PREVOTE, self.round).bitmap(n),
            self.votes.tally(PRECOMMIT, self.round).bitmap(n),
        )
