"""The state's tree as LC-MRK-1 to LC-MRK-4 describe it, an object for every node: what the pages are compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from learningchain.chain.merkle import EMPTY, StateProof

_sha = hashlib.sha256


class Leaf:
    __slots__ = ("hash", "path", "value")

    def __init__(self, path: bytes, value: bytes) -> None:
        """`path` is SHA-256(key), `value` is SHA-256(value bytes)."""
        self.path, self.value = path, value
        self.hash: bytes = _sha(b"\x02" + path + value).digest()


class Fork:
    __slots__ = ("hash", "left", "right")

    def __init__(self, left: Node, right: Node) -> None:
        self.left, self.right = left, right
        self.hash: bytes = _sha(b"\x03" + (left.hash if left else EMPTY) + (right.hash if right else EMPTY)).digest()


Node = Leaf | Fork | None


def _bit(path: bytes, depth: int) -> int:
    return path[depth >> 3] >> (7 - (depth & 7)) & 1


def root_of(node: Node) -> bytes:
    return node.hash if node else EMPTY


def update(node: Node, changes: Sequence[tuple[bytes, bytes | None]]) -> Node:
    """LC-MRK-4: the tree with `changes`: (SHA-256(key), SHA-256(value) or None to remove), sorted by path, each path once."""
    return _update(node, changes, 0, len(changes), 0)


def _update(node: Node, changes: Sequence[tuple[bytes, bytes | None]], start: int, end: int, depth: int) -> Node:
    if start == end:
        return node
    if node is None or isinstance(node, Leaf):
        return _rebuild(node, changes, start, end, depth)
    middle = _split(changes, start, end, depth)
    return _join(
        node,
        _update(node.left, changes, start, middle, depth + 1),
        _update(node.right, changes, middle, end, depth + 1),
    )


def _split(changes: Sequence[tuple[bytes, bytes | None]], start: int, end: int, depth: int) -> int:
    """First index in [start, end) whose path has a one at `depth`; the range is sorted and equal before it."""
    while start < end:
        middle = (start + end) // 2
        if _bit(changes[middle][0], depth):
            end = middle
        else:
            start = middle + 1
    return start


def _join(old: Fork | None, left: Node, right: Node) -> Node:
    """A node over two children; a leaf that is alone moves up, so the shape is canonical."""
    if left is None and (right is None or isinstance(right, Leaf)):
        return right
    if right is None and isinstance(left, Leaf):
        return left
    if old is not None and old.left is left and old.right is right:
        return old
    return Fork(left, right)


def _rebuild(leaf: Leaf | None, changes: Sequence[tuple[bytes, bytes | None]], start: int, end: int, depth: int) -> Node:
    """Changes meet an empty place or a single leaf: build the subtree from the leaves that remain."""
    leaves = [Leaf(path, value) for path, value in changes[start:end] if value is not None]
    if leaf is not None and all(path != leaf.path for path, _ in changes[start:end]):
        leaves.append(leaf)
        leaves.sort(key=lambda x: x.path)
    return _build(leaves, 0, len(leaves), depth)


def _build(leaves: list[Leaf], start: int, end: int, depth: int) -> Node:
    if start == end:
        return None
    if end - start == 1:
        return leaves[start]
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if _bit(leaves[middle].path, depth):
            high = middle
        else:
            low = middle + 1
    return Fork(_build(leaves, start, low, depth + 1), _build(leaves, low, end, depth + 1))


def prove_key(node: Node, key: bytes) -> StateProof:
    path, siblings, depth = _sha(key).digest(), [], 0
    while isinstance(node, Fork):
        if _bit(path, depth):
            siblings.append(root_of(node.left))
            node = node.right
        else:
            siblings.append(root_of(node.right))
            node = node.left
        depth += 1
    other = b"" if node is None or node.path == path else node.path + node.value
    return StateProof(siblings, other)
