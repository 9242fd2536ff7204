"""What an appeal comes to: VOID, UPHELD or OVERTURNED, and whose credits that takes (LC-PRE-38 to LC-PRE-42, 58).

    tally of the judges alone
      │  half of the seats or fewer agree, or what they say accuses nobody ────> VOID
      v
    the key was bad, or no row has another value than before ─────────────────> UPHELD
      v
    no row's old value is outweighed: who answered first counts as a judge ───> VOID
      v
    OVERTURNED: new values; stakes fall only where many judges leave no doubt

Places of the *judges* are those of r = 3, *old* places those of the answers of r = 1 and 2; each in the order of its commitments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from learningchain.chain.contracts.prediction.formulas import appeal_rows, equal, near
from learningchain.chain.contracts.prediction.tally import (
    CARRIED,
    Answer,
    AnswerCode,
    PredictionOutcome,
    RowValue,
    Tally,
    is_withheld,
    tally,
)
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.types import quorum

SLASH_SEATS = 15
"""LC-PRE-42: with fewer judges nobody is slashed."""
DOUBT_PART = 8
"""Nor where one judge of so many says what the old answer said."""
OWNED_SEATS = 5
"""LC-PRE-42: what fewer seats said falls on nobody but them: a puppet alone could have a stranger's model retired."""
_ACCUSING = (PredictionOutcome.BAD_INPUT, PredictionOutcome.MODEL_FAULT)
"""Codes that overturn a value."""


class AppealVerdict(IntEnum):
    VOID = 1
    UPHELD = 2
    OVERTURNED = 3


class AppealCase(NamedTuple):
    """What judges answered, and what they judge."""

    old: Tally
    """Of the request, with all its rows; it has values."""
    answers: Sequence[Answer]
    """What it was made of, by old place."""
    rows: Sequence[int]
    """The numbers of the rows that the judges answered, ascending."""
    votes: Sequence[Answer]
    """Of the judges that opened."""
    seats: int
    """Judges drawn."""
    drawn: int
    """c of the request."""
    tol: int


class AppealRuling(NamedTuple):
    verdict: AppealVerdict
    found: Tally
    """Of the judges; its side is empty where the verdict is VOID."""
    new: Mapping[int, RowValue]
    """Values of the judges by the number of the row, but those that do not outweigh an old one; none where a code carries."""
    changed: tuple[int, ...]
    """Rows whose value is another one now. By a code none, and all fall."""
    slashable: tuple[int, ...]
    """Old places whose answer was wrong beyond doubt, whatever stake they have left."""
    unpaid: tuple[int, ...]
    """Old places that were not paid and had said what the judges say."""
    owned: bool = False
    """So many are slashable that their stakes fall, and the owner's deposit with them; else each loses a fine."""
    withheld: bool = False
    """LC-PRE-55: of the judges' answers, where the verdict is VOID."""


class AppealMoney(NamedTuple):
    """What there is to give and to take, in micro-credits."""

    bond: int
    """What the appellant has locked: u for each judge that was drawn."""
    fee: int
    """u"""
    least_fee: int
    """pred_fee"""
    share: int
    """s of the request."""
    fine: int
    """PEN of a stake that is large enough."""
    deposit: int
    """What the model's owner has left of it."""
    stakes: Sequence[int]
    """By old place; 0 of who has none on this model, or is banned."""
    own: bool
    """The appellant is the requester."""


class AppealPayout(NamedTuple):
    """`each` of the bond to each of `paid`, then `back` to the appellant and `burned`.

    Each of `slashed` loses what stands there; `deposit` of the owner's burns. Of what the stakes lose `vote` goes to each judge
    of the side, `reward` to each of the unpaid, the rest (`pot_burned`) burns.
    """

    paid: tuple[int, ...]
    """Places of judges."""
    each: int
    back: int
    burned: int
    slashed: Mapping[int, int] = {}
    """By old place, also where it is 0: each has a strike."""
    vote: int = 0
    reward: int = 0
    pot_burned: int = 0
    deposit: int = 0


# --- what is so ----------------------------------------------------------------------------------------------------------------


def rows_of_appeal(rows: int, named: Sequence[int], disputed: Sequence[Sequence[int]], order: Callable[[int], bytes]) -> list[int]:
    """LC-PRE-57: the rows that judges answer, ascending: those `named`, in turns one of what each answer disputes, others.

    `disputed` are the rows of each such answer, by the tickets of who gave it; `order` gives a row's ticket. Who appeals first for
    somebody's lie can name rows that are right, but not keep out those that a seat said otherwise.
    """
    chosen = list(named)
    turns = [sorted(of_one, key=order) for of_one in disputed]
    while any(turns) and len(chosen) < appeal_rows(rows):
        for turn in turns:
            row = next((row for row in turn if row not in chosen), None)
            turn[:] = turn[turn.index(row) + 1 :] if row is not None else []
            chosen += [row] if row is not None else []
    others = sorted((row for row in range(rows) if row not in chosen), key=order)
    return sorted([*chosen, *others][: appeal_rows(rows)])


def disputes(values: Sequence[RowValue | None], answer: Answer, tol: int) -> list[int]:
    """LC-PRE-57: the rows whose value is another one than this answer says; the one of which it says that it does not fit."""
    if answer.code != AnswerCode.OK:
        return [answer.unfit] if answer.unfit is not None else []
    return [row for row, value in enumerate(values) if value is not None and not _is(value, *answer.mark(row), tol)]


def rule(case: AppealCase) -> AppealRuling:
    """LC-PRE-38, 40 to 42: what the judges' answers come to."""
    if not case.old.holds:
        raise BrokenInvariant(f"an appeal of a request that is {case.old.outcome.name}")
    found = tally(case.votes, rows=len(case.rows), tol=case.tol, c=case.seats, q=2, m=1)
    said = found.holds or found.outcome in (*_ACCUSING, PredictionOutcome.BAD_KEY)
    withheld = is_withheld([vote.code for vote in case.votes])
    void = AppealRuling(AppealVerdict.VOID, found._replace(side=()), {}, (), (), (), withheld=withheld)
    if len(case.votes) < 2 or 2 * len(found.side) <= case.seats or not said:
        return void
    new = {row: value for row, value in zip(case.rows, found.values, strict=found.holds) if value is not None}
    other = [row for row, value in new.items() if _differs(case.old.values[row], value, case.tol)]
    if not other and found.outcome not in _ACCUSING:
        return AppealRuling(AppealVerdict.UPHELD, found, new, (), (), ())
    changed = tuple(row for row in other if _outweighs(case, row, new[row]))
    if not changed and not (found.outcome in _ACCUSING and _code_outweighs(case, found)):
        return void
    new = {row: value for row, value in new.items() if row in changed or row not in other}
    wrong = _slashable(case, found, changed)
    owned = case.drawn >= OWNED_SEATS and len(wrong) >= quorum(case.drawn)
    return AppealRuling(AppealVerdict.OVERTURNED, found, new, changed, wrong, _unpaid(case, found), owned)


def values_after(case: AppealCase, ruling: AppealRuling) -> tuple[RowValue | None, ...]:
    """LC-PRE-40, 41: of every row: the judges' where they have one, else the old one; by a code none."""
    if ruling.found.outcome in _ACCUSING:
        return (None,) * len(case.old.values)
    return tuple(ruling.new.get(row, value) for row, value in enumerate(case.old.values))


def _differs(old: RowValue | None, new: RowValue, tol: int) -> bool:
    return old is not None and not _is(old, new.predicted, new.score, tol)


def _is(value: RowValue, predicted: int, score: int, tol: int) -> bool:
    """LC-PRE-2: equal, in an appeal."""
    return value.predicted == predicted and equal(value.score, score, tol)


def _outweighs(case: AppealCase, row: int, new: RowValue) -> bool:
    """LC-PRE-58: whether more answers say the judges' value of a row than its old one, those of the request and theirs together.

    Judges are who is left over after the draw: in a small graph too few to speak for the rest.
    """
    old, index = case.old.values[row], case.rows.index(row)
    if old is None:
        return False
    before = sum(_says(answer, row, new, case.tol) for place, answer in enumerate(case.answers) if place not in old.support)
    still = sum(_says(vote, index, old, case.tol) for place, vote in enumerate(case.votes) if place not in new.support)
    return len(new.support) + before > len(old.support) + still


def _code_outweighs(case: AppealCase, found: Tally) -> bool:
    """LC-PRE-58: whether more say the code that the judges say than give an answer."""
    everybody = [*case.answers, *case.votes]
    said = sum(CARRIED.get(one.code) == found.outcome for one in everybody)
    return said > sum(one.code == AnswerCode.OK for one in everybody)


def _says(answer: Answer, index: int, value: RowValue, tol: int) -> bool:
    """Whether the row at `index` of an answer is near this value, and of its class."""
    if answer.code != AnswerCode.OK:
        return False
    predicted, score = answer.mark(index)
    return predicted == value.predicted and near(score, value.score, tol)


def _slashable(case: AppealCase, found: Tally, changed: Sequence[int]) -> tuple[int, ...]:
    """LC-PRE-42: old payees in the support of a changed row, by a code all, where enough judges agree and hardly any doubts."""
    doubts = sum(_repeats(case, vote, changed or case.rows) for vote in case.votes)
    if case.seats < SLASH_SEATS or len(found.side) < quorum(case.seats) or DOUBT_PART * doubts >= case.seats:
        return ()
    if not changed:
        return case.old.side
    values = [case.old.values[row] for row in changed]
    behind = {place for value in values if value is not None for place in value.support}
    return tuple(place for place in case.old.side if place in behind)


def _repeats(case: AppealCase, vote: Answer, rows: Sequence[int]) -> bool:
    """Whether a judge says what the old values of these rows say."""
    if vote.code != AnswerCode.OK:
        return False
    said = {row: vote.mark(index) for index, row in enumerate(case.rows)}
    old = [(case.old.values[row], said[row]) for row in rows]
    return all(value is None or _is(value, *mark, case.tol) for value, mark in old)


def _unpaid(case: AppealCase, found: Tally) -> tuple[int, ...]:
    places = (place for place in range(len(case.answers)) if place not in case.old.side)
    return tuple(place for place in places if _said_so(case, found, case.answers[place]))


def _said_so(case: AppealCase, found: Tally, answer: Answer) -> bool:
    """Whether an old answer is near the judges' value in every row that has one, or said their code."""
    if not found.holds:
        return CARRIED.get(answer.code) == found.outcome
    values = [(row, value) for row, value in zip(case.rows, found.values, strict=True) if value is not None]
    return all(_says(answer, row, value, case.tol) for row, value in values)


# --- who gets what -------------------------------------------------------------------------------------------------------------


def payout(ruling: AppealRuling, money: AppealMoney, opened: int) -> AppealPayout:
    """LC-PRE-39 to LC-PRE-42; `opened` judges did open."""
    side = ruling.found.side
    if ruling.verdict == AppealVerdict.UPHELD:
        return _of_bond(money, side, money.fee, back=False)
    if ruling.verdict == AppealVerdict.VOID:
        return _of_bond(money, range(opened) if money.own or ruling.withheld else (), money.least_fee, back=True)
    guilty = [place for place in ruling.slashable if money.stakes[place]]
    if guilty and ruling.owned:
        return _slashed(ruling, money, guilty)
    overturned = _of_bond(money, side if money.own else (), money.least_fee, back=True)
    return _fined(ruling, money, guilty, overturned) if guilty else overturned


def _of_bond(money: AppealMoney, paid: Sequence[int], fee: int, *, back: bool) -> AppealPayout:
    """`fee` to each of `paid` as far as the bond reaches; the rest goes back, or burns."""
    each = min(fee, money.bond // len(paid)) if paid else 0
    rest = money.bond - each * len(paid)
    return AppealPayout(tuple(paid), each, rest if back else 0, 0 if back else rest)


def _slashed(ruling: AppealRuling, money: AppealMoney, guilty: Sequence[int]) -> AppealPayout:
    """Each loses at most its part of the deposit: who registers a model answers for it as those who serve it."""
    part = money.deposit // len(guilty)
    lost = {place: min(money.stakes[place], part) for place in guilty}
    pot = sum(lost.values())
    vote = min(money.fee, pot // len(ruling.found.side))
    rest = pot - vote * len(ruling.found.side)
    reward = min(money.share, rest // len(ruling.unpaid)) if ruling.unpaid else 0
    return AppealPayout((), 0, money.bond, 0, lost, vote, reward, rest - reward * len(ruling.unpaid), pot)


def _fined(ruling: AppealRuling, money: AppealMoney, guilty: Sequence[int], overturned: AppealPayout) -> AppealPayout:
    """Each loses about what it was paid: an image that answers by the clock takes nothing from who serves it."""
    lost = {place: min(money.stakes[place], money.fine) for place in guilty}
    pot = sum(lost.values())
    reward = min(money.share, pot // len(ruling.unpaid)) if ruling.unpaid else 0
    return overturned._replace(slashed=lost, reward=reward, pot_burned=pot - reward * len(ruling.unpaid))


def is_spent(deposit: int, full: int) -> bool:
    """LC-PRE-42: whether a model retires with what a slashing left of its deposit; `full` is pred_deposit."""
    return 2 * deposit < full
