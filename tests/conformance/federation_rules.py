"""The formulas of `protocol_spec/federation.md`: amounts, windows, rosters, pools, screens, accepted sets, measurements, pay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tests.conformance import judging
from tests.conformance.checks import part, register
from tests.conformance.judging import cd, lower_median, quorum
from tests.conformance.keys import sha

CQ, LARGEST_CLIP = 2**22, 2**50
SEATS, NAMED = 5, 3
"""Of a panel at most; of an attempt's aggregators."""
USED, AWAY, LARGE, EMPTY, WRONG, STALE, COPY, OUTLIER = range(1, 9)
"""LC-FED-26"""
BAD, GOOD = (LARGE, WRONG, OUTLIER), (USED, COPY, STALE)
IN_A_ROW, BENCHED_FOR = 3, 5
EQUAL, SAMPLES, ALIGNED, BY_HALVES = 1, 2, 3, 4

CLIP_LOW = register("LC-FED-4: a clip halves at most")
CLIP_HIGH = register("LC-FED-4: a clip grows by a tenth at most")
CLIP_LEAST = register("LC-FED-4: a clip is at least 1")
NOT_PAST = register("LC-FED-1: below the target nothing more is due")
BENCHED_IN = register("LC-FED-16: benched ones are in where the others are too few")
VETTED = register("LC-FED-16: only the vetted ones are counted where the terms say so")
TWO_OTHERS = register("LC-FED-17: excluded ones are out while two others remain")
THREE_OTHERS = register("LC-FED-17: members are out while three others remain")
AS_MANY_OTHERS = register("LC-FED-17: and as many others as have to be able")
SAT_BEFORE = register("LC-FED-18: who sat already is not in the pool")
NEWCOMERS = register("LC-FED-18: members follow up to three")
NO_NEWCOMERS = register("LC-FED-18: members never sit before what is hidden")
THREE_QUARTERS = register("LC-FED-22: those that all have are three quarters of those that any has")
ALONE = register("LC-FED-22: a file that one of three has alone does not count")
PAIRS = register("LC-FED-22: of three a pair may decide")
INFORMED = register("LC-FED-22: first those of which all have the reference")
TWO_SAY = register("LC-FED-27: at least two say what is agreed")
EXCUSED = register("LC-FED-27: silent is who could have said it")
AWAY_LEAVES = register("LC-FED-28: what is away leaves a row as it is")
EMPTY_LEAVES = register("LC-FED-28: EMPTY leaves a row as it is")
NEW_ROW = register("LC-FED-28: a row begins anew with the bench")
SPLIT = register("LC-FED-29: without a reference half of the files are used")
WITHIN = register("LC-FED-30: accepted is within the next set of the chain")
LEAVE = register("LC-FED-30: some leave for the next step")
STEP = register("LC-FED-30: a step adds min_sum counted ones")
HALF = register("LC-FED-37: the third time more than half")
TWO_VOTE = register("LC-FED-37: at least two measure")
LEAVES = register("LC-FED-37: only votes whose leaves hold")
AGREE = register("LC-FED-37: losses agree")
CAP = register("LC-FED-40: samples are at most four medians")
TWICE = register("LC-FED-41: progress is more than two tolerances")
MET = register("LC-FED-41: the target is progress")
PATIENCE = register("LC-FED-42: patience ends")
NEAR = register("LC-FED-42: a base is near the best")


# --- amounts: LC-FED-1 to LC-FED-5 ----------------------------------------------------------------------------------------------


def starts(rounds: int) -> int:
    return 2 * rounds + 2


def fees(u: int, rounds: int) -> int:
    """F"""
    return u * (NAMED * starts(rounds) + SEATS * (rounds + 1))


def price(params: str, max_members: int, rounds: int, rate: int, cells: bool) -> int:
    """P"""
    kept = 2_048 + len(params.encode()) + 256 * (max_members + min(rounds, 16))
    if cells:
        kept += 64 * max_members + 160 * rounds
    return rate * cd(kept, 32)


def least_fee(eval_s: int, cpus_milli: int, max_members: int, size: int, rate: int) -> int:
    """Least u"""
    return max(1, cd((eval_s * cpus_milli + 1_000 * cd(max_members * size, 10**6)) * rate, 1_000))


def due(bounty: int, m0: int, target: int, x: int) -> int:
    reached = max(x, target) if part(NOT_PAST) else x
    return bounty * (m0 - reached) // (m0 - target)


class Windows(NamedTuple):
    """LC-FED-2"""

    ready: int
    base: int
    screen: int
    sum: int
    measure: int
    open: int


def windows(base: int, ready: int, open_: int, size: int, files: int, eval_s: int, measured: int) -> Windows:
    return Windows(
        ready,
        base,
        base + cd(files * size, 1_000),
        base + cd(3 * size, 1_000),
        base + 2_000 * eval_s + cd(measured, 1_000),
        open_,
    )


def longest(w: Windows, round_ms: int) -> int:
    """LC-FED-47, behind `ends`, without the blocks."""
    return 4 * w.ready + round_ms + w.base + w.screen + w.sum + 3 * (w.measure + w.open)


class Scale(NamedTuple):
    """LC-JOB-2, of the terms' float kind and tol."""

    kind: int
    tol: int

    def of(self, loss: int) -> int:
        return judging.tol(self.kind, self.tol, loss)

    def agreeing(self, losses: Sequence[int]) -> list[int]:
        """LC-FED-3: places."""
        if not losses:
            return []
        middle = lower_median(losses)
        return [at for at, loss in enumerate(losses) if abs(loss - middle) <= 2 * self.of(middle) or not part(AGREE)]


def next_clip(clip: int, norm: int) -> int:
    """LC-FED-4"""
    factor = 5 * norm // 4
    if part(CLIP_LOW):
        factor = max(factor, CQ // 2)
    if part(CLIP_HIGH):
        factor = min(factor, 11 * CQ // 10)
    found = min(LARGEST_CLIP, clip * factor // CQ)
    return max(1, found) if part(CLIP_LEAST) else found


def ticket(beacon: bytes, federation: bytes, r: int, attempt: int, who: bytes) -> bytes:
    """LC-FED-5"""
    return sha(beacon + federation + r.to_bytes(2, "big") + attempt.to_bytes(2, "big") + who)


def by_tickets(ids: Iterable[bytes], beacon: bytes, federation: bytes, r: int, attempt: int) -> list[bytes]:
    return sorted(ids, key=lambda who: ticket(beacon, federation, r, attempt, who))


# --- rosters and pools: LC-FED-16 to LC-FED-18 ----------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """An ACTIVE member that is not banned."""

    number: int
    """Its index."""
    vetted: bool
    bench: int
    """The last attempt of which it is not, 0 where it was never benched."""


def counted(members: Iterable[Candidate], only_vetted: bool) -> list[Candidate]:
    return [one for one in members if one.vetted or not only_vetted or not part(VETTED)]


def enough(members: Sequence[Candidate], only_vetted: bool, min_members: int, min_sum: int) -> bool:
    return len(members) >= min_members and len(counted(members, only_vetted)) >= min_sum


def roster(members: Sequence[Candidate], attempt: int, only_vetted: bool, min_members: int, min_sum: int) -> list[Candidate] | None:
    """LC-FED-16, benched ones last; none where it is not enough even with these."""
    found = [one for one in members if one.bench < attempt]
    benched = sorted((one for one in members if one.bench >= attempt), key=lambda one: (one.bench, one.number))
    while benched and part(BENCHED_IN) and not enough(found, only_vetted, min_members, min_sum):
        found.append(benched.pop(0))
    return found if enough(found, only_vetted, min_members, min_sum) else None


class Server(NamedTuple):
    """Who serves, is flagged, has a box key and the capacity, and is not the sponsor."""

    id: bytes
    member: bool
    """PENDING or ACTIVE."""
    excluded: bool
    sat: bool


def least_able(flagged: int) -> int:
    """LC-FED-54"""
    return max(1, cd(flagged, 3), min(3, flagged))


def aggregators(servers: Sequence[Server], least: int) -> list[bytes]:
    """LC-FED-17; `least` is that of LC-FED-54."""
    found = list(servers)
    others = [one for one in found if not one.excluded]
    if len(others) >= 2 and part(TWO_OTHERS):
        found = others
    others = [one for one in found if not one.member]
    if len(others) >= (max(3, least) if part(AS_MANY_OTHERS) else 3) and part(THREE_OTHERS):
        found = others
    return [one.id for one in found]


def may_sit(servers: Sequence[Server], hidden: bool) -> int:
    """How many are in the pool of the panel, with the members that may follow."""
    return sum(not one.sat and not (one.member and hidden) for one in servers)


def panel(servers: Sequence[Server], hidden: bool, taken: int, order: Callable[[list[bytes]], list[bytes]]) -> list[bytes]:
    """LC-FED-18: who sits besides those that stay, in the order of the tickets."""
    pool = [one for one in servers if not one.sat or not part(SAT_BEFORE)]
    seats = order([one.id for one in pool if not one.member])[: SEATS - taken]
    if taken + len(seats) < 3 and part(NEWCOMERS) and not (hidden and part(NO_NEWCOMERS)):
        seats += order([one.id for one in pool if one.member])[: 3 - taken - len(seats)]
    return seats


# --- HAVE: LC-FED-22 ------------------------------------------------------------------------------------------------------------


class Said(NamedTuple):
    """By an aggregator of what it has."""

    who: bytes
    files: frozenset[int]
    reference: bool


def deciding(said: Sequence[Said]) -> tuple[list[bytes], frozenset[int], bool] | None:
    """The deciding, the files that all of them have, and whether all have the reference, of those that said theirs, by tickets."""
    tried = [list(said)]
    if len(said) == 3 and part(PAIRS):
        tried += [[said[0], said[1]], [said[0], said[2]], [said[1], said[2]]]
    found = []
    for some in tried:
        if len(some) < 2:
            continue
        common = frozenset.intersection(*(one.files for one in some))
        every = frozenset.union(*(one.files for one in some))
        if len(said) == 3 and part(ALONE):
            every = frozenset(file for file in every if sum(file in one.files for one in said) > 1)
        if common and (4 * len(common) >= 3 * len(every) or not part(THREE_QUARTERS)):
            found.append(([one.who for one in some], common, all(one.reference for one in some)))
    return next((one for one in found if one[2] and part(INFORMED)), found[0] if found else None)


# --- screens, sums: LC-FED-23 to LC-FED-29, 31 ----------------------------------------------------------------------------------


def masks(place: int) -> list[int]:
    """LC-FED-20: those that this place knows."""
    return [mask for mask in (1, 2, 3) if mask != place]


class Word(NamedTuple):
    """What one of the deciding did in SCREEN or in SUM."""

    place: int
    pinned: bool
    said: tuple[Any, ...] | None


class Heard(NamedTuple):
    agreed: tuple[Any, ...] | None
    sayers: list[int]
    """Places that said what is agreed."""
    silent: list[int]
    different: list[int]


def heard(words: Sequence[Word]) -> Heard:
    """LC-FED-27"""
    said = [word.said for word in words if word.said is not None]
    most = max(said, key=said.count, default=None)
    agreed = most if most is not None and said.count(most) >= (2 if part(TWO_SAY) else 1) else None
    silent = []
    for word in words:
        pinned = any(word.place in masks(other.place) for other in words if other.pinned)
        if not word.pinned or (word.said is None and (pinned or not part(EXCUSED))):
            silent.append(word.place)
    sayers = [word.place for word in words if agreed is not None and word.said == agreed]
    differ = len(set(said)) > 1
    different = [word.place for word in words if word.said is not None and word.place not in sayers and differ]
    return Heard(agreed, sayers, silent, different)


class Row(NamedTuple):
    bad: int
    bench: int


def row_after(row: Row, code: int | None, attempt: int) -> Row:
    """LC-FED-28: of an agreed Screen; without a code the member had no file."""
    if code in BAD or (code == EMPTY and not part(EMPTY_LEAVES)):
        if row.bad + 1 < IN_A_ROW:
            return row._replace(bad=row.bad + 1)
        return Row(0 if part(NEW_ROW) else row.bad, attempt + BENCHED_FOR)
    if code in GOOD or (code == AWAY and not part(AWAY_LEAVES)):
        return row._replace(bad=0)
    return row


def splits(codes: Sequence[int], reference: bool) -> bool:
    """LC-FED-29"""
    others = sum(code not in (AWAY, COPY, STALE, EMPTY) for code in codes)
    return not reference and part(SPLIT) and 2 * codes.count(USED) < others


# --- accepted sets: LC-FED-30 ---------------------------------------------------------------------------------------------------

Set = frozenset[int]


def accepted(chain: Sequence[Set], used: Set, counted_: Set, min_sum: int, leaving: Sequence[int]) -> Set:
    """Which of the USED are summed. `chain`: what was accepted on this base, in any order; `leaving`: indexes by tickets."""
    inside = [one for one in chain if one <= used]
    low: Set = max(inside, key=len, default=frozenset())
    above = [one for one in chain if one > low]
    found = used
    if above and part(WITHIN):
        high = min(above, key=len)
        found = used & high
        for index in leaving:
            if len((high - found) & counted_) >= min_sum or not part(LEAVE):
                break
            if index in found - low and index in counted_:
                found -= {index}
        if len((high - found) & counted_) < min_sum and part(LEAVE):
            return low
    return found if len((found - low) & counted_) >= min_sum or not part(STEP) else low


# --- measurements: LC-FED-37, 38 ------------------------------------------------------------------------------------------------

OK, INVALID, NOMODEL, BADKEY, ABSTAIN = range(1, 6)


class Measure(NamedTuple):
    code: int
    loss: int
    holds: bool
    """Whether its leaves do: LC-FED-51."""


class Found(NamedTuple):
    """`invalid`, or a loss; `paid` are places of votes."""

    invalid: bool
    loss: int
    paid: list[int]


def holding(votes: Sequence[Measure]) -> list[int]:
    """Places of the OK votes whose leaves hold."""
    return [at for at, vote in enumerate(votes) if vote.code == OK and (vote.holds or not part(LEAVES))]


def measured(votes: Sequence[Measure], c: int, third: bool, scale: Scale) -> Found | None:
    """LC-FED-37; none where it is measured again."""
    least = max(c // 2 + 1 if third and part(HALF) else quorum(c), 2 if part(TWO_VOTE) else 1)
    held = holding(votes)
    losses = [votes[at].loss for at in held]
    agree = [held[place] for place in scale.agreeing(losses)]
    if len(agree) >= least:
        return Found(False, lower_median(losses), agree)
    said = [at for at, vote in enumerate(votes) if vote.code == INVALID]
    return Found(True, 0, said) if len(said) >= least else None


def largest(votes: Sequence[Measure], scale: Scale) -> list[int]:
    """LC-FED-38: places of the largest set around one of the OK votes whose leaves hold, or of INVALID if more say so."""
    oks = holding(votes)
    best: list[int] = []
    for centre in oks:
        loss = votes[centre].loss
        around = [at for at in oks if abs(votes[at].loss - loss) <= 2 * scale.of(loss)]
        if len(around) > len(best):
            best = around
    said = [at for at, vote in enumerate(votes) if vote.code == INVALID]
    return said if len(said) > len(best) else best


# --- money: LC-FED-40 to LC-FED-43 ----------------------------------------------------------------------------------------------


def points(split: int, samples: Sequence[int], aligned: Sequence[int]) -> list[int]:
    """LC-FED-40: of the accepted ones, in their order."""
    if split == EQUAL:
        return [1] * len(samples)
    if split == ALIGNED:
        return list(aligned)
    most = 4 * lower_median(samples)
    return [min(n, most) if part(CAP) else n for n in samples]


def shares(pot: int, held: dict[int, int], last: Sequence[int]) -> dict[int, int]:
    """LC-FED-41: by index."""
    given = {index: n for index, n in sorted(held.items()) if n} or dict.fromkeys(sorted(last), 1)
    total = sum(given.values())
    found = {index: pot * n // total for index, n in given.items()}
    first = min(found)
    found[first] += pot - sum(found.values())
    return found


class Standing(NamedTuple):
    """Of a federation with an initial loss."""

    m0: int
    best: int
    paid: int
    streak: int


class Settled(NamedTuple):
    standing: Standing
    pot: int
    progress: bool
    keeps: bool
    """Whether this model is the base."""


def settle(now: Standing, loss: int | None, bounty: int, target: int, patience: int, scale: Scale) -> Settled:
    """LC-FED-41, 42: without a loss it is INVALID."""
    if loss is not None:
        better = loss + (2 * scale.of(now.best) if part(TWICE) else 0) <= now.best
        if better or (loss <= target and part(MET)):
            pot = due(bounty, now.m0, target, loss) - now.paid
            return Settled(Standing(now.m0, loss, now.paid + pot, 0), pot, True, True)
    near = loss is not None and (loss <= now.best + (now.m0 - target) // 20 or not part(NEAR))
    if near and (now.streak + 1 < patience or not part(PATIENCE)):
        return Settled(now._replace(streak=now.streak + 1), 0, False, True)
    return Settled(now._replace(streak=0), 0, False, False)
