"""What the state keeps of keys, besides whose each key is or was (`gk/`)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.keys.messages import MAX_GUARDIANS
from learningchain.chain.host import Reader
from learningchain.chain.host.terms import Small
from learningchain.chain.types import AccountId, PublicKey, Uint

NUMBER = 7


class ComingGuardians(Wire, frozen=True):
    """Guardians that are in force from `since` on (chain clock), or none; not while a recovery is open. Ids ascending."""

    since: Uint
    guardians: Annotated[list[AccountId], Meta(max_length=MAX_GUARDIANS)]
    threshold: Small
    delay: Uint


class GuardianSet(Wire, frozen=True):
    """`threshold` of these accounts, `delay` milliseconds after they agreed; and who follows them, if anybody. Ids ascending."""

    guardians: Annotated[list[AccountId], Meta(min_length=1, max_length=MAX_GUARDIANS)]
    threshold: Small
    delay: Uint
    coming: Annotated[list[ComingGuardians], Meta(max_length=1)]


class GuardianWord(Wire, frozen=True):
    guardian: AccountId
    key: PublicKey


class Recovery(Wire, frozen=True):
    """An open recovery: since when, until when, the guardians' last words, and the key on which enough of them agree (or none).

    Without one `until` is `gather`, when the guardians must have agreed; with one it is when the account gets it. `objected`:
    whoever has the present key spoke against it.
    """

    since: Uint
    until: Uint
    words: Annotated[list[GuardianWord], Meta(min_length=1, max_length=MAX_GUARDIANS)]
    key: Annotated[bytes, Meta(max_length=33)]
    gather: Uint
    objected: bool


class KeyChanges(Wire, frozen=True):
    """How often an account's key changed, when its owner rotated it last, and before when no recovery may begin."""

    count: Uint
    rotated: Uint
    barred_until: Uint


def guardians_key(identity: bytes) -> bytes:
    return b"kg/" + identity


def recovery_key(identity: bytes) -> bytes:
    return b"kr/" + identity


def changes_key(identity: bytes) -> bytes:
    return b"kc/" + identity


# --- what they say ------------------------------------------------------------------------------------------------------------


def changes_of(reader: Reader, identity: bytes) -> KeyChanges:
    found = reader.get(changes_key(identity))
    return found if isinstance(found, KeyChanges) else KeyChanges(0, 0, 0)


def recovery_of(reader: Reader, identity: bytes) -> Recovery | None:
    """The one that is open."""
    found = reader.get(recovery_key(identity))
    return found if isinstance(found, Recovery) else None


def guardians_of(reader: Reader, identity: bytes, clock: int) -> GuardianSet | None:
    """LC-KEY-4: those in force at this time of the chain clock; None where the account has none."""
    found = reader.get(guardians_key(identity))
    if not isinstance(found, GuardianSet):
        return None
    if not found.coming or clock < found.coming[0].since or recovery_of(reader, identity) is not None:
        return found
    later = found.coming[0]
    return GuardianSet(later.guardians, later.threshold, later.delay, []) if later.guardians else None
