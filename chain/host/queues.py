"""Queues in the order of their keys: the next record gets the next number, under a key that sorts like it. Nothing is moved.

Whoever owns the queue keeps how many were ever put into it, so that a number is given once; a record may leave at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from chain.codec import Wire
from chain.host.access import Access
from chain.host.store import Reader

R = TypeVar("R", bound=Wire)
NUMBER_BYTES = 8


@dataclass(frozen=True)
class Queue(Generic[R]):
    """Records of type `kind` under `prefix`."""

    prefix: bytes
    kind: type[R]

    def key(self, number: int) -> bytes:
        return self.prefix + number.to_bytes(NUMBER_BYTES, "big")

    def append(self, host: Access, count: int, record: R) -> int:
        """Put a record behind the `count` that there were; how many there were then."""
        host.put(self.key(count), record)
        return count + 1

    def newest(self, reader: Reader, before: int, limit: int) -> Iterator[tuple[int, R]]:
        """Those that are there of the `limit` numbers below `before`, the newest first."""
        for number in range(before - 1, max(before - limit, 0) - 1, -1):
            record = reader.get(self.key(number))
            if isinstance(record, self.kind):
                yield number, record
