"""Honest machines that differ by rounding, on a model that is far worse than claimed: do they agree that the claim is false?"""

from __future__ import annotations

import random
from collections import Counter

from learningchain.chain.verification.committee import FIRST_ROUND
from learningchain.chain.verification.merits import merits, repeatable
from learningchain.chain.verification.scale import FloatKind, bound, tolerance
from learningchain.chain.verification.votes import Column, Judgement, OpenedVote, Scale, code_of, verdict

F32_NOISE = 1e-6
"""Relative: float32 means of the same model on different machines differ by 7e-7 to 2e-6 (measured on the digits)."""


def play(loss: int, jobs: int, rng: random.Random) -> Counter[str]:
    """So many float32 jobs with a claim of 0 for a model of this loss: `FALSE` verdicts, and `votes` that are `paid` or `off`."""
    scale, found = Scale(FloatKind.F32, 0, 0), Counter({"jobs": jobs})
    tol, limit = tolerance(scale.kind, scale.posted, 0), bound(scale.kind, 0)
    for _ in range(jobs):
        votes = []
        for seat in range(FIRST_ROUND):
            measured = round(loss * (1 + F32_NOISE * rng.uniform(-1, 1)))
            code = code_of(0, measured, tol, limit)
            votes.append(OpenedVote(bytes([seat]), True, code, Column(measured, 16, (measured,) * 16)))
        decided, _line = verdict(votes, FIRST_ROUND, True, scale, False)
        round_ = merits(votes, decided, scale, False)
        found["FALSE"] += decided == Judgement.FALSE
        found["votes"] += len(round_)
        found["paid"] += sum(merit.paid for merit in round_)
        found["off"] += sum(merit.off for merit in round_)
        found["not repeatable"] += not repeatable(round_)
    return found
