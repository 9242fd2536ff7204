"""Reading of a reference that left the state, with the views that read the state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chain.host.store import Reader


class PastReader:
    """What a node archived of one reference (`Contract.archive`), and for all else the state as it is now."""

    def __init__(self, records: Mapping[bytes, Any], state: Reader) -> None:
        self._records, self._state = records, state

    def get(self, key: bytes) -> Any | None:
        record = self._state.get(key)
        return self._records.get(key) if record is None else record

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        return self._state.scan(prefix, limit)
