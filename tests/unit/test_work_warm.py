"""Which containers of served models wait, and which request gets which: rules that hold whatever happens, and single steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from learningchain.client.work.warm import (
    MAX_WAITING,
    NOTED_FAILURES,
    RETRY_MOST_S,
    Action,
    Close,
    Give,
    Refuse,
    Start,
    Warmth,
)

T = TypeVar("T")
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
IDLE_S = 600.0


def warmth(slots: int = 2, memory_mb: int = 1_000) -> Warmth:
    return Warmth(slots, memory_mb, IDLE_S)


def one(actions: Sequence[Action], kind: type[T]) -> T:
    [found] = [action for action in actions if isinstance(action, kind)]
    return found


def ready(pool: Warmth, actions: Sequence[Action], now: float = 0.0) -> list[Action]:
    """Every container that was started gets ready, and those that follow."""
    said: list[Action] = []
    queue = list(actions)
    while queue:
        action = queue.pop(0)
        if isinstance(action, Start):
            queue += pool.started(action.container, now)
        else:
            said.append(action)
    return said


# --- whatever happens -------------------------------------------------------------------------------------------------------------


class Anything(RuleBasedStateMachine):
    """Models come and go, requests are asked and called off, containers start, fail, die and answer, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = warmth(slots=2, memory_mb=700)
        self.now = 0.0
        self.asked = 0
        self.open: set[str] = set()
        """Requests that have no container and no refusal."""
        self.served: dict[bytes, int] = {}
        self.starting: dict[int, bytes] = {}
        self.ready: dict[int, bytes] = {}
        self.given: dict[int, str] = {}
        self.closing: set[int] = set()
        self.used: set[int] = set()
        self.cost: dict[int, int] = {}

    def carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(container, ref):
                    assert container not in self.cost, "a name is for one container"
                    self.starting[container], self.cost[container] = ref, self.served[ref]
                case Give(container, ask):
                    assert container not in self.used, "a container saw two requests"
                    self.used.add(container)
                    del self.ready[container]
                    self.given[container] = ask
                    self.open.remove(ask)
                case Close(container):
                    del self.ready[container]
                    self.closing.add(container)
                case Refuse(ask):
                    self.open.remove(ask)

    @rule(ref=st.sampled_from([A, B]), cost=st.integers(50, 300), keep=st.integers(0, 3))
    def serve(self, ref: bytes, cost: int, keep: int) -> None:
        if ref not in self.served:
            self.served[ref] = cost
            self.carry_out(self.pool.serve(ref, cost, keep, self.now))

    @rule(ref=st.sampled_from([A, B]))
    def unserve(self, ref: bytes) -> None:
        self.served.pop(ref, None)
        self.carry_out(self.pool.unserve(ref, self.now))

    @rule(ref=st.sampled_from([A, B]), wait_s=st.sampled_from([0.0, 5.0, 1_000.0]))
    def ask(self, ref: bytes, wait_s: float) -> None:
        self.asked += 1
        self.open.add(str(self.asked))
        self.carry_out(self.pool.ask(str(self.asked), ref, self.now + wait_s, self.now))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def call_off(self, data: st.DataObject) -> None:
        self.carry_out(self.pool.call_off(data.draw(st.sampled_from(sorted(self.open))), self.now))

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), end=st.sampled_from(["ready", "ready", "ready", "here", "there"]))
    def end_of_a_start(self, data: st.DataObject, end: str) -> None:
        container = data.draw(st.sampled_from(sorted(self.starting)))
        ref = self.starting.pop(container)
        if end == "ready":
            self.ready[container] = ref
            self.carry_out(self.pool.started(container, self.now))
        else:
            del self.cost[container]
            self.carry_out(self.pool.start_failed(container, "no", None, self.now, here=end == "here"))

    @precondition(lambda self: self.ready)
    @rule(data=st.data())
    def death(self, data: st.DataObject) -> None:
        container = data.draw(st.sampled_from(sorted(self.ready)))
        del self.ready[container], self.cost[container]
        self.carry_out(self.pool.died(container, self.now))

    @precondition(lambda self: self.given)
    @rule(data=st.data(), proven=st.booleans(), dead=st.booleans())
    def answer(self, data: st.DataObject, proven: bool, dead: bool) -> None:
        container = data.draw(st.sampled_from(sorted(self.given)))
        ask = self.given.pop(container)
        del self.cost[container]
        if dead:
            self.open.add(ask)
            self.carry_out(self.pool.found_dead(container, ask, self.now + 5, self.now))
        else:
            self.carry_out(self.pool.gone(container, self.now, proven=proven))

    @precondition(lambda self: self.closing)
    @rule()
    def closed(self) -> None:
        container = self.closing.pop()
        del self.cost[container]
        self.carry_out(self.pool.gone(container, self.now))

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0, 700.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.pool.tick(self.now))

    @invariant()
    def memory_is_bounded(self) -> None:
        assert sum(self.cost.values()) == self.pool.memory_taken_mb <= 700

    @invariant()
    def slots_are_bounded(self) -> None:
        assert len(self.given) <= 2

    @invariant()
    def nothing_that_could_be_answered_waits(self) -> None:
        waiting = [found.ref for found in self.pool._waiting.values()]
        if len(self.given) < 2:
            assert not set(waiting) & set(self.ready.values())

    def teardown(self) -> None:
        """From any state: once nothing fails any more and containers answer, every request has its end."""
        for _ in range(300):
            if not (self.open or self.given or self.starting):
                break
            self.now += 1.0
            for container in list(self.starting):
                self.ready[container] = self.starting.pop(container)
                self.carry_out(self.pool.started(container, self.now))
            for container in list(self.given):
                del self.given[container], self.cost[container]
                self.carry_out(self.pool.gone(container, self.now, proven=True))
            for container in list(self.closing):
                self.closing.discard(container)
                del self.cost[container]
                self.carry_out(self.pool.gone(container, self.now))
            self.carry_out(self.pool.tick(self.now))
        assert not self.open and not self.given, (self.open, self.given)


Anything.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- single steps -----------------------------------------------------------------------------------------------------------------


def test_a_served_model_has_containers_ready_and_the_next_one_is_started_when_one_is_used() -> None:
    pool = warmth()
    ready(pool, pool.serve(A, 100, 2, 0.0))
    assert pool.counts(A) == (0, 2, 0)
    first = one(pool.ask("x", A, 9.0, 1.0), Give)
    assert pool.counts(A) == (0, 1, 1), "one is ready: the next one waits until nothing is answered"
    assert one(pool.gone(first.container, 2.0), Start).ref == A
    ready(pool, [], 3.0)
    assert pool.counts(A) == (1, 1, 0)


def test_a_model_that_nobody_asked_for_so_long_has_none_and_gets_them_again_when_it_is_asked() -> None:
    pool = warmth()
    ready(pool, pool.serve(A, 100, 2, 0.0))
    assert pool.tick(IDLE_S - 1) == []
    closed = [action for action in pool.tick(IDLE_S) if isinstance(action, Close)]
    assert len(closed) == 2
    for action in closed:
        assert pool.gone(action.container, IDLE_S) == []
    start = one(pool.ask("x", A, 2_000.0, 1_000.0), Start)
    actions = pool.started(start.container, 1_001.0)
    assert one(actions, Start).ref == A
    assert one(pool.gone(one(actions, Give).container, 1_002.0), Start).ref == A


def test_a_model_that_is_served_no_more_has_none_and_its_requests_are_told() -> None:
    pool = warmth(slots=1)
    ready(pool, pool.serve(A, 100, 2, 0.0))
    given = one(pool.ask("x", A, 9.0, 1.0), Give)
    pool.ask("y", A, 9.0, 1.0)
    actions = pool.unserve(A, 2.0)
    assert one(actions, Refuse).ask == "y"
    assert pool.gone(one(actions, Close).container, 2.0) == []
    assert pool.gone(given.container, 3.0) == []
    assert pool.memory_taken_mb == 0
    assert one(pool.ask("z", A, 9.0, 4.0), Refuse).why == "this node does not serve the model"


def test_a_request_takes_the_memory_of_what_only_waits_and_the_longest_unused_goes_first() -> None:
    pool = warmth(memory_mb=300)
    ready(pool, pool.serve(A, 150, 2, 0.0), 0.0)
    pool.serve(B, 150, 2, 1.0)
    assert pool.counts(B) == (0, 0, 0), "what is to be kept takes what is left"
    close = one(pool.ask("x", B, 99.0, 5.0), Close)
    start = one(pool.gone(close.container, 6.0), Start)
    assert start.ref == B
    assert pool.counts(A) == (0, 1, 0)


def test_a_model_of_which_not_one_container_fits_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(ValueError, match=r"may use 1001 MiB, and all that this node serves has 1000 MiB; raise serve\.mem_mb"):
        warmth().serve(A, 1_001, 1, 0.0)


def test_what_fails_is_tried_again_ever_more_rarely_and_the_operator_is_told() -> None:
    pool, now = warmth(), 0.0
    tries: list[float] = []
    actions = pool.serve(A, 100, 1, 0.0)
    while len(tries) < 12:
        for action in actions:
            if isinstance(action, Start):
                tries.append(now)
                pool.start_failed(action.container, "it never got ready", None, now, here=False)
        now += 0.5
        pool._models[A].used = now  # it is asked for all the time
        actions = pool.tick(now)
    gaps = [after - before for before, after in pairwise(tries)]
    assert gaps[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(gaps) == RETRY_MOST_S
    [(ref, text)] = pool.troubles(now)
    assert ref == A and "after 12 failures: it never got ready; again in 300 s" in text


def test_a_failure_of_the_model_is_the_answer_of_who_waited_longest_and_one_of_this_machine_is_not() -> None:
    pool = warmth(slots=1)
    pool.serve(A, 100, 0, 0.0)
    start = one(pool.ask("x", A, 9.0, 0.0), Start)
    pool.ask("y", A, 9.0, 0.0)
    actions = pool.start_failed(start.container, "exit 65", "the result", 1.0, here=False)
    assert one(actions, Refuse) == Refuse("x", "exit 65", "the result")
    start = one(actions, Start)
    assert pool.start_failed(start.container, "no engine", None, 1.5, here=True) == []
    start = one(pool.tick(2.5), Start)
    assert one(pool.started(start.container, 3.0), Give).ask == "y"


def test_a_container_that_died_while_it_waited_is_replaced_and_one_that_waited_long_is_no_failure() -> None:
    pool = warmth()
    [start] = pool.serve(A, 100, 1, 0.0)
    assert isinstance(start, Start)
    pool.started(start.container, 0.0)
    assert pool.died(start.container, 5.0) == []
    again = one(pool.tick(6.0), Start)
    pool.started(again.container, 6.0)
    pool._models[A].used = 100.0
    assert isinstance(one(pool.died(again.container, 100.0), Start), Start), "its time was up: at once"
    assert pool.died(again.container, 100.0) == []


def test_no_more_requests_wait_than_their_bound() -> None:
    pool = warmth()
    pool.serve(A, 100, 0, 0.0)
    for n in range(MAX_WAITING):
        pool.ask(str(n), A, 9.0, 0.0)
    assert one(pool.ask("more", A, 9.0, 0.0), Refuse).why == f"{MAX_WAITING} requests wait for a container already"


def failed(pool: Warmth, times: int) -> None:
    for n in range(times):
        start = one(pool.ask(f"fails {n}", A, 999.0, 0.0), Start)
        pool.start_failed(start.container, "exit 1", None, 0.0, here=False)


@pytest.mark.parametrize("proven", [True, False])
def test_the_operator_is_told_after_three_failures_until_a_container_does_what_it_should(proven: bool) -> None:
    pool = warmth()
    pool.serve(A, 100, 0, 0.0)
    failed(pool, NOTED_FAILURES - 1)
    assert list(pool.troubles(0.0)) == []
    failed(pool, 1)
    assert len(list(pool.troubles(0.0))) == 1
    start = one(pool.ask("x", A, 9.0, 0.0), Start)
    pool.started(start.container, 1.0)
    assert len(list(pool.troubles(1.0))) == 1, "it has its request at once, and has not answered"
    pool.gone(start.container, 2.0, proven=proven)
    assert len(list(pool.troubles(2.0))) == (not proven)


def test_behind_a_request_for_which_there_is_no_memory_nothing_is_started() -> None:
    """Else small models would keep a large one waiting for ever."""
    pool = warmth(slots=3, memory_mb=300)
    for ref, cost in ((A, 200), (B, 200), (C, 50)):
        ready(pool, pool.serve(ref, cost, 0, 0.0))
    start = one(pool.ask("x", A, 99.0, 0.0), Start)
    pool.started(start.container, 0.0)
    assert pool.ask("y", B, 99.0, 1.0) == [] and pool.ask("z", C, 99.0, 1.0) == []
    assert [action.ref for action in pool.gone(start.container, 2.0) if isinstance(action, Start)] == [B, C]


def test_what_was_given_a_container_that_had_ended_is_answered_before_all_others() -> None:
    """Its slot is free meanwhile."""
    pool = warmth(slots=1)
    pool.serve(A, 100, 0, 0.0)
    start = one(pool.ask("x", A, 99.0, 0.0), Start)
    pool.started(start.container, 1.0)
    pool.ask("y", A, 99.0, 1.0)
    assert pool.died(start.container, 1.0) == [], "who has it finds that out"
    assert pool.found_dead(start.container, "x", 99.0, 1.0) == []
    again = one(pool.tick(2.0), Start)
    assert one(pool.started(again.container, 2.0), Give).ask == "x"


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(("everything", "idle"), [(True, False), (False, True), (False, False)])
def test_this_machine_s_own_trouble_counts_no_more_once_it_is_over(here: bool, everything: bool, idle: bool) -> None:
    pool, now = warmth(), 0.0
    actions = pool.serve(A, 100, 1, now)
    for _ in range(NOTED_FAILURES):
        actions = pool.start_failed(one(actions, Start).container, "why", None, now, here=here)
        now += RETRY_MOST_S / 3
        actions += pool.tick(now)
    now += IDLE_S if idle else 0.0
    forgiven = here and (everything or idle)
    assert pool.forgive(now, everything=everything) == ([A] if forgiven else [])
    assert bool(list(pool.troubles(now))) is not forgiven
