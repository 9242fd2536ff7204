"""What the directions of a sum of cells are called (LC-FILE-62)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ALL: Final = "all"
REFERENCE: Final = "the reference alone"
BETWEEN: Final = "both, half way"


def names_of(count: int, cells: Sequence[str]) -> list[str]:
    """Of so many directions, in their order. `cells`: what those are called that were summed."""
    names = [ALL, *(cells if len(cells) > 1 else ())]
    return [*names, REFERENCE, BETWEEN][:count]
