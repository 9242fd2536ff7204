"""The formulas of the job contract a second time, from protocol_spec/job.md: for `checks_jobs` and for clients of the simulator."""

from __future__ import annotations

import re

from chain.contracts.job import messages as m
from chain.contracts.job.rules import Result, Rule, VoteCode
from tests.sim.checks_ledger import refuse_if

Entry = tuple[bytes, int, int]
"""(chain position, loss, index)"""
LIMITS = {
    "cpus_milli": (10, 1_024_000),
    "mem_mb": (6, 4_194_304),
    "train_s": (1, 2_592_000),
    "eval_s": (1, 86_400),
    "model_cap": (1, 2**34),
    "tmp_mb": (0, 4_194_304),
    "threads": (1, 4_096),
}


def base(terms: m.PostJob, loss: int) -> int:
    """LC-JOB-2"""
    return 10 - -abs(loss) // 10**6 if terms.float_kind == 1 else 1_000 - -abs(loss) // 10**4


def tol(terms: m.PostJob, loss: int) -> int:
    return max(base(terms, loss), min(terms.tol, 10 * base(terms, loss)))


def bound(terms: m.PostJob, loss: int) -> int:
    return (1_000 if terms.float_kind == 1 else 100) * base(terms, loss)


def quorum(c: int) -> int:
    """LC-JOB-3: the smallest number above two thirds."""
    return next(q for q in range(c + 2) if 3 * q > 2 * c)


def lower_median(values: list[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def leader(entries: list[Entry], terms: m.PostJob) -> int:
    """LC-JOB-5: its index."""
    best: Entry | None = None
    for entry in sorted(entries):
        if best is None or entry[1] + 2 * tol(terms, best[1]) <= best[1]:
            best = entry
    return best[2] if best else -1


def rank(entries: list[Entry], terms: m.PostJob) -> list[int]:
    left, ranked = list(entries), []
    while left:
        ranked.append(leader(left, terms))
        left = [entry for entry in left if entry[2] != ranked[-1]]
    return ranked


def vote_code(terms: m.PostJob, claimed: int, measured: int) -> int:
    """LC-JOB-8: a better measurement is never held against the claim."""
    if measured - claimed <= tol(terms, claimed):
        return VoteCode.OK
    return VoteCode.NEAR if measured - claimed <= bound(terms, claimed) else VoteCode.FALSE


def check_ballot(terms: m.PostJob, claimed: int, b: m.Ballot, hidden: bool) -> None:
    """LC-JOB-8"""
    measured, value = b.code in (1, 2, 3), b.hidden == 1
    good = (
        1 <= b.code <= 6
        and 0 <= b.hidden <= 2
        and (not measured or vote_code(terms, claimed, b.measured) == b.code)
        and (measured or (b.measured, b.probe, value) == (0, 0, False))
        and (value or b.hidden_loss == 0)
        and (hidden or b.hidden == 0)
        and not (hidden and measured and b.hidden == 0)
    )
    refuse_if(not good, 329)


def tally(ballots: list[m.Ballot], limit: int) -> tuple[int, int, int]:
    """LC-JOB-9: ok, neg and agree."""
    false = [b.measured for b in ballots if b.code == VoteCode.FALSE]
    agree = sum(abs(value - lower_median(false)) <= 2 * limit for value in false)
    return sum(b.code == 1 for b in ballots), sum(b.code in (2, 3, 4, 5) for b in ballots), agree


def verdict(ok: int, neg: int, agree: int, c: int, round_: int, pool: int) -> tuple[Result, Rule]:
    """LC-JOB-9"""
    if c >= 1 and ok >= quorum(c):
        return Result.OK, Rule.QUORUM_OK
    if agree >= max(2, quorum(c)):
        return Result.FALSE, Rule.QUORUM_FALSE
    if c >= 1 and neg >= quorum(c):
        return Result.REFUSED, Rule.QUORUM_NEGATIVE
    if round_ == 1 and c < pool:
        return Result.NONE, Rule.SECOND_ROUND
    if ok + neg == 0:
        return Result.UNDECIDED, Rule.NO_VOTES
    return (Result.OK if ok >= neg else Result.REFUSED), Rule.MAJORITY


def sane(p: m.PostJob) -> None:
    """LC-JOB-15, but for the expiry."""
    refuse_if(any(not low <= getattr(p.limits, name) <= high for name, (low, high) in LIMITS.items()), 302)
    image = p.image
    reference = re.fullmatch(r"[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?@sha256:[0-9a-f]{64}", image.reference, re.ASCII)
    registry = image.kind == 1 and reference and len(image.reference) <= 512 and not image.cid and len(image.image_id) in (0, 32)
    archive = image.kind == 2 and is_cid(image.cid) and not image.reference and len(image.image_id) == 32
    refuse_if(not 1 <= image.size <= 2**36 or not (registry or archive), 303)
    choices = p.float_kind in (1, 2) and p.on_cheat in (0, 1) and 1 <= p.finalists <= 8
    refuse_if(p.bounty < 1 or p.fee < 1 or not choices or not 0 <= p.tol <= 10**18 or abs(p.floor) > 10**18, 304)
    refuse_if(any(not is_cid(h.cid) or not 1 <= h.size <= 2**34 for h in p.hidden), 305)
    refuse_if(len(p.params.encode()) > 8_192, 306)


def is_cid(cid: bytes) -> bool:
    return len(cid) == 36 and cid[:4] in (b"\x01\x55\x12\x20", b"\x01\x70\x12\x20")
