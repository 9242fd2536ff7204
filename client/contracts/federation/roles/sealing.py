"""The private key of an attempt at rest: sealed under a key that only the account's signature gives. Pure.

    signature of (chain, federation, attempt) --HKDF-SHA256--> key --ChaCha20-Poly1305--> 48 bytes in the book

The signature is deterministic (RFC 6979), so the same account opens it after a restart; it leaves this function nowhere.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from learningchain.chain.tags import Tag
from learningchain.client.work.machine import Recalled

SEALED: Final = 48
_AT_REST = Tag("lc/fed-at-rest", "keys of attempts at rest")
_INFO: Final = b"learningchain attempt key at rest 1"


def seal_key(known: Recalled, federation: bytes, attempt: int, private: bytes) -> bytes:
    """Empty where the account's key is not on this machine."""
    cipher = _cipher(known, federation, attempt)
    return b"" if cipher is None else cipher.encrypt(bytes(12), private, None)


def open_key(known: Recalled, federation: bytes, attempt: int, sealed: bytes) -> bytes:
    """The private key; empty where there is none, or the account has another key now."""
    cipher = _cipher(known, federation, attempt) if sealed else None
    try:
        return b"" if cipher is None else cipher.decrypt(bytes(12), sealed, None)
    except InvalidTag:
        return b""


def _cipher(known: Recalled, federation: bytes, attempt: int) -> ChaCha20Poly1305 | None:
    """For one attempt: each has one private key, so no nonce is needed."""
    if known.sign is None:
        return None
    signature = known.sign(_AT_REST.hash(known.chain_id, federation, attempt.to_bytes(8, "big"), known.me))
    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, None, _INFO).derive(signature))
