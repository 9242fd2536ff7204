"""Hashes with domain tags, secp256k1 signatures, identities.

Signatures are 64 bytes (r, s), low-s, over a 32-byte digest; public keys are 33 bytes, compressed. An identity's id is a hash of
its first public key and never changes; `address` shows it as bech32m `lc1…`.

Pure: keys are made from bytes that the caller supplies.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol

import coincurve
from coincurve._libsecp256k1 import ffi, lib

from learningchain.chain.errors import Malformed
from learningchain.chain.tags import Tag

ID_SIZE = 20
_ID = Tag("lc/id", "ids")
ZERO_HASH = bytes(32)
_CONTEXT = coincurve.context.GLOBAL_CONTEXT.ctx


class Hashed(Protocol):
    def digest(self) -> bytes: ...


def _own_sha256() -> Callable[[bytes], Hashed]:
    """The interpreter's own SHA-256 where it has one (the module's name depends on its version), OpenSSL's otherwise."""
    for name in ("_sha256", "_sha2"):
        with suppress(ImportError):
            return importlib.import_module(name).sha256  # type: ignore[no-any-return]
    return hashlib.sha256


short_sha256 = _own_sha256()
"""As `hashlib.sha256`, for inputs of up to about a hundred bytes: OpenSSL takes longer to be set up than to hash them."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


class SigningKey:
    """A secp256k1 private key. `secret` is 32 bytes; raises ValueError when it is no valid scalar."""

    __slots__ = ("_key", "public", "secret")

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.secret = secret
        self.public: bytes = self._key.public_key.format(compressed=True)

    def sign(self, digest: bytes) -> bytes:
        """LC-ID-4: sign a 32-byte digest: 64 bytes, deterministic (RFC 6979), low-s."""
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        return bytes(self._key.sign_recoverable(digest, hasher=None)[:64])


@lru_cache(maxsize=16384)
def _parsed(public: bytes) -> Any:
    """LC-ID-2. Parsing costs a square root: parsed keys are kept."""
    if len(public) != 33 or public[0] not in (2, 3):
        return None
    point = ffi.new("secp256k1_pubkey *")
    return point if lib.secp256k1_ec_pubkey_parse(_CONTEXT, point, public, 33) else None


def is_public_key(public: bytes) -> bool:
    return _parsed(public) is not None


def verify(public: bytes, digest: bytes, signature: bytes) -> bool:
    """LC-ID-4, 5: whether `public` (33 bytes) made `signature` (64 bytes, low-s) over `digest` (32 bytes). Never raises."""
    point = _parsed(public)
    if point is None or len(signature) != 64 or len(digest) != 32:
        return False
    parsed = ffi.new("secp256k1_ecdsa_signature *")
    if not lib.secp256k1_ecdsa_signature_parse_compact(_CONTEXT, parsed, signature):
        return False
    # libsecp256k1 refuses high-s signatures here, so a signature has one form only.
    return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, parsed, digest, point))


def account_id(public: bytes) -> bytes:
    """LC-ID-3: the id (20 bytes) of the identity whose first public key is `public`."""
    if not is_public_key(public):
        raise Malformed("not a compressed secp256k1 public key")
    return _ID.hash(public)[:ID_SIZE]


# --- bech32m (BIP-350), human-readable part "lc" -----------------------------------------------------------------------------

_HRP = "lc"
_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32M = 0x2BC830A3
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATORS):
            check ^= generator if (top >> i) & 1 else 0
    return check


_HRP_EXPANDED = [ord(c) >> 5 for c in _HRP] + [0] + [ord(c) & 31 for c in _HRP]


@lru_cache(maxsize=16384)
def address(identity: bytes) -> str:
    """LC-ID-6: `lc1…` for a 20-byte id (160 bits are exactly 32 characters of five bits)."""
    if len(identity) != ID_SIZE:
        raise ValueError(f"an id has {ID_SIZE} bytes")
    number = int.from_bytes(identity, "big")
    data = [(number >> shift) & 31 for shift in range(ID_SIZE * 8 - 5, -1, -5)]
    check = _polymod(_HRP_EXPANDED + data + [0] * 6) ^ _BECH32M
    return _HRP + "1" + "".join(_CHARSET[d] for d in data + [(check >> 5 * (5 - i)) & 31 for i in range(6)])


def parse_address(text: str) -> bytes:
    """LC-ID-6: the id behind `lc1…`. Raises `Malformed` with what is wrong."""
    if not text.startswith(_HRP + "1"):
        raise Malformed(f"an address starts with {_HRP}1")
    if len(text) != 3 + 38 or any(c not in _CHARSET for c in text[3:]):
        raise Malformed("an address is lc1 and 38 characters of lower-case bech32")
    data = [_CHARSET.index(c) for c in text[3:]]
    if _polymod(_HRP_EXPANDED + data) != _BECH32M:
        raise Malformed("the address has a typing mistake (its checksum does not fit)")
    number = 0
    for d in data[:-6]:
        number = number << 5 | d
    return number.to_bytes(ID_SIZE, "big")


LOW_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""LC-MEM-29: X25519 keys with which every secret is zero (RFC 7748, section 6.1): whoever seals for them seals for everybody.
X25519 leaves the highest bit of a key out (section 5): with it set, each of them is the same key in another spelling."""


def is_low_order(key: bytes) -> bool:
    """LC-MEM-29: whether it is an X25519 key (32 bytes) with which every secret is zero."""
    return key[:31] + bytes([key[31] & 0x7F]) in LOW_ORDER
