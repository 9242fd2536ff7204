"""Boxes: a few bytes that one holder of an X25519 key reads, each under a fresh key of its sender. Pure.

    box = E || ChaCha20-Poly1305(plain), 48 bytes more than it holds; E the public key of a private one that is used once

The cipher's key is HKDF-SHA256, without salt, of X25519(E, P), its info a label, E, P and what the box is bound to: who reads it,
what for (LC-PRIV-2, LC-FILE-13, LC-FILE-40). The nonce is zeros, as no key is used twice.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

OVERHEAD = 48
_NONCE = bytes(12)


class CannotSeal(ValueError):
    """The key is a point of low order: X25519 gives zeros, which everybody knows."""


class CannotOpen(ValueError):
    """The box is not for this key, or not for this purpose, or was changed."""


def public_of(private: bytes) -> bytes:
    """Its public key, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal_box(plain: bytes, to: bytes, ephemeral: bytes, label: bytes, context: bytes) -> bytes:
    """`ephemeral`: a private key of 32 random bytes, used once. Raises CannotSeal."""
    own = X25519PrivateKey.from_private_bytes(ephemeral)
    public = own.public_key().public_bytes_raw()
    try:
        return public + _cipher(own, to, label + public + to + context).encrypt(_NONCE, plain, None)
    except ValueError:
        raise CannotSeal("nothing can be sealed to this key: it is a point of low order") from None


def open_box(box: bytes, private: bytes, label: bytes, context: bytes) -> bytes:
    """What it holds. Raises CannotOpen."""
    if len(box) < OVERHEAD:
        raise CannotOpen(f"a box has {OVERHEAD} bytes more than it holds")
    own = X25519PrivateKey.from_private_bytes(private)
    try:
        cipher = _cipher(own, box[:32], label + box[:32] + own.public_key().public_bytes_raw() + context)
        return cipher.decrypt(_NONCE, box[32:], None)
    except (InvalidTag, ValueError):
        raise CannotOpen("the box does not open") from None


def _cipher(own: X25519PrivateKey, other: bytes, info: bytes) -> ChaCha20Poly1305:
    """Raises ValueError where the shared secret is zeros."""
    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, None, info).derive(own.exchange(X25519PublicKey.from_public_bytes(other))))
