"""Reading of a reference that left the state, with the views that read the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from learningchain.chain.host.store import Reader


class PastReader:
    """What a node archived of one reference (`Contract.archive`), and for all else the state as it is now.

    `records` are encoded, and decoded when they are asked for: a view of many references looks at a few records of each, and how
    many a reference has is up to strangers.
    """

    def __init__(self, records: Mapping[bytes, bytes], decode: Callable[[bytes, bytes], Any], state: Reader) -> None:
        """`decode` takes a key and what stands there."""
        self._records, self._decode, self._state = records, decode, state

    def get(self, key: bytes) -> Any | None:
        record = self._state.get(key)
        if record is None and (raw := self._records.get(key)) is not None:
            return self._decode(key, raw)
        return record

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        return self._state.scan(prefix, limit)

    def left(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        """What left under keys that begin so, in byte order of the keys, each as it was last archived."""
        for key in sorted(key for key in self._records if key.startswith(prefix)):
            yield key, self._decode(key, self._records[key])
