"""The queue of a model, and the pump that draws its seats. LC-PRE-4, 18, 20, 21.

A queue is sorted by its keys: v, then the order of posting. AddTip alone moves anything, and nothing posted 60 s later goes first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any, ClassVar

from learningchain.chain.contracts.prediction import ends, formulas, pool, records, retiring, seating
from learningchain.chain.contracts.prediction.records import QUEUE, Queued, RequestState
from learningchain.chain.contracts.prediction.store import ModelContext, RequestContext, draw_delay
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
from learningchain.chain.host import Indexed

_MODEL = slice(len(QUEUE), len(QUEUE) + 32)


class Order:
    """The keys under `pq/`, by model: who is last is asked where a queue is full."""

    prefix: ClassVar[bytes] = QUEUE

    def __init__(self) -> None:
        self.of: dict[bytes, list[bytes]] = {}

    def put(self, key: bytes, record: Any | None) -> None:
        keys = self.of.setdefault(key[_MODEL], [])
        at = bisect_left(keys, key)
        stands = at < len(keys) and keys[at] == key
        if record is not None and not stands:
            insort(keys, key)
        elif record is None and stands:
            del keys[at]
        if not keys:
            del self.of[key[_MODEL]]


def last(reader: Indexed, model: bytes) -> bytes | None:
    """The key of the request that would go last."""
    layers = reader.index(Order)
    before = (key for key in reversed(layers.base.of.get(model, ())) if key not in layers.touched)
    found = [*layers.new.of.get(model, ())[-1:], *(key for key, _ in zip(before, range(1), strict=False))]
    return max(found, default=None)


def enter(request: RequestContext) -> None:
    """In its place."""
    now, posting = request.record, request.posting
    key = records.queue_key(posting.terms.model, now.rank, posting.position)
    request.host.put(key, Queued(request.id, posting.posted + posting.terms.wait, now.young_since))


# --- the pump ------------------------------------------------------------------------------------------------------------------


def pump(model: ModelContext) -> None:
    """LC-PRE-14, 20: royalties are shared; then seats are drawn, in order, as far as they are free."""
    host = model.host
    model.change(pump=0)
    retiring.share_royalty(model)
    if not model.is_live:
        _fail_some(model)
        return
    delay, again, taken = draw_delay(host), False, 0
    among = list(pool.candidates(model))
    for _, queued in list(host.store.scan(QUEUE + model.id, model.standing.waiting)):
        if host.clock >= queued.until:
            continue
        if host.height - queued.young_since < delay:
            again = True
            continue
        if taken == formulas.PUMP:
            again = True
            break
        if not _take(RequestContext(host, queued.request), among):
            break
        taken += 1
    if again:
        model.wake()


def _take(request: RequestContext, among: list[pool.ReadyServer]) -> bool:
    """Draw its seats, or fail it; False where it has to wait for seats."""
    model, terms, floor = request.model, request.terms, request.posting.floor
    found = pool.pool(among, model.owner, pool.asked_of(request))
    c = formulas.seats(terms.answers, terms.agree, len(found))
    if not c:
        ends.leave_queue(request, PredictionOutcome.NO_SERVERS)
        return True
    now, slots = model.standing, model.record.terms.slots
    if now.open_seats + c > formulas.open_seats(slots, len(found), c):
        return False
    if now.unfinal_seats + c > formulas.covered_seats([one.stake for one in found], floor, c):
        return False
    ends.leave_waiting(request)
    model.change(running=model.standing.running + 1)
    request.stop()
    request.change(wanted=c)
    seating.seat(request, 1, pool.draw(request, 1, [one.account for one in found], c), len(found))
    return True


def _fail_some(model: ModelContext) -> None:
    """LC-PRE-11: of a retired model a page of its requests, then of its servers."""
    host = model.host
    waiting = list(host.store.scan(QUEUE + model.id, formulas.PUMP_RETIRED))
    for _, queued in waiting:
        request = RequestContext(host, queued.request)
        if request.record.state == RequestState.WAITING:
            ends.leave_queue(request, PredictionOutcome.MODEL_RETIRED)
    more = retiring.let_servers_go(model)
    if more or model.standing.waiting:
        model.wake()
    retiring.close(model)
