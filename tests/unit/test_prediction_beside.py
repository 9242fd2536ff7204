"""The pure rules of predictions beside the executable model: two texts from one page, on the same answers."""

from __future__ import annotations

import random

from learningchain.chain.contracts.prediction import blinding, formulas
from learningchain.chain.contracts.prediction.formulas import Amounts
from learningchain.chain.contracts.prediction.tally import tally
from tests.predictions import beside
from tests.predictions import formulas as model_formulas
from tests.predictions import tally as model_tally
from tests.predictions.beside import Beside
from tests.predictions.fuzz import play_requests
from tests.predictions.scenario import CODES, OK, Answer, ModelTerms, Params

VOTES = 3_000


def test_tallies_and_verdicts_of_random_graphs_come_to_the_same() -> None:
    found = Beside()
    with found.watching():
        play_requests(900)
    assert {"AGREED", "WEAK", "NO_AGREEMENT", "TOO_FEW", "BAD_INPUT", "MODEL_FAULT"} <= set(found.tallies), found.tallies
    assert set(found.verdicts) == {"VOID", "UPHELD", "OVERTURNED"} and found.slashed and found.rows_decided


def draw_answer(rng: random.Random, rows: int, classes: int, spread: int) -> Answer:
    code = OK if rng.random() < 0.8 else rng.choice(CODES)
    if code != OK:
        return Answer(code)
    scores = tuple(rng.randrange(-spread, spread + 1) for _ in range(rows))
    return Answer(OK, scores, tuple(rng.randrange(classes) for _ in range(rows if classes else 0)), rng.randrange(spread * rows))


def test_random_votes_are_tallied_the_same() -> None:
    rng, seen = random.Random("votes"), set()
    for _ in range(VOTES):
        rows, c, classes, tol = rng.choice((1, 1, 2, 5, 17, 33)), rng.choice((1, 3, 5, 7, 15, 63)), rng.choice((0, 0, 2)), 10
        spread = rng.choice((5, 25, 60, 400))
        votes = [draw_answer(rng, rows, classes, spread) for _ in range(rng.randrange(c + 1))]
        q, m = (1 if c == 1 else 2), rng.randrange(1, c + 1)
        ours = tally([beside.answer(one) for one in votes], rows=rows, tol=tol, c=c, q=q, m=m)
        beside.same_tally(ours, model_tally.tally(tol, rows, q, m, c, votes))
        seen.add(ours.outcome)
    assert len(seen) == 9


def test_random_amounts_windows_and_places_are_the_same() -> None:
    rng, params = random.Random("amounts"), Params()
    for _ in range(2_000):
        n, rows, p, w = rng.randrange(1, 16, 2), rng.randrange(1, 257), rng.randrange(10**4), rng.randrange(1, 10**4)
        least = model_formulas.least_tip(w, n, rows)
        row, inline = rng.randrange(20), rng.choice((0, rng.randrange(2_049)))
        amounts = Amounts(n, rows, least + rng.randrange(least * 40), p, w, row, inline)
        kept = model_formulas.kept_fee(row, rows, inline)
        assert amounts.least_tip == least
        assert amounts.locked == model_formulas.charge(amounts.tip, p * rows, kept)
        assert amounts.burned == model_formulas.burned_fee(amounts.tip, p * rows, kept)
        assert amounts.vote_fee(params.fee) == model_formulas.vote_fee(params, w, rows)
        stake, minted, posted = rng.randrange(10**7), rng.randrange(10**8), rng.randrange(10**12)
        assert amounts.fine(stake) == model_formulas.fine(stake, amounts.share, w, rows)
        ours = formulas.subsidy(params.sub, params.epoch_sub, minted, amounts)
        assert ours == model_formulas.subsidy(params, amounts.burned, n, minted)
        assert formulas.place(posted, amounts.tip, least) == model_formulas.rank(posted, amounts.tip, least)
        pool, m, slots = rng.randrange(300), rng.randrange(1, n + 1), rng.randrange(1, 65)
        c = formulas.seats(n, m, pool)
        assert c == model_formulas.seats(n, m, pool)
        assert formulas.open_seats(slots, pool, c) == model_formulas.throttle(slots, pool, c)
        stakes = [rng.randrange(1, 10**9) for _ in range(rng.randrange(1, 20))]
        assert formulas.covered_seats(stakes, w, c) == model_formulas.cover(stakes, w, c)
        assert formulas.least_stake(params.stake, w) == model_formulas.least_stake(params, w)
        same_windows(params, ModelTerms("m", row_ms=rng.randrange(1, 60_001), start_s=rng.randrange(1, 601)), rows, posted, rng)
        key, request, row, column = rng.randbytes(32), rng.randbytes(32), rng.randrange(256), rng.randrange(3)
        assert blinding.offset(key, request, row, column) == model_formulas.offset(key, request, row, column)


def same_windows(params: Params, terms: ModelTerms, rows: int, posted: int, rng: random.Random) -> None:
    size, wait = rng.randrange(1, 2**23), rng.randrange(1_000, 3_600_001)
    answer = formulas.answer_window(params.a0, terms.start_s, terms.row_ms, rows, size)
    assert answer == model_formulas.answer_window(params, terms, rows, size)
    few = formulas.appeal_rows(rows)
    appeal = formulas.answer_window(params.v0, terms.start_s, terms.row_ms, few, size + terms.size)
    assert appeal == model_formulas.appeal_window(params, terms, rows, size)
    answered = formulas.answered_by(posted, wait, params.w_k, answer, params.w_o)
    assert answered == model_formulas.answered_by(params, terms, posted, wait, rows, size)
