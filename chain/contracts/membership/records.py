"""What the state keeps of members, suspensions and evidence."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.host.contract import EscrowShape
from learningchain.chain.host.store import Reader
from learningchain.chain.host.terms import Capacity, Small
from learningchain.chain.tags import Tag
from learningchain.chain.types import (
    AccountId,
    Hash,
    Height,
    PublicKey,
    Uint,
)
from learningchain.chain.verification.standing import CountedVotes, Draws, Strikes

NUMBER = 2
MAX_CASE_REFS = 64
VERDICTS_KEPT = 64
MAX_INVITATIONS = 3
"""Of a member, that are open or were used a while ago."""
SLOTS_KEPT = 16
MAX_DEPTH = 32
"""Of the tree that invitations make: each entry counts for everybody above it."""
LONGEST_CASE = 4
"""A case ends at most so many APPEAL after its first FALSE."""


class Member(Wire, frozen=True):
    """What is known of a member. Times are of the chain clock.

    `root` is the member at the root of its invitations, or itself. `verifier_since` is when the flag was set, `rests_until` when
    it may be drawn again; `capacity` is what it declared, at `capacity_since`. `inviter` is who invited it, empty for those
    of genesis and voted ones; `since` is when it became a member, `left` when it was none any more (0: it is one); `box_key`
    its X25519 key, set at `box_since` (empty: none).
    """

    root: AccountId
    verifier: bool
    verifier_since: Uint
    rests_until: Uint
    capacity: Annotated[list[Capacity], Meta(max_length=1)]
    capacity_since: Uint
    strikes: Strikes
    draws: Draws
    inviter: Annotated[bytes, Meta(max_length=20)] = b""
    since: Uint = 0
    left: Uint = 0
    box_key: Annotated[bytes, Meta(max_length=32)] = b""
    box_since: Uint = 0


class Training(Wire, frozen=True):
    """LC-MEM-34: the longest training that a member takes on, in seconds (0: none), since when, and its machine's architecture."""

    arch: Small
    train_s: Uint
    since: Uint


class Invitation(Wire, frozen=True):
    """LC-MEM-21: an open invitation: the token's one-time public key, who made it, until when it stands, what it brings."""

    key: PublicKey
    inviter: AccountId
    expires: Uint
    credits: Uint


class SlotState(IntEnum):
    OPEN = 0
    USED = 1
    REVOKED = 2
    EXPIRED = 3


class Slot(Wire, frozen=True):
    """What became of an invitation. `until`: when an open one expires, and until when a used one counts; 0 for the others."""

    invitation: Hash
    state: Small
    until: Uint


class Inviting(Wire, frozen=True):
    """The invitations of a member, oldest first: those that count among its three, and the last of the others."""

    slots: Annotated[list[Slot], Meta(max_length=SLOTS_KEPT)]


class Branch(Wire, frozen=True):
    """LC-MEM-33: how many identities came into being by invitations below this one, and whose invitation opened it itself.

    `above` is empty for a root. It stays as it is: who leaves and comes back by another member is below its first inviter.
    """

    below: Uint
    above: Annotated[bytes, Meta(max_length=20)]


class BanRecord(Wire, frozen=True):
    """What a ban burned: as much may be minted back where it is lifted."""

    burned: Uint


class PastVerdict(Wire, frozen=True):
    """A verdict (a `Judgement`) on what an account delivered to work of `origin`, a root. `case`: the number of the case that a
    FALSE opened or belongs to, 0 for none; `lifted`: that case was."""

    origin: AccountId
    verdict: Small
    time: Uint
    case: Uint
    lifted: bool


class Judged(Wire, frozen=True):
    """The last verdicts on what an account delivered, oldest first, and how many there were before them."""

    last: Annotated[list[PastVerdict], Meta(max_length=VERDICTS_KEPT)]
    older: Uint


class VotesFor(Wire, frozen=True):
    """The last votes of an account in work of one root that a quorum decided, from the first bad one on: no other can count."""

    votes: CountedVotes


class CaseRef(Wire, frozen=True):
    """What a case is about: a reference of a contract, and whose work it was (the account, and its root)."""

    ref: Annotated[bytes, Meta(max_length=64)]
    contract: Uint
    owner: AccountId
    origin: AccountId


class Case(Wire, frozen=True):
    """An open suspension: since when and until when, what it is about, and the judges' last words."""

    number: Uint
    since: Uint
    until: Uint
    refs: Annotated[list[CaseRef], Meta(max_length=MAX_CASE_REFS)]
    confirm: list[AccountId]
    lift: list[AccountId]


class Cases(Wire, frozen=True):
    """How many there ever were."""

    opened: Uint


class Ejection(Wire, frozen=True):
    """A double signing at `height` that was dealt with."""

    height: Height


def member_key(identity: bytes) -> bytes:
    return b"m/" + identity


def training_key(identity: bytes) -> bytes:
    return b"mw/" + identity


_INVITATION = Tag("lc/invitation", "invitations' ids")


def invitation_id(key: bytes) -> bytes:
    """LC-MEM-21: of the invitation whose one-time public key is `key`."""
    return _INVITATION.hash(key)


def invitation_key(invitation: bytes) -> bytes:
    return b"mk/" + invitation


def inviting_key(identity: bytes) -> bytes:
    return b"mq/" + identity


def branch_key(identity: bytes) -> bytes:
    return b"mt/" + identity


def ban_key(identity: bytes) -> bytes:
    return b"mb/" + identity


def invitation_escrow(invitation: bytes) -> bytes:
    return invitation + b"I"


def _inviter(reader: Reader, invitation: bytes) -> bytes | None:
    found = reader.get(invitation_key(invitation))
    return found.inviter if isinstance(found, Invitation) else None


ESCROWS = (EscrowShape("invitation", b"I", owner=_inviter),)


def case_key(identity: bytes) -> bytes:
    return b"mc/" + identity


def ejection_key(identity: bytes, height: int) -> bytes:
    return b"me/" + identity + height.to_bytes(8, "big")


def judged_key(identity: bytes) -> bytes:
    return b"mj/" + identity


def votes_key(identity: bytes, origin: bytes) -> bytes:
    """By origin: what a draw asks for is who is marked by one."""
    return b"mv/" + origin + identity


def split_votes(key: bytes) -> tuple[bytes, bytes]:
    """(origin, identity) of a key of votes."""
    return key[3:23], key[23:]


K_CASES = b"mn/"
