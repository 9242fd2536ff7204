"""What the state keeps of credits besides accounts and escrows."""

from __future__ import annotations

from typing import Any

from learningchain.chain.codec import Wire
from learningchain.chain.host import K_SUPPLY, Reader
from learningchain.chain.types import Uint

NUMBER = 1


class Allowance(Wire, frozen=True):
    amount: Uint


def allowance_key(owner: bytes, spender: bytes) -> bytes:
    return b"ca/" + owner + spender


def allowance(reader: Reader, owner: bytes, spender: bytes) -> int:
    record: Any = reader.get(allowance_key(owner, spender))
    return record.amount if record else 0


def supply(reader: Reader) -> dict[str, int]:
    """Micro-credits minted and burned so far, and what exists."""
    record: Any = reader.get(K_SUPPLY)
    return {"minted": record.minted, "burned": record.burned, "supply": record.minted - record.burned}
