"""Who is called next: order, fairness and bounds."""

from __future__ import annotations

import random

import pytest

from client.callbacks.schedule import ALL, FAILING, HOST, CallbackSchedule


def ref(number: int) -> bytes:
    return number.to_bytes(32, "big")


def taken(schedule: CallbackSchedule, now: int = 0) -> list[bytes]:
    found = []
    while (one := schedule.take(now)) is not None:
        found.append(one)
    return found


def test_a_host_has_few_attempts_at_a_time_and_others_go_on() -> None:
    schedule = CallbackSchedule()
    for number in range(100):
        schedule.put(ref(number), "one", 0)
    schedule.put(ref(1_000), "two", 0)
    assert set(taken(schedule)) == {*map(ref, range(HOST)), ref(1_000)}
    schedule.done(ref(0), well=True, again=None)
    assert taken(schedule) == [ref(HOST)]


def test_nothing_runs_before_it_is_due() -> None:
    schedule = CallbackSchedule()
    schedule.put(ref(1), "one", 10)
    schedule.put(ref(2), "one", 5)
    assert schedule.next_due() == 5 and taken(schedule, 4) == []
    assert taken(schedule, 5) == [ref(2)] and schedule.next_due() == 10
    assert taken(schedule, 10) == [ref(1)] and schedule.next_due() is None


def test_the_last_word_on_a_reference_counts() -> None:
    schedule = CallbackSchedule()
    schedule.put(ref(1), "one", 5)
    schedule.put(ref(1), "one", 50)
    assert taken(schedule, 10) == []
    schedule.put(ref(1), "one", 1)
    assert taken(schedule, 10) == [ref(1)]
    with pytest.raises(ValueError):
        schedule.put(ref(1), "one", 1)
    schedule.done(ref(1), well=True, again=70)
    assert taken(schedule, 60) == []
    schedule.drop(ref(1))
    assert taken(schedule, 80) == [] and len(schedule) == 0


def test_hosts_that_fail_leave_room_for_those_that_do_not() -> None:
    schedule = CallbackSchedule()
    for number in range(40):
        schedule.put(ref(number), f"dead {number}", 0)
    while running := taken(schedule):
        for one in running:
            schedule.done(one, well=False, again=100)
    hanging = taken(schedule, 100)
    assert len(hanging) == FAILING
    for number in range(ALL):
        schedule.put(ref(100 + number), f"live {number}", 100)
    assert taken(schedule, 100) == [ref(100 + number) for number in range(ALL - FAILING)]
    schedule.done(hanging[0], well=False, again=200)
    assert len(taken(schedule, 100)) == 1


def test_what_was_dropped_makes_nothing_else_of_its_host_run_sooner() -> None:
    schedule = CallbackSchedule()
    schedule.put(ref(1), "one", 5)
    schedule.put(ref(2), "one", 50)
    schedule.drop(ref(1))
    assert taken(schedule, 10) == [] and schedule.next_due() == 50
    assert taken(schedule, 50) == [ref(2)]


def test_attempts_that_run_at_a_host_count_as_it_did_last() -> None:
    """Four run at each of two hosts when one of them fails there: the other three may hang as well."""
    schedule = CallbackSchedule()
    for number in range(10):
        schedule.put(ref(100 + number), f"dead {number}", 0)
    for one in taken(schedule):
        schedule.done(one, well=False, again=100)
    for number in range(2 * HOST):
        schedule.put(ref(number), f"host {number % 2}", 0)
    assert len(taken(schedule)) == 2 * HOST
    for number in (0, 1):
        schedule.done(ref(number), well=False, again=10_000)
    assert len(taken(schedule, 100)) == FAILING - 2 * (HOST - 1)
    schedule.done(ref(2), well=True, again=None)
    assert len(taken(schedule, 100)) == HOST - 1, "the host answers again: those that run there count no more"


def test_a_host_that_failed_last_has_one_attempt_at_a_time_and_nothing_is_kept_of_one_without_work() -> None:
    schedule = CallbackSchedule()
    for number in range(HOST):
        schedule.put(ref(number), "one", 0)
    for one in taken(schedule):
        schedule.done(one, well=False, again=10)
    assert len(taken(schedule, 10)) == 1
    other = CallbackSchedule()
    other.put(ref(1), "two", 0)
    other.drop(ref(1))
    assert taken(other) == [] and not other._hosts


def test_while_all_places_are_taken_nobody_looks_at_the_clock() -> None:
    schedule = CallbackSchedule()
    for number in range(ALL + 1):
        schedule.put(ref(number), f"host {number}", 0)
    assert len(taken(schedule)) == ALL and schedule.next_due() is None
    schedule.done(ref(0), well=True, again=None)
    assert schedule.next_due() == 0


@pytest.mark.parametrize("seed", range(30))
def test_bounds_hold_and_everything_gets_its_turn(seed: int) -> None:
    """Random hosts that answer, fail or take long: never too many at a time, and all that was put has run at the end."""
    draw = random.Random(seed)
    schedule, now, host_of, running = CallbackSchedule(), 0, {}, []
    failing: set[str] = set()
    left = {ref(n): draw.randint(1, 3) for n in range(60)}
    for one in left:
        host_of[one] = f"host {draw.randint(0, 14)}"
        schedule.put(one, host_of[one], draw.randint(0, 20))
    for _ in range(5_000):
        running += taken(schedule, now)
        at = [host_of[one] for one in running]
        assert len(at) <= ALL and all(at.count(host) <= HOST for host in at)
        assert sum(host in failing for host in at) <= FAILING + HOST
        if not running:
            if (due := schedule.next_due()) is None:
                break
            now = max(now, due)
            continue
        one = running.pop(draw.randrange(len(running)))
        well = draw.random() < 0.6
        (failing.discard if well else failing.add)(host_of[one])
        left[one] -= well
        schedule.done(one, well=well, again=now + draw.randint(0, 9) if left[one] else None)
    assert not any(left.values()) and len(schedule) == 0 and not schedule._hosts
