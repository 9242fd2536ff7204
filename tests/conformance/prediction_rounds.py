"""Draws, keys, sealed and opened answers (LC-PRE-21 to LC-PRE-25)."""

from __future__ import annotations

from typing import Any

from tests.conformance import membership
from tests.conformance import prediction_rules as rules
from tests.conformance.checks import check, step
from tests.conformance.keys import tagged
from tests.conformance.prediction_ends import fail, release_open_seats, silence, tally_seats
from tests.conformance.prediction_state import (
    ANSWER,
    KEYS,
    NO_KEYS,
    OPEN,
    REDRAW,
    TOO_FEW,
    Seat,
    Work,
)
from tests.conformance.wire import encode

# --- draws: LC-PRE-21 -----------------------------------------------------------------------------------------------------------


def begin_round(work: Work, round_: int, pool: list[bytes], many: int) -> None:
    s = work.s
    seats = rules.drawn(s.beacon, work.id, round_, pool, many)
    committed = 0 if round_ == 3 else work.request.committed
    drawn = [*work.request.rounds, [round_, s.beacon, len(pool), s.clock, seats]]
    work.set(round=round_, rounds=drawn, committed=committed, before=committed, opened=0)
    for account in seats:
        box_key = membership.member_of(s, account).box_key if work.private else b""
        work.set_seat(round_, account, box_key=box_key)
        if round_ < 3:
            server = work.model.server(account)
            assert server is not None
            work.model.change_server(account, unfinal=server.unfinal + 1)
    if round_ < 3:
        work.model.add(open_seats=len(seats), unfinal_seats=len(seats))
    if work.private:
        work.enter(KEYS, work.p.keys)
        tell_seats(work, "request.keys")
    else:
        ask(work)


def tell_seats(work: Work, topic: str) -> None:
    """An event for each sixteen of the present round."""
    round_, deadline = work.request.round, work.request.deadline
    seats = work.round(round_).seats
    for first in range(0, len(seats), 16):
        work.noted(topic, round_, deadline, *seats[first : first + 16])


def ask(work: Work) -> None:
    """LC-PRE-3"""
    round_, of, m = work.request.round, work.terms, work.model.terms
    if round_ == 3:
        rows, size = len(work.request.rows), of.size + work.model.program.size
        window = rules.answer_window(work.p.vote_base, m.start_s, m.row_ms, rows, size)
    else:
        window = rules.answer_window(work.p.a0, m.start_s, m.row_ms, of.rows, of.size)
    work.enter(ANSWER, window)
    tell_seats(work, "request.answer")


# --- guards ---------------------------------------------------------------------------------------------------------------------


@check("LC-PRE-23", 424)
def the_state_takes_it(work: Work, state: int) -> bool:
    return work.request.state == state


@check("LC-PRE-23", 425)
def the_deadline_has_not_passed(work: Work) -> bool:
    return work.s.clock < work.request.deadline


@check("LC-PRE-23", 427)
def the_round_is_the_present_one(work: Work, round_: int) -> bool:
    return round_ == work.request.round


@check("LC-PRE-23", 426)
def the_sender_has_a_seat(seat: Seat | None) -> bool:
    return seat is not None


@check("LC-PRE-23", 428)
def the_seat_has_not_committed(seat: Seat) -> bool:
    return not seat.commitment


@check("LC-PRE-24", 429)
def the_seat_has_committed(seat: Seat) -> bool:
    return bool(seat.commitment)


@check("LC-PRE-24", 430)
def the_seat_has_not_opened(seat: Seat) -> bool:
    return not seat.answer


@check("LC-PRE-24", 431)
def the_answer_opens_the_commitment(seat: Seat, opened: bytes) -> bool:
    return seat.commitment == opened


@check("LC-PRE-22", 423)
def the_keys_are_from_who_asked(work: Work, sender: bytes) -> bool:
    return sender == (work.request.appellant if work.request.round == 3 else work.requester)


@check("LC-PRE-22", 433)
def there_is_a_box_for_each_seat(boxes: list[bytes], seats: list[bytes]) -> bool:
    return len(boxes) == len(seats)


@check("LC-PRE-25", 432)
def codes_but_ok_have_neither_classes_nor_scores(answer: rules.Answer) -> bool:
    return answer.code == rules.OK or (not answer.classes and not answer.scores)


@check("LC-PRE-25", 432)
def codes_but_ok_and_bad_input_have_no_check(answer: rules.Answer) -> bool:
    return answer.code in (rules.OK, rules.BAD_INPUT) or not answer.check


@check("LC-PRE-25", 432)
def the_row_that_does_not_fit_is_one_of_them(answer: rules.Answer, rows: int) -> bool:
    return answer.code != rules.BAD_INPUT or 0 <= answer.check <= rows


@check("LC-PRE-25", 432)
def there_is_a_score_for_each_row(answer: rules.Answer, rows: int) -> bool:
    return answer.code != rules.OK or len(answer.scores) == rows


@check("LC-PRE-25", 432)
def there_is_a_class_for_each_row_of_a_class_model(answer: rules.Answer, kind: int, rows: int) -> bool:
    return answer.code != rules.OK or len(answer.classes) == (rows if kind == 1 else 0)


@check("LC-PRE-25", 432)
def classes_are_the_model_s(answer: rules.Answer, classes: int) -> bool:
    return all(one < classes for one in answer.classes)


# --- messages: LC-PRE-22 to LC-PRE-24 -------------------------------------------------------------------------------------------


def in_state(work: Work, state: int, round_: int) -> None:
    the_state_takes_it(work, state)
    the_deadline_has_not_passed(work)
    the_round_is_the_present_one(work, round_)


def give_keys(work: Work, sender: bytes, round_: int, boxes: list[bytes]) -> None:
    """LC-PRE-22"""
    in_state(work, KEYS, round_)
    the_keys_are_from_who_asked(work, sender)
    seats = work.round(round_).seats
    there_is_a_box_for_each_seat(boxes, seats)
    for account, box in zip(seats, boxes, strict=False):
        work.set_seat(round_, account, box=box)
    ask(work)


def commit_answer(work: Work, sender: bytes, round_: int, commitment: bytes) -> None:
    """LC-PRE-23"""
    in_state(work, ANSWER, round_)
    seat = work.seat(round_, sender)
    the_sender_has_a_seat(seat)
    if seat is None:
        raise membership.Disappeared(sender)
    the_seat_has_not_committed(seat)
    place = work.request.committed
    work.set_seat(round_, sender, commitment=commitment, place=place)
    work.set(committed=place + 1)
    work.noted("answer.sealed", round_, sender)
    if place + 1 - work.request.before == len(work.round(round_).seats):
        with_the_last_commitment_the_window_ends(work)


@step("LC-PRE-23")
def with_the_last_commitment_the_window_ends(work: Work) -> None:
    work.end_window()


@step("LC-PRE-24")
def with_the_last_opening_the_window_ends(work: Work) -> None:
    work.end_window()


def open_answer(work: Work, sender: bytes, round_: int, told: list[Any], salt: bytes) -> None:
    """LC-PRE-24"""
    the_state_takes_it(work, OPEN)
    the_deadline_has_not_passed(work)
    _the_round_is_tallied(work, round_)
    seat = work.seat(round_, sender)
    the_sender_has_a_seat(seat)
    if seat is None:
        raise membership.Disappeared(sender)
    the_seat_has_committed(seat)
    the_seat_has_not_opened(seat)
    opened = tagged("lc/answer", work.s.chain_id, work.id, bytes([round_]), sender, salt, encode(told))
    the_answer_opens_the_commitment(seat, opened)
    answer, m = rules.Answer(*told), work.model.terms
    rows = len(work.request.rows) if round_ == 3 else work.terms.rows
    codes_but_ok_have_neither_classes_nor_scores(answer)
    codes_but_ok_and_bad_input_have_no_check(answer)
    the_row_that_does_not_fit_is_one_of_them(answer, rows)
    there_is_a_score_for_each_row(answer, rows)
    there_is_a_class_for_each_row_of_a_class_model(answer, m.kind, rows)
    classes_are_the_model_s(answer, m.classes)
    work.set_seat(round_, sender, answer=[told])
    work.set(opened=work.request.opened + 1)
    work.noted("answer.opened", round_, sender, answer.code)
    if work.request.opened == work.request.committed:
        with_the_last_opening_the_window_ends(work)


@check("LC-PRE-24", 427)
def the_round_is_one_of_the_tally(work: Work, round_: int) -> bool:
    return round_ == 3 if work.request.round == 3 else 1 <= round_ <= work.request.round


def _the_round_is_tallied(work: Work, round_: int) -> None:
    the_round_is_one_of_the_tally(work, round_)


# --- deadlines ------------------------------------------------------------------------------------------------------------------


def keys_are_missing(work: Work) -> None:
    """LC-PRE-22, of r = 1 and 2."""
    if work.request.round == 1:
        release_open_seats(work)
        fail(work, NO_KEYS, work.seated, work.share, "seat.paid")
    else:
        close_answers(work)


def answers_are_due(work: Work) -> None:
    """LC-PRE-23, of r = 1 and 2."""
    round_ = work.request.round
    silent = silent_of(work, round_)
    for account in silent:
        work.noted("answer.silent", round_, account)
        silence(work, account)
    if round_ == 1 and silent and spare(work):
        work.enter_draw(REDRAW)
        work.noted("request.redraw", work.request.draw_height)
    else:
        close_answers(work)


def silent_of(work: Work, round_: int) -> list[bytes]:
    return [account for account in work.round(round_).seats if not work.the_seat(round_, account).commitment]


def spare(work: Work) -> list[bytes]:
    """Of the pool those that have no seat."""
    seated = {account for _, account in work.seated}
    pool = work.pool()
    return [account for account in pool if account not in seated]


def draw_substitutes(work: Work) -> None:
    """LC-PRE-23"""
    pool = spare(work)
    if pool:
        begin_round(work, 2, pool, len(silent_of(work, 1)))
    else:
        close_answers(work)


def close_answers(work: Work) -> None:
    """Nobody else answers."""
    if work.request.committed < work.q:
        release_open_seats(work)
        fail(work, TOO_FEW)
        return
    work.enter(OPEN, work.p.open)
    work.noted("request.open", work.request.round, work.request.deadline)


def openings_are_due(work: Work) -> None:
    """LC-PRE-24, of r = 1 and 2."""
    for round_, account in work.seated:
        seat = work.the_seat(round_, account)
        if seat.commitment and not seat.answer:
            work.noted("answer.silent", round_, account)
            silence(work, account)
    voters, answers = opened(work)
    tally_seats(work, voters, answers)


def opened(work: Work) -> tuple[list[tuple[int, bytes]], list[rules.Answer]]:
    """In the order of the commitments."""
    found = []
    for round_, account in work.tallied:
        seat = work.the_seat(round_, account)
        if seat.answer:
            found.append((seat.place, (round_, account), rules.Answer(*seat.answer[0])))
    found.sort()
    return [who for _, who, _ in found], [answer for _, _, answer in found]
