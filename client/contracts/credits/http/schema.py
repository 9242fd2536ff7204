"""What the credits' routes take and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.client.schema.bodies import (
    Strict,
    SupplyPart,
)
from learningchain.client.schema.texts import Address, Amount, GivenAmount


class TransferRequest(Strict, frozen=True, kw_only=True):
    to: Address
    amount: GivenAmount
    memo: Annotated[str, Meta(max_length=64, description="at most 64 bytes of UTF-8")] = ""


class SupplyView(SupplyPart):
    """Counted at `height`: accounts + escrows equal supply, or the ledger is broken."""

    accounts: Amount
    escrows: Amount
    height: int
