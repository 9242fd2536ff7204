"""RequestPrediction, AddTip, CancelRequest: what a requester does with a request that waits. LC-PRE-17 to 19."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import ends, formulas, messages, policies, pool, queue, records, store
from learningchain.chain.contracts.prediction.formulas import EVICT_WAIT, MAX_ANSWERS, MAX_TIP, Amounts
from learningchain.chain.contracts.prediction.guards import (
    model_of,
    request_of,
    require_active,
    require_live,
    require_requester,
    require_standing,
    require_state,
)
from learningchain.chain.contracts.prediction.messages import AddTip, CancelRequest, PredictionCode, RequestPrediction
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    NUMBER,
    REQUESTS,
    AskedBy,
    AskedContent,
    LiveKind,
    NumberedRequest,
    OpenRequest,
    Queued,
    RequestState,
    RequestTerms,
    WaitingOf,
)
from learningchain.chain.contracts.prediction.store import ModelContext, RequestContext
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
from learningchain.chain.errors import Reject
from learningchain.chain.host import STANDING, Host
from learningchain.chain.host.deadlines import Deadline
from learningchain.chain.host.terms import is_cid
from learningchain.chain.types import format_credits


def request_prediction(host: Host, sender: bytes, m: RequestPrediction) -> None:
    """LC-PRE-17"""
    model = model_of(host, m.model)
    require_live(model)
    if not host.is_active(model.owner):
        raise Reject(PredictionCode.NOT_LIVE, "a case against the model's owner is open: nobody may ask it until that is closed")
    require_active(host, sender, "ask a model")
    require_standing(host, sender, "ask a model")
    _check_request(model, m)
    _check_input(model, m)
    for policy in m.policy:
        policies.require(host, policy, m.model)
    royalty, floor = model.price
    row = host.params_of(PredictionParams).pred_row
    amounts = Amounts(m.answers, m.rows, m.tip, royalty, floor, row, len(m.inline))
    _check_amounts(m, amounts)
    _check_servers(model, sender, m, floor)
    waiting = _one_more_waits(host, sender, m)
    rank = formulas.place(host.clock, m.tip, amounts.least_tip)
    evicted = _check_room(model, m, rank)
    request = RequestContext(host, messages.request_id_of(host.tx_id, host.op_index))
    host.lock(sender, records.charge_escrow(request.id), amounts.locked, "request.locked", request.id)
    ends.drop_results(host)
    _put(request, sender, m, amounts, rank, waiting)
    if evicted is not None:
        request.change(evictor=True)
        host.emit("request.evicted", evicted.id, request.id)
        ends.leave_queue(evicted, PredictionOutcome.EVICTED)
    model.wake()


def _put(request: RequestContext, sender: bytes, m: RequestPrediction, amounts: Amounts, rank: int, waiting: int) -> None:
    host, model = request.host, ModelContext(request.host, m.model)
    number, position, until = store.totals(host).requests, model.standing.positions, host.clock + m.wait
    store.count(host, requests=REQUESTS.append(host, number, NumberedRequest(request.id)))
    root = host.service(STANDING).root_of(sender)
    ordinal, asked = _count(host, m, root)
    posting = RequestTerms(
        requester=sender,
        root=root,
        number=number,
        position=position,
        posted=host.clock,
        royalty=amounts.p,
        floor=amounts.w,
        row=amounts.row,
        ordinal=ordinal,
        asked=asked,
        terms=m,
    )
    host.put(records.terms_key(request.id), posting)
    host.put(records.request_key(request.id), records.new_request(m, rank, until, host.height))
    host.put(records.waiting_key(m.model, sender), WaitingOf(waiting))
    store.put_live(host, request.id, LiveKind.REQUEST, number)
    host.put(records.open_key(request.id), OpenRequest(number))
    now = model.standing
    model.change(positions=position + 1, waiting=now.waiting + 1, kept=now.kept + 1)
    queue.enter(request)
    Deadline(host, NUMBER, request.id, sender).set(0, until)
    for policy in m.policy:
        policies.hold(host, policy)
    host.emit("request.posted", request.id, m.model, sender, m.tip, until)


def _count(host: Host, m: RequestPrediction, root: bytes) -> tuple[int, int]:
    """LC-PRE-44: the ordinal of this content, and how often the root asked this model, this time included."""
    key = records.content_key(m.model, m.cid)
    content = host.get(key, AskedContent) or AskedContent(0, 0)
    host.put(key, AskedContent(content.asked + 1, content.kept + 1))
    key = records.asker_key(m.model, root)
    asked = (host.get(key, AskedBy) or AskedBy(0)).kept + 1
    host.put(key, AskedBy(asked))
    return content.asked, asked


# --- refusals ------------------------------------------------------------------------------------------------------------------


def _check_request(model: ModelContext, m: RequestPrediction) -> None:
    bounds = {
        "rows": (1, model.record.terms.max_rows),
        "answers": (1, MAX_ANSWERS),
        "agree": (1, m.answers),
        "tip": (0, MAX_TIP),
        "wait": (messages.MIN_WAIT, messages.MAX_WAIT),
    }
    for name, (low, high) in bounds.items():
        value = getattr(m, name)
        if not low <= value <= high:
            raise Reject(PredictionCode.BAD_REQUEST, f"{name} is {value}, it may be {low} to {high}")
    if m.answers % 2 == 0:
        raise Reject(PredictionCode.BAD_REQUEST, f"an odd number of answers is asked for, not {m.answers}")


def _check_input(model: ModelContext, m: RequestPrediction) -> None:
    cap = model.record.terms.input_cap
    if not is_cid(m.cid):
        raise Reject(PredictionCode.BAD_DATA_POINT, "the input is named by a CIDv1 with sha2-256")
    if not 1 <= m.size <= cap:
        raise Reject(PredictionCode.BAD_DATA_POINT, f"the input has {m.size} bytes, this model takes 1 to {cap}")
    if not m.inline:
        return
    if len(m.inline) > messages.MAX_INLINE:
        text = f"{len(m.inline)} bytes are inline, {messages.MAX_INLINE} may be: give others by their CID"
        raise Reject(PredictionCode.BAD_DATA_POINT, text)
    if len(m.inline) != m.size or messages.inline_cid(m.inline) != m.cid:
        raise Reject(PredictionCode.BAD_DATA_POINT, "the inline bytes are not those of size and CID")


def _check_amounts(m: RequestPrediction, amounts: Amounts) -> None:
    if m.tip < amounts.least_tip:
        text = f"the floor is {amounts.w} micro-credits a row and answer: a tip is at least {format_credits(amounts.least_tip)}"
        raise Reject(PredictionCode.TIP_TOO_SMALL, f"{text} credits, not {format_credits(m.tip)}")
    if amounts.locked > m.max_charge:
        text = f"{format_credits(amounts.locked)} credits would be locked, at most {format_credits(m.max_charge)} are allowed"
        raise Reject(PredictionCode.CHARGE_TOO_HIGH, text)


def _check_servers(model: ModelContext, sender: bytes, m: RequestPrediction, floor: int) -> None:
    """LC-PRE-16, 17: it looks at no more servers than it needs."""
    host = model.host
    least = formulas.least_stake(host.params_of(PredictionParams).pred_stake, floor)
    found = pool.pool(pool.candidates(model), model.owner, pool.ServerDemand(sender, host.clock, least), m.answers)
    if not formulas.seats(m.answers, m.agree, len(found)):
        wanted = 1 if m.answers == 1 else max(3, m.agree)
        could = f"{len(found)} servers" if found else "nobody serves it who"
        text = f"{could} could answer, {m.answers} answers of which {m.agree} agree take {wanted} servers at least"
        raise Reject(PredictionCode.NO_SERVERS, text)


def _one_more_waits(host: Host, sender: bytes, m: RequestPrediction) -> int:
    """How many of the sender's wait for this model then."""
    known = host.get(records.waiting_key(m.model, sender), WaitingOf) or WaitingOf(0)
    most = host.params_of(PredictionParams).pred_waiting_own
    if known.waiting >= most:
        raise Reject(PredictionCode.TOO_MANY_WAITING, f"{known.waiting} of your requests wait for this model, {most} may")
    return known.waiting + 1


def _check_room(model: ModelContext, m: RequestPrediction, rank: int) -> RequestContext | None:
    """LC-PRE-18: whom it evicts from a full queue."""
    host = model.host
    if model.standing.waiting < host.params_of(PredictionParams).pred_waiting:
        return None
    key = queue.last(host.store, model.id)
    queued = host.get(key, Queued) if key is not None else None
    last = RequestContext(host, store.must(queued, "last request", model.id).request)
    if m.wait < EVICT_WAIT or last.record.rank <= rank:
        text = f"{model.standing.waiting} requests wait, and none of them goes after one with this tip and a wait of {m.wait} ms"
        raise Reject(PredictionCode.QUEUE_FULL, text)
    return last


# --- while it waits ------------------------------------------------------------------------------------------------------------


def _waiting(host: Host, sender: bytes, request: bytes, what: str) -> RequestContext:
    found = request_of(host, request)
    require_requester(found, sender)
    require_state(found, (RequestState.WAITING,), what)
    return found


def add_tip(host: Host, sender: bytes, m: AddTip) -> None:
    """LC-PRE-19: a better place, by its old time; its d blocks begin again."""
    request = _waiting(host, sender, m.request, "a higher tip")
    now, posting, before = request.record, request.posting, request.amounts
    if m.amount < 1 or now.tip + m.amount > MAX_TIP:
        raise Reject(PredictionCode.BAD_REQUEST, f"a tip grows by 1 micro-credit at least, to {MAX_TIP} at most")
    after = before._replace(tip=now.tip + m.amount)
    host.lock(sender, records.charge_escrow(request.id), after.locked - before.locked, "tip.locked", request.id)
    host.delete(records.queue_key(posting.terms.model, now.rank, posting.position))
    rank = formulas.place(posting.posted, after.tip, after.least_tip)
    request.change(tip=after.tip, rank=rank, young_since=host.height)
    queue.enter(request)
    host.emit("request.tip", request.id, after.tip)
    request.model.wake()


def cancel_request(host: Host, sender: bytes, m: CancelRequest) -> None:
    """LC-PRE-19: b burns: otherwise high tips could evict others for nothing."""
    ends.leave_queue(_waiting(host, sender, m.request, "a cancellation"), PredictionOutcome.CANCELLED)
