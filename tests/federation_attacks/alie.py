"""ALIE (Baruch et al. 2019): away from the mean of the honest ones by so little that each coordinate looks usual. A tenth
of noise of its own keeps each attacker's file from being a copy."""

from __future__ import annotations

from .problem import Floats
from .random_noise import attack as noise
from .rounds import Seen

DEVIATIONS = 1.0


def attack(seen: Seen) -> Floats:
    return seen.honest.mean(axis=0) - DEVIATIONS * seen.honest.std(axis=0) + noise(seen) / 10
