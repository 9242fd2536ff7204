"""Free-rider: a tenth of an honest step and noise instead of work. It wants pay for nothing."""

from __future__ import annotations

from .problem import Examples, Floats, trained
from .random_noise import attack as noise
from .rounds import Seen


def attack(seen: Seen) -> Floats:
    few = Examples(seen.own.x[:3], seen.own.y[:3])
    return (trained(seen.base, few, seen.seed).astype(float) - seen.base) / 10 + noise(seen)
