"""Deadlines that wait for a height: LC-BLK-33."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from learningchain.chain.contracts.membership import Release
from learningchain.chain.errors import TxCode
from learningchain.chain.host import Host, parked_key
from learningchain.chain.ledger.state import State
from tests.unit.ledger_kit import NUMBER, Act, Chain, genesis_of, id_of, own_contract

A = id_of("alice")


class Waits:
    """A contract whose deadlines wait for heights, `after` blocks from now, and that writes down when they came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, max_due: int = 256) -> None:
        self.plan: list[tuple[int, bytes]] = []
        self.came: list[tuple[int, bytes, int]] = []
        """(height, reference, the time that it was called with)"""
        self.then: Callable[[Host, bytes], None] = lambda host, ref: None
        acts = {"set": self._set, "late": lambda host, sender, m: self.then(host, b"")}
        own_contract(monkeypatch, acts, self._ring)
        self.chain = Chain(genesis_of("alice", "bob", max_due=max_due))

    def _set(self, host: Host, sender: bytes, m: Act) -> None:
        for after, ref in self.plan:
            assert host.schedule_at_height(host.height + after, NUMBER, ref, sender) == host.clock

    def _ring(self, host: Host, ref: bytes, at: int) -> None:
        self.came.append((host.height, ref, at))
        self.then(host, ref)

    def set(self, *plan: tuple[int, bytes], by: str = "alice") -> tuple[int, int]:
        """Height and clock of the block that sets them."""
        self.plan = list(plan)
        assert self.chain.codes(self.chain.tx(by, Act("set"))) == [0]
        return self.chain.height, self.chain.clock


def test_it_comes_in_the_block_of_its_height_with_the_clock_of_the_block_that_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)
    height, clock = waits.set((1, b"next"), (3, b"third"))
    for _ in range(4):
        waits.chain.block(step=60_000)
    assert waits.came == [(height + 1, b"next", clock), (height + 3, b"third", clock)]


def test_while_one_waits_the_next_block_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits in blocks that need nothing else to be made, and then as a deadline whose time has come."""
    waits = Waits(monkeypatch)
    state = waits.chain.state
    assert not state.waits_for_height()
    _, clock = waits.set((3, b"x"))
    for _ in range(2):
        assert state.waits_for_height() and State.load(state.items()).waits_for_height() and state.earliest_due() is None
        waits.chain.block(step=1)
    assert not state.waits_for_height() and state.earliest_due() == clock
    waits.chain.block(step=1)
    assert waits.came and state.earliest_due() is None


def test_one_that_was_cancelled_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither while it waits for its height, nor once it waits for room in a block."""
    waits = Waits(monkeypatch)
    height, clock = waits.set((1, b"a"), (2, b"b"), (3, b"c"))
    waits.then = lambda host, ref: host.cancel_at_height(height + 3, clock, NUMBER, b"c", A) if ref == b"b" else None
    for _ in range(4):
        waits.chain.block()
    assert [ref for _, ref, _ in waits.came] == [b"a", b"b"]
    assert not waits.chain.state.waits_for_height() and waits.chain.state.earliest_due() is None


def test_those_for_which_a_block_has_no_room_share_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-14: by account, and among themselves by the time at which they were set."""
    waits = Waits(monkeypatch, max_due=16)
    height, first = waits.set(*[(2, bytes([n])) for n in range(20)])
    _, second = waits.set((1, b"bob's"), by="bob")
    cancelled: list[bytes] = []

    def cancel(host: Host, ref: bytes) -> None:
        if not cancelled:
            host.cancel_at_height(height + 2, first, NUMBER, bytes([19]), A)
            cancelled.append(ref)

    waits.then = cancel
    waits.chain.block()
    assert [one for one in waits.came if one[1] == b"bob's"] == [(height + 2, b"bob's", second)], "it waits for no flood"
    assert len(waits.came) == 16 and {at for _, _, at in waits.came[:-1]} == {first}
    waits.chain.block()
    assert [ref for _, ref, _ in waits.came] == [*[bytes([n]) for n in range(15)], b"bob's", *[bytes([n]) for n in range(15, 19)]]


def test_of_too_many_for_a_height_two_blocks_worth_join_the_deadlines_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, max_due=3)
    waits.set(*[(1, bytes([n])) for n in range(14)])
    joined = []
    for _ in range(6):
        joined.append((len(waits.chain.state.keys(b"dh/")), len(waits.chain.state.keys(b"d/")), len(waits.came)))
        waits.chain.block()
    assert joined == [(8, 6, 0), (2, 9, 3), (0, 8, 6), (0, 5, 9), (0, 2, 12), (0, 0, 14)]


def test_no_deadline_is_set_for_a_height_that_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never come: a contract's fault, and its transaction stands in no block."""
    waits = Waits(monkeypatch)

    def set_for_now(host: Host, ref: bytes) -> None:
        host.schedule_at_height(host.height, NUMBER, ref, A)

    waits.then = set_for_now
    skipped = waits.chain.try_(waits.chain.tx("alice", Act("late")), building=True).skipped
    assert skipped[0][1].code is TxCode.QUARANTINED and "schedules for height" in skipped[0][1].text


def test_one_that_fails_parks_its_reference_and_comes_again_when_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-20, LC-MEM-13: with the time that it had."""
    waits = Waits(monkeypatch)

    def fail(host: Host, ref: bytes) -> None:
        raise KeyError("bug")

    waits.then = fail
    height, clock = waits.set((2, b"x"))
    waits.chain.block()
    waits.chain.block()
    parked = waits.chain.state.get(parked_key(NUMBER, b"x"))
    assert parked is not None and [(held.account, held.time) for held in parked.held] == [(A, clock)]
    waits.then = lambda host, ref: None
    assert waits.chain.codes(*(waits.chain.tx(v, Release(NUMBER, b"x", False)) for v in ("v1", "v2", "v3"))) == [0, 0, 0]
    waits.chain.block()
    assert waits.came == [(height + 2, b"x", clock), (height + 4, b"x", clock)]
