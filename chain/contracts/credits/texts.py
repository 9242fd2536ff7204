"""The words for people: events, codes, and how fields are shown."""

from __future__ import annotations

from learningchain.chain.contracts.credits.messages import CreditCode
from learningchain.chain.host import (
    Data,
    Datum,
    Form,
    OneOf,
)

EVENTS: dict[str, Data] = {"approve": (Datum("spender", Form.ID), Datum("amount", Form.CREDITS))}
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
FORMS: dict[str, Form | OneOf] = {"amount": Form.CREDITS, "expected": Form.CREDITS, "memo": Form.MEMO}
