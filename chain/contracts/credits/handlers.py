"""What each message does. A suspended account may send each of them, and what is free of it may be taken: frozen is frozen."""

from __future__ import annotations

from learningchain.chain.contracts.credits.messages import Approve, CreditCode, Transfer, TransferFrom
from learningchain.chain.contracts.credits.records import Allowance, allowance_key
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import (
    BANNED,
    Host,
)


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
    if host.known_account(m.owner).status == BANNED:
        raise Reject(CreditCode.OWNER_BANNED, "the owner is banned: it holds nothing")
    host.move(m.owner, m.target, m.amount, "transfer-from", sender)
    if present == m.amount:
        host.delete(key)
    else:
        host.put(key, Allowance(present - m.amount))
