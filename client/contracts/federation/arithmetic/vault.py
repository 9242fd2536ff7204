"""The vault (LC-FILE-40 to LC-FILE-43): a member's own model, so that it comes back to it when its node is lost. Pure.

    "LCFV1" 0 0 0 || federation || member || r || salt || own key box || n, k || n times (holder, box of a share) || hidden file

The model lies under a fresh key as a hidden file does (LC-HIDDEN-1), so both ends may stream it. The key lies under one made from
the member's own secret; where the member names holders, also in shares of which k give it and fewer say nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from learningchain.client.keys.boxes import CannotOpen, CannotSeal, open_box, seal_box

MAGIC: Final = b"LCFV1\0\0\0"
KEY: Final = 32
LEAST_HOLDERS, MOST_HOLDERS = 4, 5
SHARE: Final = 1 + KEY
_BOX: Final = 32 + SHARE + 16
_FIXED: Final = len(MAGIC) + 32 + 20 + 4 + 32 + KEY + 16 + 2
_HOLDER: Final = 20 + _BOX
_OWN: Final = b"learningchain vault key 1"
_LABEL: Final = b"learningchain vault share 1"
_GIVEN: Final = b"learningchain vault share given 1"
HEAD: Final = 1_024
"""Bytes of a vault file that its head is within."""
Random = Callable[[int], bytes]
Derive = Callable[[bytes, bytes], Sequence[bytes]]
"""(salt, info) -> HKDF-SHA256 of each secret of the identity that is on this machine, 32 bytes each, that of the present key first.
So no secret leaves the room that keeps it."""


class BadVault(ValueError):
    """Not this member's vault file, or a secret, share or box that does not open it."""


class VaultPlace(NamedTuple):
    """Whose model it is: of a member of a federation after round `r`."""

    federation: bytes
    member: bytes
    r: int

    @property
    def raw(self) -> bytes:
        return self.federation + self.member + self.r.to_bytes(4, "big")


class VaultHead(NamedTuple):
    """What stands before the encrypted model."""

    salt: bytes
    own: bytes
    needed: int
    shares: dict[bytes, bytes]
    """The box of each holder."""
    size: int
    """Bytes of the head: the hidden file follows."""


# --- shares --------------------------------------------------------------------------------------------------------------------


def _table() -> tuple[bytes, bytes]:
    """Powers of 3 in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, and their logarithms."""
    powers, logarithms, value = bytearray(255), bytearray(256), 1
    for n in range(255):
        powers[n], logarithms[value] = value, n
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    return bytes(powers), bytes(logarithms)


_POWERS, _LOGARITHMS = _table()


def times(a: int, b: int) -> int:
    """LC-FILE-41: the product in GF(2^8)."""
    return _POWERS[(_LOGARITHMS[a] + _LOGARITHMS[b]) % 255] if a and b else 0


def split(key: bytes, holders: int, needed: int, rng: Random) -> list[bytes]:
    """LC-FILE-41: a share for each holder: its number from 1 on, and as many bytes as the key has."""
    if not 1 <= needed <= holders <= 255:
        raise ValueError(f"{needed} of {holders} shares cannot be")
    rows = [key, *(rng(len(key)) for _ in range(needed - 1))]
    return [bytes((x,)) + bytes(_value(coefficients, x) for coefficients in zip(*rows, strict=True)) for x in range(1, holders + 1)]


def _value(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = times(value, x) ^ coefficient
    return value


def join(shares: Sequence[bytes]) -> bytes:
    """LC-FILE-41: the key, of as many shares as it needs. Of fewer, or of wrong ones, another key. Raises BadVault."""
    numbers = [share[0] for share in shares if share]
    if len(numbers) != len(shares) or not numbers or 0 in numbers or len(set(numbers)) < len(numbers):
        raise BadVault("shares have numbers from 1 on, each its own")
    if len({len(share) for share in shares}) > 1:
        raise BadVault("shares of one key are as long as each other")
    weights = [_weight(x, numbers) for x in numbers]
    columns = zip(*(share[1:] for share in shares), strict=True)
    return bytes(_added(times(weight, value) for weight, value in zip(weights, column, strict=True)) for column in columns)


def _added(values: Iterable[int]) -> int:
    total = 0
    for value in values:
        total ^= value
    return total


def _weight(x: int, numbers: Sequence[int]) -> int:
    """Lagrange's, at 0: the product of y / (y - x)."""
    weight = 1
    for y in numbers:
        if y != x:
            weight = times(weight, _POWERS[(_LOGARITHMS[y] - _LOGARITHMS[x ^ y]) % 255])
    return weight


# --- the file ------------------------------------------------------------------------------------------------------------------


def of_secret(secret: bytes) -> Derive:
    """Of an identity that has one secret, 32 bytes."""
    return lambda salt, info: [HKDF(hashes.SHA256(), 32, salt, info).derive(secret)]


def make_head(place: VaultPlace, key: bytes, derive: Derive | None, holders: Mapping[bytes, bytes], rng: Random) -> bytes:
    """LC-FILE-42, 43. `key`: 32 fresh bytes, that of the hidden file that follows. `derive` None: the identity's secret is not on
    this machine, and shares alone give the key. `holders`: the box keys of those who get a share, none or four to five.
    Raises ValueError."""
    if derive is None and not holders:
        raise ValueError("nobody could open it: the identity's secret is not here, and no holders are named")
    if holders and not LEAST_HOLDERS <= len(holders) <= MOST_HOLDERS:
        raise ValueError(f"shares are for {LEAST_HOLDERS} to {MOST_HOLDERS} holders, not {len(holders)}")
    salt, needed = rng(32), len(holders) // 2 + 1 if holders else 0
    wrapping = derive(salt, _OWN + place.raw)[0] if derive is not None else b""
    own = ChaCha20Poly1305(wrapping).encrypt(bytes(12), key, None) if wrapping else rng(KEY + 16)
    shares = split(key, len(holders), needed, rng) if holders else []
    boxes = b"".join(
        holder + _share_box(place, holder, box_key, share, rng)
        for (holder, box_key), share in zip(sorted(holders.items()), shares, strict=True)
    )
    return MAGIC + place.raw + salt + own + bytes((len(holders), needed)) + boxes


def _share_box(place: VaultPlace, holder: bytes, box_key: bytes, share: bytes, rng: Random) -> bytes:
    try:
        return seal_box(share, box_key, rng(32), _LABEL, place.raw + holder)
    except CannotSeal:
        return rng(_BOX)


def place_of(raw: bytes, federation: bytes, member: bytes) -> VaultPlace:
    """Which round a file of this member is of, which its own head says. Raises BadVault."""
    if len(raw) < _FIXED or not raw.startswith(MAGIC + federation + member):
        raise BadVault("this is no vault file of that member and federation")
    at = len(MAGIC) + 52
    return VaultPlace(federation, member, int.from_bytes(raw[at : at + 4], "big"))


def read_vault(raw: bytes, place: VaultPlace) -> VaultHead:
    """LC-FILE-42: of the file's first bytes, 1,024 are enough. Raises BadVault."""
    if len(raw) < _FIXED or not raw.startswith(MAGIC + place.raw):
        raise BadVault("this is not the vault file of that member, federation and round")
    at = len(MAGIC) + len(place.raw)
    salt, own, (count, needed) = raw[at : at + 32], raw[at + 32 : _FIXED - 2], raw[_FIXED - 2 : _FIXED]
    size = _FIXED + count * _HOLDER
    if (count and not LEAST_HOLDERS <= count <= MOST_HOLDERS) or needed != (count // 2 + 1 if count else 0) or len(raw) < size:
        raise BadVault("the vault file has another number of holders than it may, or ends early")
    entries = [raw[start : start + _HOLDER] for start in range(_FIXED, size, _HOLDER)]
    shares = {entry[:20]: entry[20:] for entry in entries}
    if list(shares) != sorted(shares) or len(shares) < count:
        raise BadVault("the holders of a vault stand in the order of their ids, each once")
    return VaultHead(salt, own, needed, shares, size)


def own_key(head: VaultHead, place: VaultPlace, derive: Derive) -> bytes:
    """LC-FILE-42: the model's key, where a secret of this machine opens it. Raises BadVault."""
    for wrapping in derive(head.salt, _OWN + place.raw):
        with contextlib.suppress(InvalidTag):
            return ChaCha20Poly1305(wrapping).decrypt(bytes(12), head.own, None)
    raise BadVault("this identity's secret does not open the vault")


def own_share(head: VaultHead, place: VaultPlace, holder: bytes, private: bytes) -> bytes:
    """LC-FILE-43: what a holder keeps, to be given to the member alone. Raises BadVault."""
    if holder not in head.shares:
        raise BadVault("this identity holds no share of the vault")
    try:
        share = open_box(head.shares[holder], private, _LABEL, place.raw + holder)
    except CannotOpen as bad:
        raise BadVault(str(bad)) from None
    if len(share) != SHARE or share[0] != list(head.shares).index(holder) + 1:
        raise BadVault("the box holds no share of this holder")
    return share


def give_share(share: bytes, place: VaultPlace, holder: bytes, box_key: bytes, rng: Random) -> bytes:
    """LC-FILE-43: a holder's share for the box key that the member has now, 81 bytes."""
    try:
        return seal_box(share, box_key, rng(32), _GIVEN, place.raw + holder)
    except (CannotSeal, ValueError):
        return rng(_BOX)


def given_share(box: bytes, head: VaultHead, place: VaultPlace, holder: bytes, private: bytes) -> bytes:
    """LC-FILE-43: what a holder gave. Whether it is the right one shows when a key is made of it. Raises BadVault."""
    if holder not in head.shares:
        raise BadVault("this account holds no share of the vault")
    try:
        share = open_box(box, private, _GIVEN, place.raw + holder)
    except CannotOpen as bad:
        raise BadVault(str(bad)) from None
    if len(share) != SHARE or share[0] != list(head.shares).index(holder) + 1:
        raise BadVault("the box holds no share of this holder")
    return share


def keys_of(shares: Mapping[int, bytes], needed: int, newest: int) -> list[bytes]:
    """The keys that sets of so many shares give which have the newest: ten at most, of five holders. Wrong shares give wrong keys,
    so each is tried on the file."""
    others = [share for number, share in sorted(shares.items()) if number != newest]
    return [join([shares[newest], *some]) for some in combinations(others, needed - 1)]
