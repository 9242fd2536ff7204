"""Manifests of published data sets, after LC-JOB-60."""

from __future__ import annotations

from itertools import pairwise

from tests.conformance.checks import Refused
from tests.conformance.wire import decode_plain

MOST_FILES, MOST_BYTES, MOST_MANIFEST = 10_000, 2**40, 8_388_608
HEADS = (b"\x01\x55\x12\x20", b"\x01\x70\x12\x20")


def read(manifest: bytes) -> tuple[int, int] | None:
    """Bytes and number of the files that a manifest names; None where it is none."""
    try:
        files = decode_plain(manifest)
    except Refused:
        return None
    if len(manifest) > MOST_MANIFEST or type(files) is not list or not all(_is_file(one) for one in files):
        return None
    names, size = [one[0] for one in files], sum(one[1] for one in files)
    raw = [name.encode() for name in names]
    folders = {"/".join(parts[:n]) for parts in (name.split("/") for name in names) for n in range(1, len(parts))}
    ordered = all(a < b for a, b in pairwise(raw))
    if not ordered or folders & set(names) or not 1 <= len(files) <= MOST_FILES or not 1 <= size <= MOST_BYTES:
        return None
    return size, len(files)


def _is_file(one: object) -> bool:
    if type(one) is not list or [type(field) for field in one] != [str, int, bytes, bytes]:
        return False
    name, size, cid, digest = one
    return _is_name(name) and size >= 0 and len(cid) == 36 and cid[:4] in HEADS and len(digest) == 32


def _is_control(number: int) -> bool:
    unseen = (0, 0x1F), (0x7F, 0x9F), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069)
    return any(first <= number <= last for first, last in unseen)


def _is_name(name: str) -> bool:
    parts = name.split("/")
    sizes = [len(part.encode()) for part in parts]
    plain = all(part not in ("", ".", "..") and not any(_is_control(ord(sign)) for sign in part) for part in parts)
    return plain and len(parts) <= 14 and max(sizes) <= 255 and sum(sizes) + len(parts) <= 474
