"""Plays of what deadlines of predictions weigh: with that much room another one waits, with one more it runs (LC-BLK-31)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.prediction.messages import RetireModel, Share
from learningchain.chain.contracts.prediction.records import RequestState, standing_key
from learningchain.chain.host import BANNED, K_PARAMS, Due, due_key
from tests.vectors.asked_models import account_of
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import NUMBERS, PRIVATE, SERVERS, Ask, asking, number

REF = b"another"
VERIFIERS_OF_SIXTEEN = 2
"""25 verifiers."""


def _answering(servers: int, **changed: Any) -> Ask:
    play = Ask("", "LC-BLK-31")
    play.served(NUMBERS, *SERVERS[:servers])
    play.ask(**changed)
    return play


def live_pump() -> tuple[Ask, int, int]:
    """Two requests wait, and two share the royalty."""
    play = Ask("", "LC-BLK-31")
    play.served(replace(NUMBERS, shares=[Share(id_of("bob"), 1), Share(id_of("carol"), 2)]), *SERVERS[:5])
    play.ask()
    assert play.block(play.tx("carol", asking(play.model))) == [0]
    return play, _pump(play), 5 + 1 + 2 * 16 + 2


def retired_pump() -> tuple[Ask, int, int]:
    play = _answering(5)
    play.do("alice", RetireModel(play.model))
    return play, _pump(play), 1 + 5 + 128


def _pump(play: Ask) -> int:
    standing: Any = play.state.get(standing_key(play.model))
    return int(standing.pump)


def keys() -> tuple[Ask, int, int]:
    play = _answering(5, answers=3, **PRIVATE)
    play.until(RequestState.KEYS)
    return play, play.read().deadline, 3


def answer() -> tuple[Ask, int, int]:
    play = _answering(5, answers=3)
    play.until(RequestState.ANSWER)
    return play, play.read().deadline, 3 + 5


def redraw() -> tuple[Ask, int, int]:
    play = _answering(5, answers=3)
    play.until(RequestState.REDRAW)
    play.block()
    return play, play.clock, 3 + 5


def opening() -> tuple[Ask, int, int]:
    play = _answering(5, rows=32, tip=1_600)
    play.until(RequestState.ANSWER)
    play.commits(lambda name: number(*range(32)))
    play.block()
    return play, play.read().deadline, 5 + 5 * 32 // 8


def _appealed() -> Ask:
    play = _answering(5, rows=32, tip=1_600)
    play.answer(lambda name: number(*range(32)))
    play.appeal("carol")
    return play


def appeal() -> tuple[Ask, int, int]:
    play = _appealed()
    play.block()
    return play, play.clock, 63 + VERIFIERS_OF_SIXTEEN + 5 * 32 // 8


def judges_opening() -> tuple[Ask, int, int]:
    play = _appealed()
    play.until(RequestState.ANSWER)
    play.commits(lambda name: number(*([0] * 16)))
    play.block()
    judges = len(play.seats())
    return play, play.read().deadline, 5 + judges + -(-(5 * 32 + judges * 16) // 8)


def ban() -> tuple[Ask, int, int]:
    play = _answering(3, answers=3)
    frank = id_of("frank")
    found = account_of(play, "frank", status=BANNED) | {due_key(frank, play.clock, 4, frank): Due(4, frank)}
    return Ask("", "LC-BLK-31", found, play), play.clock, 128


KINDS = (live_pump, retired_pump, keys, answer, redraw, opening, appeal, judges_opening, ban)


def _weighed(make: Callable[[], tuple[Ask, int, int]], more: int) -> Ask:
    """A block in which the deadline runs, and one of another account that comes behind it: with no room more it waits."""
    play, at, work = make()
    at = max(at, play.clock) + 1
    params: Any = play.state.get(K_PARAMS)
    kind = make.__name__.replace("_", " ")
    name = f"a deadline of predictions, {kind}: {'room for another' if more else 'no room for another'}"
    records = {K_PARAMS: replace(params, max_due_work=1 + work + more), due_key(id_of("carol"), at, 9, REF): Due(9, REF)}
    fresh = Ask(name, play.rule, records, play)
    fresh.block(step=at - fresh.clock)
    return fresh


def _all() -> Iterator[Callable[[], Ask]]:
    for make in KINDS:
        for more in (0, 1):
            yield partial(_weighed, make, more)


WEIGHTS: tuple[Callable[[], Ask], ...] = tuple(_all())
