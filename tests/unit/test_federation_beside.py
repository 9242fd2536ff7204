"""The federation contract's real handlers beside the executable model: state, money and refusals after every block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chain.contracts.federation import aggregating, ends, formulas, measuring, members, pool, screening, starting
from tests.federation.rows import ROWS
from tests.federation_driver import play_seed
from tests.side_by_side import play_beside

FEDERATIONS = 1_400


def test_random_federations_go_on_as_the_rules_say() -> None:
    """With liars, silence, denial, bans, suspensions, benches and ends of every kind: every sentence of the model is played."""
    found = play_beside(play_seed, FEDERATIONS)
    assert not found.parted
    assert [row for row in ROWS if not found.rows[row]] == []


# --- a contract that is wrong is noticed ---------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a quorum of half": (formulas, "quorum", lambda c: c // 2 + 1),
    "the bounty is due linearly to the target, rounded up": (formulas, "due", lambda t, m0, x: t.bounty),
    "fees of aggregators are not paid": (ends, "pay_fees", lambda federation, accounts: None),
    "the silent are not struck": (ends, "silence", lambda federation, account, struck=True: None),
    "who lied is drawn again": (ends, "exclude", lambda federation, accounts: None),
    "the remainder stays": (formulas, "shares", lambda pot, points: [pot * one // sum(points) for one in points]),
    "claims are not capped": (formulas, "sample_points", list),
    "a clip that only grows": (formulas, "next_clip", lambda clip, norm: min(2**50, clip + 1)),
    "sets are free": (formulas, "fitted", lambda used, earlier, least, counted, order: used),
    "nobody is benched": (screening, "_bench", lambda federation: None),
    "points stay after a revert": (measuring, "_clear_points", lambda federation: None),
    "data of two": (members, "_require_free_digest", lambda federation, account, digest: None),
    "those that wait for ever": (members, "_lapse", lambda federation: None),
    "members aggregate at will": (pool, "aggregators", lambda federation: list(pool.able(federation))),
    "rosters with the benched": (starting, "_is_enough", lambda terms, found: False),
    "no index goes over": (members, "_is_unnamed", lambda federation, account, member: False),
    "any index of one that left goes over": (members, "_is_unnamed", lambda federation, account, member: member.state == 3),
    "any file is shared": (
        aggregating,
        "_shared",
        lambda federation, some, counted: formulas.of_bitmap(federation.aggregator(some[0]).have),
    ),
    "a file that one of three has alone counts": (aggregating, "_counted", lambda federation, said: -1),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_contract_parts_from_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, wrong = WRONG[name]
    assert hasattr(where, what)
    monkeypatch.setattr(where, what, wrong)
    found = play_beside(play_seed, 1_000)
    assert found.parted, f"{found.count} federations end as if nothing was wrong"
