"""What happens by itself: the pump, the windows of a round, tally, verdict, and the ends.

pump ─> draw ─> KEYS ─> ANSWER ─> OPEN ─> settle ─> FAILED | AGREED, WEAK ─> FINAL
                  └──────┴─ REDRAW (substitutes for the silent, r=2) │
                                                appeal ─> draw (r=3) ┴> KEYS ─> ANSWER ─> OPEN ─> verdict ─> FINAL
"""

from __future__ import annotations

from . import ends, formulas, pool, settling, verdicts
from .events import Drawn
from .graph import Graph
from .records import ANSWER, APPEALED, BOND, CHARGE, KEYS, OPEN, REDRAW, RETIRED, WAITING, Model, Request, Seat
from .tally import TOO_FEW

# --- the queue ------------------------------------------------------------------------------------------------------------------


def order(request: Request) -> tuple[int, int]:
    """Its place: v, then what was posted first."""
    least = formulas.least_tip(request.w, request.terms.n, request.terms.rows)
    return formulas.rank(request.posted, request.tip, least), request.position


def pump(graph: Graph, model: Model) -> None:
    model.pump_at = None
    ends.share_royalty(graph, model)
    if model.state == RETIRED:
        for request in sorted(model.waiting.values(), key=order)[: formulas.PUMP_RETIRED]:
            graph.reach("retired.waiting")
            ends.leave_queue(graph, request, "MODEL_RETIRED")
        idle = [server for server in model.servers.values() if not server.pins]
        for server in idle[: formulas.PUMP_RETIRED]:
            ends.let_go(graph, model, server)
        if model.waiting or len(idle) > formulas.PUMP_RETIRED:
            ends.wake(graph, model)
        ends.close_model(graph, model)
        return
    again, drawn = False, 0
    for request in sorted(model.waiting.values(), key=order):
        if graph.clock >= request.posted + request.terms.wait:
            continue
        if graph.height - request.young_since < graph.delay():
            graph.reach("young")
            again = True
            continue
        if drawn == formulas.PUMP:
            graph.reach("pump.more")
            again = True
            break
        if not take_head(graph, request):
            break
        drawn += 1
    if again:
        ends.wake(graph, model)


def take_head(graph: Graph, request: Request) -> bool:
    """Draw it or fail it; False where it has to wait for seats."""
    model = request.model
    among = pool.of_request(graph, request)
    c = formulas.seats(request.terms.n, request.terms.m, len(among))
    if not c:
        graph.reach("no.servers")
        ends.leave_queue(graph, request, "NO_SERVERS")
        return True
    if model.open_seats + c > formulas.throttle(model.terms.slots, len(among), c):
        graph.reach("throttled")
        return False
    if model.pins + c > formulas.cover([graph.stake(model, who) for who in among], request.w, c):
        graph.reach("uncovered")
        return False
    if model.owner in among:
        graph.reach("owner.sits")
    del model.waiting[request.id]
    model.running += 1
    request.c = c
    seat(graph, request, 1, pool.draw(graph, request.id, 1, among, c), len(among))
    ask_seats(graph, request)
    return True


# --- rounds ---------------------------------------------------------------------------------------------------------------------


def seat(graph: Graph, request: Request, r: int, drawn: list[bytes], among: int) -> None:
    request.r = r
    request.seats += [Seat(who, r) for who in drawn]
    graph.tell(Drawn(request.id, r, tuple(drawn), among))
    if r == 3:
        return
    for who in drawn:
        request.model.servers[who].pins += 1
    request.model.pins += len(drawn)
    request.model.open_seats += len(drawn)


def enter(graph: Graph, request: Request, state: str, window: int) -> None:
    request.state, request.deadline = state, graph.clock + window


def ask_seats(graph: Graph, request: Request) -> None:
    if request.terms.private:
        enter(graph, request, KEYS, graph.params.w_k)
    else:
        enter_answer(graph, request)


def enter_answer(graph: Graph, request: Request) -> None:
    window = formulas.appeal_window if request.r == 3 else formulas.answer_window
    enter(graph, request, ANSWER, window(graph.params, request.model.terms, request.terms.rows, request.terms.size))


def deadline(graph: Graph, request: Request) -> None:
    """What is due for a request. In WAITING its wait, in REDRAW and APPEALED a draw."""
    request.lateness += graph.clock - request.deadline
    if request.state == WAITING:
        graph.reach("expired")
        ends.leave_queue(graph, request, "EXPIRED")
    elif request.state == KEYS:
        no_keys(graph, request)
    elif request.state == ANSWER:
        answers_end(graph, request)
    elif request.state == REDRAW:
        substitutes(graph, request)
    elif request.state == OPEN:
        openings_end(graph, request)
    elif request.state == APPEALED:
        draw_appeal(graph, request)
    else:
        graph.reach("final")
        ends.finish(graph, request)


def no_keys(graph: Graph, request: Request) -> None:
    if request.r == 1:
        graph.reach("keys.missing")
        share = request.tip // request.terms.n
        for one in request.seats:
            graph.money.pay(request.id, CHARGE, one.who, "seat", share)
            one.paid = share > 0
        ends.burn_fee(graph, request)
        ends.close_seats(request)
        ends.fail(graph, request, "NO_KEYS")
    elif request.r == 2:
        graph.reach("keys.second.missing")
        to_open(graph, request)
    else:
        graph.reach("keys.appeal.missing")
        graph.money.burn(request.id, BOND, "no keys")
        ends.finish(graph, request)


def answers_end(graph: Graph, request: Request) -> None:
    silent = [one for one in request.of_round(request.r) if one.committed is None]
    for one in silent:
        graph.reach("silent")
        ends.silence(graph, request, one)
    if request.r == 1 and silent and unseated(graph, request):
        graph.reach("redraw")
        enter(graph, request, REDRAW, 0)
        request.draw_height = graph.height + graph.delay()
        return
    to_open(graph, request)


def unseated(graph: Graph, request: Request) -> list[bytes]:
    sitting = {one.who for one in request.seats}
    return [who for who in pool.of_request(graph, request) if who not in sitting]


def substitutes(graph: Graph, request: Request) -> None:
    among = unseated(graph, request)
    lacking = sum(1 for one in request.seats if one.committed is None)
    if not among:
        graph.reach("redraw.empty")
        to_open(graph, request)
        return
    seat(graph, request, 2, pool.draw(graph, request.id, 2, among, lacking), len(among))
    ask_seats(graph, request)


def to_open(graph: Graph, request: Request) -> None:
    """ANSWER has ended for good."""
    if request.r == 3:
        if sum(1 for one in request.of_round(3) if one.committed is not None) < 2:
            verdicts.void(graph, request)
        else:
            enter(graph, request, OPEN, graph.params.w_o3)
        return
    if sum(1 for one in request.seats if one.committed is not None) < formulas.least_agreeing(request.terms.n):
        graph.reach("commits.few")
        ends.burn_of_evictor(graph, request)
        ends.close_seats(request)
        ends.fail(graph, request, TOO_FEW)
    else:
        enter(graph, request, OPEN, graph.params.w_o)


def openings_end(graph: Graph, request: Request) -> None:
    for one in request.seats:
        if (one.r == 3) == (request.r == 3) and one.committed is not None and one.opened is None:
            graph.reach("unopened")
            ends.silence(graph, request, one)
    if request.r == 3:
        verdicts.verdict(graph, request)
    else:
        settling.settle(graph, request)


def draw_appeal(graph: Graph, request: Request) -> None:
    """The seats of r=3, drawn anew; the bond beyond what they cost goes back."""
    appellant = request.appellant or b""
    among = pool.judges(graph, request, appellant)
    fee = formulas.vote_fee(graph.params, request.w, request.terms.rows)
    held = graph.money.held(request.id, BOND)
    c = min(formulas.APPEAL_SEATS, len(among), held // fee)
    if c < pool.least_judges(request):
        graph.reach("appeal.none")
        verdicts.void(graph, request)
        return
    if c * fee < held:
        graph.reach("appeal.smaller")
        graph.money.pay(request.id, BOND, appellant, "bond", held - c * fee)
    request.rows = pool.appeal_rows(graph, request)
    seat(graph, request, 3, pool.draw(graph, request.id, 3, among, c), len(among))
    ask_seats(graph, request)
