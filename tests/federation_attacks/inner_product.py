"""Inner-product manipulation (Xie et al. 2019): the mean of the honest ones backwards and halved, with a tenth of noise."""

from __future__ import annotations

from .problem import Floats
from .random_noise import attack as noise
from .rounds import Seen

FACTOR = 0.5


def attack(seen: Seen) -> Floats:
    return -FACTOR * seen.honest.mean(axis=0) + noise(seen) / 10
