"""The tree above a file: the same root as `ipfs add --cid-version=1`, and nothing else is read."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.errors import Malformed
from learningchain.p2p.content import dag
from learningchain.p2p.content.cid import Cid, Codec, cid_of
from learningchain.p2p.content.dag import (
    CHUNK,
    LINKS,
    MAX_FILE,
    Assembly,
    Builder,
    TooLarge,
    chunks,
    depth_of,
    encode_node,
    parse_node,
    tree_bytes,
)
from tests.unit.content_kit import _field, _varint, pattern, pieces, reference_root, root_of

_SPEC = Path(__file__).parents[2] / "protocol_spec" / "content.md"
VECTORS = [
    (int(size), name, int(blocks))
    for size, name, blocks in re.findall(r"^\| (\d+) \| (baf\w+) \| (\d+) \|$", _SPEC.read_text(encoding="utf-8"), re.MULTILINE)
    if int(size) < 10**8  # the two of 8 GB agree as well; they take half a minute
]
"""The vectors of the protocol, made by another program."""
ZEROS = [
    (1000000, "bafybeidide6lpcdutn3we5vvypssfhlq2n265w6dygwj37fyeklhlmfi34"),
    (45613057, "bafybeihqwzd3o6q6v3pmwhzjy22vokhr767burokmqemg63hptx2nqd7ym"),
]


def test_the_protocol_has_its_vectors() -> None:
    assert len(VECTORS) == 11


@pytest.mark.parametrize(("size", "text", "all_blocks"), VECTORS)
def test_files_have_the_names_that_ipfs_gives_them(size: int, text: str, all_blocks: int) -> None:
    builder = Builder(lambda cid, block: None)
    for piece in pieces(size):
        builder.feed(piece)
    assert str(builder.finish()) == text
    assert tree_bytes(size, depth_of(size)) == all_blocks


@pytest.mark.parametrize(("size", "text"), ZEROS)
def test_files_of_equal_chunks_too(size: int, text: str) -> None:
    assert str(root_of(bytes(size))[0]) == text


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6 * CHUNK), st.integers(0, 2**32))
def test_a_second_importer_agrees(size: int, seed: int) -> None:
    data = random.Random(seed).randbytes(size)
    assert root_of(data)[0].to_bytes() == reference_root(data)


@settings(max_examples=30, deadline=None)
@given(leaves=st.integers(1, 60), tail=st.integers(1, 8), width=st.integers(2, 5))
def test_the_shape_holds_at_every_depth(leaves: int, tail: int, width: int) -> None:
    """With small chunks and few links, trees of many levels can be compared with the second importer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dag, "CHUNK", 8)
        patch.setattr(dag, "LINKS", width)
        dag.tree_bytes.cache_clear()
        data = bytes(range(256)) * 2
        data = data[: (leaves - 1) * 8 + tail]
        blocks: dict[Cid, bytes] = {}
        builder = Builder(blocks.__setitem__)
        for at in range(0, len(data), 8):
            builder.feed(data[at : at + 8])
        root = builder.finish()
        assert root.to_bytes() == reference_root(data, 8, width)
        tree = Assembly(root, 10**6)
        while tree.wanted:
            cid = next(iter(tree.wanted))
            tree.add_node(cid, blocks[cid])
        if not root.raw:
            offsets = sorted(offset for places in tree.leaves.values() for offset in places)
            assert offsets == list(range(0, len(data), 8))
    dag.tree_bytes.cache_clear()


def test_a_stream_may_come_in_any_pieces() -> None:
    data = pattern(3 * CHUNK + 5)

    class Slow:
        at = 0

        def read(self, size: int, /) -> bytes:
            piece = data[self.at : self.at + min(size, 100_001)]
            self.at += len(piece)
            return piece

    assert list(chunks(Slow())) == [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def test_only_the_last_chunk_may_be_short() -> None:
    builder = Builder(lambda cid, block: None)
    builder.feed(b"short")
    with pytest.raises(ValueError, match="only the last"):
        builder.feed(b"more")


# --- hostile trees ----------------------------------------------------------------------------------------------------------------

_LEAVES = [cid_of(Codec.RAW, bytes([i])) for i in range(3)]
_SIZE = 2 * CHUNK + 10
_BLOCK = encode_node(_SIZE, 1, _LEAVES)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_hostile_bytes_are_malformed_and_nothing_else(block: bytes) -> None:
    with pytest.raises(Malformed):
        parse_node(block)


@settings(max_examples=300)
@given(st.integers(0, len(_BLOCK) - 1), st.integers(1, 255), st.sampled_from(["flip", "cut", "insert", "double"]))
def test_a_changed_block_is_refused_or_names_other_children(at: int, value: int, how: str) -> None:
    changed = {
        "flip": _BLOCK[:at] + bytes([_BLOCK[at] ^ value]) + _BLOCK[at + 1 :],
        "cut": _BLOCK[:at],
        "insert": _BLOCK[:at] + bytes([value]) + _BLOCK[at:],
        "double": _BLOCK[:at] + _BLOCK[at:] + _BLOCK[at:],
    }[how]
    try:
        node = parse_node(changed)
    except Malformed:
        return
    assert encode_node(node.size, node.depth, node.children) == changed
    assert node.children != _LEAVES


def _node(
    sizes: list[int], *, kind: int = 2, total: int | None = None, tsize: int = 0, name: bytes = b"", extra: bytes = b""
) -> bytes:
    """A dag-pb file node with anything wrong that a caller likes."""
    links = b"".join(
        _field(2, _field(1, _LEAVES[i % 3].to_bytes()) + _field(2, name) + _field(3, part + tsize)) for i, part in enumerate(sizes)
    )
    unixfs = (
        _field(1, kind) + extra + _field(3, sum(sizes) if total is None else total) + b"".join(_field(4, part) for part in sizes)
    )
    return links + _field(1, unixfs)


def test_the_sound_node_of_the_cases_below_is_read() -> None:
    assert _node([CHUNK, CHUNK, 10]) == _BLOCK
    assert parse_node(_BLOCK) == (_SIZE, 1, _LEAVES)
    assert parse_node(_BLOCK, _SIZE, 1).children == _LEAVES


@pytest.mark.parametrize(
    "block",
    [
        _node([CHUNK, CHUNK, 10], kind=1),  # a directory
        _node([CHUNK, CHUNK, 10], total=_SIZE + 1),
        _node([CHUNK, CHUNK, 10], tsize=1),
        _node([CHUNK, CHUNK, 10], name=b"a"),
        _node([CHUNK, CHUNK, 10], extra=_field(2, b"inline")),
        _node([CHUNK, CHUNK // 2, 10]),  # short in the middle
        _node([CHUNK // 2] * 6),  # another chunk size
        _node([CHUNK]),  # a root over one leaf
        _node([CHUNK] * (LINKS + 1)),
        _node([CHUNK, CHUNK, 0]),
        _node([]),
        _node([CHUNK, CHUNK, 10], total=2**62),
        _BLOCK + b"\x0a\x00",
        b"\x0a\x04\x08\x02\x18\x00",
        b"\x12" + b"\xff" * 9,
    ],
)
def test_trees_of_another_shape_are_malformed(block: bytes) -> None:
    with pytest.raises(Malformed):
        parse_node(block)


def test_a_node_must_fit_its_place() -> None:
    for size, depth in ((_SIZE + 1, 1), (_SIZE, 2), (CHUNK, 1)):
        with pytest.raises(Malformed):
            parse_node(_BLOCK, size, depth)


def test_a_root_that_declares_too_much_is_refused_before_anything_is_allocated() -> None:
    tree = Assembly(cid_of(Codec.DAG_PB, _BLOCK), _SIZE - 1)
    with pytest.raises(TooLarge):
        tree.add_node(tree.root, _BLOCK)
    assert not tree.leaves


def test_a_child_with_another_size_than_declared_is_malformed() -> None:
    small = encode_node(2 * CHUNK, 1, _LEAVES[:2])
    lie = cid_of(Codec.DAG_PB, small)
    size = LINKS * CHUNK + 5 * CHUNK
    root = encode_node(size, 2, [lie, lie])
    tree = Assembly(cid_of(Codec.DAG_PB, root), 10**9)
    tree.add_node(tree.root, root)
    with pytest.raises(Malformed):
        tree.add_node(lie, small)


def test_a_leaf_with_another_length_than_declared_is_malformed() -> None:
    tree = Assembly(cid_of(Codec.DAG_PB, _BLOCK), 10**9)
    tree.add_node(tree.root, _BLOCK)
    with pytest.raises(Malformed):
        tree.check_leaf(_LEAVES[0], b"\x00")


def test_one_leaf_in_many_places_is_one_leaf() -> None:
    root, blocks = root_of(bytes(200 * CHUNK))
    tree = Assembly(root, 10**9)
    while tree.wanted:
        cid = next(iter(tree.wanted))
        tree.add_node(cid, blocks[cid])
    assert [len(offsets) for offsets in tree.leaves.values()] == [200]


# --- at the bounds ----------------------------------------------------------------------------------------------------------------


def test_a_builder_takes_chunks_alone_and_no_more_than_a_tree_holds() -> None:
    builder = Builder(lambda cid, block: None)
    for wrong in (b"", bytes(CHUNK + 1)):
        with pytest.raises(ValueError, match="chunks have 262144 bytes"):
            builder.feed(wrong)
    assert builder.finish() == cid_of(Codec.RAW, b"")
    builder.size = MAX_FILE - CHUNK
    builder.feed(bytes(CHUNK))
    with pytest.raises(Malformed, match="a file of more than"):
        builder.feed(b"x")


def test_a_level_begins_with_the_first_leaf_that_does_not_fit_below() -> None:
    bounds = (0, 1, CHUNK, CHUNK + 1, LINKS * CHUNK, LINKS * CHUNK + 1, LINKS**2 * CHUNK, LINKS**2 * CHUNK + 1, MAX_FILE)
    assert [depth_of(size) for size in bounds] == [0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_a_root_is_a_tree_that_needs_one_and_can_be() -> None:
    for size in (CHUNK, MAX_FILE + 1):
        block = _field(1, b"\x08\x02\x18" + _varint(size))
        with pytest.raises(Malformed, match=f"a root that claims {size} bytes"):
            parse_node(block)
    assert parse_node(encode_node(CHUNK + 1, 1, _LEAVES[:2])).size == CHUNK + 1
    with pytest.raises(Malformed, match=r"a node of 16385 bytes, at most 16384"):
        parse_node(bytes(16_385))
    with pytest.raises(Malformed, match="fields that its layout does not have"):
        parse_node(bytes(16_384))


def test_content_of_exactly_the_size_that_is_wanted_is_taken() -> None:
    tree = Assembly(cid_of(Codec.DAG_PB, _BLOCK), _SIZE)
    with pytest.raises(Malformed, match="not known yet"):
        tree.leaf_size(0)
    assert tree.add_node(tree.root, _BLOCK) == _LEAVES, "in the order of the file"
    assert [tree.leaf_size(at) for at in (0, CHUNK, 2 * CHUNK)] == [CHUNK, CHUNK, 10]
    for size, most, wanted in ((CHUNK, CHUNK, None), (CHUNK, CHUNK - 1, TooLarge), (CHUNK + 1, 10**9, Malformed)):
        leaf = bytes(size)
        single = Assembly(cid_of(Codec.RAW, leaf), most)
        if wanted is None:
            single.check_leaf(single.root, leaf)
            single.is_leaf(size)
            assert single.whole and single.size == size
        else:
            with pytest.raises(wanted):
                single.check_leaf(single.root, leaf)
    single = Assembly(cid_of(Codec.RAW, b"x"), 9)
    with pytest.raises(TooLarge):
        single.is_leaf(10)


def test_a_leaf_has_the_length_that_each_of_its_places_says() -> None:
    """One leaf for a full place and for the last, short one: no bytes fit both."""
    block = encode_node(CHUNK + 10, 1, [_LEAVES[0]] * 2)
    tree = Assembly(cid_of(Codec.DAG_PB, block), 10**9)
    assert tree.add_node(tree.root, block) == [_LEAVES[0]]
    for size in (CHUNK, 10):
        with pytest.raises(Malformed, match="where its node says otherwise"):
            tree.check_leaf(_LEAVES[0], bytes(size))
