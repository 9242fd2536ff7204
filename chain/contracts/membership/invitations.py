"""Invitations: made, revoked, used once or expired. One that ended is told by its maker's slots, as long as these keep it."""

from __future__ import annotations

from typing import Final

from learningchain.chain.contracts.membership.members import stands
from learningchain.chain.contracts.membership.messages import Invite, Join, MemberCode, RevokeInvite
from learningchain.chain.contracts.membership.params import JoinPolicy, MemberParams
from learningchain.chain.contracts.membership.records import (
    MAX_INVITATIONS,
    NUMBER,
    SLOTS_KEPT,
    Invitation,
    Inviting,
    Member,
    Slot,
    SlotState,
    invitation_escrow,
    invitation_id,
    invitation_key,
    inviting_key,
    member_key,
)
from learningchain.chain.crypto import address, is_public_key, verify
from learningchain.chain.errors import Reject
from learningchain.chain.host import DUE_WORK, Host, Reader
from learningchain.chain.tags import Tag
from learningchain.chain.types import format_span

_JOIN = Tag("lc/join", "joins' sign-bytes")
INVITE_WORK: Final = DUE_WORK
"""It sets a deadline."""
JOIN_WORK: Final = 16
"""Two signatures, a new account and the counts of everybody above it, in transfers of a batch."""
ENDED: Final = {
    SlotState.USED: (MemberCode.INVITATION_USED, "this invitation was used already: it is for one identity, once"),
    SlotState.REVOKED: (MemberCode.INVITATION_REVOKED, "this invitation was revoked by its maker"),
    SlotState.EXPIRED: (MemberCode.INVITATION_EXPIRED, "this invitation expired"),
}


def join_digest(chain_id: bytes, invitation: bytes, key: bytes) -> bytes:
    """LC-MEM-23: what the one-time key and the newcomer's key sign."""
    return _JOIN.hash(chain_id, invitation, key)


# --- slots --------------------------------------------------------------------------------------------------------------------


def slots_of(reader: Reader, identity: bytes) -> list[Slot]:
    found = reader.get(inviting_key(identity))
    return found.slots if isinstance(found, Inviting) else []


def counts(slot: Slot, clock: int) -> bool:
    """LC-MEM-21: it is one of its maker's three: open, or used not long ago."""
    return slot.state == SlotState.OPEN or (slot.state == SlotState.USED and clock < slot.until)


def _put_slots(host: Host, identity: bytes, slots: list[Slot]) -> None:
    """Those that count, and of the others the newest, in the order in which they were made."""
    spare = SLOTS_KEPT - sum(counts(slot, host.clock) for slot in slots)
    others = [slot.invitation for slot in slots if not counts(slot, host.clock)]
    kept = set(others[max(0, len(others) - spare) :])
    host.put(inviting_key(identity), Inviting([s for s in slots if counts(s, host.clock) or s.invitation in kept]))


# --- making one -----------------------------------------------------------------------------------------------------------------


def _require_policy(host: Host) -> None:
    if host.params_of(MemberParams).join_policy == JoinPolicy.VOTE:
        raise Reject(MemberCode.NO_INVITATIONS, "this network admits members by the validators' vote only (join_policy)")


def invite(host: Host, sender: bytes, m: Invite) -> None:
    """LC-MEM-21"""
    params, clock = host.params_of(MemberParams), host.clock
    member = host.get(member_key(sender), Member)
    if member is None:
        raise Reject(MemberCode.NOT_A_MEMBER, "only members invite")
    _require_policy(host)
    if not host.is_active(sender) or not stands(host, sender):
        raise Reject(MemberCode.MAY_NOT_INVITE, "who is suspended, or has live strikes of three, invites nobody")
    if member.inviter and clock < member.since + params.invite_rest:
        left = format_span(member.since + params.invite_rest - clock)
        raise Reject(
            MemberCode.TOO_NEW, f"an invited member invites once it has been one for {format_span(params.invite_rest)}: in {left}"
        )
    if not clock < m.expires <= clock + params.invite_longest:
        text = f"an invitation expires after now, {clock} on the chain clock, and within {format_span(params.invite_longest)}"
        raise Reject(MemberCode.BAD_EXPIRY, f"{text}, not at {m.expires}")
    invitation = invitation_id(m.key)
    slots = slots_of(host.store, sender)
    taken = host.get(invitation_key(invitation), Invitation) is not None or any(s.invitation == invitation for s in slots)
    if not is_public_key(m.key) or taken:
        raise Reject(MemberCode.BAD_KEY, "an invitation has a public key of its own, which was in no other one")
    if sum(counts(slot, clock) for slot in slots) >= MAX_INVITATIONS:
        text = f"{MAX_INVITATIONS} invitations are open, or were used in the last {format_span(params.invite_rest)}"
        raise Reject(MemberCode.TOO_MANY_INVITATIONS, text)
    host.lock(sender, invitation_escrow(invitation), m.credits, "invitation.locked", invitation)
    host.put(invitation_key(invitation), Invitation(m.key, sender, m.expires, m.credits))
    _put_slots(host, sender, [*slots, Slot(invitation, SlotState.OPEN, m.expires)])
    host.schedule(m.expires, NUMBER, invitation, sender)
    host.emit("invited", sender, invitation, m.expires, m.credits)


# --- how one ends ---------------------------------------------------------------------------------------------------------------


def _end(host: Host, invitation: bytes, record: Invitation, state: SlotState, until: int, heir: bytes, reason: str) -> None:
    """Its record, its deadline and its escrow go; its maker's slot says what became of it."""
    host.pay(invitation_escrow(invitation), heir, record.credits, reason, invitation)
    host.delete(invitation_key(invitation))
    host.cancel(record.expires, NUMBER, invitation, record.inviter)
    slots = [
        Slot(invitation, state, until) if slot.invitation == invitation else slot for slot in slots_of(host.store, record.inviter)
    ]
    _put_slots(host, record.inviter, slots)


def _take_back(host: Host, invitation: bytes, record: Invitation, state: SlotState) -> None:
    _end(host, invitation, record, state, 0, record.inviter, "invitation.returned")
    host.emit("invitation.ended", record.inviter, invitation, state.name.lower())


def revoke(host: Host, sender: bytes, m: RevokeInvite) -> None:
    """LC-MEM-25: by its maker alone."""
    record = host.get(invitation_key(m.invitation), Invitation)
    if record is None or record.inviter != sender:
        raise gone(host.store, sender, m.invitation)
    _take_back(host, m.invitation, record, SlotState.REVOKED)


def expire(host: Host, invitation: bytes, at: int) -> None:
    """LC-MEM-25: nobody used it in its time."""
    record = host.get(invitation_key(invitation), Invitation)
    if record is not None and at == record.expires:
        _take_back(host, invitation, record, SlotState.EXPIRED)


def give_back(host: Host, invitation: bytes) -> None:
    """LC-MEM-14: a parked one ends as revoked."""
    record = host.get(invitation_key(invitation), Invitation)
    if record is not None:
        _take_back(host, invitation, record, SlotState.REVOKED)


def end_all(host: Host, identity: bytes) -> None:
    """LC-MEM-25: those of a member that leaves or is banned are revoked."""
    for slot in slots_of(host.store, identity):
        if slot.state == SlotState.OPEN:
            give_back(host, slot.invitation)


# --- joining --------------------------------------------------------------------------------------------------------------------


def gone(reader: Reader, inviter: bytes, invitation: bytes) -> Reject:
    """Why there is no such invitation of this member, as far as its slots know."""
    state = next((SlotState(slot.state) for slot in slots_of(reader, inviter) if slot.invitation == invitation), SlotState.OPEN)
    if state in ENDED:
        return Reject(*ENDED[state])
    return Reject(MemberCode.NO_INVITATION, f"{address(inviter)} has no such invitation open on this network")


def joins(host: Host, m: Join) -> tuple[bytes, Invitation]:
    """LC-MEM-23: the open invitation that a Join may use. Rejects what it may not."""
    _require_policy(host)
    invitation = invitation_id(m.invitation)
    record = host.get(invitation_key(invitation), Invitation)
    if record is None or record.inviter != m.inviter:
        raise gone(host.store, m.inviter, invitation)
    if host.clock >= record.expires:
        raise Reject(*ENDED[SlotState.EXPIRED])
    digest = join_digest(host.chain_id, m.invitation, m.key)
    if not verify(m.key, digest, m.signature) or not verify(m.invitation, digest, m.token):
        raise Reject(MemberCode.BAD_PROOF, "the newcomer's key and the invitation's both sign a Join: one of the two did not")
    return invitation, record


def use(host: Host, invitation: bytes, record: Invitation, newcomer: bytes) -> None:
    """The credits go to the newcomer, and the slot rests."""
    until = host.clock + host.params_of(MemberParams).invite_rest
    _end(host, invitation, record, SlotState.USED, until, newcomer, "invitation.paid")
