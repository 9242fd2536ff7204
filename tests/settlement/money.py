"""Balances, what of them is frozen, escrows, and what was burned. The sum of it all never changes."""

from __future__ import annotations

from collections.abc import Callable

from .events import Flow


class Shortage(Exception):
    """More was taken than is there: an error of the model, never a refusal."""


class Money:
    def __init__(self, balances: dict[bytes, int], tell: Callable[[Flow], None]) -> None:
        self.tell = tell
        self.balance = dict(balances)
        self.frozen: dict[bytes, int] = {}
        self.escrow: dict[tuple[bytes, bytes], int] = {}
        """By job and purpose: b"B", b"F", b"G", b"D", or the claimant whose stake it is."""
        self.burned = 0
        self.banned: set[bytes] = set()

    def total(self) -> int:
        return sum(self.balance.values()) + sum(self.escrow.values()) + self.burned

    def free(self, account: bytes) -> int:
        return self.balance[account] - self.frozen.get(account, 0)

    def lock(self, account: bytes, job: bytes, purpose: bytes, amount: int) -> None:
        if amount > self.free(account):
            raise Shortage(f"{amount} of {self.free(account)}")
        self.balance[account] -= amount
        self._add(job, purpose, amount)

    def pay(self, job: bytes, purpose: bytes, to: bytes, amount: int | None = None) -> int:
        """Out of an escrow, all of it without `amount`; what a banned account would receive is burned."""
        amount = self._take(job, purpose, amount)
        if to in self.banned:
            return self._burn(job, purpose, amount)
        self.balance[to] += amount
        if amount:
            self.tell(Flow(job, purpose, to, amount))
        return amount

    def burn(self, job: bytes, purpose: bytes, amount: int | None = None) -> int:
        return self._burn(job, purpose, self._take(job, purpose, amount))

    def move(self, sender: bytes, to: bytes, amount: int) -> None:
        if amount > self.free(sender):
            raise Shortage(f"{amount} of {self.free(sender)}")
        self.balance[sender] -= amount
        self.balance[to] += amount

    def freeze(self, account: bytes, most: int) -> int:
        amount = min(self.free(account), most)
        self.frozen[account] = self.frozen.get(account, 0) + amount
        return amount

    def unfreeze(self, account: bytes) -> None:
        self.frozen.pop(account, None)

    def ban(self, account: bytes) -> int:
        """Burn all that an account holds; what lies in escrows is burned as it comes out."""
        self.banned.add(account)
        self.frozen.pop(account, None)
        held, self.balance[account] = self.balance[account], 0
        self.burned += held
        return held

    def _burn(self, job: bytes, purpose: bytes, amount: int) -> int:
        self.burned += amount
        if amount:
            self.tell(Flow(job, purpose, None, amount))
        return amount

    def _add(self, job: bytes, purpose: bytes, amount: int) -> None:
        if amount:
            self.escrow[job, purpose] = self.escrow.get((job, purpose), 0) + amount

    def _take(self, job: bytes, purpose: bytes, amount: int | None) -> int:
        held = self.escrow.get((job, purpose), 0)
        if amount is None:
            amount = held
        if amount > held:
            raise Shortage(f"{amount} of {held} in {purpose!r}")
        if amount == held:
            self.escrow.pop((job, purpose), None)
        else:
            self.escrow[job, purpose] = held - amount
        return amount
