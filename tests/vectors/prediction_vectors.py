"""Vectors of the formulas of predictions (LC-PRE): what a handler computes, by itself.

Whole requests, with their records and events, stand in the vectors of plays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from learningchain.chain.codec import encode
from learningchain.chain.contracts.prediction import blinding, formulas, messages, payouts, verdicts
from learningchain.chain.contracts.prediction.decisions import DecisionRule, decide
from learningchain.chain.contracts.prediction.formulas import Amounts
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, PredictionOutcome, RowValue, Tally, tally
from learningchain.chain.contracts.prediction.verdicts import AppealCase, AppealMoney, AppealRuling, AppealVerdict
from learningchain.client.contracts.prediction.roles.inputs import INPUT, InputUnfit, PredictionInput
from learningchain.sandbox import AnswerForm
from tests.vectors.kit import shown

FEE, STAKE, ROW = 10_000, 1_000_000, 5
OK, BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN = range(1, 8)
BEACON, REQUEST = hashlib.sha256(b"vector beacon").digest(), hashlib.sha256(b"vector request").digest()
Vote = tuple[int, list[int], list[int], int]
"""Code, classes, scores, check."""


def prediction() -> dict[str, Any]:
    return {
        "amounts": [_amounts(*given) for given in _AMOUNTS],
        "seats": [
            _seats(n, m, pool) for n in range(1, 16, 2) for m in sorted({1, 2, n} & {*range(1, n + 1)}) for pool in range(n + 2)
        ],
        "windows": [_windows(*given) for given in _WINDOWS],
        "places": [_place(*given) for given in _PLACES],
        "subsidies": [_subsidy(*given) for given in _SUBSIDIES],
        "rooms": [_room(*given) for given in _ROOMS],
        "draws": [_draw(r, pool, many) for r, pool, many in ((1, 5, 5), (1, 9, 3), (2, 9, 3), (3, 30, 15))],
        "tallies": [
            *(_tally(*row) for row in _by_number()),
            *(_tally(*row) for row in _ROWS),
            *(_random(seed) for seed in range(60)),
        ],
        "verdicts": [
            *(_verdict(*row) for row in _VERDICTS),
            *(_random_verdict(seed) for seed in range(40)),
            *(_weighed(*row) for row in _WEIGHED),
        ],
        "slashings": [_slashing(*given) for given in _SLASHINGS],
        "decisions": list(_decisions()),
        "shares": [_shares(*given) for given in _SHARES],
        "commitments": list(_commitments()),
        "blindings": list(_blindings()),
        "inputs": [_input(*given) for given in _INPUTS],
    }


def identity(n: int) -> bytes:
    return hashlib.sha256(b"vector server %d" % n).digest()[:20]


def _shown(values: Sequence[int]) -> list[Any]:
    return [shown(value) for value in values]


# --- amounts: LC-PRE-1, 6 -------------------------------------------------------------------------------------------------------

_AMOUNTS = (
    # N, R, p, w, T, stake left, bytes that the request carries
    (1, 1, 0, 1, 1, 1_000_100, 1),
    (1, 1, 0, 1, 1, 1_000_100, 8),
    (1, 1, 0, 1, 1, 1_000_100, 9),
    (1, 1, 0, 1, 1_000_000, 1_000_100, 2_048),
    (5, 256, 3, 1, 1_280, 1_000_100, 2_048),
    (1, 1, 0, 1, 1, 1_000_100),
    (5, 1, 0, 1, 5, 1_000_100),
    (5, 1, 3, 1, 16, 9),
    (5, 1, 3, 1, 17, 0),
    (5, 256, 1_000, 100, 128_003, 10**9),
    (3, 16, 7, 11, 4_321, 10**9),
    (3, 17, 7, 11, 43_210, 10**9),
    (15, 256, 10**12, 10**11, 10**15, 10**15),
    (15, 1, 10**12, 10**12, 10**15, 10**15),
)
"""The fine is bounded by what is left, by a share, by ten floors."""


def _amounts(n: int, rows: int, p: int, w: int, tip: int, stake: int, inline: int = 0) -> dict[str, Any]:
    given = {
        "inline": inline,
        "N": n,
        "R": rows,
        "p": p,
        "w": w,
        "T": shown(tip),
        "stake": shown(stake),
        "fee": FEE,
        "pred_stake": STAKE,
        "row": ROW,
    }
    of = Amounts(n, rows, tip, p, w, ROW, inline)
    found = {
        "Tmin": of.least_tip,
        "F": of.kept,
        "b": of.burned,
        "X": of.locked,
        "s": of.share,
        "q": of.least_agreeing,
        "R3": formulas.appeal_rows(rows),
        "u": of.vote_fee(FEE),
        "PEN": of.fine(stake),
        "least_stake": formulas.least_stake(STAKE, w),
    }
    return {"rule": "LC-PRE-1", **given, "found": {name: shown(value) for name, value in found.items()}}


def _seats(n: int, m: int, pool: int) -> dict[str, Any]:
    return {"rule": "LC-PRE-1", "N": n, "m": m, "pool": pool, "c": formulas.seats(n, m, pool)}


# --- windows, places, subsidies, rooms, draws: LC-PRE-3 to LC-PRE-5, 20, 21 -----------------------------------------------------

_WINDOWS = (
    # pred_a0, start_s, row_ms, rows, size, model size, job_vote_base
    (3_000, 1, 1, 1, 1, 1, 120_000),
    (3_000, 600, 60_000, 256, 2**23, 2**34, 120_000),
    (3_000, 10, 20, 16, 1_000, 1_000_000, 120_000),
    (3_000, 10, 20, 17, 1_001, 999_999, 120_000),
    (1, 1, 7, 33, 2_001, 999, 4_000),
)
_PLACES = (
    # posted, T, Tmin
    (10**12, 5, 5),
    (10**12, 6, 5),
    (10**12, 9, 5),
    (10**12, 154, 5),
    (10**12, 155, 5),
    (10**12, 156, 5),
    (10**12, 10**15, 1),
    (10**12, 1_999, 1_000),
    (10**12, 1_001, 1_000),
)
_SUBSIDIES = (
    # pred_sub, b, N, pred_epoch_sub, minted in the epoch
    (20_000, 400_000, 5, 10**8, 0),
    (20_000, 200_000, 5, 10**8, 0),
    (20_000, 199_999, 5, 10**8, 0),
    (20_000, 1, 5, 10**8, 0),
    (20_000, 400_000, 5, 10**8, 10**8 - 100_000),
    (20_000, 400_000, 5, 10**8, 10**8 - 99_999),
    (20_000, 400_000, 5, 10**8, 10**8 - 4),
    (20_000, 400_000, 5, 10**8, 10**8),
    (20_000, 400_000, 5, 10**8, 10**8 + 7),
    (20_000, 400_000, 1, 10**8, 0),
)
"""At an epoch's edge: the whole, a part, nothing, and never below nothing."""

_ROOMS = (
    # c, pool, slots, open seats, seats that are not final, stakes, w
    (5, 5, 4, 0, 0, [1_000_100] * 5, 1),
    (5, 5, 4, 8, 8, [1_000_100] * 5, 1),
    (5, 5, 4, 9, 9, [1_000_100] * 5, 1),
    (3, 3, 1, 0, 0, [1_000_100] * 3, 1),
    (3, 3, 1, 1, 1, [1_000_100] * 3, 1),
    (1, 1, 1, 0, 0, [5], 1),
    (5, 10, 4, 3, 90, [1_000] * 10, 10),
    (5, 10, 4, 3, 95, [1_000] * 10, 10),
    (5, 10, 4, 3, 96, [1_000] * 10, 10),
    (3, 4, 64, 0, 1, [10, 100, 10_000, 10_000], 1),
    (3, 4, 64, 0, 37, [10, 100, 10_000, 10_000], 1),
    (3, 4, 64, 0, 38, [10, 100, 10_000, 10_000], 1),
)


def _windows(a0: int, start_s: int, row_ms: int, number: int, size: int, model: int, base: int) -> dict[str, Any]:
    given = {"pred_a0": a0, "start_s": start_s, "row_ms": row_ms, "R": number, "size": size, "model_size": model}
    third = formulas.answer_window(base, start_s, row_ms, formulas.appeal_rows(number), size + model)
    found = {"W_A": formulas.answer_window(a0, start_s, row_ms, number, size), "W_A3": third}
    return {"rule": "LC-PRE-3", **given, "vote_base": base, **found}


def _place(posted: int, tip: int, least: int) -> dict[str, Any]:
    return {"rule": "LC-PRE-4", "posted": posted, "T": tip, "Tmin": least, "v": formulas.place(posted, tip, least)}


def _subsidy(most: int, burned: int, n: int, of_epoch: int, minted: int) -> dict[str, Any]:
    given = {"pred_sub": most, "b": burned, "N": n, "pred_epoch_sub": of_epoch, "minted": minted}
    amounts = Amounts(n, 1, 20 * burned, 0, 1, 0)
    return {"rule": "LC-PRE-5", **given, "subsidy": formulas.subsidy(most, of_epoch, minted, amounts)}


def _room(c: int, pool: int, slots: int, opened: int, pinned: int, stakes: list[int], w: int) -> dict[str, Any]:
    given = {"c": c, "pool": pool, "slots": slots, "open": opened, "pinned": pinned, "stakes": stakes, "w": w}
    room = opened + c <= formulas.open_seats(slots, pool, c) and pinned + c <= formulas.covered_seats(stakes, w, c)
    return {"rule": "LC-PRE-20", **given, "room": room}


def _draw(round_: int, pool: int, many: int) -> dict[str, Any]:
    ids = [identity(n) for n in range(pool)]
    found = sorted(ids, key=lambda who: messages.ticket(BEACON, REQUEST, round_, who))[:many]
    given = {"beacon": BEACON.hex(), "request": REQUEST.hex(), "r": round_, "ids": [one.hex() for one in ids], "seats": many}
    return {"rule": "LC-PRE-21", **given, "drawn": [one.hex() for one in found]}


# --- tallies: LC-PRE-26 to LC-PRE-29, 33 ----------------------------------------------------------------------------------------

TOL = 5


def said(code: int) -> Vote:
    return code, [], [], 0


def one(score: int, check: int = 0, cls: int | None = None) -> Vote:
    return OK, [] if cls is None else [cls], [score], check


def _by_number() -> Iterator[tuple[list[Vote], int, int, int, int, int]]:
    """For each number of seats: all agree, one and two dissent, half lies, all differ, a quorum says a code and one fewer."""
    for c in range(1, 16):
        q, quorum = 1 if c == 1 else 2, 2 * c // 3 + 1
        for liars in sorted({0, 1, 2, c // 2, c} & set(range(c + 1))):
            honest, lying = [one(100 + n % 3) for n in range(c - liars)], [one(900 + n) for n in range(liars)]
            yield lying + honest, c, q, min(2, c), 1, TOL
        yield [one(1_000 * n) for n in range(c)], c, q, min(2, c), 1, TOL
        yield [one(7, cls=n % 2) for n in range(c)], c, q, min(2, c), 1, TOL
        for sayers in (quorum, quorum - 1):
            for code in (BAD_INPUT, FAULT):
                yield [said(code)] * sayers + [one(1)] * (c - sayers), c, q, min(2, c), 1, TOL


def rows(*scores: int, check: int = 0, classes: Sequence[int] = ()) -> Vote:
    return OK, list(classes), list(scores), check


_WIDE = [0] * 32
_ROWS: tuple[tuple[list[Vote], int, int, int, int, int], ...] = (
    ([], 5, 2, 2, 1, TOL),
    ([one(5)], 5, 2, 2, 1, TOL),
    # codes: none, the most frequent, the earliest of equals
    ([said(ABSTAIN)] * 3 + [said(NO_DATA)] * 2, 5, 2, 2, 1, TOL),
    ([said(NO_DATA)] * 2 + [said(ABSTAIN)] * 2 + [one(1)], 5, 2, 2, 1, TOL),
    ([said(ABSTAIN)] * 2 + [said(NO_DATA)] * 2 + [one(1)], 5, 2, 2, 1, TOL),
    ([said(NO_DATA)] * 4 + [one(1)], 5, 2, 2, 1, TOL),
    ([said(BAD_KEY)] * 4, 5, 2, 2, 1, TOL),
    ([said(OVERRUN)] * 4 + [said(BAD_INPUT)], 5, 2, 2, 1, TOL),
    ([said(OVERRUN)] * 3 + [said(BAD_INPUT)] * 2, 5, 2, 2, 1, TOL),
    ([said(FAULT)] * 2 + [one(1)] * 2, 4, 2, 2, 1, TOL),
    ([said(FAULT)] * 3 + [one(1)] * 2, 5, 2, 2, 1, TOL),
    ([said(BAD_INPUT), one(1)], 3, 2, 2, 1, TOL),
    ([said(BAD_INPUT)] + [one(1)] * 4, 5, 2, 2, 1, TOL),
    # checks: by the rows, ties to the earliest, wrong ones are not valid however good the scores
    ([one(5, 0), one(5, 10), one(5, 11)], 3, 2, 2, 1, TOL),
    ([one(5, 0), one(5, 11), one(5, 22)], 3, 2, 2, 1, TOL),
    ([one(5, 0), one(5, 0), one(90, 50), one(90, 50), one(5, 99)], 5, 2, 2, 1, TOL),
    ([one(90, 50), one(90, 50), one(5, 0), one(5, 0), one(5, 99)], 5, 2, 2, 1, TOL),
    ([rows(1, 2, check=0), rows(1, 2, check=20), rows(1, 2, check=41)], 3, 2, 2, 2, TOL),
    ([one(5, 2**63 - 1), one(5, 2**63 - 1), one(5, 1 - 2**63)], 3, 2, 2, 1, TOL),
    # near: ten apart joins, eleven does not; the score is the lower median of its support
    ([one(0), one(10), one(20), one(31)], 5, 2, 2, 1, TOL),
    ([one(0), one(11), one(22), one(33)], 5, 2, 2, 1, TOL),
    ([one(20), one(0), one(10), one(30)], 5, 2, 2, 1, TOL),
    ([one(10**18), one(-(10**18)), one(10**18 - 3)], 3, 2, 2, 1, 10**15),
    # classes: scores that are near, classes that differ
    ([one(5, cls=1), one(5, cls=2), one(6, cls=1), one(6, cls=2), one(6, cls=3)], 5, 2, 2, 1, TOL),
    ([one(5, cls=2), one(90, cls=2), one(6, cls=1), one(7, cls=1), one(300, cls=2)], 5, 2, 3, 1, TOL),
    # rows without a value; a row in which one differs takes the pay where there are fewer than sixteen
    ([rows(1, 1), rows(1, 50), rows(1, 99)], 3, 2, 2, 2, TOL),
    ([rows(1, 1), rows(1, 1), rows(1, 99)], 3, 2, 3, 2, TOL),
    ([rows(1, 50), rows(50, 1)], 3, 2, 2, 2, TOL),
    ([rows(1, 50), rows(50, 1), rows(1, 1)], 3, 2, 2, 2, TOL),
    ([rows(*_WIDE), rows(*_WIDE), rows(*[*_WIDE[2:], 99, 99])], 3, 2, 2, 32, TOL),
    ([rows(*_WIDE), rows(*_WIDE), rows(*[*_WIDE[3:], 99, 99, 99])], 3, 2, 2, 32, TOL),
    # a quorum of payees fines those that were wrong
    ([one(1), one(1), one(1), one(1), one(99)], 5, 2, 5, 1, TOL),
    ([one(1), one(1), one(1), one(1), said(BAD_INPUT)], 5, 2, 2, 1, TOL),
    ([one(1), one(1), one(1), one(1), said(NO_DATA)], 5, 2, 2, 1, TOL),
    ([one(1), one(1), one(1), said(FAULT), one(99)], 5, 2, 2, 1, TOL),
    ([said(BAD_INPUT)] * 5 + [one(1), said(FAULT)], 7, 2, 2, 1, TOL),
)


def _answer(vote: Vote) -> Answer:
    return Answer(AnswerCode(vote[0]), *vote[1:])


def _told(vote: Vote) -> list[Any]:
    return [vote[0], vote[1], _shown(vote[2]), shown(vote[3])]


def _tally(votes: list[Vote], c: int, q: int, m: int, number: int, tol: int) -> dict[str, Any]:
    given = {"votes": [_told(vote) for vote in votes], "c": c, "q": q, "m": m, "rows": number, "tol": shown(tol)}
    answers = [_answer(vote) for vote in votes]
    found = tally(answers, rows=number, tol=tol, c=c, q=q, m=m)
    values = [None if value is None else [value.predicted, shown(value.score), list(value.support)] for value in found.values]
    return {
        "rule": "LC-PRE-28",
        **given,
        "outcome": found.outcome.name,
        "values": values,
        "payees": list(found.side) if found.holds else [],
        "agree": found.agree,
        "said": [] if found.holds else list(found.side),
        "fined": list(payouts.fined(found, answers, c)),
    }


def _verdict(votes: list[Vote], c: int, old: list[tuple[int, int] | None], tol: int) -> dict[str, Any]:
    """Of a request whose one payee stands for all of its values."""
    mark = [value or (0, 0) for value in old]
    kinds = [cls for cls, _ in mark] if any(vote[1] for vote in votes) else []
    own: Vote = (OK, kinds, [score for _, score in mark], 0)
    before = Tally(PredictionOutcome.AGREED, tuple(None if v is None else RowValue(*v, (0,)) for v in old), 1, (0,))
    return _ruled(votes, c, before, [own], tol)


def _weighed(votes: list[Vote], first: list[Vote]) -> dict[str, Any]:
    """Every judge opened, and so did every seat of the request: `first`."""
    before = tally([_answer(vote) for vote in first], rows=len(first[0][2]), tol=TOL, c=len(first), q=2, m=1)
    return _ruled(votes, len(votes), before, first, TOL)


def _ruled(votes: list[Vote], c: int, before: Tally, first: list[Vote], tol: int) -> dict[str, Any]:
    given = {"votes": [_told(vote) for vote in votes], "c": c, "tol": shown(tol), "first": [_told(vote) for vote in first]}
    given["old"] = [
        None if value is None else [value.predicted, shown(value.score), list(value.support)] for value in before.values
    ]
    answers, rows = [_answer(vote) for vote in first], list(range(len(before.values)))
    ruling = verdicts.rule(AppealCase(before, answers, rows, [_answer(vote) for vote in votes], c, len(first), tol))
    by_code = ruling.verdict == AppealVerdict.OVERTURNED and not ruling.found.holds
    said = [ruling.verdict.name, list(ruling.found.side), list(ruling.changed), by_code]
    given |= {"drawn": len(first), "wrong": len(ruling.slashable)}
    return {"rule": "LC-PRE-40", **given, "verdict": said, "slashes": bool(ruling.slashable), "deposit": ruling.owned}


def _slashing(stakes: list[int], deposit: int, u: int, side: int, s: int, same: int) -> dict[str, Any]:
    found = Tally(PredictionOutcome.AGREED, (RowValue(0, 500, tuple(range(side))),), side, tuple(range(side)))
    guilty, unpaid = tuple(range(len(stakes))), tuple(range(len(stakes), len(stakes) + same))
    ruling = AppealRuling(AppealVerdict.OVERTURNED, found, {0: RowValue(0, 500, ())}, (0,), guilty, unpaid, True)
    money = AppealMoney(0, u, FEE, s, s, deposit, [*stakes, *[0] * same], False)
    paid = verdicts.payout(ruling, money, side)
    given = {"stakes": _shown(stakes), "deposit": shown(deposit), "u": u, "side": side, "s": s, "same": same}
    shared = _shown([paid.vote, paid.reward, paid.pot_burned])
    return {"rule": "LC-PRE-42", **given, "lost": _shown([paid.slashed[at] for at in guilty]), "shared": shared}


def _random_votes(rng: Random, c: int, number_of_rows: int, classes: int) -> list[Vote]:
    votes: list[Vote] = []
    for _ in range(rng.randint(0, c)):
        if rng.random() < 0.15:
            votes.append(said(rng.randint(BAD_INPUT, ABSTAIN)))
            continue
        scores = [100 * row + rng.choice((0, 0, 0, 3, 10, 11, 60)) for row in range(number_of_rows)]
        kinds = [rng.choice((0, 0, 0, 1)) for _ in range(number_of_rows)] if classes else []
        votes.append((OK, kinds, scores, rng.choice((0, 0, 0, 9, 10 * number_of_rows + 1))))
    return votes


def _random(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    n = rng.choice((3, 5, 7, 9, 15))
    number_of_rows = rng.choice((1, 2, 16, 17))
    return _tally(_random_votes(rng, n, number_of_rows, seed % 2), n, 2, rng.randint(1, n), number_of_rows, TOL)


def _random_verdict(seed: int) -> dict[str, Any]:
    rng = Random(1_000 + seed)
    c, number_of_rows = rng.choice((3, 7, 15, 16, 30)), rng.choice((1, 3))
    old = [
        None if rng.random() < 0.1 else (rng.choice((0, 0, 1)) if seed % 2 else 0, 100 * row + rng.choice((0, 20, 21, 70)))
        for row in range(number_of_rows)
    ]
    votes = _random_votes(rng, c, number_of_rows, seed % 2)
    return _verdict(votes or [said(NO_DATA)], c, old, TOL)


_VERDICTS: tuple[tuple[list[Vote], int, list[tuple[int, int] | None], int], ...] = (
    # half of the seats is no verdict, and neither are codes that accuse nobody's answer
    ([one(1)] * 2, 4, [(0, 100)], TOL),
    ([one(1)] * 3, 4, [(0, 100)], TOL),
    ([said(NO_DATA)] * 7, 7, [(0, 100)], TOL),
    ([said(OVERRUN)] * 7, 7, [(0, 100)], TOL),
    ([said(ABSTAIN)] * 7, 7, [(0, 100)], TOL),
    ([one(100 * n) for n in range(7)], 7, [(0, 100)], TOL),
    ([said(BAD_KEY)] * 7, 7, [(0, 100)], TOL),
    # twenty apart is equal, twenty-one is not; another class never
    ([one(120)] * 3, 3, [(0, 100)], TOL),
    ([one(121)] * 3, 3, [(0, 100)], TOL),
    ([one(100, cls=1)] * 3, 3, [(0, 100)], TOL),
    # rows that one side alone values change nothing
    ([one(500)] * 3, 3, [None], TOL),
    ([rows(0, 5), rows(0, 50), rows(0, 95)], 3, [(0, 0), (0, 900)], TOL),
    ([rows(0, 500), rows(0, 500), rows(0, 500)], 3, [(0, 0), (0, 900)], TOL),
    # codes that accuse the answer
    ([said(BAD_INPUT)] * 15, 15, [(0, 0), (0, 1), None], TOL),
    ([said(FAULT)] * 11 + [one(0)] * 4, 15, [(0, 0)], TOL),
    ([said(BAD_INPUT)] * 11 + [rows(0, 1, 2)] * 4, 15, [(0, 0), (0, 1), None], TOL),
    # who is slashed: fifteen judges, a quorum, fewer than an eighth for the old values
    ([one(500)] * 14, 14, [(0, 0)], TOL),
    ([one(500)] * 15, 15, [(0, 0)], TOL),
    ([one(500)] * 11 + [one(900)] * 4, 15, [(0, 0)], TOL),
    ([one(500)] * 10 + [one(900)] * 5, 15, [(0, 0)], TOL),
    ([one(500)] * 14 + [one(0)], 15, [(0, 0)], TOL),
    ([one(500)] * 13 + [one(0), one(20)], 15, [(0, 0)], TOL),
    ([one(500)] * 13 + [one(0), one(21)], 15, [(0, 0)], TOL),
    ([one(500)] * 14 + [one(0)] * 2, 16, [(0, 0)], TOL),
    ([rows(0, 500)] * 13 + [rows(500, 0)] * 2, 15, [(0, 0), (0, 0)], TOL),
    ([rows(500, 500)] * 13 + [rows(0, 500)] * 2, 15, [(0, 0), (0, 0)], TOL),
)
_WEIGHED: tuple[tuple[list[Vote], list[Vote]], ...] = (
    # as many as before do not outweigh, one more does
    ([one(500)] * 5, [one(0)] * 5),
    ([one(500)] * 6, [one(0)] * 5),
    # a judge who says the old value stands behind it, one who says a third does not
    ([one(500)] * 6 + [one(0)], [one(0)] * 5),
    ([one(500)] * 6 + [one(900)], [one(0)] * 5),
    # so does a seat that said the new one, near it alone
    ([one(500)] * 3, [one(0)] * 3 + [one(500)] * 2),
    ([one(500)] * 3, [one(0)] * 3 + [one(520), one(900)]),
    ([one(500)] * 3, [one(0)] * 3 + [one(521), one(900)]),
    ([one(500)] * 3, [one(0)] * 3 + [one(500, cls=1), said(ABSTAIN)]),
    # of two other values the one that is not outweighed stays
    ([rows(500, 500)] * 3, [rows(0, 0)] * 3 + [rows(500, 9, check=9)] * 2),
    # a code outweighs all who gave an answer, whatever it was
    ([said(BAD_INPUT)] * 3, [one(0)] * 3 + [said(BAD_INPUT)] * 2),
    ([said(BAD_INPUT)] * 3, [one(0)] * 3 + [one(500)] * 2),
    ([said(FAULT)] * 6, [one(0)] * 3 + [one(500)] * 2),
    ([said(FAULT)] * 5 + [one(0)], [one(0)] * 3 + [said(FAULT)] * 2),
    # the deposit answers for a quorum of five seats or more
    *(([one(500)] * 15, [one(0)] * wrong + [one(500)] * (c - wrong)) for c, wrong in ((3, 3), (5, 3), (5, 4), (7, 4), (7, 5))),
)
_SLASHINGS = (
    # stakes of the k, deposit left, u, side, s, unpaid seats that said the same
    ([1_000_100], 1_000_000, 10_000, 15, 100, 0),
    ([1_000_100], 1_000_000, 10_000, 15, 100, 2),
    ([1_000_100] * 3, 1_000_000, 10_000, 63, 100, 2),
    ([50, 10_000_000, 7], 1_000_000, 10_000, 15, 400_000, 1),
    ([1, 2], 1_000_000, 10_000, 15, 100, 2),
    ([1_000_100] * 3, 2, 10_000, 15, 100, 2),
    ([30, 30], 1_000_000, 3, 15, 10, 3),
)
_SHARES = (
    *((10, 0, [1]), (10, 0, [1, 1, 1]), (1, 0, [1, 2**32 - 1]), (10**15, 0, [2**32 - 1] * 128), (9, 0, [5, 3, 1])),
    *((1, 2, [1, 1, 1]), (2, 7, [5, 3, 1]), (1, 2**32 - 1, [1, 2**32 - 1]), (100, 14, [1, 2, 4, 8]), (3, 14, [1, 2, 4, 8])),
)


def _shares(held: int, carried: int, weights: list[int]) -> dict[str, Any]:
    parts, after = formulas.shared(held, carried, weights)
    given = {"held": shown(held), "carried": shown(carried), "weights": weights}
    return {"rule": "LC-PRE-14", **given, "parts": _shown(parts), "carried_next": shown(after)}


# --- decisions: LC-PRE-44 -------------------------------------------------------------------------------------------------------

LOW, HIGH = -(10**18), 10**18
RATES: list[tuple[int, int]] = [(LOW, 50_000), (100, 70_000), (200, 1_000_000)]


def _decisions() -> Iterator[dict[str, Any]]:
    """Either side of the threshold and on it, each rate at its edge, and each reason to refer."""
    for below in (True, False):
        for value in (LOW, 0, 99, 100, 199, 200, 489, 490, 500, 501, 510, 511, HIGH):
            yield _decision(DecisionRule(below, 500, RATES, 3, 0), value, 5)
    plain = DecisionRule(True, 500, RATES, 3, 2)
    yield _decision(plain, None, 5)
    yield _decision(plain, 5, 3)
    yield _decision(plain, 5, 4)
    yield _decision(plain, 505, 3)
    yield _decision(plain._replace(least=5), 5, 4)
    yield _decision(plain._replace(least=1), 5, 3, c=3)
    yield _decision(plain._replace(least=1), 5, 2, c=3)
    yield _decision(plain, 5, 5, private=True)
    yield _decision(plain, 5, 5, asked=2)
    yield _decision(plain, 5, 5, asked=3)
    yield _decision(plain._replace(most=0), 5, 5, asked=10**6)


def _decision(
    rule: DecisionRule, value: int | None, support: int, c: int = 5, *, private: bool = False, asked: int = 1
) -> dict[str, Any]:
    rates = [[shown(start), ppm] for start, ppm in rule.rates]
    policy = {"below": rule.below, "threshold": rule.threshold, "rates": rates, "least": rule.least, "most": rule.most}
    given = {"policy": policy, "value": shown(value), "support": support, "c": c, "private": private, "asked": asked, "tol": TOL}
    row = None if value is None else RowValue(0, value, tuple(range(support)))
    found = decide(rule, [row], c=c, tol=TOL, private=private, asked=asked)[0]
    return {"rule": "LC-PRE-44", **given, "decision": [found.decision.name, found.rate, found.borderline]}


# --- ids, commitments, blinding: LC-PRE-47, 50 ----------------------------------------------------------------------------------


def _commitments() -> Iterator[dict[str, Any]]:
    chain_id, request, salt, tx, who = bytes([1]) * 32, bytes([2]) * 32, bytes([4]) * 32, bytes([5]) * 32, bytes([6]) * 20
    rule = {"rule": "LC-PRE-50"}
    for what, make in (("model", messages.model_id_of), ("request", messages.request_id_of), ("policy", messages.policy_id_of)):
        yield rule | {"what": what, "tx": tx.hex(), "op": 7, "found": make(tx, 7).hex()}
    for round_, vote in ((1, rows(7, -(10**18), check=2**63 - 1, classes=(1, 0))), (3, said(BAD_KEY))):
        answer = _answer(vote)
        found = messages.answer_commitment(chain_id, request, round_, who, answer, salt)
        given = {"chain_id": chain_id.hex(), "request": request.hex(), "r": round_, "server": who.hex(), "salt": salt.hex()}
        yield rule | {"what": "answer", **given, "answer": encode(answer).hex(), "found": found.hex()}


def _blindings() -> Iterator[dict[str, Any]]:
    key, other = hashlib.sha256(b"a key").digest(), hashlib.sha256(b"another request").digest()
    plain = rows(10**15, -(10**15), 0, check=3 * 10**15, classes=(1, 0, 2))
    for request, classes, numbers, vote in (
        (REQUEST, 3, [0, 1, 2], plain),
        (other, 3, [0, 1, 2], plain),
        (REQUEST, 65_536, [3, 17, 255], plain),
        (REQUEST, 0, [0, 1], rows(5, -5)),
        (REQUEST, 3, [0, 1, 2], said(BAD_INPUT)),
    ):
        found = blinding.blind(_answer(vote), key, request, numbers, classes)
        given = {"key": key.hex(), "request": request.hex(), "classes": classes, "rows": numbers, "plain": _told(vote)}
        told = _told((int(found.code), list(found.classes), list(found.scores), found.check))
        yield {"rule": "LC-PRE-47", **given, "blinded": told}


# --- rows of an input: LC-PRE-56 ------------------------------------------------------------------------------------------------

_LINES = b"".join(b"row %d\n" % row for row in range(17))
_INPUTS = (
    # bytes, R, rows that are answered
    (b"", 1, (0,)),
    (b"\n", 1, (0,)),
    (b"\n", 2, (0, 1)),
    (b"\n\n", 2, (0, 1)),
    (b"a", 1, (0,)),
    (b"a\n", 1, (0,)),
    (b"a\n\n", 1, (0,)),
    (b"a\nb", 2, (0, 1)),
    (b"a\nb", 3, (0, 1, 2)),
    (b"a\r\nb\rc\x0bd\x0ce\x1cf\xc2\x85g\xe2\x80\xa8h\n", 2, (0, 1)),
    (b"a\x00b\n\xff\n", 2, (0, 1)),
    (_LINES, 17, tuple(range(1, 17))),
    (_LINES[:-1], 17, tuple(range(1, 17))),
    (_LINES[:-1], 17, tuple(range(17))),
    (_LINES, 16, tuple(range(16))),
)
"""What ends a line, what does not; the last one's end may be missing. The program gets nothing where the lines are not R."""


def _input(data: bytes, rows: int, chosen: tuple[int, ...]) -> dict[str, Any]:
    try:
        given = PredictionInput(data, rows, chosen, 0, 0, AnswerForm(rows=len(chosen)), 1.0).given()[INPUT].hex()
    except InputUnfit:
        given = "BAD_INPUT"
    return {"rule": "LC-PRE-56", "input": data.hex(), "R": rows, "rows": list(chosen), "given": given}
