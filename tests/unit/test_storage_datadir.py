"""The data folder: one node, one owner, enough room, and a clear word where not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from chain.storage.datadir import DataDir
from chain.storage.errors import DiskFull, FolderInUse, StorageFailed

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from chain.storage.datadir import DataDir
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


def test_a_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "node"
    DataDir.open(str(folder), create=True).close()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    data = DataDir.open(str(folder), create=False)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "lock").read_text() == f"{os.getpid()}\n"
    assert Path(data.blobs).is_dir() and data.db == str(folder / "db")
    with pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        DataDir.open(str(folder), create=False)
    data.close()


def test_a_folder_that_is_not_there_or_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="learningchain init"):
        DataDir.open(str(tmp_path / "no"), create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="not a folder"):
        DataDir.open(str(tmp_path / "file"), create=True)


def test_too_little_space_is_named(tmp_path: Path) -> None:
    data = DataDir.open(str(tmp_path / "node"), create=True)
    assert data.check_free(1) > 0
    with pytest.raises(DiskFull, match=r"MiB are free, a node needs"):
        data.check_free(2**60)
    data.close()


READ_ONLY = """
import os, sys
from chain.storage.blockstore import BlockStore
from chain.storage.datadir import DataDir
from chain.storage.errors import StorageFailed
from chain.storage.guard import Guard
from chain.storage.wal import Wal
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
