"""What of a long list of cases every run takes, and what only `make test-full` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], every: int, why: str) -> list[Any]:
    """Parameters for pytest: each `every`-th case as it is, the others marked `full` with `why`."""
    mark = pytest.mark.full(why)
    return [case if index % every == 0 else pytest.param(case, marks=mark) for index, case in enumerate(cases)]
