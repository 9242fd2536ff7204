"""Which records stand in which listings, as the contracts declare it (`Contract.listed`).

A listing holds the keys of one prefix in their order. Where a contract says which records are shown, these have a second listing
under a name of its own; stores keep both in one table, the second one's keys under its name in the place of their prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from learningchain.chain.codec import decode
from learningchain.chain.contracts import LISTED, STATE_TYPES
from learningchain.chain.errors import BrokenInvariant, Malformed

MAX_RECORD = 1_000_000
SCANNED = tuple(LISTED)
"""Prefixes whose keys are listed."""
_CHOSEN: dict[bytes, tuple[bytes, Callable[[Any], bool]]] = {
    prefix: (listing.name, listing.shows) for prefix, listing in LISTED.items() if listing.shows is not None
}
_PREFIX_OF = {name: prefix for prefix, (name, _) in _CHOSEN.items()}
CHOSEN = tuple(_CHOSEN)
LISTINGS = (*SCANNED, *_PREFIX_OF)


def prefix_of(key: bytes) -> bytes:
    """Empty for what is no key."""
    return key[: key.find(b"/") + 1]


def type_of(key: bytes) -> type[Any]:
    """The type of the records under a key. Raises `Malformed`."""
    kind = STATE_TYPES.get(prefix_of(key))
    if kind is None:
        raise Malformed(f"no record is kept under the state key {key.hex()}")
    return kind


def listing_of(prefix: bytes) -> bytes:
    """Which listing a scan of a prefix shows. Raises `BrokenInvariant` where no contract lists it."""
    if prefix not in LISTED:
        raise BrokenInvariant(f"records under {prefix!r} are not listed and cannot be scanned")
    chosen = _CHOSEN.get(prefix)
    return prefix if chosen is None else chosen[0]


def is_shown(key: bytes, record: Any | None) -> bool:
    """Whether a scan shows the record under this key, one of a prefix that is listed."""
    if record is None:
        return False
    chosen = _CHOSEN.get(prefix_of(key))
    return chosen is None or bool(chosen[1](record))


def listings(key: bytes, record: Any | None) -> Iterator[tuple[bytes, bool]]:
    """The listings that a key may stand in, and whether it does with this record (None: there is none)."""
    prefix = prefix_of(key)
    if prefix in LISTED:
        yield prefix, record is not None
        if prefix in _CHOSEN:
            yield _CHOSEN[prefix][0], is_shown(key, record)


def stored(key: bytes, raw: bytes | None) -> Iterator[tuple[bytes, bool]]:
    """The same for stores: the keys of the listings' table, from an encoded record. Raises `Malformed`."""
    if key.startswith(SCANNED):
        record = None if raw is None else decode(type_of(key), raw, MAX_RECORD) if key.startswith(CHOSEN) else raw
        prefix = prefix_of(key)
        for listing, stands in listings(key, record):
            yield listing + key[len(prefix) :], stands


def record_key(stored_key: bytes) -> bytes:
    """The key of the record that a key of the listings' table stands for."""
    prefix = prefix_of(stored_key)
    return _PREFIX_OF.get(prefix, prefix) + stored_key[len(prefix) :]
