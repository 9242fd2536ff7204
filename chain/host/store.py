"""What the host asks of the state under it: reading, for views too, and changing inside transactions."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host.records import Parked, params_key

P = TypeVar("P")
MAX_INDEXED = 2**32
"""Records that an index looks at when it is made: all."""


class Reader(Protocol):
    """Read access to the state: what views take."""

    def get(self, key: bytes) -> Any | None: ...

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        """At most `limit` (key, record) pairs in byte order of keys. Only `d/`, `m/`, `j/` and `p/` prefixes can be scanned."""
        ...


class DueReader(Reader, Protocol):
    """The state as the last block left it, for weighing what is due before it runs."""

    def flagged(self) -> int:
        """How many accounts have the flag of verifiers: no draw goes through more."""
        ...


class Listed(Reader, Protocol):
    """A reader that knows the keys of what is listed, in their order."""

    def keys(self, prefix: bytes) -> list[bytes]: ...


class StateIndex(Protocol):
    """What is computed from the records under a listed prefix, so that no message has to look at all of them.

    It is no part of the state: whoever has the records makes the same one.
    """

    prefix: ClassVar[bytes]

    def put(self, key: bytes, record: Any | None) -> None:
        """What stands under a key from now on; None: nothing."""
        ...


X = TypeVar("X", bound=StateIndex)


@dataclass(frozen=True)
class IndexLayers(Generic[X]):
    """An index as it stands within a block: `base` is of the last decided one. Of the keys that the block `touched`, `gone` has
    what stood there before, and `new` what stands there now."""

    base: X
    gone: X
    new: X
    touched: Container[bytes]


class Indexed(Reader, Protocol):
    """A reader that keeps indexes of what is listed."""

    def index(self, kind: type[X]) -> IndexLayers[X]:
        """The index of this kind as of now. It is not to be kept, nor changed by the caller."""
        ...


def read_params(reader: Reader, contract: int, kind: type[P]) -> P:
    """The network's parameters of a contract, as they are in force."""
    found = reader.get(params_key(contract))
    if type(found) is not kind:
        raise BrokenInvariant(f"the state has no {kind.__name__}")
    return found


def read_parked(reader: Reader, limit: int) -> list[tuple[int, bytes, Parked]]:
    """(contract, reference, record) of what is parked, at most `limit` (LC-BLK-20)."""
    return [(key[2], key[3:], record) for key, record in reader.scan(b"p/", limit)]


class KVStore(Indexed, Protocol):
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
