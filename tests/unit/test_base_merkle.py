"""The two trees against the plainest possible computation of their roots (LC-MRK-1 to LC-MRK-6)."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.codec import encode
from learningchain.chain.merkle import (
    EMPTY,
    ListProof,
    StateProof,
    check_key,
    list_root,
    prove_item,
)
from tests.conformance import trees
from tests.conformance.checks import Refused
from tests.unit.plain_tree import Leaf, Node, prove_key, root_of, update


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hashed(changes: dict[bytes, bytes | None]) -> list[tuple[bytes, bytes | None]]:
    return sorted((sha(k), None if v is None else sha(v)) for k, v in changes.items())


def check_item(root: bytes, item: bytes, proof: ListProof) -> bool:
    """As whoever reads a proof would: the node makes them alone."""
    try:
        trees.check_item(root, item, encode(proof))
    except Refused:
        return False
    return True


# --- lists --------------------------------------------------------------------------------------------------------------------

ITEMS = st.lists(st.binary(max_size=5), max_size=40)


@given(ITEMS)
@settings(max_examples=80, deadline=None)
def test_list_roots_and_proofs(items: list[bytes]) -> None:
    root = list_root(items)
    assert root == trees.list_root(items)
    for index, item in enumerate(items):
        proof = prove_item(items, index)
        assert check_item(root, item, proof)
        assert not check_item(root, item + b"x", proof)
        assert not check_item(sha(root), item, proof)


@given(ITEMS.filter(bool), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_list_proof_is_refused(items: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    proof = prove_item(items, index)
    paths = [[*proof.path, bytes(32)], [bytes(32), *proof.path]]
    if proof.path:
        at = data.draw(st.integers(0, len(proof.path) - 1))
        paths += [proof.path[:-1], proof.path[1:], [*proof.path[:at], sha(proof.path[at]), *proof.path[at + 1 :]]]
    for path in paths:
        assert not check_item(list_root(items), items[index], ListProof(index, len(items), path))


@pytest.mark.parametrize(("index", "count"), [(-1, 3), (3, 3), (0, 0), (0, -1), (2**63, 2**64 - 1), (5, 1)])
def test_an_index_outside_is_refused(index: int, count: int) -> None:
    items = [b"a", b"b", b"c"]
    assert not check_item(list_root(items), b"a", ListProof(index, count, prove_item(items, 0).path))


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_proof_of_an_item_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        prove_item([b"a", b"b", b"c"], index)


# --- the state ----------------------------------------------------------------------------------------------------------------

KEYS = [b"k%d" % n for n in range(24)]
BATCHES = st.lists(st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=12), max_size=8)


@given(BATCHES)
@settings(max_examples=50, deadline=None)
def test_updates_in_any_batches_give_the_root_of_the_contents(batches: list[dict[bytes, bytes | None]]) -> None:
    tree: Node = None
    model: dict[bytes, bytes] = {}
    for changes in batches:
        before = root_of(tree)
        after = update(tree, hashed(changes))
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        assert root_of(after) == trees.state_root(model)
        assert root_of(tree) == before, "older versions stay as they were"
        tree = after
    for key in KEYS:
        proof = prove_key(tree, key)
        assert check_key(root_of(tree), key, model.get(key), proof)
        assert not check_key(root_of(tree), key, b"something else", proof)
        assert check_key(root_of(tree), key, None, proof) is (key not in model)


@given(st.permutations(KEYS), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_order_of_updates_does_not_matter(keys: list[bytes], size: int) -> None:
    tree: Node = None
    for start in range(0, len(keys), size):
        tree = update(tree, hashed({k: k for k in keys[start : start + size]}))
    assert root_of(tree) == trees.state_root({k: k for k in KEYS})
    for start in range(0, len(keys), size):
        tree = update(tree, hashed(dict.fromkeys(keys[start : start + size])))
    assert tree is None and root_of(tree) == EMPTY


def test_paths_that_agree_for_long_lie_deep() -> None:
    """256 bits of depth: two keys whose paths differ in the last bit only."""
    one, two = bytes(32), bytes(31) + b"\x01"
    tree = update(None, [(one, sha(b"1")), (two, sha(b"2"))])
    depth, node = 0, tree
    while not isinstance(node, Leaf):
        assert node is not None
        node, depth = node.left, depth + 1
    assert depth == 256
    alone = update(tree, [(two, None)])
    assert isinstance(alone, Leaf) and alone.path == one


def test_writing_the_same_again_gives_the_same_root() -> None:
    tree = update(None, hashed({k: k for k in KEYS}))
    assert root_of(update(tree, hashed({k: k for k in KEYS[:5]}))) == root_of(tree)
    assert update(tree, hashed({b"never there": None})) is tree


@given(st.sampled_from(KEYS), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_state_proof_is_refused(key: bytes, data: st.DataObject) -> None:
    tree = update(None, hashed({k: k for k in KEYS[:12]}))
    value = key if key in KEYS[:12] else None
    good = prove_key(tree, key)
    at = data.draw(st.integers(0, len(good.siblings) - 1))
    changed = [
        msgspec.structs.replace(good, siblings=[*good.siblings[:at], sha(good.siblings[at]), *good.siblings[at + 1 :]]),
        msgspec.structs.replace(good, siblings=good.siblings[:at]),
        msgspec.structs.replace(good, siblings=[*good.siblings, bytes(32)]),
        msgspec.structs.replace(good, siblings=[bytes(32)] * 300),
        StateProof(good.siblings, good.other + b"x"),
        StateProof(good.siblings, sha(key) + sha(key)),
    ]
    assert check_key(root_of(tree), key, value, good)
    for proof in changed:
        assert not check_key(root_of(tree), key, value, proof)
        assert not check_key(root_of(tree), key, b"forged", proof)
