"""The data folder: one node, one owner, enough room, and a clear word where not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from learningchain.chain.storage.datadir import OWN, DataDir, take_folder
from learningchain.chain.storage.errors import DiskFull, FolderInUse, StorageFailed
from learningchain.chain.storage.wal import SEGMENT
from tests.descriptors import below

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from learningchain.chain.storage.datadir import OWN, DataDir
d = DataDir.open(sys.argv[1], create=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = str(tmp_path / "node")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    with pytest.raises(FolderInUse, match=rf"process {child.pid} holds it"):
        DataDir.open(folder, create=False)
    child.kill()
    child.communicate()
    DataDir.open(folder, create=False).close()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_folder_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "a" / "node"
    DataDir.open(str(folder), create=True).close()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(mode)
    data = DataDir.open(str(folder), create=False)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert Path(data.blobs).stat().st_mode & 0o777 == 0o700
    assert (folder / "lock").read_text() == f"{os.getpid()}\n"
    assert Path(data.blobs).is_dir() and data.db == str(folder / "db")
    with pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        DataDir.open(str(folder), create=False)
    data.close()


def test_a_new_folder_is_nobody_elses_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chmod", lambda *_: pytest.fail("others could enter until now"))
    DataDir.open(str(tmp_path / "node"), create=True).close()


def test_who_is_refused_the_folder_holds_nothing_of_it(tmp_path: Path) -> None:
    """Otherwise it would keep a node out that starts when the first has gone, for as long as it lives."""
    folder = str(tmp_path / "node")
    first = DataDir.open(folder, create=True)
    held = below(tmp_path)
    with pytest.raises(FolderInUse) as refused:
        DataDir.open(folder, create=False)
    assert below(tmp_path) == held != [], refused
    first.close()


def test_nothing_of_an_earlier_holders_number_is_left(tmp_path: Path) -> None:
    data = DataDir.open(str(tmp_path / "node"), create=True)
    data.close()
    lock = tmp_path / "node" / "lock"
    lock.write_text("12345678901234567890\n")
    data = DataDir.open(str(tmp_path / "node"), create=False)
    assert lock.read_text() == f"{os.getpid()}\n"
    data.close()


def test_a_folder_that_is_not_there_or_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="Run init first"):
        DataDir.open(str(tmp_path / "no"), create=False)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("file", "link"):
        with pytest.raises(StorageFailed, match="not a folder"):
            DataDir.open(str(tmp_path / name), create=True)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("file", "something else has that name"),
        ("file/below", "a file stands where a folder should be"),
        ("round/below", "Too many levels of symbolic links"),
        ("x" * 256, "the name is too long"),
        ("d/" * 2_000, "the name is too long"),
    ],
)
def test_a_place_where_no_folder_can_be_is_named_and_no_disk_is_blamed(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(StorageFailed) as told:
        take_folder(str(tmp_path / place))
    assert told.value.why == why and told.value.todo == "Name another folder, or move away what is there"


def test_too_little_space_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataDir.open(str(tmp_path / "node"), create=True)
    assert data.check_free(1) > 0
    free = 300 * 2**20
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert data.check_free(free) == free
    with pytest.raises(DiskFull, match=r"300 MiB are free, a node needs 400 MiB"):
        data.check_free(400 * 2**20)
    free = SEGMENT + 4_000 * 4_096  # a log, and what SQLite gathers before it moves it into the database
    with pytest.raises(DiskFull, match=r"a node needs"):
        data.check_free()
    data.close()


READ_ONLY = """
import os, sys
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.datadir import OWN, DataDir
from learningchain.chain.storage.errors import StorageFailed
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.wal import Wal
folder = sys.argv[1]
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
chain = bytes(range(32))
for use in (
    lambda: DataDir.open(folder, create=True),
    lambda: Wal.open(folder + "/wal", chain_id=chain, create=True),
    lambda: Guard.create(folder + "/guard", chain_id=chain),
    lambda: BlockStore.open(folder + "/db", chain_id=chain, create=True),
):
    try:
        use()
    except StorageFailed as e:
        print(e)
"""


def test_a_folder_without_write_permission_is_named_by_every_part() -> None:
    """As another user than root, whom no permission stops."""
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        folder = Path(above) / "node"
        folder.mkdir(mode=0o555)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert len(said) == 4, done.stderr
    assert all("permission" in line and "read and write access" in line for line in said)


def test_what_a_data_folder_holds_is_what_the_page_says() -> None:
    page = (ROOT / "docs/operating.md").read_text().partition("## The data folder")[2].partition("\n## ")[0]
    said = {name for row in re.findall(r"^\| (`.+?) \|", page, re.M) for name in re.findall(r"`([a-z.-]+)`", row)}
    assert said | {"lock", "keystore-next.json", "names.json"} == set(OWN)
