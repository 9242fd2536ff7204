"""A snapshot that this node serves: the whole state after one height in a file of its own, so that the node may go on meanwhile.

It is made by another process, from one read transaction of the database, when a peer asks and there is no recent one: a graph
that nobody joins pays nothing for it. The buckets, or the subbuckets of large ones, lie in the file one after the other as they are
sent, each with its checksum; then the index.

    buckets | index (encoded) | length of the index (8 bytes) | CRC-32 of the index (4 bytes)
"""

from __future__ import annotations

import os
import zlib
from typing import Annotated

import sqlalchemy as sa
from msgspec import Meta

from learningchain.chain.buckets import BUCKETS
from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.snapshot import (
    MAX_BUCKET,
    MAX_SUBBUCKETS,
    Offer,
    decode_subroots,
    encode_subroots,
    root_of,
    subbuckets,
)
from learningchain.chain.node.messages import MAX_BUCKETS_BYTES, MAX_SYNC_ANSWER
from learningchain.chain.params import MAX_PEER_MESSAGE
from learningchain.chain.storage import private, schema
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import StorageDamaged, disk_errors
from learningchain.chain.storage.schema import TODO_DAMAGED, add_checksum, at, check_checksum
from learningchain.chain.types import Certificate, Header

_TAIL = 12


class _Index(Wire, frozen=True):
    """`ends[i]` is where the i-th bucket or subbucket ends, which begins where the one before it ends."""

    offer: Offer
    ends: Annotated[list[int], Meta(max_length=BUCKETS + MAX_SUBBUCKETS)]


def make(url: str, chain_id: bytes, path: str) -> int:
    """Write a snapshot of the last committed height to `path`; its height, 0 where there is none. Raises `StorageError`.

    For a process of its own: it works for seconds where the state is large.
    """
    store = BlockStore.open(url, chain_id=chain_id, create=False)
    try:
        with store.read("make a snapshot") as c, disk_errors("write the snapshot", path), private.writing(path) as file:
            found = _subroot(store, c)
            if found is None:
                return 0
            header, certificate = found
            subroots: dict[int, bytes] = {}
            ends: list[int] = []
            for number, bucket in store.buckets.whole(c):
                for one, subroot, raw in _subbuckets(number, bucket, path):
                    file.write(add_checksum(_place(one), raw))
                    subroots[one] = subroot
                    ends.append(file.tell())
            if root_of(subroots) != header.state_root:
                raise StorageDamaged(f"The state in {store.where} is not the one that was decided", "its root", TODO_DAMAGED)
            index = encode(_Index(Offer(header, certificate, encode_subroots(subroots)), ends))
            file.write(index + len(index).to_bytes(8, "big") + zlib.crc32(index).to_bytes(4, "big"))
            file.flush()
            return header.height
    finally:
        store.close()


def _subroot(store: BlockStore, c: sa.Connection) -> tuple[Header, Certificate] | None:
    b = schema.blocks.c
    row = c.execute(sa.select(b.height, b.header, b.certificate).order_by(b.height.desc()).limit(1)).first()
    if row is None or row.height == 0:
        return None
    where = f"height {row.height} in {store.where}"
    header = decode(Header, check_checksum(where, at(row.height, "header"), bytes(row.header)), 4_096)
    return header, decode(Certificate, check_checksum(where, at(row.height, "certificate"), bytes(row.certificate)), 65_536)


def _subbuckets(number: int, bucket: bytes, path: str) -> list[tuple[int, bytes, bytes]]:
    try:
        found = list(subbuckets(number, bucket))
    except Malformed as e:
        raise StorageDamaged(f"Bucket {number} of the state is damaged", str(e), TODO_DAMAGED) from e
    if any(len(raw) > MAX_BUCKET for _, _, raw in found):
        raise StorageDamaged(f"No snapshot {path} can be made", f"bucket {number} cannot be cut", "Blocks are served instead")
    return found


def _place(number: int) -> bytes:
    return b"sent" + number.to_bytes(8, "big")


class SnapshotFile:
    """An open snapshot. Reads may come from any thread."""

    def __init__(self, path: str) -> None:
        """Raises `StorageError`."""
        self._path = path
        with disk_errors("open the snapshot", path):
            self._file = private.reading(path)
            size = os.fstat(self._file.fileno()).st_size
            tail = self._read(max(0, size - _TAIL), _TAIL)
            length = min(size, int.from_bytes(tail[:8], "big"))
            raw = self._read(max(0, size - _TAIL - length), length)
        if not raw or zlib.crc32(raw).to_bytes(4, "big") != tail[8:]:  # the checksum of nothing is zero, as a file of zeros has it
            raise self._damaged("its index")
        index = decode(_Index, raw, 2 * MAX_PEER_MESSAGE)
        self.offer, self.height = index.offer, index.offer.header.height
        starts = [0, *index.ends]
        self._places = dict(zip(decode_subroots(index.offer.subroots), zip(starts, index.ends, strict=False), strict=True))

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)

    def _damaged(self, what: str) -> StorageDamaged:
        return StorageDamaged(
            f"The snapshot {self._path} is damaged", what, "Nothing: the node makes another one when it is needed"
        )

    def buckets(self, numbers: list[int]) -> list[bytes]:
        """The first of these buckets, as they are sent. Stops after the one that reaches a million bytes. Raises `StorageError`."""
        found: list[bytes] = []
        size = 0
        with disk_errors("read the snapshot", self._path):
            for number in numbers:
                start, end = self._places.get(number, (0, 0))
                size += end - start
                if start == end or (found and size > MAX_SYNC_ANSWER):
                    break
                found.append(check_checksum(f"bucket {number} in {self._path}", _place(number), self._read(start, end - start)))
                if size >= MAX_BUCKETS_BYTES:
                    break
        return found
