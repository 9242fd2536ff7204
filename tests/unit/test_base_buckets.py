"""The state's tree in buckets has the roots and proofs of the plain tree (LC-MRK-4 to LC-MRK-6), whatever happens to it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import cache, reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain import buckets as module
from learningchain.chain import merkle
from learningchain.chain.buckets import (
    CHUNK,
    FORK,
    Bucket,
    Split,
    build,
    find,
    no_nodes,
    number_of,
    numbers,
    prove,
    records,
    root_of,
    split,
    subroot_of,
    update,
    update_one,
    update_top,
    whole,
)
from learningchain.chain.errors import Malformed
from tests.unit import plain_tree


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@cache
def keys() -> list[bytes]:
    """Sixteen keys that share four buckets, and sixteen anywhere."""
    found: list[bytes] = []
    n = 0
    while len(found) < 16:
        key = b"k/%d" % n
        if sha(key)[0] == 0 and sha(key)[1] < 4:
            found.append(key)
        n += 1
    return found + [b"a/%d" % n for n in range(16)]


CHANGES = st.dictionaries(st.integers(0, 31), st.none() | st.binary(max_size=40), max_size=20)


class Both:
    """The same contents in buckets, in the plain tree, and in a dictionary."""

    def __init__(self) -> None:
        self.plain: plain_tree.Node = None
        self.nodes = no_nodes()
        self.pages: dict[int, Bucket] = {}
        self.model: dict[bytes, bytes] = {}

    def bucket(self, number: int) -> Bucket:
        return self.pages.get(number, b"")

    def change(self, changes: dict[bytes, bytes | None]) -> None:
        by_bucket: dict[int, list[tuple[bytes, bytes, bytes | None]]] = {}
        for key, value in changes.items():
            by_bucket.setdefault(number_of(sha(key)), []).append((sha(key), key, value))
            self.model = {k: v for k, v in (self.model | {key: value}).items() if v is not None}
        for number, found in by_bucket.items():
            before = self.bucket(number)
            self.pages[number] = update(before, sorted(found))
            assert whole(reduce(update_one, found, before)) == whole(self.pages[number]), "one after another, in any order"
            assert all(update_one(self.pages[number], change) is self.pages[number] for change in found), "made again: nothing new"
        for at, node in update_top(self.nodes, {n: subroot_of(self.pages[n]) for n in by_bucket}).items():
            self.nodes[at] = node
        self.plain = plain_tree.update(self.plain, sorted((sha(k), None if v is None else sha(v)) for k, v in changes.items()))

    @property
    def root(self) -> bytes:
        return root_of(self.nodes[1])


@contextlib.contextmanager
def chunks_of(size: int) -> Iterator[None]:
    """Buckets are held in parts from so many bytes on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "CHUNK", size)
        yield


@given(st.lists(CHANGES, max_size=12), st.sampled_from([60, 200, 500, CHUNK]))
@settings(max_examples=80, deadline=None)
def test_buckets_have_the_roots_and_proofs_of_the_plain_tree(steps: list[dict[int, bytes | None]], chunk: int) -> None:
    with chunks_of(chunk):
        both_are_the_same(steps)


def both_are_the_same(steps: list[dict[int, bytes | None]]) -> None:
    both = Both()
    for step in steps:
        both.change({keys()[n]: value for n, value in step.items()})
        assert both.root == plain_tree.root_of(both.plain)
        assert list(numbers(both.nodes)) == sorted({number_of(sha(key)) for key in both.model})
        assert dict(r for n in numbers(both.nodes) for r in records(both.bucket(n))) == both.model
    for key in keys():
        path = sha(key)
        assert find(both.bucket(number_of(path)), path, key, proven=False) == both.model.get(key)
        proof = prove(both.nodes, path, key, both.bucket)
        assert proof == plain_tree.prove_key(both.plain, key)
        assert merkle.check_key(both.root, key, both.model.get(key), proof)
    for number, bucket in both.pages.items():
        items = [(sha(key), key, value) for key, value in both.model.items() if number_of(sha(key)) == number]
        assert whole(bucket) == build(sorted(items)), "the same string, however it came about"
        assert_parts(bucket)


def assert_parts(bucket: Bucket) -> None:
    """What is large is in parts, and what is in parts is large."""
    if isinstance(bucket, Split):
        assert bucket.size == len(whole(bucket)) > module.CHUNK
        assert whole(bucket)[:1] == bytes([FORK])
        assert_parts(bucket.left)
        assert_parts(bucket.right)
    else:
        assert len(bucket) <= module.CHUNK or bucket[0] != FORK


@given(CHANGES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_of_a_bucket_never_shows_another_record(contents: dict[int, bytes | None], data: st.DataObject) -> None:
    """Whoever looks into a bucket whose subroot is known either finds what was put there, or is told."""
    both = Both()
    both.change({keys()[n]: value for n, value in contents.items() if n < 16})
    filled = {n: whole(bucket) for n, bucket in both.pages.items() if bucket}
    if not filled:
        return
    number = data.draw(st.sampled_from(sorted(filled)))
    bucket = bytearray(filled[number])
    at = data.draw(st.integers(0, len(bucket) - 1))
    bucket[at] ^= 1 << data.draw(st.integers(0, 7))
    if subroot_of(filled[number]) != subroot_of(bytes(bucket)):
        return
    for chunk in (CHUNK, 60):
        with chunks_of(chunk):
            for key in (k for k in keys() if number_of(sha(k)) == number):
                with contextlib.suppress(Malformed, IndexError):
                    assert find(split(bytes(bucket)), sha(key), key, proven=False) == both.model.get(key)


def test_a_bucket_that_is_cut_off_is_told() -> None:
    both = Both()
    both.change(dict.fromkeys(keys()[:16], b"value"))
    bucket = whole(max(both.pages.values(), key=len))
    assert bucket[0] == FORK
    for end in range(1, len(bucket)):
        try:
            found = list(records(bucket[:end]))
        except Malformed:
            continue
        assert found != list(records(bucket))
    with pytest.raises(Malformed):
        list(records(bucket[:40]))
