"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.host import (
    Data,
    Datum,
    Form,
    OneOf,
)

EVENTS: dict[str, Data] = {"approve": (Datum("spender", Form.ID), Datum("amount", Form.CREDITS))}
FORMS: dict[str, Form | OneOf] = {"amount": Form.CREDITS, "expected": Form.CREDITS, "memo": Form.MEMO}
