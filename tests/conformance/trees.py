"""The two Merkle trees of `protocol_spec/merkle.md`, in the plainest form: a root is computed from scratch."""

from __future__ import annotations

from tests.conformance.checks import check
from tests.conformance.keys import sha
from tests.conformance.records import LIST_PROOF, STATE_PROOF
from tests.conformance.wire import decode

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


@check("LC-MRK-3")
def the_index_lies_below_the_count(index: int, count: int) -> bool:
    return 0 <= index < count


@check("LC-MRK-3")
def the_path_of_a_list_proof_is_used_up_exactly(used: int, path: list[bytes]) -> bool:
    return used == len(path)


@check("LC-MRK-3")
def a_list_proof_leads_to_the_root(node: bytes, root: bytes) -> bool:
    return node == root


def check_item(root: bytes, item: bytes, proof: bytes) -> None:
    """LC-MRK-3"""
    index, count, path = decode(LIST_PROOF, proof, MAX_PROOF_BYTES)
    the_index_lies_below_the_count(index, count)
    node, used = sha(b"\x00" + item), 0
    while count > 1:
        if index % 2 == 1 or index + 1 < count:
            sibling = path[used] if used < len(path) else b""
            node = sha(b"\x01" + sibling + node) if index % 2 else sha(b"\x01" + node + sibling)
            used += 1
        index, count = index // 2, (count + 1) // 2
    the_path_of_a_list_proof_is_used_up_exactly(used, path)
    a_list_proof_leads_to_the_root(node, root)


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


@check("LC-MRK-5")
def a_state_proof_has_at_most_256_siblings(siblings: list[bytes]) -> bool:
    return len(siblings) <= 256


@check("LC-MRK-5")
def the_other_leaf_of_a_state_proof_has_64_bytes_or_none(other: bytes) -> bool:
    return len(other) in (0, 64)


@check("LC-MRK-5")
def a_proof_of_presence_names_no_other_leaf(other: bytes) -> bool:
    return other == b""


@check("LC-MRK-6")
def the_other_leaf_has_another_path(other: bytes, path: bytes) -> bool:
    return other[:32] != path


@check("LC-MRK-6")
def the_other_leaf_lies_on_the_way_to_the_key(other: bytes, path: bytes, depth: int) -> bool:
    return all(bit(path, d) == bit(other, d) for d in range(min(depth, 256)))


@check("LC-MRK-5")
def a_state_proof_leads_to_the_root(node: bytes, root: bytes) -> bool:
    return node == root


def check_key(root: bytes, key: bytes, value: bytes | None, proof: bytes) -> None:
    """LC-MRK-5, 6; `value` None: the key is absent."""
    siblings, other = decode(STATE_PROOF, proof, MAX_PROOF_BYTES)
    a_state_proof_has_at_most_256_siblings(siblings)
    the_other_leaf_of_a_state_proof_has_64_bytes_or_none(other)
    path = sha(key)
    if value is not None:
        a_proof_of_presence_names_no_other_leaf(other)
        node = leaf(path, sha(value))
    elif other:
        the_other_leaf_has_another_path(other, path)
        the_other_leaf_lies_on_the_way_to_the_key(other, path, len(siblings))
        node = leaf(other[:32], other[32:])
    else:
        node = EMPTY
    for depth in reversed(range(len(siblings))):
        at = min(depth, 255)
        pair = siblings[depth] + node if bit(path, at) else node + siblings[depth]
        node = sha(b"\x03" + pair)
    a_state_proof_leads_to_the_root(node, root)
