"""A validator's signature leaves only when it is durable, and nothing contradicts it afterwards, whatever the disk did."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from learningchain.chain.storage.disk import SECTOR
from learningchain.chain.storage.errors import DiskFull, GuardMissing, StorageFailed, StorageMismatch
from learningchain.chain.storage.guard import Guard, Kind
from tests.descriptors import below
from tests.unit.storage_disk import PowerCut, SimDisk

CHAIN = bytes(range(32))
ROOT = Path(__file__).parents[2]


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def sign(d: bytes) -> bytes:
    """Not deterministic, as a signer may be: the same request must still get the same bytes."""
    return d + os.urandom(32)


def create(disk: SimDisk) -> Guard:
    return Guard.create("/guard", chain_id=CHAIN, disk=disk)


def reopen(disk: SimDisk) -> Guard:
    return Guard.open("/guard", chain_id=CHAIN, disk=disk)


P, V, C = Kind.PROPOSAL, Kind.PREVOTE, Kind.PRECOMMIT
A, B = "a", "b"


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((V, 5, 0, A), (V, 5, 0, A), "same"),
        ((V, 5, 0, A), (V, 5, 0, B), "silence"),
        ((V, 5, 0, A), (V, 5, 1, B), "new"),
        ((V, 5, 0, A), (V, 6, 0, A), "new"),
        ((V, 5, 1, A), (V, 5, 0, A), "silence"),
        ((V, 5, 1, A), (V, 4, 9, A), "silence"),
        ((V, 5, 0, A), (C, 5, 0, B), "new"),
        ((C, 5, 0, A), (V, 5, 0, A), "silence"),
        ((C, 5, 0, A), (P, 5, 0, A), "silence"),
        ((C, 5, 0, A), (P, 5, 1, A), "new"),
        ((P, 5, 0, A), (V, 5, 0, A), "new"),
        ((P, 5, 0, A), (P, 5, 0, B), "silence"),
    ],
)
def test_the_answer_to_a_second_request(first: tuple[Kind, int, int, str], second: tuple[Kind, int, int, str], answer: str) -> None:
    for restart in (False, True):
        disk = SimDisk()
        guard = create(disk)
        kind, height, round_, text = first
        given = guard.sign(kind, height, round_, digest(text), sign)
        assert given is not None
        guard = reopen(disk) if restart else guard
        kind, height, round_, text = second
        again = guard.sign(kind, height, round_, digest(text), sign)
        assert ("same" if again == given else "silence" if again is None else "new") == answer


def test_all_three_kinds_of_a_round_can_be_asked_for_again() -> None:
    disk = SimDisk()
    guard = create(disk)
    given = [guard.sign(kind, 7, 2, digest(str(kind)), sign) for kind in Kind]
    guard = reopen(disk)
    assert [guard.sign(kind, 7, 2, digest(str(kind)), sign) for kind in Kind] == given
    last = guard.last(Kind.PRECOMMIT)
    assert last is not None and (last.height, last.round, last.signature) == (7, 2, given[2])


class Released:
    """Every signature that left, over all lives of a validator."""

    def __init__(self) -> None:
        self.by_place: dict[tuple[Kind, int, int], tuple[bytes, bytes]] = {}

    def note(self, kind: Kind, height: int, round_: int, d: bytes, signature: bytes) -> None:
        known = self.by_place.setdefault((kind, height, round_), (d, signature))
        assert known == (d, signature), "two signatures for one place"

    def use(self, guard: Guard, rng: random.Random, start: int) -> int:
        """Ask for random things near `start`; returns the height reached."""
        height = start
        for _ in range(12):
            height += rng.random() < 0.2
            kind, round_, d = rng.choice(list(Kind)), rng.randrange(3), digest(rng.choice("ab"))
            signature = guard.sign(kind, height, round_, d, sign)
            if signature is not None:
                self.note(kind, height, round_, d, signature)
        return height


def test_power_cuts_and_rot_never_make_a_validator_contradict_itself() -> None:
    cuts = 0
    for seed in range(500):
        rng = random.Random(seed)
        disk = SimDisk(seed)
        create(disk)
        released, height = Released(), 1
        for _ in range(5):
            disk.cut_at = disk.steps + rng.randrange(1, 25)
            try:
                height = released.use(reopen(disk), rng, height)
            except PowerCut:
                cuts += 1
            whole = disk.cut_at > disk.steps
            disk = disk.after_cut(rng, kill=rng.random() < 0.2)
            if whole and rng.random() < 0.5:
                slot = rng.randrange(4)
                disk.names["/guard"].content[slot * SECTOR + rng.randrange(300)] ^= 1 << rng.randrange(8)
        released.use(reopen(disk), rng, max(1, height - 1))
    assert cuts > 1_000


def test_an_opening_makes_every_slot_whole_again() -> None:
    """One slot of each pair is damaged; after the next opening any slot alone tells what was signed."""
    for first, second, left in itertools.product((0, 2), (1, 3), range(4)):
        disk = SimDisk()
        guard = create(disk)
        for height in (5, 6):
            assert guard.sign(V, height, 0, digest(A), sign) is not None
        content = disk.names["/guard"].content
        for slot in (first, second):
            content[slot * SECTOR] ^= 1
        signed = reopen(disk).last(V)
        for slot in {0, 1, 2, 3} - {left}:
            content[slot * SECTOR] ^= 1
        assert signed is not None and signed.height == 6
        assert reopen(disk).last(V) == signed


def test_every_cut_while_a_guard_is_made_leaves_one_or_none() -> None:
    for cut_at in range(1, 9):
        for seed in range(20):
            disk = SimDisk(seed, cut_at=cut_at)
            try:
                create(disk)
            except PowerCut:
                disk = disk.after_cut(random.Random(seed))
                try:
                    reopen(disk)
                except GuardMissing:
                    create(disk)


@pytest.mark.parametrize("call", ["fdatasync", "rename"])
def test_a_guard_that_cannot_be_made_leaves_no_open_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DiskFull):
        Guard.create(str(tmp_path / "guard"), chain_id=CHAIN)
    assert below(tmp_path) == []
    assert not (tmp_path / "guard").exists()


def test_a_failed_sync_releases_nothing_and_is_final() -> None:
    disk = SimDisk()
    guard = create(disk)
    disk.sync_fails = True
    with pytest.raises(StorageFailed, match="Could not write the last-signed guard"):
        guard.sign(V, 1, 0, digest(A), sign)
    disk.sync_fails = False
    with pytest.raises(StorageFailed):
        guard.sign(V, 2, 0, digest(A), sign)


def test_a_full_disk_is_as_final_as_any_other_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems write to a new place what lies there already. Other files may be tried again, but not this one: what the
    failed sync left of the state is unknown."""
    guard = create(SimDisk())

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(guard._file, "sync", full)
        with pytest.raises(DiskFull):
            guard.sign(V, 1, 0, digest(A), sign)
    for again in (
        lambda: guard.sign(V, 1, 0, digest(B), sign),
        lambda: guard.sign(C, 2, 0, digest(A), sign),
        lambda: guard.abstain(9),
    ):
        with pytest.raises(DiskFull):
            again()


def test_a_missing_guard_signs_nothing_and_names_remedy_and_risk() -> None:
    with pytest.raises(GuardMissing, match="once with --accept-new-guard") as e:
        reopen(SimDisk())
    assert "no second machine uses this key" in str(e.value)


def test_a_damaged_guard_signs_nothing_until_the_operator_says_so() -> None:
    disk = SimDisk()
    create(disk).sign(V, 9, 0, digest(A), sign)
    for slot in range(4):
        disk.names["/guard"].content[slot * SECTOR + 100] ^= 1
    with pytest.raises(GuardMissing, match="cannot be read"):
        reopen(disk)
    guard = Guard.create("/guard", chain_id=CHAIN, after_height=9, disk=disk)
    assert "/guard.old" in disk.names
    assert guard.sign(V, 9, 5, digest(B), sign) is None
    assert guard.sign(V, 10, 0, digest(B), sign) is not None
    assert reopen(disk).sign(V, 9, 6, digest(B), sign) is None


def test_a_good_guard_is_not_replaced() -> None:
    disk = SimDisk()
    create(disk)
    with pytest.raises(StorageFailed, match="is not replaced"):
        create(disk)


@pytest.mark.parametrize("other", [bytes(32), CHAIN[:-1] + b"x"], ids=["another", "one that begins alike"])
def test_another_networks_guard_is_refused_and_not_replaced(other: bytes) -> None:
    disk = SimDisk()
    create(disk)
    for use in (Guard.open, Guard.create):
        with pytest.raises(StorageMismatch, match="another network"):
            use("/guard", chain_id=other, disk=disk)
    assert list(disk.names) == ["/guard"]
    assert reopen(disk).sign(V, 1, 0, digest(A), sign) is not None


@pytest.mark.parametrize(("digest_", "signature"), [(bytes(31), bytes(64)), (bytes(33), bytes(64)), (bytes(32), bytes(63))])
def test_what_does_not_fit_a_slot_is_not_signed(digest_: bytes, signature: bytes) -> None:
    disk = SimDisk()
    guard = create(disk)
    steps = disk.steps
    with pytest.raises(ValueError, match="a digest has 32 bytes and a signature 64"):
        guard.sign(V, 1, 0, digest_, lambda _: signature)
    assert disk.steps == steps and guard.last(V) is None
    assert guard.sign(V, 1, 0, digest(A), sign) is not None


def test_a_signer_that_fails_changes_nothing() -> None:
    def broken(_: bytes) -> bytes:
        raise ValueError("the keystore is locked")

    guard = create(SimDisk())
    with pytest.raises(ValueError, match="locked"):
        guard.sign(V, 1, 0, digest(A), broken)
    assert guard.sign(V, 1, 0, digest(B), sign) is not None


SIGNER = """
import hashlib, os, sys
from learningchain.chain.storage.guard import Guard, Kind
guard = Guard.create(sys.argv[1], chain_id=bytes(range(32)))
for height in range(1, 10**9):
    d = hashlib.sha256(b"a%d" % height).digest()
    print(height, guard.sign(Kind.PREVOTE, height, 0, d, lambda x: x + os.urandom(32)).hex(), flush=True)
"""


def test_a_killed_process_has_kept_what_it_released(tmp_path: Path) -> None:
    path = str(tmp_path / "guard")
    child = subprocess.Popen([sys.executable, "-c", SIGNER, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(100)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    height, signature = next(line for line in reversed(lines) if line.endswith("\n")).split()
    guard = Guard.open(path, chain_id=CHAIN)
    kept = guard.last(Kind.PREVOTE)
    assert kept is not None and kept.height in (int(height), int(height) + 1)
    if kept.height == int(height):
        assert kept.signature.hex() == signature
    assert guard.sign(Kind.PREVOTE, int(height), 0, digest("other"), sign) is None
    guard.close()


def test_what_a_guard_knows_of_itself() -> None:
    """`signed` is where a node's own messages may not come from elsewhere; a new guard on the operator's word knows of a loss."""
    disk = SimDisk(1)
    guard = create(disk)
    assert guard.signed < (1, 0, P)
    guard.sign(V, 5, 2, digest(A), sign)
    assert guard.signed == (5, 2, V)
    guard.abstain(7)
    assert guard.signed > (7, 99, C)
    assert guard.sign(V, 7, 50, digest(B), sign) is None
    again = reopen(disk)
    assert again.signed == guard.signed, "durable"
    again.abstain(6)
    assert again.sign(V, 7, 51, digest(B), sign) is None, "a floor never falls"
    assert again.sign(V, 8, 0, digest(B), sign) is not None
    assert again.signed == (8, 0, V)


def test_a_guard_on_the_operators_word_knows_that_one_was_lost() -> None:
    disk = SimDisk(1)
    guard = Guard.create("/guard", chain_id=CHAIN, after_height=1, disk=disk)
    assert guard.signed[0] == -1
    assert reopen(disk).signed[0] == -1, "also after a crash in between"
    guard.sign(V, 5, 0, digest(A), sign)
    assert guard.signed == (5, 0, V)
