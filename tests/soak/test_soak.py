"""Half a minute of `python -m tests.soak`; the long one has every kind of disturbance many times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak.soak import Soak

KINDS = ["kill", "pause", "restart", "crash loop", "power cut", "late joiner"]
"""The others have tests of their own."""
SECONDS = float(os.environ.get("SOAK_SECONDS", "30"))


@pytest.mark.timeout(SECONDS + 270)
async def test_a_graph_that_is_disturbed_all_the_time_breaks_no_promise(tmp_path: Path) -> None:
    summary = await Soak(tmp_path, 3, SECONDS, print, only=KINDS).run()
    print(summary.json())
    assert summary.violations == []
    assert sum(summary.disturbances.values()) >= 3
    assert summary.requests["final"] > 0
    assert summary.signatures > summary.blocks > 10
