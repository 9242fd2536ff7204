"""How many bytes of blocks each account may have written by now: what a window earned it at first, and what it earned since.

It counts bytes and adds up earnings, and knows nothing of arrival times: neither the code under test nor the ledger that executes
blocks a second time can be wrong in the same way. Credits that arrive bring no bytes (LC-TX-13), so the bound of each account
holds however they move, and what many identities write is at most the sum of theirs.
"""

from __future__ import annotations

from collections import Counter

from tests.sim.checks_ledger import Ledger, must

NEWCOMER = 16_384
"""Bytes that a new account may send at once (LC-TX-15)."""
RESERVE = 65_536
"""Bytes that urgent ones may go beyond (LC-TX-12)."""


class BytesCheck:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._balance = {key[2:]: record.balance for key, record in ledger.records.items() if key[:2] == b"a/"}
        self._clock = ledger.chain.clock
        window = ledger.params.bandwidth_window
        self.allowed = {who: self._rate(balance) * window for who, balance in self._balance.items()}
        """Thousandths of bytes of each account, since genesis."""
        self.written: Counter[bytes] = Counter()
        """Bytes of each account that are charged."""
        self._urgent: set[bytes] = set()

    def _rate(self, balance: int) -> int:
        """LC-TX-11"""
        p = self._ledger.params
        return int(p.bandwidth_base + p.bandwidth_per_credit * (balance // 1_000_000))

    def block(self) -> None:
        """After the ledger executed one. Raises `Broken`."""
        took, self._clock = self._ledger.chain.clock - self._clock, self._ledger.chain.clock
        for who, balance in self._balance.items():
            self.allowed[who] += self._rate(balance) * took
        for key in self._ledger.touched:
            if key[:2] == b"a/":
                self.allowed.setdefault(key[2:], NEWCOMER * 1_000)
        for tx in self._ledger.sent:
            self._urgent |= {tx.sender} if tx.urgent else set()
            self.written[tx.sender] += 0 if tx.done else tx.size
        for who in {tx.sender for tx in self._ledger.sent}:
            most = self.allowed[who] // 1_000 + (RESERVE if who in self._urgent else 0)
            must(self.written[who] <= most, f"{self.written[who]} bytes of one account in blocks, it earned {most}")
        for key in self._ledger.touched:
            if key[:2] == b"a/":
                self._balance[key[2:]] = self._ledger.get(key).balance
