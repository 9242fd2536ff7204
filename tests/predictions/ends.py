"""Faults and ends: what a seat loses, how a request, a server, a model, a result and a policy end."""

from __future__ import annotations

from . import formulas
from .accounts import DrawEntry
from .events import Asleep, Ended, Fined, Gone, Out, Retired
from .graph import Graph
from .records import CHARGE, DEPOSIT, FAILED, FINAL, LIVE, POLICY, RETIRED, ROYALTY, Model, Policy, Request, Seat, Server

BAD_OUTCOMES = ("NO_AGREEMENT", "MODEL_FAULT")
"""What counts against a model."""


def wake(graph: Graph, model: Model) -> None:
    """The pump runs in the next block at the latest."""
    held = graph.money.held(model.id, ROYALTY)
    if (model.waiting or held or model.state == RETIRED) and model.pump_at is None:
        model.pump_at = graph.clock + 1


# --- faults ---------------------------------------------------------------------------------------------------------------------


def silence(graph: Graph, request: Request, one: Seat) -> None:
    """A seat that did not commit, or did not open."""
    if one.r == 3:
        origin = graph.accounts[request.appellant or b""].root
        graph.strike(one.who, origin, "appeal.silent")
        graph.accounts[one.who].drawn(DrawEntry(origin, True, True), graph.clock, graph.params.month)
        return
    fine(graph, request, one.who, "silent")
    server = graph.server(request, one.who)
    if server is None or graph.accounts[one.who].banned:
        return
    seat_ended(server, True)
    row = server.silent[-formulas.ASLEEP_AFTER :]
    rests = sum(server.silent) > formulas.SILENT_MOST
    if rests:
        graph.reach("rests")
        server.since = graph.clock + formulas.REST
    if server.awake and (rests or (len(row) == formulas.ASLEEP_AFTER and all(row))):
        graph.reach("asleep")
        server.awake = False
        graph.tell(Asleep(request.model.id, server.id))
    recorded(graph, request, server, True)


def seat_ended(server: Server, silent: bool) -> None:
    server.silent = [*server.silent, silent][-formulas.SILENT_SEATS :]


def fine(graph: Graph, request: Request, who: bytes, why: str) -> None:
    """PEN, burned. Banned seats are not fined."""
    if graph.accounts[who].banned:
        return
    left = graph.stake(request.model, who)
    amount = formulas.fine(left, request.tip // request.terms.n, request.w, request.terms.rows)
    graph.money.burn(request.model.id, who, "fine", amount)
    graph.tell(Fined(request.id, who, amount, why))


def recorded(graph: Graph, request: Request, server: Server, bad: bool, wrong: bool = False) -> None:
    """One entry for a seat; of one requester's root the last one counts. Of a `wrong` one a quorum knew better."""
    server.record = [entry for entry in server.record if entry[0] != request.root]
    server.record.append((request.root, bad, wrong))
    del server.record[: -formulas.RECORD]
    many = sum(was_wrong for *_, was_wrong in server.record)
    contradicted = many >= formulas.WRONG_ROOTS and 2 * many > len(server.record)
    if contradicted and not server.out:
        graph.reach("out.contradicted")
    if (contradicted or sum(was_bad for _, was_bad, _ in server.record) > formulas.BAD_RECORD) and not server.out:
        graph.reach("out")
        server.out, server.record = True, []
        graph.tell(Out(request.model.id, server.id))
        graph.strike(server.id, request.root, "out")


# --- ends -----------------------------------------------------------------------------------------------------------------------


def burn_fee(graph: Graph, request: Request) -> None:
    graph.money.burn(request.id, CHARGE, "fee", fee_of(request))


def fee_of(request: Request) -> int:
    """b"""
    return formulas.burned_fee(request.tip, request.p * request.terms.rows, request.kept)


def burn_of_evictor(graph: Graph, request: Request) -> None:
    """Where a request gets everything back: but one that evicted another pays its fee, and one that had seats for what is kept."""
    if request.evictor:
        graph.reach("evictor.burns")
        burn_fee(graph, request)
    elif request.seats:
        graph.reach("kept.burns")
        graph.money.burn(request.id, CHARGE, "fee", request.kept)


def close_seats(request: Request) -> None:
    """The seats of r=1 and r=2 are no longer open."""
    request.model.open_seats -= sum(1 for one in request.seats if one.r != 3)


def leave_queue(graph: Graph, request: Request, why: str) -> None:
    """An end before any draw."""
    del request.model.waiting[request.id]
    if why == "CANCELLED":
        burn_fee(graph, request)
    else:
        burn_of_evictor(graph, request)
    fail(graph, request, why)


def fail(graph: Graph, request: Request, why: str) -> None:
    """The rest of X goes back; what was drawn is unpinned."""
    graph.money.pay(request.id, CHARGE, request.requester, "rest")
    request.outcome = why
    request.state = FAILED
    graph.tell(Ended(request.id, request.r, why))
    end(graph, request)


def finish(graph: Graph, request: Request) -> None:
    request.state = FINAL
    end(graph, request)


def end(graph: Graph, request: Request) -> None:
    model = request.model
    request.ended_at, request.deadline = graph.clock, 0
    if not request.answered_at:
        request.answered_at = graph.clock
    for one in request.seats:
        if one.r != 3:
            unpin(graph, model, one.who)
    if request.seats:
        model.running -= 1
    policy = graph.policies.get(request.terms.policy or b"")
    if policy is not None:
        policy.live -= 1
        policy.used = graph.clock
    del graph.live[request.id]
    (graph.results if request.seats else graph.unseated).append((graph.clock, request.id))
    wake(graph, model)
    close_model(graph, model)


def unpin(graph: Graph, model: Model, who: bytes) -> None:
    model.pins -= 1
    server = model.servers[who]
    server.pins -= 1
    let_go(graph, model, server)


def let_go(graph: Graph, model: Model, server: Server) -> None:
    """A server that leaves gets its stake back with its last seat; a banned one's burns."""
    if not server.leaving or server.pins:
        return
    if graph.accounts[server.id].banned:
        graph.reach("ban.server")
    graph.money.pay(model.id, server.id, server.id, "stake")
    del model.servers[server.id]
    if model.state == LIVE and (any(server.silent) or any(bad for _, bad, _ in server.record)):
        model.left[server.id] = server
        for one in list(model.left)[: -formulas.LEFT]:
            del model.left[one]


def retire(graph: Graph, model: Model, burn: bool) -> None:
    if model.state == RETIRED:
        return
    model.state = RETIRED
    graph.accounts[model.owner].models -= 1
    graph.tell(Retired(model.id, burn))
    if burn:
        graph.money.burn(model.id, DEPOSIT, "deposit")
    model.left.clear()
    for server in model.servers.values():
        server.leaving = True
    wake(graph, model)


def banned(graph: Graph, who: bytes) -> None:
    """Its models retire and their deposits burn; where it serves it leaves."""
    for model in list(graph.models.values()):
        if model.owner == who and model.state == LIVE:
            graph.reach("retired.ban")
            retire(graph, model, burn=True)
    for model in list(graph.models.values()):
        server = model.servers.get(who)
        if server is not None:
            let_go(graph, model, server)
            close_model(graph, model)


def close_model(graph: Graph, model: Model) -> None:
    """Retired, without requests and servers: deposit back, what a rounding left of royalties to the first."""
    if model.state == LIVE or model.waiting or model.running or model.servers:
        return
    share_royalty(graph, model)
    if model.terms.shares:
        graph.money.pay(model.id, ROYALTY, model.terms.shares[0][0], "royalty")
    graph.money.pay(model.id, DEPOSIT, model.owner, "deposit")
    if not model.kept and model.id in graph.models:
        graph.reach("model.gone")
        del graph.models[model.id]
        name = (model.owner, model.terms.name)
        if graph.names.get(name) == model.id:
            del graph.names[name]
        graph.tell(Gone(model.id))


def share_royalty(graph: Graph, model: Model) -> None:
    """To each its part of all that ever came, rounded down, less what it had."""
    shares = model.terms.shares
    whole = sum(weight for _, weight in shares)
    before, model.shared = model.shared, model.earned
    for who, weight in shares:
        part = model.earned * weight // whole - before * weight // whole
        if part:
            graph.reach("royalty.shared")
        graph.money.pay(model.id, ROYALTY, who, "royalty", part)


def drop_results(graph: Graph) -> None:
    """Two leave the state: those that ended without seats before this block, then those that are older than KEEP."""
    for _ in range(2):
        if graph.unseated and graph.unseated[0][0] < graph.clock:
            graph.reach("dropped.unseated")
            _, ref = graph.unseated.pop(0)
        elif graph.results and graph.clock >= graph.results[0][0] + graph.params.keep:
            _, ref = graph.results.pop(0)
        else:
            return
        request = graph.requests.pop(ref)
        model = request.model
        model.kept -= 1
        forget(model, request)
        graph.reach("dropped")
        graph.tell(Gone(ref))
        close_model(graph, model)


def forget(model: Model, request: Request) -> None:
    """A counter goes with the last request that it counted."""
    following, kept = model.ordinals[request.terms.cid]
    if kept == 1:
        del model.ordinals[request.terms.cid]
    else:
        model.ordinals[request.terms.cid] = (following, kept - 1)
    model.askers[request.root] -= 1
    if not model.askers[request.root]:
        del model.askers[request.root]


def drop_policy(graph: Graph, policy: Policy) -> None:
    """A policy that nobody named for KEEP."""
    graph.reach("policy.dropped")
    graph.money.pay(policy.terms.policy, POLICY, policy.owner, "policy")
    del graph.policies[policy.terms.policy]
    graph.tell(Gone(policy.terms.policy))


def tallied(graph: Graph, request: Request, bad: bool) -> None:
    """The record of the model: of committees of five and more, one entry a requester's root."""
    model = request.model
    if request.c < formulas.TALLY_SEATS:
        return
    model.tallies = [entry for entry in model.tallies if entry[0] != request.root]
    model.tallies.append((request.root, bad))
    del model.tallies[: -formulas.TALLIES]
    if sum(1 for _, was_bad in model.tallies if was_bad) >= formulas.BAD_TALLIES and model.state == LIVE:
        graph.reach("retired.record")
        retire(graph, model, burn=True)
