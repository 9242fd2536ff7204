"""Vectors of whole federations: how each one ends and comes to nothing, and every code of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.vectors.celled_rounds import CELLED
from tests.vectors.celled_several import SEVERAL
from tests.vectors.federation_plays import Train, start
from tests.vectors.trained_members import MEMBERS
from tests.vectors.trained_panels import PANELS
from tests.vectors.trained_rounds import ROUNDS


def federations() -> dict[str, Any]:
    chain_id, base = start()
    plays = [make() for make in PLAYS]
    return {
        "chain_id": chain_id.hex(),
        "state": {key.hex(): raw.hex() for key, raw in sorted(base.items())},
        "plays": [play.told() for play in plays],
    }


PLAYS: tuple[Callable[[], Train], ...] = (*MEMBERS, *ROUNDS, *PANELS, *CELLED, *SEVERAL)
