"""The content store on a real disk: kills between any two steps, damage, quota, pins, a full disk."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from learningchain.chain.storage import private
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.faults import Damaged, IndexDamaged, Missing, StoreError, StoreFull
from learningchain.p2p.content.partial import Downloads, Found
from learningchain.p2p.content.store import ContentStore
from tests.unit.content_kit import flip, kill, pattern, root_of

DATA = pattern(4 * CHUNK + 99)
ROOT, BLOCKS = root_of(DATA)
LEAVES = [cid_of(Codec.RAW, DATA[at : at + CHUNK]) for at in range(0, len(DATA), CHUNK)]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., ContentStore]]:
    """Open the store of this test (again, after a kill)."""
    opened: list[ContentStore] = []

    def make(quota: int = 100 * 2**20, **more: int) -> ContentStore:
        if opened:
            kill(opened.pop())
        opened.append(ContentStore(tmp_path / "store", quota=quota, **{"spare": 0, **more}))
        return opened[0]

    yield make
    for store in opened:
        kill(store)


def read(path: Path) -> bytes:
    return path.read_bytes()


def files(store: ContentStore, part: str) -> list[str]:
    return sorted(path.name for path in (store.folder / part).iterdir())


# --- adding and reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_what_is_added_is_there_under_its_name(make: Callable[..., ContentStore], tmp_path: Path, size: int) -> None:
    store, data = make(), pattern(size)
    (tmp_path / "file").write_bytes(data)
    expected, blocks = root_of(data)
    assert store.add(tmp_path / "file") == store.add(data) == store.add(BytesIO(data)) == expected
    assert store.has(expected)
    assert store.size(expected) == size == store.used()
    assert read(store.open(expected)) == b"".join(store.chunks(expected)) == data
    assert files(store, "files") == [str(expected)]
    assert files(store, "tmp") == []
    for cid, block in blocks.items():
        assert store.read_block(expected, cid) == block
    again = make()
    assert again.has(expected)
    assert read(again.open(expected)) == data


def test_a_file_lies_on_disk_once_and_read_only(make: Callable[..., ContentStore]) -> None:
    store = make()
    path = store.open(store.add(DATA))
    assert path.stat().st_mode & 0o777 == 0o444
    assert sum(p.stat().st_size for p in store.folder.rglob("*") if p.is_file() and p.name in (str(ROOT), "tmp")) == len(DATA)


def test_what_is_not_there_is_missing(make: Callable[..., ContentStore]) -> None:
    store = make()
    for call in (store.size, store.open, lambda root: list(store.chunks(root)), lambda root: store.read_block(root, root)):
        with pytest.raises(Missing, match="fetch it or add it"):
            call(ROOT)
    store.add(DATA)
    with pytest.raises(Missing):
        store.read_block(ROOT, cid_of(Codec.RAW, b"no block of it"))


def test_two_processes_cannot_share_a_folder(make: Callable[..., ContentStore]) -> None:
    store = make()
    with pytest.raises(StoreError, match="another process"):
        ContentStore(store.folder, quota=1)


def test_a_file_above_the_stores_limit_is_refused(make: Callable[..., ContentStore]) -> None:
    store = make(max_file=CHUNK)
    with pytest.raises(StoreError, match="larger than this store takes"):
        store.add(DATA)
    assert files(store, "tmp") == files(store, "files") == []
    assert store.used() == 0


# --- kills ------------------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def _die(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("step", ["fsync", "set_mode", "replace", "sync_folder", "put"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_step_of_adding_leaves_all_or_nothing(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    store = make()
    with monkeypatch.context() as patch:
        owner = {"put": store._index, "sync_folder": private, "set_mode": private}.get(step, os)
        real = getattr(owner, step)

        def after(*args: object) -> None:
            real(*args)
            raise Killed

        patch.setattr(owner, step, after if when == "after" else _die)
        patch.setattr(Path, "unlink", lambda *a, **k: None)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            store.add(DATA)
    again = make()
    named = step in ("sync_folder", "put") or (step, when) == ("replace", "after")
    assert again.has(ROOT) == named
    assert files(again, "tmp") == []
    assert files(again, "files") == ([str(ROOT)] if named else [])
    assert again.add(DATA) == ROOT
    assert read(again.open(ROOT)) == DATA


def download(store: ContentStore, only: Callable[[int], bool] = lambda index: True) -> Downloads:
    """Fetch as the exchange does: nodes, then those leaves."""
    downloads = Downloads(store)
    found = downloads.resume(ROOT)
    held = dict(found.nodes)
    if ROOT not in held:
        downloads.put_node(ROOT, ROOT, BLOCKS[ROOT], len(DATA))
    for index, leaf in enumerate(LEAVES):
        if only(index) and leaf not in found.leaves:
            downloads.put_leaf(ROOT, BLOCKS[leaf], (index * CHUNK,), len(DATA))
    return downloads


@pytest.mark.parametrize("step", ["fsync", "set_mode", "replace", "sync_folder", "put"])
def test_a_kill_at_any_step_of_completing_is_finished_later(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = make()
    downloads = download(store)
    with monkeypatch.context() as patch:
        patch.setattr({"put": store._index, "sync_folder": private, "set_mode": private}.get(step, os), step, _die)
        with pytest.raises(Killed):
            downloads.complete(ROOT)
    again = make()
    if not again.has(ROOT):
        downloads = Downloads(again)
        assert downloads.resume(ROOT).leaves == set(LEAVES)
        downloads.complete(ROOT)
    assert read(again.open(ROOT)) == DATA
    assert files(again, "partial") == []


_CHILD = """
import sys
from pathlib import Path
from learningchain.p2p.content.store import ContentStore
from tests.unit.test_content_store import download
store = ContentStore(Path(sys.argv[1]), quota=10**9, spare=0)
download(store, only=lambda index: index < 3)
print("half", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_resumes_its_download(make: Callable[..., ContentStore], tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(tmp_path / "store")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"half\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    store = make()
    found = Downloads(store).resume(ROOT)
    assert found.leaves == set(LEAVES[:3])
    assert dict(found.nodes) == {ROOT: BLOCKS[ROOT]}


def test_a_torn_piece_of_a_download_is_loaded_again(make: Callable[..., ContentStore]) -> None:
    """A power cut may lose what was written and not synced: a resume trusts hashes alone."""
    store = make()
    download(store).release(ROOT)
    with store.partial_path(ROOT).open("r+b") as file:
        file.seek(CHUNK + 7)
        file.write(b"torn")
    assert Downloads(make()).resume(ROOT).leaves == set(LEAVES) - {LEAVES[1]}


def test_what_a_kill_left_lying_about_is_cleaned_up(make: Callable[..., ContentStore]) -> None:
    store = make()
    (store.folder / "tmp" / "123-456").write_bytes(b"half an addition")
    (store.partial_path(ROOT)).write_bytes(b"a download without an index entry")
    (store.path(ROOT)).write_bytes(b"a file that is not what its name says")
    store = make()
    assert [files(store, part) for part in ("tmp", "partial", "files")] == [[], [], []]


def test_a_file_that_somebody_deleted_is_missing_not_an_error_at_start(make: Callable[..., ContentStore]) -> None:
    store = make()
    store.path(store.add(DATA)).unlink()
    with pytest.raises(Missing, match="gone"):
        store.read_block(ROOT, LEAVES[0])
    assert not store.has(ROOT)
    store.path(store.add(DATA)).unlink()
    assert not make().has(ROOT)


READERS: dict[str, Callable[[ContentStore], object]] = {
    "open": lambda store: store.open(ROOT),
    "chunks": lambda store: list(store.chunks(ROOT)),
    "read_block": lambda store: store.read_block(ROOT, LEAVES[0]),
}
PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a link to the same bytes": lambda at, same: at.symlink_to(same),
    "a link to itself": lambda at, same: at.symlink_to(at),
    "a pipe": lambda at, same: os.mkfifo(at),
    "a folder": lambda at, same: at.mkdir(),
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("reader", READERS)
def test_what_stands_in_a_file_s_place_and_is_none_is_not_read(
    make: Callable[..., ContentStore], tmp_path: Path, reader: str, planted: str
) -> None:
    """Not even where the bytes behind it are the right ones: what is served is a file of the store's, or nothing."""
    store = make()
    store.add(DATA)
    (tmp_path / "same").write_bytes(DATA)
    store.path(ROOT).unlink()
    PLANTED[planted](store.path(ROOT), tmp_path / "same")
    with pytest.raises((StoreError, OSError)):
        READERS[reader](store)
    assert (tmp_path / "same").read_bytes() == DATA


# --- damage -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["open", "chunks", "read_block"])
def test_a_damaged_byte_is_never_handed_out_and_only_its_piece_is_loaded_again(
    make: Callable[..., ContentStore], reader: str
) -> None:
    store = make()
    store.add(DATA)
    flip(store.path(ROOT), 2 * CHUNK + 5)
    got = []
    with pytest.raises(Damaged, match="fetch it again"):
        if reader == "open":
            store.open(ROOT)
        elif reader == "chunks":
            for piece in store.chunks(ROOT):
                got.append(piece)
        else:
            store.read_block(ROOT, LEAVES[2])
    assert b"".join(got) == DATA[: 2 * CHUNK] * (reader == "chunks")
    assert not store.has(ROOT)
    with pytest.raises(Missing):
        store.read_block(ROOT, LEAVES[0])
    downloads = Downloads(store)
    found = downloads.resume(ROOT)
    assert found.leaves == set(LEAVES) - {LEAVES[2]}
    downloads.put_leaf(ROOT, BLOCKS[LEAVES[2]], (2 * CHUNK,), len(DATA))
    downloads.complete(ROOT)
    assert read(store.open(ROOT)) == DATA


def test_a_truncated_file_is_noticed_at_start(make: Callable[..., ContentStore]) -> None:
    store = make()
    path = store.path(store.add(DATA))
    path.chmod(0o600)
    os.truncate(path, 3 * CHUNK)
    store = make()
    assert not store.has(ROOT)
    assert Downloads(store).resume(ROOT).leaves == set(LEAVES[:3])


def test_damaged_content_can_be_added_again(make: Callable[..., ContentStore]) -> None:
    store = make()
    store.add(DATA)
    flip(store.path(ROOT), 0)
    with pytest.raises(Damaged):
        store.open(ROOT)
    assert store.add(DATA) == ROOT
    assert read(store.open(ROOT)) == DATA
    assert files(store, "partial") == []


def test_a_damaged_index_stops_the_start_and_says_what_to_do(make: Callable[..., ContentStore], tmp_path: Path) -> None:
    make().add(DATA)
    make().close()
    index = tmp_path / "store" / "index.sqlite"
    index.write_bytes(b"garbage" * 1000)
    with pytest.raises(IndexDamaged, match="move it"):
        make()
    index.unlink()
    store = make()
    assert store.has(ROOT), "the files are taken over"
    assert read(store.open(ROOT)) == DATA


def test_an_index_of_another_version_is_refused(make: Callable[..., ContentStore], tmp_path: Path) -> None:
    make().close()
    with sqlite3.connect(tmp_path / "store" / "index.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(IndexDamaged, match="a newer version of the program wrote it"):
        make()


# --- pins and room ----------------------------------------------------------------------------------------------------------------


def blob(mark: int, size: int = CHUNK) -> bytes:
    return bytes([mark]) * size


def test_unpinned_content_goes_least_recently_used_first(make: Callable[..., ContentStore]) -> None:
    store = make(quota=3 * CHUNK)
    a, b, c = (store.add(blob(i)) for i in range(3))
    store.open(a)
    d = store.add(blob(3))
    assert [store.has(cid) for cid in (a, b, c, d)] == [True, False, True, True]
    assert store.used() == 3 * CHUNK
    assert len(files(store, "files")) == 3


def test_pinned_content_stays_until_every_reason_is_gone(make: Callable[..., ContentStore]) -> None:
    store = make(quota=2 * CHUNK)
    a = store.add(blob(0), pin="job:1")
    store.pin(a, "job:2")
    store.pin(a, "job:2")
    store = make(quota=2 * CHUNK)
    assert store.reasons(a) == ["job:1", "job:2"]
    store.unpin(a, "job:1")
    for i in range(1, 4):
        store.add(blob(i))
    assert store.has(a)
    assert not store.remove(a)
    store.unpin(a, "job:2")
    store.unpin(a, "never set")
    assert not store.pinned(a)
    store.add(blob(8))
    store.add(blob(9))
    assert not store.has(a)


def test_the_room_for_what_stays_is_what_the_quota_leaves_beside_pins(make: Callable[..., ContentStore]) -> None:
    store = make(quota=10_000)
    mine, other = store.add(b"m" * 3_000, pin="user"), store.add(b"o" * 2_000, pin="user:a1b2")
    store.add(b"j" * 1_000, pin="username")
    store.add(b"l" * 500)
    assert store.room() == 4_000, "what is not pinned goes when room is needed"
    found = {(row.root, row.size, why) for row, why in store.pinned_for("user")}
    assert found == {(mine, 3_000, "user"), (other, 2_000, "user:a1b2")}
    assert [row.root for row, _ in store.pinned_for("user:a1b2")] == [other]
    store.unpin(mine, "user")
    assert store.room() == 7_000


def test_a_download_takes_its_room_at_the_start_and_is_not_collected_while_it_runs(make: Callable[..., ContentStore]) -> None:
    store = make(quota=len(DATA) + CHUNK)
    downloads = download(store, only=lambda index: index < 2)
    assert store.used() == len(DATA)
    with pytest.raises(StoreFull):
        store.add(blob(1, 2 * CHUNK))
    downloads.release(ROOT)
    store.add(blob(1, 2 * CHUNK))
    assert Downloads(store).resume(ROOT) == Found(False, 0, (), frozenset())
    assert files(store, "partial") == []


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync"])
def test_a_full_disk_during_a_download_is_said_and_the_download_goes_on_later(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = make()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreFull, match="full: free space"):
            download(store).complete(ROOT)
    assert not store.has(ROOT)
    store = make()
    downloads = download(store)
    downloads.complete(ROOT)
    assert read(store.open(ROOT)) == DATA


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MiB, where this user may mount one; otherwise one that reports and enforces no room."""
    at = tmp_path / "disk"
    at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(at)], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root; the cases above inject the same errors")
    yield at
    subprocess.run(["umount", "-l", str(at)], check=True)


def test_unpinned_content_gives_way_when_the_disk_runs_short(small_disk: Path) -> None:
    store = ContentStore(small_disk / "store", quota=10**9, spare=CHUNK)
    try:
        first = store.add(blob(1, 6 * CHUNK))
        second = store.add(blob(2, 10 * CHUNK))
        assert store.has(second)
        assert not store.has(first)
    finally:
        kill(store)
