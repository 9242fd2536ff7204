"""The words for people: events, codes, and how fields are shown."""

from __future__ import annotations

from chain.contracts.credits.messages import CreditCode
from chain.host import (
    Data,
    Datum,
    Form,
    OneOf,
)

EVENTS: dict[str, Data] = {"approve": (Datum("spender", Form.ID), Datum("amount", Form.CREDITS))}
TEXTS: dict[int, tuple[str, str]] = {
    CreditCode.SELF_TRANSFER: ("source and target are the same account", "Name another account"),
    CreditCode.ALLOWANCE_CHANGED: ("the allowance is no longer what the message expected", "Read it again, then repeat"),
    CreditCode.ALLOWANCE_TOO_SMALL: ("the owner's allowance is smaller than the amount", "Ask the owner for a larger allowance"),
    CreditCode.OWNER_NOT_ACTIVE: ("the owner of the credits is suspended or banned", "Nothing can be taken from this account now"),
}
FORMS: dict[str, Form | OneOf] = {"amount": Form.CREDITS, "expected": Form.CREDITS, "memo": Form.MEMO}
