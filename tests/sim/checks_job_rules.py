"""The formulas of the job contract a second time, from protocol_spec/job.md: for `checks_jobs` and for clients of the simulator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any, NamedTuple

from chain.contracts.job import messages as m
from chain.losses import Measurement, Opening
from chain.verification.votes import BallotCode, Judgement
from tests.hashes import tagged
from tests.sim.checks_ledger import refuse_if

LIMITS = {
    "cpus_milli": (10, 1_024_000),
    "mem_mb": (6, 4_194_304),
    "train_s": (1, 2_592_000),
    "eval_s": (1, 86_400),
    "model_cap": (1, 2**34),
    "tmp_mb": (0, 4_194_304),
    "threads": (1, 4_096),
}
OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = BallotCode
NEGATIVE = (NEAR, FALSE, INVALID, BROKEN, NOMODEL)
MEASURED = (OK, NEAR, FALSE)
SEATS, SEATS_2, LEAST_POOL = 7, 64, 3


def cd(a: int, b: int) -> int:
    return -(-a // b)


# --- losses and ranks -----------------------------------------------------------------------------------------------------------


def base(terms: m.PostJob, loss: int) -> int:
    """LC-JOB-2"""
    return 10 + cd(abs(loss), 10**6) if terms.float_kind == 1 else 1_000 + cd(abs(loss), 10**4)


def tol(terms: m.PostJob, loss: int) -> int:
    return max(base(terms, loss), min(terms.tol, 10 * base(terms, loss)))


def bound(terms: m.PostJob, loss: int) -> int:
    return (1_000 if terms.float_kind == 1 else 100) * base(terms, loss)


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def near_by(terms: m.PostJob, claimed: int, compared: Sequence[int]) -> int:
    """t(c, S)"""
    return max(tol(terms, claimed), base(terms, lower_median(compared)))


def quorum(c: int) -> int:
    """LC-JOB-3: the smallest number above two thirds."""
    return next(q for q in range(c + 2) if 3 * q > 2 * c)


def leader(terms: m.PostJob, losses: Sequence[int]) -> int:
    """LC-JOB-5: which one, of losses in the order of claims."""
    best = 0
    for i, loss in enumerate(losses):
        if loss + 2 * tol(terms, losses[best]) <= losses[best]:
            best = i
    return best


def ranked(terms: m.PostJob, losses: Sequence[int]) -> list[int]:
    left, found = list(range(len(losses))), list[int]()
    while left:
        found.append(left.pop(leader(terms, [losses[i] for i in left])))
    return found


def finalists(order: list[int], full: Callable[[int], bool], most: int) -> list[int]:
    """LC-JOB-32: the first of the order, at most half of them not full while there are full ones."""
    left, chosen = list(order), list[int]()
    while left and len(chosen) < most:
        bare = sum(not full(i) for i in chosen)
        one = left[0]
        if not full(one) and bare >= most // 2:
            one = next((i for i in left if full(i)), one)
        chosen.append(one)
        left.remove(one)
    return sorted(chosen, key=order.index)


# --- ballots --------------------------------------------------------------------------------------------------------------------


def vote_code(terms: m.PostJob, claimed: int, measured: int) -> BallotCode:
    """LC-JOB-8: a better measurement is never held against the claim."""
    if measured - claimed <= tol(terms, claimed):
        return OK
    return NEAR if measured - claimed <= bound(terms, claimed) else FALSE


def mean(x: Measurement) -> int:
    return cd(x.total, x.count)


def check_ballot(terms: m.PostJob, claimed: int, b: m.Ballot, hidden: bool) -> None:
    """LC-JOB-8: a code, and with OK, NEAR and FALSE what it follows from; while hidden data is on its column or BADKEY, too."""
    if b.code in MEASURED:
        good = len(b.public) == 1 and vote_code(terms, claimed, mean(b.public[0])) == b.code
        good = good and (len(b.hidden) + b.badkey == (1 if hidden else 0))
    else:
        good = b.code in (INVALID, BROKEN, NOMODEL, ABSTAIN) and not b.public and not b.hidden and not b.badkey
    refuse_if(not good, 329)


def columns(ballots: Sequence[m.Ballot]) -> list[tuple[int, bool]]:
    """Which columns a seat has to open: (candidate, hidden)."""
    return [(i, hidden) for i, b in enumerate(ballots) for hidden in (False, True) if (b.hidden if hidden else b.public)]


class Shown(NamedTuple):
    measured: int
    examples: int
    losses: tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """An opened vote on a candidate."""

    voter: bytes
    neutral: bool
    code: int
    public: Shown | None
    hidden: Shown | None
    badkey: bool


@dataclass(frozen=True)
class Case:
    """What a verdict is made from: the opened votes of a round, in the order of seats."""

    terms: m.PostJob
    claimed: int
    votes: tuple[Seen, ...]
    seats: int
    pool: int
    round: int
    hidden: bool

    @property
    def last(self) -> bool:
        return self.round == 2 or (self.seats == self.pool and len(self.votes) == self.seats)

    @property
    def counting(self) -> list[Seen]:
        """Finalists' negative votes count only beside a neutral one, where no neutral seat said OK (LC-JOB-9)."""
        said = [v.code for v in self.votes if v.neutral]
        allowed = OK not in said and any(code in NEGATIVE for code in said)
        return [v for v in self.votes if v.neutral or allowed or v.code not in NEGATIVE]

    def agree(self, values: Sequence[int]) -> int:
        if not values:
            return 0
        limit, middle = 2 * near_by(self.terms, self.claimed, values), lower_median(values)
        return sum(abs(value - middle) <= limit for value in values)

    @property
    def hidden_loss(self) -> int | None:
        """Where more than half of the seats agree on it."""
        values = [v.hidden.measured for v in self.counting if v.code == OK and v.hidden is not None]
        return lower_median(values) if values and 2 * self.agree(values) > self.seats else None

    @property
    def bad_keys(self) -> bool:
        return self.seats > 0 and sum(v.badkey for v in self.votes) >= quorum(self.seats)

    @property
    def bad_key_decides(self) -> bool:
        """LC-JOB-10"""
        return self.bad_keys and (self.last or not any(v.hidden for v in self.votes))

    def verdict(self) -> tuple[Judgement, int]:
        """LC-JOB-9: and the line that holds; line 4 is none."""
        ok = sum(v.code == OK for v in self.counting)
        neg = sum(v.code in NEGATIVE for v in self.counting)
        false = [v.public.measured for v in self.counting if v.code == FALSE and v.public is not None]
        needed = quorum(self.seats)
        plain = neg == 0 and (not self.hidden or self.hidden_loss is not None)
        if ok >= needed and (self.last or plain):
            return Judgement.OK, 1
        if self.agree(false) >= max(2, needed) and (self.last or ok == 0):
            return Judgement.FALSE, 2
        if neg >= needed and (self.last or ok == 0):
            return Judgement.REFUSED, 3
        if not self.last:
            return Judgement.NONE, 4
        if ok + neg < max(1, cd(self.seats, 3)):
            return Judgement.UNDECIDED, 5
        return (Judgement.OK if ok >= neg else Judgement.REFUSED), 6


@dataclass(frozen=True)
class Deed:
    """A vote after the verdict."""

    voter: bytes
    code: int
    winning: bool
    opposed: bool
    leaves: bool
    hidden: bool

    @property
    def off(self) -> bool:
        return self.opposed or self.leaves or self.hidden

    @property
    def paid(self) -> bool:
        return self.winning and not self.leaves and not self.hidden

    @property
    def lost(self) -> bool:
        return self.off or (not self.winning and self.code != ABSTAIN)

    def fault(self, line: int) -> str:
        """LC-JOB-12: what it is struck for where enough were not off."""
        if line > 2:
            return ""
        if self.leaves:
            return "vote.leaves"
        return "vote.wrong" if self.opposed else "vote.hidden" if self.hidden and line == 1 else ""


def deeds(case: Case, verdict: Judgement) -> list[Deed]:
    """LC-JOB-11, 12: each vote of a round beside the winning side of that round."""
    wins: tuple[int, ...] = (OK,) if verdict == Judgement.OK else NEGATIVE if verdict in (2, 3) else ()
    side = [v for v in case.votes if v.code in wins]
    leaves = _strange(case, {v.voter: v.public for v in side if v.public is not None})
    hidden: set[bytes] = set()
    if case.hidden:
        shown = {v.voter: v.hidden for v in side if v.hidden is not None}
        hidden = _strange(case, shown) | {v.voter for v in side if v.badkey}
        if shown:
            means = [x.measured for x in shown.values()]
            limit = 2 * near_by(case.terms, case.claimed, means)
            hidden |= {voter for voter, x in shown.items() if abs(x.measured - lower_median(means)) > limit}
    against = {Judgement.OK: (FALSE, INVALID), Judgement.FALSE: (OK,)}.get(verdict, ())
    return [Deed(v.voter, v.code, v.code in wins, v.code in against, v.voter in leaves, v.voter in hidden) for v in case.votes]


def _strange(case: Case, shown: dict[bytes, Shown]) -> set[bytes]:
    """Whose number of examples is not that of most, or of whose 16 losses too many are far from the middle."""
    if not shown:
        return set()
    counts = Counter(x.examples for x in shown.values())
    usual = min(counts, key=lambda n: (-counts[n], n))
    limit = 20 * near_by(case.terms, case.claimed, [x.measured for x in shown.values()])
    middle = [lower_median([x.losses[k] for x in shown.values() if x.examples == usual]) for k in range(16)]
    borne = 1 if usual >= 16 else 0

    def strange(x: Shown) -> bool:
        far = sum(abs(x.losses[k] - middle[k]) > limit for k in range(16)) if x.examples == usual else 17
        return far > borne

    return {voter for voter, x in shown.items() if strange(x)}


def repeatable(done: Sequence[Deed]) -> bool:
    return 3 * sum(deed.off for deed in done) <= len(done)


# --- openings -------------------------------------------------------------------------------------------------------------------


class _Node(NamedTuple):
    hash: bytes
    total: int
    greatest: int
    first: int
    """Place of the first of the greatest losses, where leaves below are known; of a given node its first leaf."""


class _Bad(Exception):
    pass


def probe_of(beacon: bytes, job: bytes, audit: int, round_: int, n: int) -> tuple[list[int], list[int]]:
    """LC-LOSS-5, 6, 7: positions, and subtrees at depth four."""

    def number(k: int) -> int:
        drawn = tagged(b"lc/loss-probe", beacon, job, bytes((audit, round_)), k.to_bytes(4, "big"))
        return int.from_bytes(drawn, "big")

    if n < 16:
        return [number(k) % n for k in range(16)], []
    subtrees, k = list[int](), 8
    while len(subtrees) < 8:
        if number(k) % 16 not in subtrees:
            subtrees.append(number(k) % 16)
        k += 1
    return [number(k) % n for k in range(8)], subtrees


def subtree(n: int, index: int) -> tuple[int, int]:
    a, b = 0, n
    for bit in f"{index:04b}":
        middle = (a + b) // 2
        a, b = (middle, b) if bit == "1" else (a, middle)
    return a, b


def opened(x: Measurement, probe: tuple[list[int], list[int]], opening: Opening) -> list[int] | None:
    """LC-LOSS-10 to 14: the 16 losses that an opening shows, None where it does not hold."""
    positions, subtrees = probe
    if len(opening.greatest) != len(subtrees):
        return None
    spans = [subtree(x.count, index) for index in subtrees]
    if not all(a <= at < b for (a, b), at in zip(spans, opening.greatest, strict=True)):
        return None
    wanted = [*positions, *opening.greatest]
    leaves, siblings = list(opening.leaves), list(opening.siblings)
    values: dict[int, int] = {}
    nodes: dict[tuple[int, int], _Node] = {}

    def node(a: int, b: int) -> _Node:
        if b - a == 1:
            loss = _taken(leaves)
            values[a] = loss
            found = _Node(tagged(b"lc/loss", loss.to_bytes(8, "big", signed=True)), loss, loss, a)
        elif not any(a <= at < b for at in wanted):
            given = _taken(siblings)
            least = given.greatest - (b - a - 1) * 10**18
            if not least <= given.total <= given.greatest * (b - a):
                raise _Bad
            found = _Node(given.hash, given.total, given.greatest, -1)
        else:
            left, right = node(a, (a + b) // 2), node((a + b) // 2, b)
            total = left.total + right.total
            if abs(total) >= 2**63:
                raise _Bad
            told = pack(">I32sqq32sqq", b - a, left.hash, left.total, left.greatest, right.hash, right.total, right.greatest)
            upper = left if left.greatest >= right.greatest else right
            found = _Node(tagged(b"lc/loss-node", told), total, upper.greatest, upper.first)
        nodes[a, b] = found
        return found

    try:
        root = node(0, x.count)
    except _Bad:
        return None
    good = not leaves and not siblings and (root.hash, root.total) == (x.root, x.total)
    good = good and all(nodes[span].first == at for span, at in zip(spans, opening.greatest, strict=True))
    return [values[at] for at in wanted] if good else None


def _taken(things: list[Any]) -> Any:
    if not things:
        raise _Bad
    return things.pop(0)


# --- postings -------------------------------------------------------------------------------------------------------------------


def eval_s(p: m.PostJob) -> int:
    """e"""
    return (2 if p.hidden else 1) * p.limits.eval_s


def work_of_a_vote(p: m.PostJob) -> int:
    """LC-JOB-4: w"""
    beside = 10_000 if p.hidden else 5_000
    return eval_s(p) * p.limits.cpus_milli + beside + 1_000 * cd(p.limits.model_cap, 10**8)


def sane(p: m.PostJob) -> None:
    """LC-JOB-15, but for the expiry."""
    refuse_if(any(not low <= getattr(p.limits, name) <= high for name, (low, high) in LIMITS.items()), 302)
    image = p.image
    reference = re.fullmatch(r"[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?@sha256:[0-9a-f]{64}", image.reference, re.ASCII)
    registry = image.kind == 1 and reference and len(image.reference) <= 512 and not image.cid and len(image.image_id) in (0, 32)
    archive = image.kind == 2 and is_cid(image.cid) and not image.reference and len(image.image_id) == 32
    refuse_if(not 1 <= image.size <= 2**36 or not (registry or archive), 303)
    choices = p.arch in (1, 2) and p.float_kind in (1, 2) and p.on_cheat in (0, 1) and 2 <= p.finalists <= 8
    refuse_if(not choices or not 0 <= p.tol <= 10**18 or abs(p.floor) > 10**18, 304)


def sane_data(p: m.PostJob) -> None:
    refuse_if(any(not is_cid(h.cid) or not 1 <= h.size <= 2**34 for h in p.hidden), 305)
    refuse_if(len(p.params.encode()) > 8_192, 306)


def is_cid(cid: bytes) -> bool:
    return len(cid) == 36 and cid[:4] in (b"\x01\x55\x12\x20", b"\x01\x70\x12\x20")
