"""Two trees over SHA-256.

* A list tree (as RFC 6962) for transactions and receipts.
* A compact sparse tree for the state: a leaf sits at the shallowest place where its path, SHA-256(key), is alone. Its shape, and so
  its root, depends only on the contents. Here are its proofs; `chain.buckets` builds it.

LC-MRK-1. Tags: 0x00 list leaf, 0x01 list node, 0x02 state leaf, 0x03 state node. The empty tree has the root of 32 zero bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from learningchain.chain.codec import Wire
from learningchain.chain.crypto import short_sha256

EMPTY = bytes(32)
_sha, _short = hashlib.sha256, short_sha256


# --- lists --------------------------------------------------------------------------------------------------------------------


def list_root(items: Sequence[bytes]) -> bytes:
    """LC-MRK-2: root over the items' bytes; EMPTY for none."""
    if not items:
        return EMPTY
    level = [_sha(b"\x00" + item).digest() for item in items]
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        turn = iter(level)
        level = [_short(b"\x01" + left + right).digest() for left, right in zip(turn, turn, strict=False)] + odd
    return level[0]


class ListProof(Wire, frozen=True):
    """LC-MRK-3: that `item` stands at `index` of a list of `count` items; `path` lists the siblings from the leaf up."""

    index: int
    count: int
    path: list[bytes]


def prove_item(items: Sequence[bytes], index: int) -> ListProof:
    """Raises IndexError when there is no such item."""
    if not 0 <= index < len(items):
        raise IndexError(index)
    level = [_sha(b"\x00" + item).digest() for item in items]
    path, at = [], index
    while len(level) > 1:
        if at ^ 1 < len(level):
            path.append(level[at ^ 1])
        odd = level[-1:] if len(level) % 2 else []
        level = [_sha(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)] + odd
        at //= 2
    return ListProof(index, len(items), path)


def sides(proof: ListProof) -> list[tuple[bool, bytes]]:
    """LC-LIGHT-4: the same path without index and count: each sibling, and whether it stands on the left."""
    found, at, size, rest = [], proof.index, proof.count, iter(proof.path)
    while size > 1:
        if at ^ 1 < size:
            found.append((at & 1 == 1, next(rest)))
        at, size = at // 2, (size + 1) // 2
    return found


def follow_path(item: bytes, path: Sequence[tuple[bool, bytes]]) -> bytes:
    """LC-LIGHT-4: the root of a list that has this item there. `path`: whether the sibling stands on the left, and the sibling."""
    node = _sha(b"\x00" + item).digest()
    for left, sibling in path:
        node = _sha(b"\x01" + (sibling + node if left else node + sibling)).digest()
    return node


# --- the state ----------------------------------------------------------------------------------------------------------------


def _bit(path: bytes, depth: int) -> int:
    return path[depth >> 3] >> (7 - (depth & 7)) & 1


def _leaf(path: bytes, value: bytes) -> bytes:
    """Hash of a leaf: SHA-256 of its key, SHA-256 of its record."""
    return _sha(b"\x02" + path + value).digest()


class StateProof(Wire, frozen=True):
    """That a key has a value, or is absent.

    `siblings` from the root down. `other` is empty, or path and value hash (64 bytes) of the leaf that stands where the key
    would: with it, or with an empty place, absence is shown.
    """

    siblings: list[bytes]
    other: bytes


def check_key(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> bool:
    """LC-MRK-5, 6: true when `proof` shows that `key` has `value` (None: is absent) under `root`."""
    path = _sha(key).digest()
    if len(proof.siblings) > 256 or len(proof.other) not in (0, 64):
        return False
    if value is not None:
        if proof.other:
            return False
        node = _leaf(path, _sha(value).digest())
    elif proof.other:
        node = _leaf(proof.other[:32], proof.other[32:])
        if proof.other[:32] == path or any(_bit(path, d) != _bit(proof.other, d) for d in range(len(proof.siblings))):
            return False
    else:
        node = EMPTY
    for depth in range(len(proof.siblings) - 1, -1, -1):
        sibling = proof.siblings[depth]
        node = _sha(b"\x03" + (sibling + node if _bit(path, depth) else node + sibling)).digest()
    return node == root
