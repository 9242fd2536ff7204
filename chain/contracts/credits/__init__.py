"""Credits: transfer, allowance, supply (LC-CRD-1 to LC-CRD-6).

Life cycle: genesis grants; afterwards credits only move. An allowance lets a spender take up to an amount from an owner's free
credits. It is changed by compare-and-set (`expected` must be the present amount), so that a change cannot race a spending.

    message        guard                                              effect
    Transfer       amount >= 1, target has an account, not oneself    free credits move
    Approve        spender has an account, present == expected        allowance := amount (0 removes it)
    TransferFrom   allowance >= amount, the owner is not banned       free credits move, allowance shrinks

    messages, records, events   what it takes, keeps and says      handlers   what each message does
"""

from __future__ import annotations

from learningchain.chain.contracts.credits.events import EVENTS, FORMS
from learningchain.chain.contracts.credits.handlers import approve, transfer, transfer_from
from learningchain.chain.contracts.credits.messages import Approve, CreditCode, Memo, Transfer, TransferFrom
from learningchain.chain.contracts.credits.records import NUMBER, Allowance, allowance, allowance_key, supply
from learningchain.chain.host import Contract, MessageSpec

CONTRACT = Contract(
    name="credits",
    number=NUMBER,
    messages={
        Transfer: MessageSpec(transfer),
        Approve: MessageSpec(approve),
        TransferFrom: MessageSpec(transfer_from),
    },
    codes=CreditCode,
    state={b"ca/": Allowance},
    events=EVENTS,
    forms=FORMS,
)

__all__ = [
    "CONTRACT",
    "NUMBER",
    "Allowance",
    "Approve",
    "CreditCode",
    "Memo",
    "Transfer",
    "TransferFrom",
    "allowance",
    "allowance_key",
    "supply",
]
