"""Who is called next: order, fairness and bounds."""

from __future__ import annotations

import random

import pytest

from learningchain.client.callbacks.schedule import ALL, FAILING, HOST, CallbackSchedule


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
