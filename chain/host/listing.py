"""Which records can be listed in the order of their keys, for scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Listing:
    """Records that can be listed in the order of their keys: all under a prefix, or with `shows` those that it is true of.

    These have a listing of their own under `name`, a prefix under which no record is kept.
    """

    shows: Callable[[Any], bool] | None = None
    name: bytes = b""


ALL = Listing()
