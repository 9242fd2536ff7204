"""The panel: keys, measurements, settling (LC-FED-19, 33, 35 to 44)."""

from __future__ import annotations

from typing import Any

from tests.conformance import federation_rules as rules
from tests.conformance import membership
from tests.conformance.checks import Refused, check, part, register, step
from tests.conformance.federation_ends import BAD_MODEL, MET, NOKEY, REACHED, ROUNDS, STALLED, end, idle
from tests.conformance.federation_rounds import measure, the_deadline_has_not_passed, the_state_takes_it
from tests.conformance.federation_state import CELL_HOOKS, KEY, MEASURE, OPEN, Seat, Work, places
from tests.conformance.keys import tagged
from tests.conformance.ledger import pay
from tests.conformance.losses import check_opening, mean, probe
from tests.conformance.wire import encode

MOST_MEASUREMENTS, LARGEST_LOSS = 3, 10**18
FOLLOWERS = register("LC-FED-19: who followed gets a box in MEASURE")
SILENT_GO = register("LC-FED-38: who was silent twice in a row goes")
OUTSIDERS_GO = register("LC-FED-38: before the third time others go")
EXCLUDES = register("LC-FED-33: two that made a bad model are excluded")
PROBED = register("LC-FED-51: leaves that do not answer the probe do not hold")


# --- keys: LC-FED-19 ------------------------------------------------------------------------------------------------------------


@check("LC-FED-19", 504)
def the_keys_are_from_the_sponsor(work: Work, sender: bytes) -> bool:
    return sender == work.sponsor


@check("LC-FED-19", 527)
def there_is_a_box_for_each_seat_that_has_none(lacking: list[Seat], boxes: list[bytes]) -> bool:
    return len(boxes) == len(lacking)


def seal_key(work: Work, sender: bytes, boxes: list[bytes]) -> None:
    the_keys_are_from_the_sponsor(work, sender)
    lacking = [seat for seat in work.now.panel if not seat.box]
    followed = bool(lacking and work.terms.hidden and work.now.state == MEASURE and part(FOLLOWERS))
    if not followed:
        the_state_takes_it(work, KEY)
    the_deadline_has_not_passed(work)
    there_is_a_box_for_each_seat_that_has_none(lacking, boxes)
    for seat, box in zip(lacking, boxes, strict=False):
        seat.box = box
    work.noted("fed.sealed")
    if not followed:
        begin_measuring(work)


def no_key_came(work: Work) -> None:
    end(work, NOKEY)


# --- measuring: LC-FED-35 -------------------------------------------------------------------------------------------------------


@check("LC-FED-35", 513)
def it_measures_the_present_round(work: Work, r: int, again: int) -> bool:
    return (r, again) == (work.now.r, work.now.again)


@check("LC-FED-35", 528)
def who_measures_has_a_seat(seat: Seat | None) -> bool:
    return seat is not None


@check("LC-FED-35", 529)
def a_seat_commits_once(seat: Seat) -> bool:
    return not seat.commitment


@check("LC-FED-35", 529)
def a_seat_opens_once(seat: Seat) -> bool:
    return not seat.opened


@check("LC-FED-35", 530)
def a_measure_opens_its_commitment(seat: Seat, opened: bytes) -> bool:
    return seat.commitment == opened


@check("LC-FED-61", 531)
def one_loss_is_asked_for(work: Work) -> bool:
    return not work.asks_lists


@check("LC-FED-35", 531)
def a_code_is_known(code: int) -> bool:
    return 1 <= code <= 5


@check("LC-FED-35", 531)
def only_ok_has_a_measurement(code: int, measured: list[Any]) -> bool:
    return bool(measured) == (code == rules.OK)


@check("LC-FED-35", 531)
def only_ok_has_an_opening(code: int, opening: list[Any]) -> bool:
    return bool(opening) == (code == rules.OK)


@check("LC-FED-35", 531)
def a_measured_loss_is_within_bounds(measured: list[Any]) -> bool:
    return not measured or abs(mean(measured[0][1], measured[0][2])) <= LARGEST_LOSS


def seat_of(work: Work, state: int, sender: bytes, r: int, again: int) -> Seat:
    the_state_takes_it(work, state)
    it_measures_the_present_round(work, r, again)
    the_deadline_has_not_passed(work)
    seat = next((one for one in work.now.panel if one.account == sender), None)
    who_measures_has_a_seat(seat)
    if seat is None:
        raise membership.Disappeared(sender)
    return seat


def commit_measure(work: Work, sender: bytes, r: int, again: int, commitment: bytes) -> None:
    seat = seat_of(work, MEASURE, sender, r, again)
    a_seat_commits_once(seat)
    seat.commitment = commitment
    work.noted("fed.committed", r, again, sender)
    if all(one.commitment for one in work.now.panel):
        measuring_is_over(work)


def measuring_is_over(work: Work) -> None:
    now = work.now
    if not any(one.commitment for one in now.panel):
        openings_are_due(work)
        return
    now.probe = work.s.beacon
    work.enter(OPEN, work.windows().open)
    work.noted("fed.open", now.r, now.again, now.deadline)


def open_measure(work: Work, sender: bytes, r: int, again: int, told: list[Any], opening: list[Any], salt: bytes) -> None:
    seat = seat_of(work, OPEN, sender, r, again)
    a_seat_opens_once(seat)
    place = r.to_bytes(2, "big") + bytes([again])
    a_measure_opens_its_commitment(seat, tagged("lc/measure", work.s.chain_id, work.id, place, sender, salt, encode(told)))
    one_loss_is_asked_for(work)
    code, measured = told
    a_code_is_known(code)
    only_ok_has_a_measurement(code, measured)
    only_ok_has_an_opening(code, opening)
    a_measured_loss_is_within_bounds(measured)
    seat.opened, seat.holds = [told], not measured or _holds(work, again, measured[0], opening)
    loss = mean(measured[0][1], measured[0][2]) if measured else 0
    work.noted("fed.vote", r, again, sender, code, loss, int(seat.holds))
    vote_is_in(work)


def vote_is_in(work: Work) -> None:
    if all(one.opened for one in work.now.panel if one.commitment):
        openings_are_due(work)


def _holds(work: Work, again: int, measured: list[Any], opening: list[Any]) -> bool:
    """LC-FED-51"""
    root, total, n = measured
    try:
        check_opening((root, total, n), probe(work.now.probe, work.id, 0, again, n), encode(opening[0]))
    except Refused:
        return not part(PROBED)
    return True


# --- what was measured: LC-FED-36 to LC-FED-38 ----------------------------------------------------------------------------------


@step("LC-FED-36")
def who_did_not_open_is_struck(work: Work, account: bytes) -> None:
    work.strike(account, "panel.silent")


def begin_measuring(work: Work) -> None:
    """The first time of this r."""
    work.now.again = 0
    for seat in work.now.panel:
        seat.silent = 0
    measure(work)


def openings_are_due(work: Work) -> None:
    now, third = work.now, work.now.again + 1 == MOST_MEASUREMENTS
    for seat in now.panel:
        if seat.opened:
            seat.silent = 0
            continue
        seat.silent += 1
        work.noted("fed.unopened", now.r, now.again, seat.account)
        who_did_not_open_is_struck(work, seat.account)
    if work.asks_lists:
        found = CELL_HOOKS["lists"](work, third)
        if isinstance(found, tuple):
            _paid(work, *found)
        elif third:
            end(work, STALLED)
        else:
            _again(work, found)
        return
    voters = [seat for seat in now.panel if seat.opened]
    votes = [_vote(seat) for seat in voters]
    found = rules.measured(votes, len(now.panel), third, work.scale)
    if found is not None:
        _paid(work, [voters[at].account for at in found.paid], None if found.invalid else found.loss)
    elif third:
        end(work, STALLED)
    else:
        _again(work, [voters[at].account for at in rules.largest(votes, work.scale)])


def _paid(work: Work, paid: list[bytes], loss: int | None) -> None:
    for account in paid:
        work.fee(account, "fed.panel.fee")
    work.noted("fed.measured", work.now.r, work.now.again, int(loss is None), loss or 0, *paid)
    _is_measured(work, loss)


def _vote(seat: Seat) -> rules.Measure:
    code, measured = seat.opened[0]
    return rules.Measure(code, mean(measured[0][1], measured[0][2]) if measured else 0, seat.holds)


def _again(work: Work, inside: list[bytes]) -> None:
    now = work.now
    now.again += 1
    silent = [seat for seat in now.panel if seat.silent >= 2] if part(SILENT_GO) else []
    last = now.again + 1 == MOST_MEASUREMENTS and part(OUTSIDERS_GO)
    outside = [seat for seat in now.panel if last and seat.account not in inside and seat not in silent]
    many = len(silent) + len(outside)
    following = work.panel_pool(len(now.panel) - many)[:many]
    leaving = [*silent, *outside][: max(len(silent), len(following))]
    now.panel = [seat for seat in now.panel if seat not in leaving] + [work.sits(account) for account in following]
    work.noted("fed.again", now.r, now.again)
    if leaving or following:
        work.noted("fed.panel", now.r, *(seat.account for seat in now.panel))
    measure(work)


# --- settling: LC-FED-33, 39, 41 to 43 ------------------------------------------------------------------------------------------


def _is_measured(work: Work, loss: int | None) -> None:
    if work.now.r == 0:
        _begin(work, loss)
    else:
        _settle(work, loss)


def _begin(work: Work, loss: int | None) -> None:
    """LC-FED-39"""
    now = work.now
    if loss is None:
        end(work, BAD_MODEL)
        return
    now.initial, now.best, now.best_model = loss, loss, now.base
    if loss - 2 * work.scale.of(loss) <= work.terms.target:
        end(work, MET)
        return
    now.r = 1
    idle(work)


PROGRESS, NO_PROGRESS, REVERTED = 1, 2, 3


def _settle(work: Work, loss: int | None) -> None:
    now, t = work.now, work.terms
    bad = loss is None or loss > now.best + (now.initial - t.target) // 20
    if len(now.pair) == 2 and part(EXCLUDES) and bad:
        for account in now.pair:
            work.exclude(account)
    before = rules.Standing(now.initial, now.best, now.paid, now.streak)
    found = rules.settle(before, loss, t.bounty, t.target, t.patience, work.scale)
    _, now.best, now.paid, now.streak = found.standing
    if found.progress:
        now.best_model, now.best_r = now.model, now.r
        _pay_owners(work, found.pot)
    if found.keeps:
        now.base = now.model
    else:
        now.base = now.best_model
        _clear_points(work)
    now.pair = []
    if work.terms.has_cells:
        CELL_HOOKS["radius"](work, found.keeps)
    outcome = PROGRESS if found.progress else NO_PROGRESS if found.keeps else REVERTED
    work.put_round([*work.round()[:7], loss is None, loss or 0, found.pot, outcome, work.s.clock])
    work.noted("fed.settled", now.r, outcome, loss or 0, now.best, found.pot)
    if now.best <= t.target:
        end(work, REACHED)
    elif now.r == t.rounds:
        end(work, ROUNDS)
    else:
        now.r += 1
        idle(work)


def _pay_owners(work: Work, pot: int) -> None:
    held = {one.place: one.points for one in work.members.values() if one.place is not None}
    if work.terms.has_cells:
        found = CELL_HOOKS["split"](work, pot, held)
    else:
        found = rules.shares(pot, held, places(work.now.last))
    for place, amount in found.items():
        member = work.of(place)
        member.paid += amount
        pay(work.s, work.id + b"fB", member.id, amount, "fed.share", work.id)
    _clear_points(work)


def _clear_points(work: Work) -> None:
    for one in work.members.values():
        one.points = 0
    if work.terms.has_cells:
        CELL_HOOKS["clear"](work)
