"""The validators' words on what is parked."""

from __future__ import annotations

from learningchain.chain.contracts.membership.messages import MemberCode, Release
from learningchain.chain.errors import Reject
from learningchain.chain.host import (
    Host,
    Parked,
    parked_key,
)
from learningchain.chain.types import (
    quorum,
)

RELEASE_WORK = 128
"""The last word may give back a page of stakes."""


def release(host: Host, sender: bytes, m: Release) -> None:
    """LC-MEM-13"""
    validators = {v.id for v in host.validators()}
    if sender not in validators:
        raise Reject(MemberCode.NOT_A_VALIDATOR, "only validators release what is parked")
    parked = host.parked(m.contract, m.ref)
    if parked is None:
        raise Reject(MemberCode.NOT_PARKED, "it is not parked")
    contract = host.contracts.get(m.contract)
    if m.give_back and (contract is None or contract.on_give_back is None):
        raise Reject(MemberCode.NOTHING_TO_GIVE_BACK, "this contract holds nothing for its references: it can only run again")
    if sender in (parked.give_back if m.give_back else parked.retry):
        raise Reject(MemberCode.ALREADY_VOTED, "this word is recorded already")
    said = sorted({*(parked.give_back if m.give_back else parked.retry), sender} & validators)
    other = sorted(({*(parked.retry if m.give_back else parked.give_back)} - {sender}) & validators)
    host.emit("release.voted", m.ref, m.contract, sender, "give back" if m.give_back else "retry")
    if len(said) >= quorum(len(validators)):
        host.release(m.contract, m.ref, give_back=m.give_back)
    else:
        words = (other, said) if m.give_back else (said, other)
        host.put(parked_key(m.contract, m.ref), Parked(parked.height, parked.reason, parked.held, *words))
