"""Making up for a network that loses messages: what is sent again at an interval, and what a peer that tells its state lacks.

The paper's gossip promises that what one honest node received all honest nodes receive. Here: every validator repeats its own
messages of this round and the one before; besides, a few at a time in turn, the votes of others that a peer may need to follow
it: the proof of its valid value, the precommits that ended the last round, the votes of this one. So whoever reached a round can
bring all others there, and whoever holds a proof of lock can convince them.
"""

from __future__ import annotations

from learningchain.chain.consensus.height import HeightState
from learningchain.chain.consensus.messages import PROPOSAL, RoundState, Step
from learningchain.chain.types import NIL, NO_ROUND, PRECOMMIT, PREVOTE, Certificate, Proposal, Vote

RESEND_OTHERS = 32
"""Votes of others in one resending."""
MAX_ANSWER = 256
"""Messages in one answer to a peer's round state."""


def proof(s: HeightState) -> list[Vote]:
    """The prevotes that made the valid value (the proof of lock); empty without one."""
    if s.valid_round == NO_ROUND:
        return []
    return s.votes.tally(PREVOTE, s.valid_round).votes_for(s.valid_id)


def _held(s: HeightState, type_: int, round_: int) -> list[Vote]:
    return [vote for _, vote in sorted(s.votes.tally(type_, round_).first.items())] if round_ >= 0 else []


def _support(s: HeightState) -> list[Vote]:
    """Votes of others, each once, most useful first."""
    votes = proof(s) + _held(s, PRECOMMIT, s.round - 1) + _held(s, PREVOTE, s.round) + _held(s, PRECOMMIT, s.round)
    own = None if s.own is None else s.validators[s.own].id
    unique = {
        (v.type, v.round, v.validator, v.block_id): v for v in votes if v.validator != own or (v.type, v.round) not in s.signed
    }
    return list(unique.values())


def again(s: HeightState, turn: int) -> tuple[list[Proposal | Vote | Certificate | RoundState], int]:
    """What to send again now, and the turn to continue with. An observer only tells its state."""
    messages: list[Proposal | Vote | Certificate | RoundState] = [s.round_state()]
    if s.own is None:
        return messages, 0
    if s.certificate is not None:
        messages.append(s.certificate)
    # Others' proposals, which are large, only in answer to who says that it has none.
    if s.proposal is not None and s.proposer(s.round) == s.own:
        messages.append(s.proposal)
    messages += [message for key, message in sorted(s.signed.items()) if key[0] != PROPOSAL]
    support = _support(s)
    if len(support) <= RESEND_OTHERS:
        return messages + support, 0
    turn %= len(support)
    return messages + (support[turn:] + support[:turn])[:RESEND_OTHERS], turn + RESEND_OTHERS


def answer(s: HeightState, last: Certificate | None, peer: RoundState) -> list[Proposal | Vote | Certificate]:
    """What the peer lacks, at most MAX_ANSWER messages. `last` is the certificate of the last decided height.

    A peer further behind than one height needs block sync.
    """
    if last is not None and peer.height == last.height:
        return [last]
    if peer.height != s.height or peer.round > s.round or s.step is Step.WAIT:
        return []
    if s.certificate is not None:
        return [s.certificate]
    messages: list[Proposal | Vote | Certificate] = []
    if peer.round < s.round:
        messages += _lacking(s, PRECOMMIT, peer.round, peer.precommits)
        messages += _held(s, PREVOTE, s.round) + _held(s, PRECOMMIT, s.round)
    else:
        if s.proposal is not None and not peer.has_proposal:
            messages.append(s.proposal)
        if s.valid_id != NIL and peer.valid_round < s.valid_round:
            messages += proof(s)
        messages += _lacking(s, PREVOTE, s.round, peer.prevotes) + _lacking(s, PRECOMMIT, s.round, peer.precommits)
    return messages[:MAX_ANSWER]


def _lacking(s: HeightState, type_: int, round_: int, has: bytes) -> list[Vote]:
    def lacks(vote: Vote) -> bool:
        index = s.index_of[vote.validator]
        return index // 8 >= len(has) or not has[index // 8] >> index % 8 & 1

    return [vote for vote in _held(s, type_, round_) if lacks(vote)]
