"""The federation contract's rules: formulas worked by hand from the page, random federations, and wrong models."""

from __future__ import annotations

import random
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.federation import chains, formulas, holes, messages, play
from tests.federation.edits import edited, load
from tests.federation.fuzz import play_federations
from tests.federation.generate import Player, generate
from tests.federation.properties import PROPERTIES
from tests.federation.scenario import Params, Scenario, Terms
from tests.federation.wrong import WRONG
from tests.predictions import difference
from tests.predictions.difference import of_field

TERMS = Terms(bounty=1_000, fee=100, target=100, rounds=3, ends=10**9)


def test_every_row_is_reached_and_every_property_holds_in_two_thousand_random_federations() -> None:
    assert play_federations(2_000).missed() == []


# --- formulas -------------------------------------------------------------------------------------------------------------------


def test_fees_pay_every_start_and_every_measurement() -> None:
    assert [formulas.fees(7, rounds) for rounds in (1, 3)] == [7 * (12 + 10), 7 * (24 + 20)]


def test_a_fee_is_at_least_what_an_evaluation_and_the_files_cost() -> None:
    assert formulas.least_fee(Params(), TERMS) == 110
    large = Terms(**{**{name: getattr(TERMS, name) for name in TERMS.__slots__}, "size": 40_000_000, "max_members": 128})
    assert formulas.least_fee(Params(), large) == (10_000 + 5_120_000) * 10 // 1_000


def test_a_model_is_worth_its_part_of_the_way_to_the_target_and_no_more() -> None:
    assert [formulas.due(TERMS, 400, loss) for loss in (400, 399, 250, 100, -(10**9))] == [0, 3, 500, 1_000, 1_000]


def test_windows_follow_the_terms() -> None:
    assert formulas.evaluation_window(Params(), TERMS) == 120_000 + 20_000 + 5
    assert formulas.screen_window(Params(), TERMS, 8) == 120_000 + 35
    assert formulas.sum_window(Params(), TERMS) == 120_000 + 13


def test_a_clip_grows_by_a_tenth_at_most_and_ends_at_its_bounds() -> None:
    cq = formulas.CQ
    assert [formulas.next_clip(1_000, norm) for norm in (1, cq // 2, cq, 2 * cq)] == [500, 625, 1_099, 1_099]
    assert formulas.next_clip(2**50, 2 * cq) == 2**50 and formulas.next_clip(1, 1) == 1


def test_nobody_s_samples_count_for_more_than_four_times_the_middle() -> None:
    assert formulas.sample_points([10, 2**31 - 1, 5, 20]) == [10, 40, 5, 20]


def test_an_aggregator_knows_the_two_masks_that_do_not_have_its_number() -> None:
    assert [formulas.masks(place) for place in (1, 2, 3)] == [(2, 3), (1, 3), (1, 2)]


def test_agreeing_losses_lie_within_twice_the_tolerance_of_the_middle() -> None:
    tol = formulas.tol(TERMS, 10**6)
    assert formulas.agreeing([10**6, 10**6 + 2 * tol, 10**6 - 2 * tol - 1], TERMS) == [0, 1]
    assert formulas.largest_group([0, 10**9, 10**9 + 5], TERMS) == [1, 2]


# --- sets -----------------------------------------------------------------------------------------------------------------------


def fitted(used: str, *earlier: str, least: int = 2, vetted: str = "abcdefgh") -> str:
    sets = [frozenset(one.encode()[i : i + 1] for i in range(len(one))) for one in (used, vetted, *earlier)]
    return b"".join(sorted(chains.fitted(sets[0], sets[2:], least, sets[1], lambda who: who))).decode()


@pytest.mark.parametrize(
    ("found", "used", "earlier"),
    [
        ("abc", "abc", ()),
        ("", "a", ()),
        ("abcd", "abcd", ("abcd",)),
        ("abcd", "abcde", ("abcd",)),
        ("abcdef", "abcdef", ("abcd",)),
        ("bc", "abc", ("abcd",)),
        ("", "ab", ("abc",)),
        ("ab", "abcd", ("ab", "abcde")),
        ("abef", "abef", ("ab", "abcdef")),
        ("abc", "abcgh", ("abc", "abcdef")),
    ],
)
def test_two_sums_on_one_base_differ_by_none_or_by_many(found: str, used: str, earlier: tuple[str, ...]) -> None:
    assert fitted(used, *earlier) == found


def test_only_counted_members_make_a_step() -> None:
    assert fitted("abcd", "ab", vetted="abc") == "ab"
    assert fitted("abcd", vetted="a") == ""


# --- the model itself -----------------------------------------------------------------------------------------------------------


def test_a_scenario_is_all_that_a_run_depends_on() -> None:
    for seed in range(4):
        views: list[play.BlockView] = []
        scenario = Player(seed, watch=lambda one: views.append(play.view(one.graph, ()))).run()  # noqa: B023
        assert isinstance(scenario, Scenario) and scenario == generate(seed)
        for ours, played in zip(views, play.play(scenario), strict=True):
            for name in ("events", "accounts", "federations", "escrow", "burned"):
                assert of_field(0, name, getattr(ours, name), getattr(played, name)) is None


def test_random_numbers_of_the_module_are_not_used() -> None:
    random.seed(1)
    first = generate(3)
    random.seed(2)
    assert generate(3) == first


def test_every_message_has_a_handler() -> None:
    from tests.federation import scenario

    assert set(messages.HANDLERS) == set(scenario.Message.__args__)


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


def test_every_property_has_a_wrong_model() -> None:
    assert {name for name, *_ in WRONG} == set(PROPERTIES)


@pytest.mark.parametrize(("file", "old", "new", "seed"), [one[1:] for one in WRONG[::9]])
def test_the_trace_of_a_wrong_model_differs(tmp_path: Path, file: str, old: str, new: str, seed: int) -> None:
    with edited(tmp_path, [(file, old, new)]) as copy:
        wrong = load(copy, "play", shared=True)
        assert any(parts(wrong, generate(one)) for one in (seed, *range(20)))


def parts(wrong: ModuleType, scenario: Scenario) -> bool:
    ours: Any = play.play(scenario)
    try:
        return difference.first(ours, wrong.play(scenario)) is not None
    except Exception:  # an edit may break an escrow, which a contract could not survive either
        return True


def test_a_trace_does_not_differ_from_itself_and_says_where_it_differs() -> None:
    scenario = generate(0)
    trace: Any = play.play(scenario)
    other: Any = play.play(scenario, watch=lambda graph: graph.money.balance.update({b"m05": 1}))
    assert difference.first(trace, trace) is None
    assert str(difference.first(trace, other)).startswith("block 1, accounts b'm05'")


@pytest.mark.parametrize("hole", holes.HOLES, ids=[hole.name for hole in holes.HOLES])
def test_an_attack_on_the_rules_brings_nothing_any_more(hole: holes.Hole) -> None:
    assert holes.once(hole) > hole.most >= holes.now(hole)


def test_the_page_of_attacks_names_every_hole() -> None:
    rows = re.findall(r"^(?:\| |- )([HM]\d+)", holes.RESULTS.read_text(encoding="utf-8"), re.MULTILINE)
    named = {f"H{number}" for number in range(1, 19)} | {f"M{number}" for number in range(1, 16)}
    games = {hole.name for hole in holes.HOLES} | {name for name, *_ in holes.OPEN}
    assert set(rows) == named == games | set(holes.NO_GAME)
    assert len(rows) == len(named)
