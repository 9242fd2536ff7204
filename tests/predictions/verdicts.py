"""What an appeal comes to: VOID, UPHELD or OVERTURNED, and whose credits that takes."""

from __future__ import annotations

from . import ends, formulas, settling
from .accounts import DrawEntry
from .events import Ended, Slashed
from .graph import Graph
from .records import BOND, DEPOSIT, LIVE, Request, Seat
from .scenario import BAD_INPUT, BAD_KEY, OK, Answer
from .tally import MODEL_FAULT, Tally, Value, near, same, tally


def votes_of(request: Request) -> list[Seat]:
    return sorted((one for one in request.of_round(3) if one.opened is not None), key=lambda one: one.position)


def verdict(graph: Graph, request: Request) -> None:
    votes = votes_of(request)
    answers = [one.opened for one in votes if one.opened is not None]
    c = len(request.of_round(3))
    found = tally(request.model.terms.tol, len(request.rows), 2, 1, c, answers)
    side = [votes[i] for i in found.side]
    holds = found.agreed or found.outcome in (BAD_KEY, BAD_INPUT, MODEL_FAULT)
    if 2 * len(side) <= c or not holds:
        void(graph, request)
        return
    new = dict(zip(request.rows, found.values, strict=True)) if found.agreed else {}
    differing = changed_rows(request, new)
    upholds = found.outcome == BAD_KEY or (found.agreed and not differing)
    changed = [row for row in differing if outweighed(request, votes, found, row)]
    if not upholds and not changed and (found.agreed or not code_outweighs(request, votes, found)):
        graph.reach("verdict.outweighed")
        void(graph, request)
        return
    origin = graph.accounts[request.appellant or b""].root
    for one in votes:
        entry = DrawEntry(origin, one not in side, False)
        graph.accounts[one.who].drawn(entry, graph.clock, graph.params.month)
    if upholds:
        upheld(graph, request, side, new)
    else:
        kept = {row: value for row, value in new.items() if row in changed or row not in differing}
        overturned(graph, request, found, votes, side, kept, changed)


def changed_rows(request: Request, new: dict[int, Value | None]) -> list[int]:
    """Rows whose old and new value both exist and differ."""
    tol, found = request.model.terms.tol, []
    old = request.result.values if request.result is not None else ()
    for row, value in new.items():
        before = old[row]
        if value is not None and before is not None and not same(before, value.cls, value.score, tol):
            found.append(row)
    return found


def outweighed(request: Request, votes: list[Seat], found: Tally, row: int) -> bool:
    """Whether a row's new value has more behind it than the old one, of all who opened anything, each counted once."""
    place, tol = request.rows.index(row), request.model.terms.tol
    old, new = request.result.values[row] if request.result is not None else None, found.values[place]
    if old is None or new is None:
        return False
    first = [one.opened for one in settling.opened(request)]
    more = sum(says(answer, row, new, tol) for i, answer in enumerate(first) if i not in old.support)
    fewer = sum(says(one.opened, place, old, tol) for i, one in enumerate(votes) if i not in new.support)
    return len(new.support) + more > len(old.support) + fewer


def code_outweighs(request: Request, votes: list[Seat], found: Tally) -> bool:
    """Whether more say that it cannot be answered than answer it."""
    said = [one.opened.code for one in (*settling.opened(request), *votes) if one.opened is not None]
    return sum({"FAULT": MODEL_FAULT}.get(code, code) == found.outcome for code in said) > said.count(OK)


def says(answer: Answer | None, place: int, value: Value, tol: int) -> bool:
    if answer is None or answer.code != OK:
        return False
    cls = answer.classes[place] if answer.classes else 0
    return cls == value.cls and near(value.score, answer.scores[place], tol)


def void(graph: Graph, request: Request) -> None:
    """The bond goes back; of it a fee to each that opened where the requester asked in vain, or kept its data from judges."""
    appellant = request.appellant or b""
    votes = votes_of(request)
    if votes and (appellant == request.requester or settling.withheld(votes)):
        graph.reach("verdict.VOID.charged")
        pay_votes(graph, request, votes, graph.params.fee)
    close(graph, request, "VOID", back=True)


def upheld(graph: Graph, request: Request, side: list[Seat], new: dict[int, Value | None]) -> None:
    pay_votes(graph, request, side, formulas.vote_fee(graph.params, request.w, request.terms.rows))
    add_values(request, new)
    close(graph, request, "UPHELD", back=False)


def pay_votes(graph: Graph, request: Request, votes: list[Seat], fee: int) -> None:
    each = min(fee, graph.money.held(request.id, BOND) // len(votes))
    for one in votes:
        graph.money.pay(request.id, BOND, one.who, "vote", each)
        one.paid = each > 0


def close(graph: Graph, request: Request, how: str, back: bool) -> None:
    graph.reach(f"verdict.{how}")
    if back:
        graph.money.pay(request.id, BOND, request.appellant or b"", "bond")
    else:
        graph.money.burn(request.id, BOND, "bond")
    graph.tell(Ended(request.id, 3, how))
    ends.finish(graph, request)


def add_values(request: Request, new: dict[int, Value | None]) -> None:
    request.values = {row: value for row, value in new.items() if value is not None}


def overturned(
    graph: Graph,
    request: Request,
    found: Tally,
    votes: list[Seat],
    side: list[Seat],
    new: dict[int, Value | None],
    changed: list[int],
) -> None:
    """New values beside the old; stakes fall only where many judges leave no doubt."""
    c = len(request.of_round(3))
    guilty = old_payees(graph, request, changed)
    doubt = 8 * repeated(request, votes, changed) >= c
    pot = 0
    beyond_doubt = c >= formulas.SLASH_SEATS and len(side) >= formulas.quorum(c) and not doubt and bool(guilty)
    if beyond_doubt and many_wrong(request, changed):
        pot = slash(graph, request, guilty)
        reward(graph, request, found, side, pot)
    else:
        if request.appellant == request.requester:
            pay_votes(graph, request, side, graph.params.fee)
        if beyond_doubt:
            fine_wrong(graph, request, guilty)
            reward(graph, request, found, [], 0)
    if not found.agreed:
        graph.reach("verdict.code")
    add_values(request, new)
    settling.decide(graph, request, merged(request, found))
    if 2 * graph.money.held(request.model.id, DEPOSIT) < graph.params.deposit and request.model.state == LIVE:
        graph.reach("retired.spent")
        ends.retire(graph, request.model, burn=False)
    close(graph, request, "OVERTURNED", back=True)


def merged(request: Request, found: Tally) -> tuple[Value | None, ...]:
    """Old values with the new ones over them; by a code all fall."""
    old = request.result.values if request.result is not None else ()
    if not found.agreed:
        return tuple(None for _ in old)
    return tuple(request.values.get(row, value) for row, value in enumerate(old))


def old_payees(graph: Graph, request: Request, changed: list[int]) -> list[Seat]:
    """Those whose answer is a changed value's, or, by a code, all; who has no stake left here, or is banned, is let alone."""
    found = wrong(request, changed)
    return [one for one in found if not graph.accounts[one.who].banned and graph.stake(request.model, one.who)]


def many_wrong(request: Request, changed: list[int]) -> bool:
    """Of five seats or more a quorum said it: then it is the model's matter, too."""
    return request.c >= formulas.OWNED_SEATS and len(wrong(request, changed)) >= formulas.quorum(request.c)


def wrong(request: Request, changed: list[int]) -> list[Seat]:
    votes, result = settling.opened(request), request.result
    if result is None:
        return []
    found = [votes[i] for i in result.side]
    if changed:
        places = {i for row in changed for value in [result.values[row]] if value is not None for i in value.support}
        found = [votes[i] for i in result.side if i in places]
    return found


def repeated(request: Request, votes: list[Seat], changed: list[int]) -> int:
    """How many of an appeal's votes say what the old values say."""
    tol, count = request.model.terms.tol, 0
    old = request.result.values if request.result is not None else ()
    rows = changed or list(request.rows)
    for one in votes:
        answer = one.opened
        if answer is None or answer.code != OK:
            continue
        for row in rows:
            value, place = old[row], request.rows.index(row)
            cls = answer.classes[place] if answer.classes else 0
            if value is not None and not same(value, cls, answer.scores[place], tol):
                break
        else:
            count += 1
    return count


def slash(graph: Graph, request: Request, guilty: list[Seat]) -> int:
    """Each loses at most its part of the owner's deposit, and the deposit as much. An escrow of its own holds what stakes lost."""
    model, pot = request.model, 0
    part = graph.money.held(model.id, DEPOSIT) // len(guilty)
    for one in guilty:
        taken = min(graph.stake(model, one.who), part)
        graph.money.shift(model.id, one.who, request.id, b"S", taken)
        graph.strike(one.who, request.root, "overturned")
        pot += taken
    graph.money.burn(model.id, DEPOSIT, "deposit", pot)
    graph.tell(Slashed(request.id, pot, pot))
    graph.reach("slashed")
    return pot


def fine_wrong(graph: Graph, request: Request, guilty: list[Seat]) -> None:
    """Few lose what they were paid, and the owner nothing."""
    pot = 0
    for one in guilty:
        left = graph.stake(request.model, one.who)
        amount = formulas.fine(left, request.tip // request.terms.n, request.w, request.terms.rows)
        graph.money.shift(request.model.id, one.who, request.id, b"S", amount)
        graph.strike(one.who, request.root, "overturned")
        pot += amount
    graph.tell(Slashed(request.id, pot, 0))
    graph.reach("slashed.few")


def reward(graph: Graph, request: Request, found: Tally, side: list[Seat], pot: int) -> None:
    """Of what the stakes lost: the votes, then the seats that had said so and went unpaid; the rest burns."""
    fee = formulas.vote_fee(graph.params, request.w, request.terms.rows)
    each = min(fee, pot // len(side)) if side else 0
    for one in side:
        graph.money.pay(request.id, b"S", one.who, "vote", each)
        one.paid = each > 0
    rest = graph.money.held(request.id, b"S")
    right = [one for one in settling.opened(request) if not one.paid and said_so(request, found, one)]
    for one in right:
        graph.reach("unpaid.rewarded")
        amount = min(request.tip // request.terms.n, rest // len(right))
        graph.money.pay(request.id, b"S", one.who, "unpaid", amount)
        one.paid = amount > 0
    graph.money.burn(request.id, b"S", "slashed")


def said_so(request: Request, found: Tally, one: Seat) -> bool:
    answer, tol = one.opened, request.model.terms.tol
    if answer is None:
        return False
    if not found.agreed:
        return {"FAULT": MODEL_FAULT}.get(answer.code, answer.code) == found.outcome
    if answer.code != OK:
        return False
    values = zip(request.rows, found.values, strict=True)
    return all(value is None or says(answer, row, value, tol) for row, value in values)
