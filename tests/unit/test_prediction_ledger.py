"""The real handlers beside the executable model of the page: after every block of random graphs both say the same.

Refusals, balances, escrows, strikes, draws of judges, servers, seats, values, outcomes, what is burned and minted.
"""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.prediction import formulas, histories, payouts, pool, settling, verdicts
from chain.verification import windows
from tests.prediction_driver import RealNaming, part, play_seed
from tests.predictions.generate import Player
from tests.predictions.rows import ROWS
from tests.side_by_side import play_beside

REQUESTS = 2_000
RARE = (89, 95, 132, 158)
"""Seeds that reach what few do."""


def test_random_requests_end_as_the_rules_say() -> None:
    """With private ones, policies, appeals, liars, silence, bans and suspensions: nearly every sentence of the page is played."""
    found = play_beside(play_seed, REQUESTS)
    assert not found.parted
    rows = found.rows
    for seed in RARE:
        one = play_beside(play_seed, 1, first=seed)
        assert not one.parted
        rows += one.rows
    assert len([row for row in ROWS if not rows[row]]) <= 2, [row for row in ROWS if not rows[row]]


def test_sixty_three_judges_are_told_of() -> None:
    """One event has no room for them all: what a receipt cannot carry would park the request."""
    naming = RealNaming()
    played = Player(5, naming=naming).run()
    assert part(played, naming) is None


# --- a contract that is wrong is noticed ---------------------------------------------------------------------------------------


WRONG: dict[str, tuple[Any, str, Any]] = {
    "a draw comes at once": (windows, "draw_delay", lambda validators: 1),
    "the pool has everybody": (pool, "pool", lambda found, owner, asked, enough=0: list(found)),
    "nobody is fined": (settling, "fine", lambda *given: None),
    "no place is earned by a tip": (formulas, "place", lambda posted, tip, least: posted + formulas.RANK_SPAN),
    "a quorum knows nothing": (payouts, "fined", lambda found, votes, c: ()),
    "no subsidy": (formulas, "subsidies", lambda most, epoch_most, minted, amounts, banned: [0 for _ in banned]),
    "a server is never out": (histories, "SERVER_BAD", 32),
    "no doubt is heard": (verdicts, "DOUBT_PART", 0),
    "a model never retires by its record": (histories, "MODEL_BAD", 11),
    "slots do not matter": (formulas, "open_seats", lambda slots, pool, c: 10**6),
    "stakes answer for any number of seats": (formulas, "covered_seats", lambda stakes, w, c: 10**6),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_contract_parts_from_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, wrong = WRONG[name]
    assert hasattr(where, what)
    monkeypatch.setattr(where, what, wrong)
    found = play_beside(play_seed, 4_000)
    assert found.parted, f"{found.count} requests end as if nothing was wrong"
