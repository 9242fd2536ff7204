"""Vectors of whole requests: how each one ends, what appeals cost, and every code of the prediction contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.vectors.asked_answers import ANSWERS
from tests.vectors.asked_appeals import APPEALS
from tests.vectors.asked_models import MODELS
from tests.vectors.asked_requests import REQUESTS
from tests.vectors.asked_returns import RETURNS
from tests.vectors.asked_weights import WEIGHTS
from tests.vectors.prediction_plays import Ask, start


def predictions() -> dict[str, Any]:
    chain_id, base = start()
    plays = [make() for make in PLAYS]
    return {
        "chain_id": chain_id.hex(),
        "state": {key.hex(): raw.hex() for key, raw in sorted(base.items())},
        "plays": [play.told() for play in plays],
    }


PLAYS: tuple[Callable[[], Ask], ...] = (*MODELS, *REQUESTS, *ANSWERS, *APPEALS, *RETURNS, *WEIGHTS)
