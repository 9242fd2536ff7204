"""The hashes of the specification a second time, for tests: the product makes a `chain.tags.Tag` for each use."""

from __future__ import annotations

import hashlib


def tagged(tag: bytes, *parts: bytes) -> bytes:
    """LC-ID-1"""
    return hashlib.sha256(bytes((len(tag),)) + tag + b"".join(parts)).digest()
