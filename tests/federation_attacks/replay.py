"""Replay: the last model's step again, with a tenth of noise so that it is not STALE. It wants pay for nothing."""

from __future__ import annotations

from .problem import Floats
from .random_noise import attack as noise
from .rounds import Seen


def attack(seen: Seen) -> Floats:
    return noise(seen) if not seen.deltas else seen.deltas[0] + noise(seen) / 10
