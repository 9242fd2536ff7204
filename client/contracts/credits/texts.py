"""What people are told of this contract: why a message is refused and what to do, and for what rule credits move."""

from __future__ import annotations

from learningchain.chain.contracts.credits.messages import CreditCode
from learningchain.client.schema.explain import TextsPart

REASONS: dict[str, str] = {
    "transfer": "the sender transferred its free credits (LC-CRD-2)",
    "transfer-from": "whom the owner had allowed to spend for it moved its free credits (LC-CRD-4)",
}
TEXTS: dict[int, tuple[str, str]] = {
    CreditCode.SELF_TRANSFER: ("source and target are the same account", "Name another account"),
    CreditCode.ALLOWANCE_CHANGED: ("the allowance is no longer what the message expected", "Read it again, then repeat"),
    CreditCode.ALLOWANCE_TOO_SMALL: ("the owner's allowance is smaller than the amount", "Ask the owner for a larger allowance"),
    CreditCode.OWNER_BANNED: ("the owner of the credits is banned", "Nothing can be taken from this account"),
}
PART = TextsPart(TEXTS, REASONS)
