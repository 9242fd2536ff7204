"""What accounts have in escrows of what is not over, whatever its contract: kept up to date by what blocks changed.

Which escrows a contract has, whose they are and what is not over it declares (`EscrowShape`, `LiveIndex`). After a start a piece is
some live references, later what some blocks changed; nothing here looks through the state.
"""

from __future__ import annotations

from collections import defaultdict

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.host import Contract, Escrow, EscrowShape, LiveIndex, Reader, escrow_key
from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower

PIECE = 64
"""References, escrows or accounts that are looked at before others have the loop."""
_ESCROW = escrow_key(b"")
_REF = 32
"""Bytes of what an escrow belongs to: its reference begins with them."""


class Locked(Follower):
    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._lives: dict[bytes, tuple[Contract, LiveIndex]] = {c.live.prefix: (c, c.live) for c in CONTRACTS if c.live is not None}
        self._feed = state.follow((_ESCROW, *self._lives))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """Keys of live references that were not looked at."""
        self._accounts: list[tuple[bytes, int]] = []
        """Keys of live references whose accounts were not all looked at, and the first of these."""
        self._of: dict[bytes, dict[bytes, tuple[bytes, int]]] = {}
        """By key of a live reference and escrow: whose it is, and what it holds."""
        self._locked: defaultdict[bytes, int] = defaultdict(int)

    def locked(self, account: bytes) -> int:
        """Micro-credits of an account."""
        return self._locked.get(account, 0)

    # --- following --------------------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        if self._feed.lost:
            self._feed.restart()
            self._of, self._accounts = {}, []
            self._locked.clear()
            self._left = [key for prefix in self._lives for key in self._state.keys(prefix)]
        keys = self._feed.take(PIECE)
        for key in keys:
            if key.startswith(_ESCROW):
                self._moved(key[len(_ESCROW) :])
            else:
                self._look(key)
        if not keys and self._accounts:
            self._look_at_accounts(*self._accounts.pop())
        elif not keys:
            for key in self._left[-PIECE:]:
                self._look(key)
                self._accounts.append((key, 0))
            del self._left[-PIECE:]
        return bool(keys or self._accounts or self._left)

    def _moved(self, escrow: bytes) -> None:
        for prefix, (contract, _) in self._lives.items():
            for shape in contract.escrows:
                if shape.fits(escrow):
                    key = prefix + escrow[:_REF]
                    if self._is_live(key):
                        self._count(key, shape, escrow)
                    return

    def _is_live(self, key: bytes) -> bool:
        if self._state.get(key) is not None:
            return True
        for owner, amount in self._of.pop(key, {}).values():
            self._add(owner, -amount)
        return False

    def _look(self, key: bytes) -> None:
        """The escrows of a reference that are no single account's."""
        if self._is_live(key):
            contract, live = self._live_of(key)
            for shape in contract.escrows:
                if not shape.account:
                    self._count(key, shape, key[len(live.prefix) :] + shape.suffix)

    def _look_at_accounts(self, key: bytes, start: int) -> None:
        contract, live = self._live_of(key)
        ref = key[len(live.prefix) :]
        found = live.accounts(self._state, ref, start, PIECE) if self._is_live(key) else ()
        for shape in contract.escrows:
            for account in found if shape.account else ():
                self._count(key, shape, ref + account + shape.suffix)
        if len(found) == PIECE:
            self._accounts.append((key, start + PIECE))

    def _live_of(self, key: bytes) -> tuple[Contract, LiveIndex]:
        return self._lives[key[: key.index(b"/") + 1]]

    def _count(self, key: bytes, shape: EscrowShape, escrow: bytes) -> None:
        amount, known = _escrowed(self._state, escrow), self._of.setdefault(key, {})
        if escrow in known:
            self._add(known[escrow][0], -known.pop(escrow)[1])
        owner = shape.owner_of(self._state, escrow) if amount else None
        if owner is not None:
            known[escrow] = owner, amount
            self._add(owner, amount)

    def _add(self, account: bytes, amount: int) -> None:
        self._locked[account] += amount
        if not self._locked[account]:
            del self._locked[account]


def _escrowed(reader: Reader, ref: bytes) -> int:
    record = reader.get(escrow_key(ref))
    return record.amount if isinstance(record, Escrow) else 0
