"""Two trees over SHA-256.

* A list tree (as RFC 6962) for transactions and receipts.
* A compact sparse tree for the state: a leaf sits at the shallowest place where its path, SHA-256(key), is alone. Its shape, and so
  its root, depends only on the contents. Nodes are immutable and shared between versions: an update costs what it touches,
  and trying out a block costs nothing to undo.

LC-MRK-1. Tags: 0x00 list leaf, 0x01 list node, 0x02 state leaf, 0x03 state node. The empty tree has the root of 32 zero bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from chain.codec import Wire

EMPTY = bytes(32)
_sha = hashlib.sha256


# --- lists --------------------------------------------------------------------------------------------------------------------


def list_root(items: Sequence[bytes]) -> bytes:
    """LC-MRK-2: root over the items' bytes; EMPTY for none."""
    if not items:
        return EMPTY
    level = [_sha(b"\x00" + item).digest() for item in items]
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        turn = iter(level)
        level = [_sha(b"\x01" + left + right).digest() for left, right in zip(turn, turn, strict=False)] + odd
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


def check_item(root: bytes, item: bytes, proof: ListProof) -> bool:
    if not 0 <= proof.index < proof.count:
        return False
    node, at, size, rest = _sha(b"\x00" + item).digest(), proof.index, proof.count, list(proof.path)
    while size > 1:
        if at ^ 1 < size:
            if not rest:
                return False
            sibling = rest.pop(0)
            node = _sha(b"\x01" + (sibling + node if at & 1 else node + sibling)).digest()
        at, size = at // 2, (size + 1) // 2
    return not rest and node == root


# --- the state ----------------------------------------------------------------------------------------------------------------


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


class StateProof(Wire, frozen=True):
    """That a key has a value, or is absent.

    `siblings` from the root down. `other` is empty, or path and value hash (64 bytes) of the leaf that stands where the key
    would: with it, or with an empty place, absence is shown.
    """

    siblings: list[bytes]
    other: bytes


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


def check_key(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> bool:
    """LC-MRK-5, 6: true when `proof` shows that `key` has `value` (None: is absent) under `root`."""
    path = _sha(key).digest()
    if len(proof.siblings) > 256 or len(proof.other) not in (0, 64):
        return False
    if value is not None:
        if proof.other:
            return False
        node = Leaf(path, _sha(value).digest()).hash
    elif proof.other:
        node = Leaf(proof.other[:32], proof.other[32:]).hash
        if proof.other[:32] == path or any(_bit(path, d) != _bit(proof.other, d) for d in range(len(proof.siblings))):
            return False
    else:
        node = EMPTY
    for depth in range(len(proof.siblings) - 1, -1, -1):
        sibling = proof.siblings[depth]
        node = _sha(b"\x03" + (sibling + node if _bit(path, depth) else node + sibling)).digest()
    return node == root
