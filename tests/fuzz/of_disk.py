"""Targets: the consensus log and the last-signed guard, as a broken disk or a careless owner leaves them.

Most bytes of these files are below a checksum, so an input is a list of changes to a sound file: offset (3 bytes), value (1 byte).
"""

from __future__ import annotations

from functools import cache

from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.storage.wal import Wal
from tests.fuzz.targets import Target, check
from tests.unit.storage_disk import SimDisk

CHAIN = b"\7" * 32
SEGMENT = 1 << 16
RECORDS = [b"first", b"second" * 50, b"third" * 1_000]


@cache
def _sound_log() -> bytes:
    disk = SimDisk()
    wal = Wal.open("log", chain_id=CHAIN, create=True, disk=disk, segment=SEGMENT)
    for record in RECORDS:
        wal.append(record)
        wal.sync()
    return bytes(disk.names["log"].content)


@cache
def _sound_guard() -> bytes:
    disk = SimDisk()
    guard = Guard.create("guard", chain_id=CHAIN, disk=disk)
    for height in range(1, 4):
        guard.sign(Kind.PREVOTE, height, 0, bytes(32), lambda digest: digest + digest)
    return bytes(disk.names["guard"].content)


def _changed(sound: bytes, data: bytes) -> bytearray:
    """The first byte cuts the file where it is not zero (in 256ths of it)."""
    content = bytearray(sound)
    for at in range(1, len(data) - 3, 4):
        content[int.from_bytes(data[at : at + 3], "big") % len(content)] = data[at + 3]
    return content[: len(content) * (256 - data[0]) // 256] if data else content


def consensus_log(data: bytes) -> None:
    disk = SimDisk()
    disk.open("log", create=True)
    disk.names["log"].content = _changed(_sound_log(), data)
    wal = Wal.open("log", chain_id=CHAIN, create=False, disk=disk, segment=SEGMENT)
    read = wal.records()
    check(read == RECORDS[: len(read)], "records that nobody wrote")


def guard_file(data: bytes) -> None:
    disk = SimDisk()
    disk.open("guard", create=True)
    disk.names["guard"].content = _changed(_sound_guard(), data)
    guard = Guard.open("guard", chain_id=CHAIN, disk=disk)
    last = guard.last(Kind.PREVOTE)
    check(last is not None and last.height in (2, 3), "it forgot more than one signature that may be on its way")


TARGETS = {
    "consensus-log": Target(consensus_log, (StorageError,), 256),
    "guard-file": Target(guard_file, (StorageError,), 256),
}
