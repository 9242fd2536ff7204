"""The deadline of a reference that lives through windows, each of which can end early: when all that are asked have answered.

At most one is set for a reference. Its record keeps the time (0: none), which these functions take and return. A deadline that was
replaced or taken back never comes; where another one of the reference comes at the same time, the record says which is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

from learningchain.chain.host.access import Access


@dataclass(frozen=True)
class Deadline:
    """`account` caused the reference: its share of a block's deadlines is used (LC-BLK-14). Times are of the chain clock, in ms."""

    host: Access
    contract: int
    ref: bytes
    account: bytes

    def set(self, old: int, at: int) -> int:
        """One at `at` instead of the one at `old`."""
        self.clear(old)
        self.host.schedule(at, self.contract, self.ref, self.account)
        return at

    def window(self, old: int, length: int) -> int:
        """One that ends a window of this length, which begins now."""
        return self.set(old, self.host.clock + length)

    def come(self, old: int) -> int:
        """The window ends early: its deadline comes in the next block, which is due at once, with those that wait (LC-BLK-14). What
        it does is no message's work: it is weighed like any other deadline's."""
        return self.set(old, self.host.clock)

    def clear(self, old: int) -> int:
        """None any more: the reference is over, or something else comes of it."""
        if old:
            self.host.cancel(old, self.contract, self.ref, self.account)
        return 0


def is_open(host: Access, at: int) -> bool:
    """Whether a window takes answers: its deadline has not passed, even where it still waits for its turn in a block."""
    return host.clock < at
