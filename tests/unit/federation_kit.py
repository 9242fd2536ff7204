"""A round's arithmetic by another way: Python's integers, one coordinate at a time (protocol_spec/federation-files.md)."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Sequence
from math import isqrt

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace

PLACE = AttemptPlace(b"c" * 32, b"f" * 32, 3, 7)
BEACON = b"b" * 32
MODULUS = 2**32


def tagged(tag: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(bytes([len(tag)]) + tag + b"".join(parts)).digest()


def prg(key: bytes, size: int, first: int = 0) -> bytes:
    """By single blocks: AES of a counter."""
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    count = -(-size // 16)
    return b"".join(block.update((first + n).to_bytes(16, "big")) for n in range(count))[:size]


def u32(raw: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))


def signed(value: int) -> int:
    value %= MODULUS
    return value - MODULUS if value >= MODULUS // 2 else value


def coefficients(key: bytes, row: int, columns: int) -> list[int]:
    """LC-FILE-16"""
    found: list[int] = []
    for chunk in range(-(-columns // 8192)):
        raw = prg(key, 64 * 2048, chunk << 64)[row * 2048 : (row + 1) * 2048]
        found += [(0, 0, 1, -1)[raw[j // 4] >> 2 * (j % 4) & 3] for j in range(8192)]
    return found[:columns]


def dithered(key: bytes, number: int, direction: Sequence[int]) -> list[int]:
    """LC-FILE-20"""
    dither = struct.unpack(f"<{len(direction)}H", prg(tagged(b"lc/fed-dither", key, bytes([number])), 2 * len(direction)))
    length = isqrt(sum(v * v for v in direction))
    return [(v * 2**24 // length + e) // 2**16 for v, e in zip(direction, dither, strict=True)]


def dots(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def x_of(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def rng(seed: int = 0) -> random.Random:
    return random.Random(seed)
