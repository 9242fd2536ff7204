"""What a client reads."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.credits.records import allowance_key
from learningchain.chain.host import (
    K_SUPPLY,
    Reader,
)


def allowance(reader: Reader, owner: bytes, spender: bytes) -> int:
    record: Any = reader.get(allowance_key(owner, spender))
    return record.amount if record else 0


def supply(reader: Reader) -> dict[str, int]:
    """Micro-credits minted and burned so far, and what exists."""
    record: Any = reader.get(K_SUPPLY)
    return {"minted": record.minted, "burned": record.burned, "supply": record.minted - record.burned}
