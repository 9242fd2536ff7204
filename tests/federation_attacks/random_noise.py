"""Noise: nothing but chance, as long as an honest step."""

from __future__ import annotations

import numpy as np

from .problem import Floats
from .rounds import Seen


def attack(seen: Seen) -> Floats:
    drawn = np.random.default_rng((seen.seed, seen.number)).normal(size=len(seen.base))
    return drawn * float(np.median(np.linalg.norm(seen.honest, axis=1)) / np.linalg.norm(drawn))
