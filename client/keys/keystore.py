"""The keystore: a node's identity in one encrypted file.

The file is JSON: the address and public key in clear, the 32-byte secp256k1 secret under ChaCha20-Poly1305 with a key that scrypt
makes of the passphrase. Everything in clear is authenticated with the secret, and a checksum tells a damaged file from a wrong
passphrase. An existing keystore is never overwritten by another identity's: a lost key is a lost identity with all its credits. A
changed passphrase replaces the file by a rename, after what is to stand there was opened once: a crash leaves the old or the new.

Only the composition root and the command line touch this module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta

from learningchain.chain.crypto import SigningKey, account_id, address, parse_address, sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.chain.storage.versions import other_version
from learningchain.client.reading import unmarked

VERSION: Final = 1
SCRYPT_N: Final = 2**17
"""RFC 7914 cost: 128 MiB and about a third of a second on one core (OWASP's recommendation for scrypt)."""
MAX_FILE: Final = 16_384
MIN_PASSPHRASE: Final = 8
MAX_PASSPHRASE: Final = 1_024
"""In bytes, after normalisation."""
_SECRET_AND_TAG: Final = 32 + 16


class KeystoreError(Exception):
    """The keystore cannot be made or opened. The text says what, why, and what to do."""


class WrongPassphrase(KeystoreError):
    """The file is whole, the passphrase does not open it."""


class _Kdf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on reading: a crafted file must cost its reader no more than 1 GiB and a few seconds, nor be weak unnoticed."""

    name: Literal["scrypt"]
    n: Annotated[int, Meta(ge=2**14, le=2**20)]
    r: Annotated[int, Meta(ge=8, le=8)]
    p: Annotated[int, Meta(ge=1, le=4)]
    salt: Annotated[str, Meta(min_length=64, max_length=64)]


class _Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Literal["chacha20-poly1305"]
    nonce: Annotated[str, Meta(min_length=24, max_length=24)]
    text: Annotated[str, Meta(min_length=2 * _SECRET_AND_TAG, max_length=2 * _SECRET_AND_TAG)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    address: str
    public_key: Annotated[str, Meta(min_length=66, max_length=66)]
    kdf: _Kdf
    cipher: _Box
    checksum: str = ""

    def header(self) -> bytes:
        """What is authenticated with the secret: all that stands in clear before it."""
        return msgspec.json.encode([self.version, self.address, self.public_key, self.kdf])

    def sum(self) -> str:
        return sha256(self.header() + msgspec.json.encode(self.cipher)).hex()


@dataclass(frozen=True)
class Identity:
    """An opened keystore. `beacon_key` (32 bytes) makes the secrets that this node commits to in its blocks."""

    key: SigningKey = field(repr=False)
    id: bytes
    beacon_key: bytes = field(repr=False)

    @property
    def address(self) -> str:
        return address(self.id)


@dataclass(frozen=True)
class Public:
    """What a keystore says without its passphrase."""

    id: bytes
    public_key: bytes

    @property
    def address(self) -> str:
        return address(self.id)


def beacon_key(secret: bytes) -> bytes:
    """HKDF-SHA256 of the identity's secret: recoverable after a crash, and tells nothing about the secret."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"lc/beacon-key").derive(secret)


def derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 of an identity's secret for another purpose, 32 bytes."""
    return HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(secret)


class Keystore:
    """Making, opening and looking at keystore files."""

    @staticmethod
    def create(path: Path, passphrase: str, entropy: bytes | None = None) -> Identity:
        """Make a new identity in a new file. `entropy` is the 32-byte secret; without it the system's randomness makes one.

        Raises `KeystoreError`: a file is there already, the passphrase is too short, the disk refused.
        """
        word = new_passphrase(passphrase)
        key = _new_key(entropy)
        own = account_id(key.public)
        _write_new(path, _sealed(key, own, word))
        return Identity(key, own, beacon_key(key.secret))

    @staticmethod
    def create_for(path: Path, own: bytes, passphrase: str) -> Identity:
        """A new key for an identity that there is already, in a new file. Raises as `create` does."""
        word, key = new_passphrase(passphrase), _new_key(None)
        _write_new(path, _sealed(key, own, word))
        return Identity(key, own, beacon_key(key.secret))

    @staticmethod
    def open(path: Path, passphrase: str, *, carried: bool = False) -> Identity:
        """The identity in `path`. Raises `WrongPassphrase`, or `KeystoreError`: missing, damaged, readable by others, unless it is
        `carried` here on a disk without modes: it is encrypted."""
        return _opened(_read(path, carried=carried), path, normal_passphrase(passphrase))

    @staticmethod
    def export(path: Path, passphrase: str, to: Path, under: str, *, carried: bool = False) -> Public:
        """A copy of the identity in the new file `to`, encrypted with the passphrase `under`. Raises as `create` and `open` do."""
        identity = Keystore.open(path, passphrase, carried=carried)
        _write_new(to, _sealed(identity.key, identity.id, new_passphrase(under)))
        return Public(identity.id, identity.key.public)

    @staticmethod
    def change_passphrase(path: Path, passphrase: str, new: str) -> Public:
        """Encrypt the keystore anew. Raises as `create` and `open` do; then, and after a crash, the file is what it was."""
        word = new_passphrase(new)
        identity = Keystore.open(path, passphrase)
        raw = _sealed(identity.key, identity.id, word)
        if _opened(_parse(path, raw), path, word).key.secret != identity.key.secret:
            raise KeystoreError("The new keystore does not hold the same key: nothing was changed. Check this machine's memory")
        _write(path, raw, os.replace)
        return Public(identity.id, identity.key.public)

    @staticmethod
    def public(path: Path, *, carried: bool = False) -> Public:
        """Address and public key, without the passphrase. Raises `KeystoreError`."""
        file = _read(path, carried=carried)
        return Public(parse_address(file.address), bytes.fromhex(file.public_key))


def new_passphrase(text: str) -> bytes:
    """A passphrase that is to protect something from now on, in its one form. Raises `KeystoreError` where it is too short."""
    word = normal_passphrase(text)
    if len(text) < MIN_PASSPHRASE:
        raise KeystoreError(
            f"The passphrase is too short: {len(text)} characters protect no credits. Choose at least {MIN_PASSPHRASE} characters"
        )
    return word


def _sealed(key: SigningKey, own: bytes, word: bytes) -> bytes:
    """The bytes of a keystore."""
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    kdf = _Kdf("scrypt", SCRYPT_N, 8, 1, salt.hex())
    empty = _File(VERSION, address(own), key.public.hex(), kdf, _Box("chacha20-poly1305", nonce.hex(), ""))
    text = ChaCha20Poly1305(_stretch(word, kdf)).encrypt(nonce, key.secret, empty.header())
    whole = msgspec.structs.replace(empty, cipher=_Box("chacha20-poly1305", nonce.hex(), text.hex()))
    whole = msgspec.structs.replace(whole, checksum=whole.sum())
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _opened(file: _File, path: Path, word: bytes) -> Identity:
    try:
        secret = ChaCha20Poly1305(_stretch(word, file.kdf)).decrypt(
            bytes.fromhex(file.cipher.nonce), bytes.fromhex(file.cipher.text), file.header()
        )
    except InvalidTag:
        raise WrongPassphrase(
            f"Wrong passphrase for {file.address}: it does not open {path}. Try again; nobody can recover a lost passphrase"
        ) from None
    except (MemoryError, OSError) as e:
        raise KeystoreError(f"The keystore {path} cannot be opened: {str(e) or 'out of memory'}. It needs 128 MiB of memory") from e
    key = SigningKey(secret)
    if key.public.hex() != file.public_key:
        raise _damaged(path, "its key is not the one it names")
    return Identity(key, parse_address(file.address), beacon_key(secret))


def normal_passphrase(passphrase: str) -> bytes:
    """One form of a passphrase, however the keyboard composes its characters. Raises `KeystoreError`."""
    try:
        word = unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        raise KeystoreError("The passphrase holds bytes that are no text. Type it anew, or save its file as UTF-8") from None
    if not 0 < len(word) <= MAX_PASSPHRASE:
        raise KeystoreError(f"A passphrase has 1 to {MAX_PASSPHRASE} bytes, this one has {len(word)}")
    return word


def _new_key(entropy: bytes | None) -> SigningKey:
    if entropy is not None:
        try:
            if len(entropy) != 32:
                raise ValueError("not 32 bytes")
            return SigningKey(entropy)
        except ValueError:
            raise KeystoreError("The given entropy is no valid secp256k1 secret: it must be 32 random bytes") from None
    while True:  # one value in 2^128 is no valid secret
        with contextlib.suppress(ValueError):
            return SigningKey(secrets.token_bytes(32))


def _stretch(word: bytes, kdf: _Kdf) -> bytes:
    return Scrypt(salt=bytes.fromhex(kdf.salt), length=32, n=kdf.n, r=kdf.r, p=kdf.p).derive(word)


def _damaged(path: Path, why: str) -> KeystoreError:
    return KeystoreError(f"The keystore {path} is damaged: {why}. Restore it from your backup")


def _read(path: Path, *, carried: bool = False) -> _File:
    """`carried`: it lies where somebody brought it, perhaps on a file system without modes."""
    try:
        with private.reading(path) as f:
            mode = os.fstat(f.fileno())
            if mode.st_mode & 0o077 and not carried:
                raise KeystoreError(
                    f"The keystore {path} may be read by other users (mode {stat.S_IMODE(mode.st_mode):04o}). Run: chmod 600 {path}"
                )
            raw = unmarked(f.read(MAX_FILE + 1))
    except FileNotFoundError:
        raise KeystoreError(f"There is no keystore {path}: this data folder has no identity yet. Run: learningchain init") from None
    except OSError as e:
        raise KeystoreError(f"The keystore {path} cannot be read: {e.strerror}. Check its owner and its folder") from e
    if len(raw) > MAX_FILE:
        raise _damaged(path, f"it has more than {MAX_FILE} bytes")
    return _parse(path, raw)


def _parse(path: Path, raw: bytes) -> _File:
    try:
        version = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("version")
        if version is not None and bytes(version) != str(VERSION).encode():
            shown = bytes(version)[:20]
            why, todo = other_version(int(shown) if shown.isdigit() else None, VERSION)
            raise KeystoreError(f"Cannot use the keystore {path}: {why}. {todo}")
        file = msgspec.json.decode(raw, type=_File)
        parse_address(file.address)
        for text in (file.kdf.salt, file.cipher.nonce, file.cipher.text, file.public_key):
            bytes.fromhex(text)
        if file.kdf.n & (file.kdf.n - 1):
            raise Malformed("scrypt's n is no power of two")
    except (msgspec.MsgspecError, ValueError, RecursionError) as e:
        raise _damaged(path, str(e)) from None
    if file.checksum != file.sum():
        raise _damaged(path, "its checksum does not fit")
    return file


def _write_new(path: Path, data: bytes) -> None:
    """A file of mode 0600 that is there whole or not at all, also after a power cut, and replaces nothing."""
    try:
        _write(path, data, private.name_new)  # fails where `path` exists, unlike a rename
    except FileExistsError:
        raise KeystoreError(
            f"There is a keystore already: {path}. It is never overwritten, for its key would be lost. "
            "Choose another data folder, or move the file away yourself"
        ) from None


def _write(path: Path, data: bytes, put: Callable[[str, Path], None]) -> None:
    """`put` gives a durable file of mode 0600 its name. Raises `KeystoreError`, and FileExistsError from `put`."""
    try:
        fd, temporary = tempfile.mkstemp(prefix=".keystore-", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(fd, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            put(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):  # a rename took it
                os.unlink(temporary)
        private.sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as e:
        hint = "Free some space" if e.errno in (errno.ENOSPC, errno.EDQUOT) else "Check the folder and its owner"
        raise KeystoreError(f"The keystore {path} cannot be written: {e.strerror}. {hint}") from e
