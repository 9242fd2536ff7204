"""The formulas of `protocol_spec/job.md`, and what an account carries on (`membership.md`, LC-MEM-1 to 3, 17)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.conformance.checks import part, register
from tests.conformance.keys import tagged

C, SECOND = 7, 64
OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = range(1, 8)
MEASURED = (OK, NEAR, FALSE)
NEGATIVE = (NEAR, FALSE, INVALID, BROKEN, NOMODEL)
IS_OK, IS_FALSE, IS_REFUSED, IS_UNDECIDED = range(1, 5)
"""Verdicts; 0 is none."""


WIDER = register("LC-JOB-47: t follows what was measured")
IMPROVES = register("LC-JOB-5: a minimum improvement")
STAKED = register("LC-JOB-32: half of the finalists are full")
MARKS, HELPERS = register("LC-JOB-6: the marked leave"), register("LC-JOB-6: helpers join a small pool")
MARKS_STAY = register("LC-JOB-6: as many of the marked stay as are needed")
RIVALS = register("LC-JOB-9: negative votes of helpers")
DISSENT = register("LC-JOB-9: line 1 waits for the last round where somebody dissents")
SECRET = register("LC-JOB-9: line 1 needs hidden losses that agree")
AGREED = register("LC-JOB-9: line 2 needs losses that agree")
CONTRADICTED = register("LC-JOB-9: lines 2 and 3 wait for the last round where somebody says OK")
ENOUGH = register("LC-JOB-9: a third of the seats, or undecided")
ALONE = register("LC-JOB-10: a bad key without any hidden loss decides")
COUNTS = register("LC-JOB-54: another number of examples is off")
ONE_PLACE = register("LC-JOB-54: of sixteen places one may differ")
HIDDEN_MEAN = register("LC-JOB-54: a hidden loss that differs is off")
FAIR_STRIKES = register("LC-JOB-12: only where line 1 or 2 decided")
FAIR_DRAWS = register("LC-JOB-48: only where the own round is repeatable")
LAST_STRIKE = register("LC-MEM-1: of an origin the last strike alone")
LAST_DRAW = register("LC-MEM-3: of an origin the last draw that is not silent")
RESTS = register("LC-MEM-18: a rest empties the record")
MARK_ENDS = register("LC-MEM-17: a mark ends")


def cd(a: int, b: int) -> int:
    return -(-a // b)


def least_fee(evaluations: int, columns: int, model_cap: int, rate: int, published: int = 0) -> int:
    """LC-JOB-4; work in thousandths of CPU seconds."""
    return cd((evaluations + 5_000 * columns + 1_000 * (cd(model_cap, 10**8) + cd(published, 10**8))) * rate, 1000)


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


# --- LC-JOB-1 to LC-JOB-5, LC-JOB-47 --------------------------------------------------------------------------------------------


def base(kind: int, loss: int) -> int:
    """LC-JOB-2"""
    return 10 + cd(abs(loss), 10**6) if kind == 1 else 1000 + cd(abs(loss), 10**4)


def tol(kind: int, posted: int, loss: int) -> int:
    return max(base(kind, loss), min(posted, 10 * base(kind, loss)))


def bound(kind: int, loss: int) -> int:
    return (1000 if kind == 1 else 100) * base(kind, loss)


class Scale(NamedTuple):
    """What measurements of a claim are compared by."""

    kind: int
    posted: int
    claim: int

    def t(self, compared: Sequence[int]) -> int:
        """LC-JOB-47"""
        measured = base(self.kind, lower_median(compared)) if part(WIDER) else 0
        return max(tol(*self), measured)

    def agreeing(self, compared: Sequence[int]) -> int:
        if not compared:
            return 0
        middle, most = lower_median(compared), 2 * self.t(compared)
        return sum(abs(loss - middle) <= most for loss in compared)


def quorum(c: int) -> int:
    """LC-JOB-3"""
    return 2 * c // 3 + 1


def delay(validators: int) -> int:
    """LC-JOB-4: d"""
    return max(1, (validators - 1) // 3)


def place(height: int, beacon: bytes, tx: bytes, op: int) -> bytes:
    """LC-JOB-5"""
    return height.to_bytes(8, "big") + tagged("lc/claim-order", beacon, tx, bytes([op]))


def leader(losses: Sequence[int], improves_by: Callable[[int], int]) -> int:
    """The index of the leader of losses that stand in the order of claims; `improves_by` is tol."""
    best = 0
    for at, loss in enumerate(losses):
        least = 2 * improves_by(losses[best]) if part(IMPROVES) else 1
        if loss + least <= losses[best]:
            best = at
    return best


def rank(losses: Sequence[int], improves_by: Callable[[int], int]) -> list[int]:
    left, found = list(range(len(losses))), []
    while left:
        found.append(left.pop(leader([losses[at] for at in left], improves_by)))
    return found


def finalists(full: Sequence[bool], most: int) -> list[int]:
    """LC-JOB-32, 2: places in the rank of those that are revealed."""
    others = [at for at, is_full in enumerate(full) if not is_full]
    out = set(others[max(most // 2, most - sum(full)) :]) if part(STAKED) else set()
    return [at for at in range(len(full)) if at not in out][:most]


# --- LC-JOB-6 -------------------------------------------------------------------------------------------------------------------


def ticket(beacon: bytes, job: bytes, audit: int, round_: int, identity: bytes) -> bytes:
    return tagged("lc/seat", beacon, job, bytes([audit, round_]), identity)


class Committee(NamedTuple):
    seats: list[bytes]
    neutral: set[bytes]
    pool: int


def draw(
    able: Sequence[bytes],
    among: Sequence[bytes],
    candidate: bytes,
    marked: set[bytes],
    round_: int,
    order: Callable[[bytes], bytes],
) -> Committee:
    pool = sorted((who for who in able if who not in among), key=order)
    spare = sorted((who for who in able if who in among and who != candidate), key=order)
    helpers = spare[: max(0, 3 - len(pool))] if part(HELPERS) else []
    chosen = pool
    if round_ == 1 and part(MARKS):
        stay = max(0, max(C, cd(len(pool), 2)) - sum(who not in marked for who in pool)) if part(MARKS_STAY) else 0
        kept = {who for who in pool if who not in marked} | set([who for who in pool if who in marked][:stay])
        chosen = [who for who in pool if who in kept]
    seats = sorted([*chosen, *helpers], key=order)[: C if round_ == 1 else SECOND]
    return Committee(seats, set(seats) - set(helpers), len(pool) + len(helpers))


# --- LC-JOB-9, 10, 55 -----------------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    measured: int
    n: int
    shown: list[int]


class Vote(NamedTuple):
    voter: bytes
    neutral: bool
    code: int
    public: Column | None
    hidden: Column | None
    badkey: bool


class Verdict(NamedTuple):
    verdict: int
    line: int


def counted(votes: Sequence[Vote]) -> list[Vote]:
    neutral = {vote.code for vote in votes if vote.neutral}
    if (OK not in neutral and neutral & set(NEGATIVE)) or not part(RIVALS):
        return list(votes)
    return [vote for vote in votes if vote.neutral or vote.code not in NEGATIVE]


def is_last(round_: int, c: int, pool: int, opened: int) -> bool:
    return round_ == 2 or (c == pool and opened == c)


def hidden_loss(votes: Sequence[Vote], c: int, scale: Scale) -> int | None:
    """LC-JOB-55, of counted votes."""
    losses = [vote.hidden.measured for vote in votes if vote.code == OK and vote.hidden is not None]
    return lower_median(losses) if 2 * scale.agreeing(losses) > c else None


def decide(votes: Sequence[Vote], c: int, last: bool, scale: Scale, hidden: bool) -> Verdict:
    """LC-JOB-9"""
    counting = counted(votes)
    ok = sum(vote.code == OK for vote in counting)
    neg = sum(vote.code in NEGATIVE for vote in counting)
    false = [vote.public.measured for vote in counting if vote.code == FALSE and vote.public is not None]
    agree = scale.agreeing(false) if part(AGREED) else len(false)
    agreed = not hidden or not part(SECRET) or hidden_loss(counting, c, scale) is not None
    settled = agreed and (neg == 0 or not part(DISSENT))
    alone = ok == 0 or not part(CONTRADICTED)
    if ok >= quorum(c) and (last or settled):
        return Verdict(IS_OK, 1)
    if agree >= max(2, quorum(c)) and (last or alone):
        return Verdict(IS_FALSE, 2)
    if neg >= quorum(c) and (last or alone):
        return Verdict(IS_REFUSED, 3)
    if not last:
        return Verdict(0, 4)
    if ok + neg < (max(1, cd(c, 3)) if part(ENOUGH) else 1):
        return Verdict(IS_UNDECIDED, 5)
    return Verdict(IS_OK if ok >= neg else IS_REFUSED, 6)


def bad_key(votes: Sequence[Vote], c: int, last: bool) -> str:
    """LC-JOB-10: "YES" where it decides, "AGAIN" where it asks again, otherwise "NO"."""
    if c < 1 or sum(vote.badkey for vote in votes) < quorum(c):
        return "NO"
    return "YES" if last or (part(ALONE) and all(vote.hidden is None for vote in votes)) else "AGAIN"


# --- LC-JOB-54, 11, 12, 48, 49 --------------------------------------------------------------------------------------------------


class Merit(NamedTuple):
    vote: Vote
    winning: bool
    leaves_off: bool
    hidden_off: bool
    opposed: bool

    @property
    def off(self) -> bool:
        return self.leaves_off or self.hidden_off or self.opposed

    @property
    def paid(self) -> bool:
        """LC-JOB-11"""
        return self.winning and not self.leaves_off and not self.hidden_off

    def strike(self, line: int) -> str:
        """LC-JOB-12, where the deciding round is repeatable."""
        if part(FAIR_STRIKES) and line not in (1, 2):
            return ""
        if self.leaves_off:
            return "vote.leaves"
        if self.opposed:
            return "vote.wrong"
        return "vote.hidden" if line == 1 and self.hidden_off else ""

    def bad_draw(self, line: int, repeatable: bool) -> bool:
        """LC-JOB-48"""
        fair = repeatable or not part(FAIR_DRAWS)
        return line in (1, 2, 3) and fair and (self.off or not self.winning)

    def marks(self, line: int) -> bool:
        """LC-JOB-49"""
        return line in (1, 2) and self.vote.code != ABSTAIN


def _leaves_off(columns: Sequence[Column], scale: Scale) -> list[bool]:
    if not columns:
        return []
    counts = Counter(column.n for column in columns)
    n = min(counts, key=lambda count: (-counts[count], count))
    most = 20 * scale.t([column.measured for column in columns])
    middle = [lower_median(values) for values in zip(*(c.shown for c in columns if c.n == n), strict=True)]
    found = []
    for column in columns:
        differ = sum(abs(loss - m) > most for loss, m in zip(column.shown, middle, strict=True))
        another = column.n != n and part(COUNTS)
        found.append(another or differ > (1 if n >= 16 and part(ONE_PLACE) else 0))
    return found


def merits(votes: Sequence[Vote], verdict: int, scale: Scale, hidden: bool) -> list[Merit]:
    """LC-JOB-54, of one round's votes."""
    side = {IS_OK: (OK,), IS_FALSE: NEGATIVE, IS_REFUSED: NEGATIVE}[verdict]
    winning = [vote for vote in votes if vote.code in side]
    public = [(vote.voter, vote.public) for vote in winning if vote.public is not None]
    leaves = {who for (who, _), off in zip(public, _leaves_off([c for _, c in public], scale), strict=True) if off}
    secret: set[bytes] = set()
    if hidden:
        secret = {vote.voter for vote in winning if vote.badkey}
        columns = [(vote.voter, vote.hidden) for vote in winning if vote.hidden is not None]
        losses = [column.measured for _, column in columns]
        for (who, column), off in zip(columns, _leaves_off([c for _, c in columns], scale), strict=True):
            far = abs(column.measured - lower_median(losses)) > 2 * scale.t(losses) and part(HIDDEN_MEAN)
            if off or far:
                secret.add(who)
    against: dict[int, tuple[int, ...]] = {IS_OK: (FALSE, INVALID), IS_FALSE: (OK,)}
    return [Merit(v, v.code in side, v.voter in leaves, v.voter in secret, v.code in against.get(verdict, ())) for v in votes]


def repeatable(found: Sequence[Merit]) -> bool:
    return 3 * sum(merit.off for merit in found) <= len(found)


# --- what an account carries on: LC-MEM-1, 2, 3, 17 -----------------------------------------------------------------------------

KEPT_STRIKES, KEPT_DRAWS, KEPT_VOTES = 16, 10, 10
Items = list[list[Any]]


def with_strike(strikes: Items, origin: bytes, now: int, life: int) -> Items:
    """LC-MEM-1"""
    others = [[who, end] for who, end in strikes if (who != origin or not part(LAST_STRIKE)) and end > now]
    return sorted([*others, [origin, now + life]], key=lambda strike: strike[1])[-KEPT_STRIKES:]


def live(strikes: Items, now: int) -> int:
    return sum(end > now for _, end in strikes)


def with_draw(draws: Items, entry: list[Any]) -> tuple[Items, bool]:
    """LC-MEM-3: the record, and whether the flag rests from now on."""
    alone = not entry[2] and part(LAST_DRAW)
    kept = [draw for draw in draws if draw[0] != entry[0] or draw[2]] if alone else draws
    found = [*kept, entry][-KEPT_DRAWS:]
    rests = sum(bad for _, bad, _ in found) > 5
    return ([] if rests and part(RESTS) else found), rests


def is_marked(votes: Items, now: int, life: int) -> bool:
    """LC-MEM-17"""
    bad = [time for time, is_bad in votes if is_bad]
    return len(bad) >= 2 and (now < bad[-1] + life or not part(MARK_ENDS))


def covers(offered: Sequence[int], needed: Sequence[int]) -> bool:
    """LC-MEM-2"""
    return offered[0] == needed[0] and all(a >= b for a, b in zip(offered[1:], needed[1:], strict=True))
