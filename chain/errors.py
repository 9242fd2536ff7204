"""The three kinds of error, never mixed.

1. `Reject`: a transaction that the rules refuse. Caught in one place (the ledger's transition); the handler's changes
   are dropped and the receipt carries the code.
2. `Verdict`: what we think of bytes that a peer sent. Only REJECT costs the peer.
3. `BrokenInvariant`: our own mistake. Never caught by consensus code except to quarantine, to prevote nil or to halt.

`OWN_FAULTS` are none of them: nobody catches them, and the node ends before it votes. `Malformed` is what decoders raise;
`InvalidBlock` is what a proposal's check raises: both are turned into a verdict or a nil vote by their caller.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Receipt codes shared by all contracts. Each contract owns a range of its own (see `protocol_spec/codes.md`)."""

    OK = 0
    INSUFFICIENT_CREDITS = 1
    UNKNOWN_ACCOUNT = 2
    BAD_AMOUNT = 3
    OVERFLOW = 4
    NOT_ALLOWED = 5
    PARKED = 6
    LEFT = 7


class TxCode(IntEnum):
    """Why a transaction cannot stand in a block at all; no receipt exists, the submitter is told."""

    MALFORMED = 10
    FOREIGN_NETWORK = 11
    BAD_SIGNATURE = 12
    UNKNOWN_SENDER = 13
    BANNED = 14
    SEQUENCE_USED = 15
    SEQUENCE_GAP = 16
    EXPIRED = 17
    TOO_FAR_AHEAD = 18
    QUOTA = 19
    MEMPOOL_FULL = 20
    QUARANTINED = 21
    REFUSED = 22
    BANDWIDTH = 23


class Reject(Exception):
    """A transaction refused by the rules: stable `code`, and a text for people that is not part of the ledger."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = int(code)
        self.text = text


class InvalidTx(Exception):
    """A transaction that may not stand in a block. `retry_after_s`: where it may stand later, the seconds until then."""

    def __init__(self, code: TxCode, text: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s


class Malformed(ValueError):
    """Bytes that are not the canonical encoding of what was expected."""


class InvalidBlock(Exception):
    """A proposed or received block that breaks a rule; the text names it."""


class BrokenInvariant(Exception):
    """A state that our own rules make impossible: a bug or a damaged machine. Stop, keep the evidence."""


class StateDamaged(Exception):
    """What is stored of the state is not what was decided. Nothing of ours or of a peer's is to blame, and nobody may go on."""


class SupplyBroken(Exception):
    """A deadline makes or loses credits that nobody counted. Every node finds the same, and none may vote on it."""


OWN_FAULTS = (StateDamaged, SupplyBroken, MemoryError, RecursionError, OSError)
"""Faults of one machine, and a supply that breaks: other nodes may not find the first, and nobody may go on after the second."""


class Verdict(IntEnum):
    """What a node thinks of a message from a peer."""

    ACCEPT = 0
    IGNORE = 1
    REJECT = 2
