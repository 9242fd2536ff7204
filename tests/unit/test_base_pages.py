"""The state's tree in pages has the roots and proofs of the plain tree (LC-MRK-4 to LC-MRK-6), whatever happens to it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import cache, reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import buckets as module
from chain import merkle
from chain.buckets import (
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
from chain.errors import Malformed
from tests.unit import plain_tree


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@cache
def keys() -> list[bytes]:
    """Sixteen keys that share four pages, and sixteen anywhere."""
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
    """The same contents in pages, in the plain tree, and in a dictionary."""

    def __init__(self) -> None:
        self.plain: plain_tree.Node = None
        self.nodes = no_nodes()
        self.pages: dict[int, Bucket] = {}
        self.model: dict[bytes, bytes] = {}

    def page(self, number: int) -> Bucket:
        return self.pages.get(number, b"")

    def change(self, changes: dict[bytes, bytes | None]) -> None:
        by_page: dict[int, list[tuple[bytes, bytes, bytes | None]]] = {}
        for key, value in changes.items():
            by_page.setdefault(number_of(sha(key)), []).append((sha(key), key, value))
            self.model = {k: v for k, v in (self.model | {key: value}).items() if v is not None}
        for number, found in by_page.items():
            before = self.page(number)
            self.pages[number] = update(before, sorted(found))
            assert whole(reduce(update_one, found, before)) == whole(self.pages[number]), "one after another, in any order"
            assert all(update_one(self.pages[number], change) is self.pages[number] for change in found), "made again: nothing new"
        for at, node in update_top(self.nodes, {n: subroot_of(self.pages[n]) for n in by_page}).items():
            self.nodes[at] = node
        self.plain = plain_tree.update(self.plain, sorted((sha(k), None if v is None else sha(v)) for k, v in changes.items()))

    @property
    def root(self) -> bytes:
        return root_of(self.nodes[1])


@contextlib.contextmanager
def chunks_of(size: int) -> Iterator[None]:
    """Pages are held in parts from so many bytes on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "CHUNK", size)
        yield


@given(st.lists(CHANGES, max_size=12), st.sampled_from([60, 200, 500, CHUNK]))
@settings(max_examples=200, deadline=None)
def test_pages_have_the_roots_and_proofs_of_the_plain_tree(steps: list[dict[int, bytes | None]], chunk: int) -> None:
    with chunks_of(chunk):
        both_are_the_same(steps)


def both_are_the_same(steps: list[dict[int, bytes | None]]) -> None:
    both = Both()
    for step in steps:
        both.change({keys()[n]: value for n, value in step.items()})
        assert both.root == plain_tree.root_of(both.plain)
        assert dict(r for n in numbers(both.nodes) for r in records(both.page(n))) == both.model
    for key in keys():
        path = sha(key)
        assert find(both.page(number_of(path)), path, key, proven=False) == both.model.get(key)
        proof = prove(both.nodes, path, key, both.page)
        assert proof == plain_tree.prove_key(both.plain, key)
        assert merkle.check_key(both.root, key, both.model.get(key), proof)
    for number, page in both.pages.items():
        items = [(sha(key), key, value) for key, value in both.model.items() if number_of(sha(key)) == number]
        assert whole(page) == build(sorted(items)), "the same string, however it came about"
        assert_parts(page)


def assert_parts(page: Bucket) -> None:
    """What is large is in parts, and what is in parts is large."""
    if isinstance(page, Split):
        assert page.size == len(whole(page)) > module.CHUNK
        assert whole(page)[:1] == bytes([FORK])
        assert_parts(page.left)
        assert_parts(page.right)
    else:
        assert len(page) <= module.CHUNK or page[0] != FORK


@given(CHANGES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_of_a_page_never_shows_another_record(contents: dict[int, bytes | None], data: st.DataObject) -> None:
    """Whoever looks into a page whose head is known either finds what was put there, or is told."""
    both = Both()
    both.change({keys()[n]: value for n, value in contents.items() if n < 16})
    filled = {n: whole(page) for n, page in both.pages.items() if page}
    if not filled:
        return
    number = data.draw(st.sampled_from(sorted(filled)))
    page = bytearray(filled[number])
    at = data.draw(st.integers(0, len(page) - 1))
    page[at] ^= 1 << data.draw(st.integers(0, 7))
    if subroot_of(filled[number]) != subroot_of(bytes(page)):
        return
    for chunk in (CHUNK, 60):
        with chunks_of(chunk):
            for key in (k for k in keys() if number_of(sha(k)) == number):
                with contextlib.suppress(Malformed, IndexError):
                    assert find(split(bytes(page)), sha(key), key, proven=False) == both.model.get(key)


def test_a_page_that_is_cut_off_is_told() -> None:
    both = Both()
    both.change(dict.fromkeys(keys()[:16], b"value"))
    page = whole(max(both.pages.values(), key=len))
    assert page[0] == FORK
    for end in range(1, len(page)):
        try:
            found = list(records(page[:end]))
        except Malformed:
            continue
        assert found != list(records(page))
    with pytest.raises(Malformed):
        list(records(page[:40]))


@cache
def crowd() -> list[tuple[bytes, bytes, bytes]]:
    """Records of eight kilobytes, all of one page: paths that begin alike, as whoever tries long enough can have them."""
    items = [(bytes(2) + sha(b"%d" % n)[:30], b"%d" % n) for n in range(600)]
    return sorted((path, key, bytes(8_192)) for path, key in items)


def strings(page: Bucket) -> list[bytes]:
    return [page] if isinstance(page, bytes) else [*strings(page.left), *strings(page.right)]


def test_a_change_of_a_large_page_copies_a_small_part_of_it() -> None:
    """Five megabytes in one page: what a change costs does not follow from what others put beside it."""
    page = split(build(crowd()))
    assert len(page) > 4_900_000
    before = {id(part): part for part in strings(page)}
    made = page
    for path, key, _ in crowd()[::60]:
        old, made = made, update_one(made, (path, key, b"changed"))
        known = {id(part) for part in strings(old)}
        assert sum(len(part) for part in strings(made) if id(part) not in known) <= CHUNK
    assert whole(page) == build(crowd()), "the page before is what it was"
    assert sum(id(part) in before for part in strings(made)) > len(before) // 2
    changed = {key: b"changed" for _, key, _ in crowd()[::60]}
    assert whole(made) == build([(path, key, changed.get(key, value)) for path, key, value in crowd()])
    for path, key, _ in crowd():
        made = update_one(made, (path, key, None))
    assert made == b""


def test_a_record_that_is_put_again_leaves_a_large_page_as_it_is_however_it_is_held() -> None:
    """What did not change is no change of a block: all nodes have to agree on that, whatever they hold in parts."""
    path, key, value = crowd()[7]
    for page in (build(crowd()), split(build(crowd()))):
        assert update_one(page, (path, key, value)) is page
        assert update_one(page, (bytes(2) + b"?" * 30, b"none", None)) is page
