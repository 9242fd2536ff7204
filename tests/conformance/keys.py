"""Hashes, signatures, ids and addresses of `protocol_spec/identities.md`, on `ecdsa` and `hashlib` alone."""

from __future__ import annotations

import hashlib
import hmac
from functools import cache

import ecdsa  # type: ignore[import-untyped]
from ecdsa.util import sigdecode_string  # type: ignore[import-untyped]

from tests.conformance.checks import Refused, check
from tests.conformance.wire import encode

ORDER: int = ecdsa.SECP256k1.order
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tagged(tag: str, *parts: bytes) -> bytes:
    """LC-ID-1"""
    return sha(bytes([len(tag)]) + tag.encode() + b"".join(parts))


@check("LC-ID-2")
def a_key_has_33_bytes_and_is_compressed(key: bytes) -> bool:
    return len(key) == 33 and key[0] in (2, 3)


@check("LC-ID-2")
def a_key_is_a_point_of_the_curve(key: bytes) -> bool:
    return _point(key) is not None


@cache
def _point(key: bytes) -> ecdsa.VerifyingKey | None:
    """As the library takes it: uncompressed and hybrid forms, too."""
    try:
        return ecdsa.VerifyingKey.from_string(key, curve=ecdsa.SECP256k1)
    except (ecdsa.errors.MalformedPointError, ValueError):
        return None


def check_key(key: bytes) -> None:
    """LC-ID-2"""
    a_key_has_33_bytes_and_is_compressed(key)
    a_key_is_a_point_of_the_curve(key)


@check("LC-ID-4")
def a_signature_has_64_bytes_over_a_digest_of_32(digest: bytes, signature: bytes) -> bool:
    return len(signature) == 64 and len(digest) == 32


@check("LC-ID-5")
def s_lies_in_the_lower_half(signature: bytes) -> bool:
    return int.from_bytes(signature[32:64], "big") <= ORDER // 2


@check("LC-ID-4")
def the_signature_is_of_this_key_over_this_digest(key: bytes, digest: bytes, signature: bytes) -> bool:
    return _verified(key, digest, signature)


@cache
def _verified(key: bytes, digest: bytes, signature: bytes) -> bool:
    """Slow in plain Python: each is computed once. The library checks the range of r and s (LC-ID-5)."""
    point = _point(key)
    try:
        return point is not None and bool(point.verify_digest(signature, digest, sigdecode=sigdecode_string))
    except (ecdsa.BadSignatureError, ecdsa.util.MalformedSignature, ValueError, AssertionError):
        return False


def check_signature(key: bytes, digest: bytes, signature: bytes) -> None:
    """LC-ID-4, 5"""
    a_signature_has_64_bytes_over_a_digest_of_32(digest, signature)
    s_lies_in_the_lower_half(signature)
    check_key(key)
    the_signature_is_of_this_key_over_this_digest(key, digest, signature)


def is_signed(key: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        check_signature(key, digest, signature)
    except Refused:
        return False
    return True


def beacon_secret(beacon_key: bytes, chain_id: bytes, height: int) -> bytes:
    """LC-BLK-12"""
    return hmac.digest(beacon_key, b"lc/beacon-secret" + chain_id + height.to_bytes(8, "big"), "sha256")


def identity(key: bytes) -> bytes:
    """LC-ID-3"""
    check_key(key)
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
    bits = "".join(f"{byte:08b}" for byte in identity_)
    data = [int(bits[i : i + 5], 2) for i in range(0, 160, 5)]
    check_ = _polymod([*_PREFIX, *data, 0, 0, 0, 0, 0, 0]) ^ _FINAL
    data += [check_ >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return "lc1" + "".join(CHARSET[d] for d in data)


@check("LC-ID-6")
def an_address_begins_with_lc1(text: str) -> bool:
    return text.startswith("lc1")


@check("LC-ID-6")
def an_address_has_41_characters(text: str) -> bool:
    return len(text) == 41


@check("LC-ID-6")
def an_address_has_lower_case_characters_of_bech32_only(text: str) -> bool:
    return all(c in CHARSET for c in text[3:])


@check("LC-ID-6")
def the_checksum_of_an_address_is_that_of_bech32m(data: list[int]) -> bool:
    return _polymod(_PREFIX + data) == _FINAL


def parse_address(text: str) -> bytes:
    an_address_begins_with_lc1(text)
    an_address_has_41_characters(text)
    an_address_has_lower_case_characters_of_bech32_only(text)
    data = [max(0, CHARSET.find(c)) for c in text[3:]]
    the_checksum_of_an_address_is_that_of_bech32m(data)
    return int("".join(f"{d:05b}" for d in data[:32]), 2).to_bytes(20, "big")


# --- sign-bytes: LC-ID-7 ------------------------------------------------------------------------------------------------------


def tx_digest(chain_id: bytes, body: bytes) -> bytes:
    return tagged("lc/tx", chain_id, body)


def vote_digest(chain_id: bytes, type_: int, height: int, round_: int, block_id: bytes) -> bytes:
    return tagged("lc/vote", chain_id, encode([type_, height, round_, block_id]))


def proposal_digest(chain_id: bytes, height: int, round_: int, pol_round: int, block_id: bytes) -> bytes:
    return tagged("lc/proposal", chain_id, encode([height, round_, pol_round, block_id]))
