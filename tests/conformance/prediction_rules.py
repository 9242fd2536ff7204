"""The formulas of `protocol_spec/predictions.md`: amounts, windows, places, pools, tallies, verdicts, decisions, blinding."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.conformance.checks import part, register
from tests.conformance.judging import cd, lower_median, quorum
from tests.conformance.keys import sha

OK, BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN = range(1, 8)
"""Codes of an answer: LC-PRE-25."""
AGREED, WEAK = "AGREED", "WEAK"
TOO_FEW, NO_AGREEMENT = "TOO_FEW", "NO_AGREEMENT"
NAMED = {BAD_INPUT: "BAD_INPUT", NO_DATA: "NO_DATA", BAD_KEY: "BAD_KEY", FAULT: "MODEL_FAULT", OVERRUN: "TOO_HEAVY"}
"""How a request fails with a code: LC-PRE-26."""
VOID, UPHELD, OVERTURNED = "VOID", "UPHELD", "OVERTURNED"
MOST_JUDGES, APPEAL_ROWS = 63, 16
LARGEST_INTEGER = 2**63 - 1

UNFIT = register("LC-PRE-57: judges see a row of which a seat said that it does not fit")
WITHHELD = register("LC-PRE-55: what a requester withholds is paid by it")
TWO_AGREE = register("LC-PRE-1: two have to agree unless one was asked")
ODD = register("LC-PRE-1: seats are odd")
FLOOR_FINE = register("LC-PRE-1: a fine is at most ten floors")
CHECK_ROWS = register("LC-PRE-2: checks are near by the rows that were answered")
AGES = register("LC-PRE-4: a tip is worth sixty seconds at most")
SUB_FEE = register("LC-PRE-5: a subsidy is at most half of what burns")
SUB_EPOCH = register("LC-PRE-5: an epoch mints so much")
OWNER_HELPS = register("LC-PRE-16: the owner sits only where others are few")
OPEN_SEATS = register("LC-PRE-20: open seats bound the draws")
PINNED_SEATS = register("LC-PRE-20: stakes bound the seats that are not final")
CARRIES = register("LC-PRE-26: a code carries only where a quorum says it")
CHECKED = register("LC-PRE-27: only answers with the check of most are valid")
CLASSES = register("LC-PRE-28: values are of one class")
SLACK = register("LC-PRE-29: a sixteenth of the rows may differ")
FEW_PAYEES = register("LC-PRE-29: fewer payees than have to agree")
FEW_RIGHT = register("LC-PRE-33: fines of the wrong need a quorum of the right")
PAST_HALF = register("LC-PRE-38: a verdict needs more than half of the seats")
OUTWEIGHED = register("LC-PRE-58: a value falls where more say the new one, of all who answered")
FOUR = register("LC-PRE-2: values are equal within four times the tolerance")
LARGE = register("LC-PRE-42: fifteen judges before anybody is slashed")
SURE = register("LC-PRE-42: a quorum of the judges before anybody is slashed")
OWNED = register("LC-PRE-42: the deposit answers for a quorum of five seats or more")
REPEATED = register("LC-PRE-42: nobody is slashed where an eighth repeats the old values")
NO_GAIN = register("LC-PRE-42: nobody loses more than the owner")
SUPPORTED = register("LC-PRE-44: a decision needs a quorum")
LEAST_BURN = register("LC-PRE-1: what is kept of a request costs F at least")
CARRIED = register("LC-PRE-1: bytes that a request carries are paid as rows")
BORDER = register("LC-PRE-44: borderline is near the threshold")


# --- LC-PRE-1 to LC-PRE-6 -------------------------------------------------------------------------------------------------------


def least_tip(w: int, n: int, rows: int) -> int:
    return w * n * rows


def kept(row: int, rows: int, inline: int) -> int:
    """F"""
    return row * (rows + 16 + (cd(inline, 8) if part(CARRIED) else 0))


def burned(tip: int, p: int, rows: int, kept: int) -> int:
    """b"""
    return max(cd(tip + p * rows, 20), kept if part(LEAST_BURN) else 0)


def locked(tip: int, p: int, rows: int, kept: int) -> int:
    """X"""
    return tip + p * rows + burned(tip, p, rows, kept)


def least_agreeing(n: int) -> int:
    """q"""
    return 1 if n == 1 or not part(TWO_AGREE) else 2


def seats(n: int, m: int, pool: int) -> int:
    """c, or 0 for too few."""
    c = min(n, pool)
    if part(ODD) and c % 2 == 0:
        c -= 1
    return c if c >= (1 if n == 1 else max(3, m)) else 0


def fine(stake: int, share: int, w: int, rows: int) -> int:
    """PEN"""
    return min(stake, share, 10 * w * rows) if part(FLOOR_FINE) else min(stake, share)


def appeal_rows(rows: int) -> int:
    """R3"""
    return min(rows, APPEAL_ROWS)


def appeal_fee(fee: int, w: int, rows: int) -> int:
    """u"""
    return max(fee, 2 * w * appeal_rows(rows))


def is_near(x: int, y: int, tol: int) -> bool:
    """LC-PRE-2"""
    return abs(x - y) <= 2 * tol


def is_equal(old: tuple[int, int], new: tuple[int, int], tol: int) -> bool:
    """LC-PRE-2, of class and score."""
    return old[0] == new[0] and abs(old[1] - new[1]) <= (4 if part(FOUR) else 2) * tol


def answer_window(least: int, start_s: int, row_ms: int, rows: int, size: int) -> int:
    """LC-PRE-3: W_A, and W_A3 with the appeal's least, its rows, and the model's bytes among the size."""
    return least + 2_000 * start_s + 2 * row_ms * rows + cd(size, 1_000)


def place(posted: int, tip: int, least: int) -> int:
    """LC-PRE-4: v"""
    won = 2_000 * (tip - least) // least
    return posted + 60_000 - (min(60_000, won) if part(AGES) else won)


def subsidy(most: int, fee: int, n: int, of_epoch: int, minted: int) -> int:
    """LC-PRE-5"""
    found = [most]
    if part(SUB_FEE):
        found.append(fee // (2 * n))
    if part(SUB_EPOCH):
        found.append((of_epoch - minted) // n)
    return max(0, min(found))


def least_stake(stake: int, w: int) -> int:
    """LC-PRE-6"""
    return stake + 100 * w


# --- LC-PRE-16, 20, 21 ----------------------------------------------------------------------------------------------------------


class Server(NamedTuple):
    """What the pool asks of one."""

    id: bytes
    awake: bool
    out: bool
    leaving: bool
    since: int
    flagged: bool
    stake: int


def pool(servers: Iterable[Server], owner: bytes, requester: bytes, posted: int, least: int) -> list[Server]:
    """LC-PRE-16: `least` for the request's w; `posted` is when it was."""
    found = [
        s
        for s in servers
        if s.awake and not s.out and not s.leaving and s.since < posted and s.flagged and 2 * s.stake >= least and s.id != requester
    ]
    others = [s for s in found if s.id != owner]
    return others if len(others) >= 3 or not part(OWNER_HELPS) else found


def has_room(c: int, size: int, slots: int, opened: int, pinned: int, stakes: Sequence[int], w: int) -> bool:
    """LC-PRE-20: a draw of c seats from a pool of this size does not stop the pump."""
    free = not part(OPEN_SEATS) or opened + c <= max(c, slots * size * 2 // 3)
    return free and (not part(PINNED_SEATS) or pinned + c <= max(c, size * (lower_median(stakes) // (10 * w))))


def drawn(beacon: bytes, request: bytes, round_: int, ids: Iterable[bytes], many: int) -> list[bytes]:
    """LC-PRE-21"""
    return sorted(ids, key=lambda who: sha(beacon + request + bytes([round_]) + who))[:many]


# --- tally: LC-PRE-25 to LC-PRE-29 ----------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    code: int
    classes: list[int]
    scores: list[int]
    check: int

    def cell(self, row: int) -> tuple[int, int]:
        """Class and score; of a NUMBER model there is one class."""
        return (self.classes[row] if self.classes else 0), self.scores[row]


class Row(NamedTuple):
    """A value and who supports it, by the places of the votes."""

    cls: int
    score: int
    support: list[int]


class Tally(NamedTuple):
    outcome: str
    rows: list[Row | None]
    payees: list[int]
    agree: int
    said: list[int]
    """Who said the code that carries."""

    @property
    def valued(self) -> int:
        """g"""
        return sum(row is not None for row in self.rows)


def _failed(outcome: str, said: list[int] | None = None) -> Tally:
    return Tally(outcome, [], [], 0, said or [])


def _largest(members: Sequence[int], joins: Callable[[int, int], bool]) -> list[int]:
    """The largest set that joins one of the members, of equals that of the earliest one."""
    best: list[int] = []
    for centre in members:
        around = [other for other in members if joins(centre, other)]
        if len(around) > len(best):
            best = around
    return best


def _value(votes: Sequence[Answer], valid: Sequence[int], row: int, tol: int, q: int) -> Row | None:
    """LC-PRE-28"""

    def joins(a: int, b: int) -> bool:
        (of_a, at_a), (of_b, at_b) = votes[a].cell(row), votes[b].cell(row)
        return is_near(at_a, at_b, tol) and (of_a == of_b or not part(CLASSES))

    support = _largest(valid, joins)
    if len(support) < q:
        return None
    return Row(votes[support[0]].cell(row)[0], lower_median([votes[at].cell(row)[1] for at in support]), support)


def tally(votes: Sequence[Answer], c: int, q: int, m: int, rows: int, tol: int) -> Tally:
    """LC-PRE-26 to LC-PRE-29, of what was opened, in the order of the commitments."""
    if not votes:
        return _failed(TOO_FEW)
    oks = [at for at, vote in enumerate(votes) if vote.code == OK]
    if 2 * len(oks) < len(votes):
        return _by_code(votes, c)
    width = tol * (rows if part(CHECK_ROWS) else 1)
    valid = _largest(oks, lambda a, b: is_near(votes[a].check, votes[b].check, width)) if part(CHECKED) else oks
    if len(valid) < q:
        return _failed(NO_AGREEMENT)
    values = [_value(votes, valid, row, tol, q) for row in range(rows)]
    slack = rows // 16 if part(SLACK) else 0
    payees = [at for at in valid if sum(row is not None and at not in row.support for row in values) <= slack]
    supports = [len(row.support) for row in values if row is not None]
    if not supports or (len(payees) < q and part(FEW_PAYEES)):
        return _failed(NO_AGREEMENT)
    return Tally(AGREED if min(supports) >= m else WEAK, values, payees, min(supports), [])


def _by_code(votes: Sequence[Answer], c: int) -> Tally:
    """LC-PRE-26"""
    others = [vote.code for vote in votes if vote.code != OK]
    code = max(others, key=lambda one: (others.count(one), -others.index(one)))
    said = [at for at, vote in enumerate(votes) if vote.code == code]
    if code == ABSTAIN:
        return _failed(TOO_FEW)
    if len(said) < quorum(c) and part(CARRIES):
        return _failed(NO_AGREEMENT)
    return _failed(NAMED[code], said)


def knows_better(votes: Sequence[Answer], found: Tally, c: int) -> list[int]:
    """LC-PRE-33: the places of those that are fined."""
    if found.outcome in (AGREED, WEAK) and (len(found.payees) >= quorum(c) or not part(FEW_RIGHT)):
        return [at for at, vote in enumerate(votes) if vote.code in (OK, BAD_INPUT, FAULT) and at not in found.payees]
    if found.outcome == "BAD_INPUT":
        return [at for at, vote in enumerate(votes) if vote.code in (OK, FAULT)]
    return []


def withheld(votes: Sequence[Answer]) -> bool:
    """LC-PRE-55"""
    said = [vote.code for vote in votes]
    ok, lacking = said.count(OK), said.count(NO_DATA) + said.count(BAD_KEY)
    return ok < len(said) / 2 <= ok + lacking and part(WITHHELD)


# --- verdicts: LC-PRE-38 to LC-PRE-42 -------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    outcome: str
    side: list[int]
    changed: list[int]
    """Places among the rows of the appeal whose old value falls."""
    kept: list[int]
    """Those whose old value stays though the judges have another one."""
    by_code: bool


class First(NamedTuple):
    """What was said before an appeal."""

    numbers: Sequence[int]
    """Of the appeal's rows in the request."""
    rows: Sequence[Row | None]
    """Of the appeal, as they stood."""
    answers: Sequence[Answer]


NOTHING = Verdict(VOID, [], [], [], False)


def verdict(found: Tally, votes: Sequence[Answer], c: int, first: First, tol: int) -> Verdict:
    """LC-PRE-38 to LC-PRE-41, 58."""
    side = found.payees or found.said
    if (2 * len(side) <= c and part(PAST_HALF)) or found.outcome in ("NO_DATA", "TOO_HEAVY", TOO_FEW, NO_AGREEMENT):
        return NOTHING
    if found.outcome == "BAD_KEY":
        return Verdict(UPHELD, side, [], [], False)
    if found.outcome not in (AGREED, WEAK):
        codes = [one.code for one in (*first.answers, *votes)]
        if sum(NAMED.get(code) == found.outcome for code in codes) <= codes.count(OK) and part(OUTWEIGHED):
            return NOTHING
        return Verdict(OVERTURNED, side, [at for at, value in enumerate(first.rows) if value is not None], [], True)
    changed: list[int] = []
    kept: list[int] = []
    for at, (before, row) in enumerate(zip(first.rows, found.rows, strict=True)):
        if before is None or row is None or is_equal((before.cls, before.score), (row.cls, row.score), tol):
            continue
        backed = len(row.support) + _others(first.answers, first.numbers[at], before.support, row, tol)
        stands = len(before.support) + _others(votes, at, row.support, before, tol)
        (changed if backed > stands or not part(OUTWEIGHED) else kept).append(at)
    if kept and not changed:
        return NOTHING
    return Verdict(OVERTURNED if changed else UPHELD, side, changed, kept, False)


def _others(answers: Sequence[Answer], number: int, support: Sequence[int], value: Row, tol: int) -> int:
    """LC-PRE-58: those outside a support who say the value of the other tally."""
    cells = [one.cell(number) for at, one in enumerate(answers) if one.code == OK and at not in support]
    return sum(cls == value.cls and is_near(score, value.score, tol) for cls, score in cells)


def disputed(answer: Answer, values: Sequence[tuple[int, int] | None], tol: int) -> list[int]:
    """LC-PRE-57: the rows of which an opened answer says another value, or that they do not fit."""
    if answer.code == BAD_INPUT and answer.check and part(UNFIT):
        return [answer.check - 1]
    if answer.code != OK:
        return []
    return [row for row, value in enumerate(values) if value is not None and not is_equal(value, answer.cell(row), tol)]


def repeats(vote: Answer, old: Sequence[tuple[int, int] | None], changed: Sequence[int], tol: int) -> bool:
    """LC-PRE-42: an opened answer says the old values of the changed rows."""
    if vote.code != OK:
        return False
    return all(value is not None and is_equal(value, vote.cell(at), tol) for at, value in ((at, old[at]) for at in changed))


def slashes(c: int, side: int, repeated: int) -> bool:
    """LC-PRE-42"""
    if part(LARGE) and c < 15:
        return False
    if part(SURE) and side < quorum(c):
        return False
    return not part(REPEATED) or 8 * repeated < c


def deposit_answers(c: int, wrong: int) -> bool:
    """LC-PRE-42: for what so many of c seats said."""
    return not part(OWNED) or (c >= 5 and wrong >= quorum(c))


def slashed(stakes: Sequence[int], deposit: int) -> list[int]:
    """LC-PRE-42: what each of the k loses; the deposit loses the sum."""
    k = len(stakes)
    return [min(stake, deposit // k) if part(NO_GAIN) else stake for stake in stakes]


def shared_pot(pot: int, u: int, side: int, s: int, same: int) -> tuple[int, int, int]:
    """LC-PRE-42: to each of the side, to each unpaid seat that had said the same, what burns."""
    each = min(u, pot // side)
    rest = pot - each * side
    late = min(s, rest // same) if same else 0
    return each, late, rest - late * same


# --- decisions: LC-PRE-44 -------------------------------------------------------------------------------------------------------

ACCEPT, DECLINE, REFER = "ACCEPT", "DECLINE", "REFER"


class Policy(NamedTuple):
    below: bool
    threshold: int
    rates: list[list[int]]
    least: int
    most: int


class Decision(NamedTuple):
    decision: str
    rate: int
    borderline: bool


def decide(policy: Policy, value: int | None, support: int, c: int, private: bool, asked: int, tol: int) -> Decision:
    """LC-PRE-44. `asked`: how often the requester's root asked this model, this request among them."""
    border = value is not None and (is_near(value, policy.threshold, tol) or not part(BORDER))
    short = support < (max(quorum(c), policy.least) if part(SUPPORTED) else policy.least)
    if value is None or short or private or 0 < policy.most < asked:
        return Decision(REFER, 0, border)
    accepts = value <= policy.threshold if policy.below else value >= policy.threshold
    if not accepts:
        return Decision(DECLINE, 0, border)
    rate = 0
    for begins, ppm in policy.rates:
        if begins <= value:
            rate = ppm
    return Decision(ACCEPT, rate, border)


# --- blinding: LC-PRE-47 --------------------------------------------------------------------------------------------------------

CLASS, SCORE, CHECK = 0, 1, 2
PER_REQUEST = register("LC-PRE-47: offsets are of one request")
PER_ROW = register("LC-PRE-47: offsets are of one row")


def offset(key: bytes, request: bytes, row: int, column: int) -> int:
    """o: the highest 59 bits of the code."""
    told = (request if part(PER_REQUEST) else b"") + (row if part(PER_ROW) else 0).to_bytes(2, "big") + bytes([column])
    return int.from_bytes(hmac.new(key, told, hashlib.sha256).digest()[:8], "big") >> 5


def blinded(key: bytes, request: bytes, kinds: int, rows: Sequence[int], answer: Answer) -> Answer:
    """`kinds`: how many classes the model has; `rows`: the numbers of the rows that are answered."""
    if not answer.scores:
        return answer
    classes = [(one + offset(key, request, row, CLASS)) % kinds for one, row in zip(answer.classes, rows, strict=kinds > 0)]
    scores = [score + offset(key, request, row, SCORE) for score, row in zip(answer.scores, rows, strict=True)]
    return Answer(answer.code, classes, scores, answer.check + offset(key, request, 0, CHECK))


# --- shares: LC-PRE-14 ----------------------------------------------------------------------------------------------------------


def split(held: int, carried: int, weights: Sequence[int]) -> tuple[list[int], int]:
    """LC-PRE-14: the parts that are paid, and the new `carried`."""
    new = held
    for weight in weights:
        new += carried * weight // sum(weights)
    return [new * weight // sum(weights) - carried * weight // sum(weights) for weight in weights], new % sum(weights)


# --- LC-PRE-56 ------------------------------------------------------------------------------------------------------------------


def given_to_a_program(data: bytes, rows: int, answered: Sequence[int]) -> bytes | None:
    """What it gets of an input; None where every server says BAD_INPUT."""
    ended = data if not data or data.endswith(b"\n") else data + b"\n"
    if ended.count(b"\n") != rows:
        return None
    lines = [line + b"\n" for line in ended.split(b"\n")[:-1]]
    return data if len(answered) == rows else b"".join(lines[row] for row in answered)
