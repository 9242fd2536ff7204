"""What the vector makers share: names for keys, values as JSON, refused variants of an encoding."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.crypto import SigningKey, account_id


def key_of(name: str) -> SigningKey:
    """The test key of a name: its secret is SHA-256("vector " and the name)."""
    return SigningKey(hashlib.sha256(b"vector " + name.encode()).digest())


def id_of(name: str) -> bytes:
    return account_id(key_of(name).public)


EXACT = 2**53
"""Integers from here on are written as text: many readers of JSON round them."""


def shown(value: Any) -> Any:
    """A decoded value as JSON: bytes become {"hex": …}, integers that a reader could round {"int": "…"}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, int) and abs(value) >= EXACT:
        return {"int": str(value)}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value


def plain(record: Any) -> Any:
    """A record as plain lists, as a decoder without schema sees it."""
    return msgspec.msgpack.decode(encode(record))


def wider(raw: bytes) -> dict[str, bytes]:
    """Encodings of an array of fields that mean the same, or nearly, and are not canonical."""
    head, body = raw[0], raw[1:]
    return {
        "array head of three bytes": b"\xdc\x00" + bytes([head & 15]) + body,
        "array head of five bytes": b"\xdd\x00\x00\x00" + bytes([head & 15]) + body,
        "a byte behind the end": raw + b"\x00",
        "a byte missing": raw[:-1],
        "a field more": bytes([head + 1]) + body + b"\x00",
        "a field less": bytes([head - 1]) + body,
        "nothing": b"",
        "nil": b"\xc0",
        "the value inside a map": b"\x81\x00" + raw,
        "the value as an extension": b"\xc7" + bytes([len(raw) & 255]) + b"\x01" + raw,
    }
