"""`backup` and `restore`: what only this machine has, in one encrypted file, and what must not come back with it.

In the file: keystore (under its own encryption too), settings, the network's file, own names, the pairing with a signer, the work
database with the salts of open claims and votes and the keys of hidden data, and the models and losses that these open; callbacks
(what was told since the backup is told again, under the same id), and what inferences took of a day.

Never in it: the last-signed guard. An old one would let a validator sign again where it has signed since. A restored folder gets a
guard that knows that it forgot: the node signs nothing before it has heard from a quorum, and then only above every height at which
it may have signed (LC-NODE-30, 31; the lemma stands in `chain.node.double_sign_check`). Chain, content and the API's tokens are not
in it either: the first two come from the graph, and a token's count of what it spent must not be old.

    a line of magic, a line of JSON (how the key is derived), pieces: 4 bytes of length, ChaCha20-Poly1305 of up to PIECE bytes

The nonce of a piece is 7 bytes of the header, its number and whether it is the last: none can be left out, moved or cut off. Inside
is a tar whose entries are checked against a list of names.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta

from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import from_json
from learningchain.chain.storage import private
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.guard import Guard
from learningchain.client import config as configuration
from learningchain.client.keys import keystore
from learningchain.client.keys.keystore import Keystore, new_passphrase, normal_passphrase

MAGIC: Final = b"learningchain backup 1\n"
PIECE: Final = 1 << 16
MAX_HEADER: Final = 1_024
MAX_ENTRIES: Final = 1_000_000
MAX_SMALL: Final = 64 * 2**20
"""Of every entry but models and losses."""
SPARE: Final = 64 * 2**20
"""Bytes that a restore leaves free on the disk."""
_TAG: Final = 16
MANIFEST: Final = "manifest.json"
MAX_MANIFEST: Final = 65_536
_SINGLE: Final = ("keystore.json", "keystore-next.json", "config.toml", "genesis.json", "names.json", "signer.pair", "peer.leaf")
_WORK: Final = "work/work.db"
_DATABASES: Final = ("callbacks.db", "inferences.db")
_FOLDERS: Final = ("work/models", "work/losses")
_MAX_EXTENSION: Final = 64 * 2**10
"""Of a header that says more of the entry behind it: tarfile reads it whole."""
_NAME: Final = re.compile(r"work/(models|losses)(/[A-Za-z0-9_][A-Za-z0-9._-]{0,199}){1,4}", re.ASCII)
Progress = Callable[[str], None]


class BackupError(Exception):
    """What cannot be backed up or restored. The text says what, why and what to do."""


class _BackupHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`n`: scrypt's cost, bounded on reading as a keystore's."""

    n: Annotated[int, Meta(ge=2**14, le=2**20)]
    salt: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    nonce: Annotated[str, Meta(pattern="^[0-9a-f]{14}$")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`height`: the last block that was decided here then, `block` its id. `data`: the folder's path there. `kept`: open secrets by
    kind."""

    version: int
    created: int
    account: str
    chain_id: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
    height: Annotated[int, Meta(ge=0, le=2**48)]
    block: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
    data: str
    kept: dict[str, int]


@dataclass(frozen=True)
class Restored:
    """`silent`: the node signs nothing until it has found out up to where its key may have signed."""

    manifest: Manifest
    silent: bool


# --- the file ------------------------------------------------------------------------------------------------------------------


class _SealedPieces:
    def __init__(self, header: _BackupHeader, word: bytes) -> None:
        raw = msgspec.json.encode(header)
        self._about = MAGIC + raw
        try:
            key = Scrypt(salt=bytes.fromhex(header.salt), length=32, n=header.n, r=8, p=1).derive(word)
        except (MemoryError, OSError) as e:
            raise BackupError(f"The key of the backup cannot be derived: {str(e) or 'out of memory'}. It needs 128 MiB") from e
        self._box, self._prefix, self._count = ChaCha20Poly1305(key), bytes.fromhex(header.nonce), 0

    def _nonce(self, last: bool) -> bytes:
        nonce = self._prefix + self._count.to_bytes(4, "big") + bytes((last,))
        self._count += 1
        return nonce

    def seal(self, piece: bytes, last: bool) -> bytes:
        return self._box.encrypt(self._nonce(last), piece, self._about)

    def open(self, piece: bytes, last: bool) -> bytes:
        """Raises `InvalidTag`."""
        return self._box.decrypt(self._nonce(last), piece, self._about)


class _Sealing(io.RawIOBase):
    """What is written here goes encrypted into a file. `finish` it."""

    def __init__(self, out: BinaryIO, word: bytes) -> None:
        super().__init__()
        header = _BackupHeader(keystore.SCRYPT_N, secrets.token_hex(32), secrets.token_hex(7))
        self._out, self._box, self._held = out, _SealedPieces(header, word), bytearray()
        out.write(MAGIC + msgspec.json.encode(header) + b"\n")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        while len(self._held) > PIECE:
            self._put(bytes(self._held[:PIECE]), last=False)
            del self._held[:PIECE]
        return len(data)

    def finish(self) -> None:
        self._put(bytes(self._held), last=True)
        self._held.clear()

    def _put(self, piece: bytes, *, last: bool) -> None:
        sealed = self._box.seal(piece, last)
        self._out.write(len(sealed).to_bytes(4, "big") + sealed)


class _Opening(io.RawIOBase):
    """What is read here was encrypted into a file with this passphrase. Raises `BackupError` for everything else."""

    def __init__(self, file: BinaryIO, word: bytes) -> None:
        super().__init__()
        if file.readline(len(MAGIC)) != MAGIC:
            raise BackupError("This is no backup of this version. Name the file that learningchain backup wrote")
        try:
            header = msgspec.json.decode(file.readline(MAX_HEADER), type=_BackupHeader)
            if header.n & (header.n - 1):
                raise ValueError("scrypt's n is no power of two")
        except (ValueError, RecursionError) as problem:
            raise BackupError(f"The backup's header is damaged: {problem}. Use another copy") from None
        self._file, self._box, self._held, self._first, self._over = file, _SealedPieces(header, word), b"", True, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held and not self._over:
            self._next()
        taken = self._held[: len(buffer)]
        buffer[: len(taken)] = taken
        self._held = self._held[len(taken) :]
        return len(taken)

    def _next(self) -> None:
        size = int.from_bytes(self._file.read(4), "big")
        if not _TAG <= size <= PIECE + _TAG:
            raise BackupError("The backup is damaged or cut off. Use another copy")
        sealed = self._file.read(size)
        at, last = self._file.tell(), not self._file.read(1)
        self._file.seek(at)
        try:
            self._held = self._box.open(sealed, last)
        except InvalidTag:
            if self._first:
                raise BackupError(
                    "Wrong passphrase, or the backup is damaged: it does not open. Try again, or use another copy"
                ) from None
            raise BackupError("The backup is damaged or cut off. Use another copy") from None
        self._first, self._over = False, last


# --- making ----------------------------------------------------------------------------------------------------------------------


def make(data: Path, out: BinaryIO, passphrase: str, progress: Progress) -> Manifest:
    """Write a backup of the folder `data`, whose node may run. The passphrase is the keystore's, where there is one.

    Raises `BackupError`, `KeystoreError`, `ConfigError`, OSError.
    """
    account = _own_account(data, passphrase)
    word = new_passphrase(passphrase)
    chain_id, height, block = _chain(data)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=data) as room:  # mode 0700
        copy = Path(room) / "work.db"
        kept = _copy_database(data / _WORK, copy)
        manifest = Manifest(1, time.time_ns() // 1_000_000, account, chain_id, height, block, str(data.resolve()), kept)
        sealing = _Sealing(out, word)
        with tarfile.open(fileobj=sealing, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            _add_bytes(tar, MANIFEST, msgspec.json.encode(manifest))
            for name in _SINGLE:
                with contextlib.suppress(FileNotFoundError), private.reading(data / name) as file:
                    _add_bytes(tar, name, file.read(MAX_SMALL))
            if kept is not None and copy.exists():
                progress(f"open secrets: {sum(kept.values())}")
                _add_file(tar, _WORK, copy)
            for name in _DATABASES:
                other = Path(room) / name
                _copy(data / name, other)
                if other.exists():
                    progress(name)
                    _add_file(tar, name, other)
            for name, path in _files(data):
                with contextlib.suppress(FileNotFoundError):  # its job is over meanwhile
                    progress(f"{name} ({path.stat().st_size} bytes)")
                    _add_file(tar, name, path)
        sealing.finish()
    return manifest


def _own_account(data: Path, passphrase: str) -> str:
    if (data / "keystore.json").exists():
        return Keystore.open(data / "keystore.json", passphrase).address
    from learningchain.client.signer import pairing

    try:
        return pairing.read_pairing(data / pairing.FILE).account
    except FileNotFoundError:
        raise BackupError(f"{data} has no identity: there is nothing to back up. Name the node's folder with --data") from None


def _chain(data: Path) -> tuple[str, int, str]:
    """The network, and the last height that is decided here with its block; empty and 0 where there is none yet."""
    try:
        with private.reading(data / "genesis.json") as file:
            genesis = from_json(file.read())
    except FileNotFoundError:
        return "", 0, ""
    where = configuration.load(data).config.storage.url or str(data / "db")
    if "://" not in where and not os.path.exists(where):
        return genesis.chain_id.hex(), 0, ""
    try:
        store = BlockStore.open(where, chain_id=genesis.chain_id, create=False)
    except StorageError as fault:
        raise BackupError(f"The chain in {data} cannot be read: {fault}") from None
    try:
        head = store.head()
        return genesis.chain_id.hex(), head.height if head else 0, head.block_id.hex() if head and head.height else ""
    finally:
        store.close()


def _copy_database(path: Path, copy: Path) -> dict[str, int]:
    """A consistent copy of the work database; how many secrets of each kind are in it."""
    _copy(path, copy)
    if not copy.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(copy)) as there:
            return dict(Counter(str(kind) for (kind,) in there.execute("SELECT kind FROM secrets")))
    except sqlite3.Error as problem:
        raise BackupError(f"The work database {path} cannot be read ({problem}). Stop the node and try again") from None


def _copy(path: Path, copy: Path) -> None:
    """A consistent copy of a database while the node may write; none where there is none."""
    if not path.exists():
        return
    try:
        private.claim_database(path)
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as db, contextlib.closing(sqlite3.connect(copy)) as there:
            db.backup(there)
            there.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as problem:
        raise BackupError(f"The database {path} cannot be copied ({problem}). Stop the node and try again") from None


def _files(data: Path) -> Iterator[tuple[str, Path]]:
    for folder in _FOLDERS:
        for path in sorted((data / folder).rglob("*")):
            name = path.relative_to(data).as_posix()
            if _NAME.fullmatch(name) and path.is_file() and not path.is_symlink():
                yield name, path


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _add_bytes(tar: tarfile.TarFile, name: str, raw: bytes) -> None:
    tar.addfile(_entry(name, len(raw)), io.BytesIO(raw))


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with private.reading(path) as file:
        tar.addfile(_entry(name, os.fstat(file.fileno()).st_size), file)


# --- restoring -------------------------------------------------------------------------------------------------------------------


def restore(file: BinaryIO, data: Path, passphrase: str, *, never_signed: bool, progress: Progress) -> Restored:
    """Make the folder `data`, which must not be there or be empty, from a backup: whole or not at all.

    `never_signed`: the operator's word that this key has signed no block since the backup was made, here or anywhere.
    Raises `BackupError`, OSError.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BackupError(f"{data} is there already and is not overwritten. Choose another folder with --data")
    data.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{data.name[:80]}-", dir=data.parent))  # mode 0700
    try:
        manifest = _unpack(io.BufferedReader(_Opening(file, normal_passphrase(passphrase)), PIECE), room, progress)
        silent = _forget(room, manifest, never_signed)
        _trust(room, manifest)
        _move_paths(room / _WORK, Path(manifest.data), data.absolute())
        for folder, _, names in os.walk(room):
            for name in names:
                with contextlib.closing(os.fdopen(private.open_file(os.path.join(folder, name)), "rb")) as written:
                    os.fsync(written.fileno())
            private.sync_folder(folder)
        os.rename(room, data)
        private.sync_folder(data.parent)
    except BaseException:
        shutil.rmtree(room, ignore_errors=True)
        raise
    return Restored(manifest, silent)


class _PlainEntry(tarfile.TarInfo):
    """An entry whose bytes stand in the file as they are. A sparse one has a few, and its holes would fill a disk."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """What tarfile calls with each header before it reads what belongs to it."""
        small = self.type == tarfile.XHDTYPE and self.size <= _MAX_EXTENSION
        if not small and self.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise _strange(self)
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        if found.issparse():
            raise _strange(found)
        return found


def _unpack(stream: BinaryIO, room: Path, progress: Progress) -> Manifest:
    manifest: Manifest | None = None
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_PlainEntry) as tar:
            for count, entry in enumerate(tar):
                taken = tar.extractfile(entry)
                if taken is None or count > MAX_ENTRIES:
                    raise _strange(entry)
                if manifest is None:
                    manifest = _manifest(entry, taken)
                    continue
                _check(entry)
                progress(f"{entry.name} ({entry.size} bytes)")
                _write(room / entry.name, taken, entry.size)
    except tarfile.TarError as problem:
        raise BackupError(f"The backup is damaged: {problem}. Use another copy") from None
    stream.read()  # to the end: a file that was cut off behind its last entry is found out
    if manifest is None or not ((room / "keystore.json").exists() or (room / "signer.pair").exists()):
        raise BackupError("The backup holds no identity. Use another copy")
    return manifest


def _manifest(entry: tarfile.TarInfo, taken: Any) -> Manifest:
    try:
        if entry.name != MANIFEST:
            raise ValueError("it does not come first")
        if entry.size > MAX_MANIFEST:
            raise ValueError(f"it has {entry.size} bytes, at most {MAX_MANIFEST} are taken")
        found = msgspec.json.decode(taken.read(), type=Manifest)
        if found.version != 1:
            raise ValueError(f"it is of version {found.version}")
        return found
    except (ValueError, RecursionError) as problem:
        raise BackupError(f"The backup's manifest cannot be used: {problem}. Restore it with the program that made it") from None


def _strange(entry: tarfile.TarInfo) -> BackupError:
    return BackupError(f"The backup holds an entry that is none of its own: {entry.name[:80]!r}. It was not restored")


def _check(entry: tarfile.TarInfo) -> None:
    small = entry.name in _SINGLE
    if not small and entry.name not in (_WORK, *_DATABASES) and not _NAME.fullmatch(entry.name):
        raise _strange(entry)
    if small and entry.size > MAX_SMALL:
        raise BackupError(f"The backup's {entry.name} has {entry.size} bytes, at most {MAX_SMALL} are taken")


def _write(path: Path, taken: Any, size: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < size + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with private.writing(path) as out:
        shutil.copyfileobj(taken, out, PIECE)


def _forget(room: Path, manifest: Manifest, never_signed: bool) -> bool:
    """The guard of a folder that came back: it knows that it forgot. Where the key lies with a signer, so does the guard."""
    chain_id = _network(room) or bytes.fromhex(manifest.chain_id)
    if not chain_id or (room / "signer.pair").exists():
        return False
    after = 0 if never_signed else max(1, manifest.height)
    Guard.create(str(room / "guard"), chain_id=chain_id, after_height=after).close()
    return not never_signed


def _trust(room: Path, manifest: Manifest) -> None:
    """The folder comes back without its chain: of all histories that former validators could show, its own goes on from here."""
    if manifest.height and manifest.block:
        configuration.change(room, {"sync.trusted": f"{manifest.height}-{manifest.block}"})


def _network(room: Path) -> bytes:
    """The chain id of the genesis in it, empty where there is none. It counts, not the manifest's: a node that joined while its
    backup was being made has one and the manifest does not, and a folder without a guard would sign as if it never had."""
    try:
        with private.reading(room / "genesis.json") as file:
            return from_json(file.read()).chain_id
    except FileNotFoundError:
        return b""
    except Malformed as problem:
        raise BackupError(f"The backup's genesis.json is damaged: {problem}. Use another copy") from None


def _move_paths(database: Path, before: Path, now: Path) -> None:
    """Secrets name their files by path."""
    if not database.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
            for kind, key, path in db.execute("SELECT kind, key, path FROM secrets WHERE path != ''").fetchall():
                # By its words alone a path with .. in it lies wherever its writer wanted.
                plain = Path(os.path.normpath(path)) if isinstance(path, str) else before.parent
                if plain.is_relative_to(before):
                    moved = str(now / plain.relative_to(before))
                    db.execute("UPDATE secrets SET path = ? WHERE kind = ? AND key = ?", (moved, kind, key))
    except sqlite3.Error as problem:
        raise BackupError(f"The backup's work database is damaged ({problem}). Use another copy") from None
