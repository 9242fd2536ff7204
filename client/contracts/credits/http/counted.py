"""Every credit that the records hold, counted: once through the whole state, bucket by bucket, then what blocks changed.

A piece is a few buckets or some hundred records: the loop that votes goes on between two of them, however large the state is. What
accounts and escrows hold is added up from their records and from nothing else, so that it can be compared with what was minted and
burned.
"""

from __future__ import annotations

from learningchain.chain.buckets import BUCKETS, records
from learningchain.chain.host import account_key, escrow_key
from learningchain.chain.ledger.state import State, holding
from learningchain.client.api.following import Follower

PAGES_AT_ONCE = 16
RECORDS_AT_ONCE = 256
_ACCOUNT, _ESCROW = account_key(b""), escrow_key(b"")


class Counted(Follower):
    always = False

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((_ACCOUNT, _ESCROW))
        self._feed.lost = True  # nothing is counted yet
        self._next = BUCKETS
        """The bucket from which on nothing was looked at."""
        self._amounts: dict[bytes, int] = {}
        self.accounts = self.escrows = 0

    def step(self) -> bool:
        """One piece; false where there was none."""
        if self._feed.lost:
            self._feed.restart()
            self._amounts, self._next, self.accounts, self.escrows = {}, 0, 0, 0
        keys = self._feed.take(RECORDS_AT_ONCE)
        if not keys and self._next < BUCKETS:
            end = min(self._next + PAGES_AT_ONCE, BUCKETS)
            found = (key for number in range(self._next, end) for key, _ in records(self._state.bucket(number)))
            keys = [key for key in found if key.startswith((_ACCOUNT, _ESCROW))]
            self._next = end
        for key in keys:
            self._count(key)
        return bool(keys) or self._next < BUCKETS

    def _count(self, key: bytes) -> None:
        amount = holding(self._state.get(key))
        more = amount - self._amounts.get(key, 0)
        if amount:
            self._amounts[key] = amount
        else:
            self._amounts.pop(key, None)
        if key.startswith(_ACCOUNT):
            self.accounts += more
        else:
            self.escrows += more
