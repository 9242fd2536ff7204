"""The log of the consensus keeps what it reported as stored, over power cuts at every operation, and refuses to guess."""

from __future__ import annotations

import errno
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from learningchain.chain.storage import disk as storage_disk
from learningchain.chain.storage import wal as storage_wal
from learningchain.chain.storage.disk import SECTOR, File, OsDisk
from learningchain.chain.storage.errors import DiskFull, StorageDamaged, StorageFailed, StorageMismatch
from learningchain.chain.storage.wal import MAX_RECORD, Wal
from tests.descriptors import below
from tests.unit.storage_disk import PowerCut, SimDisk, SimFile, small_file_system

CHAIN = bytes(range(32))
SEGMENT = 32 * SECTOR
ROOT = Path(__file__).parents[2]


def open_sim(disk: SimDisk) -> Wal:
    return Wal.open("/wal", chain_id=CHAIN, create=True, disk=disk, segment=SEGMENT)


def open_at(path: Path) -> Wal:
    return Wal.open(str(path), chain_id=CHAIN, create=True, segment=SEGMENT)


class Driver:
    """Uses a log at random and knows what must, and what may, be in it after a crash."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.synced: list[bytes] = []
        self.unsynced: list[bytes] = []
        self.resetting = False
        self.number = 0

    def use(self, wal: Wal, steps: int) -> None:
        for _ in range(steps):
            action = self.rng.random()
            if action < 0.55:
                self.number += 1
                size = self.rng.choice([0, 7, 200, 200, 5000, 3 * SECTOR])
                record = self.number.to_bytes(8, "big") + self.rng.randbytes(size)
                self.unsynced.append(record)
                wal.append(record)
            elif action < 0.9:
                wal.sync()
                self.synced += self.unsynced
                self.unsynced = []
            else:
                self.resetting = True
                wal.truncate()
                self.synced, self.unsynced, self.resetting = [], [], False

    def check(self, found: list[bytes]) -> None:
        """What was synced is there, in order; then some of what was appended after it; nothing else."""
        if self.resetting and found == []:
            return
        written = self.synced + self.unsynced
        assert found == written[: len(found)]
        assert len(found) >= len(self.synced)

    def restart(self, found: list[bytes]) -> None:
        self.synced, self.unsynced, self.resetting = list(found), [], False


def test_power_cuts_at_every_operation_lose_nothing_synced() -> None:
    cuts = dropped = 0
    for seed in range(500):
        rng = random.Random(seed)
        disk = SimDisk(seed)
        driver = Driver(rng)
        for _ in range(5):
            disk.cut_at = disk.steps + rng.randrange(1, 30)
            try:
                wal = open_sim(disk)
                dropped += wal.dropped
                driver.check(wal.records())
                driver.restart(wal.records())
                driver.use(wal, 40)
            except PowerCut:
                cuts += 1
            disk = disk.after_cut(rng, kill=rng.random() < 0.2)
        wal = open_sim(disk)
        dropped += wal.dropped
        driver.check(wal.records())
    assert cuts > 2_000
    assert dropped > 50, "the tests never saw a torn tail"


def test_every_single_operation_of_one_history_can_be_the_last() -> None:
    cut_at = 0
    finished = False
    while not finished:
        cut_at += 1
        rng = random.Random(cut_at)
        driver = Driver(random.Random(7))
        disk = SimDisk(cut_at, cut_at=cut_at)
        try:
            driver.use(open_sim(disk), 60)
            finished = True
        except PowerCut:
            driver.check(open_sim(disk.after_cut(rng)).records())
    assert cut_at > 60


def test_a_flipped_bit_in_a_stored_record_is_refused_or_the_last_record_dropped() -> None:
    refused = 0
    for seed in range(300):
        rng = random.Random(seed)
        disk = SimDisk(seed)
        wal = open_sim(disk)
        records = [rng.randbytes(rng.randrange(1, 6000)) for _ in range(6)]
        places = []
        for record in records:
            wal.append(record)
            wal.sync()
            places.append(bytes(disk.names["/wal"].content).index(record))
        hit = rng.randrange(6)
        content = disk.names["/wal"].content
        content[places[hit] + rng.randrange(len(records[hit]))] ^= 1 << rng.randrange(8)
        if hit == 5:
            again = open_sim(disk)
            assert (again.records(), again.dropped) == (records[:5], 1)
            continue
        with pytest.raises(StorageDamaged, match=rf"record {hit} at byte \d+ was stored safely"):
            open_sim(disk)
        refused += 1
    assert refused > 200


def test_what_was_there_at_opening_counts_as_durable_for_the_records_after_it() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    for record in (b"first", b"second"):
        wal.append(record)
        wal.sync()
    again = open_sim(disk)
    steps = disk.steps
    again.sync()
    assert disk.steps == steps, "nothing is to be synced"
    again.append(b"third")
    content = disk.names["/wal"].content
    content[content.index(b"second")] ^= 1
    with pytest.raises(StorageDamaged, match="record 1 at byte"):
        open_sim(disk)


def test_what_a_dead_process_left_is_never_read_as_its_successors_though_the_newest_header_rotted() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    wal.append(b"first")
    wal.sync()
    wal.append(b"torn..")
    wal.append(b"left behind")
    content = disk.names["/wal"].content
    content[content.index(b"torn..")] ^= 1
    content[SECTOR + 20] ^= 1
    again = open_sim(disk)
    assert (again.records(), again.dropped) == ([b"first"], 2)
    again.append(b"second")
    assert open_sim(disk).records() == [b"first", b"second"]


def test_a_misdirected_record_is_not_read() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    for n in range(3):
        wal.append(b"%d" % n * 100)
        wal.sync()
    content = disk.names["/wal"].content
    content[3 * SECTOR : 4 * SECTOR] = content[4 * SECTOR : 5 * SECTOR]
    with pytest.raises(StorageDamaged, match="record 1"):
        open_sim(disk)


def test_a_record_in_another_place_than_its_own_is_not_read() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    for record in (b"first", b"second"):
        wal.append(record)
        wal.sync()
    assert wal.used == 2 * SECTOR
    content = disk.names["/wal"].content
    moved = bytes(content[3 * SECTOR : 3 * SECTOR + 100])
    content[3 * SECTOR : 3 * SECTOR + 100] = bytes(100)
    end = content.index(b"first") + 5
    content[end : end + 100] = moved
    assert open_sim(disk).records() == [b"first"]


def test_a_record_inside_a_record_is_not_taken_for_one() -> None:
    """Peers' bytes are logged: a forged record in a torn payload must not look like damage, nor like a record."""
    disk = SimDisk()
    wal = open_sim(disk)
    wal.append(b"a")
    wal.sync()
    payload = bytearray(SECTOR * 3)
    forged = struct.pack(">4sQQQI", b"\xc3LCW", 99, 2, 2, 10) + bytes(14)
    payload[2000 : 2000 + len(forged)] = forged
    wal.append(bytes(payload))
    content = disk.names["/wal"].content
    content[3 * SECTOR + 5] ^= 1
    found = open_sim(disk)
    assert found.records() == [b"a"]


@pytest.mark.parametrize("guess", [b"", bytes(16), CHAIN], ids=["none", "zeros", "the chain's id"])
def test_a_record_that_a_peer_wrote_is_not_read_where_the_one_around_it_is_torn(guess: bytes) -> None:
    """A peer knows all that a record's checksum covers but the salt: place, generation, number. Its bytes lie where one would."""
    disk = SimDisk()
    wal = open_sim(disk)
    wal.append(b"first")
    start = 2 * SECTOR + wal.used
    place = -(-start // SECTOR) * SECTOR
    content = disk.names["/wal"].content
    _, generation, *_ = struct.unpack_from(">4sQQQI", content, 2 * SECTOR)
    fields = struct.pack(">4sQQQI", b"\xc3LCW", generation, 1, 0, 6)
    checksum = zlib.crc32(b"forged", zlib.crc32(fields, zlib.crc32(place.to_bytes(8, "big"), zlib.crc32(guess))))
    forged = fields + struct.pack(">I", checksum) + b"forged"
    payload = bytearray(3 * SECTOR)
    payload[place - start - 36 : place - start - 36 + len(forged)] = forged
    wal.append(bytes(payload))
    content = disk.names["/wal"].content
    assert content[place : place + len(forged)] == forged
    content[start + 40] ^= 1  # torn
    assert open_sim(disk).records() == [b"first"]


def test_both_headers_damaged_is_refused() -> None:
    disk = SimDisk()
    open_sim(disk)
    for slot in (0, 1):
        disk.names["/wal"].content[slot * SECTOR + 20] ^= 1
    with pytest.raises(StorageDamaged, match="neither of its two headers"):
        open_sim(disk)


def test_one_damaged_header_costs_nothing() -> None:
    for slot in (0, 1):
        disk = SimDisk()
        wal = open_sim(disk)
        wal.append(b"old")
        wal.truncate()
        wal.append(b"kept")
        wal.sync()
        disk.names["/wal"].content[slot * SECTOR + 20] ^= 1
        assert open_sim(disk).records() == [b"kept"]


def test_a_failed_sync_is_final() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    wal.append(b"a")
    disk.sync_fails = True
    with pytest.raises(StorageFailed, match="input/output error"):
        wal.sync()
    disk.sync_fails = False
    for use in (wal.sync, wal.truncate, lambda: wal.append(b"b")):
        with pytest.raises(StorageFailed):
            use()


@pytest.mark.parametrize(("method", "fault"), [("sync", errno.ENOSPC), ("write", errno.EIO)])
def test_a_failed_sync_of_a_full_disk_and_a_failed_write_are_final_as_well(
    monkeypatch: pytest.MonkeyPatch, method: str, fault: int
) -> None:
    """What they left is unknown: the next call that goes well proves nothing."""
    wal = open_sim(SimDisk())
    wal.append(b"a")

    def fails(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(SimFile, method, fails)
        with pytest.raises(StorageFailed) as refused:
            wal.append(b"b") if method == "write" else wal.sync()
    assert not isinstance(refused.value, DiskFull), "a full disk may be tried again, this not"
    for use in (wal.sync, wal.truncate, lambda: wal.append(b"b")):
        with pytest.raises(StorageFailed):
            use()


def test_a_full_disk_is_named_and_the_log_goes_on_when_there_is_space() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    wal.append(b"before")
    wal.sync()
    disk.free = 10 * SECTOR
    with pytest.raises(DiskFull, match=r"no space left.*Free some space"):
        wal.append(bytes(SEGMENT))
    disk.free = None
    wal.append(b"after")
    wal.sync()
    assert open_sim(disk).records() == [b"before", b"after"]


def test_what_a_full_disk_let_the_log_grow_by_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_disk, "_CHUNK", SECTOR)
    disk = SimDisk()
    wal = open_sim(disk)
    disk.free = 10 * SECTOR
    with pytest.raises(DiskFull):
        wal.append(bytes(SEGMENT))
    assert len(disk.names["/wal"].content) == SEGMENT


def test_the_log_takes_all_that_it_may_hold_and_is_full_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last growth is cut to the limit. What does not fit names the height that does not end; nothing is taken any more."""
    most = 2 * SEGMENT + SECTOR
    monkeypatch.setattr(storage_wal, "MAX_LOG", most)
    disk = SimDisk()
    wal = open_sim(disk)
    wal.append(b"x")
    rest = most - 2 * SECTOR - wal.used - (wal.used - 1)
    wal.append(bytes(rest))
    wal.sync()
    assert len(disk.names["/wal"].content) == most
    assert wal.used == most - 2 * SECTOR
    with pytest.raises(StorageFailed, match=r"is full: .* the validators cannot agree on a block"):
        wal.append(b"")
    with pytest.raises(StorageFailed, match="is full"):
        wal.sync()
    assert open_sim(disk).records() == [b"x", bytes(rest)]


def test_a_small_file_system_runs_full(tmp_path: Path) -> None:
    with small_file_system(tmp_path, 2**20) as disk:
        wal = Wal.open(str(tmp_path / "wal"), chain_id=CHAIN, create=True, disk=disk, segment=SEGMENT)
        stored = []
        with pytest.raises(DiskFull, match=r"no space left on the device"):
            for n in range(1000):
                record = n.to_bytes(4, "big") * 10_000
                wal.append(record)
                wal.sync()
                stored.append(record)
        assert stored
        wal.close()
        again = Wal.open(str(tmp_path / "wal"), chain_id=CHAIN, create=False, disk=disk, segment=SEGMENT)
        assert again.records() == stored
        again.truncate()
        again.append(b"there is space again")
        again.sync()
        again.close()


def test_a_log_is_made_whole_or_not_at_all_on_a_full_disk(tmp_path: Path) -> None:
    with small_file_system(tmp_path, 2**20) as disk:
        with pytest.raises(DiskFull):
            Wal.open(str(tmp_path / "wal"), chain_id=CHAIN, create=True, disk=disk, segment=4_000_000)
        assert not (tmp_path / "wal").exists()
        Wal.open(str(tmp_path / "wal"), chain_id=CHAIN, create=True, disk=disk, segment=SEGMENT).close()


def test_a_big_record_grows_the_file_and_a_reset_shrinks_it(tmp_path: Path) -> None:
    wal = open_at(tmp_path / "wal")
    big = random.Random(1).randbytes(MAX_RECORD)
    wal.append(big)
    wal.sync()
    wal.close()
    wal = open_at(tmp_path / "wal")
    assert wal.records() == [big]
    wal.truncate()
    assert wal.records() == []
    assert (tmp_path / "wal").stat().st_size == SEGMENT
    with pytest.raises(ValueError, match="at most"):
        wal.append(big + b"x")
    wal.close()


def test_a_log_that_grew_by_one_segment_shrinks_at_a_reset_and_grows_by_one_again() -> None:
    disk = SimDisk()
    wal = open_sim(disk)
    for _ in range(2):
        wal.append(bytes(SEGMENT))
        wal.sync()
        assert len(disk.names["/wal"].content) == 2 * SEGMENT
        wal.truncate()
        assert len(disk.names["/wal"].content) == SEGMENT


@pytest.mark.parametrize("other", [bytes(32), CHAIN[:-1] + b"x"], ids=["another", "one that begins alike"])
def test_another_networks_log_is_refused_and_not_held_open(tmp_path: Path, other: bytes) -> None:
    open_at(tmp_path / "wal").close()
    with pytest.raises(StorageMismatch, match="belongs to the network") as refused:
        Wal.open(str(tmp_path / "wal"), chain_id=other, create=False)
    assert below(tmp_path) == [], refused


def test_the_log_of_a_newer_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(storage_wal, "_VERSION", 2)
        open_at(tmp_path / "wal").close()
    with pytest.raises(StorageMismatch, match="a newer version of the program wrote it"):
        open_at(tmp_path / "wal")


def test_a_missing_log_of_a_chain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageDamaged, match="is missing"):
        Wal.open(str(tmp_path / "wal"), chain_id=CHAIN, create=False)


def test_a_log_without_permission_says_so(tmp_path: Path) -> None:
    class Denied(OsDisk):
        def open(self, path: str, *, create: bool = False) -> File:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)

    with pytest.raises(StorageFailed, match=r"permission denied.*read and write access"):
        Wal.open(str(tmp_path / "wal"), chain_id=CHAIN, create=True, disk=Denied())


WRITER = """
import sys
from learningchain.chain.storage.wal import Wal
wal = Wal.open(sys.argv[1], chain_id=bytes(range(32)), create=True, segment=131072)
for n in range(10**9):
    wal.append(n.to_bytes(8, "big") * (1 + n % 900))
    wal.sync()
    print(n, flush=True)
    if n % 50 == 49:
        wal.truncate()
        print("reset", n, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 37, 220])
def test_a_killed_process_leaves_what_it_reported(tmp_path: Path, lines: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "wal")], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    seen = [child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    seen += child.stdout.readlines()
    child.wait()
    numbers = [int(line) for line in seen if line.strip().isdigit()]
    wal = open_at(tmp_path / "wal")
    found = [int.from_bytes(r[:8], "big") for r in wal.records()]
    wal.close()
    last = numbers[-1]
    if found:
        assert found == list(range(found[0], found[-1] + 1)) and found[0] % 50 == 0
        assert found[-1] in (last, last + 1)
    else:
        assert last % 50 == 49, "a reported record is gone"
