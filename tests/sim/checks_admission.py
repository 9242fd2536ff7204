"""Coming and going a second time, from protocol_spec/membership.md: invitations, joins, leaves, box keys, what a ban ends, and what
a vote decides of a member, but for bans and their lifting.

Shares with the product the types of messages and records.
"""

from __future__ import annotations

from typing import Any

from chain import host as base
from chain.contracts import governance, membership
from chain.contracts.membership import records
from chain.crypto import is_public_key
from chain.host import ACTIVE, BANNED
from tests.hashes import tagged
from tests.sim.checks_ledger import MEMBERSHIP, Ledger, refuse_if, replace, verified

OPEN, USED, REVOKED, EXPIRED = range(4)
ENDED = {USED: 221, REVOKED: 222, EXPIRED: 223}


class Admission:
    def __init__(self, ledger: Ledger) -> None:
        self.l = ledger
        ledger.handlers |= {
            membership.Invite: self._invite,
            membership.RevokeInvite: self._revoke,
            membership.Join: self._join,
            membership.Leave: self._leave,
            membership.SetBoxKey: self._box,
        }
        ledger.voted |= {
            governance.Admit: (self._may_be_admitted, self._admit),
            governance.Remove: (lambda m: self._may_go(m.account), lambda m: self._go(m.account)),
            governance.SetVerifier: (self._may_be_flagged, self._flag),
        }

    def _member(self, identity: bytes) -> Any:
        return self.l.get(b"m/" + identity)

    def _slots(self, identity: bytes) -> list[records.Slot]:
        found = self.l.get(b"mq/" + identity)
        return found.slots if found else []

    def _counts(self, slot: records.Slot) -> bool:
        return slot.state == OPEN or (slot.state == USED and slot.until > self.l.chain.clock)

    def _put_slots(self, identity: bytes, slots: list[records.Slot]) -> None:
        left = list(slots)
        while len(left) > 16:
            left.remove(next(slot for slot in left if not self._counts(slot)))
        self.l.put(b"mq/" + identity, records.Inviting(left))

    # --- invitations ------------------------------------------------------------------------------------------------------------

    def _invite(self, sender: bytes, m: membership.Invite) -> None:
        """LC-MEM-21"""
        p, clock, member, slots = self.l.params, self.l.chain.clock, self._member(sender), self._slots(sender)
        name = tagged(b"lc/invitation", m.key)
        refuse_if(member is None, 210)
        refuse_if(p.join_policy == 2, 213)
        refuse_if(not self.l.active(sender) or len({s.origin for s in member.strikes if s.end > clock}) >= 3, 215)
        refuse_if(member.inviter != b"" and clock - member.since < p.invite_rest, 216)
        refuse_if(m.expires <= clock or m.expires - clock > p.invite_longest, 217)
        refuse_if(not is_public_key(m.key) or self.l.get(b"mk/" + name) is not None, 218)
        refuse_if(name in [slot.invitation for slot in slots], 218)
        refuse_if(sum(map(self._counts, slots)) > 2, 219)
        refuse_if(self.l.free(sender) < m.credits, 1)
        self.l.lock(sender, name + b"I", m.credits)
        self.l.put(b"mk/" + name, records.Invitation(m.key, sender, m.expires, m.credits))
        self._put_slots(sender, [*slots, records.Slot(name, OPEN, m.expires)])
        self.l.schedule(m.expires, MEMBERSHIP, name, sender)

    def _over(self, name: bytes, state: int, until: int, heir: bytes) -> None:
        known = self.l.get(b"mk/" + name)
        self.l.release(name + b"I", heir)
        self.l.put(b"mk/" + name, None)
        self.l.cancel(known.expires, MEMBERSHIP, name, known.inviter)
        now = records.Slot(name, state, until)
        self._put_slots(known.inviter, [now if s.invitation == name else s for s in self._slots(known.inviter)])

    def due(self, name: bytes, at: int) -> None:
        """LC-MEM-25"""
        known = self.l.get(b"mk/" + name)
        if known is not None and known.expires == at:
            self._over(name, EXPIRED, 0, known.inviter)

    def revoke_all(self, identity: bytes) -> None:
        """LC-MEM-25: of who leaves or is banned."""
        for slot in self._slots(identity):
            if slot.state == OPEN:
                self._over(slot.invitation, REVOKED, 0, identity)

    def _known(self, inviter: bytes, name: bytes) -> Any:
        known = self.l.get(b"mk/" + name)
        if known is None or known.inviter != inviter:
            state = {s.invitation: s.state for s in self._slots(inviter)}.get(name, OPEN)
            refuse_if(True, ENDED.get(state, 220))
        return known

    def _revoke(self, sender: bytes, m: membership.RevokeInvite) -> None:
        """LC-MEM-25"""
        self._known(sender, m.invitation)
        self._over(m.invitation, REVOKED, 0, sender)

    # --- coming and going -------------------------------------------------------------------------------------------------------

    def _join(self, _sender: bytes, m: membership.Join) -> None:
        """LC-MEM-23"""
        refuse_if(self.l.params.join_policy == 2, 213)
        name, clock = tagged(b"lc/invitation", m.invitation), self.l.chain.clock
        known = self._known(m.inviter, name)
        refuse_if(known.expires <= clock, 223)
        digest = tagged(b"lc/join", self.l.chain.chain_id, m.invitation, m.key)
        refuse_if(not verified(m.key, digest, m.signature) or not verified(m.invitation, digest, m.token), 224)
        who = self._enter(m.key, self._member(m.inviter).root, m.inviter)
        self._over(name, USED, clock + self.l.params.invite_rest, who)

    def _owner(self, key: bytes) -> bytes:
        """LC-MEM-22: whose the key is or would be; refused where it cannot enter."""
        refuse_if(not is_public_key(key), 218)
        later = self.l.get(b"gk/" + key)
        who: bytes = later.account if later is not None else tagged(b"lc/id", key)[:20]
        account, member = self.l.account(who), self._member(who)
        gone = account is not None and member is not None and member.left > 0 and account.key == key
        refuse_if(account is not None and not (gone and account.status == ACTIVE), 225)
        return who

    def _enter(self, key: bytes, root: bytes, inviter: bytes) -> bytes:
        """LC-MEM-22, LC-TX-15"""
        who, p, clock = self._owner(key), self.l.params, self.l.chain.clock
        member = self._member(who)
        if self.l.account(who) is None:
            if inviter:
                branch = self.l.get(b"mt/" + root)
                size = 0 if branch is None else branch.size
                refuse_if(size >= p.invite_branch, 233)
                self.l.put(b"mt/" + root, records.Branch(size + 1))
            arrival = clock * 1_000 + max(0, p.bandwidth_window * 1_000 - 16_384 * 1_000_000 // p.bandwidth_base)
            self.l.put(b"a/" + who, base.Account(key, ACTIVE, 0, 0, [0, 0, 0, 0], arrival))
            self.l.put(b"m/" + who, records.Member(root or who, False, 0, 0, [], 0, [], [], inviter, clock, 0, b"", 0))
            self.l.members = sorted([*self.l.members, who])
            return who
        self.l.put(b"m/" + who, replace(member, inviter=inviter, since=clock, left=0, box_key=b"", box_since=0))
        return who

    def _leave(self, sender: bytes, _m: membership.Leave) -> None:
        """LC-MEM-26"""
        self._may_go(sender)
        self._go(sender)

    def _may_go(self, who: bytes) -> None:
        member, coming = self._member(who), self.l.get(base.K_NEXT_VALIDATORS)
        refuse_if(member is None or member.left > 0, 210)
        refuse_if(who in [v.id for v in (self.l.validators if coming is None else coming.members)], 226)

    def _go(self, who: bytes) -> None:
        self.revoke_all(who)
        self.l.put(b"m/" + who, replace(self._member(who), verifier=False, left=self.l.chain.clock))

    # --- by vote ----------------------------------------------------------------------------------------------------------------

    def _may_be_admitted(self, m: governance.Admit) -> None:
        """LC-MEM-24"""
        refuse_if(self.l.params.join_policy == 1, 214)
        self._owner(m.key)

    def _admit(self, m: governance.Admit) -> None:
        self._enter(m.key, b"", b"")

    def _may_be_flagged(self, m: governance.SetVerifier) -> None:
        """LC-MEM-28"""
        member = self._member(m.account)
        refuse_if(member is None or member.left > 0, 210)
        refuse_if(member.verifier == m.on or self.l.account(m.account).status == BANNED, 227)

    def _flag(self, m: governance.SetVerifier) -> None:
        known = self._member(m.account)
        self.l.put(b"m/" + m.account, replace(known, verifier=m.on, verifier_since=self.l.chain.clock))

    # --- box keys ---------------------------------------------------------------------------------------------------------------

    def _box(self, sender: bytes, m: membership.SetBoxKey) -> None:
        """LC-MEM-29; the keys without secrets are never drawn but for that of zeros."""
        member = self._member(sender)
        refuse_if(member is None or member.left > 0, 210)
        refuse_if(not any(m.key), 231)
        refuse_if(member.box_key == m.key, 232)
        self.l.put(b"m/" + sender, replace(member, box_key=m.key, box_since=self.l.chain.clock))
