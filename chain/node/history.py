"""Which accounts an event concerns: the lines of their histories."""

from __future__ import annotations

from chain.codec import encode
from chain.crypto import ID_SIZE
from chain.node.events import AccountEvent
from chain.types import Event, Moved, Receipt


def concerned(event: Event) -> list[bytes]:
    """Account ids, each once. Escrow references are longer than an id and are nobody's."""
    ends = (event.source, event.target) if isinstance(event, Moved) else (event.ref,)
    return [end for end in dict.fromkeys(ends) if len(end) == ID_SIZE]


def account_events(receipts: list[Receipt]) -> list[tuple[bytes, bytes]]:
    """(account, encoded `AccountEvent`) in the order in which things happened."""
    lines = []
    for receipt in receipts:
        for event in receipt.events:
            accounts = concerned(event)
            if accounts:
                raw = encode(AccountEvent(receipt.tx, event))
                lines += [(account, raw) for account in accounts]
    return lines
