"""Wrong contracts beside the second settlement: one edit each, and a scenario whose traces part."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from tests.settlement import difference, play
from tests.settlement.edits import edited, load
from tests.settlement.generate import generate
from tests.settlement.scenario import Scenario
from tests.settlement.wrong import WRONG

MORE = 150
"""Seeds that are tried where the one of the table tells nothing any more."""


@lru_cache(maxsize=64)
def played(seed: int) -> tuple[Scenario, play.Trace]:
    scenario = generate(seed)
    return scenario, play.play(scenario)


@pytest.mark.parametrize(("file", "old", "new", "seed"), WRONG, ids=[f"{file[:-3]}-{i}" for i, (file, *_) in enumerate(WRONG)])
def test_a_wrong_contract_is_noticed(tmp_path: Path, file: str, old: str, new: str, seed: int) -> None:
    with edited(tmp_path, file, old, new) as copy:
        wrong = load(copy, "play")
        assert any(parts(wrong.play, one) for one in (seed, *range(MORE))), "no trace differs"


def parts(wrong: object, seed: int) -> bool:
    scenario, trace = played(seed)
    try:
        return difference.first(trace, wrong(scenario)) is not None  # type: ignore[operator]
    except Exception:  # an edit may break an escrow, which a contract could not survive either
        return True


def test_a_trace_does_not_differ_from_itself_and_says_where_it_differs() -> None:
    scenario, trace = played(0)
    assert difference.first(trace, play.play(scenario)) is None
    other = play.play(scenario, watch=lambda graph: graph.money.balance.update({min(graph.money.balance): 1}))
    assert "balance" in str(difference.first(trace, other))
