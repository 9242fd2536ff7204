"""The Monte Carlo behind docs/verification.md, small: it plays the product's rules, says what sums say, and the page says it."""

from __future__ import annotations

import json
import random
from collections import Counter
from hashlib import sha256
from math import comb
from pathlib import Path

import numpy as np
import pytest

from learningchain.chain.losses import LossTree, check_opening, draw_probe, open_losses
from learningchain.chain.verification.committee import FIRST_ROUND, draw, ticket
from learningchain.chain.verification.merits import shown_off
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.votes import BallotCode, Column, Judgement, Scale
from tests.verification import __main__ as run
from tests.verification import beacons, committees, damage, dissent, exact, helpers, judges, lazy, noise, page
from tests.verification.figures import Results, played, tasks
from tests.verification.picture import svg
from tests.verification.ranges import Rate

RESULTS = Path(__file__).parents[1] / "verification" / "results"
JOBS = 40_000
CERTAIN = 4.9
"""Standard deviations: a right rate lies outside once in a million."""


def results() -> Results:
    return json.loads((RESULTS / "figures.json").read_text())


# --- what is drawn is what the product draws ------------------------------------------------------------------------------------


def test_committees_of_the_product_seat_colluders_as_the_hypergeometric_distribution_does() -> None:
    able = [i.to_bytes(20, "big") for i in range(20)]
    colluding, draws = set(able[:7]), 3_000
    found: Counter[int] = Counter()
    for number in range(draws):
        beacon = sha256(number.to_bytes(4, "big")).digest()
        seats = draw(able, (), b"", (), 1, lambda one, beacon=beacon: ticket(beacon, bytes(32), 0, 1, one)).seats  # type: ignore[misc]
        assert len(seats) == FIRST_ROUND
        found[len(colluding.intersection(seats))] += 1
    for sitting in range(FIRST_ROUND + 1):
        expected = comb(7, sitting) * comb(13, FIRST_ROUND - sitting) / comb(20, FIRST_ROUND)
        low, high = Rate(found[sitting], draws).range(CERTAIN)
        assert low <= expected <= high, f"{sitting} colluders"


@pytest.mark.parametrize(
    "cell",
    [
        committees.false_claim(3, 1),
        committees.false_claim(7, 3, 0.1),
        committees.false_claim(20, 10),
        committees.false_claim(300, 120, honest=BallotCode.NOMODEL),
        committees.accusation(50, 25),
        committees.accusation(5, 2, 0.1, committees.SUSPENDED),
        committees.Cell(50, 10, abstaining=0.9),
    ],
)
def test_the_monte_carlo_says_what_the_sums_over_all_committees_say(cell: committees.Cell) -> None:
    found = committees.play(cell, JOBS, np.random.default_rng(1))
    assert sum(found.values()) == JOBS
    for judgement, share in exact.of_job(cell).items():
        low, high = Rate(found[judgement], JOBS).range(CERTAIN)
        assert low - 1e-9 <= share <= high + 1e-9, judgement.name


# --- the figures to reach -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("honest", [BallotCode.FALSE, BallotCode.NEAR, BallotCode.NOMODEL, BallotCode.BROKEN, BallotCode.INVALID])
def test_of_100_verifiers_a_third_in_collusion_get_no_false_claim_in_two_thousand_paid_whatever_the_honest_find(
    honest: BallotCode,
) -> None:
    assert exact.of_job(committees.false_claim(100, 33, honest=honest))[Judgement.OK] < 0.0005


def test_an_eighth_of_the_examples_earns_less_than_a_hundredth_of_the_fees() -> None:
    evaluation = lazy.Evaluation("made up", np.arange(1, 1_001) * 10**6, np.arange(1, 1_001) * 10**6)
    for guess in lazy.GUESSES:
        if guess == "another model's":  # which is the same here
            continue
        chance = lazy.Lazy(evaluation, FloatKind.F32, 0.125, "at random", guess)
        assert Rate(lazy.play(chance, JOBS, np.random.default_rng(1)), JOBS).range(CERTAIN)[1] < 0.01, guess
    whole = lazy.Lazy(evaluation, FloatKind.F32, 1.0, "at random", "zero")
    assert lazy.play(whole, JOBS, np.random.default_rng(1)) == JOBS


def test_a_held_last_message_chooses_no_committee() -> None:
    held = beacons.Draw(committees.false_claim(100, 33), 100)
    found = beacons.play(held, JOBS, np.random.default_rng(1))[Judgement.OK]
    assert Rate(found, JOBS).range(CERTAIN)[0] <= exact.of_job(held.cell)[Judgement.OK] < 0.0005
    assert Rate(found, JOBS).range(CERTAIN)[1] < 0.01


# --- what is left -----------------------------------------------------------------------------------------------------------------


def test_secrets_that_are_left_out_choose_one_of_two_to_the_run() -> None:
    four = beacons.Draw(committees.false_claim(100, 33), 4, withhold=True, adjacent=True)
    assert set(four.runs(10, np.random.default_rng(1)).tolist()) == {1}
    adjacent = beacons.Draw(committees.false_claim(100, 33), 22, withhold=True, adjacent=True)
    assert set(adjacent.runs(10, np.random.default_rng(1)).tolist()) == {7}
    assert (adjacent.beacons(3), beacons.Draw(adjacent.cell, 22, withhold=True, time_out=True).beacons(3)) == (8, 48)
    found = beacons.play(adjacent, JOBS, np.random.default_rng(1))[Judgement.OK]
    assert 0.02 < found / JOBS < 0.08


def test_two_colluding_claimants_outvote_the_only_neutral_seat_and_would_not_by_a_symmetric_rule() -> None:
    rng = np.random.default_rng(1)
    assert helpers.play(helpers.false_claim(1), 1_000, rng)[Judgement.OK] == 1_000
    assert helpers.play(helpers.false_claim(1, symmetric=True), 1_000, rng)[Judgement.OK] == 0
    assert helpers.play(helpers.true_claim(1, 0.0, symmetric=True), 1_000, rng)[Judgement.OK] == 1_000


def test_two_contractors_have_a_worker_banned_where_all_judges_sit_in_both_committees() -> None:
    rng = np.random.default_rng(1)
    assert judges.play(judges.Framing(64, 10), 1_000, rng) == 1_000
    assert judges.play(judges.Framing(300, 22), 1_000, rng) == 0


def test_marks_keep_dissent_from_costing_a_second_round_for_ever() -> None:
    with_marks, without = (dissent.play(dissent.Dissent(10, marks), random.Random(1)) for marks in (True, False))
    assert with_marks["seats"] < 10 * with_marks["jobs"] < without["seats"] / 3
    assert with_marks["not paid"] == without["not paid"] == 0


def test_what_verdicts_take_of_others_the_contractor_loses_as_well() -> None:
    """And every property of the second settlement holds meanwhile: one that a rule had overtaken stopped `make verification`."""
    found = damage.play(0, 60)
    assert found.taken == found.burned > 0 and not found.most


def test_honest_float32_machines_agree_that_a_bad_model_is_false() -> None:
    found = noise.play(100 * 10**9, 300, random.Random(1))
    assert (found["FALSE"], found["paid"], found["off"]) == (300, found["votes"], 0)


def test_the_probe_of_the_monte_carlo_is_the_products() -> None:
    """Whole ballots: trees, openings and their check, and the product's comparison of leaves."""
    rng = np.random.default_rng(1)
    true = np.sort(rng.integers(0, 10**9, 200))
    seen = rng.random(200) < 0.9
    shown = lazy.zeros(true, true, seen)
    mean = -(-int(true.sum()) // 200)
    scale = Scale(FloatKind.F32, 0, mean)
    evaluation = lazy.Evaluation("test", true, true)
    good, tops = lazy.matching(true, shown, lazy.limit(evaluation, FloatKind.F32, widest=False))
    outcomes = set()
    for job in range(40):
        probe = draw_probe(bytes(32), job.to_bytes(32, "big"), 0, 1, 200)
        columns = []
        for losses in (true, true, shown):
            tree = LossTree(losses.tolist())
            leaves = check_opening(tree.measurement, probe, open_losses(tree, probe))
            columns.append(Column(mean, 200, tuple(leaves)))
        right = sum(bool(good[at]) for at in probe.positions) + sum(bool(tops[at]) for at in probe.subtrees)
        assert shown_off(columns, scale) == [False, False, right < 15]
        outcomes.add(right < 15)
    assert outcomes == {True, False}


# --- ranges and the page --------------------------------------------------------------------------------------------------------


def test_the_committed_run_has_every_cell_and_at_least_a_million_jobs_in_it() -> None:
    run = results()
    planned = {task.key: task for task in tasks()}
    assert set(run["cells"]) == set(planned)
    assert run["jobs"] >= 1_000_000
    jobs = {key: cell.get("tries", cell.get("jobs", 0)) for key, cell in run["cells"].items()}
    assert all(jobs[key] >= 1_000_000 for key, task in planned.items() if task.weight >= 1)
    barring = [cell["jobs"] for key, cell in run["cells"].items() if key.startswith("campaigns") and key.endswith("/1")]
    assert sum(barring) >= 1_000_000


def test_exact_shares_of_the_committed_run_are_those_of_the_rules_of_now() -> None:
    """A changed rule asks for `make verification` anew."""
    cells = results()["cells"]
    for pool, many, share in ((5, 2, 33), (20, 7, 33), (50, 20, 40), (100, 33, 33)):
        found = exact.of_job(committees.false_claim(pool, many))[Judgement.OK]
        assert cells[f"paid/{pool}/{share}/2"]["exact OK"] == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize(
    "key", ["paid/100/33/2", "unpaid/20/33/2", "suspended/7/50/2", "abstain/50/5", "helpers/2/0.02/false/False", "framed/100/22/1"]
)
def test_cells_of_the_committed_run_come_out_the_same_to_the_last_job(key: str) -> None:
    """A million jobs each, by the rules of now: the seed and the name of a cell are all that its numbers hang on."""
    run = results()
    task = next(task for task in tasks() if task.key == key)
    assert json.loads(json.dumps(played(task, run["jobs"], run["seed"])[1])) == run["cells"][key]


def test_the_page_and_its_picture_say_what_the_committed_run_says() -> None:
    written = page.PAGE.read_text()
    assert page.placed(written, page.blocks(results(), run.told())) == written
    assert svg(results()) == page.PICTURE.read_text()


def test_cells_that_are_played_alone_have_their_own_version_and_leave_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "version", lambda: "later")
    monkeypatch.setattr(run, "play_all", lambda *_: {"noise/100000000000": {"jobs": 1}})
    found = run.monte_carlo(1_000_000, 1, 1, "noise")
    assert (found["version"], found["apart"]["noise"]) == (results()["version"], "later")
    assert found["cells"] == results()["cells"] | {"noise/100000000000": {"jobs": 1}}
    assert "(cells noise: later)" in page.run(found)
