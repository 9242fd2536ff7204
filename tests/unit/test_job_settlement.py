"""The real handlers beside the second settlement, which was written from the rules alone: after every block both say the same."""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.job import draws, ends, rewards, verdicts
from chain.contracts.job.messages import OnCheat
from chain.contracts.job.records import Result
from chain.contracts.job.store import JobContext
from chain.contracts.membership import members
from chain.errors import BrokenInvariant
from chain.verification import merits, votes, windows
from tests.settlement.rows import ROWS
from tests.settlement_driver import play_seed
from tests.side_by_side import play_beside

JOBS, PARTS = 2_000, 8
"""`make verification` plays many more."""


@pytest.mark.parametrize("number", range(PARTS))
def test_random_jobs_end_as_the_rules_say(number: int) -> None:
    """With several jobs at once, shared people, suspensions, bans, hidden data, dissent and silence."""
    found = play_beside(play_seed, JOBS // PARTS, first=1_000 * number)
    assert not found.parted
    reached = sum(found.rows[row] > 0 for row in ROWS)
    assert reached > 0.8 * len(ROWS), "most of the rules are played in each part"


# --- a contract that is wrong is noticed ---------------------------------------------------------------------------------------


def _no_bond(work: JobContext) -> None:
    work.change(bond_burned=0)


WRONG: dict[str, tuple[Any, str, Any]] = {
    "the draw comes at once": (windows, "draw_delay", lambda validators: 1),
    "no window for each column": (windows, "count_window", lambda each, columns, seats: each),
    "no second round": (votes, "is_last", lambda *_: True),
    "leaves are not looked at": (merits, "shown_off", lambda columns, scale: [False] * len(columns)),
    "nobody is spared": (merits, "repeatable", lambda round_: True),
    "the bond comes back": (ends, "_settle_bond", _no_bond),
    "round one of a dropped one is not paid": (rewards, "pay_dropped", lambda work, index: None),
    "a stakeless lie ends a job": (verdicts, "_refunds_cheat", lambda work: _any_false(work)),
    "the leader alone is judged": (draws, "_batch", lambda work: verdicts.unjudged(work)[:1]),
    "strikes by account": (members, "root_of", lambda reader, identity: identity),
}


def _any_false(work: JobContext) -> bool:
    refund = work.terms.on_cheat == OnCheat.REFUND
    return refund and any(work.claim(index).result == Result.FALSE for index in work.job.finalists)


FIRST = {"round one of a dropped one is not paid": 54, "a stakeless lie ends a job": 49}
"""Seeds whose trace tells, where that is rare."""


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_contract_parts_from_the_model(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    module, name, wrong = WRONG[what]
    monkeypatch.setattr(module, name, wrong)
    try:
        found = play_beside(play_seed, 400, FIRST.get(what, 0))
    except (BrokenInvariant, AssertionError):  # an edit may break an escrow, which a contract could not survive either
        return
    assert found.parted


def test_seeds_go_on_where_the_last_ones_ended() -> None:
    one = play_beside(play_seed, 10)
    other = play_beside(play_seed, 10, one.last + 1)
    both = play_beside(play_seed, one.count + other.count)
    assert (one.first, other.first, both.last) == (0, one.last + 1, other.last)
    assert (both.graphs, both.messages) == (one.graphs + other.graphs, one.messages + other.messages)
