"""What every receipt code means and what to do about it, for people. Each contract has the words for its own codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from learningchain.chain.errors import Code, TxCode
from learningchain.chain.params import MAX_VALID_FOR
from learningchain.client import contracts
from learningchain.client.contracts import PartKind

_OWN: dict[int, tuple[str, str]] = {
    Code.INSUFFICIENT_CREDITS: ("the sender has too few free credits", "Use a smaller amount, or wait until credits arrive"),
    Code.UNKNOWN_ACCOUNT: ("this network has no such account", "Check the address: GET /v1/accounts lists every account"),
    Code.BAD_AMOUNT: ("the amount must be at least one micro-credit (0.000001)", "Use a positive amount"),
    Code.OVERFLOW: ("a number would exceed the largest that the ledger holds", "Use a smaller amount"),
    Code.NOT_ALLOWED: ("the rules do not allow this now", "Try again in a later block"),
    Code.PARKED: (
        "a program failed at what this is about, and nothing happens to it until the validators release it",
        "Wait; GET /v1/status lists what is parked. Its credits are kept",
    ),
    Code.LEFT: ("the sender is no member of this network any more", "Join again, by an invitation or the validators' vote"),
    TxCode.MALFORMED: ("the bytes are no transaction", "Encode and sign the transaction again"),
    TxCode.FOREIGN_NETWORK: ("it was signed for another network", "Sign it with this network's chain id (GET /v1/status)"),
    TxCode.BAD_SIGNATURE: ("the signature does not fit", "Sign with the sender's current key"),
    TxCode.UNKNOWN_SENDER: ("the sender is no member of this network", "Check the sender, or have it admitted"),
    TxCode.BANNED: ("the sender is banned", "GET /v1/accounts/{id} shows its status; the validators' vote alone lifts a ban"),
    TxCode.SEQUENCE_USED: ("the sequence was used", "Sign again with the account's next sequence"),
    TxCode.SEQUENCE_GAP: ("an earlier sequence is missing", "Send the earlier transaction first"),
    TxCode.EXPIRED: ("its last height has passed", "Sign it again with a later valid_until"),
    TxCode.TOO_FAR_AHEAD: ("valid_until lies too far ahead", f"Use a valid_until within {MAX_VALID_FOR:,} blocks"),
    TxCode.QUOTA: ("the sender's quota for a block is used up", "Wait a block, then send it again"),
    TxCode.BANDWIDTH: ("the sender's bandwidth is used up", "Wait as long as the text says, or hold more free credits"),
    TxCode.MEMPOOL_FULL: (
        "there is no room for it in this node's mempool",
        "GET /v1/status shows what is full; blocks take what waits",
    ),
    TxCode.REFUSED: (
        "it is refused, like many before it of the same sender in one block",
        "Mend what the code in this text says, and sign it again with the next sequence",
    ),
    TxCode.QUARANTINED: ("the transaction was set aside because it breaks an invariant", "Report it with the transaction's id"),
}


class TextsPart(NamedTuple):
    """What people are told of one contract."""

    refusals: Mapping[int, tuple[str, str]]
    """By its codes: why a message is refused, and what to do."""
    reasons: Mapping[str, str] = {}
    """By the reasons for which it moves credits: the rule in words."""
    proven: Callable[[Mapping[bytes, Any], Sequence[bytes]], tuple[list[str], list[dict[str, Any]]]] = lambda _, __: ([], [])
    """(records of a receipt file by key, decoded; keys that open what is encrypted in them) -> what they mean together, for people
    and for programs. Raises ValueError for keys that open nothing."""


TEXTS: Final = PartKind("texts", TextsPart)


@cache
def _refusals() -> dict[int, tuple[str, str]]:
    return _OWN | {int(code): text for part in contracts.parts(TEXTS).values() for code, text in part.refusals.items()}


def explain(code: int) -> tuple[str, str]:
    """(why, what to do) behind a code."""
    return _refusals().get(
        int(code), (f"refused with code {int(code)}", "The contract's chapter of the specification says what it means")
    )
