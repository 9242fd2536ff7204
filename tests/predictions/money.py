"""Balances, escrows, what was burned and what was minted. Balances, escrows and burned, less minted, never change."""

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
        """By reference and purpose: a request's b"X" and b"A", a model's b"D" and b"R", a policy's b"P", or a server's id."""
        self.burned = 0
        self.minted = 0
        self.banned: set[bytes] = set()

    def total(self) -> int:
        return sum(self.balance.values()) + sum(self.escrow.values()) + self.burned - self.minted

    def held(self, ref: bytes, purpose: bytes) -> int:
        return self.escrow.get((ref, purpose), 0)

    def lock(self, account: bytes, ref: bytes, purpose: bytes, amount: int) -> None:
        if amount > self.balance[account]:
            raise Shortage(f"{amount} of {self.balance[account]}")
        self.balance[account] -= amount
        self._add(ref, purpose, amount)

    def pay(self, ref: bytes, purpose: bytes, to: bytes, why: str, amount: int | None = None) -> int:
        """Out of an escrow, all of it without `amount`; what a banned account would receive is burned."""
        if to in self.banned:
            return self.burn(ref, purpose, why, amount)
        amount = self._take(ref, purpose, amount)
        self.balance[to] += amount
        if amount:
            self.tell(Flow(ref, purpose, to, amount, why))
        return amount

    def burn(self, ref: bytes, purpose: bytes, why: str, amount: int | None = None) -> int:
        amount = self._take(ref, purpose, amount)
        self.burned += amount
        if amount:
            self.tell(Flow(ref, purpose, None, amount, why))
        return amount

    def shift(self, ref: bytes, purpose: bytes, to_ref: bytes, to_purpose: bytes, amount: int) -> None:
        """From escrow to escrow."""
        if amount:
            self.tell(Flow(ref, purpose, to_ref, amount, "shift"))
        self._add(to_ref, to_purpose, self._take(ref, purpose, amount))

    def mint(self, ref: bytes, to: bytes, amount: int) -> None:
        """A subsidy; a banned account gets none, and nothing is minted for it."""
        if to in self.banned or not amount:
            return
        self.minted += amount
        self.balance[to] += amount
        self.tell(Flow(ref, b"", to, amount, "subsidy"))

    def ban(self, account: bytes) -> None:
        """Burn all that an account holds."""
        self.banned.add(account)
        held, self.balance[account] = self.balance[account], 0
        self.burned += held

    def _add(self, ref: bytes, purpose: bytes, amount: int) -> None:
        if amount:
            self.escrow[ref, purpose] = self.escrow.get((ref, purpose), 0) + amount

    def _take(self, ref: bytes, purpose: bytes, amount: int | None) -> int:
        held = self.escrow.get((ref, purpose), 0)
        if amount is None:
            amount = held
        if not 0 <= amount <= held:
            raise Shortage(f"{amount} of {held} in {purpose!r}")
        if amount == held:
            self.escrow.pop((ref, purpose), None)
        else:
            self.escrow[ref, purpose] = held - amount
        return amount
