"""Balances, escrows and what was burned; together they never change."""

from __future__ import annotations

from collections.abc import Callable

from .events import Flow


class Shortage(Exception):
    """More was taken than is there: an error of the model, never a refusal."""


class Money:
    def __init__(self, balances: dict[bytes, int], tell: Callable[[Flow], None]) -> None:
        self.tell = tell
        self.balance = dict(balances)
        self.escrow: dict[tuple[bytes, bytes], int] = {}
        """By federation and purpose, b"B" or b"F"."""
        self.burned = 0
        self.banned: set[bytes] = set()

    def total(self) -> int:
        return sum(self.balance.values()) + sum(self.escrow.values()) + self.burned

    def held(self, ref: bytes, purpose: bytes) -> int:
        return self.escrow.get((ref, purpose), 0)

    def lock(self, account: bytes, ref: bytes, purpose: bytes, amount: int) -> None:
        if amount > self.balance[account]:
            raise Shortage(f"{amount} of {self.balance[account]}")
        self.balance[account] -= amount
        if amount:
            self.escrow[ref, purpose] = self.held(ref, purpose) + amount

    def pay(self, ref: bytes, purpose: bytes, to: bytes, why: str, amount: int | None = None) -> None:
        """Out of an escrow, all of it without `amount`; what a banned account would receive is burned."""
        held = self.held(ref, purpose)
        amount = held if amount is None else amount
        if not 0 <= amount <= held:
            raise Shortage(f"{amount} of {held} in {purpose!r}")
        if amount == held:
            self.escrow.pop((ref, purpose), None)
        else:
            self.escrow[ref, purpose] = held - amount
        if to in self.banned:
            self.burned += amount
        else:
            self.balance[to] += amount
        if amount:
            self.tell(Flow(ref, purpose, None if to in self.banned else to, amount, why))

    def burn(self, ref: bytes, purpose: bytes, why: str, amount: int) -> None:
        """Out of an escrow."""
        held = self.held(ref, purpose)
        if not 0 <= amount < held:
            raise Shortage(f"{amount} of {held} in {purpose!r}")
        self.escrow[ref, purpose] = held - amount
        self.burned += amount
        self.tell(Flow(ref, purpose, None, amount, why))

    def ban(self, account: bytes) -> None:
        """Burn all that an account holds."""
        self.banned.add(account)
        held, self.balance[account] = self.balance[account], 0
        self.burned += held
