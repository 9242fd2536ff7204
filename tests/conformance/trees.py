"""The two Merkle trees of `protocol_spec/merkle.md`, in the plainest form: a root is computed from scratch."""

from __future__ import annotations

from tests.conformance.keys import sha
from tests.conformance.wire import LIST_PROOF, STATE_PROOF, decode, need

EMPTY = bytes(32)
MAX_PROOF_BYTES = 20_000


def list_root(items: list[bytes]) -> bytes:
    """LC-MRK-2, as RFC 6962 says it: split at the largest power of two below the count."""
    if not items:
        return EMPTY
    if len(items) == 1:
        return sha(b"\x00" + items[0])
    split = 1
    while split * 2 < len(items):
        split *= 2
    return sha(b"\x01" + list_root(items[:split]) + list_root(items[split:]))


def check_item(root: bytes, item: bytes, proof: bytes) -> None:
    """LC-MRK-3"""
    index, count, path = decode(LIST_PROOF, proof, MAX_PROOF_BYTES)
    need(0 <= index < count, "an index below the count")
    node, used = sha(b"\x00" + item), 0
    while count > 1:
        if index % 2 == 1 or index + 1 < count:
            need(used < len(path), "a longer path")
            node = sha(b"\x01" + path[used] + node) if index % 2 else sha(b"\x01" + node + path[used])
            used += 1
        index, count = index // 2, (count + 1) // 2
    need(used == len(path) and node == root, "the root")


def bit(path: bytes, depth: int) -> int:
    return path[depth // 8] >> (7 - depth % 8) & 1


def leaf(path: bytes, value_hash: bytes) -> bytes:
    return sha(b"\x02" + path + value_hash)


def state_root(records: dict[bytes, bytes]) -> bytes:
    """LC-MRK-4"""
    return _root(sorted((sha(key), sha(value)) for key, value in records.items()), 0)


def _root(leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaf(*leaves[0])
    left = [x for x in leaves if not bit(x[0], depth)]
    right = [x for x in leaves if bit(x[0], depth)]
    return sha(b"\x03" + _root(left, depth + 1) + _root(right, depth + 1))


def check_key(root: bytes, key: bytes, value: bytes | None, proof: bytes) -> None:
    """LC-MRK-5, 6; `value` None: the key is absent."""
    siblings, other = decode(STATE_PROOF, proof, MAX_PROOF_BYTES)
    need(len(siblings) <= 256 and len(other) in (0, 64), "a proof's bounds")
    path = sha(key)
    if value is not None:
        need(other == b"", "no other leaf")
        node = leaf(path, sha(value))
    elif other:
        need(other[:32] != path, "another leaf")
        need(all(bit(path, d) == bit(other, d) for d in range(len(siblings))), "a leaf on the key's way")
        node = leaf(other[:32], other[32:])
    else:
        node = EMPTY
    for depth in reversed(range(len(siblings))):
        pair = siblings[depth] + node if bit(path, depth) else node + siblings[depth]
        node = sha(b"\x03" + pair)
    need(node == root, "the root")
