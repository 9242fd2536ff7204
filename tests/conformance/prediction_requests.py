"""Requests that wait: posting, tips, the queue, the pump (LC-PRE-16 to LC-PRE-21)."""

from __future__ import annotations

from typing import Any

from tests.conformance import judging, membership
from tests.conformance import prediction_rules as rules
from tests.conformance.checks import Refused, check, part, register
from tests.conformance.job_posts import is_cid
from tests.conformance.keys import sha, tagged
from tests.conformance.ledger import State, lock, parked, schedule
from tests.conformance.prediction_ends import drop_old_results, fail, leave_queue
from tests.conformance.prediction_models import (
    divide,
    go,
    name_policy,
    settle_retired,
    the_model_is_live,
    the_model_is_not_parked,
    the_sender_is_active,
    the_sender_stands,
    there_is_such_a_model,
    what_is_locked_is_free,
)
from tests.conformance.prediction_rounds import begin_round
from tests.conformance.prediction_state import (
    CANCELLED,
    CONTRACT,
    EVICTED,
    EXPIRED,
    MODEL_RETIRED,
    NO_SERVERS,
    OF_REQUEST,
    RETIRED,
    WAITING,
    Asked,
    ModelWork,
    Params,
    Request,
    RequestTerms,
    Server,
    Work,
    count,
    number,
    params,
    totals,
)

EVICT_WAIT, DRAWN, RETIRING = 60_000, 16, 64
YOUNG = register("LC-PRE-20: a request waits d blocks before it is drawn")
AGAIN = register("LC-PRE-20: a pump that passed over a young request is due again")


# --- guards ---------------------------------------------------------------------------------------------------------------------


@check("LC-BLK-20", 6)
def the_request_is_not_parked(s: State, request: bytes) -> bool:
    return parked(s, CONTRACT, request) is None


@check("LC-PRE-19", 401)
def there_is_such_a_request(s: State, request: bytes) -> bool:
    return s.get(b"pb/" + request) is not None


def load(s: State, request: bytes) -> Work:
    the_request_is_not_parked(s, request)
    there_is_such_a_request(s, request)
    if s.get(b"pb/" + request) is None:
        raise membership.Disappeared(request)
    return Work(s, request)


@check("LC-PRE-19", 423)
def the_sender_is_the_requester(work: Work, sender: bytes) -> bool:
    return sender == work.requester


@check("LC-PRE-19", 424)
def the_request_waits(work: Work) -> bool:
    return work.request.state == WAITING


@check("LC-PRE-19", 425)
def the_wait_is_not_over(work: Work) -> bool:
    return work.s.clock < work.asked.posted + work.terms.wait


@check("LC-PRE-17", 407)
def the_owner_is_active(model: ModelWork) -> bool:
    account = model.s.account(model.owner)
    return account is not None and account.status == 0


@check("LC-PRE-17", 416)
def answers_are_odd_and_at_most_15(m: RequestTerms) -> bool:
    return 1 <= m.answers <= 15 and m.answers % 2 == 1


@check("LC-PRE-17", 416)
def as_many_agree_as_answer_at_most(m: RequestTerms) -> bool:
    return 1 <= m.agree <= m.answers


@check("LC-PRE-17", 416)
def rows_are_within_the_model_s(m: RequestTerms, most: int) -> bool:
    return 1 <= m.rows <= most


@check("LC-PRE-17", 416)
def a_tip_is_at_most_10_15(tip: int) -> bool:
    return tip <= 10**15


@check("LC-PRE-17", 416)
def a_wait_is_a_second_to_an_hour(wait: int) -> bool:
    return 1_000 <= wait <= 3_600_000


@check("LC-PRE-17", 417)
def an_input_has_a_name_and_a_possible_size(m: RequestTerms, most: int) -> bool:
    return is_cid(m.cid) and 1 <= m.size <= most


@check("LC-PRE-17", 417)
def inline_bytes_are_few(inline: bytes) -> bool:
    return len(inline) <= 2_048


@check("LC-PRE-17", 417)
def inline_bytes_are_those_of_the_name(m: RequestTerms) -> bool:
    return not m.inline or (len(m.inline) == m.size and m.cid == b"\x01\x55\x12\x20" + sha(m.inline))


@check("LC-PRE-17", 402)
def the_policy_is_one_of_the_model(s: State, m: RequestTerms) -> bool:
    found = [s.get(b"pp/" + policy) for policy in m.policy]
    return all(policy is not None and policy[5][1] == m.model for policy in found)


@check("LC-PRE-17", 418)
def the_tip_is_large_enough(tip: int, least: int) -> bool:
    return tip >= least


@check("LC-PRE-17", 419)
def the_charge_is_at_most_what_is_allowed(charge: int, most: int) -> bool:
    return charge <= most


@check("LC-PRE-17", 420)
def enough_serve_the_model(seats: int) -> bool:
    return seats > 0


@check("LC-PRE-17", 422)
def the_sender_has_not_too_many_waiting(waiting: int, most: int) -> bool:
    return waiting < most


QUEUE = register("LC-PRE-18: a full queue refuses what comes behind all others")


# --- RequestPrediction: LC-PRE-17, 18 -------------------------------------------------------------------------------------------


def queued(s: State, model: bytes) -> list[bytes]:
    prefix = b"pq/" + model
    return sorted(key for key in s.records if key.startswith(prefix))


def request_prediction(s: State, sender: bytes, *fields: Any) -> None:
    """LC-PRE-17"""
    m = RequestTerms(*fields)
    the_model_is_not_parked(s, m.model)
    there_is_such_a_model(s, m.model)
    if s.get(b"pm/" + m.model) is None:
        raise membership.Disappeared(m.model)
    model = ModelWork(s, m.model)
    the_model_is_live(model)
    the_owner_is_active(model)
    the_sender_is_active(s, sender)
    the_sender_stands(s, sender)
    answers_are_odd_and_at_most_15(m)
    as_many_agree_as_answer_at_most(m)
    rows_are_within_the_model_s(m, model.terms.max_rows)
    a_tip_is_at_most_10_15(m.tip)
    a_wait_is_a_second_to_an_hour(m.wait)
    an_input_has_a_name_and_a_possible_size(m, model.terms.input_cap)
    inline_bytes_are_few(m.inline)
    inline_bytes_are_those_of_the_name(m)
    the_policy_is_one_of_the_model(s, m)
    royalty, floor = model.price
    least = rules.least_tip(floor, m.answers, m.rows)
    the_tip_is_large_enough(m.tip, least)
    p = params(s)
    charge = rules.locked(m.tip, royalty, m.rows, rules.kept(p.row, m.rows, len(m.inline)))
    the_charge_is_at_most_what_is_allowed(charge, m.max_charge)
    able = model.pool(sender, s.clock, rules.least_stake(p.stake, floor))
    enough_serve_the_model(rules.seats(m.answers, m.agree, len(able)))
    the_sender_has_not_too_many_waiting((s.get(b"pw/" + m.model + sender) or [0])[0], p.waiting_own)
    rank = rules.place(s.clock, m.tip, least)
    last = _to_evict(model, rank, m.wait, p)
    what_is_locked_is_free(s, sender, charge)
    request = tagged("lc/request", s.tx, bytes([s.op]))
    lock(s, sender, request + b"pX", charge, "request.locked", request)
    drop_old_results(s)
    own, position = totals(s).requests, model.standing.positions
    s.put(b"pt/", totals(s)._replace(requests=own + 1))
    s.put(b"pn/" + number(own), [request])
    s.put(b"pz/" + request, [OF_REQUEST, own])
    s.put(b"py/" + request, [own])
    root = membership.root_of(s, sender)
    ordinal = _content_asked(s, m)
    asked = count(s, b"pu/" + m.model + root, 0, 1) + 1
    record = Asked(sender, root, own, position, s.clock, royalty, floor, p.row, ordinal, asked, [133, *fields])
    s.put(b"pr/" + request, record)
    until = s.clock + m.wait
    new = Request(WAITING, 0, until, 0, m.tip, rank, s.height, last is not None, 0, [], 0, 0, 0, 0, 0, b"", [], [], 0, 0)
    s.put(b"pb/" + request, new)
    s.put(b"pq/" + m.model + number(rank) + number(position), [request, until, s.height])
    model.add(positions=1, waiting=1, kept=1)
    count(s, b"pw/" + m.model + sender, 0, 1)
    for policy in m.policy:
        name_policy(s, policy, 1)
    schedule(s, sender, until, CONTRACT, request)
    s.noted("request.posted", request, m.model, sender, m.tip, until)
    if last is not None:
        evict(last, request)
    model.wake_pump()


def _content_asked(s: State, m: RequestTerms) -> int:
    """How often this input was asked of this model before, among those since one of them is kept."""
    key = b"pi/" + m.model + m.cid
    asked, kept = s.get(key) or [0, 0]
    s.put(key, [asked + 1, kept + 1])
    return int(asked)


def _to_evict(model: ModelWork, rank: int, wait: int, p: Params) -> Work | None:
    """LC-PRE-18"""
    if model.standing.waiting < p.waiting:
        return None
    last = queued(model.s, model.id)[-1]
    behind = int.from_bytes(last[35:43], "big") > rank
    if part(QUEUE) and (not behind or wait < EVICT_WAIT):
        raise Refused("the queue is full", 421)
    return Work(model.s, model.s.get(last)[0])


def evict(work: Work, by: bytes) -> None:
    work.noted("request.evicted", by)
    leave_queue(work)
    fail(work, EVICTED)


# --- AddTip, CancelRequest: LC-PRE-19 -------------------------------------------------------------------------------------------


@check("LC-PRE-19", 416)
def something_is_added(amount: int) -> bool:
    return amount >= 1


@check("LC-PRE-19", 416)
def the_whole_tip_is_at_most_10_15(tip: int) -> bool:
    return tip <= 10**15


def _waiting(s: State, sender: bytes, request: bytes) -> Work:
    work = load(s, request)
    the_sender_is_the_requester(work, sender)
    the_request_waits(work)
    the_wait_is_not_over(work)
    return work


def add_tip(s: State, sender: bytes, request: bytes, amount: int) -> None:
    """LC-PRE-19"""
    work = _waiting(s, sender, request)
    something_is_added(amount)
    tip = work.tip + amount
    the_whole_tip_is_at_most_10_15(tip)
    rows, royalty = work.terms.rows, work.asked.royalty
    more = rules.locked(tip, royalty, rows, work.kept) - rules.locked(work.tip, royalty, rows, work.kept)
    what_is_locked_is_free(s, sender, more)
    lock(s, sender, request + b"pX", more, "tip.locked", request)
    entry = s.get(work.queue_key)
    s.drop(work.queue_key)
    least = rules.least_tip(work.asked.floor, work.n, rows)
    work.set(tip=tip, rank=rules.place(work.asked.posted, tip, least), young_since=s.height)
    s.put(work.queue_key, [request, entry[1], s.height])
    work.noted("request.tip", tip)
    work.model.wake_pump()


def cancel_request(s: State, sender: bytes, request: bytes) -> None:
    """LC-PRE-19"""
    work = _waiting(s, sender, request)
    leave_queue(work)
    fail(work, CANCELLED)


def wait_is_over(work: Work) -> None:
    leave_queue(work)
    fail(work, EXPIRED)


# --- the pump: LC-PRE-11, 20 ----------------------------------------------------------------------------------------------------


def pump(s: State, model_id: bytes, at: int) -> None:
    model = ModelWork(s, model_id)
    if model.standing.pump != at:
        return
    model.set(pump=0)
    divide(model)
    if model.standing.state == RETIRED:
        _let_go(model)
        return
    again = _draw_some(model)
    if again and part(AGAIN):
        model.wake_pump()


def _let_go(model: ModelWork) -> None:
    """LC-PRE-11"""
    for key in queued(model.s, model.id)[:RETIRING]:
        work = Work(model.s, model.s.get(key)[0])
        leave_queue(work)
        fail(work, MODEL_RETIRED)
    idle = [account for account in model.servers if not (model.server(account) or Server(0, False, False, False, 1, 0, [])).unfinal]
    for account in idle[:RETIRING]:
        go(model, account)
    if len(idle) > RETIRING or model.standing.waiting:
        model.wake_pump()
    settle_retired(model)


def _draw_some(model: ModelWork) -> bool:
    """Whether it is due again."""
    s, done, again = model.s, 0, False
    d = judging.delay(len(s.validators))
    for key in queued(s, model.id):
        request, until, since = s.get(key)
        if s.clock >= until:
            continue
        if s.height < since + d and part(YOUNG):
            again = True
            continue
        if done == DRAWN:
            return True
        work = Work(s, request)
        pool = work.pool()
        c = rules.seats(work.n, work.terms.agree, len(pool))
        if not c:
            leave_queue(work)
            fail(work, NO_SERVERS)
        elif not _has_room(model, work, c, pool):
            break
        else:
            leave_queue(work)
            model.add(running=1)
            work.stop()
            work.set(wanted=c)
            begin_round(work, 1, pool, c)
        done += 1
    return again


def _has_room(model: ModelWork, work: Work, c: int, pool: list[bytes]) -> bool:
    now, stakes = model.standing, [model.stake_of(account) for account in pool]
    given = (c, len(pool), model.terms.slots, now.open_seats, now.unfinal_seats)
    return rules.has_room(*given, stakes, work.asked.floor)
