"""Who may have the files that a node serves privately, and where these lie: each ref has its own. No I/O.

The same bytes may be served for several refs: of an open federation the parts of two masks are zeros, whichever federation it is.
So what ends for one ref takes neither the allowance nor the file of another one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path


class ServedFiles:
    """`allow` is told whom a content may be served to, by its CID: those of all refs together."""

    def __init__(self, allow: Callable[[str, Collection[bytes]], None]) -> None:
        self._allow = allow
        self._by: dict[str, dict[bytes, tuple[frozenset[bytes], Path]]] = {}

    def begin(self, cid: str, ref: bytes, peers: Collection[bytes], path: Path) -> None:
        """`peers`: none where it is served to everybody, which the store knows by its pin."""
        self._by.setdefault(cid, {})[ref] = frozenset(peers), path
        self._tell(cid)

    def end(self, cid: str, ref: bytes) -> Path | None:
        """The file that this ref needs no more; None where it served none."""
        refs = self._by.get(cid, {})
        found = refs.pop(ref, None)
        if not refs:
            self._by.pop(cid, None)
        self._tell(cid)
        return None if found is None else found[1]

    def forget(self, ref: bytes) -> list[Path]:
        """The files that a ref leaves which is over."""
        ended = [self.end(cid, ref) for cid in [cid for cid, refs in self._by.items() if ref in refs]]
        return [path for path in ended if path is not None]

    def _tell(self, cid: str) -> None:
        self._allow(cid, frozenset[bytes]().union(*(peers for peers, _ in self._by.get(cid, {}).values())))
