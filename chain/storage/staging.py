"""A snapshot on its way into the database: its buckets gather beside the state in use, and take its place in one transaction.

What is staged was proven before it came here, and stays over restarts: buckets that are the same in the next target are kept. The
switch leaves of the blocks one row, the header and certificate that the state stands on, as height 0 stands for genesis otherwise:
the history of this node begins after it.
"""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from msgspec import Meta

from learningchain.chain.buckets import BUCKETS, DEPTH
from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.ledger.snapshot import (
    Offer,
    ValidatorSetChange,
    decode_subroots,
    number_over,
    path_of_listed,
    root_of,
    whole_buckets,
    whole_subroots,
)
from learningchain.chain.node.checks import Made
from learningchain.chain.params import MAX_PEER_MESSAGE
from learningchain.chain.storage import schema, validator_changes
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.schema import Bulk, add_checksum, at, check_checksum
from learningchain.chain.types import block_id

MAX_VALIDATOR_CHANGES = 10_000


class _Target(Wire, frozen=True):
    ready: bool
    offer: Offer
    validator_changes: Annotated[list[ValidatorSetChange], Meta(max_length=MAX_VALIDATOR_CHANGES)]


class Staging:
    """All methods may raise `StorageError`; none is for the event loop's thread. One at a time."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        dialect = store.engine.dialect
        self._put_bucket = Bulk(dialect, schema.upsert(dialect, schema.staged_pages, "number", "page"), ("number", "page"))
        self._drop_bucket = Bulk(dialect, schema.delete_by(schema.staged_pages.c.number), ("number",))
        self._drop_key = Bulk(dialect, schema.delete_by(schema.staged_keys.c.key), ("key",))
        self._put_key = Bulk(dialect, schema.add_key(dialect, schema.staged_keys), ("key",))

    def begin(self, offer: Offer, followed: list[ValidatorSetChange]) -> list[int]:
        """A new target; the numbers of its buckets that are here."""
        subroots = decode_subroots(offer.subroots)
        with self._store.write("begin a snapshot") as c:
            if _target(c, self._store) is None:
                _clear(c)
            p = schema.staged_pages.c
            found = c.execute(sa.select(p.number, sa.func.substr(p.page, 5, 33))).all()
            held = [int(number) for number, subroot in found if subroots.get(int(number)) == bytes(subroot)]
            if len(held) < len(found):
                self._keep(c, frozenset(held), [int(number) for number, _ in found])
            _put_target(c, _Target(False, offer, followed))
        return sorted(held)

    def _keep(self, c: sa.Connection, kept: frozenset[int], found: list[int]) -> None:
        """The other buckets go, and with them what stands in listings of their records."""
        self._drop_bucket.run(c, [(number,) for number in found if number not in kept])
        keys = [bytes(key) for (key,) in c.execute(sa.select(schema.staged_keys.c.key))]
        self._drop_key.run(c, [(key,) for key in keys if number_over(path_of_listed(key), kept) is None])

    def put(self, made: list[Made]) -> None:
        with self._store.write("stage a snapshot") as c:
            self._put_bucket.run(c, [(number, add_checksum(schema.bucket_place(number), bucket)) for number, bucket, _ in made])
            self._put_key.run(c, sorted((key,) for _, _, keys in made for key in keys))

    def ready(self) -> None:
        """All buckets are here: the next start switches."""
        with self._store.write("end a snapshot") as c:
            target = _target(c, self._store)
            if target is not None:
                _put_target(c, _Target(True, target.offer, target.validator_changes))


def _target(c: sa.Connection, store: BlockStore) -> _Target | None:
    raw = c.execute(sa.select(schema.staged.c.target)).scalar()
    if raw is None:
        return None
    return decode(_Target, check_checksum(f"the staged snapshot in {store.where}", b"target", bytes(raw)), 64 * MAX_PEER_MESSAGE)


def _put_target(c: sa.Connection, target: _Target) -> None:
    c.execute(sa.delete(schema.staged))
    c.execute(sa.insert(schema.staged), {"number": 0, "target": add_checksum(b"target", encode(target))})


def _clear(c: sa.Connection) -> None:
    for table in (schema.staged, schema.staged_pages, schema.staged_keys):
        c.execute(sa.delete(table))


def switch(store: BlockStore, *, keep: bool = True) -> int | None:
    """At a start, before anything else reads: where a snapshot is ready it becomes the state, in one transaction; its height.

    The store has to be opened again then. What is not ready goes, unless it is to be kept. Raises `StorageError`; nothing has
    changed then.
    """
    with store.write("switch to the snapshot") as c:
        target = _target(c, store)
        if target is None or not target.ready:
            if target is not None and not keep:
                _clear(c)
            return None
        height, subroot = target.offer.header.height, store.head()
        if subroot is not None and subroot.height >= height:
            _clear(c)  # blocks came meanwhile
            return None
        subroots = decode_subroots(target.offer.subroots)
        p = schema.staged_pages.c
        held = {int(number): bytes(subroot) for number, subroot in c.execute(sa.select(p.number, sa.func.substr(p.page, 5, 33)))}
        if held != subroots or root_of(subroots) != target.offer.header.state_root:
            _clear(c)  # the node takes it once more
            return None
        old = (schema.blocks, schema.changes, schema.unaudited, schema.parts, schema.tx_pages, schema.history, schema.journal)
        for table in old:
            c.execute(sa.delete(table))
        c.execute(sa.insert(schema.blocks), _base(target.offer))
        for validator_change in target.validator_changes:
            validator_changes.put(c, validator_change)
        _put_together(c, store, subroots)
        store.buckets.replace(c, height, whole_subroots(subroots))
        c.execute(sa.delete(schema.staged))
    return height


def _put_together(c: sa.Connection, store: BlockStore, subroots: dict[int, bytes]) -> None:
    """Subbuckets become the buckets that they were cut from, one bucket at a time."""
    p = schema.staged_pages.c
    of: dict[int, dict[int, None]] = {}
    for number in subroots:
        if number >= BUCKETS:
            of.setdefault((number >> number.bit_length() - 1 - DEPTH) - BUCKETS, {})[number] = None
    for bucket, numbers in of.items():
        found: dict[int, bytes] = {}
        for number in numbers:
            framed = bytes(c.execute(sa.select(p.page).where(p.number == number)).scalar_one())
            found[number] = check_checksum(
                f"subbucket {number} of the snapshot in {store.where}", schema.bucket_place(number), framed
            )
            c.execute(sa.delete(schema.staged_pages).where(p.number == number))
        ((_, whole),) = whole_buckets(found).items()
        c.execute(sa.insert(schema.staged_pages), {"number": bucket, "page": add_checksum(schema.bucket_place(bucket), whole)})


def _base(offer: Offer) -> dict[str, object]:
    """The row that the history begins after."""
    height = offer.header.height
    blobs = {
        "header": encode(offer.header),
        "certificate": encode(offer.certificate),
        "block": b"",
        "receipts": encode([]),
        "picks": encode([]),
    }
    framed = {name: add_checksum(at(height, name), blob) for name, blob in blobs.items()}
    return {"height": height, "block_id": block_id(offer.header), **framed}
