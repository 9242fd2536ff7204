"""The state's tree in pages has the roots and proofs of the plain tree (LC-MRK-4 to LC-MRK-6), whatever happens to it."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache, reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import merkle
from chain.errors import Malformed
from chain.pages import FORK, find, head_of, no_nodes, number_of, numbers, prove, records, root_of, update, update_one, update_top
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
        self.pages: dict[int, bytes] = {}
        self.model: dict[bytes, bytes] = {}

    def page(self, number: int) -> bytes:
        return self.pages.get(number, b"")

    def change(self, changes: dict[bytes, bytes | None]) -> None:
        by_page: dict[int, list[tuple[bytes, bytes, bytes | None]]] = {}
        for key, value in changes.items():
            by_page.setdefault(number_of(sha(key)), []).append((sha(key), key, value))
            self.model = {k: v for k, v in (self.model | {key: value}).items() if v is not None}
        for number, found in by_page.items():
            before = self.page(number)
            self.pages[number] = update(before, sorted(found))
            assert reduce(update_one, found, before) == self.pages[number], "one after another, in any order"
            assert all(update_one(self.pages[number], change) is self.pages[number] for change in found), "made again: nothing new"
        for at, node in update_top(self.nodes, {n: head_of(self.pages[n]) for n in by_page}).items():
            self.nodes[at] = node
        self.plain = plain_tree.update(self.plain, sorted((sha(k), None if v is None else sha(v)) for k, v in changes.items()))

    @property
    def root(self) -> bytes:
        return root_of(self.nodes[1])


@given(st.lists(CHANGES, max_size=12))
@settings(max_examples=120, deadline=None)
def test_pages_have_the_roots_and_proofs_of_the_plain_tree(steps: list[dict[int, bytes | None]]) -> None:
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


@given(CHANGES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_of_a_page_never_shows_another_record(contents: dict[int, bytes | None], data: st.DataObject) -> None:
    """Whoever looks into a page whose head is known either finds what was put there, or is told."""
    both = Both()
    both.change({keys()[n]: value for n, value in contents.items() if n < 16})
    whole = {n: page for n, page in both.pages.items() if page}
    if not whole:
        return
    number = data.draw(st.sampled_from(sorted(whole)))
    page = bytearray(whole[number])
    at = data.draw(st.integers(0, len(page) - 1))
    page[at] ^= 1 << data.draw(st.integers(0, 7))
    if head_of(whole[number]) != head_of(bytes(page)):
        return
    for key in (k for k in keys() if number_of(sha(k)) == number):
        with contextlib.suppress(Malformed, IndexError):
            assert find(bytes(page), sha(key), key, proven=False) == both.model.get(key)


def test_a_page_that_is_cut_off_is_told() -> None:
    both = Both()
    both.change(dict.fromkeys(keys()[:16], b"value"))
    page = max(both.pages.values(), key=len)
    assert page[0] == FORK
    for end in range(1, len(page)):
        try:
            found = list(records(page[:end]))
        except Malformed:
            continue
        assert found != list(records(page))
    with pytest.raises(Malformed):
        list(records(page[:40]))
