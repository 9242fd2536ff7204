"""Accounts and what they hold.

Credits are never created or lost here but by `mint` and `burn`: every operation moves an amount between an account's free credits,
its frozen credits and named escrows, and records the move as an event.
"""

from __future__ import annotations

from learningchain.chain import bandwidth
from learningchain.chain.crypto import address
from learningchain.chain.errors import BrokenInvariant, Code, Reject
from learningchain.chain.host.access import Access
from learningchain.chain.host.contract import Power
from learningchain.chain.host.records import (
    ACTIVE,
    BANNED,
    K_SUPPLY,
    Account,
    BurnedSince,
    Escrow,
    Supply,
    burned_since_key,
    escrow_key,
)
from learningchain.chain.params import CREDIT, MAX_INT
from learningchain.chain.types import TransferEvent, format_credits


class Credits(Access):
    """Moving credits. A refusal raises `Reject`; what was done before it is dropped with the message."""

    def account(self, identity: bytes) -> Account | None:
        account: Account | None = self.store.get(b"a/" + identity)
        return account

    def known_account(self, identity: bytes) -> Account:
        account = self.account(identity)
        if account is None:
            raise Reject(Code.UNKNOWN_ACCOUNT, f"{address(identity)} has no account on this network")
        return account

    def is_active(self, identity: bytes) -> bool:
        """Neither suspended nor banned."""
        account = self.account(identity)
        return account is not None and account.status == ACTIVE

    def may_act(self, identity: bytes) -> bool:
        """It has an account that is not banned: its transactions are valid (LC-MEM-9)."""
        account = self.account(identity)
        return account is not None and account.status != BANNED

    def is_banned(self, identity: bytes) -> bool:
        account = self.account(identity)
        return account is not None and account.status == BANNED

    def free(self, identity: bytes) -> int:
        account = self.account(identity)
        return account.balance if account else 0

    def _hold(self, identity: bytes, account: Account, status: int, balance: int, frozen: int) -> None:
        """LC-TX-13: what an account holds from now on, and the bandwidth that goes with it."""
        arrival = account.arrival
        if balance // CREDIT != account.balance // CREDIT:
            arrival = bandwidth.moved(self.params, account.balance, balance, arrival, self.clock)
        self.store.put(b"a/" + identity, Account(account.key, status, balance, frozen, account.sequences, arrival))

    def _debit(self, identity: bytes, amount: int) -> None:
        account = self.known_account(identity)
        if amount < 0:
            raise BrokenInvariant("a negative amount")
        if account.balance < amount:
            raise Reject(
                Code.INSUFFICIENT_CREDITS, f"needs {format_credits(amount)} credits, {format_credits(account.balance)} are free"
            )
        left = account.balance - amount
        self._hold(identity, account, account.status, left, account.frozen)

    def _credit(self, identity: bytes, amount: int, reason: str, source: bytes, ref: bytes) -> None:
        """LC-CRD-6: free credits, also of a suspended account; a banned one's are burned."""
        account = self.known_account(identity)
        if account.status == BANNED:
            self._count(burned=amount)
            self.put(burned_since_key(identity), BurnedSince(self.burned_since(identity) + amount))
            self.events.append(TransferEvent(f"{reason}:banned", source, b"", amount, ref))
            return
        balance = account.balance + amount
        if balance > MAX_INT:
            raise BrokenInvariant(f"{address(identity)} would hold {balance} free")
        self._hold(identity, account, account.status, balance, account.frozen)
        self.events.append(TransferEvent(reason, source, identity, amount, ref))

    def burned_since(self, identity: bytes) -> int:
        """LC-CRD-6: what an account would have got since it was banned."""
        record = self.get(burned_since_key(identity), BurnedSince)
        return record.amount if record else 0

    def move(self, source: bytes, target: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Free credits of one account to another. Rejects INSUFFICIENT_CREDITS, UNKNOWN_ACCOUNT."""
        self.known_account(target)
        self._debit(source, amount)
        self._credit(target, amount, reason, source, ref)

    def mint(self, target: bytes, amount: int, reason: str, ref: bytes) -> None:
        self._need(Power.MINT)
        if amount == 0:
            return
        self._count(minted=amount)
        self._credit(target, amount, reason, b"", ref)

    def escrowed(self, escrow: bytes) -> int:
        record = self.get(escrow_key(escrow), Escrow)
        return record.amount if record else 0

    def lock(self, identity: bytes, escrow: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Free credits into an escrow (a reference longer than an account id). Rejects INSUFFICIENT_CREDITS."""
        if amount == 0:
            return
        self._debit(identity, amount)
        key = escrow_key(escrow)
        held = self.get(key, Escrow)
        self.store.put(key, Escrow(held.amount + amount if held else amount))
        self.events.append(TransferEvent(reason, identity, escrow, amount, ref))

    def pay(self, escrow: bytes, identity: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Out of an escrow to an account (burned if it is banned)."""
        if amount == 0:
            return
        self._escrow(escrow, self.escrowed(escrow) - amount)
        self._credit(identity, amount, reason, escrow, ref)

    def shift(self, escrow: bytes, other: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Out of an escrow into another one."""
        if amount == 0:
            return
        self._escrow(escrow, self.escrowed(escrow) - amount)
        self._escrow(other, self.escrowed(other) + amount)
        self.events.append(TransferEvent(reason, escrow, other, amount, ref))

    def burn(self, escrow: bytes, amount: int, reason: str, ref: bytes) -> None:
        if amount == 0:
            return
        self._escrow(escrow, self.escrowed(escrow) - amount)
        self._count(burned=amount)
        self.events.append(TransferEvent(reason, escrow, b"", amount, ref))

    def _escrow(self, escrow: bytes, amount: int) -> None:
        if amount < 0:
            raise BrokenInvariant(f"escrow {escrow.hex()} would hold {amount}")
        if amount == 0:
            self.delete(escrow_key(escrow))
        else:
            self.put(escrow_key(escrow), Escrow(amount))

    def _count(self, *, minted: int = 0, burned: int = 0) -> None:
        supply = self.get(K_SUPPLY, Supply)
        if supply is None:
            raise BrokenInvariant("no supply record")
        if supply.minted + minted > MAX_INT:
            raise Reject(Code.OVERFLOW, "the supply is at its limit")
        self.put(K_SUPPLY, Supply(supply.minted + minted, supply.burned + burned))
