"""What the contract takes: messages and the codes of their refusals."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.crypto import verify
from learningchain.chain.host.terms import Small
from learningchain.chain.tags import Tag
from learningchain.chain.types import AccountId, PublicKey, Signature, Uint

MAX_GUARDIANS = 16
_NEW_KEY = Tag("lc/new-key", "new keys' sign-bytes")


class KeyCode(IntEnum):
    BAD_KEY = 700
    KEY_TAKEN = 701
    BAD_PROOF = 702
    TOO_SOON = 703
    BAD_GUARDIANS = 704
    BAD_THRESHOLD = 705
    BAD_DELAY = 706
    OBJECTED = 707
    NOT_A_GUARDIAN = 708
    ACCOUNT_BANNED = 709
    RECOVERY_BARRED = 710
    SAME_WORD = 711
    NO_RECOVERY = 712


class RotateKey(Wire, frozen=True, tag=224):
    """LC-KEY-2: the sender's key is `key` from now on. The transaction is signed by the old one, `signature` is the new one's."""

    key: PublicKey
    signature: Signature


class SetGuardians(Wire, frozen=True, tag=225):
    """LC-KEY-4: so many of these accounts together may give the sender another key, `delay` milliseconds after they agreed.

    Without guardians, and then with threshold and delay 0, nobody may. Where there are guardians, it waits for their delay.
    """

    guardians: Annotated[list[AccountId], Meta(max_length=MAX_GUARDIANS)]
    threshold: Small
    delay: Uint


class Recover(Wire, frozen=True, tag=226):
    """LC-KEY-5: a guardian's word that `account` shall have this key, whose `signature` is here."""

    account: AccountId
    key: PublicKey
    signature: Signature


class ObjectRecovery(Wire, frozen=True, tag=227):
    """LC-KEY-7: the sender has its key still: more than two thirds of its guardians have to agree on another one."""


def new_key_digest(chain_id: bytes, account: bytes, key: bytes) -> bytes:
    """LC-KEY-1: what a new key signs. It can be used once, as a key is nobody's a second time: it needs no number."""
    return _NEW_KEY.hash(chain_id, account, key)


def is_proven(chain_id: bytes, account: bytes, key: bytes, signature: bytes) -> bool:
    """Whether whoever has `key` agreed to be this account."""
    return verify(key, new_key_digest(chain_id, account, key), signature)
