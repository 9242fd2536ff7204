"""Min-max (Shejwalkar and Houmansadr 2021): as far from the mean of the honest ones as two of them are from each other."""

from __future__ import annotations

import numpy as np

from .problem import Floats
from .random_noise import attack as noise
from .rounds import Seen


def attack(seen: Seen) -> Floats:
    mean, away = seen.honest.mean(axis=0), seen.honest.std(axis=0)
    squares = (seen.honest**2).sum(axis=1)
    apart = float((squares[:, None] + squares[None, :] - 2 * seen.honest @ seen.honest.T).max())
    low, high = 0.0, 10.0
    for _ in range(20):
        middle = (low + high) / 2
        farthest = float(((seen.honest - (mean - middle * away)) ** 2).sum(axis=1).max())
        low, high = (middle, high) if farthest <= apart else (low, middle)
    return np.asarray(mean - low * away + noise(seen) / 10)
