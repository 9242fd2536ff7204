"""The way of a reader to a height: from genesis or a block that it trusts, over the sets that changed in between. LC-LIGHT-2, 3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.receipt_file import MAX_HANDOVERS
from learningchain.client.node import proofs

FIRST = ["the set of genesis"]
CHANGES = (4, 5, 9)
"""Heights after which another set decides."""


class Changes:
    """What a node keeps of sets that changed."""

    def read(self, _store: Any, first: int, limit: int) -> list[Any]:
        assert limit > MAX_HANDOVERS, "one more than fits tells that there are too many"
        return [change(height) for height in CHANGES if height >= first]

    def last_before(self, _store: Any, height: int) -> Any:
        return next((change(at) for at in reversed(CHANGES) if at < height), None)


def change(height: int) -> Any:
    return SimpleNamespace(header=SimpleNamespace(height=height), validators=[f"the set after {height}"])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(proofs, "stored_changes", Changes())
    return SimpleNamespace(header=lambda height: f"header {height}" if height <= 12 else None)


def way(store: Any, height: int, trusted: int | None) -> tuple[Any, list[int]]:
    first: Any = FIRST
    found = proofs.way_to(store, first, height, trusted)
    begin = None if found.trusted is None else (found.trusted.header, found.trusted.validators)
    return begin, [one.header.height for one in found.handovers]


@pytest.mark.parametrize(("height", "changes"), [(1, []), (4, []), (5, [4]), (9, [4, 5]), (10, [4, 5, 9])])
def test_from_genesis_every_change_below_the_height_is_on_the_way(store: Any, height: int, changes: list[int]) -> None:
    assert way(store, height, None) == (None, changes)


@pytest.mark.parametrize(
    ("trusted", "validators", "changes"),
    [(3, FIRST, [4, 5]), (4, ["the set after 4"], [5]), (5, ["the set after 5"], []), (8, ["the set after 5"], [])],
)
def test_from_a_trusted_block_only_what_changed_after_it_is(
    store: Any, trusted: int, validators: list[str], changes: list[int]
) -> None:
    """The set that follows a trusted block is known with it: its own change is not shown again."""
    assert way(store, 9, trusted) == ((f"header {trusted}", validators), changes)


def test_a_block_that_is_not_kept_is_no_beginning(store: Any) -> None:
    with pytest.raises(Malformed, match="no block 13 that a receipt could begin at"):
        way(store, 20, 13)


def test_records_are_proven_once_each_in_the_order_of_their_keys() -> None:
    asked: list[bytes] = []

    def prove(key: bytes) -> tuple[bytes | None, Any]:
        asked.append(key)
        return (None if key == b"b" else b"held"), [key]

    state: Any = SimpleNamespace(prove=prove)
    found = proofs.proven_records(state, [b"c", b"a", b"b", b"a"])
    assert [(one.key, one.record) for one in found] == [(b"a", [b"held"]), (b"b", []), (b"c", [b"held"])]
    assert asked == [b"a", b"b", b"c"]
