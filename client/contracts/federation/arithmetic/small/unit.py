"""Updates of unit length (LC-FILE-50): the direction of local - base as whole numbers; its length says nothing. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.updates import norm_of

H: Final = 2**15
"""LC-FILE-49: the length of an update."""
LONGEST: Final = H * H - 1
"""LC-FILE-50: the greatest square of a length."""
Random = Callable[[int], bytes]


def unit_update(base: NDArray[np.float32], local: NDArray[np.float32], rng: Random) -> NDArray[np.int64]:
    """LC-FILE-50: x. Both models are finite and as long as each other."""
    if len(base) != len(local):
        raise ValueError(f"the base has {len(base)} values, the local model {len(local)}")
    g, length = local.astype(np.float64) - base.astype(np.float64), norm_of(base, local)
    if not length:
        g = _normal(len(base), rng)
        length = float(np.sqrt((g * g).sum()))
    x = np.clip(np.trunc(g * H / length), 1 - H, H - 1).astype(np.int64)
    while int(x.dot(x)) > LONGEST:
        at = int(abs(x).argmax())
        x[at] -= np.sign(x[at])
    return x


def _normal(count: int, rng: Random) -> NDArray[np.float64]:
    """Normal numbers (Box and Muller), so that each direction is as likely as any other."""
    drawn = np.frombuffer(rng(16 * count), "<u8").reshape(2, count) >> np.uint64(11)
    far, turn = (drawn.astype(np.float64) + 0.5) / 2**53
    return np.asarray(np.sqrt(-2 * np.log(far)) * np.cos(2 * np.pi * turn))
