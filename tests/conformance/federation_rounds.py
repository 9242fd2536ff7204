"""Starts, draws, keys, files, what aggregators have (LC-FED-15 to LC-FED-22, 34)."""

from __future__ import annotations

from tests.conformance import federation_rules as rules
from tests.conformance import membership
from tests.conformance.checks import check, part, register, step
from tests.conformance.federation_ends import idle
from tests.conformance.federation_small import sizes
from tests.conformance.federation_state import (
    CELL_HOOKS,
    DRAW,
    HAVE,
    IDLE,
    KEY,
    MEASURE,
    READY,
    ROWS,
    SCREEN,
    TRAIN,
    Aggregator,
    File,
    Member,
    Work,
    bitmap,
    places,
)
from tests.conformance.job_posts import is_cid

LOW_ORDER = frozenset(
    bytes.fromhex(one)
    for one in (
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""The u-coordinates of low order of Curve25519 below 2^255."""
NO_AGGREGATORS, TOO_FEW, NO_SET, NO_REFERENCE, DISPUTE, SPLIT, NOT_FINITE = range(1, 8)
"""Why an attempt is VOID."""
TWICE = register("LC-FED-20: other tickets take those places")
STRIKE_FIRST = register("LC-FED-22, 27: the strike is told before the rest that a failed draw brings")
WINDOWS = 3
ONCE_AN_HOUR = register("LC-FED-20: who is not ready fails a draw once an hour")


# --- guards ---------------------------------------------------------------------------------------------------------------------


@check("LC-FED-15", 504)
def the_sender_is_the_sponsor(work: Work, sender: bytes) -> bool:
    return sender == work.sponsor


@check("LC-FED-15", 511)
def a_start_comes_in_idle(work: Work) -> bool:
    return work.now.state == IDLE


@check("LC-FED-15", 513)
def a_start_is_of_the_present_round(work: Work, r: int) -> bool:
    return r == work.now.r


@check("LC-FED-20", 511)
def the_state_takes_it(work: Work, state: int) -> bool:
    return work.now.state == state


@check("LC-FED-20", 513)
def it_is_of_the_running_attempt(work: Work, attempt: int) -> bool:
    return attempt == work.now.starts


@check("LC-FED-20", 512)
def the_deadline_has_not_passed(work: Work) -> bool:
    return work.s.clock < work.now.deadline


@check("LC-FED-15", 538)
def enough_are_able(work: Work) -> bool:
    return len(work.servers()) >= work.least_able()


@check("LC-FED-15", 515)
def two_can_measure(work: Work) -> bool:
    return rules.may_sit(work.servers(), work.secret) >= 2


@check("LC-FED-15", 515)
def as_many_can_measure_as_have_to_be_able(work: Work) -> bool:
    return rules.may_sit(work.servers(), work.secret) >= work.least_able()


@check("LC-FED-15", 514)
def there_are_enough_members(work: Work) -> bool:
    return work.next_roster() is not None


@check("LC-FED-15", 516)
def there_are_two_aggregators(work: Work) -> bool:
    return len(work.aggregator_pool()) >= 2


@check("LC-FED-20", 517)
def the_sender_is_drawn(aggregator: Aggregator | None) -> bool:
    return aggregator is not None


@check("LC-FED-20", 518)
def a_key_is_given_once(aggregator: Aggregator) -> bool:
    return not aggregator.key


@check("LC-FED-20", 527)
def a_key_is_not_of_low_order(key: bytes) -> bool:
    return key not in LOW_ORDER


@check("LC-FED-21", 519)
def the_keys_are_there(work: Work) -> bool:
    return work.now.state != READY


@check("LC-FED-21", 507)
def the_sender_of_a_file_is_a_member(member: Member | None) -> bool:
    return member is not None and member.index != 0


@check("LC-FED-21", 510)
def the_member_is_not_benched_out(work: Work, member: Member) -> bool:
    return in_roster(work, member.id) or member.benched_until < work.now.starts


@check("LC-FED-21", 525)
def the_member_is_of_the_roster(work: Work, member: Member) -> bool:
    return in_roster(work, member.id)


@check("LC-FED-21", 520)
def a_member_commits_once(work: Work, member: Member) -> bool:
    return all(one.account != member.id for one in work.files)


@check("LC-FED-21", 521)
def a_file_has_the_size_of_updates(work: Work, size: int) -> bool:
    d = work.terms.dims
    return bool(size == (500 + 8 * sizes(d).total if work.terms.has_cells else 4 * d + 500))


@check("LC-FED-21", 521)
def a_file_has_a_name(cid: bytes) -> bool:
    return is_cid(cid)


@check("LC-FED-21", 504)
def a_reference_is_from_the_sponsor(work: Work, sender: bytes) -> bool:
    return sender == work.sponsor


@check("LC-FED-21", 522)
def the_terms_have_a_reference(work: Work) -> bool:
    return bool(work.terms.reference)


@check("LC-FED-21", 520)
def a_reference_is_given_once(work: Work) -> bool:
    return not work.running.reference


@check("LC-FED-22", 537)
def an_aggregator_says_once_what_it_has(aggregator: Aggregator) -> bool:
    return not aggregator.said_have


@check("LC-FED-22", 524)
def a_bitmap_is_as_long_as_the_files(bitmap: bytes, files: int) -> bool:
    return len(bitmap) == (files + 7) // 8


@check("LC-FED-22", 524)
def no_bit_is_beyond_the_files(bitmap: bytes, files: int) -> bool:
    return all(at < files for at in places(bitmap))


@check("LC-FED-22", 524)
def no_reference_is_had_where_none_is(work: Work, reference: bool) -> bool:
    return not reference or bool(work.running.reference)


def in_roster(work: Work, account: bytes) -> bool:
    return any(who == account for who, _, _ in work.roster)


def aggregator_of(work: Work, sender: bytes) -> Aggregator:
    found = work.drawn.get(sender) if sender in work.running.seats else None
    the_sender_is_drawn(found)
    if found is None:
        raise membership.Disappeared(sender)
    return found


def running(work: Work, state: int, attempt: int) -> None:
    the_state_takes_it(work, state)
    it_is_of_the_running_attempt(work, attempt)
    the_deadline_has_not_passed(work)


# --- starts: LC-FED-15 ----------------------------------------------------------------------------------------------------------


def start_round(work: Work, sender: bytes, r: int) -> None:
    now = work.now
    the_sender_is_the_sponsor(work, sender)
    a_start_comes_in_idle(work)
    a_start_is_of_the_present_round(work, r)
    the_deadline_has_not_passed(work)
    enough_are_able(work)
    if now.r == 0:
        two_can_measure(work)
        as_many_can_measure_as_have_to_be_able(work)
    elif work.terms.has_cells:
        CELL_HOOKS["may_start"](work)
    else:
        there_are_enough_members(work)
        there_are_two_aggregators(work)
        work.begin_attempt(now.starts + 1, work.next_roster() or [])
    now.starts += 1
    work.enter_draw(DRAW)
    work.noted("fed.started", now.r, now.starts, now.draw_height)


def the_draw_is_due(work: Work) -> None:
    if work.now.r == 0:
        _draw_the_panel(work)
    else:
        _draw_aggregators(work)


# --- the panel: LC-FED-19 -------------------------------------------------------------------------------------------------------


def _draw_the_panel(work: Work) -> None:
    work.now.panel_beacon = work.s.beacon
    seats = work.panel_pool()
    if len(seats) < 2:
        work.noted("fed.unstarted", work.now.r)
        idle(work)
        return
    work.now.panel = [work.sits(account) for account in seats]
    work.now.model = work.now.base
    work.noted("fed.panel", work.now.r, *seats)
    if work.terms.hidden:
        work.enter(KEY, work.windows().ready)
        work.noted("fed.key", work.now.deadline)
    else:
        measure(work)


def measure(work: Work) -> None:
    """MEASURE"""
    now = work.now
    for seat in now.panel:
        seat.commitment, seat.opened, seat.holds = b"", [], False
    if work.asks_lists:
        work.cell.opened = []
    work.enter(MEASURE, work.windows().measure)
    work.noted("fed.measure", now.r, now.again, now.deadline, *(seat.account for seat in now.panel))


# --- aggregators: LC-FED-20 -----------------------------------------------------------------------------------------------------


def _draw_aggregators(work: Work) -> None:
    attempt = work.running
    attempt.beacon = work.s.beacon
    if work.terms.has_cells:
        CELL_HOOKS["form"](work)
        if work.attempt is None:
            return
    found = _order(work)[: rules.NAMED]
    if len(found) < _least(work):
        void(work, NO_AGGREGATORS)
        return
    _seat(work, found)


def _seat(work: Work, following: list[bytes]) -> None:
    attempt = work.running
    attempt.seats += following
    attempt.tried += following
    work.drawn |= {account: Aggregator(account) for account in following}
    work.enter(READY, work.windows().ready)
    work.noted("fed.drawn", work.now.r, attempt.number, work.now.deadline, *attempt.seats)


def _order(work: Work) -> list[bytes]:
    """Who is left, by the tickets of the draw."""
    attempt = work.running
    among = CELL_HOOKS["pool"](work) if work.terms.has_cells else work.aggregator_pool()
    pool = [account for account in among if account not in attempt.tried]
    return work.tickets(pool, attempt.beacon, work.now.r, attempt.number)


def ready_key(work: Work, sender: bytes, attempt: int, key: bytes) -> None:
    running(work, READY, attempt)
    aggregator = aggregator_of(work, sender)
    a_key_is_given_once(aggregator)
    a_key_is_not_of_low_order(key)
    aggregator.key = key
    work.noted("fed.ready", attempt, sender)
    if all(one.key for one in work.aggregators):
        _train(work)


def _least(work: Work) -> int:
    return 3 if work.terms.has_cells else 2


def _train(work: Work) -> None:
    attempt = work.running
    if len(attempt.seats) < _least(work):
        void(work, NO_AGGREGATORS)
        return
    attempt.ready = len(attempt.seats)
    work.enter(TRAIN, work.terms.round_ms)
    work.noted("fed.train", work.now.r, attempt.number, work.now.deadline, *attempt.seats)


def keys_are_due(work: Work) -> None:
    attempt = work.running
    late = [one.id for one in work.aggregators if not one.key]
    for account in late:
        _is_not_ready(work, account)
    attempt.seats = [account for account in attempt.seats if account not in late]
    following = _order(work)[: len(late)] if attempt.windows < WINDOWS and part(TWICE) else []
    if following:
        attempt.windows += 1
        _seat(work, following)
    else:
        _train(work)


def _is_not_ready(work: Work, account: bytes) -> None:
    """LC-FED-20: it costs a draw once an hour."""
    s, key = work.s, b"fx/" + account
    work.noted("fed.silent", work.now.r, work.running.number, account)
    serving = s.get(key)
    if serving is not None and serving[1] and s.clock < serving[1] + 3_600_000 and part(ONCE_AN_HOUR):
        return
    if serving is not None:
        s.put(key, [serving[0], s.clock])
    work.draw_record(account, True, True)


def is_silent(work: Work, account: bytes) -> None:
    """LC-FED-22, 27: the strike comes before the failed draw."""
    work.noted("fed.silent", work.now.r, work.running.number, account)
    first = part(STRIKE_FIRST)
    if not first:
        work.draw_record(account, True, True)
    who_is_silent_is_struck(work, account, "aggregator.silent")
    if first:
        work.draw_record(account, True, True)


# --- files: LC-FED-21 -----------------------------------------------------------------------------------------------------------


def commit_update(work: Work, sender: bytes, attempt: int, cid: bytes, size: int) -> None:
    the_keys_are_there(work)
    running(work, TRAIN, attempt)
    member = work.member(sender)
    the_sender_of_a_file_is_a_member(member)
    if member is None or member.place is None:
        raise membership.Disappeared(sender)
    the_member_is_not_benched_out(work, member)
    the_member_is_of_the_roster(work, member)
    a_member_commits_once(work, member)
    a_file_has_the_size_of_updates(work, size)
    a_file_has_a_name(cid)
    work.files.append(File(sender, member.place, cid))
    work.running.files = len(work.files)
    work.running.committed = bitmap([one.index for one in work.files])
    work.noted("fed.file", attempt, sender, cid)
    _training_may_end(work)


def refer_update(work: Work, sender: bytes, attempt: int, cid: bytes) -> None:
    running(work, TRAIN, attempt)
    a_reference_is_from_the_sponsor(work, sender)
    the_terms_have_a_reference(work)
    a_reference_is_given_once(work)
    a_file_has_a_name(cid)
    work.running.reference = cid
    work.noted("fed.reference", attempt, cid)
    _training_may_end(work)


def _training_may_end(work: Work) -> None:
    committed = {one.account for one in work.files}
    waiting = [who for who, _, _ in work.roster if who not in committed and not work.is_banned(who)]
    if not waiting and (work.running.reference or not work.terms.reference):
        files_are_due(work)


def files_are_due(work: Work) -> None:
    if work.terms.has_cells:
        CELL_HOOKS["trained"](work)
        return
    attempt = work.running
    if len(work.files) < work.terms.min_members:
        void(work, TOO_FEW)
        return
    work.enter(HAVE, work.windows().base)
    work.noted("fed.collect", attempt.number, work.now.deadline, attempt.files)


# --- HAVE: LC-FED-22 ------------------------------------------------------------------------------------------------------------


def have_updates(work: Work, sender: bytes, attempt: int, files: bytes, reference: bool) -> None:
    running(work, HAVE, attempt)
    aggregator = aggregator_of(work, sender)
    an_aggregator_says_once_what_it_has(aggregator)
    a_bitmap_is_as_long_as_the_files(files, len(work.files))
    no_bit_is_beyond_the_files(files, len(work.files))
    no_reference_is_had_where_none_is(work, reference)
    aggregator.said_have, aggregator.have, aggregator.have_reference = True, files, reference
    work.noted("fed.have", attempt, sender, len(places(files)))
    if all(one.said_have for one in work.aggregators):
        haves_are_due(work)


def haves_are_due(work: Work) -> None:
    if work.terms.has_cells:
        CELL_HOOKS["haves"](work)
        return
    attempt = work.running
    for one in work.aggregators:
        if not one.said_have:
            is_silent(work, one.id)
    having = [one for one in work.aggregators if one.said_have]
    said = {one.id: rules.Said(one.id, frozenset(places(one.have)), one.have_reference) for one in having}
    order = work.tickets(list(said), attempt.beacon, work.now.r, attempt.number)
    found = rules.deciding([said[account] for account in order])
    if found is None:
        void(work, NO_SET)
        return
    attempt.deciding, attempt.shared = (
        [who for who in attempt.seats if who in found[0]],
        bitmap(found[1]).ljust((len(work.files) + 7) // 8, b"\0"),
    )
    attempt.with_reference = found[2]
    if work.terms.split == rules.ALIGNED and not attempt.with_reference:
        void(work, NO_REFERENCE)
        return
    work.enter_draw(ROWS)
    work.noted("fed.rows", attempt.number, work.now.draw_height, len(found[1]), *attempt.deciding)


def rows_are_drawn(work: Work) -> None:
    work.running.rows = work.s.beacon
    work.enter(SCREEN, work.windows().screen)
    work.noted("fed.screen", work.running.number, work.now.deadline)


@step("LC-FED-22")
def who_is_silent_is_struck(work: Work, account: bytes, reason: str) -> None:
    work.strike(account, reason)


# --- VOID: LC-FED-34 ------------------------------------------------------------------------------------------------------------


def void(work: Work, reason: int) -> None:
    work.noted("fed.void", work.now.r, work.running.number, reason)
    work.end_attempt()
    idle(work)
