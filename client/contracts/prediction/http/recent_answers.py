"""The newest answers of all models, as the API and the dashboard tell them: of the state's newest requests after a start, then of
those that blocks change. Nothing here looks through the state again."""

from __future__ import annotations

from typing import Final

from learningchain.chain.contracts.prediction import records
from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower
from learningchain.client.contracts.prediction.roles.answer_window import NO_ANSWERS, AnswerFigures, AnswerWindow, sample_of
from learningchain.client.schema.render import Json

MOST_MODELS: Final = 1_024
"""Models of which answers are remembered; beyond it that whose window changed longest ago is forgotten."""
MOST_LOOKED_AT: Final = 20_000
"""Requests of the state that a start goes through, the newest first."""
PIECE: Final = 64
"""Requests that are looked at before others have the loop."""
REQUEST: Final = records.request_key(b"")


class RecentAnswers(Follower):
    """The windows of all models: from the state's newest requests after a start, then from what blocks change."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((REQUEST,))
        self._feed.lost = True  # nothing is known yet
        self._start()

    def _start(self) -> None:
        self._windows: dict[bytes, AnswerWindow] = {}
        """That which changed last is the last one."""
        self._before: int | None = None
        self._left = MOST_LOOKED_AT

    def of(self, model: bytes) -> AnswerFigures:
        found = self._windows.get(model)
        return NO_ANSWERS if found is None else found.figures()

    def step(self) -> bool:
        if self._feed.lost:
            self._feed.restart()
            self._start()
        keys = self._feed.take(PIECE)
        for key in keys:
            self._look(key[len(REQUEST) :])
        return bool(keys) or self._earlier()

    def _earlier(self) -> bool:
        """A piece of what was there before the first block that is followed; false where nothing is left."""
        page = list(records.REQUESTS.newest(self._state, self._before, min(PIECE, self._left))) if self._left else []
        self._left = self._left - len(page) if page else 0
        for number, one in page:
            self._before = number
            self._look(one.request)
        return bool(page)

    def _look(self, request: bytes) -> None:
        if (found := sample_of(self._state, request)) is None:
            return
        model, sample = found
        window = self._windows.pop(model) if model in self._windows else AnswerWindow()
        window.add(sample)
        self._windows[model] = window
        if len(self._windows) > MOST_MODELS:
            del self._windows[next(iter(self._windows))]


def describe_answers(found: AnswerFigures) -> Json:
    """As the API has it."""
    agreement = None if found.agreement is None else round(found.agreement, 4)
    return {**found._asdict(), "agreement": agreement}
