"""What the machine thinks of a message from a peer, before it acts on it: ACCEPT, IGNORE(reason) or REJECT(reason).

Cheap tests come first; a signature is verified once, and only for something that would be used. Messages of the next height are
verified against the current validators and kept, one per kind and validator, so that a node which is a little behind loses
nothing: they are let in when the height starts.

Who passes a message of the next height on does not know that height's set yet. So nobody is refused for it: where the set has just
changed, or nobody here saw what it was before, a message of somebody outside the set or out of turn is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from learningchain.chain.consensus.height import HeightState
from learningchain.chain.consensus.messages import PROPOSAL, Opinion, Step
from learningchain.chain.consensus.votes import VoteStatus
from learningchain.chain.errors import Malformed, Verdict
from learningchain.chain.types import PRECOMMIT, PREVOTE, Certificate, Proposal, Validator, Vote, proposal_is_signed, vote_is_signed

Verify = Callable[[Vote | Proposal, Validator], bool]
CheckCertificate = Callable[[Certificate, list[Validator]], None]

ACCEPT = Opinion(Verdict.ACCEPT, "")


def ignore(reason: str) -> Opinion:
    return Opinion(Verdict.IGNORE, reason)


def reject(reason: str) -> Opinion:
    return Opinion(Verdict.REJECT, reason)


_OLD_HEIGHT, _FUTURE_HEIGHT, _DUPLICATE = ignore("old height"), ignore("future height"), ignore("duplicate")
_OLD_ROUND, _TOO_FAR, _CONFLICT = ignore("old round"), ignore("too-far round"), ignore("already reported for double signing")


def verifier(chain_id: bytes) -> Verify:
    """The real one: signatures over sign-bytes of this network."""

    def verify(message: Vote | Proposal, validator: Validator) -> bool:
        if isinstance(message, Vote):
            return vote_is_signed(chain_id, message, validator.key)
        return proposal_is_signed(chain_id, message, validator.key)

    return verify


class MessageValidator:
    def __init__(self, verify: Verify, check_certificate: CheckCertificate) -> None:
        self._verify = verify
        self._check_certificate = check_certificate
        self._good: Vote | Proposal | Certificate | None = None
        """The message verified last: `classify` and `handle` together verify once."""
        self._next: dict[tuple[int, int], tuple[Vote | Proposal, Validator]] = {}
        self._next_height = -1
        self._last: tuple[int, list[Validator]] = (-1, [])
        """The height that was started last, and its set."""
        self._settled = False
        """The set of this height is that of the one before."""

    # --- opinions -------------------------------------------------------------------------------------------------------------

    def classify(self, s: HeightState, message: Vote | Proposal | Certificate) -> Opinion:
        if message.height < s.height:
            return _OLD_HEIGHT
        if isinstance(message, Certificate):
            return self._certificate(s, message)
        fault = _fault(message)
        if fault is not None:
            return fault
        if message.height > s.height:
            return self._of_next_height(s, message)
        return self._vote(s, message) if isinstance(message, Vote) else self._proposal(s, message)

    def _vote(self, s: HeightState, vote: Vote) -> Opinion:
        index = s.index_of.get(vote.validator)
        if index is None:
            return self._outside("not a validator")
        standing = s.votes.standing(vote, index)
        if standing is VoteStatus.DUPLICATE:
            return _DUPLICATE
        if standing is VoteStatus.OLD_ROUND:
            return _OLD_ROUND
        if standing is VoteStatus.TOO_FAR:
            return _TOO_FAR
        if standing is VoteStatus.CONFLICT and index in s.accused and vote.block_id not in s.wanted():
            return _CONFLICT
        return self._signed(s, vote, s.validators[index])

    def _proposal(self, s: HeightState, proposal: Proposal) -> Opinion:
        index = s.proposer(proposal.round)
        if s.validators[index].id != proposal.proposer:
            return self._outside("wrong proposer" if proposal.proposer in s.index_of else "not a validator")
        if proposal.round < s.round or s.step is Step.DECIDED:
            return _OLD_ROUND
        if proposal.round > s.round + 1:
            return _TOO_FAR
        held = s.proposals.get(proposal.round)
        if held is not None:
            if held.block_id == proposal.block_id:
                return _DUPLICATE
            if index in s.accused:
                return _CONFLICT
        return self._signed(s, proposal, s.validators[index])

    def _outside(self, reason: str) -> Opinion:
        """LC-CON-13"""
        return reject(reason) if self._settled else ignore(reason)

    def _certificate(self, s: HeightState, cert: Certificate) -> Opinion:
        if cert.height > s.height:
            return _FUTURE_HEIGHT
        if s.certificate is not None:
            return _DUPLICATE
        if self._good is cert:
            return ACCEPT
        if len(cert.block_id) != 32 or not cert.signers:
            return reject("malformed certificate")
        try:
            self._check_certificate(cert, s.validators)
        except Malformed as e:
            return reject(str(e))
        self._good = cert
        return ACCEPT

    def _signed(self, s: HeightState, message: Vote | Proposal, validator: Validator) -> Opinion:
        if self._good != message:
            if not self._verify(message, validator):
                return reject("bad signature")
            self._good = message
        return ACCEPT

    # --- the next height ------------------------------------------------------------------------------------------------------

    def _of_next_height(self, s: HeightState, message: Vote | Proposal) -> Opinion:
        """Never REJECT: who the next validators are and with what keys is not known before this height is decided."""
        signer = message.validator if isinstance(message, Vote) else message.proposer
        index = s.index_of.get(signer)
        if message.height != s.height + 1 or index is None:
            return _FUTURE_HEIGHT
        if isinstance(message, Proposal) and index != (message.height + message.round) % len(s.validators):
            return _FUTURE_HEIGHT
        held = self._next.get((_kind(message), index)) if self._next_height == message.height else None
        if held is not None and held[0] != message:
            return ignore("one message of the next height is kept")
        if held is not None:
            return _DUPLICATE
        return ACCEPT if self._signed(s, message, s.validators[index]) is ACCEPT else _FUTURE_HEIGHT

    def keep_for_next(self, s: HeightState, message: Vote | Proposal) -> None:
        """Keep an accepted message of the next height."""
        if self._next_height != message.height:
            self._next, self._next_height = {}, message.height
        signer = message.validator if isinstance(message, Vote) else message.proposer
        index = s.index_of[signer]
        self._next[_kind(message), index] = (message, s.validators[index])

    def take_kept(self, s: HeightState) -> Iterator[Vote | Proposal]:
        """What was kept for the height that starts, of validators whose key is still the same; to be handled one by one."""
        self._settled = s.height == 1 or self._last == (s.height - 1, s.validators)
        self._last = (s.height, s.validators)
        kept = self._next if self._next_height == s.height else {}
        self._next, self._next_height = {}, -1
        self._good = None
        for message, signer in kept.values():
            index = s.index_of.get(signer.id)
            if index is not None and s.validators[index] == signer:
                self._good = message
                yield message

    def trust(self, message: Vote | Proposal) -> None:
        """The node's own message, just signed."""
        self._good = message


def _kind(message: Vote | Proposal) -> int:
    return message.type if isinstance(message, Vote) else PROPOSAL


def _fault(message: Vote | Proposal) -> Opinion | None:
    """What the wire types cannot say."""
    if isinstance(message, Vote):
        good = message.type in (PREVOTE, PRECOMMIT) and len(message.block_id) in (0, 32) and message.round >= 0
        return None if good else reject("malformed vote: its block id has 32 bytes, or none for nil")
    good = len(message.block_id) == 32 and -1 <= message.pol_round < message.round
    return None if good else reject("malformed proposal: its proof of lock is not of an earlier round")
