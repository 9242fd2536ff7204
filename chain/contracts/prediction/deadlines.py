"""What comes with the time: a model's pump, the windows of a request, the end of a policy, the pages of a ban. LC-PRE-20 to 24, 45.

The table `ROWS` is the machine of a request: what its deadline does in each state.
"""

from __future__ import annotations

from collections.abc import Callable

from learningchain.chain.contracts.prediction import ends, judging, policies, queue, records, retiring, rounds, store
from learningchain.chain.contracts.prediction.formulas import APPEAL_SEATS, MAX_ANSWERS, PUMP, PUMP_RETIRED
from learningchain.chain.contracts.prediction.messages import MAX_SHARES
from learningchain.chain.contracts.prediction.records import (
    ModelRecord,
    ModelStanding,
    ModelState,
    PolicyRecord,
    RequestRecord,
    RequestState,
    RequestTerms,
)
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import DueReader, Host
from learningchain.chain.verification.scale import ceil_div


def expire(request: RequestContext) -> None:
    ends.leave_queue(request, PredictionOutcome.EXPIRED)


ROWS: dict[int, Callable[[RequestContext], None]] = {
    RequestState.WAITING: expire,
    RequestState.KEYS: rounds.keys_missing,
    RequestState.ANSWER: rounds.answers_end,
    RequestState.REDRAW: rounds.substitutes,
    RequestState.OPEN: rounds.openings_end,
    RequestState.APPEAL: judging.draw_judges,
    RequestState.AGREED: ends.finish,
    RequestState.WEAK: ends.finish,
}
DRAWS = (RequestState.REDRAW, RequestState.APPEAL)


def on_due(host: Host, ref: bytes, at: int) -> None:
    """A deadline has come. A stale one changes nothing."""
    if len(ref) == 20:
        retiring.go_through(host, ref)
        return
    request = store.load_request(host, ref)
    if request is not None:
        now = request.record
        if now.deadline == at and not (now.state in DRAWS and host.height < now.draw_height):
            request.change(deadline=0)
            ROWS[now.state](request)
        return
    model = store.load_model(host, ref)
    if model is not None:
        if model.standing.pump == at:
            queue.pump(model)
        return
    policy = host.get(records.policy_key(ref), PolicyRecord)
    if policy is not None and policy.due == at:
        policies.drop(host, ref, policy)


def give_back(host: Host, ref: bytes) -> None:
    """LC-PRE-54: the validators end what was parked, or a restart what cannot go on beside another chain's blocks."""
    request, model = store.load_request(host, ref), store.load_model(host, ref)
    policy = host.get(records.policy_key(ref), PolicyRecord)
    if request is not None:
        ends.give_back(request)
    elif model is not None:
        retiring.give_back(model)
    elif policy is not None:
        policies.give_back(host, ref, policy)
    elif len(ref) == 20:
        retiring.go_through(host, ref)
    else:
        raise BrokenInvariant(f"{ref.hex()} has no records")


# --- weights (LC-BLK-31) ---------------------------------------------------------------------------------------------------------

COMPARED_AT_ONCE = 8
"""Scores of a tally that are compared in the time of one record: fifteen answers of 256 rows take 17 ms, five of one row 20 us."""
TICKETS_AT_ONCE = 16
"""Hashes of a draw, and queued requests that a pump passes over, in that time."""


def due_work(reader: DueReader, ref: bytes) -> int:
    """LC-PRE-53: the records that the next deadline goes through.

    A pump looks at every server, share and what waits, and seats 16 requests at most; an answer's end and a redraw look for
    substitutes; a tally compares the scores of its seats row by row, and an appeal's those of two tallies; a draw of judges looks
    at everybody who has the flag. Every end goes through the seats.
    """
    if len(ref) == 20:
        return 2 * retiring.BANNED_PAGE
    standing = reader.get(records.standing_key(ref))
    if isinstance(standing, ModelStanding):
        return _pump_work(reader, ref, standing)
    record, posting = reader.get(records.request_key(ref)), reader.get(records.terms_key(ref))
    if not isinstance(record, RequestRecord) or not isinstance(posting, RequestTerms):
        return 0
    seats = sum(len(drawn.seats) for drawn in record.rounds)
    if record.state in (RequestState.ANSWER, RequestState.REDRAW):
        return seats + _servers(reader, posting.terms.model)
    if record.state == RequestState.OPEN:
        return seats + _tally_work(record, posting)
    if record.state == RequestState.APPEAL:
        return APPEAL_SEATS + ceil_div(reader.flagged(), TICKETS_AT_ONCE) + _tally_work(record, posting)
    return seats


def _servers(reader: DueReader, model: bytes) -> int:
    return len(records.servers_of(reader, model, 0, records.MOST_SERVERS))


def _pump_work(reader: DueReader, model: bytes, standing: ModelStanding) -> int:
    servers = _servers(reader, model)
    if standing.state != ModelState.LIVE:
        return min(standing.waiting, PUMP_RETIRED) + min(servers, PUMP_RETIRED) + MAX_SHARES
    drawn = min(standing.waiting, PUMP)
    each = MAX_ANSWERS + ceil_div(servers, TICKETS_AT_ONCE)
    found = reader.get(records.model_key(model))
    shares = len(found.terms.shares) if isinstance(found, ModelRecord) else 0
    return servers + ceil_div(standing.waiting, TICKETS_AT_ONCE) + drawn * each + shares


def _tally_work(record: RequestRecord, posting: RequestTerms) -> int:
    """No more answers are opened than seats were wanted; an appeal looks at those again."""
    judges = sum(len(drawn.seats) for drawn in record.rounds if drawn.round == 3)
    return ceil_div(record.wanted * posting.terms.rows + judges * len(record.rows), COMPARED_AT_ONCE)
