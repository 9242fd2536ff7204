"""What the state keeps of credits besides accounts and escrows."""

from __future__ import annotations

from learningchain.chain.codec import Wire
from learningchain.chain.types import (
    Uint,
)

NUMBER = 1


class Allowance(Wire, frozen=True):
    amount: Uint


def allowance_key(owner: bytes, spender: bytes) -> bytes:
    return b"ca/" + owner + spender
