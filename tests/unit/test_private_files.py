"""Files of the data folder: a link planted under any name that the node uses leads it nowhere, and what it makes is its owner's."""

from __future__ import annotations

import ast
import contextlib
import os
import socket
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from learningchain.chain.storage import private
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.disk import OsDisk
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.snapshot import make
from learningchain.chain.storage.wal import Wal
from learningchain.client import config
from learningchain.client.api.server import MIN_TOKEN
from learningchain.client.cli.common import WrongUsage
from learningchain.client.cli.network import read_genesis
from learningchain.client.config import ConfigError
from learningchain.client.daemon.faults import StartError
from learningchain.client.daemon.opening import api_token, load_genesis
from learningchain.client.keys.hidden import decrypt, encrypt
from learningchain.client.keys.keystore import Keystore, KeystoreError
from learningchain.client.sdk.http import read_token
from learningchain.client.sdk.types import UsageError
from learningchain.client.work.artifacts import Models
from learningchain.client.work.database import WorkDatabase, WorkDatabaseError
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.p2p.content.faults import StoreError
from learningchain.p2p.content.store import ContentStore
from tests.descriptors import below
from tests.unit.test_node_sync import chain_of
from tests.unit.test_storage_snapshot import CHAIN as SNAPSHOT_CHAIN
from tests.unit.test_storage_snapshot import empty, fill

CHAIN = bytes(range(32))
OWNER = bytes(range(20))
ROOT = Path(__file__).parents[2]
VICTIM = b"what the node's user holds dear\n"
MODEL = bytes(1_000)
MODEL_CID = cid_of(Codec.RAW, MODEL)


def write_book(folder: Path) -> None:
    book = AddressBook(folder / "peers.book")
    book.load()
    book.write(book.snapshot())


def make_snapshot(folder: Path) -> None:
    store = empty(folder / "db")
    fill(store, chain_of(2), 1, 1)
    store.close()
    assert make(str(folder / "db"), SNAPSHOT_CHAIN, str(folder / "snapshot.new")) == 1


def open_store(folder: Path) -> None:
    ContentStore(folder / "blobs", quota=10**6).close()


def download(folder: Path) -> None:
    store = ContentStore(folder / "blobs", quota=10**6)
    try:
        (store.folder / "partial").mkdir(exist_ok=True)
        plant(folder / "blobs/partial" / str(MODEL_CID), folder / ".victim")
        os.close(store.begin(MODEL_CID, len(MODEL)))
    finally:
        store.close()


def find_content(folder: Path) -> None:
    """A link among the contents: neither its target's mode nor its bytes change when the store finds that it is no such file."""
    ContentStore(folder / "blobs", quota=10**6).close()
    plant(folder / "blobs/files" / str(MODEL_CID), folder / ".victim")
    store = ContentStore(folder / "blobs", quota=10**6)
    assert not store.has(MODEL_CID)
    assert store.add(MODEL) == MODEL_CID
    plant(store.path(MODEL_CID), folder / ".victim")
    with pytest.raises(StoreError):
        store.open(MODEL_CID)
    store.close()


def adopt_model(folder: Path) -> None:
    (folder / "fresh").write_bytes(MODEL)
    (folder / "work").mkdir(exist_ok=True)
    models = Models(folder / "work", None)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", _other_disk)
        assert models._adopt(folder / "fresh", "run").size == len(MODEL)


def _other_disk(*_: object) -> None:
    raise OSError("another file system")


def open_hidden(folder: Path) -> None:
    (folder / "plain").write_bytes(MODEL)
    (folder / "sealed").unlink(missing_ok=True)
    digest = encrypt(folder / "plain", folder / "sealed", bytes(32), bytes(12))
    decrypt(folder / "sealed", folder / "eval", bytes(32), digest)
    assert (folder / "eval").read_bytes() == MODEL


FILES: dict[str, Callable[[Path], object]] = {
    "api.token.new": api_token,
    "api.token": api_token,
    "genesis.json": load_genesis,
    "keystore.json": lambda folder: Keystore.public(folder / "keystore.json"),
    "config.toml": config.load,
    "peers.book": write_book,
    "peers.book.new": write_book,
    "lock": lambda folder: DataDir.open(str(folder), create=False).close(),
    "wal": lambda folder: Wal.open(str(folder / "wal"), chain_id=CHAIN, create=True).close(),
    "wal.new": lambda folder: Wal.open(str(folder / "wal"), chain_id=CHAIN, create=True).close(),
    "guard": lambda folder: Guard.open(str(folder / "guard"), chain_id=CHAIN).close(),
    "guard.new": lambda folder: Guard.create(str(folder / "guard"), chain_id=CHAIN).close(),
    **{f"db{suffix}": lambda folder: empty(folder / "db").close() for suffix in ("", "-wal", "-shm", "-journal")},
    "snapshot.new": make_snapshot,
    "blobs/lock": open_store,
    **{f"blobs/index.sqlite{suffix}": open_store for suffix in ("", "-wal", "-shm", "-journal")},
    "blobs/partial/CID": download,
    "blobs/files/CID": find_content,
    **{
        f"work/book{suffix}": lambda folder: WorkDatabase(folder / "work/book", CHAIN, OWNER).close()
        for suffix in ("", "-wal", "-shm", "-journal")
    },
    "work/run.model": adopt_model,
    "eval.part": open_hidden,
}
REFUSALS = (OSError, StorageError, StoreError, StartError, KeystoreError, ConfigError, WorkDatabaseError, sqlite3.DatabaseError)
"""Where the link stands for a file that has to be there, the node says so; what it makes itself it makes anew."""


def plant(at: Path, target: Path, *, hard: bool = False) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.unlink(missing_ok=True)
    if hard:
        os.link(target, at)
    else:
        at.symlink_to(target)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".victim").write_bytes(VICTIM)
    (tmp_path / ".victim").chmod(0o640)
    return tmp_path


def untouched(folder: Path) -> None:
    assert (folder / ".victim").read_bytes() == VICTIM
    assert stat.S_IMODE((folder / ".victim").stat().st_mode) == 0o640
    assert sorted(p.name for p in folder.glob(".victim*")) == [".victim"], "SQLite leaves nothing beside it either"


@pytest.mark.parametrize("name", FILES)
def test_a_link_leads_the_node_to_no_other_file(folder: Path, name: str) -> None:
    plant(folder / name, folder / ".victim")
    if name.endswith((".new", ".part", ".model", "CID")) or name == "peers.book":  # made anew; a cache is put aside
        FILES[name](folder)
    else:
        with pytest.raises(REFUSALS, match="it is a link"):
            FILES[name](folder)
    untouched(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".new", ".part", ".model"))])
def test_nor_does_a_second_name_of_that_file(folder: Path, name: str) -> None:
    plant(folder / name, folder / ".victim", hard=True)
    FILES[name](folder)
    untouched(folder)


@pytest.mark.parametrize("name", [name for name in FILES if "/" not in name and "-" not in name])
def test_a_pipe_holds_nobody_up(folder: Path, name: str) -> None:
    """To open one for reading waits for a writer."""
    os.mkfifo(folder / name)
    try:
        FILES[name](folder)
    except REFUSALS as refusal:
        assert not name.endswith((".new", ".part")), refusal


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held, contextlib.chdir(path.parent):
        held.bind(path.name)


READ: dict[str, Callable[[Path], object]] = {
    "genesis.json": lambda folder: read_genesis(folder / "genesis.json", own=True),
    "api.token": lambda folder: read_token(folder / "api.token", own=True),
}
"""What commands read of a data folder, as the node does."""
NO_FILES: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "socket": make_socket,
    "folder": os.mkdir,
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}
OPENED = {f"{name} by the node": FILES[name] for name in ("config.toml", "genesis.json", "keystore.json", "api.token", "lock")}
OPENED |= {f"{name} by a command": read for name, read in READ.items()}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", OPENED)
def test_what_is_no_file_is_called_so(folder: Path, name: str, kind: str) -> None:
    """Without waiting for it, and without reading a device without end."""
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    NO_FILES[kind](folder / name.partition(" ")[0])
    with pytest.raises(
        (*REFUSALS, WrongUsage, UsageError), match="it is a link" if "link" in kind else "not a regular file|Is a directory"
    ):
        OPENED[name](folder)


def test_what_the_node_makes_is_its_owners_alone_from_the_first_moment(folder: Path) -> None:
    """Under the mask that lets everybody read: a database was readable until it was complete."""
    before = os.umask(0)
    modes: dict[str, int] = {}

    def note(path: Path) -> None:
        for file in [p for p in path.rglob("*") if p.is_file() and p.name != ".victim"]:
            modes[str(file.relative_to(folder))] = stat.S_IMODE(file.stat().st_mode)

    try:
        api_token(folder)
        Wal.open(str(folder / "wal"), chain_id=CHAIN, create=True).close()
        Guard.create(str(folder / "guard"), chain_id=CHAIN).close()
        Keystore.create(folder / "keystore.json", "a passphrase")
        DataDir.open(str(folder), create=False).close()
        write_book(folder)
        config.write(folder / "config.toml", "")
        work = WorkDatabase(folder / "work/book", CHAIN, OWNER)
        content = ContentStore(folder / "blobs", quota=10**6)
        blocks = BlockStore.open(str(folder / "db"), chain_id=CHAIN, create=True)
        note(folder)
        assert {"db", "db-wal", "db-shm", "work/book-wal", "blobs/index.sqlite-wal"} <= set(modes)
        for opened in (work, content, blocks):
            opened.close()
    finally:
        os.umask(before)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_a_database_is_nobody_elses_before_sqlite_sees_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = sqlite3.connect

    def connect(path: Path, **how: object) -> object:
        seen.append(stat.S_IMODE(os.stat(path).st_mode))
        return real(path, **how)  # type: ignore[call-overload]

    monkeypatch.setattr(sqlite3, "connect", connect)
    before = os.umask(0)
    try:
        WorkDatabase(folder / "book", CHAIN, OWNER).close()
        ContentStore(folder / "blobs", quota=10**6).close()
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]


def test_the_token_is_whole_durable_and_unreadable_to_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, bool]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append((os.fstat(fd).st_ino, (folder / "api.token").exists()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    before = os.umask(0)
    try:
        token = api_token(folder)
    finally:
        os.umask(before)
    found = (folder / "api.token").stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    # Its bytes before it has its name, then its name.
    assert synced == [(found.st_ino, False), (folder.stat().st_ino, True)]
    assert api_token(folder) == token
    assert len(token) >= MIN_TOKEN


def test_a_keystore_is_on_the_disk_before_it_has_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut in between would leave an identity, shown to others already, whose key nobody has."""
    steps: list[str] = []
    link, fsync = os.link, os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"), fsync(fd))
    )
    monkeypatch.setattr(os, "link", lambda *names: (steps.append("name"), link(*names)))
    Keystore.create(folder / "keystore.json", "a passphrase")
    assert steps == ["file", "name", "folder"]


def test_what_is_created_is_empty_and_what_is_opened_is_kept(folder: Path) -> None:
    path = folder / "file"
    private.replace(path, b"old")
    os.close(private.open_or_create(path))
    assert path.read_bytes() == b"old"
    with private.writing(path) as file:
        assert path.read_bytes() == b""
        file.write(b"new")
    with private.reading(path) as file:
        assert file.read() == b"new"
    with pytest.raises(FileNotFoundError):
        private.open_file(folder / "nothing")
    disk = OsDisk()
    disk.open(str(path), create=True).close()
    assert path.read_bytes() == b""


def test_a_name_that_is_planted_again_while_a_file_is_made_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink

    def replanted(path: Path) -> None:
        unlink(path)
        os.link(folder / ".victim", path)

    plant(folder / "new", folder / ".victim", hard=True)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(os, "unlink", replanted)
        with pytest.raises(FileExistsError):
            private.create(folder / "new")
    untouched(folder)


def test_what_replaces_a_file_is_on_the_disk_before_it_has_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []
    fsync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        found = os.fstat(fd)
        steps.append("folder" if stat.S_ISDIR(found.st_mode) else found.st_size)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append("name"), replace(*names)))
    private.replace(folder / "file", b"content")
    assert steps == [7, "name", "folder"]
    assert [path.name for path in folder.glob("file*")] == ["file"]


def test_nothing_is_held_open_of_what_was_looked_at_or_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for name in ("db", "db-wal", "db-shm", "db-journal"):
        (folder / name).write_bytes(b"")
    for _ in range(3):
        with pytest.raises(OSError, match="not a regular file"):
            private.open_file(folder / "pipe")
        with pytest.raises(IsADirectoryError):
            private.open_or_create(folder)
        private.set_mode(folder / "db", 0o640)
        private.claim_database(folder / "db")
        private.sync_folder(folder)
    assert below(folder) == []
    assert stat.S_IMODE((folder / "db").stat().st_mode) == 0o600


OPENERS = {"write_bytes", "write_text", "copyfile", "copy", "copy2", "touch", "connect"}
ELSEWHERE = {
    "chain/storage/server.py": "connections to a database server",
    # What a user names, not the data folder; every one of them by a name that the user typed.
    "client/cli/streams.py": "standard streams to /dev/null",
    "client/reading.py": "text files: passphrases, parameters, rows, a network's file, a token file, a transaction",
    "client/contracts/job/cli/build.py": "the base of images, where the user wants it",
    "client/contracts/job/cli/hidden.py": "a note where the user wants it, made exclusively",
    "client/contracts/job/sealing.py": "sealed data in a folder of its own",
    "client/contracts/job/cli/new.py": "a skeleton in a folder that the user names",
    "client/contracts/job/cli/export.py": "curves where the user wants them",
    "client/contracts/job/cli/mlflow.py": "a model that was saved where the user wants it",
    "client/contracts/job/cli/check.py": "a stranger's model in a folder of its own",
    "client/contracts/federation/offer.py": "an initial model, an image's archive, a schema",
    "client/contracts/prediction/roles/table.py": "a table",
    "client/contracts/prediction/roles/asking.py": "answers where the user wants them, and their journal beside them",
    "client/contracts/prediction/sdk.py": "rows on their way, in a folder of its own",
    "client/contracts/prediction/offering.py": "answers on their way, in a folder of its own",
    "client/contracts/federation/cli/deploying.py": "a schema on its way, in a folder of its own",
    "client/cli/data.py": "tables of a folder, held against a schema",
    "client/cli/backup.py": "a backup to restore",
    "client/cli/signer.py": "the guard of an earlier signer; its copy is made in that one place",
    "client/sdk/http.py": "uploads",
    "client/sdk/files.py": "downloads",
    "client/sdk/images.py": "an archive that is to be posted",
    # Files that others cannot name in advance (mkstemp), or that nobody writes.
    "client/api/files.py": "uploads in the spool, made by mkstemp",
    "client/contracts/federation/web/opening_pages.py": "a model in the content store, to look at its header",
    "client/keys/hidden.py": "sources that a user or the store names; the target is created exclusively",
    "p2p/content/store.py": "the source of an addition, which a user names; mkdir",
    "p2p/tls.py": "the TLS key, in memory or in a folder of its own",
    "client/signer/pairing.py": "a TLS key in a folder of its own",
    "client/node/process.py": "/proc/self/stat",
    "client/doctor/joined.py": "the folder of a machine, to see who holds it",
    "client/contracts/__init__.py": "entry points of installed distributions",
    "p2p/content/index.py": "a database that was claimed",
    "client/kept.py": "a database that was claimed",
    "client/keys/tokens.py": "a database that was claimed",
    "client/node/backup.py": "a database that was claimed, and its copy in a folder of its own",
    "chain/storage/private.py": "here",
    "chain/storage/blockstore.py": "connections of an engine whose database was claimed",
}


def test_every_file_is_opened_in_that_one_place() -> None:
    """A new file of the data folder that is opened in another way shows up here."""
    found = set()
    for room in ("client", "p2p", "chain/storage"):
        for path in (ROOT / room).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if any(name.startswith(known) for known in ELSEWHERE):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _opens(node):
                    found.add(f"{name}:{node.lineno}")
    assert found == set()


def _opens(call: ast.Call) -> bool:
    called = call.func
    if isinstance(called, ast.Name):
        return called.id == "open"
    if not isinstance(called, ast.Attribute):
        return False
    if called.attr == "open":
        mode = call.args[0] if call.args else None
        of_os = isinstance(called.value, ast.Name) and called.value.id == "os"
        return of_os or (isinstance(mode, ast.Constant) and mode.value in ("r", "rb", "w", "wb", "xb", "ab", "r+b"))
    return called.attr in OPENERS and not (isinstance(called.value, ast.Name) and called.value.id == "private")
