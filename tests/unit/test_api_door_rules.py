"""The door of the HTTP API rule by rule: whose time is up, who makes room, what the log gets. No network, a clock by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import structlog
from aiohttp import web

from learningchain.client.api.errors import RequestError
from learningchain.client.api.http_listener import LOG_LINES, LOG_WINDOW_S, STALL_BYTES, HttpConnection, HttpListener
from learningchain.client.api.route import ServerLimits, Slots
from learningchain.client.api.server import refused

HEADER, IDLE, STALL = 10.0, 75.0, 30.0


class Wire(asyncio.Transport):
    """What a connection knows of its socket."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.aborted = False
        self.reads = True
        self.unsent = 0

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Door:
    """A listener whose clock stands until it is told to go on."""

    def __init__(self, now: list[float], **limits: Any) -> None:
        patient: dict[str, Any] = {"header_s": HEADER, "idle_s": IDLE, "stall_s": STALL}
        self._now = now
        self.listener = HttpListener(ServerLimits(**(patient | limits)), refused)
        self._server = web.Server(cast(Any, lambda request: web.Response()))

    def connect(self, address: str = "192.0.2.1", *, known: bool = False, waits: float = 0.0) -> HttpConnection:
        """One that has waited for so long."""
        connection = HttpConnection(self.listener, self._server)
        connection.connection_made(Wire(address))
        connection.known = known
        connection.since -= waits
        return connection

    def later(self, seconds: float) -> float:
        self._now[0] += seconds
        return self._now[0]

    def holds(self, *connections: HttpConnection) -> list[bool]:
        return [connection in self.listener.connections for connection in connections]


def wire(connection: HttpConnection) -> Wire:
    return cast(Wire, connection._wire)


@pytest.fixture
async def now(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[float]]:
    loop, time = asyncio.get_running_loop(), [1_000.0]
    began = loop.time()
    # Timers of the test's own still fire: the clock goes on beside the one that is set by hand.
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: time[0] + (real() - began) * 1e-9)
    yield time
    monkeypatch.undo()


# --- times --------------------------------------------------------------------------------------------------------------------


async def test_a_connection_waits_from_the_end_of_its_last_answer(now: list[float]) -> None:
    """However long the answer took: it would be cut off in the moment in which its owner reads it, and before all others."""
    door = Door(now, connections=2, connections_per_address=2)
    long = door.connect()
    with long.request():
        assert not long.is_overdue(door.later(10 * IDLE)), "it is being answered"
    assert not long.is_overdue(door.later(IDLE - 1))
    assert long.is_overdue(door.later(2))
    busy = door.connect()
    with busy.request():
        door.later(IDLE)
        idle = door.connect()
        door.later(1)
    third = door.connect()
    assert door.holds(long, busy, idle, third) == [False, True, False, True], "it waits for less time than the other"


async def test_a_new_connection_owes_a_header_and_one_that_asked_owes_the_next_when_it_begins_it(now: list[float]) -> None:
    door = Door(now)
    new, old = door.connect(), door.connect()
    with old.request():
        pass
    door.later(HEADER + 1)
    assert (new.is_overdue(now[0]), old.is_overdue(now[0])) == (True, False)
    old.data_received(b"G")
    assert not old.is_overdue(door.later(HEADER - 1))
    old.data_received(b"E")
    assert old.is_overdue(door.later(2)), "it counts from the first letter"


async def test_a_stream_of_hours_is_busy_and_a_second_request_beside_it_does_not_end_it(now: list[float]) -> None:
    door = Door(now)
    stream = door.connect()
    with stream.request():
        with stream.request():
            pass
        assert not stream.is_overdue(door.later(100 * IDLE))


@pytest.mark.parametrize(("took", "cut"), [(STALL_BYTES - 1, True), (STALL_BYTES, False)])
async def test_who_takes_the_least_in_the_time_for_it_goes_on(now: list[float], took: int, cut: bool) -> None:
    door = Door(now)
    reader = door.connect()
    wire(reader).unsent = 10**6
    reader.pause_writing()
    door.later(STALL - 1)
    wire(reader).unsent -= took
    reader.is_overdue(now[0])
    assert reader.is_overdue(door.later(2)) is cut


# --- places -------------------------------------------------------------------------------------------------------------------


async def test_strangers_make_room_first_then_the_address_with_most_then_who_waits_longest(now: list[float]) -> None:
    """In this order: an owner behind a proxy with many connections stays longer than any stranger."""
    door = Door(now, connections=6, connections_per_address=6)
    owner = [door.connect("192.0.2.1", known=True, waits=50) for _ in range(2)]
    greedy = [door.connect("192.0.2.2", waits=waits) for waits in (5, 9)]
    modest = door.connect("192.0.2.3", waits=60)
    last = door.connect("192.0.2.1", known=True, waits=99)
    everybody = (*owner, *greedy, modest, last)
    new = [door.connect(f"192.0.2.{n}") for n in range(10, 14)]
    assert door.holds(greedy[1], modest, greedy[0]) == [False, False, False]
    assert door.holds(*owner, last) == [True, True, True], "four came, and one of them was the fourth stranger to go"
    assert sum(door.holds(*everybody, *new)) == 6


async def test_an_address_at_its_bound_makes_room_of_its_own(now: list[float]) -> None:
    door = Door(now, connections=10, connections_per_address=2)
    other = door.connect("192.0.2.9", waits=99)
    first, second = door.connect(waits=1), door.connect(waits=2)
    third = door.connect()
    assert door.holds(other, first, second, third) == [True, True, False, True]
    with first.request(), third.request():
        fourth = door.connect()
        assert wire(fourth).aborted and door.holds(other, first, third, fourth) == [True, True, True, False]
    assert door.listener.refused == 2


async def test_nothing_is_kept_of_an_address_that_has_gone(now: list[float]) -> None:
    """Else the node keeps every address that ever knocked: of IPv6 there are as many as somebody likes."""
    door = Door(now)
    before = len(door.listener._hosts)
    for number in range(1, 100):
        door.connect(f"192.0.2.{number}").connection_lost(None)
    assert len(door.listener._hosts) == before == 0


# --- slots ----------------------------------------------------------------------------------------------------------------------


def test_a_slot_comes_back_however_its_request_ended_and_the_one_too_many_takes_none() -> None:
    slots = Slots("downloads", 2)
    with slots.take():
        with pytest.raises(ZeroDivisionError), slots.take():
            raise ZeroDivisionError
        with slots.take():
            for _ in range(3):
                with pytest.raises(RequestError, match="at most 2 downloads"), slots.take():
                    pass
            assert slots.used == 2
        assert slots.used == 1
    assert slots.used == 0


# --- the log ------------------------------------------------------------------------------------------------------------------


async def test_each_minute_has_its_few_lines_and_tells_what_the_one_before_left_out(now: list[float]) -> None:
    door = Door(now)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            for _ in range(LOG_LINES + 4):
                door.listener.complain("192.0.2.1", None)
            door.later(LOG_WINDOW_S)
    assert len(lines) == 3 * LOG_LINES
    assert [line["left_out"] for line in lines] == ([0] * LOG_LINES) + ([4] + [0] * (LOG_LINES - 1)) * 2
