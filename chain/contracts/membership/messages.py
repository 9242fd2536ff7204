"""What membership takes: messages and the codes of their refusals."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.host.terms import Capacity
from learningchain.chain.types import (
    AccountId,
    Evidence,
    Hash,
    PublicKey,
    Signature,
    Uint,
)


class MemberCode(IntEnum):
    NOT_A_VALIDATOR = 200
    NO_CASE = 201
    ALREADY_VOTED = 202
    BAD_EVIDENCE = 203
    OLD_EVIDENCE = 204
    KNOWN_EVIDENCE = 205
    LAST_VALIDATOR = 206
    NOT_PARKED = 207
    NOTHING_TO_GIVE_BACK = 208
    PARTY = 209
    NOT_A_MEMBER = 210
    BAD_CAPACITY = 211
    SAME_CAPACITY = 212
    NO_INVITATIONS = 213
    INVITATIONS_ONLY = 214
    MAY_NOT_INVITE = 215
    TOO_NEW = 216
    BAD_EXPIRY = 217
    BAD_KEY = 218
    TOO_MANY_INVITATIONS = 219
    NO_INVITATION = 220
    INVITATION_USED = 221
    INVITATION_REVOKED = 222
    INVITATION_EXPIRED = 223
    BAD_PROOF = 224
    KNOWN_KEY = 225
    STILL_A_VALIDATOR = 226
    SAME_FLAG = 227
    ALREADY_BANNED = 228
    NOT_BANNED = 229
    TOO_MUCH = 230
    BAD_BOX_KEY = 231
    SAME_BOX_KEY = 232
    BRANCH_FULL = 233


class JudgeCase(Wire, frozen=True, tag=64):
    """LC-MEM-6: a validator's word on an open case: `confirm` the ban, or lift it."""

    account: AccountId
    confirm: bool


class ReportDouble(Wire, frozen=True, tag=65):
    """LC-MEM-10, 11, 12"""

    evidence: Evidence


class Release(Wire, frozen=True, tag=66):
    """LC-MEM-13: a validator's word on a parked reference: run again what it missed, or (`give_back`) end it."""

    contract: Annotated[int, Meta(ge=0, le=255)]
    ref: Annotated[bytes, Meta(max_length=64)]
    give_back: bool


class SetCapacity(Wire, frozen=True, tag=67):
    """LC-MEM-16: the largest work that the sender's machine takes. Who declared nothing is not drawn."""

    capacity: Capacity


class Invite(Wire, frozen=True, tag=68):
    """LC-MEM-21: an invitation until `expires` (chain clock), with `credits` of the sender; `key` is its one-time public key."""

    key: PublicKey
    expires: Uint
    credits: Uint


class RevokeInvite(Wire, frozen=True, tag=69):
    """LC-MEM-25"""

    invitation: Hash


class Join(Wire, frozen=True, tag=70):
    """LC-MEM-23: a newcomer's `key` by the invitation with the one-time key `invitation`; any member sends it.

    `signature` is the newcomer's and `token` the one-time key's, both over `invitations.join_digest`.
    """

    inviter: AccountId
    invitation: PublicKey
    key: PublicKey
    signature: Signature
    token: Signature


class Leave(Wire, frozen=True, tag=71):
    """LC-MEM-26"""


class SetBoxKey(Wire, frozen=True, tag=72):
    """LC-MEM-29: the X25519 key under which others seal what only the sender shall read."""

    key: Hash


class SetTraining(Wire, frozen=True, tag=73):
    """LC-MEM-34: the longest training that the sender takes on, in seconds (0: none), on a machine of this architecture."""

    arch: Annotated[int, Meta(ge=0, le=255)]
    train_s: Uint
