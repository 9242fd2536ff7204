"""What credits take: messages and the codes of their refusals."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.types import (
    AccountId,
    Uint,
)

Memo = Annotated[bytes, Meta(max_length=64)]


class CreditCode(IntEnum):
    SELF_TRANSFER = 100
    ALLOWANCE_CHANGED = 101
    ALLOWANCE_TOO_SMALL = 102
    OWNER_BANNED = 103


class Transfer(Wire, frozen=True, tag=32):
    """LC-CRD-2: `amount` micro-credits of the sender to `target`; `memo` is for the parties and means nothing to the ledger."""

    target: AccountId
    amount: Uint
    memo: Memo


class Approve(Wire, frozen=True, tag=33):
    """LC-CRD-3"""

    spender: AccountId
    expected: Uint
    amount: Uint


class TransferFrom(Wire, frozen=True, tag=34):
    """LC-CRD-4"""

    owner: AccountId
    target: AccountId
    amount: Uint
