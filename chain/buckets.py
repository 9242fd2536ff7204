"""The state's tree in buckets: the same roots as `chain.merkle`'s compact sparse tree, without an object for every record.

The tree is cut at depth 16. Below it, all records whose path (SHA-256 of the key) starts with the same 16 bits are one *bucket*: a
string of bytes that holds the subtree with the hashes of all its nodes and the records themselves. Above it, a list of nodes: the
children of node i are 2i and 2i + 1, the root is 1, the subroots of the buckets are the last 65,536. So a record costs its bytes
and about a hundred more, a bucket is read from a database as it stands, and no bucket has to be hashed again when a node starts.

    bucket   = "" | leaf | fork
    leaf   = 0x02, hash (32), length of the key (1), key, value
    fork   = 0x03, hash (32), length of the left part (4), left part, right part
    node   = "" | 0x02, hash of the only leaf beneath it | 0x03, hash

Buckets never change: an update makes new ones, and tells which nodes above them become what.

A bucket is one string, which a change copies. Who tries long enough fills one bucket: with more than `CHUNK` bytes it is a
`Split`, a node whose two parts are buckets of the next depth, so that a change copies one small part and shares the others. In a
database it is one string again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence

from learningchain.chain.crypto import short_sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.merkle import EMPTY, StateProof

DEPTH = 16
BUCKETS = 1 << DEPTH
LEAF, FORK = 2, 3
MAX_KEY = 255
SHORT = 120
"""Bytes of a record from which on OpenSSL hashes it sooner."""
_LEAF, _FORK = b"\x02", b"\x03"
_HASH = SUBROOT_BYTES = 33
"""Where a node's hash ends; it starts at 1."""
_BODY = 37
"""Where the left part of a fork starts."""
_sha, _short = hashlib.sha256, short_sha256
_length = struct.Struct(">I").unpack_from

CHUNK = 32_768
"""Bytes up to which a bucket, or a part of one, is one string."""


class Split:
    """A fork of more than `CHUNK` bytes. It never changes."""

    __slots__ = ("left", "right", "size", "subroot")

    def __init__(self, digest: bytes, left: Bucket, right: Bucket) -> None:
        self.subroot, self.left, self.right = _FORK + digest, left, right
        self.size = _BODY + len(left) + len(right)

    def __len__(self) -> int:
        return self.size


Bucket = bytes | Split
Change = tuple[bytes, bytes, bytes | None]
"""(path, key, encoded record or None to remove it)"""


def number_of(path: bytes) -> int:
    """The bucket of a path."""
    return path[0] << 8 | path[1]


# --- a bucket -------------------------------------------------------------------------------------------------------------------


def leaf(path: bytes, key: bytes, value: bytes) -> bytes:
    inner = _short(value) if len(value) < SHORT else _sha(value)
    return b"".join((_LEAF, _short(_LEAF + path + inner.digest()).digest(), len(key).to_bytes(1, "big"), key, value))


def _fork(left: bytes, right: bytes) -> bytes:
    """A leaf that is alone moves up, so the shape is canonical."""
    if not left and (not right or right[0] == LEAF):
        return right
    if not right and left[0] == LEAF:
        return left
    digest = _short(_FORK + (left[1:_HASH] or EMPTY) + (right[1:_HASH] or EMPTY)).digest()
    return b"".join((_FORK, digest, len(left).to_bytes(4, "big"), left, right))


def _bit(path: bytes, depth: int) -> int:
    return path[depth >> 3] >> (7 - (depth & 7)) & 1


def _split(changes: Sequence[Change], start: int, end: int, depth: int) -> int:
    """First index in [start, end) whose path has a one at `depth`; the range is sorted and equal before it."""
    while start < end:
        middle = (start + end) // 2
        if _bit(changes[middle][0], depth):
            end = middle
        else:
            start = middle + 1
    return start


def split(bucket: bytes) -> Bucket:
    """A bucket as it is held: in parts where it is large. Raises `Malformed`."""
    return _split_at(bucket, 0, len(bucket)) if len(bucket) > CHUNK else bucket


def _split_at(bucket: bytes, at: int, end: int) -> Bucket:
    if end - at <= CHUNK or bucket[at] != FORK:
        return bucket[at:end]
    cut = at + _BODY + int.from_bytes(bucket[at + _HASH : at + _BODY], "big")
    if cut > end:
        raise Malformed("a bucket of the state is cut off")
    return Split(bucket[at + 1 : at + _HASH], _split_at(bucket, at + _BODY, cut), _split_at(bucket, cut, end))


def whole(bucket: Bucket) -> bytes:
    """A bucket as one string."""
    if isinstance(bucket, bytes):
        return bucket
    parts: list[bytes] = []
    waiting: list[Bucket] = [bucket]
    while waiting:
        one = waiting.pop()
        if isinstance(one, bytes):
            parts.append(one)
        else:
            parts += (one.subroot, len(one.left).to_bytes(4, "big"))
            waiting += (one.right, one.left)
    return b"".join(parts)


def update(bucket: Bucket, changes: Sequence[Change]) -> Bucket:
    """LC-MRK-4: the bucket with `changes`, sorted by path, each path once and all of this bucket."""
    if len(changes) == 1:
        return update_one(bucket, changes[0])
    if len(bucket) > CHUNK:
        for change in changes:
            bucket = update_one(bucket, change)
        return bucket
    return split(_update(whole(bucket), changes, 0, len(changes), DEPTH))


_Fork = tuple[int, int, int, int]
"""A fork on the way to a record: where it begins, where its left part ends, where it ends, and the bit that leads on."""


def _down(bucket: bytes, path: bytes, depth: int = DEPTH) -> tuple[int, int, list[_Fork]]:
    """Begin and end of what stands where the path leads, a leaf or nothing, and the forks above it. Raises `Malformed`."""
    at, end = 0, len(bucket)
    forks = []
    try:
        while at < end and bucket[at] == FORK:
            cut = at + _BODY + _length(bucket, at + _HASH)[0]
            if path[depth >> 3] >> (7 - (depth & 7)) & 1:
                forks.append((at, cut, end, 1))
                at = cut
            else:
                forks.append((at, cut, end, 0))
                at, end = at + _BODY, cut
            depth += 1
    except (struct.error, IndexError):
        raise Malformed("a bucket of the state is cut off") from None
    return at, end, forks


def update_one(bucket: Bucket, change: Change) -> Bucket:
    """What most blocks do to most buckets: straight down to the one place, and up again. The same bucket where nothing changes.

    The hashes on the way are not proven here: whoever read the record did. Where they lie, the root is not that of the others.
    """
    if isinstance(bucket, bytes) and len(bucket) <= CHUNK:
        made = _update_string(bucket, change, DEPTH)
        return made if len(made) <= CHUNK else split(made)
    held = split(bucket) if isinstance(bucket, bytes) else bucket
    changed = _update_split(held, change, DEPTH)
    return bucket if changed is held else changed


def _update_split(bucket: Bucket, change: Change, depth: int) -> Bucket:
    """A bucket, or a part of one at `depth`, of any size: what is not on the way to the record is shared."""
    if isinstance(bucket, bytes):  # short, or a single record
        made = _update_string(bucket, change, depth)
        return bucket if made is bucket else split(made)
    left, right = bucket.left, bucket.right
    if _bit(change[0], depth):
        part = _update_split(right, change, depth + 1)
        return bucket if part is right else _fork_of(left, part)
    part = _update_split(left, change, depth + 1)
    return bucket if part is left else _fork_of(part, right)


def _fork_of(left: Bucket, right: Bucket) -> Bucket:
    """As `_fork`, of parts of any size."""
    if isinstance(left, bytes) and isinstance(right, bytes) and _BODY + len(left) + len(right) <= CHUNK:
        return _fork(left, right)
    if not left and isinstance(right, bytes) and right[0] == LEAF:
        return right
    if not right and isinstance(left, bytes) and left[0] == LEAF:
        return left
    return Split(_short(_FORK + (subroot_of(left)[1:] or EMPTY) + (subroot_of(right)[1:] or EMPTY)).digest(), left, right)


def _update_string(bucket: bytes, change: Change, depth: int) -> bytes:
    path, key, value = change
    at, end, forks = _down(bucket, path, depth)
    old = bucket[at:end]
    node = _at_end(old, path, key, value, depth + len(forks))
    if node == old:
        return bucket
    if not node:  # forks above it may have to go
        return _update(bucket, [change], 0, 1, depth)
    out = bytearray(bucket)
    out[at:end] = node
    more, digest = len(node) - len(old), node[1:_HASH]
    forks.reverse()
    for start, cut, last, right in forks:
        body = start + _BODY
        if right:
            digest = _short(_FORK + (bucket[body + 1 : body + _HASH] if body < cut else EMPTY) + digest).digest()
        else:
            digest = _short(_FORK + digest + (bucket[cut + 1 : cut + _HASH] if cut < last else EMPTY)).digest()
            if more:
                out[start + _HASH : body] = (cut - body + more).to_bytes(4, "big")
        out[start + 1 : start + _HASH] = digest
    return bytes(out)


def _at_end(old: bytes, path: bytes, key: bytes, value: bytes | None, depth: int) -> bytes:
    """A change meets an empty place or a leaf."""
    new = b"" if value is None else leaf(path, key, value)
    if not old or key_of(old) == key:
        return new
    if not new:
        return old
    return _pair(_path_of(old), old, path, new, depth)


def _pair(path: bytes, one: bytes, other_path: bytes, other: bytes, depth: int) -> bytes:
    """The subtree of two leaves at `depth`: a fork where their paths part, and one above it for every bit that they share."""
    parted = 256 - (int.from_bytes(path, "big") ^ int.from_bytes(other_path, "big")).bit_length()
    node = _fork(other, one) if _bit(path, parted) else _fork(one, other)
    for above in range(parted - 1, depth - 1, -1):
        node = _fork(b"", node) if _bit(path, above) else _fork(node, b"")
    return node


def _update(bucket: bytes, changes: Sequence[Change], start: int, end: int, depth: int) -> bytes:
    if start == end:
        return bucket
    if not bucket or bucket[0] == LEAF:
        leaves = [(path, leaf(path, key, value)) for path, key, value in changes[start:end] if value is not None]
        if bucket and all(key != key_of(bucket) for _, key, _ in changes[start:end]):
            leaves.append((_path_of(bucket), bucket))
            leaves.sort()
        return _build(leaves, 0, len(leaves), depth)
    cut = _BODY + int.from_bytes(bucket[_HASH:_BODY], "big")
    middle = _split(changes, start, end, depth)
    left = _update(bucket[_BODY:cut], changes, start, middle, depth + 1)
    return _fork(left, _update(bucket[cut:], changes, middle, end, depth + 1))


def _build(leaves: list[tuple[bytes, bytes]], start: int, end: int, depth: int) -> bytes:
    """From (path, leaf) pairs, sorted."""
    if start == end:
        return b""
    if end - start == 1:
        return leaves[start][1]
    middle = start
    while middle < end and not _bit(leaves[middle][0], depth):
        middle += 1
    return _fork(_build(leaves, start, middle, depth + 1), _build(leaves, middle, end, depth + 1))


def key_of(node: bytes) -> bytes:
    """The key of a leaf."""
    return node[_HASH + 1 : _HASH + 1 + node[_HASH]]


def _path_of(node: bytes) -> bytes:
    return _short(key_of(node)).digest()


def _part(bucket: Bucket, path: bytes) -> tuple[bytes, list[tuple[Split, int]]]:
    """The string in which the path of a bucket ends, and the nodes above it, each with the bit that leads on."""
    above: list[tuple[Split, int]] = []
    while not isinstance(bucket, bytes):
        bit = _bit(path, DEPTH + len(above))
        above.append((bucket, bit))
        bucket = bucket.right if bit else bucket.left
    return bucket, above


def find(bucket: Bucket, path: bytes, key: bytes, *, proven: bool = True) -> bytes | None:
    """The value of a key, or None. Unless the bucket is `proven`, also that its hash proves this: raises `Malformed`."""
    above: list[tuple[Split, int]] = []
    if not isinstance(bucket, bytes):
        bucket, above = _part(bucket, path)
    at, end, forks = _down(bucket, path, DEPTH + len(above))
    node = bucket[at:end]
    if not proven:
        _prove(bucket, node, forks)
        _prove_above(above)
    if not node:
        return None
    first = _HASH + 1 + node[_HASH]
    return node[first:] if node[_HASH + 1 : first] == key else None


def _prove(bucket: bytes, node: bytes, forks: list[_Fork]) -> None:
    """LC-MRK-4: that the hashes on the way down to a leaf are those of what lies beneath them."""
    digest = EMPTY
    if node:
        key = key_of(node)
        digest = _short(_LEAF + _short(key).digest() + _sha(node[_HASH + 1 + len(key) :]).digest()).digest()
        if digest != node[1:_HASH]:
            raise Malformed(f"the record under the state key {key.hex()} is not the one that was hashed")
    forks.reverse()
    for at, cut, end, right in forks:
        body = at + _BODY
        if right:
            digest = _short(_FORK + (bucket[body + 1 : body + _HASH] if body < cut else EMPTY) + digest).digest()
        else:
            digest = _short(_FORK + digest + (bucket[cut + 1 : cut + _HASH] if cut < end else EMPTY)).digest()
        if digest != bucket[at + 1 : at + _HASH]:
            raise Malformed("a node of the state's tree does not have the hash that is stored with it")


def _prove_above(above: list[tuple[Split, int]]) -> None:
    """The same for the nodes above a part whose own hash is proven."""
    for node, _ in above:
        digest = _short(_FORK + (subroot_of(node.left)[1:] or EMPTY) + (subroot_of(node.right)[1:] or EMPTY)).digest()
        if digest != node.subroot[1:]:
            raise Malformed("a node of the state's tree does not have the hash that is stored with it")


def records(bucket: Bucket) -> Iterator[tuple[bytes, bytes]]:
    """(key, encoded record) of a bucket, in the order of their paths. Raises `Malformed` where the bytes are no bucket."""
    waiting: list[Bucket] = [bucket]
    while waiting:
        one = waiting.pop()
        if isinstance(one, bytes):
            yield from _records(one)
        else:
            waiting += (one.right, one.left)


def _records(bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
    ends = [len(bucket)]
    at = 0
    while ends:
        end = ends.pop()
        if at == end:
            continue
        if bucket[at] == FORK and end - at >= _BODY:
            cut = at + _BODY + int.from_bytes(bucket[at + _HASH : at + _BODY], "big")
            if cut > end:
                raise Malformed("a bucket of the state is cut off")
            ends += [end, cut]
            at += _BODY
            continue
        first = at + _HASH + 1
        if bucket[at] != LEAF or first > end or first + bucket[first - 1] > end:
            raise Malformed("a bucket of the state is cut off")
        middle = first + bucket[first - 1]
        yield bucket[first:middle], bucket[middle:end]
        at = end


def build(items: Sequence[tuple[bytes, bytes, bytes]], depth: int = DEPTH) -> bytes:
    """The bucket of (path, key, value) triples, sorted by path; or, deeper, the part of one whose paths share `depth` bits."""
    return _build([(path, leaf(path, key, value)) for path, key, value in items], 0, len(items), depth)


def halves(bucket: bytes) -> tuple[bytes, bytes]:
    """The two parts of a bucket that begins with a fork. Raises `Malformed`."""
    cut = _BODY + int.from_bytes(bucket[_HASH:_BODY], "big")
    if bucket[:1] != _FORK or cut > len(bucket):
        raise Malformed("a bucket of the state is cut off")
    return bucket[_BODY:cut], bucket[cut:]


def joined(left: bytes, right: bytes) -> bytes:
    """What stands above two parts: the bucket again whose `halves` they are."""
    return _fork(left, right)


# --- above the buckets ----------------------------------------------------------------------------------------------------------


def subroot_of(bucket: Bucket) -> bytes:
    """The node of a bucket."""
    return bucket[:SUBROOT_BYTES] if isinstance(bucket, bytes) else bucket.subroot


def no_nodes() -> list[bytes]:
    """Those of an empty tree."""
    return [b""] * (2 * BUCKETS)


def update_top(nodes: Sequence[bytes], subroots: Mapping[int, bytes]) -> dict[int, bytes]:
    """The nodes that change when the buckets with these numbers get these subroots; the root is always told.

    From the buckets to the root, so that each node is hashed once, however many buckets beneath it change.
    """
    if not subroots:
        return {1: nodes[1]}
    changed: dict[int, bytes] = {}
    level = {BUCKETS + number: subroots[number] for number in sorted(subroots)}
    for _ in range(DEPTH):
        changed.update(level)
        above: dict[int, bytes] = {}
        for at, node in level.items():
            up = at >> 1
            if not at & 1:
                left, right = node, level.get(at + 1, nodes[at + 1])
            elif up in above:
                continue  # the left one changed as well, and came first
            else:
                left, right = nodes[at - 1], node
            above[up] = above_of(left, right)
        level = above
    changed.update(level)
    return changed


def above_of(left: bytes, right: bytes) -> bytes:
    """LC-MRK-4: the node above two."""
    if not left or not right:
        return _above_one(left, right)
    # A fork starts with the tag of a fork, as what is hashed for the node above it does.
    start = left if left[0] == FORK else _FORK + left[1:]
    return _FORK + _short(start + right[1:]).digest()


def _above_one(left: bytes, right: bytes) -> bytes:
    """The node above two of which one is empty. A leaf that is alone moves up."""
    one = left or right
    if not one or one[0] == LEAF:
        return one
    return _FORK + _short(left + EMPTY if left else _FORK + EMPTY + right[1:]).digest()


def numbers(nodes: Sequence[bytes]) -> Iterator[int]:
    """The buckets that are not empty, ascending. Looks only below nodes that are not empty: most states fill few of all buckets."""
    level = [1] if nodes[1] else []
    for _ in range(DEPTH):
        level = [below for at in level for below in (2 * at, 2 * at + 1) if nodes[below]]
    return (at - BUCKETS for at in level)


class Tree:
    """What a block makes of the tree: its root, and the buckets and the nodes above them that it changed."""

    __slots__ = ("buckets", "nodes", "root")

    def __init__(self, root: bytes, nodes: Mapping[int, bytes], buckets: Mapping[int, Bucket]) -> None:
        self.root, self.nodes, self.buckets = root, nodes, buckets


def root_of(node: bytes) -> bytes:
    """The root of the tree with this topmost node."""
    return node[1:] or EMPTY


def prove(nodes: Sequence[bytes], path: bytes, key: bytes, bucket_of: Callable[[int], Bucket]) -> StateProof:
    """LC-MRK-5, 6: the proof for a key whose path this is; `bucket_of` gives a bucket by its number."""
    siblings, number, at = [], BUCKETS | number_of(path), 1
    for shift in range(DEPTH - 1, -1, -1):
        if nodes[at][:1] != _FORK:
            break
        at = number >> shift
        siblings.append(nodes[at ^ 1][1:] or EMPTY)
    # A bucket of a single record may stand where another would be: it is what shows that the other is empty.
    while nodes[at] and at < BUCKETS:
        at = 2 * at if nodes[2 * at] else 2 * at + 1
    bucket = bucket_of(at - BUCKETS) if nodes[at] else b""
    return _prove_in(bucket, path, key, siblings)


def _prove_in(bucket: Bucket, path: bytes, key: bytes, siblings: list[bytes]) -> StateProof:
    """`siblings` are those above the bucket."""
    bucket, above = _part(bucket, path)
    siblings += [subroot_of(node.left if bit else node.right)[1:] or EMPTY for node, bit in above]
    at, end, forks = _down(bucket, path, DEPTH + len(above))
    for start, cut, last, right in forks:
        first, after = (start + _BODY, cut) if right else (cut, last)
        siblings.append(bucket[first + 1 : first + _HASH] if first < after else EMPTY)
    found = bucket[at:end]
    if not found or key_of(found) == key:
        return StateProof(siblings, b"")
    return StateProof(siblings, _path_of(found) + _sha(found[_HASH + 1 + found[_HASH] :]).digest())
