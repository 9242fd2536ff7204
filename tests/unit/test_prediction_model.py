"""The prediction contract's rules: formulas worked by hand from the page, tallies by hand, random requests, and wrong models."""

from __future__ import annotations

import random
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.predictions import difference, formulas, holes, messages, play
from tests.predictions.edits import edited, load
from tests.predictions.fuzz import play_requests, play_seed
from tests.predictions.generate import Player, generate
from tests.predictions.properties import PROPERTIES
from tests.predictions.rows import ROWS
from tests.predictions.scenario import (
    ABSTAIN,
    BAD_INPUT,
    FAULT,
    OK,
    OVERRUN,
    Answer,
    ModelTerms,
    Params,
    Scenario,
)
from tests.predictions.tally import Tally, tally
from tests.predictions.wrong import WRONG

RARE = (433,)
"""Seeds that reach what few do."""


def test_every_row_is_reached_and_every_property_holds_in_two_thousand_random_requests() -> None:
    report = play_requests(2_000)
    rows = report.rows
    for seed in RARE:
        rows += play_seed(seed)[0].graph.reached
    assert [row for row in ROWS if not rows[row]] == []


# --- formulas -------------------------------------------------------------------------------------------------------------------


def test_a_request_locks_tip_royalty_and_a_twentieth_rounded_up() -> None:
    assert [formulas.charge(tip, royalty, 0) for tip, royalty in ((20, 0), (21, 0), (15, 5), (1, 0))] == [21, 23, 21, 2]


def test_what_is_kept_has_a_least_price() -> None:
    assert [formulas.kept_fee(5, rows, inline) for rows, inline in ((1, 0), (256, 0), (1, 1), (1, 2_048))] == [85, 1_360, 90, 1_365]
    assert [formulas.charge(tip, 0, 85) for tip in (1_700, 1_701, 20)] == [1_785, 1_787, 105]


def test_seats_are_odd_and_two_never_sit() -> None:
    assert [formulas.seats(5, 2, pool) for pool in range(7)] == [0, 0, 0, 3, 3, 5, 5]
    assert [formulas.seats(1, 1, pool) for pool in range(3)] == [0, 1, 1]
    assert formulas.seats(5, 5, 4) == 0


def test_the_quorum_is_that_of_jobs() -> None:
    assert {c: formulas.quorum(c) for c in (1, 3, 5, 7, 15, 63)} == {1: 1, 3: 3, 5: 4, 7: 5, 15: 11, 63: 43}


def test_a_place_in_the_queue_is_the_time_of_posting_and_at_most_a_minute() -> None:
    assert [formulas.rank(1_000, tip, 10) for tip in (10, 15, 20, 310, 10**6)] == [61_000, 60_000, 59_000, 1_000, 1_000]


def test_a_subsidy_is_at_most_a_half_of_what_burns() -> None:
    params = Params(sub=20_000, epoch_sub=1_000)
    assert [formulas.subsidy(params, b, 5, minted) for b, minted in ((100, 0), (9, 0), (10**6, 0), (10**6, 1_000))] == [
        10,
        0,
        200,
        0,
    ]


def test_windows() -> None:
    terms = ModelTerms("m", row_ms=10, start_s=1, size=1_000_000)
    assert formulas.answer_window(Params(), terms, 100, 2_000_000) == 3_000 + 2_000 + 2_000 + 2_000
    assert formulas.appeal_window(Params(), terms, 100, 2_000_000) == 120_000 + 2_000 + 320 + 3_000


def test_the_fee_of_an_appeal_s_vote_is_for_sixteen_rows_at_most() -> None:
    assert [formulas.vote_fee(Params(), w, rows) for w, rows in ((1, 1), (1_000, 16), (1_000, 256))] == [10_000, 32_000, 32_000]


def test_blinded_numbers_stay_within_their_bound_and_differ_by_request_row_and_column() -> None:
    told = [formulas.offset(b"k", request, row, column) for request in (b"a", b"b") for row in (0, 1) for column in (0, 1)]
    assert len(set(told)) == 8 and all(0 <= one < 2**59 for one in told)
    assert 2**59 + 256 * 10**15 < 10**18


# --- tallies --------------------------------------------------------------------------------------------------------------------


def numbers(*scores: int, check: int = 0) -> list[Answer]:
    return [Answer(OK, (score,), (), check) for score in scores]


def of(votes: list[Answer], c: int | None = None, q: int = 2, m: int = 2, tol: int = 10) -> Tally:
    return tally(tol, 1, q, m, len(votes) if c is None else c, votes)


@pytest.mark.parametrize(
    ("scores", "outcome", "score"),
    [
        ((0, 0, 0, 0, 0), "AGREED", 0),
        ((0, 20, 500, 500, 0), "AGREED", 0),
        ((500, 500, 0, 0, 900), "AGREED", 500),
        ((0, 0, 500, 500, 900), "AGREED", 0),
        ((0, 100, 200, 300, 300), "AGREED", 300),
        ((0, 100, 200, 300, 400), "NO_AGREEMENT", None),
        ((-500, -500, 0, 0, 0), "AGREED", 0),
        ((20, 0, 40, 90, 91), "AGREED", 20),
    ],
)
def test_the_largest_set_of_near_scores_is_the_value_and_the_earliest_of_equals(
    scores: tuple[int, ...], outcome: str, score: int | None
) -> None:
    found = of(numbers(*scores))
    assert found.outcome == outcome
    assert [value.score if value is not None else None for value in found.values] == ([score] if score is not None else [])


def test_a_check_that_differs_takes_a_vote_out_before_any_score_counts() -> None:
    found = of([*numbers(7, 7, 7, check=10**6), *numbers(0, 0), *numbers(1, 2)])
    assert found.outcome == "AGREED" and found.side == (3, 4, 5, 6)


@pytest.mark.parametrize(
    ("codes", "outcome", "side"),
    [
        ((), "TOO_FEW", 0),
        ((ABSTAIN, ABSTAIN, OK), "TOO_FEW", 0),
        ((BAD_INPUT, BAD_INPUT, BAD_INPUT, BAD_INPUT, OK), "BAD_INPUT", 4),
        ((BAD_INPUT, BAD_INPUT, BAD_INPUT, OK, OK), "NO_AGREEMENT", 0),
        ((FAULT, FAULT, FAULT, FAULT, OK), "MODEL_FAULT", 4),
        ((OVERRUN,) * 5, "TOO_HEAVY", 5),
        ((FAULT, FAULT, OK, OK), "AGREED", 2),
        ((BAD_INPUT, OK), "NO_AGREEMENT", 0),
    ],
)
def test_a_code_carries_where_fewer_than_half_say_ok_and_a_quorum_says_it(codes: tuple[str, ...], outcome: str, side: int) -> None:
    found = of([Answer(code, (0,)) if code == OK else Answer(code) for code in codes], c=5)
    assert (found.outcome, len(found.side)) == (outcome, side)


def test_classes_agree_before_scores_do() -> None:
    votes = [Answer(OK, (0,), (cls,), 0) for cls in (1, 0, 0, 1, 0)]
    value = of(votes).values[0]
    assert value is not None and (value.cls, value.support) == (0, (1, 2, 4))


def test_liars_at_the_edge_can_push_honest_ones_out_but_not_the_value_away() -> None:
    """Four of nine who know how honest answers scatter (within tol = 10) leave two unpaid, and by Q(9) fined."""
    found = of(numbers(-10, -10, 10, 10, 10, 30, 50, 50, 50), tol=10)
    assert found.side == (2, 3, 4, 5, 6, 7, 8) and len(found.side) >= formulas.quorum(9)
    assert [value.score for value in found.values if value is not None] == [30]


def test_weak_is_an_answer_with_fewer_than_were_asked_for() -> None:
    assert of(numbers(0, 0, 500), m=3).outcome == "WEAK"


# --- the model itself -----------------------------------------------------------------------------------------------------------


def test_a_scenario_is_all_that_a_run_depends_on() -> None:
    for seed in range(6):
        views: list[play.BlockView] = []
        player = Player(seed, watch=lambda one: views.append(play.view(one.graph, ())))  # noqa: B023
        scenario = player.run()
        assert isinstance(scenario, Scenario) and scenario == generate(seed)
        played = play.play(scenario)
        assert [(one.events, one.accounts, one.models, one.requests, one.escrow) for one in played] == [
            (one.events, one.accounts, one.models, one.requests, one.escrow) for one in views
        ]


def test_a_trace_does_not_differ_from_itself_and_says_where_it_differs() -> None:
    scenario = generate(0)
    trace = play.play(scenario)
    assert difference.first(trace, play.play(scenario)) is None
    other = play.play(scenario, watch=lambda graph: graph.money.balance.update({min(graph.money.balance): 1}))
    found = difference.first(trace, other)
    assert found is not None and found.where.startswith("accounts ") and "balance" in str(found)
    assert str(difference.first(trace, trace[:-1])).startswith(f"block {len(trace) - 1}, blocks")


def test_random_numbers_of_the_module_are_not_used() -> None:
    random.seed(1)
    first = generate(3)
    random.seed(2)
    assert generate(3) == first


def test_each_account_s_deadlines_run_in_rounds() -> None:
    graph = Player(0).graph
    graph.params = Params(max_due=8)
    due = [(time, b"a", bytes([time]), play.REQUEST) for time in range(20)] + [(30, b"b", b"b", play.REQUEST)]
    assert due[-1] in play.chosen(graph, due) and len(play.chosen(graph, due)) == 8


# --- wrong models ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "seed"), WRONG, ids=[f"{name}-{file[:-3]}-{i}" for i, (name, file, *_) in enumerate(WRONG)]
)
def test_a_wrong_model_breaks_a_property(tmp_path: Path, name: str, file: str, old: str, new: str, seed: int) -> None:
    found = set()
    with edited(tmp_path, [(file, old, new)]) as copy:
        fuzz = load(copy, "fuzz")
        for one in (seed, *range(100)):
            try:
                fuzz.play_seed(one)
            except Exception as error:  # an edit may break more than one promise, and escrows too
                found.add(getattr(error, "name", type(error).__name__))
            if name in found:
                return
    pytest.fail(f"{name} holds; broken are {found or 'none'}")


@pytest.mark.parametrize("hole", holes.HOLES, ids=[str(hole.number) for hole in holes.HOLES])
def test_an_attack_on_the_rules_brings_nothing_any_more(hole: holes.Hole) -> None:
    assert holes.once(hole) > hole.most >= holes.now(hole)


def test_the_page_of_attacks_names_every_hole() -> None:
    rows = re.findall(r"^(?:\| |- )(\d+)", holes.RESULTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == list(range(1, 26)) == sorted([hole.number for hole in holes.HOLES] + list(holes.NO_GAME))


@pytest.mark.parametrize(("file", "old", "new", "seed"), [one[1:] for one in WRONG[::7]])
def test_the_trace_of_a_wrong_model_differs(tmp_path: Path, file: str, old: str, new: str, seed: int) -> None:
    with edited(tmp_path, [(file, old, new)]) as copy:
        wrong = load(copy, "play", shared=True)
        assert any(parts(wrong, generate(one)) for one in (seed, *range(20)))


def parts(wrong: ModuleType, scenario: Scenario) -> bool:
    try:
        return difference.first(play.play(scenario), wrong.play(scenario)) is not None
    except Exception:  # an edit may break an escrow, which a contract could not survive either
        return True


def test_every_property_has_a_wrong_model() -> None:
    assert {name for name, *_ in WRONG} == set(PROPERTIES)


def test_every_message_has_a_handler() -> None:
    from tests.predictions import scenario

    assert set(messages.HANDLERS) == set(scenario.Message.__args__)
