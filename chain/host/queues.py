"""Queues in the order of their keys: the next record gets the next number, under a key that sorts like it. Nothing is moved.

Whoever owns the queue keeps how many were ever put into it, so that a number is given once; a record may leave at any time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from learningchain.chain.codec import Wire
from learningchain.chain.host.access import Access
from learningchain.chain.host.store import Listed

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

    def newest(self, reader: Listed, before: int | None, limit: int) -> Iterator[tuple[int, R]]:
        """The newest `limit` of those that are there, below `before` where it is given. The prefix has to be listed."""
        keys = reader.keys(self.prefix)
        end = len(keys) if before is None else bisect_left(keys, self.key(before))
        for key in reversed(keys[max(0, end - limit) : end]):
            record = reader.get(key)
            if isinstance(record, self.kind):
                yield int.from_bytes(key[len(self.prefix) :], "big"), record
