"""What every message asks before it does anything: the federation, its state, and whether the sender may. Each has its code."""

from __future__ import annotations

from learningchain.chain.contracts.federation.messages import FederationCode
from learningchain.chain.contracts.federation.records import AttemptRecord, FederationState
from learningchain.chain.contracts.federation.store import FederationContext, load_federation
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.host import STANDING, Host
from learningchain.chain.host.deadlines import is_open
from learningchain.chain.host.terms import is_cid


def known(host: Host, federation: bytes) -> FederationContext:
    found = load_federation(host, federation)
    if found is None:
        text = f"there is no federation {federation.hex()} in the state: there never was, or it ended and left (LC-FED-48)"
        raise Reject(FederationCode.NO_SUCH_FEDERATION, text)
    return found


def live(host: Host, federation: bytes) -> FederationContext:
    found = known(host, federation)
    if found.record.state == FederationState.END:
        raise Reject(FederationCode.WRONG_STATE, "the federation has ended")
    return found


def sponsored(host: Host, federation: bytes, sender: bytes, what: str) -> FederationContext:
    found = live(host, federation)
    require_sponsor(found, sender, what)
    return found


def require_sponsor(federation: FederationContext, sender: bytes, what: str) -> None:
    if federation.sponsor != sender:
        raise Reject(FederationCode.NOT_SPONSOR, f"only its sponsor, {address(federation.sponsor)}, {what}")


def require_active(host: Host, sender: bytes, what: str) -> None:
    """Neither suspended nor banned. Transactions of banned accounts never come this far."""
    if not host.is_active(sender):
        raise Reject(FederationCode.NOT_ACTIVE, f"while a case against you is open you may not {what}")


def require_standing(host: Host, sender: bytes, what: str) -> None:
    if not host.service(STANDING).stands(sender):
        text = f"you have live strikes from work of three roots: you may not {what} until one ends"
        raise Reject(FederationCode.NO_STANDING, text)


def require_state(federation: FederationContext, state: FederationState, what: str) -> None:
    now = federation.record.state
    if now != state:
        raise Reject(FederationCode.WRONG_STATE, f"{what} does not fit: the federation is in {FederationState(now).name}")


def require_time(federation: FederationContext, what: str) -> None:
    """Its deadline has not passed, even where the deadline still waits for its turn."""
    at = federation.record.deadline
    if not is_open(federation.host, at):
        raise Reject(FederationCode.TOO_LATE, f"the time for {what} ended at {at} of the chain clock")


def attempt_in(
    host: Host, federation: bytes, number: int, state: FederationState, what: str
) -> tuple[FederationContext, AttemptRecord]:
    """The attempt that runs, in this state, before its deadline."""
    found = live(host, federation)
    require_state(found, state, what)
    attempt = found.attempt
    if attempt.number != number:
        raise Reject(FederationCode.WRONG_ROUND, f"attempt {attempt.number} runs, not {number}")
    require_time(found, what)
    return found, attempt


def require_drawn(attempt: AttemptRecord, sender: bytes) -> None:
    if sender not in attempt.seats:
        raise Reject(FederationCode.NOT_DRAWN, f"you have no seat in attempt {attempt.number}")


def require_deciding(attempt: AttemptRecord, sender: bytes) -> None:
    require_drawn(attempt, sender)
    if sender not in attempt.deciding:
        raise Reject(FederationCode.OUT_OF_ATTEMPT, "others decide this attempt: what you have is not what they have")


def require_cid(cid: bytes, what: str) -> None:
    if not is_cid(cid):
        raise Reject(FederationCode.BAD_FILE, f"{what} is named by a CIDv1 with sha2-256")
