"""The state beside dictionaries: transactions inside transactions, blocks, restarts over pages that lie elsewhere, feeds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learningchain.chain.buckets import Bucket, subroot_of
from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.errors import SupplyBroken
from learningchain.chain.host import K_CHAIN, K_SUPPLY, Account, ChainRecord, Due, Escrow, Supply, account_key, due_key, escrow_key
from learningchain.chain.ledger import state as ledger_state
from learningchain.chain.ledger.due import DeadlineBudget, DeadlineQueue
from learningchain.chain.ledger.state import SCANNED, Change, Overlay, State
from tests.unit.ledger_kit import key_of

IDS = [bytes([n]) * 20 for n in (0, 7, 255)]
DUE = [due_key(account, time, 1, ref) for account in IDS[:2] for time in (3, 255, 256) for ref in (b"", b"x")]
MEMBERS = [member_key(identity) for identity in IDS]
KEYS = [*DUE, *MEMBERS, *(account_key(i) for i in IDS), *(escrow_key(i) for i in IDS), K_SUPPLY]
PUBLIC = key_of("alice").public


def record_for(key: bytes, n: int) -> Any:
    if key in DUE:
        return Due(n, b"")
    if key in MEMBERS:
        return Member(key[2:], n % 2 == 0, n, 0, [], 0, [], [])
    if key == K_SUPPLY:
        return Supply(2 * n, n)
    return Escrow(n) if key.startswith(b"e/") else Account(PUBLIC, 0, n, 2 * n, [0] * 4, 0)


def credits_of(held: dict[bytes, Any]) -> tuple[int, int]:
    """(what accounts and escrows hold, what the supply record says)"""
    amounts = [
        r.amount if isinstance(r, Escrow) else r.balance + r.frozen for r in held.values() if isinstance(r, Escrow | Account)
    ]
    supply = held.get(K_SUPPLY)
    return sum(amounts), supply.minted - supply.burned if supply else 0


class Elsewhere:
    """Pages as a database keeps them: what is asked for is counted."""

    def __init__(self) -> None:
        self.buckets: dict[int, Bucket] = {}
        self.asked: list[int] = []
        self.heights: list[int] = []

    def bucket(self, number: int) -> Bucket:
        self.asked.append(number)
        return self.buckets[number]

    def put(self, height: int, buckets: dict[int, Bucket]) -> None:
        self.heights.append(height)
        self.buckets |= buckets

    def open(self, keys: dict[bytes, list[bytes]]) -> State:
        return State.open(self, {number: subroot_of(bucket) for number, bucket in self.buckets.items() if bucket}, keys)


class Both:
    """A state over pages elsewhere, beside what dictionaries hold of it."""

    def __init__(self) -> None:
        self.source = Elsewhere()
        self.state = State(self.source)
        self.committed: dict[bytes, Any] = {}
        self.height = 0
        self.begin_block()
        self.follow()

    def begin_block(self) -> None:
        self.overlay, self.now = Overlay(self.state), dict(self.committed)
        self.before: list[dict[bytes, Any]] = []

    def follow(self) -> None:
        self.feed, self.fed = self.state.follow((b"e/", b"m/")), dict[bytes, None]()

    def put(self, key: bytes, record: Any) -> None:
        self.overlay.put(key, record)
        self.now[key] = record

    def step(self, what: str, key: bytes, n: int) -> None:
        if what == "put":
            self.put(key, record_for(key, n))
        elif what == "delete":
            self.overlay.delete(key)
            self.now.pop(key, None)
        elif what == "begin":
            self.overlay.begin()
            self.before.append(dict(self.now))
        elif what == "keep" and self.before:
            self.overlay.keep()
            self.before.pop()
        elif what == "drop" and self.before:
            self.overlay.drop()
            self.now = self.before.pop()
        elif what == "take":
            expected = list(self.fed)[:n]
            assert self.feed.take(n) == expected
            self.fed = dict.fromkeys(list(self.fed)[n:])
        elif not self.before and what != "keep" and what != "drop":
            {"commit": self.commit, "forget": self.begin_block, "restart": self.restart}[what]()
            self.records_agree()

    def commit(self) -> None:
        self.height += 1
        self.put(K_CHAIN, ChainRecord(bytes(32), self.height, self.height, self.height, bytes(32)))
        changes, encoded, tree = self.overlay.finish()
        real = {k: self.now.get(k) for k in {*self.now, *self.committed} if self.now.get(k) != self.committed.get(k)}
        assert changes == sorted(real.items())
        assert [(key, None if raw is None else decode(type(real[key]), raw, 9999)) for key, raw in encoded] == sorted(real.items())
        self.state.commit(changes, tree)
        self.committed = dict(self.now)
        self.fed |= dict.fromkeys(key for key, _ in changes if key.startswith((b"e/", b"m/")))
        assert self.source.heights == list(range(1, self.height + 1))
        self.begin_block()

    def restart(self) -> None:
        self.state = self.source.open({prefix: list(self.state._sorted[prefix]) for prefix in self.state._sorted})
        self.begin_block()
        self.follow()

    def agree(self) -> None:
        assert {k: v for k in KEYS if (v := self.overlay.get(k)) is not None} == {k: self.now[k] for k in KEYS if k in self.now}
        for reader, held in ((self.overlay, self.now), (self.state, self.committed)):
            shown = sorted((k, r) for k, r in held.items() if k in DUE or (k in MEMBERS and r.verifier))
            for prefix, limit in ((b"d/", 99), (b"d/", 2), (b"d/", 0), (DUE[0][:22], 99), (b"m/", 99), (b"m/", 1)):
                assert list(reader.scan(prefix, limit)) == [(k, r) for k, r in shown if k.startswith(prefix)][:limit]
        self.credits_agree()

    def records_agree(self) -> None:
        plain = State.load((key, encode(record)) for key, record in self.committed.items())
        assert plain.root == self.state.root
        assert self.state.held() == plain.held() and self.state.total() == credits_of(self.committed)[0]
        for prefix in SCANNED:
            assert self.state.keys(prefix) == sorted(k for k in self.committed if k.startswith(prefix))
        heads = DeadlineQueue(self.state.keys(b"d/"))
        assert self.state.earliest_due() == heads.earliest()
        assert self.state.due(255, DeadlineBudget(3, 9)) == heads.choose(
            self.state.keys(b"d/"), 255, DeadlineBudget(3, 9), lambda _: 1
        )

    def credits_agree(self) -> None:
        held, counted = credits_of(self.now)
        since_block, since_begin = credits_of(self.committed), credits_of(self.before[-1] if self.before else self.now)
        assert self.overlay.block_difference() == (held - since_block[0], counted - since_block[1])
        if self.before:
            assert self.overlay.tx_difference() == (held - since_begin[0], counted - since_begin[1])
            try:
                self.overlay.audit()
            except SupplyBroken:
                assert held - since_begin[0] != counted - since_begin[1]
            else:
                assert held - since_begin[0] == counted - since_begin[1]


WHAT = ["put", "put", "put", "delete", "begin", "begin", "keep", "drop", "commit", "commit", "forget", "restart", "take"]


def steps_over(keys: list[bytes]) -> st.SearchStrategy[list[tuple[str, bytes, int]]]:
    """Few keys at a time: what happens to a record twice is what goes wrong."""
    return st.lists(st.tuples(st.sampled_from(WHAT), st.sampled_from(keys), st.integers(0, 5)), min_size=10, max_size=50)


@example(
    [("begin", DUE[0], 0), ("put", DUE[0], 1), ("begin", DUE[0], 0), ("put", DUE[0], 2), ("keep", DUE[0], 0), ("drop", DUE[0], 0)]
)
@example([("put", MEMBERS[0], 1), ("commit", MEMBERS[0], 0), ("put", MEMBERS[0], 2), ("commit", MEMBERS[0], 0)])
@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=5, unique=True).flatmap(steps_over))
@settings(max_examples=25, deadline=None)
def test_a_state_is_what_dictionaries_are_whatever_lies_elsewhere(steps: list[tuple[str, bytes, int]]) -> None:
    with pytest.MonkeyPatch.context() as m:
        m.setattr(ledger_state, "KEPT_RECORDS", 4)
        m.setattr(ledger_state, "KEPT_BUCKETS", 200)
        m.setattr(ledger_state, "FEW", 2)
        both = Both()
        for step in steps:
            both.step(*step)
            both.agree()


# --- what is kept in memory ---------------------------------------------------------------------------------------------------


def filled(blocks: int, each: int = 1) -> Both:
    """One escrow after the other, each in a page of its own."""
    both = Both()
    for block in range(blocks):
        for n in range(each):
            both.put(escrow_key((block * each + n).to_bytes(32, "big")), Escrow(1 + block))
        both.commit()
    return both


def test_pages_in_memory_are_bounded_and_those_used_lately_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    both = filled(1, 200)
    size = max(map(len, both.source.buckets.values()))
    monkeypatch.setattr(ledger_state, "KEPT_BUCKETS", 20 * size)
    keys = [escrow_key(n.to_bytes(32, "big")) for n in range(200)]
    state = both.source.open({prefix: [] for prefix in both.state._sorted})
    for key in keys:
        assert state.raw(key) is not None
    first = len(both.source.asked)
    for key in keys[-15:]:
        state.raw(key)
    assert len(both.source.asked) == first, "what was used a moment ago is asked for again"
    for key in keys[:50]:
        state.raw(key)
    assert len(both.source.asked) >= first + 45, "what was used long ago is still in memory"


def test_pages_that_blocks_changed_leave_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_state, "KEPT_BUCKETS", 2_000)
    both = filled(100)
    both.source.asked.clear()
    assert both.state.raw(escrow_key(bytes(32))) is not None
    assert both.source.asked


def test_records_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_state, "KEPT_RECORDS", 10)
    both, keys, decoded = filled(1, 60), [escrow_key(n.to_bytes(32, "big")) for n in range(60)], []
    state = both.source.open({prefix: [] for prefix in both.state._sorted})

    def counting(*args: Any) -> Any:
        decoded.append(args)
        return decode(*args)

    monkeypatch.setattr(ledger_state, "decode", counting)
    for key in keys:
        state.get(key)
    before = len(decoded)
    for key in keys[-10:]:
        state.get(key)
    assert len(decoded) == before
    for key in keys[:20]:
        state.get(key)
    assert len(decoded) == before + 20


# --- feeds --------------------------------------------------------------------------------------------------------------------


def changes(first: int, end: int) -> list[Change]:
    return [(escrow_key(n.to_bytes(32, "big")), Escrow(n)) for n in range(first, end)]


def test_a_feed_tells_up_to_its_bound_and_is_lost_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_state, "MAX_FED", 10)
    feed = State().follow((b"e/",))
    feed.note(changes(0, 10))
    feed.note(changes(0, 10))
    assert not feed.lost and feed.take(99) == [key for key, _ in changes(0, 10)], "each key counts once"
    feed.note(changes(0, 11))
    assert feed.lost and len(feed) == 0, "what cannot be told whole is not kept"
    feed.note(changes(0, 3))
    assert feed.lost and len(feed) == 0, "the reader looks through the listings: nothing gathers meanwhile"
    feed.restart()
    assert not feed.lost and feed.take(99) == []
    feed.note(changes(3, 5))
    assert feed.take(1) == [changes(3, 4)[0][0]] and feed.take(9) == [changes(4, 5)[0][0]]


def test_a_feed_that_starts_again_forgets_what_it_had_not_told() -> None:
    feed = State().follow((b"e/",))
    feed.note(changes(0, 3))
    feed.restart()
    assert feed.take(9) == []
