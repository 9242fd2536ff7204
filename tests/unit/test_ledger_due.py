"""Which deadlines run in a block: LC-BLK-14."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.contracts.membership import Case, CaseRef, case_key
from learningchain.chain.host import Due, due_key, split_due
from learningchain.chain.ledger.due import DeadlineBudget, DeadlineQueue
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.params import MAX_INT

A, B, C = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
NOW = 1_000


def chosen(keys: list[bytes], most: int, clock: int = NOW, work: int = MAX_INT, of: dict[bytes, int] | None = None) -> list[bytes]:
    """With room for so many, and so much work; each is 1 of it, or what `of` says."""
    keys = sorted(keys)
    return DeadlineQueue(keys).choose(keys, clock, DeadlineBudget(most, work), lambda key: (of or {}).get(key, 1))


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


def test_the_one_that_reaches_the_work_of_a_block_is_the_last() -> None:
    keys = of(A, range(4))
    work = dict(zip(keys, (3, 4, 90, 1), strict=True))
    assert [len(chosen(keys, 9, work=most, of=work)) for most in (1, 3, 4, 7, 8, 97, 98)] == [1, 1, 2, 2, 3, 3, 4]
    assert chosen(keys, 1, work=98, of=work) == keys[:1]


def test_who_has_heavy_ones_waits_for_them_alone() -> None:
    """An eighth of the work is an account's share while others wait; the one that reaches it still runs."""
    heavy, light = of(A, range(100, 200)), of(B, range(500, 540))
    work = dict.fromkeys(heavy, 1_025)
    assert chosen([*heavy, *light], 1_536, work=8_192, of=work) == [*heavy[:8], *light]
    crowd = [key for n in range(8) for key in of(bytes([9, n]) * 10, range(600, 700))]
    assert counts(chosen([*heavy, *crowd], 1_536, work=80, of=work)) == {A: 1}, "the whole block, once"
    assert counts(chosen([*heavy, *crowd], 1_536, work=1_105, of=work)) == {A: 1} | {bytes([9, n]) * 10: 10 for n in range(8)}


def plain(keys: list[bytes], clock: int, room: DeadlineBudget, work: dict[bytes, int]) -> list[bytes]:
    """LC-BLK-14 as the text has it, by looking at everything."""
    due = sorted((split_due(key)[1], split_due(key)[0], key) for key in keys if split_due(key)[1] <= clock)
    most, most_work = max(1, room.count // 8), max(1, room.work // 8)
    rounds, ranked = dict[bytes, list[int]](), list[tuple[int, int, bytes, bytes]]()
    for at, account, key in due:
        number, count, done = rounds.get(account, [0, 0, 0])
        if count >= most or done >= most_work:
            number, count, done = number + 1, 0, 0
        ranked.append((number, at, account, key))
        rounds[account] = [number, count + 1, done + work[key]]
    taken = list[tuple[int, bytes, bytes]]()
    for _, at, account, key in sorted(ranked)[: room.count]:
        if sum(work[one] for *_, one in taken) < room.work:
            taken.append((at, account, key))
    return [key for _, _, key in sorted(taken)]


PLACES = st.tuples(
    st.sampled_from([A, B, C]), st.integers(0, 12), st.integers(1, 2), st.sampled_from([b"", b"\x00", b"\xff", b"ab"])
)
STEPS = st.lists(st.tuples(st.booleans(), PLACES), max_size=40)


@given(st.lists(STEPS, max_size=4), st.integers(0, 12), st.builds(DeadlineBudget, st.integers(1, 30), st.integers(1, 60)))
@settings(max_examples=200, deadline=None)
def test_the_queue_is_what_the_rule_says_after_any_blocks(
    blocks: list[list[tuple[bool, Any]]], clock: int, room: DeadlineBudget
) -> None:
    """A deadline of contract 2 is the work of its case, of which there is one with three references."""
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
        overlay.put(case_key(b"ab"), Case(1, 0, 5, [CaseRef(b"", 3, A, A)] * 3, [], []))
        changes, _, tree = overlay.finish()
        state.commit(changes, tree)
        work = {key: 4 if split_due(key)[2:] == (2, b"ab") else 1 for key in known}
        assert state.due(clock, room) == plain(sorted(known), clock, room, work)
        assert state.earliest_due() == min((split_due(key)[1] for key in known), default=None)
        assert state.due(clock, room) == State.load(state.items()).due(clock, room)


class Counted(list[bytes]):
    """Counts which keys are looked at."""

    looked = 0

    def __getitem__(self, index: Any) -> Any:
        self.looked += 1
        return super().__getitem__(index)


def test_the_work_for_a_block_does_not_grow_with_what_waits() -> None:
    def looked(waiting: int) -> int:
        keys = Counted(sorted([*of(A, range(waiting)), *of(B, range(waiting)), *of(C, [500])]))
        heads = DeadlineQueue(keys)
        keys.looked = 0
        assert len(heads.choose(keys, 10**6, DeadlineBudget(64, MAX_INT), lambda _: 1)) == 64
        return keys.looked

    assert looked(50_000) <= 2 * looked(500)
