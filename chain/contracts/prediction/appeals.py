"""AppealAnswer: who doubts an answer has verifiers give it again, against a bond. LC-PRE-36.

There is one appeal. The first half of its window is the requester's own: nobody forestalls it by an appeal that is bound to fail.
"""

from __future__ import annotations

from itertools import pairwise

from learningchain.chain.contracts.prediction import formulas, judging, pool, records
from learningchain.chain.contracts.prediction.formulas import NAMED_ROWS
from learningchain.chain.contracts.prediction.guards import request_of, require_active, require_state
from learningchain.chain.contracts.prediction.messages import AppealAnswer, PredictionCode
from learningchain.chain.contracts.prediction.records import ANSWERED, RequestState
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host


def appeal_answer(host: Host, sender: bytes, m: AppealAnswer) -> None:
    """LC-PRE-36: the first one alone: another one finds the request in another state."""
    request = request_of(host, m.request)
    require_state(request, ANSWERED, "an appeal")
    require_active(host, sender, "appeal")
    _check_appellant(request, sender)
    rows = request.terms.rows
    if len(m.rows) > NAMED_ROWS or any(row >= rows for row in m.rows) or any(a >= b for a, b in pairwise(m.rows)):
        text = f"an appeal names at most {NAMED_ROWS} different rows, ascending, below {rows}"
        raise Reject(PredictionCode.BAD_REQUEST, text)
    judges, least = pool.enough_judges(request, sender), judging.least_judges(request)
    if judges < least:
        text = f"{judges} verifiers that have no seat in it could judge this, {least} are needed to outweigh those who agree"
        raise Reject(PredictionCode.NO_COMMITTEE, text)
    bond = formulas.bond(judging.vote_fee(request), judges)
    host.lock(sender, records.bond_escrow(request.id), bond, "bond.appealed", request.id)
    request.change(appellant=sender, named=m.rows)
    request.ask_draw(RequestState.APPEAL)
    host.emit("request.appealed", request.id, sender, bond, request.record.draw_height)


def _check_appellant(request: RequestContext, sender: bytes) -> None:
    if sender == request.requester:
        return
    if request.is_private:
        raise Reject(PredictionCode.NOT_APPEALABLE, "a private request is appealed by its requester alone")
    opens = formulas.appeal_opens(request.record.answered, request.params.pred_appeal)
    if request.host.clock < opens:
        text = f"until {opens} of the chain clock its requester alone may appeal: appeal then"
        raise Reject(PredictionCode.NOT_APPEALABLE, text)
