"""What the host asks of the state under it: reading, for views too, and changing inside transactions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from chain.errors import BrokenInvariant
from chain.host.records import Parked, params_key

P = TypeVar("P")


class Reader(Protocol):
    """Read access to the state: what views take."""

    def get(self, key: bytes) -> Any | None: ...

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        """At most `limit` (key, record) pairs in byte order of keys. Only `d/`, `m/`, `j/` and `p/` prefixes can be scanned."""
        ...


class Listed(Reader, Protocol):
    """A reader that knows the keys of what is listed, in their order."""

    def keys(self, prefix: bytes) -> list[bytes]: ...


def read_params(reader: Reader, contract: int, kind: type[P]) -> P:
    """The network's parameters of a contract, as genesis fixed them."""
    found = reader.get(params_key(contract))
    if type(found) is not kind:
        raise BrokenInvariant(f"the state has no {kind.__name__}")
    return found


def read_parked(reader: Reader, limit: int) -> list[tuple[int, bytes, Parked]]:
    """(contract, reference, record) of what is parked, at most `limit` (LC-BLK-20)."""
    return [(key[2], key[3:], record) for key, record in reader.scan(b"p/", limit)]


class KVStore(Reader, Protocol):
    def put(self, key: bytes, record: Any) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def begin(self) -> None:
        """Open a transaction, inside the open one where there is one; `keep` or `drop` ends it."""
        ...

    def keep(self) -> None: ...

    def drop(self) -> None: ...

    def audit(self) -> None:
        """Whether what the open transaction wrote can stand: each record is what its type allows, and credits balance.

        Raises `BrokenInvariant`, `SupplyBroken`."""
        ...
