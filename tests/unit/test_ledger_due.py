"""Which deadlines run in a block: LC-BLK-14."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chain.host import Due, due_key, split_due
from chain.ledger.due import Heads
from chain.ledger.state import Overlay, State

A, B, C = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
NOW = 1_000


def chosen(keys: list[bytes], most: int, clock: int = NOW) -> list[bytes]:
    keys = sorted(keys)
    return Heads(keys).choose(keys, clock, most)


def of(account: bytes, times: range | list[int], ref: bytes = b"r") -> list[bytes]:
    return [due_key(account, at, 1, ref) for at in times]


def counts(keys: list[bytes]) -> dict[bytes, int]:
    accounts = [split_due(key)[0] for key in keys]
    return {account: accounts.count(account) for account in sorted(set(accounts))}


def test_they_run_by_time_then_account_then_contract_and_reference() -> None:
    keys = [due_key(*one) for one in [(A, 5, 2, b"a"), (B, 5, 1, b"a"), (A, 5, 1, b"b"), (A, 5, 1, b"a"), (C, 4, 9, b"z")]]
    assert chosen(keys, 9) == [keys[4], keys[3], keys[2], keys[0], keys[1]]
    assert chosen(keys, 2) == [keys[4], keys[3]]


def test_one_that_lies_ahead_does_not_run() -> None:
    keys = of(A, [NOW - 1, NOW, NOW + 1])
    assert chosen(keys, 9) == keys[:2]
    assert chosen(keys, 9, NOW - 2) == []


def test_while_others_wait_an_account_gets_its_share() -> None:
    flood, honest = of(A, range(100, 200)), of(B, [500])
    assert chosen([*flood, *honest], 16) == [*flood[:15], *honest]
    crowd = [key for n in range(8) for key in of(bytes([n]) * 20, range(500, 600))]
    assert counts(chosen([*flood, *crowd], 16)) == {bytes([n]) * 20: 2 for n in range(1, 8)} | {bytes(20): 2}


def test_what_nobody_else_wants_is_shared_evenly() -> None:
    assert counts(chosen([*of(A, range(100)), *of(B, range(500, 600)), *of(C, [700])], 16)) == {A: 8, B: 7, C: 1}
    assert chosen(of(A, range(100)), 16) == of(A, range(16))


def plain(keys: list[bytes], clock: int, most: int) -> list[bytes]:
    """LC-BLK-14 as the text has it, by looking at everything."""
    due = sorted((split_due(key)[1], split_due(key)[0], key) for key in keys if split_due(key)[1] <= clock)
    share, seen = max(1, most // 8), dict[bytes, int]()
    ranked = []
    for at, account, key in due:
        ranked.append((seen.get(account, 0) // share, at, account, key))
        seen[account] = seen.get(account, 0) + 1
    return [key for _, _, key in sorted((at, account, key) for _, at, account, key in sorted(ranked)[:most])]


PLACES = st.tuples(
    st.sampled_from([A, B, C]), st.integers(0, 12), st.integers(1, 2), st.sampled_from([b"", b"\x00", b"\xff", b"ab"])
)
STEPS = st.lists(st.tuples(st.booleans(), PLACES), max_size=40)


@given(st.lists(STEPS, max_size=4), st.integers(0, 12), st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_the_queue_is_what_the_rule_says_after_any_blocks(blocks: list[list[tuple[bool, Any]]], clock: int, most: int) -> None:
    state, known = State(), set[bytes]()
    for steps in blocks:
        overlay = Overlay(state)
        for put, place in steps:
            key = due_key(*place)
            if put:
                overlay.put(key, Due(place[2], place[3]))
                known.add(key)
            else:
                overlay.delete(key)
                known.discard(key)
        changes, _, tree = overlay.finish()
        state.commit(changes, tree)
        assert state.due(clock, most) == plain(sorted(known), clock, most)
        assert state.earliest_due() == min((split_due(key)[1] for key in known), default=None)
        assert state.due(clock, most) == State.load(state.items()).due(clock, most)


class Counted(list[bytes]):
    """Counts which keys are looked at."""

    looked = 0

    def __getitem__(self, index: Any) -> Any:
        self.looked += 1
        return super().__getitem__(index)


def test_the_work_for_a_block_does_not_grow_with_what_waits() -> None:
    def looked(waiting: int) -> int:
        keys = Counted(sorted([*of(A, range(waiting)), *of(B, range(waiting)), *of(C, [500])]))
        heads = Heads(keys)
        keys.looked = 0
        assert len(heads.choose(keys, 10**6, 64)) == 64
        return keys.looked

    assert looked(50_000) <= 2 * looked(500)
