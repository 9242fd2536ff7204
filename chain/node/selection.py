"""What goes into a block: its bytes, number and work are shared by the accounts that have something ready. Pure.

The account that took the smallest share of the block comes next; of equal ones the one whose turn is longest ago. So nobody's
thousands hold up another one's first transaction, and who is alone gets all. First those with a deadline share the block, then the
others at most half of it. What was chosen then runs in the order in which it became ready. LC-NODE-16, LC-NODE-60.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from learningchain.chain.errors import InvalidTx
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.tx import ParsedTx, charge_bandwidth
from learningchain.chain.params import LANES, Params

PART = 2**20
"""Parts of a block in which shares are counted."""
OVERHEAD = 5
"""Bytes of a transaction's frame in its block, at most."""


class ReadyTx(Protocol):
    """A transaction in its lane, and its place in the order in which they became ready."""

    @property
    def tx(self) -> ParsedTx: ...

    @property
    def order(self) -> int: ...


class ReadyTxSource(Protocol):
    """The pool: who has something ready, and the transactions that are."""

    def turns(self, urgent: bool) -> Iterable[bytes]:
        """Accounts with a lane whose next transaction is (or is not) urgent; whose turn is longest ago comes first."""
        ...

    def ready(self, account: bytes, lane: int, ahead: int) -> ReadyTx | None:
        """The transaction so many behind the next one of a lane, if all up to it are ready."""
        ...

    def rest(self, account: bytes, urgent: bool, clock: int) -> None:
        """The next one of an account has no bandwidth: no turn for a while."""
        ...


class Selection:
    """`first` gives what to execute; `more` is told what that took and gives what fits into the rest."""

    def __init__(self, source: ReadyTxSource, size: int, params: Params, state: State | None = None, clock: int = 0) -> None:
        self._source, self._quota, self._most = source, params.quota, params.block_txs
        self._params, self._state, self._clock = params, state, clock
        self._spent: dict[bytes, int] = {}
        """Bytes of each account that were chosen and will be charged."""
        self._whole = (size, params.block_txs, params.block_work)
        self._room = list(self._whole)
        """Bytes, number and work that are left."""
        self._rest = [size // 2, max(1, params.block_txs // 2), params.block_work // 2]
        """Of these, for those without a deadline."""
        self._ahead: dict[tuple[bytes, int], int] = {}
        """How many of a lane were chosen."""
        self._count: dict[bytes, int] = {}
        self._share: dict[bytes, int] = {}
        self._batch: list[ParsedTx] = []

    def first(self) -> list[ParsedTx]:
        urgent = self._choose(True)
        self._batch = [item.tx for chosen in (urgent, self._choose(False)) for item in sorted(chosen, key=lambda c: c.order)]
        return self._batch

    def finds_any(self) -> bool:
        """Whether something could go into an empty block. Whoever has no bandwidth for what it would put in loses its turn."""
        for urgent in (True, False):
            while (account := next(iter(self._source.turns(urgent)), None)) is not None:
                found = self._next(account, urgent)
                if found is None or self._has_bandwidth(found.tx):
                    return True
                self._source.rest(account, urgent, self._clock)
        return False

    def more(self, took: list[int]) -> list[ParsedTx]:
        """`took` is the work of each transaction of the last batch. Nothing fits that did not, where they took all they could."""
        left = 0
        for tx, work in zip(self._batch, took, strict=True):
            left += tx.work - work
            self._room[2] += tx.work - work
            if not tx.urgent:
                self._rest[2] += tx.work - work
        return self.first() if left else []

    def _choose(self, urgent: bool) -> list[ReadyTx]:
        chosen: list[ReadyTx] = []
        accounts = islice(self._source.turns(urgent), self._most)
        turns = [(self._share.get(account, 0), place, account) for place, account in enumerate(accounts)]
        heapq.heapify(turns)
        while turns:
            share, place, account = turns[0]
            found = self._next(account, urgent)
            if found is None or self._count.get(account, 0) >= self._quota or not self._fits(found.tx, urgent):
                heapq.heappop(turns)
                continue
            if not self._has_bandwidth(found.tx):
                heapq.heappop(turns)
                self._source.rest(account, urgent, self._clock)
                continue
            chosen.append(found)
            self._share[account] = share + self._use(found.tx, urgent)
            heapq.heapreplace(turns, (self._share[account], place, account))
        return chosen

    def _next(self, account: bytes, urgent: bool) -> ReadyTx | None:
        """The first in the order of the ready ones that an account may put in now."""
        best: ReadyTx | None = None
        for lane in range(LANES):
            found = self._source.ready(account, lane, self._ahead.get((account, lane), 0))
            if found is not None and found.tx.urgent is urgent and (best is None or found.order < best.order):
                best = found
        return best

    def _has_bandwidth(self, tx: ParsedTx) -> bool:
        """LC-NODE-67: as far as can be told before the others of the block ran."""
        account = self._state.get(account_key(tx.body.sender)) if self._state is not None else None
        if not isinstance(account, Account):
            return True
        owed = self._spent.get(tx.body.sender, 0)
        try:
            charge_bandwidth(self._params, account, tx, self._clock, owed)
        except InvalidTx:
            return False
        if not tx.once:
            self._spent[tx.body.sender] = owed + len(tx.raw)
        return True

    def _fits(self, tx: ParsedTx, urgent: bool) -> bool:
        size, work = len(tx.raw) + OVERHEAD, tx.work
        for left in (self._room,) if urgent else (self._room, self._rest):
            if size > left[0] or left[1] < 1 or work > left[2]:
                return False
        return True

    def _use(self, tx: ParsedTx, urgent: bool) -> int:
        """Its share of the block: of what it takes most of."""
        size, work = len(tx.raw) + OVERHEAD, tx.work
        for left in (self._room,) if urgent else (self._room, self._rest):
            left[0] -= size
            left[1] -= 1
            left[2] -= work
        key = (tx.body.sender, tx.body.lane)
        self._ahead[key] = self._ahead.get(key, 0) + 1
        self._count[tx.body.sender] = self._count.get(tx.body.sender, 0) + 1
        most_bytes, most_txs, most_work = self._whole
        return max(size * PART // most_bytes, PART // most_txs, work * PART // most_work)
