"""Sign flip: its own honest step, backwards."""

from __future__ import annotations

from .problem import Floats, trained
from .rounds import Seen


def attack(seen: Seen) -> Floats:
    return seen.base - trained(seen.base, seen.own, seen.seed).astype(float)
