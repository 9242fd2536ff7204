"""The log of the consensus: what must be on disk before a node votes. Append-only, preallocated, reset after every height.

File: two header slots of one sector each, then records. A header holds the chain id, a salt, the process's `generation` and the
lowest one (`base`) that still counts. The newest valid header counts; a reset writes the older slot, so a power cut in it leaves
the log as before or as after. A record is

    magic, generation, sequence, synced, length, checksum (36 bytes), payload

`sequence` counts from 0 since the reset, `synced` is how many records were durable when this one was written, and the checksum
covers all fields, the payload, the record's own offset and the salt. Thus

* a record of an earlier generation is left from before a reset, or was never synced by a process that died: it is not read;
* a record at another offset than its own was misdirected by the disk: it is not read;
* a record that cannot be read ends the log. When a later one says that it was durable, the disk lost it: `StorageDamaged`.
  Otherwise it is the torn tail of a crash: dropped and counted. (The last record of all cannot be told from a torn one: the
  guard keeps the node from contradicting itself even then.)

After every sync the next record starts in a new sector: see `SECTOR`. Peers' bytes are logged; the salt, which is in no message,
keeps them from forging a record inside a record.

For the thread of the node's driver alone.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from learningchain.chain.storage.disk import SECTOR, Disk, File, OsDisk, align, fill_zeros
from learningchain.chain.storage.errors import DiskFull, StorageDamaged, StorageFailed, StorageMismatch, disk_errors
from learningchain.chain.storage.versions import other_version

SEGMENT = 16 * 1024 * 1024
"""The file grows by this much, and shrinks to this size at a reset."""
MAX_LOG = 512 * 1024 * 1024
"""A height needs a few records a round: this is never reached while the validators agree."""
MAX_RECORD = 5_000_000

_VERSION = 1
_HEADER_MAGIC = b"LCWALv01"
_HEADER = struct.Struct(">8sI32s16sQQ")
_MAGIC = b"\xc3LCW"
_FIELDS = struct.Struct(">4sQQQI")
_CRC = struct.Struct(">I")
_RECORD_HEAD = _FIELDS.size + _CRC.size
_START = 2 * SECTOR
_TODO_DAMAGED = (
    "Check the disk before it is used again. Then move the data folder away, keep the keystore, and let the node "
    "sync from its peers (a validator then needs --accept-new-guard)"
)


class _SegmentHeader(NamedTuple):
    version: int
    chain_id: bytes
    salt: bytes
    base: int
    """Records of lower generations are from before the last reset."""
    generation: int
    slot: int


class _LogRecord(NamedTuple):
    generation: int
    sequence: int
    synced: int
    payload: bytes
    end: int


class Wal:
    """An open log. `dropped` counts the torn records that a crash left at its end."""

    def __init__(self, path: str, chain_id: bytes, file: File, segment: int) -> None:
        self.path, self.chain_id, self.dropped = path, chain_id, 0
        self._file, self._segment = file, segment
        self._header = _SegmentHeader(_VERSION, chain_id, b"", 0, 0, 0)
        self._size = 0
        self._end = _START
        self._count = 0
        self._synced = 0
        self._broken: StorageFailed | None = None
        self._found: list[bytes] = []

    # opening

    @classmethod
    def open(cls, path: str, *, chain_id: bytes, create: bool, disk: Disk | None = None, segment: int = SEGMENT) -> Wal:
        """Open the log and read it. `create` makes it when there is none.

        Raises `StorageDamaged`, `StorageMismatch` (another network or version), `StorageFailed`, `DiskFull`.
        """
        disk = disk or OsDisk()
        with disk_errors("open the consensus log", path):
            if not disk.exists(path):
                if not create:
                    raise StorageDamaged(f"The consensus log {path} is missing", "its data folder holds a chain", _TODO_DAMAGED)
                _make(path, chain_id, disk, segment)
            wal = cls(path, chain_id, disk.open(path), segment)
            try:
                wal._load()
            except BaseException:
                wal._file.close()
                raise
        return wal

    def _load(self) -> None:
        content = self._file.read(0, min(self._file.size(), MAX_LOG))
        self._size = len(content)
        headers = [h for h in (_read_header(content, slot) for slot in (0, 1)) if h is not None]
        if not headers:
            raise StorageDamaged(
                f"The consensus log {self.path} is damaged", "neither of its two headers can be read", _TODO_DAMAGED
            )
        self._header = max(headers, key=lambda h: h.generation)
        self._check_header()
        last = self._header.base
        for record in _scan(content, self._header):
            self._found.append(record.payload)
            last, self._end = record.generation, record.end
        self._count = len(self._found)
        self._refuse_damage(content, last)
        self._end = align(self._end)
        # Records of this process must differ from those that an earlier one left behind the end. The sync of the header also makes
        # durable what was read: a killed process may have left it in memory only.
        self._write_header(self._header.base, max(last, self._header.generation) + 1)
        self._synced = self._count

    def _check_header(self) -> None:
        if self._header.version != _VERSION:
            raise StorageMismatch(f"Cannot use the consensus log {self.path}", *other_version(self._header.version, _VERSION))
        if self._header.chain_id != self.chain_id:
            why = f"it belongs to the network {self._header.chain_id.hex()[:16]}, not to {self.chain_id.hex()[:16]}"
            raise StorageMismatch(
                f"The consensus log {self.path} is another network's", why, "Give each network its own data folder"
            )

    def _refuse_damage(self, content: bytes, generation: int) -> None:
        """Whatever of this log lies behind its readable part must be the torn tail of a crash."""
        offset = content.find(_MAGIC, self._end)
        torn = (
            {self._count} if any(_begins(content, at, generation, self._count) for at in (self._end, align(self._end))) else set()
        )
        while offset >= 0:
            record = _parse(content, offset, self._header.salt)
            if record is not None and record.generation >= generation and record.sequence >= self._count:
                torn.add(record.sequence)
                if record.synced > self._count:
                    why = f"record {self._count} at byte {self._end} was stored safely and cannot be read any more"
                    raise StorageDamaged(f"The consensus log {self.path} is damaged", why, _TODO_DAMAGED)
            offset = content.find(_MAGIC, offset + 1)
        self.dropped = len(torn)

    # use

    def records(self) -> list[bytes]:
        """The records that were there at opening, in order."""
        return list(self._found)

    def append(self, record: bytes) -> None:
        """Write a record of at most `MAX_RECORD` bytes. It counts once `sync` returned.

        After `DiskFull` the record is not there, and the log as it was. After `StorageFailed` the log refuses everything.
        """
        self._refuse_if_broken()
        if len(record) > MAX_RECORD:
            raise ValueError(f"a log record has at most {MAX_RECORD} bytes, this one {len(record)}")
        offset = self._end
        framed = _frame(self._header, self._count, self._synced, offset, record)
        with self._fatal("write to"):
            self._grow(offset + len(framed))
            self._file.write(offset, framed)
        self._end = offset + len(framed)
        self._count += 1

    def sync(self) -> None:
        """Returns when every appended record is durable. A failure is final: it is never tried again."""
        self._refuse_if_broken()
        if self._synced == self._count:
            return
        self._sync()
        self._synced = self._count
        self._end = align(self._end)

    def truncate(self) -> None:
        """Forget all records: their height is in the database. Durable on return; a crash in it leaves all of them or none."""
        self._refuse_if_broken()
        if self._count == 0:
            return
        with self._fatal("reset"):
            self._write_header(self._header.generation + 1, self._header.generation + 1)
            if self._size > self._segment:
                self._file.truncate(self._segment)
                self._size = self._segment
        self._count = self._synced = 0
        self._end = _START
        self._found.clear()

    @property
    def used(self) -> int:
        """Bytes that the records since the last reset take.

        Whoever commits behind the log resets it where a height begins with every commit done, and waits when this is large.
        """
        return self._end - _START

    def close(self) -> None:
        self._file.close()

    # the file

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    @contextmanager
    def _fatal(self, doing: str) -> Iterator[None]:
        """Errors but a full disk are final."""
        try:
            with disk_errors(f"{doing} the consensus log", self.path):
                yield
        except DiskFull:
            raise
        except StorageFailed as e:
            self._broken = self._broken or e
            raise

    def _sync(self) -> None:
        try:
            with disk_errors("sync the consensus log", self.path):
                self._file.sync()
        except StorageFailed as e:
            # Also of a full disk: what a failed sync left is unknown, and a second one may wrongly succeed.
            self._broken = StorageFailed(e.what, e.why, e.todo)
            raise self._broken from e

    def _grow(self, needed: int) -> None:
        if needed <= self._size:
            return
        if needed > MAX_LOG:
            why = f"one height needed more than {MAX_LOG} bytes: the validators cannot agree on a block"
            raise StorageFailed(f"The consensus log {self.path} is full", why, "See the node's log for why no block is decided")
        target = min(self._size + self._segment * -(-(needed - self._size) // self._segment), MAX_LOG)
        try:
            fill_zeros(self._file, self._size, target)
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise
        self._sync()
        self._size = target

    def _write_header(self, base: int, generation: int) -> None:
        """Into the older slot: the other one stays readable whatever happens here."""
        header = self._header._replace(base=base, generation=generation, slot=1 - self._header.slot)
        self._file.write(header.slot * SECTOR, _header_bytes(header))
        self._sync()
        self._header = header


# --- the format ---------------------------------------------------------------------------------------------------------------


def _make(path: str, chain_id: bytes, disk: Disk, segment: int) -> None:
    """A new log appears whole or not at all."""
    new = path + ".new"
    file = disk.open(new, create=True)
    try:
        fill_zeros(file, 0, max(segment, _START + SECTOR))
        file.write(0, _header_bytes(_SegmentHeader(_VERSION, chain_id, os.urandom(16), 1, 1, 0)))
        file.sync()
    finally:
        file.close()
    disk.rename(new, path)
    disk.sync_folder(path)


def _header_bytes(h: _SegmentHeader) -> bytes:
    body = _HEADER.pack(_HEADER_MAGIC, h.version, h.chain_id, h.salt, h.base, h.generation)
    return body + _CRC.pack(zlib.crc32(body))


def _read_header(content: bytes, slot: int) -> _SegmentHeader | None:
    raw = content[slot * SECTOR : slot * SECTOR + _HEADER.size + _CRC.size]
    if len(raw) < _HEADER.size + _CRC.size or _CRC.unpack_from(raw, _HEADER.size)[0] != zlib.crc32(raw[: _HEADER.size]):
        return None
    magic, version, chain_id, salt, base, generation = _HEADER.unpack_from(raw)
    return _SegmentHeader(version, chain_id, salt, base, generation, slot) if magic == _HEADER_MAGIC else None


def _checksum(salt: bytes, offset: int, fields: bytes, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(fields, zlib.crc32(offset.to_bytes(8, "big"), zlib.crc32(salt))))


def _frame(header: _SegmentHeader, sequence: int, synced: int, offset: int, payload: bytes) -> bytes:
    fields = _FIELDS.pack(_MAGIC, header.generation, sequence, synced, len(payload))
    return fields + _CRC.pack(_checksum(header.salt, offset, fields, payload)) + payload


def _parse(content: bytes, offset: int, salt: bytes) -> _LogRecord | None:
    """The record at `offset`, or None where there is no whole and untouched one."""
    start = offset + _RECORD_HEAD
    if start > len(content) or content[offset : offset + len(_MAGIC)] != _MAGIC:
        return None
    _, generation, sequence, synced, length = _FIELDS.unpack_from(content, offset)
    if length > MAX_RECORD or start + length > len(content):
        return None
    fields = content[offset : offset + _FIELDS.size]
    checksum = _CRC.unpack_from(content, offset + _FIELDS.size)[0]
    if checksum != _checksum(salt, offset, fields, memoryview(content)[start : start + length]):
        return None
    return _LogRecord(generation, sequence, synced, content[start : start + length], start + length)


def _begins(content: bytes, offset: int, generation: int, sequence: int) -> bool:
    """Was record `sequence` begun at `offset`, though it cannot be read?"""
    if content[offset : offset + len(_MAGIC)] != _MAGIC or offset + _RECORD_HEAD > len(content):
        return False
    _, found_generation, found_sequence, _, _ = _FIELDS.unpack_from(content, offset)
    return bool(found_generation >= generation and found_sequence == sequence)


def _scan(content: bytes, header: _SegmentHeader) -> Iterator[_LogRecord]:
    """The records in order, up to the first that cannot be read or is left from before."""
    end, expected, generation = _START, 0, header.base
    while True:
        for offset in dict.fromkeys((end, align(end))):
            record = _parse(content, offset, header.salt)
            if record is not None and record.sequence == expected and record.generation >= generation:
                break
        else:
            return
        yield record
        end, generation = record.end, record.generation
        expected += 1
