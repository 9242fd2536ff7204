"""Credits: transfer, allowance, supply (LC-CRD-1 to LC-CRD-6).

Life cycle: genesis grants; afterwards credits only move. An allowance lets a spender take up to an amount from an owner's free
credits. It is changed by compare-and-set (`expected` must be the present amount), so that a change cannot race a spending.

    message        guard                                              effect
    Transfer       amount >= 1, target has an account, not oneself    free credits move
    Approve        spender has an account, present == expected        allowance := amount (0 removes it)
    TransferFrom   allowance >= amount, the owner is active           free credits move, allowance shrinks
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

from msgspec import Meta

from chain.codec import Wire
from chain.errors import Code, Reject
from chain.host import ACTIVE, K_SUPPLY, Contract, Datum, Form, Host, MessageSpec, Reader
from chain.types import AccountId, Uint

NUMBER = 1
Memo = Annotated[bytes, Meta(max_length=64)]


class CreditCode(IntEnum):
    SELF_TRANSFER = 100
    ALLOWANCE_CHANGED = 101
    ALLOWANCE_TOO_SMALL = 102
    OWNER_NOT_ACTIVE = 103


class Transfer(Wire, frozen=True, tag=32):
    """LC-CRD-2: `amount` micro-credits of the sender to `target`; `memo` is for the parties and means nothing to the ledger."""

    target: AccountId
    amount: Uint
    memo: Memo


class Approve(Wire, frozen=True, tag=33):
    """LC-CRD-3"""

    spender: AccountId
    expected: Uint
    amount: Uint


class TransferFrom(Wire, frozen=True, tag=34):
    """LC-CRD-4"""

    owner: AccountId
    target: AccountId
    amount: Uint


class Allowance(Wire, frozen=True):
    amount: Uint


def allowance_key(owner: bytes, spender: bytes) -> bytes:
    return b"ca/" + owner + spender


def _positive(amount: int) -> None:
    if amount < 1:
        raise Reject(Code.BAD_AMOUNT, "the amount must be at least one micro-credit")


def transfer(host: Host, sender: bytes, m: Transfer) -> None:
    _positive(m.amount)
    if m.target == sender:
        raise Reject(CreditCode.SELF_TRANSFER, "source and target are the same account")
    host.move(sender, m.target, m.amount, "transfer", m.memo)


def approve(host: Host, sender: bytes, m: Approve) -> None:
    host.known_account(m.spender)
    if m.spender == sender:
        raise Reject(CreditCode.SELF_TRANSFER, "an allowance for oneself means nothing")
    key = allowance_key(sender, m.spender)
    record = host.get(key, Allowance)
    present = record.amount if record else 0
    if present != m.expected:
        raise Reject(CreditCode.ALLOWANCE_CHANGED, f"the allowance is {present}, not {m.expected}")
    if m.amount:
        host.put(key, Allowance(m.amount))
    else:
        host.delete(key)
    host.emit("approve", sender, m.spender, m.amount)


def transfer_from(host: Host, sender: bytes, m: TransferFrom) -> None:
    _positive(m.amount)
    if m.owner == m.target:
        raise Reject(CreditCode.SELF_TRANSFER, "source and target are the same account")
    key = allowance_key(m.owner, sender)
    record = host.get(key, Allowance)
    present = record.amount if record else 0
    if present < m.amount:
        raise Reject(CreditCode.ALLOWANCE_TOO_SMALL, f"the allowance is {present}")
    if host.known_account(m.owner).status != ACTIVE:
        raise Reject(CreditCode.OWNER_NOT_ACTIVE, "the owner is suspended or banned")
    host.move(m.owner, m.target, m.amount, "transfer-from", sender)
    if present == m.amount:
        host.delete(key)
    else:
        host.put(key, Allowance(present - m.amount))


TEXTS: dict[int, tuple[str, str]] = {
    CreditCode.SELF_TRANSFER: ("source and target are the same account", "Name another account"),
    CreditCode.ALLOWANCE_CHANGED: ("the allowance is no longer what the message expected", "Read it again, then repeat"),
    CreditCode.ALLOWANCE_TOO_SMALL: ("the owner's allowance is smaller than the amount", "Ask the owner for a larger allowance"),
    CreditCode.OWNER_NOT_ACTIVE: ("the owner of the credits is suspended or banned", "Nothing can be taken from this account now"),
}
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
    events={"approve": (Datum("spender", Form.ID), Datum("amount", Form.CREDITS))},
    texts=TEXTS,
    forms={"amount": Form.CREDITS, "expected": Form.CREDITS, "memo": Form.MEMO},
)


def allowance(reader: Reader, owner: bytes, spender: bytes) -> int:
    record: Any = reader.get(allowance_key(owner, spender))
    return record.amount if record else 0


def supply(reader: Reader) -> dict[str, int]:
    """Micro-credits minted and burned so far, and what exists."""
    record: Any = reader.get(K_SUPPLY)
    return {"minted": record.minted, "burned": record.burned, "supply": record.minted - record.burned}
