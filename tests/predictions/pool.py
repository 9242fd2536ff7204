"""Who may answer a request, who may judge an appeal, and who of them is drawn."""

from __future__ import annotations

from collections.abc import Iterable

from . import formulas
from .graph import Graph
from .records import Request, Seat
from .scenario import BAD_INPUT, OK
from .tally import same


def pool(graph: Graph, model_id: bytes, requester: bytes, posted: int, w: int) -> list[bytes]:
    """Servers that may be drawn for a request posted then with floor w; load does not matter."""
    model = graph.models[model_id]
    half = formulas.least_stake(graph.params, w)
    found = []
    for server in model.servers.values():
        account = graph.accounts[server.id]
        if (
            server.awake
            and not server.out
            and not server.leaving
            and server.since < posted
            and account.flagged(graph.clock, graph.params.month)
            and 2 * graph.stake(model, server.id) >= half
            and server.id != requester
        ):
            found.append(server.id)
    others = [one for one in found if one != model.owner]
    return found if len(others) < 3 else others


def of_request(graph: Graph, request: Request) -> list[bytes]:
    return pool(graph, request.model.id, request.requester, request.posted, request.w)


def judges(graph: Graph, request: Request, appellant: bytes) -> list[bytes]:
    """V: who may sit in an appeal."""
    parties = {request.requester, request.model.owner, appellant, *(seat.who for seat in request.seats)}
    return [
        account.id
        for account in graph.accounts.values()
        if account.flagged(graph.clock, graph.params.month)
        and account.flag_since is not None
        and account.flag_since < request.posted
        and account.able
        and (account.box or not request.terms.private)
        and account.id not in parties
    ]


def least_judges(request: Request) -> int:
    """Three, and with all who said something else in the draw more than those behind the value with the fewest."""
    opened = sum(one.r != 3 and one.opened is not None for one in request.seats)
    return max(3, 2 * (request.result.agree if request.result is not None else 0) - opened + 1)


def draw(graph: Graph, request: bytes, r: int, among: Iterable[bytes], count: int) -> list[bytes]:
    """The lowest tickets."""
    return sorted(among, key=lambda who: graph.ticket(request, r, who))[:count]


def appeal_rows(graph: Graph, request: Request) -> tuple[int, ...]:
    """The rows that an appeal answers: those that were named, of each answer in turns one that it disputes, others by lot."""
    count = formulas.appeal_rows(request.terms.rows)
    found = list(request.named)[:count]

    def ticket(row: int) -> bytes:
        return graph.ticket(request.id, 3, row.to_bytes(2, "big"))

    turns = [sorted(disputed(graph, request, one), key=ticket) for one in by_lot(graph, request)]
    for _ in range(count):
        for rows in turns:
            left = [row for row in rows if row not in found]
            if left and len(found) < count:
                graph.reach("row.disputed")
                found.append(left[0])
    others = sorted((row for row in range(request.terms.rows) if row not in found), key=ticket)
    return tuple(sorted(found + others[: count - len(found)]))


def by_lot(graph: Graph, request: Request) -> list[Seat]:
    """Who opened something that may dispute a row."""
    opened = [one for one in request.seats if one.r != 3 and one.opened is not None and one.opened.code in (OK, BAD_INPUT)]
    return sorted(opened, key=lambda one: graph.ticket(request.id, 3, one.who))


def disputed(graph: Graph, request: Request, one: Seat) -> list[int]:
    """Rows whose value is another one than this seat said; the row of which it said that it does not fit."""
    answer, values = one.opened, request.result.values if request.result is not None else ()
    if answer is None:
        return []
    if answer.code == BAD_INPUT:
        graph.reach("row.unfit" if answer.check else "row.unnamed")
        return [answer.check - 1] if answer.check else []
    tol, classes = request.model.terms.tol, answer.classes or (0,) * len(values)
    return [row for row, value in enumerate(values) if value is not None and not same(value, classes[row], answer.scores[row], tol)]
