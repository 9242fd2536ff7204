"""How many bytes of blocks each account may have written by now: what a window earned it at first, and what it earned since.

It counts bytes and adds up earnings, and knows nothing of arrival times: neither the code under test nor the implementation that
executes blocks a second time can be wrong in the same way. Credits that arrive bring no bytes (LC-TX-13), so the bound of each
account holds however they move, and what many identities write is at most the sum of theirs.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tests.conformance.ledger import State, rate

NEWCOMER = 16_384
"""Bytes that a new account may send at once (LC-TX-15)."""
RESERVE = 65_536
"""Bytes that urgent ones may go beyond (LC-TX-12)."""


class Sent(NamedTuple):
    """A decided transaction: `done` where it may stand once and did what it says (LC-TX-14). `size` in bytes."""

    sender: bytes
    size: int
    urgent: bool
    done: bool


class BytesCheck:
    """Per account: `allowed` in thousandths of bytes since genesis, `written` in bytes that are charged."""

    def __init__(self, genesis: dict[bytes, bytes]) -> None:
        state = State(genesis)
        self._rates = {key[2:]: _rate(state, key[2:]) for key in genesis if key.startswith(b"a/")}
        self._clock: int = state.get(b"g/")[3]
        self.allowed = {who: earned * state.params.bandwidth_window for who, earned in self._rates.items()}
        self.written: Counter[bytes] = Counter()
        self._urgent: set[bytes] = set()

    def block(self, before: dict[bytes, bytes], after: State, sent: list[Sent]) -> None:
        """After a block. Raises `AssertionError`."""
        took, self._clock = after.clock - self._clock, after.clock
        for who, earned in self._rates.items():
            self.allowed[who] += earned * took
        changed = [key[2:] for key, raw in after.records.items() if key.startswith(b"a/") and before.get(key) != raw]
        for who in changed:
            self.allowed.setdefault(who, NEWCOMER * 1_000)
        for tx in sent:
            self._urgent |= {tx.sender} if tx.urgent else set()
            self.written[tx.sender] += 0 if tx.done else tx.size
        for who in {tx.sender for tx in sent}:
            most = self.allowed[who] // 1_000 + (RESERVE if who in self._urgent else 0)
            if self.written[who] > most:
                raise AssertionError(f"{self.written[who]} bytes of one account in blocks, it earned {most}")
        self._rates |= {who: _rate(after, who) for who in changed}


def _rate(state: State, who: bytes) -> int:
    account = state.account(who)
    assert account is not None
    return rate(state.params, account)
