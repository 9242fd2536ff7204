"""What a member's node answers to one that asks to join (`p2p.outsiders`): the network's genesis, and the word that it is in.

    Ask(GENESIS)  the key is that of an open invitation      -> the genesis file
    Ask(JOIN)     besides, the Join would not be refused now -> sent as this node's own; asked again: admitted, or not yet

The answer to anything else is a refusal with its code and words. Who is in already is told so, whatever became of the invitation:
a newcomer that crashed asks again. What is not of the invitation's key is not looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire, decode
from learningchain.chain.contracts.membership import Join, Member, MemberCode, invitation_id, invitation_key, is_member, member_key
from learningchain.chain.contracts.membership.invitations import gone
from learningchain.chain.contracts.membership.records import Invitation
from learningchain.chain.crypto import account_id, is_public_key
from learningchain.chain.errors import InvalidTx, Malformed, Reject
from learningchain.chain.types import AccountId, Hash
from learningchain.client.api.submit import try_out
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.node.interface import Ledger
from learningchain.client.schema.render import code_name
from learningchain.p2p.outsiders import MAX_ASK, Answer, Door

AGAIN_MS: Final = 5_000
"""A Join that is in no block after so long is sent once more."""
MAX_SENT: Final = 256
ADMITTED, WAITING = "admitted", "waiting"


class Wish(IntEnum):
    GENESIS = 0
    JOIN = 1


class Ask(Wire, frozen=True):
    """LC-P2P-36: what a newcomer asks: of this network, by the inviter's invitation."""

    chain_id: Hash
    inviter: AccountId
    wish: Annotated[int, Meta(ge=0, le=1)]
    join: Annotated[list[Join], Meta(max_length=1)]


class JoinDoor:
    """`genesis` gives the file's bytes, `clock_ms` is monotonic."""

    def __init__(self, ledger: Ledger, genesis: Callable[[], bytes], clock_ms: Callable[[], int]) -> None:
        self._ledger, self._genesis, self._clock = ledger, genesis, clock_ms
        self._sent: OrderedDict[bytes, int] = OrderedDict()
        """By the invitation's key, when a Join of it was sent; the oldest first. Only one of it can be in a block: whoever holds
        the token has this node send one at a time, however many newcomers it makes up."""

    async def answer(self, key: bytes, raw: bytes) -> Answer:
        try:
            asked = decode(Ask, raw, MAX_ASK)
        except Malformed as e:
            return _refusal(400, None, "MALFORMED", f"not a question of this protocol: {e}")
        if asked.chain_id != self._ledger.chain_id:
            return _refusal(409, None, "FOREIGN_NETWORK", "the invitation is for another network than this node's")
        if asked.wish == Wish.JOIN and asked.join:
            return await self._join(key, asked.join[0])
        refusal = self._not_open(key, asked.inviter)
        return (200, self._genesis()) if refusal is None else _rejected(refusal)

    def _not_open(self, key: bytes, inviter: bytes) -> Reject | None:
        state, invitation = self._ledger.state, invitation_id(key)
        found = state.get(invitation_key(invitation))
        if not isinstance(found, Invitation) or found.inviter != inviter:
            return gone(state, inviter, invitation)
        if self._ledger.clock >= found.expires:
            return Reject(MemberCode.INVITATION_EXPIRED, "this invitation expired")
        return None

    async def _join(self, key: bytes, op: Join) -> Answer:
        if op.invitation != key or not is_public_key(op.key):
            return _refusal(409, MemberCode.BAD_PROOF, None, "the Join is not of the invitation whose key this connection proved")
        if self._is_in(op):
            return _said(ADMITTED, self._ledger.height)
        try:
            try_out(self._ledger, op)
        except Reject as e:
            return _rejected(e)
        now = self._clock()
        if now - self._sent.get(key, -AGAIN_MS) >= AGAIN_MS:
            self._sent[key] = now
            self._sent.move_to_end(key)
            while len(self._sent) > MAX_SENT:
                self._sent.popitem(last=False)
            try:
                await self._ledger.submit([op])
            except InvalidTx as e:
                self._sent.pop(key, None)
                return _refusal(503, None, e.code.name, f"this member cannot bring it to the graph now: {e.text}")
            except SignerUnavailable:
                self._sent.pop(key, None)
                return _refusal(503, None, "SIGNER", "this member's signer is out of reach: it cannot bring it to the graph now")
        return _said(WAITING, self._ledger.height)

    def _is_in(self, op: Join) -> bool:
        """The key is a member by an invitation of this inviter. Of another invitation's member nothing is told."""
        state, identity = self._ledger.state, account_id(op.key)
        member = state.get(member_key(identity))
        return isinstance(member, Member) and is_member(state, identity) and member.inviter == op.inviter


def _said(state: str, height: int) -> Answer:
    return 200, msgspec.json.encode({"state": state, "height": height})


def _rejected(e: Reject) -> Answer:
    return _refusal(409, e.code, None, e.text)


def _refusal(status: int, code: int | None, name: str | None, text: str) -> Answer:
    called = code_name(code) if code is not None and name is None else name
    return status, msgspec.json.encode({"code": code, "name": called, "message": text})


def door(ledger: Ledger, genesis: Callable[[], bytes], clock_ms: Callable[[], int]) -> Door:
    """What the daemon hands to its network."""
    return Door(
        JoinDoor(ledger, genesis, clock_ms).answer, lambda key: ledger.state.get(invitation_key(invitation_id(key))) is not None
    )
