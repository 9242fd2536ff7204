"""The hidden file of jobs (LC-HIDDEN-1, 2, 3): ChaCha20-Poly1305 (RFC 8439) of the whole evaluation file under one key.

    file = nonce (12 bytes) || ciphertext (as long as the plaintext) || tag (16 bytes), no associated data

The posting names the file by its CID and commits to SHA-256(plaintext) and SHA-256(key), key of 32 bytes. A key is used for one
file. Files may be far larger than memory, so both directions stream; what they write is byte for byte what a one-shot AEAD writes.
Nothing here parses the plaintext.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.poly1305 import Poly1305

from learningchain.chain.storage import private

NONCE, TAG, KEY = 12, 16, 32
OVERHEAD = NONCE + TAG
_CHUNK = 1 << 20
_BLOCK = 64


class BadKey(Exception):
    """The key does not open the file, or opens something else than was posted."""


class _Mac:
    """Poly1305 as the AEAD uses it: over the padded ciphertext and the two lengths."""

    def __init__(self, key: bytes) -> None:
        self._mac, self._size = Poly1305(key), 0

    def update(self, data: bytes) -> None:
        self._mac.update(data)
        self._size += len(data)

    def tag(self) -> bytes:
        self._mac.update(bytes(-self._size % 16) + struct.pack("<QQ", 0, self._size))
        return self._mac.finalize()


def _start(key: bytes, nonce: bytes) -> tuple[CipherContext, _Mac]:
    """The key stream after its first block, and the authenticator that the first block keys (RFC 8439, 2.8)."""
    if len(key) != KEY or len(nonce) != NONCE:
        raise ValueError(f"the key has {KEY} bytes and the nonce {NONCE}")
    stream = Cipher(algorithms.ChaCha20(key, bytes(4) + nonce), None).encryptor()
    return stream, _Mac(stream.update(bytes(_BLOCK))[:32])


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        data = file.read(min(_CHUNK, size))
        if not data:
            raise BadKey("the encrypted file ends early")
        size -= len(data)
        yield data


def encrypt(source: Path, target: Path, key: bytes, nonce: bytes) -> bytes:
    """Write `source` encrypted to `target` and return SHA-256 of the plaintext. `nonce`: 12 random bytes."""
    stream, mac = _start(key, nonce)
    digest = hashlib.sha256()
    with source.open("rb") as plain, target.open("xb") as out:
        out.write(nonce)
        while data := plain.read(_CHUNK):
            digest.update(data)
            sealed = stream.update(data)
            mac.update(sealed)
            out.write(sealed)
        out.write(mac.tag())
        out.flush()
        os.fsync(out.fileno())
    return digest.digest()


def decrypt(source: Path, target: Path, key: bytes, plain_hash: bytes) -> None:
    """Write the plaintext of `source` to `target`, which appears only when tag and hash hold. Raises BadKey, OSError."""
    size = source.stat().st_size - OVERHEAD
    if size < 0 or len(key) != KEY:
        raise BadKey("the encrypted file is too short, or the key has not 32 bytes")
    with source.open("rb") as file:
        nonce = file.read(NONCE)
        _, mac = _start(key, nonce)
        for data in _pieces(file, size):
            mac.update(data)
        if not hmac.compare_digest(mac.tag(), file.read(TAG)):
            raise BadKey("the key does not open the file (its tag does not fit)")
        file.seek(NONCE)
        _write_plain(file, size, target, key, nonce, plain_hash)


def _write_plain(file: BinaryIO, size: int, target: Path, key: bytes, nonce: bytes, plain_hash: bytes) -> None:
    stream, _ = _start(key, nonce)
    digest = hashlib.sha256()
    part = target.with_name(target.name + ".part")
    try:
        with private.writing(part) as out:
            for data in _pieces(file, size):
                plain = stream.update(data)
                digest.update(plain)
                out.write(plain)
        if not hmac.compare_digest(digest.digest(), plain_hash):
            raise BadKey("the key opens other data than the posting committed to")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def seal(plain: bytes, key: bytes, nonce: bytes) -> bytes:
    """LC-HIDDEN-1, for what fits into memory: the file of a plaintext. `nonce`: 12 random bytes."""
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, None)


def unseal(file: bytes, key: bytes) -> bytes:
    """LC-HIDDEN-1, for what fits into memory: the plaintext of a file. Raises BadKey."""
    if len(file) < OVERHEAD or len(key) != KEY:
        raise BadKey("the encrypted file is too short, or the key has not 32 bytes")
    try:
        return ChaCha20Poly1305(key).decrypt(file[:NONCE], file[NONCE:], None)
    except InvalidTag:
        raise BadKey("the key does not open the file (its tag does not fit)") from None


def seal_pieces(pieces: Iterable[bytes], key: bytes, nonce: bytes) -> Iterator[bytes]:
    """LC-HIDDEN-1, of a plaintext of any size: the file, piece by piece. `nonce`: 12 random bytes."""
    stream, mac = _start(key, nonce)
    yield nonce
    for piece in pieces:
        sealed = stream.update(piece)
        mac.update(sealed)
        yield sealed
    yield mac.tag()


def is_key_of(file: memoryview, key: bytes) -> bool:
    """Whether the key opens the file: one pass over all of it."""
    if len(file) < OVERHEAD or len(key) != KEY:
        return False
    _, mac = _start(key, bytes(file[:NONCE]))
    for at in range(NONCE, len(file) - TAG, _CHUNK):
        mac.update(bytes(file[at : min(at + _CHUNK, len(file) - TAG)]))
    return hmac.compare_digest(mac.tag(), bytes(file[-TAG:]))


def unseal_pieces(file: memoryview, key: bytes) -> Iterator[bytes]:
    """LC-HIDDEN-1: the plaintext of a file that `is_key_of` holds of, piece by piece."""
    stream, _ = _start(key, bytes(file[:NONCE]))
    for at in range(NONCE, len(file) - TAG, _CHUNK):
        yield stream.update(bytes(file[at : min(at + _CHUNK, len(file) - TAG)]))
