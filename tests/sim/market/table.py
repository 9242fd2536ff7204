"""All cheats by name."""

from __future__ import annotations

from tests.sim.market.outsider import Outsider

CHEATS: dict[str, type[Outsider]] = {}
