"""What a node's owner sets about the weather, in the section [work]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct


class StationWork(Struct, frozen=True, kw_only=True):
    measure: Annotated[bool, Meta(description="Measure what others forecast, as a weather station.")] = True


WORK = StationWork
CHECKS: Mapping[str, Callable[[Any], Any]] = {}
