"""After a crash: the state of an undecided height from the records of the write-ahead log (see `wal`). Used by `machine` alone.

Afterwards the node stands in the last round in which it announced a signature, with its lock, its valid value and that value's
proof. `asked` holds what it announced, so it can never ask for anything else in the same place; `signed` what is known to have
been signed, for sending again.
"""

from __future__ import annotations

from learningchain.chain.consensus.height import HeightState
from learningchain.chain.consensus.messages import PROPOSAL, SignProposal, SignVote, Step
from learningchain.chain.consensus.votes import VoteStatus
from learningchain.chain.consensus.wal import Polka, Record, SignIntent
from learningchain.chain.types import PRECOMMIT, PREVOTE


def restore(s: HeightState, record: Record) -> None:
    """Take one record, in the order of the log."""
    if record.round > s.round or s.step is Step.WAIT:
        s.enter(record.round)
    _restore_messages(s, record)
    if isinstance(record, SignIntent):
        _restore_intent(s, record)
    else:
        _restore_polka(s, record)


def _restore_messages(s: HeightState, record: Record) -> None:
    for vote in record.votes:
        s.signed[vote.type, vote.round] = vote
    for proposal in record.proposals:
        s.signed[PROPOSAL, proposal.round] = proposal
        if proposal.round == s.round and proposal.proposer in s.index_of:
            s.note_proposal(proposal)
    for vote in [*record.votes, *(record.prevotes if isinstance(record, Polka) else [])]:
        index = s.index_of.get(vote.validator)
        if index is not None and s.votes.standing(vote, index) is VoteStatus.NEW:
            s.votes.add(vote, index)


def _restore_intent(s: HeightState, record: SignIntent) -> None:
    if record.kind == PROPOSAL:
        s.asked[PROPOSAL, record.round] = SignProposal(s.height, record.round, record.pol_round, record.block_id)
        return
    s.asked[record.kind, record.round] = SignVote(record.kind, s.height, record.round, record.block_id)
    s.step = Step.PREVOTE if record.kind == PREVOTE else Step.PRECOMMIT


def _restore_polka(s: HeightState, record: Polka) -> None:
    s.valid_round, s.valid_id = record.round, record.block_id
    if record.locks:
        s.locked_round, s.locked_id = record.round, record.block_id
        s.asked[PRECOMMIT, record.round] = SignVote(PRECOMMIT, s.height, record.round, record.block_id)
        s.step = Step.PRECOMMIT
    s.keep_proofs()
