"""Boxes of `protocol_spec/private-input.md` and of `federation-files.md`, from RFC 7748 (X25519), 5869 (HKDF) and 8439.

On plain integers: nothing here is meant to be fast, or to keep a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from tests.conformance.checks import check, part, register

PRIME, LADDER = 2**255 - 19, 121_665
BASE_POINT = (9).to_bytes(32, "little")
LABELLED = register("LC-PRIV-2: a box is bound to its info")


@check("LC-PRIV-4")
def e_and_p_give_no_zeros(shared: bytes) -> bool:
    return any(shared)


@check("LC-PRIV-4")
def the_tag_fits(key: bytes, sealed: bytes) -> bool:
    return _tag(key, sealed[:-16]) == sealed[-16:]


# --- RFC 7748 -------------------------------------------------------------------------------------------------------------------


def x25519(private: bytes, point: bytes) -> bytes:
    k = int.from_bytes(private, "little") & ~(7 | 1 << 255) | 1 << 254
    u = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swapped = 1, 0, u, 1, 0
    for at in range(254, -1, -1):
        bit = k >> at & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % PRIME, b * b % PRIME, d * a % PRIME, c * b % PRIME
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, e * (aa + LADDER * e) % PRIME
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def public(private: bytes) -> bytes:
    return x25519(private, BASE_POINT)


# --- RFC 5869, 8439 -------------------------------------------------------------------------------------------------------------


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes."""
    extracted = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\1", hashlib.sha256).digest()


def _turned(a: int, by: int) -> int:
    return (a << by | a >> 32 - by) & 0xFFFFFFFF


def _block(key: bytes, counter: int) -> bytes:
    """Under a nonce of zeros."""
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter, 0, 0, 0]
    s = list(start)
    columns = [(at, at + 4, at + 8, at + 12) for at in range(4)]
    diagonals = [(at, (at + 1) % 4 + 4, (at + 2) % 4 + 8, (at + 3) % 4 + 12) for at in range(4)]
    for _ in range(10):
        for a, b, c, d in (*columns, *diagonals):
            for by, other in ((16, 12), (8, 7)):
                s[a] = (s[a] + s[b]) & 0xFFFFFFFF
                s[d] = _turned(s[d] ^ s[a], by)
                s[c] = (s[c] + s[d]) & 0xFFFFFFFF
                s[b] = _turned(s[b] ^ s[c], other)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(s, start, strict=True)))


def _crypted(key: bytes, text: bytes) -> bytes:
    stream = b"".join(_block(key, 1 + at) for at in range(-(-len(text) // 64)))
    return bytes(a ^ b for a, b in zip(text, stream, strict=False))


def _tag(key: bytes, ciphertext: bytes) -> bytes:
    """Without associated data."""
    one_time = _block(key, 0)
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    told = ciphertext + bytes(-len(ciphertext) % 16) + struct.pack("<QQ", 0, len(ciphertext))
    total = 0
    for at in range(0, len(told), 16):
        total = (total + int.from_bytes(told[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(one_time[16:32], "little")) % 2**128).to_bytes(16, "little")


def opened(key: bytes, sealed: bytes) -> bytes:
    """ChaCha20-Poly1305 under a nonce of zeros. Raises `Refused`."""
    the_tag_fits(key, sealed)
    return _crypted(key, sealed[:-16])


# --- LC-PRIV-2 ------------------------------------------------------------------------------------------------------------------


def open_box(box: bytes, private: bytes, label: str, context: bytes) -> bytes:
    """What it holds. Raises `Refused`."""
    e, sealed = box[:32], box[32:]
    shared = x25519(private, e)
    e_and_p_give_no_zeros(shared)
    info = label.encode() + e + public(private) + context if part(LABELLED) else b""
    return opened(hkdf(shared, b"", info), sealed)
