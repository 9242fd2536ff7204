"""Predictions, after `protocol_spec/predictions.md`: what their messages and deadlines do.

prediction_state   records          prediction_models   models, servers, policies    prediction_requests   postings, the pump
prediction_rounds  draws, answers   prediction_ends     outcomes, money, ends        prediction_appeals    appeals, verdicts
prediction_rules   the formulas
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance import membership
from tests.conformance import prediction_appeals as appeals
from tests.conformance import prediction_models as models
from tests.conformance import prediction_requests as requests
from tests.conformance import prediction_rounds as rounds
from tests.conformance.checks import part, register
from tests.conformance.judging import cd
from tests.conformance.ledger import State, cancel
from tests.conformance.prediction_ends import finish, give_back_request
from tests.conformance.prediction_state import (
    AGREED,
    ANSWER,
    APPEAL,
    ENDED,
    KEYS,
    LIVE,
    OPEN,
    REDRAW,
    WAITING,
    WEAK,
    ModelWork,
    Work,
)

THIRD = 3
ROWS: dict[int, Callable[[Work], None]] = {
    WAITING: requests.wait_is_over,
    KEYS: rounds.keys_are_missing,
    ANSWER: rounds.answers_are_due,
    REDRAW: rounds.draw_substitutes,
    OPEN: rounds.openings_are_due,
    APPEAL: appeals.draw_judges,
    AGREED: finish,
    WEAK: finish,
}
ROWS_OF_APPEAL: dict[int, Callable[[Work], None]] = {
    KEYS: appeals.keys_never_came,
    ANSWER: appeals.answers_are_due,
    OPEN: appeals.openings_are_due,
}
WORK = {129: 8, 131: 8, 133: 96, 135: 64, 136: 64, 138: 64, 139: 64}
ONCE = {136, 137, 138}
STALE = register("LC-PRE-45: a deadline that is not the present one")


def on_due(s: State, ref: bytes, at: int) -> None:
    """A model's pump, a policy's end, or what is due for a request."""
    if s.get(b"pm/" + ref) is not None:
        requests.pump(s, ref, at)
    elif s.get(b"pp/" + ref) is not None:
        models.policy_due(s, ref, at)
    elif s.get(b"pb/" + ref) is not None:
        _request_due(Work(s, ref), at)
    elif len(ref) == 20:
        models.go_through(s, ref)


def _request_due(work: Work, at: int) -> None:
    request = work.request
    drawing = request.state in (REDRAW, APPEAL)
    stale = request.deadline != at or request.state in ENDED or (drawing and work.s.height < request.draw_height)
    if stale and part(STALE):
        return
    work.set(deadline=0)
    rows = ROWS | ROWS_OF_APPEAL if request.round == THIRD else ROWS
    rows[request.state](work)


def give_back(s: State, ref: bytes) -> None:
    """LC-PRE-54"""
    if s.get(b"pb/" + ref) is not None:
        give_back_request(Work(s, ref))
    elif s.get(b"pm/" + ref) is not None:
        model = ModelWork(s, ref)
        cancel(s, model.owner, model.standing.pump, 4, ref)
        model.set(pump=0)
        models.retire(model, models.BY_GIVING_BACK)
        model.wake_pump()
    elif s.get(b"pp/" + ref) is not None:
        models.give_back_policy(s, ref)
    elif len(ref) == 20:
        models.go_through(s, ref)


def due_work(s: State, ref: bytes) -> int:
    """LC-BLK-31, without the 1"""
    if len(ref) == 20:
        return 2 * models.PAGE
    if s.get(b"ps/" + ref) is not None:
        return _pump_work(ModelWork(s, ref))
    return 0 if s.get(b"pb/" + ref) is None else _request_work(Work(s, ref))


def _pump_work(model: ModelWork) -> int:
    servers, waiting = len(model.servers), model.standing.waiting
    if model.standing.state != LIVE:
        return min(waiting, 64) + min(servers, 64) + 128
    return servers + cd(waiting, 16) + min(waiting, 16) * (15 + cd(servers, 16)) + len(model.terms.shares)


def _request_work(work: Work) -> int:
    request = work.request
    rounds = {one.round: len(one.seats) for one in work.rounds()}
    seats = sum(rounds.values())
    if request.state in (ANSWER, REDRAW):
        return seats + len(work.model.servers)
    if request.state == OPEN:
        judges = rounds.get(THIRD, 0)
        return seats + cd(request.wanted * work.terms.rows + judges * len(request.rows), 8)
    if request.state == APPEAL:
        flags = sum(key.startswith(b"m/") and work.s.get(key)[1] for key in work.s.records)
        return 63 + cd(flags, 16) + cd(request.wanted * work.terms.rows, 8)
    return seats


def work_of(message: list[Any]) -> int:
    """LC-BLK-25"""
    return WORK.get(message[0], 32)


def _of_request(handler: Callable[..., None]) -> Callable[..., None]:
    def handle(s: State, sender: bytes, request: bytes, *fields: Any) -> None:
        handler(requests.load(s, request), sender, *fields)

    return handle


HANDLERS: dict[int, Callable[..., None]] = {
    128: models.register_model,
    129: models.set_price,
    130: models.retire_model,
    131: models.serve,
    132: models.unserve,
    133: requests.request_prediction,
    134: requests.add_tip,
    135: requests.cancel_request,
    136: _of_request(rounds.give_keys),
    137: _of_request(rounds.commit_answer),
    138: _of_request(rounds.open_answer),
    139: _of_request(appeals.appeal_answer),
    140: models.register_policy,
}
membership.GIVE_BACK[4] = give_back
URGENT = {136, 137, 138, 139}
