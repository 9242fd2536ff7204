"""Hashes, signatures, ids and addresses of `protocol_spec/identities.md`, on `ecdsa` and `hashlib` alone."""

from __future__ import annotations

import hashlib

import ecdsa  # type: ignore[import-untyped]
from ecdsa.util import sigdecode_string  # type: ignore[import-untyped]

from tests.conformance.wire import Refused, encode, need

ORDER: int = ecdsa.SECP256k1.order
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tagged(tag: str, *parts: bytes) -> bytes:
    """LC-ID-1"""
    return sha(bytes([len(tag)]) + tag.encode() + b"".join(parts))


def parse_key(key: bytes) -> ecdsa.VerifyingKey:
    """LC-ID-2: 33 bytes, compressed, on the curve."""
    need(len(key) == 33 and key[0] in (2, 3), "a compressed key of 33 bytes")
    try:
        return ecdsa.VerifyingKey.from_string(key, curve=ecdsa.SECP256k1, valid_encodings=("compressed",))
    except (ecdsa.errors.MalformedPointError, ValueError) as e:
        raise Refused(f"not a public key: {e}") from None


def check_signature(key: bytes, digest: bytes, signature: bytes) -> None:
    """LC-ID-4, 5"""
    need(len(signature) == 64 and len(digest) == 32, "64 bytes over a digest of 32")
    need(int.from_bytes(signature[32:], "big") <= ORDER // 2, "s lies in the lower half")
    verifier = parse_key(key)
    try:
        verifier.verify_digest(signature, digest, sigdecode=sigdecode_string)
    except (ecdsa.BadSignatureError, ValueError, AssertionError) as e:
        raise Refused(f"bad signature: {e}") from None


def identity(key: bytes) -> bytes:
    """LC-ID-3"""
    parse_key(key)
    return tagged("lc/id", key)[:20]


# --- addresses: LC-ID-6 -------------------------------------------------------------------------------------------------------


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top, check = check >> 25, ((check & (2**25 - 1)) << 5) ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                check ^= generator
    return check


_PREFIX = [3, 3, 0, 12, 3]
"""The bits of "lc" as BIP-173 expands them."""
_FINAL = 0x2BC830A3


def address(identity_: bytes) -> str:
    need(len(identity_) == 20, "an id has 20 bytes")
    bits = "".join(f"{byte:08b}" for byte in identity_)
    data = [int(bits[i : i + 5], 2) for i in range(0, 160, 5)]
    check = _polymod([*_PREFIX, *data, 0, 0, 0, 0, 0, 0]) ^ _FINAL
    data += [check >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return "lc1" + "".join(CHARSET[d] for d in data)


def parse_address(text: str) -> bytes:
    need(text.startswith("lc1") and len(text) == 41 and all(c in CHARSET for c in text[3:]), "lc1 and 38 characters")
    data = [CHARSET.index(c) for c in text[3:]]
    need(_polymod(_PREFIX + data) == _FINAL, "the checksum")
    return int("".join(f"{d:05b}" for d in data[:32]), 2).to_bytes(20, "big")


# --- sign-bytes: LC-ID-7 ------------------------------------------------------------------------------------------------------


def tx_digest(chain_id: bytes, body: bytes) -> bytes:
    return tagged("lc/tx", chain_id, body)


def vote_digest(chain_id: bytes, type_: int, height: int, round_: int, block_id: bytes) -> bytes:
    return tagged("lc/vote", chain_id, encode([type_, height, round_, block_id]))


def proposal_digest(chain_id: bytes, height: int, round_: int, pol_round: int, block_id: bytes) -> bytes:
    return tagged("lc/proposal", chain_id, encode([height, round_, pol_round, block_id]))
