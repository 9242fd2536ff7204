"""Which accounts and subjects an event concerns: the lines of their histories.

A subject is what a contract notes events under by a 32-byte id: a job. Nothing is stored twice for a history: of each account and
subject a block keeps the numbers of the receipts that tell of it, and the lines are read from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from learningchain.chain.codec import Wire
from learningchain.chain.crypto import ID_SIZE
from learningchain.chain.types import Event, Hash, Receipt, TransferEvent

SUBJECT_SIZE = 32
"""Bytes of a subject's id: an account's is shorter, an escrow's reference longer."""

AccountIndex = list[tuple[bytes, list[int]]]
"""Of each account and subject that a block's events concern: the numbers of their receipts, ascending."""


class AccountEvent(Wire, frozen=True):
    """A line of a history: the event and the transaction that caused it (zero id: the block itself)."""

    tx: Hash
    event: Event


def concerned(event: Event) -> list[bytes]:
    """Account ids, each once, or the subject that something happened to. Escrow references are nobody's."""
    if type(event) is not TransferEvent:
        return [event.ref] if len(event.ref) in (ID_SIZE, SUBJECT_SIZE) else []
    found = [event.source] if len(event.source) == ID_SIZE else []
    if len(event.target) == ID_SIZE and event.target != event.source:
        found.append(event.target)
    return found


def index_accounts(receipts: list[Receipt]) -> AccountIndex:
    found: dict[bytes, list[int]] = {}
    for number, receipt in enumerate(receipts):
        for event in receipt.events:
            for account in concerned(event):
                numbers = found.setdefault(account, [])
                if not numbers or numbers[-1] != number:
                    numbers.append(number)
    return list(found.items())


def lines(account: bytes, receipt: Receipt) -> Iterator[AccountEvent]:
    """What a receipt tells of an account or subject, in the order in which it happened."""
    return (AccountEvent(receipt.tx, event) for event in receipt.events if account in concerned(event))
