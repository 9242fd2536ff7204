"""The real handlers beside the second settlement, which was written from the rules alone: after every block both say the same."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.settlement.fuzz import play_jobs
from tests.settlement.rows import ROWS
from tests.settlement_driver import play_seed

SEEDS = (*range(40), 60, 65, 76, 127, 330, 350)
"""The first ones, and those that reach what few do; `make verification` plays many more."""


def test_random_jobs_end_as_the_rules_say() -> None:
    """With several jobs at once, shared people, suspensions, bans, hidden data, dissent and silence."""
    rows: Counter[str] = Counter()
    for seed in SEEDS:
        played = play_seed(seed)
        assert played.parted is None, (seed, played.parted)
        rows += played.rows
    assert [row for row in ROWS if not rows[row]] == []


@pytest.mark.full("of the model alone; it is played beside the handlers above")
def test_every_property_holds_in_two_thousand_random_jobs() -> None:
    assert len(play_jobs(2_000).missed()) <= 1
