"""The tree above a file's pieces, exactly as `ipfs add --cid-version=1` builds it.

A file is cut into chunks of 262,144 bytes, each a raw leaf; a file of at most one chunk is that leaf. Otherwise leaves are
gathered by 174 under dag-pb nodes holding a UnixFS file record, those again by 174, until one root is left. All leaves lie at the
same depth. The whole shape, every size and every length is therefore a function of the file's size alone, and a node's bytes are
a function of size, depth and the children's digests. The parser uses this: it re-encodes what it read and compares, so a tree
that any other importer or an attacker shaped differently is `Malformed` (LC-CONTENT-2, LC-CONTENT-3).

Encodings: https://ipld.io/specs/codecs/dag-pb/spec/ and https://specs.ipfs.tech/unixfs/. Pure: streams are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

from learningchain.chain.errors import Malformed
from learningchain.p2p.content.cid import Cid, Codec, cid_of, from_bytes

CHUNK = 262_144
LINKS = 174
"""kubo's `DefaultLinksPerBlock`."""
MAX_DEPTH = 3
MAX_FILE = CHUNK * LINKS**MAX_DEPTH
"""1.38e12 bytes: what three levels hold. Stores and sessions set far lower limits of their own."""
MAX_NODE = 16_384
"""A full node has under 10,000 bytes."""

_UNIXFS_FILE = b"\x08\x02"


class ByteSource(Protocol):
    def read(self, size: int, /) -> bytes: ...


# --- the shape, as a function of the size -------------------------------------------------------------------------------------


def depth_of(size: int) -> int:
    """Levels of nodes above the leaves of a file of `size` bytes; 0 is a single leaf."""
    leaves, depth = -(-size // CHUNK), 0
    while leaves > 1:
        leaves, depth = -(-leaves // LINKS), depth + 1
    return depth


def capacity(depth: int) -> int:
    """Bytes of file under a full subtree."""
    return CHUNK * int(LINKS**depth)


def child_sizes(size: int, depth: int) -> list[int]:
    """Bytes of file under each child of a node (depth >= 1): all full but the last."""
    span = capacity(depth - 1)
    count = -(-size // span)
    return [span] * (count - 1) + [size - span * (count - 1)]


@lru_cache(maxsize=4096)
def tree_bytes(size: int, depth: int) -> int:
    """Bytes of all blocks of a subtree, each occurrence counted: dag-pb's Tsize."""
    if depth == 0:
        return size
    sizes = child_sizes(size, depth)
    placeholder = Cid(Codec.RAW, bytes(32))
    own = len(encode_node(size, depth, [placeholder] * len(sizes)))
    return own + (len(sizes) - 1) * tree_bytes(sizes[0], depth - 1) + tree_bytes(sizes[-1], depth - 1)


# --- blocks -------------------------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_node(size: int, depth: int, children: list[Cid]) -> bytes:
    """The dag-pb block of a node over `size` bytes of file: its links, then its UnixFS record."""
    sizes = child_sizes(size, depth)
    out, unixfs = [], [_UNIXFS_FILE, b"\x18", _varint(size)]
    for cid, part in zip(children, sizes, strict=True):
        link = b"\x0a\x24" + cid.to_bytes() + b"\x12\x00\x18" + _varint(tree_bytes(part, depth - 1))
        out.append(b"\x12" + _varint(len(link)) + link)
        unixfs.append(b"\x20" + _varint(part))
    data = b"".join(unixfs)
    return b"".join(out) + b"\x0a" + _varint(len(data)) + data


class DagNode(NamedTuple):
    size: int
    depth: int
    children: list[Cid]


class _Reader:
    """Protobuf primitives over hostile bytes."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            if self.at >= len(self.data):
                break
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise Malformed("a node with a cut or oversized number")

    def field(self, key: int) -> bytes:
        """A length-delimited field of that key byte."""
        if self.at >= len(self.data) or self.data[self.at] != key:
            raise Malformed("a node with fields that its layout does not have")
        self.at += 1
        length = self.varint()
        if length > len(self.data) - self.at:
            raise Malformed("a node with a field longer than itself")
        self.at += length
        return self.data[self.at - length : self.at]

    def more(self, key: int) -> bool:
        return self.at < len(self.data) and self.data[self.at] == key


def parse_node(block: bytes, size: int | None = None, depth: int | None = None) -> DagNode:
    """The node in a dag-pb block; with `size` and `depth` also that it is the one expected at its place.

    Without them it is a root, whose depth follows from its size. Raises `Malformed` on everything that is not the exact block
    that `encode_node` makes: links out of place, wrong Tsize, wrong block sizes, names, other types, other chunk sizes.
    """
    if len(block) > MAX_NODE:
        raise Malformed(f"a node of {len(block)} bytes, at most {MAX_NODE} are possible")
    reader, children = _Reader(block), []
    while reader.more(0x12):
        link = reader.field(0x12)
        children.append(from_bytes(_Reader(link).field(0x0A)))
        if len(children) > LINKS:
            raise Malformed(f"a node with more than {LINKS} links")
    unixfs = _Reader(reader.field(0x0A))
    if unixfs.data[:2] != _UNIXFS_FILE:
        raise Malformed("not a file: a UnixFS directory, symlink or something else")
    unixfs.at = 2
    if not unixfs.more(0x18):
        raise Malformed("a node without a size, or with data of its own")
    unixfs.at = 3
    found = unixfs.varint()
    if size is None or depth is None:
        size, depth = found, depth_of(found)
        if not CHUNK < size <= MAX_FILE:
            raise Malformed(f"a root that claims {found} bytes: no such tree exists")
    elif found != size:
        raise Malformed(f"a node that claims {found} bytes where its place in the tree has {size}")
    kind = Codec.RAW if depth == 1 else Codec.DAG_PB
    if len(children) != len(child_sizes(size, depth)) or any(c.codec != kind for c in children):
        raise Malformed("not the tree of `ipfs add --cid-version=1` (chunks of 262144 bytes, 174 links a node)")
    if encode_node(size, depth, children) != block:
        raise Malformed("a node that is not encoded as `ipfs add --cid-version=1` does it")
    return DagNode(size, depth, children)


# --- building -----------------------------------------------------------------------------------------------------------------


class Builder:
    """Chunks in, nodes out; holds at most one unfinished node per level."""

    def __init__(self, on_node: Callable[[Cid, bytes], None]) -> None:
        self._on_node = on_node
        self._levels: list[list[tuple[Cid, int]]] = [[]]
        self.size = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        """Exactly CHUNK bytes; only the last chunk may be shorter."""
        if self.size % CHUNK or not 0 < len(chunk) <= CHUNK:
            raise ValueError("chunks have 262144 bytes, only the last may be shorter")
        self.size += len(chunk)
        if self.size > MAX_FILE:
            raise Malformed(f"a file of more than {MAX_FILE} bytes")
        self._place(0, cid_of(Codec.RAW, chunk), len(chunk))

    def _place(self, level: int, cid: Cid, size: int) -> None:
        while level == len(self._levels):
            self._levels.append([])
        self._levels[level].append((cid, size))
        if len(self._levels[level]) == LINKS:
            self._close(level)

    def _close(self, level: int) -> None:
        entries, self._levels[level] = self._levels[level], []
        size = sum(part for _, part in entries)
        block = encode_node(size, level + 1, [cid for cid, _ in entries])
        cid = cid_of(Codec.DAG_PB, block)
        self._on_node(cid, block)
        self._place(level + 1, cid, size)

    def finish(self) -> Cid:
        """The root. The builder is used up."""
        if self.size == 0:
            return cid_of(Codec.RAW, b"")
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            if self._levels[level]:
                self._close(level)
            level += 1
        return self._levels[level][0][0]


def chunks(source: ByteSource) -> Iterator[bytes]:
    """A stream cut into chunks, whatever pieces it reads in."""
    held = bytearray()
    while piece := source.read(CHUNK - len(held)):
        held += piece
        if len(held) == CHUNK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


# --- assembling ---------------------------------------------------------------------------------------------------------------


class TooLarge(Malformed):
    """The content is larger than its reader wants."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the content has {size} bytes, at most {limit} are wanted")
        self.size = size


class TreePosition(NamedTuple):
    offset: int
    size: int
    depth: int


class Assembly:
    """A tree while its nodes arrive: which nodes are wanted next, and where in the file each leaf belongs.

    One block may stand in many places (a file of zeros has one leaf). Memory is bounded by `max_size`: a root that declares more
    is refused before anything is allocated.
    """

    def __init__(self, root: Cid, max_size: int) -> None:
        self.root, self.max_size = root, max_size
        self.size: int | None = None
        self.wanted: dict[Cid, list[TreePosition]] = {}
        self.leaves: dict[Cid, list[int]] = {}
        """Offsets of each distinct leaf."""
        self.nodes: dict[Cid, bytes] = {}
        if root.raw:
            self.leaves[root] = [0]
        else:
            self.wanted[root] = []

    @property
    def whole(self) -> bool:
        """Every node is known, hence every leaf."""
        return not self.wanted

    def leaf_size(self, offset: int) -> int:
        if self.size is None:
            raise Malformed("the size is not known yet")
        return min(CHUNK, self.size - offset)

    def check_leaf(self, leaf: Cid, data: bytes) -> None:
        """Raises `Malformed` unless the length is what each of the leaf's places says. (Its hash is checked elsewhere.)"""
        if leaf == self.root:
            if len(data) > CHUNK:
                raise Malformed(f"a leaf of {len(data)} bytes, at most {CHUNK} are possible")
            self.is_leaf(len(data))
        if any(self.leaf_size(offset) != len(data) for offset in self.leaves[leaf]):
            raise Malformed(f"a leaf of {len(data)} bytes where its node says otherwise")

    def is_leaf(self, size: int) -> None:
        """The root is a leaf of so many bytes, whose hash was checked. Raises `TooLarge`."""
        self._limit(size)
        self.size = size

    def _limit(self, size: int) -> None:
        if size > self.max_size:
            raise TooLarge(size, self.max_size)

    def add_node(self, cid: Cid, block: bytes) -> list[Cid]:
        """Take a wanted node whose hash was checked; returns the blocks that it makes wanted, in file order.

        Raises `Malformed` when it does not fit its place, `TooLarge` when the root declares more than `max_size`.
        """
        places = self.wanted.pop(cid)
        if cid == self.root:
            node = parse_node(block)
            self._limit(node.size)
            self.size = node.size
            places = [TreePosition(0, node.size, node.depth)]
        self.nodes[cid] = block
        fresh: dict[Cid, None] = {}
        pending = [(place, block) for place in reversed(places)]
        while pending:
            place, held = pending.pop()
            self._expand(place, held, fresh, pending)
        return list(fresh)

    def _expand(self, place: TreePosition, block: bytes, fresh: dict[Cid, None], pending: list[tuple[TreePosition, bytes]]) -> None:
        node, offset = parse_node(block, place.size, place.depth), place.offset
        for child, part in zip(node.children, child_sizes(place.size, place.depth), strict=True):
            if child.raw:
                if child not in self.leaves:
                    fresh[child] = None
                self.leaves.setdefault(child, []).append(offset)
            elif child in self.nodes:
                pending.append((TreePosition(offset, part, place.depth - 1), self.nodes[child]))
            else:
                if child not in self.wanted:
                    fresh[child] = None
                self.wanted.setdefault(child, []).append(TreePosition(offset, part, place.depth - 1))
            offset += part
