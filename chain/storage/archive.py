"""Records that left the state, by the reference that they were about: what has ended is told from them (`Contract.archive`).

They are written with the block that removes them, in its transaction, so none is missing for a block that is stored; a node that
began from a snapshot has those that left after it. They take about what they took in the state, and the blocks that made them more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from learningchain.chain.codec import encode
from learningchain.chain.contracts import NUMBERED
from learningchain.chain.storage import schema
from learningchain.chain.storage.schema import add_checksum, at, check_checksum

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

REF, NUMBER = 32, 8
MAX_ROWS = 1_000
"""Most references that one call of `below` or `within` returns."""
_pairs = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])
_first_field = msgspec.msgpack.Decoder(tuple[bytes])


@dataclass(frozen=True)
class Archived:
    """`height` is that of the block in which the reference left, or began to; `records` are encoded, by their keys."""

    height: int
    records: dict[bytes, bytes]


def write(connection: sa.Connection, height: int, records: Sequence[tuple[bytes, bytes]]) -> None:
    """In the transaction of the height."""
    by_ref: dict[bytes, list[tuple[bytes, bytes]]] = {}
    numbers = []
    for key, raw in records:
        if key.startswith(NUMBERED):
            (ref,) = _first_field.decode(raw)
            numbers.append({"key": key, "ref": add_checksum(key, ref)})
        else:
            begin = key.index(b"/") + 1
            by_ref.setdefault(key[begin : begin + REF], []).append((key, raw))
    rows = [
        {"ref": ref, "height": height, "records": add_checksum(at(height, "archived") + ref, encode(pairs))}
        for ref, pairs in sorted(by_ref.items())
    ]
    if rows:
        connection.execute(sa.insert(schema.archived), rows)
    if numbers:
        connection.execute(sa.insert(schema.archived_numbers), numbers)


def read(store: BlockStore, refs: Sequence[bytes]) -> dict[bytes, Archived]:
    """All that left of some references, at most `MAX_ROWS`; without those of which nothing did within this node's history."""
    a = schema.archived.c
    query = sa.select(a.ref, a.height, a.records).where(a.ref.in_(refs[:MAX_ROWS])).order_by(a.ref, a.height)
    found: dict[bytes, Archived] = {}
    with store.read("read what left the state") as c:
        for ref, height, framed in c.execute(query):
            one = found.setdefault(bytes(ref), Archived(height, {}))
            one.records.update(_pairs.decode(_checked(store, bytes(ref), height, framed)))
    return found


def _checked(store: BlockStore, ref: bytes, height: int, framed: bytes) -> bytes:
    where = f"what left the state of {ref.hex()} at height {height} in {store.where}"
    return check_checksum(where, at(height, "archived") + ref, bytes(framed))


def below(store: BlockStore, prefix: bytes, before: int | None, limit: int) -> list[tuple[int, bytes]]:
    """References that left and had a number under `prefix`, with these in descending order, below `before`."""
    n = schema.archived_numbers.c
    last = prefix + (b"\xff" * NUMBER if before is None else before.to_bytes(NUMBER, "big"))
    query = sa.select(n.key, n.ref).where(n.key >= prefix, n.key < last).order_by(n.key.desc()).limit(min(limit, MAX_ROWS))
    with store.read("list what left the state") as c:
        rows = c.execute(query).all()
    where = f"the number of what left the state in {store.where}"
    return [(int.from_bytes(key[len(prefix) :], "big"), check_checksum(where, bytes(key), bytes(ref))) for key, ref in rows]


def within(store: BlockStore, first: bytes, last: bytes, limit: int) -> list[bytes]:
    """References that left, from `first` to `last`, ascending."""
    ref = schema.archived.c.ref
    query = sa.select(ref).distinct().where(ref >= first, ref <= last).order_by(ref).limit(min(limit, MAX_ROWS))
    with store.read("find what left the state") as c:
        return [bytes(found) for (found,) in c.execute(query)]


def check(store: BlockStore) -> None:
    """Every checksum. Raises `StorageDamaged`."""
    a, n = schema.archived.c, schema.archived_numbers.c
    with store.read("check what left the state") as c:
        for ref, height, framed in c.execute(sa.select(a.ref, a.height, a.records).execution_options(yield_per=64)):
            _checked(store, bytes(ref), height, framed)
        for key, framed in c.execute(sa.select(n.key, n.ref).execution_options(yield_per=64)):
            check_checksum(f"the number of what left the state in {store.where}", bytes(key), bytes(framed))
