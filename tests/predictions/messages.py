"""Each message: refused by the first reason that applies, or carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import ends, formulas, machine, pool
from .events import Evicted
from .graph import Graph
from .records import (
    ANSWER,
    APPEALED,
    BOND,
    CHARGE,
    DEPOSIT,
    KEYS,
    LIVE,
    OPEN,
    POLICY,
    WAITING,
    Model,
    Policy,
    Request,
    Seat,
    Server,
)
from .scenario import (
    BAD_INPUT,
    CLASS,
    CODES,
    HOUR,
    MAX_CHECK,
    MAX_SCORE,
    MAX_TIP,
    NUMBER,
    OK,
    SECOND,
    AddTip,
    Answer,
    Appeal,
    Ask,
    Ban,
    Cancel,
    CommitAnswer,
    Entry,
    GiveKeys,
    ModelTerms,
    OpenAnswer,
    RegisterModel,
    RegisterPolicy,
    RetireModel,
    Serve,
    SetBox,
    SetFlag,
    SetPrice,
    SetValidators,
    Strike,
    Suspend,
    Unserve,
)
from .tally import AGREED, WEAK


class Refused(Exception):
    """Why a message does nothing."""


def check(holds: object, why: str) -> None:
    if not holds:
        raise Refused(why)


def apply(graph: Graph, entry: Entry) -> str | None:
    """Carry it out; why not, where it is refused."""
    try:
        if graph.accounts[entry.sender].banned:
            raise Refused("BANNED")
        HANDLERS[type(entry.message)](graph, entry.sender, entry.message)
    except Refused as refused:
        return str(refused)
    return None


# --- models ---------------------------------------------------------------------------------------------------------------------


def sane(terms: ModelTerms) -> bool:
    return (
        terms.kind in (CLASS, NUMBER)
        and (2 <= terms.classes <= 65_536 if terms.kind == CLASS else terms.classes == 0)
        and 1 <= terms.tol <= 10**15
        and 0 <= terms.p <= 10**12
        and 1 <= terms.w <= 10**12
        and 1 <= terms.slots <= 64
        and 1 <= terms.max_rows <= 256
        and 1 <= terms.input_cap <= 8 * 2**20
        and 1 <= terms.row_ms <= 60_000
        and 1 <= terms.start_s <= 600
        and terms.size >= 1
        and len(terms.shares) <= 128
        and all(1 <= weight < 2**32 for _, weight in terms.shares)
    )


def register_model(graph: Graph, sender: bytes, message: RegisterModel) -> None:
    terms, account = message.terms, graph.accounts[sender]
    check(graph.active(sender), "NOT_ACTIVE")
    check(graph.stands(sender), "TOO_MANY_STRIKES")
    check(sane(terms), "BAD_MODEL_TERMS")
    check(1 <= len(terms.name) <= 64 and set(terms.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-"), "BAD_NAME")
    if message.previous is not None:
        check(message.previous in graph.models, "NO_SUCH_MODEL")
        check(graph.models[message.previous].owner == sender, "NOT_OWNER")
    check(message.source is None or graph.paid.get(message.source) == sender, "BAD_SOURCE")
    check(account.models < graph.params.models, "TOO_MANY_MODELS")
    check(graph.money.balance[sender] >= graph.params.deposit, "INSUFFICIENT")
    graph.money.lock(sender, message.model, DEPOSIT, graph.params.deposit)
    graph.models[message.model] = Model(message.model, sender, terms, (terms.p, terms.w))
    graph.names[sender, terms.name] = message.model
    account.models += 1
    graph.reach("registered")
    if message.previous is not None:
        graph.reach("previous")
    if message.source is not None:
        graph.reach("source")


def live_of_owner(graph: Graph, sender: bytes, ref: bytes) -> Model:
    check(ref in graph.models, "NO_SUCH_MODEL")
    model = graph.models[ref]
    check(model.owner == sender, "NOT_OWNER")
    check(model.state == LIVE, "NOT_LIVE")
    return model


def set_price(graph: Graph, sender: bytes, message: SetPrice) -> None:
    model = live_of_owner(graph, sender, message.model)
    settle_price(graph, model)
    check(message.expected == model.set_price(), "PRICE_CHANGED")
    p, w = message.price
    check(0 <= p <= 10**12 and 1 <= w <= 10**12, "BAD_MODEL_TERMS")
    if w > model.price[1]:
        graph.reach("price.later")
        model.coming, model.coming_at = message.price, graph.clock + formulas.PRICE_DELAY
    else:
        graph.reach("price.now")
        model.price, model.coming = message.price, None


def settle_price(graph: Graph, model: Model) -> None:
    """A price whose hour has come is in force."""
    if model.coming is not None and graph.clock >= model.coming_at:
        model.price, model.coming = model.coming, None


def retire_model(graph: Graph, sender: bytes, message: RetireModel) -> None:
    model = live_of_owner(graph, sender, message.model)
    graph.reach("retired.owner")
    ends.retire(graph, model, burn=False)


def serve(graph: Graph, sender: bytes, message: Serve) -> None:
    check(message.model in graph.models, "NO_SUCH_MODEL")
    model, account = graph.models[message.model], graph.accounts[sender]
    check(model.state == LIVE, "NOT_LIVE")
    check(graph.active(sender), "NOT_ACTIVE")
    check(account.flag_since is not None, "NOT_A_VERIFIER")
    check(graph.stands(sender), "TOO_MANY_STRIKES")
    check(account.box, "NO_BOX_KEY")
    server = model.servers.get(sender)
    check(server is None or not server.leaving, "NOT_SERVING")
    check(server is not None or len(model.servers) < graph.params.servers, "SERVERS_FULL")
    settle_price(graph, model)
    least = formulas.least_stake(graph.params, model.highest_w())
    check(message.amount >= 0 and graph.stake(model, sender) + message.amount >= least, "STAKE_TOO_SMALL")
    check(graph.money.balance[sender] >= message.amount, "INSUFFICIENT")
    graph.money.lock(sender, model.id, sender, message.amount)
    if server is None:
        model.servers[sender] = come(graph, model, sender)
    elif server.out or not server.awake:
        graph.reach("serve.again")
        server.since, server.awake, server.out = max(server.since, graph.clock), True, False
        ends.seat_ended(server, False)


def come(graph: Graph, model: Model, sender: bytes) -> Server:
    """Who left and is back has what was bad of it."""
    before = model.left.pop(sender, None)
    if before is None:
        return Server(sender, graph.clock)
    graph.reach("serve.back")
    ends.seat_ended(before, False)
    return Server(sender, max(before.since, graph.clock), silent=before.silent, record=before.record)


def unserve(graph: Graph, sender: bytes, message: Unserve) -> None:
    check(message.model in graph.models, "NO_SUCH_MODEL")
    model = graph.models[message.model]
    server = model.servers.get(sender)
    if server is None or server.leaving:
        raise Refused("NOT_SERVING")
    graph.reach("unserve.pinned" if server.pins else "unserve")
    server.leaving = True
    ends.let_go(graph, model, server)


# --- requests -------------------------------------------------------------------------------------------------------------------


def ask(graph: Graph, sender: bytes, message: Ask) -> None:
    check(message.model in graph.models, "NO_SUCH_MODEL")
    model = graph.models[message.model]
    settle_price(graph, model)
    p, w = model.price
    check(model.state == LIVE and graph.active(model.owner), "NOT_LIVE")
    check(graph.active(sender), "NOT_ACTIVE")
    check(graph.stands(sender), "TOO_MANY_STRIKES")
    check_bounds(model, message)
    if message.policy is not None:
        policy = graph.policies.get(message.policy)
        check(policy is not None and policy.terms.model == model.id, "NO_SUCH_POLICY")
    check(message.tip >= formulas.least_tip(w, message.n, message.rows), "TIP_TOO_SMALL")
    royalty = p * message.rows
    charge = formulas.charge(message.tip, royalty, formulas.kept_fee(graph.params.row, message.rows, message.carried))
    check(charge <= message.max_charge, "CHARGE_TOO_HIGH")
    among = pool.pool(graph, model.id, sender, graph.clock, w)
    check(formulas.seats(message.n, message.m, len(among)), "NO_SERVERS")
    own = sum(1 for one in model.waiting.values() if one.requester == sender)
    check(own < graph.params.waiting_own, "TOO_MANY_WAITING")
    request = new_request(graph, sender, model, message, (p, w))
    last = last_waiting(graph, model, request)
    check(graph.money.balance[sender] >= charge, "INSUFFICIENT")
    graph.money.lock(sender, request.id, CHARGE, charge)
    ends.drop_results(graph)
    add_request(graph, model, request)
    if last is not None:
        graph.reach("evicted")
        request.evictor = True
        graph.tell(Evicted(last.id, request.id))
        ends.leave_queue(graph, last, "EVICTED")


def check_bounds(model: Model, message: Ask) -> None:
    check(
        1 <= message.rows <= model.terms.max_rows
        and 1 <= message.n <= 15
        and message.n % 2 == 1
        and 1 <= message.m <= message.n
        and 0 <= message.tip <= MAX_TIP
        and SECOND <= message.wait <= HOUR,
        "BAD_REQUEST",
    )
    check(1 <= message.size <= model.terms.input_cap and message.inline is not False, "BAD_DATA_POINT")
    check(message.inline is None or message.size <= 2_048, "BAD_DATA_POINT")


def new_request(graph: Graph, sender: bytes, model: Model, message: Ask, price: tuple[int, int]) -> Request:
    root = graph.accounts[sender].root
    return Request(
        message.request,
        model,
        sender,
        root,
        message,
        price[0],
        price[1],
        graph.params.row,
        message.tip,
        graph.clock,
        graph.height,
        graph.height,
        model.positions,
        model.ordinals.get(message.cid, (0, 0))[0],
        model.askers.get(root, 0) + 1,
        deadline=graph.clock + message.wait,
    )


def last_waiting(graph: Graph, model: Model, request: Request) -> Request | None:
    """Whom it would evict from a full queue."""
    if len(model.waiting) < graph.params.waiting:
        return None
    last = max(model.waiting.values(), key=machine.order)
    fits = machine.order(last)[0] > machine.order(request)[0] and request.terms.wait >= formulas.EVICT_WAIT
    if not fits:
        graph.reach("queue.full")
    check(fits, "QUEUE_FULL")
    return last


def add_request(graph: Graph, model: Model, request: Request) -> None:
    message = request.terms
    model.positions += 1
    model.kept += 1
    following, kept = model.ordinals.get(message.cid, (0, 0))
    request.ordinal, request.asked = following, model.askers.get(request.root, 0) + 1
    model.ordinals[message.cid] = (following + 1, kept + 1)
    model.askers[request.root] = request.asked
    model.waiting[request.id] = graph.requests[request.id] = graph.live[request.id] = request
    ends.wake(graph, model)
    graph.reach("asked.private" if message.private else "asked")
    if message.policy is not None:
        graph.reach("asked.policy")
        graph.policies[message.policy].live += 1


def waiting_of(graph: Graph, sender: bytes, ref: bytes) -> Request:
    check(ref in graph.requests, "NO_SUCH_REQUEST")
    request = graph.requests[ref]
    check(request.requester == sender, "NOT_REQUESTER")
    check(request.state == WAITING, "WRONG_STATE")
    check(graph.clock < request.deadline, "TOO_LATE")
    return request


def add_tip(graph: Graph, sender: bytes, message: AddTip) -> None:
    request = waiting_of(graph, sender, message.request)
    check(message.amount >= 1 and request.tip + message.amount <= MAX_TIP, "BAD_REQUEST")
    royalty = request.p * request.terms.rows
    more = formulas.charge(request.tip + message.amount, royalty, request.kept)
    more -= formulas.charge(request.tip, royalty, request.kept)
    check(graph.money.balance[sender] >= more, "INSUFFICIENT")
    graph.reach("tip")
    graph.money.lock(sender, request.id, CHARGE, more)
    request.tip += message.amount
    request.young_since = graph.height
    ends.wake(graph, request.model)


def cancel(graph: Graph, sender: bytes, message: Cancel) -> None:
    request = waiting_of(graph, sender, message.request)
    graph.reach("cancelled")
    ends.leave_queue(graph, request, "CANCELLED")


def in_state(graph: Graph, ref: bytes, state: str, r: int) -> Request:
    check(ref in graph.requests, "NO_SUCH_REQUEST")
    request = graph.requests[ref]
    check(request.state == state, "WRONG_STATE")
    check(graph.clock < request.deadline, "TOO_LATE")
    check(request.r == r or (state == OPEN and r in (1, 2) and request.r in (1, 2)), "WRONG_ROUND")
    return request


def give_keys(graph: Graph, sender: bytes, message: GiveKeys) -> None:
    request = in_state(graph, message.request, KEYS, message.r)
    check(sender == (request.appellant if request.r == 3 else request.requester), "NOT_REQUESTER")
    check(message.boxes == len(request.of_round(request.r)), "BAD_KEYS")
    graph.reach({1: "keys.given", 2: "keys.second", 3: "keys.appeal"}[request.r])
    machine.enter_answer(graph, request)


def seat_of(request: Request, sender: bytes, r: int) -> Seat:
    seat = request.seat(sender, r)
    if seat is None:
        raise Refused("NOT_SEATED")
    return seat


def commit_answer(graph: Graph, sender: bytes, message: CommitAnswer) -> None:
    request = in_state(graph, message.request, ANSWER, message.r)
    seat = seat_of(request, sender, message.r)
    check(seat.committed is None, "ALREADY_COMMITTED")
    seat.committed, seat.position = message.answer, request.commits
    request.commits += 1
    if all(one.committed is not None for one in request.of_round(request.r)):
        graph.reach("commits.all")
        request.deadline = graph.clock


def open_answer(graph: Graph, sender: bytes, message: OpenAnswer) -> None:
    request = in_state(graph, message.request, OPEN, message.r)
    seat = seat_of(request, sender, message.r)
    check(seat.committed is not None, "NOT_COMMITTED")
    check(seat.opened is None, "ALREADY_OPENED")
    check(message.answer == seat.committed, "ANSWER_MISMATCH")
    rows = len(request.rows) if request.r == 3 else request.terms.rows
    check(well_formed(request.model.terms, rows, message.answer), "BAD_ANSWER")
    seat.opened = message.answer
    sealed = [one for one in request.seats if (one.r == 3) == (request.r == 3) and one.committed is not None]
    if all(one.opened is not None for one in sealed):
        request.deadline = graph.clock


def well_formed(terms: ModelTerms, rows: int, answer: Answer) -> bool:
    if answer.code != OK:
        named = rows if answer.code == BAD_INPUT else 0
        return answer.code in CODES and not answer.scores and not answer.classes and 0 <= answer.check <= named
    classes = rows if terms.kind == CLASS else 0
    return (
        len(answer.scores) == rows
        and len(answer.classes) == classes
        and all(0 <= one < terms.classes for one in answer.classes)
        and all(abs(score) <= MAX_SCORE for score in answer.scores)
        and abs(answer.check) <= MAX_CHECK
    )


def appeal(graph: Graph, sender: bytes, message: Appeal) -> None:
    check(message.request in graph.requests, "NO_SUCH_REQUEST")
    request = graph.requests[message.request]
    check(request.state in (AGREED, WEAK), "WRONG_STATE")
    check(graph.clock < request.deadline, "TOO_LATE")
    check(graph.active(sender), "NOT_ACTIVE")
    check(not request.terms.private or sender == request.requester, "NOT_APPEALABLE")
    check(sender == request.requester or graph.clock >= formulas.appeal_opens(graph.params, request.answered_at), "NOT_APPEALABLE")
    rows = message.rows
    fits = len(rows) <= formulas.NAMED_ROWS and list(rows) == sorted(set(rows)) and all(0 <= r < request.terms.rows for r in rows)
    check(fits, "BAD_REQUEST")
    among = pool.judges(graph, request, sender)
    check(len(among) >= pool.least_judges(request), "NO_COMMITTEE")
    bond = formulas.vote_fee(graph.params, request.w, request.terms.rows) * min(formulas.APPEAL_SEATS, len(among))
    check(graph.money.balance[sender] >= bond, "INSUFFICIENT")
    graph.reach("appealed")
    graph.money.lock(sender, request.id, BOND, bond)
    request.appellant, request.named = sender, rows
    machine.enter(graph, request, APPEALED, 0)
    request.draw_height = graph.height + graph.delay()


def register_policy(graph: Graph, sender: bytes, message: RegisterPolicy) -> None:
    check(message.model in graph.models, "NO_SUCH_MODEL")
    check(graph.active(sender), "NOT_ACTIVE")
    starts = [start for start, _ in message.rates]
    check(
        graph.models[message.model].terms.kind == NUMBER
        and 1 <= len(starts) <= 32
        and starts == sorted(set(starts))
        and starts[0] == -MAX_SCORE
        and abs(message.threshold) <= MAX_SCORE
        and 1 <= message.least <= 15
        and message.most >= 0,
        "BAD_POLICY",
    )
    check(graph.money.balance[sender] >= graph.params.fee, "INSUFFICIENT")
    graph.money.lock(sender, message.policy, POLICY, graph.params.fee)
    graph.policies[message.policy] = Policy(message, sender, graph.clock)


# --- what other contracts tell --------------------------------------------------------------------------------------------------


def set_flag(graph: Graph, sender: bytes, message: SetFlag) -> None:
    account = graph.accounts[message.account]
    if message.on != (account.flag_since is not None):
        account.flag_since = graph.clock if message.on else None


def set_box(graph: Graph, sender: bytes, message: SetBox) -> None:
    graph.accounts[message.account].box = message.on


def suspend(graph: Graph, sender: bytes, message: Suspend) -> None:
    graph.accounts[message.account].suspended = message.on


def ban(graph: Graph, sender: bytes, message: Ban) -> None:
    """It is gone through by a deadline."""
    account = graph.accounts[message.account]
    if account.banned:
        return
    account.banned = True
    graph.money.ban(account.id)
    graph.bans[account.id] = graph.clock
    for model in graph.models.values():
        if account.id in model.servers:
            model.servers[account.id].leaving = True


def strike(graph: Graph, sender: bytes, message: Strike) -> None:
    graph.strike(message.account, message.origin, "other")


def set_validators(graph: Graph, sender: bytes, message: SetValidators) -> None:
    graph.validators = message.count


HANDLERS: dict[type[Any], Callable[[Graph, bytes, Any], None]] = {
    RegisterModel: register_model,
    SetPrice: set_price,
    RetireModel: retire_model,
    Serve: serve,
    Unserve: unserve,
    Ask: ask,
    AddTip: add_tip,
    Cancel: cancel,
    GiveKeys: give_keys,
    CommitAnswer: commit_answer,
    OpenAnswer: open_answer,
    Appeal: appeal,
    RegisterPolicy: register_policy,
    SetFlag: set_flag,
    SetBox: set_box,
    Suspend: suspend,
    Ban: ban,
    Strike: strike,
    SetValidators: set_validators,
}
