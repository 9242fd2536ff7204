"""Poisoned rounds against the accuracy floors of the rules: 91 of a hundred with 4 of 20 owners bad, 88 with 6, in whole numbers.

`python -m tests.federation_attacks` plays the whole table (by `make verification`); here each attack is played once or twice.
"""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from client.contracts.federation.screening import COPY, LARGE, STALE, USED, WRONG
from tests.federation_attacks import ATTACKS, page, picture
from tests.federation_attacks.__main__ import PAGE
from tests.federation_attacks.figures import BAD, NAMES, NONE, OWNERS, WAYS, Cell, Cells
from tests.federation_attacks.problem import problem
from tests.federation_attacks.rounds import Played, play, undefended
from tests.tiers import sampled

FLOORS = {4: 91.0, 6: 88.0}
CASES = [(name, bad, reference) for reference in (True, False) for bad in FLOORS for name in sorted(ATTACKS)]
SAMPLE = sampled(CASES, 3, "every third of these runs in `make test`")


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_accuracy_stays_above_its_floor(case: tuple[str, int, bool]) -> None:
    name, bad, reference = case
    assert play(problem(0, 20), bad, ATTACKS[name], reference).accuracy >= FLOORS[bad]


@pytest.mark.parametrize("name", ["label flip", "scaling"])
def test_what_is_below_the_floor_without_a_reference_is_late_and_not_spoilt(name: str) -> None:
    """The two runs that docs/federation-attacks.md tells of: below it after 25 rounds, above it after 50."""
    curve = play(problem(2, 20), 4, ATTACKS[name], False, seed=2, rounds=50).curve
    assert curve[24] < FLOORS[4] <= curve[49]


def test_one_owner_ruins_the_plain_mean() -> None:
    """So the floors are not those of a problem that nothing can spoil."""
    assert undefended(problem(0, 20), 4, ATTACKS["scaling"], rounds=10).accuracy < 50


def test_each_rule_refuses_what_it_is_for() -> None:
    def codes(name: str, bad: int = 4, rounds: int = 6) -> set[int]:
        found = play(problem(0, 20), bad, ATTACKS[name], True, rounds=rounds).codes
        return {code for attacker, code in found if attacker}

    assert WRONG in codes("sign flip") and USED not in codes("sign flip")
    assert USED not in codes("scaling") and COPY in codes("copy")
    assert not {LARGE, STALE} & codes("label flip")


@pytest.mark.parametrize("name", ["free-rider", "replay"])
def test_who_does_no_work_is_hardly_paid(name: str) -> None:
    """One of twelve: an equal share is 8.3 of a hundred; by points it has less than a third of that."""
    played = play(problem(1, 12), 1, ATTACKS[name], True)
    assert played.points[-1] < 0.028 * sum(played.points) and played.accuracy >= 91


# --- what docs/federation-attacks.md says of it ----------------------------------------------------------------------------------


def made_up(seeds: int = 2) -> Cells:
    """Attackers lower the accuracy by a percent each without a defence, and are paid a third of what the honest get with one."""
    cells = {}
    for name in NAMES:
        for bad in BAD if name != NONE else (0,):
            for way in WAYS:
                last = 94.0 - (bad if way == "mean" else 0)
                pay = [3.0] * (OWNERS - bad) + [1.0] * bad if way != "mean" else []
                runs = tuple(Played([50.0, last - seed], pay) for seed in range(seeds))
                cells[name, bad, way] = Cell(name, bad, way, runs)
    return cells


def test_the_page_says_means_the_worst_and_who_was_paid() -> None:
    found = page.blocks(made_up())
    assert "seeds 0 to 1" in found["run"]
    assert "| sign flip | 89.5 (89.0) | 93.5 (93.0) | 93.5 (93.0) | 87.5 (87.0) | 93.5 (93.0) | 93.5 (93.0) |" in found["accuracy"]
    assert "| none | 93.5 (93.0) |" in found["accuracy"]
    assert "| copy | 7.7 | 7.7 | 12.5 | 12.5 |" in found["pay"], "4 of 52 and 6 of 48"
    assert "| an equal share would be | 20.0 | 20.0 | 30.0 | 30.0 |" in found["pay"]


def test_every_table_has_its_place_on_the_page() -> None:
    text = PAGE.read_text()
    filled = page.placed(text, page.blocks(made_up()))
    assert page.placed(filled, page.blocks(made_up())) == filled
    assert "93.5 (93.0)" in filled
    with pytest.raises(ValueError, match="no place for: accuracy"):
        page.placed(text.replace(page.begin("accuracy"), ""), page.blocks(made_up()))
    for name in (*ATTACKS, NONE):
        assert f"| {name} |" in text, "the tables were written when the attack was added"


def test_pictures_have_a_field_for_each_attack() -> None:
    for draw, shapes in ((picture.accuracy, "polyline"), (picture.pay, "rect")):
        drawn = ElementTree.fromstring(draw(made_up()))
        words = {one.text for one in drawn.iter() if one.tag.endswith("text")}
        assert set(ATTACKS) | {"no attack"} <= words
        many = sum(one.tag.endswith(shapes) for one in drawn.iter())
        assert many == len(NAMES) * len(WAYS) if shapes == "polyline" else many == len(NAMES) * OWNERS + 1
        width, height = (float(drawn.get(side, "")) for side in ("width", "height"))
        places = [(float(one.get("x", "0")), float(one.get("y", "0"))) for one in drawn.iter() if one.get("x")]
        assert all(0 <= x < width and 0 <= y < height for x, y in places)
