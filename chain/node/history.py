"""Which accounts an event concerns: the lines of their histories."""

from __future__ import annotations

from chain.codec import encode
from chain.crypto import ID_SIZE
from chain.node.events import AccountEvent
from chain.types import Event, Moved, Receipt


def concerned(event: Event) -> list[bytes]:
    """Account ids, each once. Escrow references are longer than an id and are nobody's."""
    if type(event) is not Moved:
        return [event.ref] if len(event.ref) == ID_SIZE else []
    found = [event.source] if len(event.source) == ID_SIZE else []
    if len(event.target) == ID_SIZE and event.target != event.source:
        found.append(event.target)
    return found


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
