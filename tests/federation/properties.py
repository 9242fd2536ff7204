"""What must hold after every block of every run, whoever does what. `Checker` is told each block and raises `Violation`.

Each of PROPERTIES is a promise of the rules. They look at credits as they move and at what is so afterwards, not at how the
model came there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

from . import opening
from .events import Benched, Drawn, Ended, Failed, Flow, Gone, Measured, Screened, Settled, Struck, Summed, Void
from .generate import HONEST, Player
from .graph import Graph
from .records import ACTIVE, BOUNTY, DRAWING, END, FEES, PENDING, Federation
from .scenario import ALIGNED, AWAY, COPY, EMPTY, EQUAL, OPENED, STALE, USED, Measure, Params, ServeCells, ServeFederation, Terms

PROPERTIES: dict[str, str] = {
    "conserved": "balances, escrows and what was burned are together what they were at the start",
    "solvent": "no balance is negative, nothing empty lies in escrow",
    "escrows": "until its end a federation holds its bounty and fees less what it paid, and after it nothing",
    "bounty": "what was paid of the bounty is what the best model is worth, and all of it only where the target is met",
    "shares": "a pot is split by the points of those that were summed since the last one, to the last micro-credit",
    "fees": "an attempt pays three aggregators one fee at most and only after an agreed Screen, a measurement its side",
    "price": "who opens a federation burns the price of what it keeps, once",
    "ends": "every federation ends in time and with at most 2R+2 starts",
    "moves": "enough ACTIVE members and two aggregators always let a round start: no bench and no fault stops it for ever",
    "keys": "when all is over and old, nothing is left in the state",
    "members": "no two ACTIVE ones have the same data, index or are too many; an index goes over only where nothing names it",
    "chain": "sets that were accepted on one base lie within each other, and differ by none or by min_sum counted members",
    "sums": "whoever is summed was in at the start, committed and was found USED; counted ones are at least min_sum",
    "seats": "aggregators are able and not the sponsor; members only beside fewer others than three or a third of the flagged, "
    "excluded ones than two",
    "panel": "at most five sit, nobody twice, never a member where a file is hidden or outside is asked for",
    "measured": "a loss is the middle of more than half of the panel, and of a quorum the first two times",
    "revert": "what is trained on is the measured model or the best one, never one that is much worse",
    "honest": "who is honest and in time is never struck, and fails a draw only where another aggregator does not tell the truth",
    "calm": "where everybody is honest and in time nobody fails, and every federation comes to its target, its rounds or its time",
    "barred": "an account is barred where three different origins struck it within the month, and nowhere else",
    "banned": "a banned account holds and receives nothing",
    "bench": "a bench ends within five starts, and only what a member sent brings it there",
    "cell.one": "a member has one cell at most, and only an ACTIVE one that was dealt it; nobody comes into a cell that stands",
    "cell.size": "a cell has 3 to 16 members and min_sum at least; as many live as may",
    "cell.whole": "a cell is summed whole: what all of its members sent counts and is proved; min_sum of them count",
    "cell.three": "an attempt has three aggregators to its end, none excluded while three others are able",
    "cell.missed": "who has a cell missed less than three of its last 16 attempts",
    "cell.radius": "the radius stays within its bounds, and after a round that is taken back it is a quarter",
    "cell.least": "the loss of a round is the least of its directions, and its model a candidate of that one",
    "cell.base": "whoever was summed on a base is known there",
}


class Violation(AssertionError):
    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {PROPERTIES[name]}; but {what}")
        self.name = name


def fail(name: str, what: object) -> NoReturn:
    raise Violation(name, str(what))


def need(name: str, condition: object, what: object) -> None:
    if not condition:
        fail(name, what)


def worth(terms: Terms, first: int, best: int) -> int:
    """What of the bounty is earned, written anew."""
    whole = first - terms.target
    return terms.bounty * min(first - best, whole) // whole if whole > 0 else 0


def locked(terms: Terms) -> int:
    """F, written anew."""
    return terms.fee * ((2 * terms.rounds + 2) * 3 + (terms.rounds + 1) * 5)


def longest(params: Params, terms: Terms) -> int:
    """The latest end, written anew: one of everything, three measurements."""
    measured = 52 * terms.size if terms.cells else terms.size
    measurement = params.v0 + 2_000 * terms.eval_s - -measured // 1_000 + 1 + params.w_c
    screens = params.v0 - -terms.max_members * terms.size // 1_000 + 1
    sums = params.v0 - -3 * terms.size // 1_000 + 1
    return terms.ends + 4 * params.w_h + terms.round_ms + params.v0 + screens + sums + 3 * measurement


@dataclass(slots=True, eq=False)
class Watched:
    """What was seen of one federation."""

    burned: int = 0
    """For what it keeps."""
    paid: int = 0
    fees: int = 0
    aggregators: int = 0
    """Fees of the attempt that was screened last."""
    panelled: int = 0
    """Fees of the measurement that runs."""
    shares: list[tuple[bytes | None, int]] = field(default_factory=list)
    """Of the settlement that runs: to whom, nobody where it burned."""
    points: dict[bytes, int] = field(default_factory=dict)
    """Since the last pot."""
    last: tuple[bytes, ...] = ()
    """Who was summed last."""
    seats: dict[int, set[bytes]] = field(default_factory=dict)
    """Aggregators by attempt."""
    panel: list[bytes] = field(default_factory=list)
    """Whoever sat."""
    indexes: dict[int, bytes] = field(default_factory=dict)
    """Whose they are."""
    benches: dict[bytes, int] = field(default_factory=dict)
    """Of those that have or had an index, as they were known last."""
    chains: dict[bytes, list[frozenset[bytes]]] = field(default_factory=dict)
    base: bytes = b"initial"
    """Of the running attempt."""
    roster: dict[bytes, bool] = field(default_factory=dict)
    """Of the running attempt."""
    screened: Screened | None = None
    """The last one."""
    loss: int | None = None
    """That was measured last."""
    streak: int = 0
    bad: Counter[bytes] = field(default_factory=Counter)
    """Agreed attempts in a row that turned a member away for what it sent."""
    joined: set[bytes] = field(default_factory=set)
    """After the last block."""
    excluded: set[bytes] = field(default_factory=set)
    """After the last block."""


class Checker:
    """Looks at one player's graph after every block."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.watched: dict[bytes, Watched] = {}
        self.known: dict[bytes, Federation] = {}
        self.struck: dict[bytes, dict[bytes, int]] = {}
        """By account and origin: time of the last strike."""
        self.able: set[bytes] = set()
        """Who could be drawn after the last block."""
        self.served: set[bytes] = set()
        """Who said in this block that it serves, though it may have taken that back."""
        self.flagged = 0
        """How many had the flag then."""
        self.ended: Counter[str] = Counter()

    def __call__(self, player: Player) -> None:
        graph = player.graph
        if self.total is None:
            self.total = sum(member.balance for member in player.members)
        need("conserved", graph.money.total() == self.total, f"{graph.money.total()} of {self.total}")
        for ref, federation in graph.federations.items():
            if ref not in self.known:
                self.known[ref], self.watched[ref] = federation, Watched()
        self.served = {entry.sender for entry in player.entries if isinstance(entry.message, ServeFederation | ServeCells)}
        for event in graph.events:
            self.told(player, event)
        self.money(graph)
        self.accounts(graph)
        for federation in graph.federations.values():
            if federation.state != END:
                self.federation(graph, federation)
        self.able, self.flagged = able(graph), flagged(graph)

    def told(self, player: Player, event: object) -> None:
        graph = player.graph
        if isinstance(event, Flow):
            self.flow(graph, event)
        elif isinstance(event, Drawn):
            self.drawn(graph, event)
        elif isinstance(event, Screened):
            self.screened(event)
        elif isinstance(event, Summed):
            self.summed(event)
        elif isinstance(event, Benched):
            bad = self.watched[event.federation].bad
            need("bench", bad.pop(event.member, 0) == 3, event.member)
        elif isinstance(event, Measured):
            self.measured(event)
        elif isinstance(event, Settled):
            self.settled(graph, event)
        elif isinstance(event, Struck):
            self.struck.setdefault(event.account, {})[event.origin] = graph.clock
            need("calm", not player.mood.calm, event)
            self.blamed(player, event.account, event.why == "other", event)
        elif isinstance(event, Failed):
            self.failed(player, event)
        elif isinstance(event, Void):
            need("calm", not player.mood.calm or event.why in ("SPLIT", "NO_AGGREGATORS"), event)
        elif isinstance(event, Ended):
            self.end(player, event)
        elif isinstance(event, Gone):
            del self.known[event.federation], self.watched[event.federation]

    # --- credits ------------------------------------------------------------------------------------------------------------

    def money(self, graph: Graph) -> None:
        need("solvent", min(graph.money.balance.values()) >= 0, "a balance")
        asked: dict[tuple[bytes, bytes], int] = {}
        for ref, federation in graph.federations.items():
            if federation.state != END:
                watched = self.watched[ref]
                asked[ref, BOUNTY] = federation.terms.bounty - watched.paid
                asked[ref, FEES] = locked(federation.terms) - watched.fees
        for key, amount in graph.money.escrow.items():
            need("solvent", amount > 0, key)
            need("escrows", asked.pop(key, None) == amount, f"{amount} for {key}")
        need("escrows", not any(asked.values()), asked)

    def flow(self, graph: Graph, flow: Flow) -> None:
        watched, terms = self.watched[flow.ref], self.known[flow.ref].terms
        if flow.why == "share":
            need("bounty", flow.purpose == BOUNTY, flow)
            watched.paid += flow.amount
            watched.shares.append((flow.to, flow.amount))
        elif flow.why in ("aggregator", "panel"):
            need("fees", flow.purpose == FEES and flow.amount == terms.fee, flow)
            watched.fees += flow.amount
            watched.aggregators += flow.why == "aggregator"
            watched.panelled += flow.why == "panel"
            need("fees", flow.why == "panel" or watched.screened is not None, "an aggregator is paid without a Screen")
            need("fees", watched.aggregators <= 3 and watched.panelled <= 5, f"{watched.aggregators}, {watched.panelled}")
        elif flow.why == "kept":
            held = 2_048 + terms.params + 256 * (terms.max_members + min(16, terms.rounds))
            held += 64 * terms.max_members + 160 * terms.rounds if terms.cells else 0
            need("price", flow.to is None and flow.amount == graph.params.rate * -(-held // 32), flow)
            watched.burned += flow.amount
        else:
            need("escrows", flow.why == "rest", flow.why)

    def settled(self, graph: Graph, event: Settled) -> None:
        federation, watched = self.known[event.federation], self.watched[event.federation]
        if event.pot:
            owed = [(who, part) for who, part in self.owed(federation, watched, event.pot).items() if part]
            need("shares", [part for _, part in watched.shares] == [part for _, part in owed], f"{watched.shares}, not {owed}")
            whom = [to if to is not None else who for (who, _), (to, _) in zip(owed, watched.shares, strict=True)]
            need("shares", whom == [who for who, _ in owed], f"{watched.shares}, not {owed}")
            burned = [who for (who, _), (to, _) in zip(owed, watched.shares, strict=True) if to is None]
            need("shares", all(graph.accounts[who].banned for who in burned), "a share burns")
        need("shares", event.pot == sum(part for _, part in watched.shares), watched.shares)
        better = federation.best_r == event.r
        if better or event.reverted:
            watched.points = {}
        watched.shares, watched.streak = [], 0 if better or event.reverted else watched.streak + 1
        need("revert", watched.streak < federation.terms.patience, watched.streak)
        if not better and not event.reverted:
            margin = (federation.initial - federation.terms.target) // 20
            need("revert", watched.loss is not None and watched.loss <= federation.best + margin, watched.loss)
        need("revert", federation.base in (federation.best_model, federation.model), federation.base)
        need("revert", not event.reverted or federation.base == federation.best_model, federation.base)

    def owed(self, federation: Federation, watched: Watched, pot: int) -> dict[bytes, int]:
        """To whom, in the order of the indexes."""
        points = {who: some for who, some in watched.points.items() if some} or dict.fromkeys(watched.last, 1)
        return parted(federation, points, pot)

    # --- attempts -----------------------------------------------------------------------------------------------------------

    def drawn(self, graph: Graph, event: Drawn) -> None:
        federation, watched, who = self.known[event.federation], self.watched[event.federation], set(event.who)
        now = able(graph)
        need("seats", len(who) == len(event.who) and federation.sponsor not in who, "one sits twice, or the sponsor")
        need("seats", who <= now | self.able | self.served, "one is not able")
        members = joined(federation)
        if not event.attempt:
            need("panel", not who & set(watched.panel) and len(who) <= 5, "one sits twice")
            watched.panel += event.who
            closed = federation.terms.outside or federation.terms.hidden
            need("panel", not closed or not who & members & watched.joined, "a member sits")
            return
        seats = watched.seats.setdefault(event.attempt, set())
        need("seats", not seats & who and len(who) <= 3, "one is drawn again")
        seats |= who
        watched.screened = None
        sure = (now & self.able) - {federation.sponsor}
        strangers = sure - members - watched.joined - federation.excluded - watched.excluded
        third = -(-max(self.flagged, flagged(graph)) // 3)
        need("seats", not who & members & watched.joined or len(strangers) < max(3, third), "a member sits beside enough others")
        clean = sure - federation.excluded - watched.excluded
        need("seats", not who & federation.excluded & watched.excluded or len(clean) < 2, "an excluded one sits")

    def screened(self, event: Screened) -> None:
        watched, terms = self.watched[event.federation], self.known[event.federation].terms
        watched.screened, watched.aggregators = event, 0
        accepted, codes = frozenset(event.accepted), dict(event.codes)
        for who, code in event.codes:
            if code in (USED, COPY, STALE):
                watched.bad.pop(who, None)
            elif code not in (AWAY, EMPTY):
                watched.bad[who] += 1
        need("sums", set(codes) <= set(watched.roster), "a file of one that is not in")
        if not accepted:
            return
        counted = {who for who, vetted in watched.roster.items() if vetted or not terms.vetted}
        need("sums", all(codes.get(who) == USED for who in accepted), "one that was turned away")
        sets = watched.chains.setdefault(watched.base, [])
        if accepted in sets:
            return
        need("sums", len(accepted & counted) >= terms.min_sum, f"{len(accepted & counted)} of {terms.min_sum}")
        need("sums", len(accepted) >= 2 or terms.secrecy == OPENED, "one alone")
        for one in sets:
            small, large = sorted((one, accepted), key=len)
            need("chain", small <= large, "two sets that do not lie within each other")
            need("chain", small == large or len((large - small) & counted) >= terms.min_sum, len(large - small))
        sets.append(accepted)

    def summed(self, event: Summed) -> None:
        federation, watched = self.known[event.federation], self.watched[event.federation]
        need("sums", len(event.by) >= 2 and set(event.by) <= watched.seats[event.attempt], event.by)
        if watched.screened is None:
            fail("sums", "a sum without a Screen")
        accepted = watched.screened.accepted
        watched.last = accepted
        if federation.terms.split == EQUAL:
            new = dict.fromkeys(accepted, 1)
        elif federation.terms.split == ALIGNED:
            new = {who: dict(watched.screened.points)[who] for who in accepted}
        else:
            claims = sorted(federation.members[who].n for who in accepted)
            new = {who: min(federation.members[who].n, 4 * claims[(len(claims) - 1) // 2]) for who in accepted}
        for who, points in new.items():
            watched.points[who] = watched.points.get(who, 0) + points

    def measured(self, event: Measured) -> None:
        federation, watched = self.known[event.federation], self.watched[event.federation]
        watched.panelled, watched.loss = 0, event.loss
        need("measured", set(event.by) <= set(watched.panel), "one that does not sit")
        c = len(federation.panel)
        least = c // 2 + 1 if event.again == 2 else 2 * c // 3 + 1
        need("measured", len(event.by) >= max(2, least), f"{len(event.by)} of {c}")
        if event.loss is None:
            return
        said = [seat.opened for seat in federation.panel if seat.who in event.by and isinstance(seat.opened, Measure)]
        base = 1_000 - -abs(event.loss) // 10_000 + 1
        wide = 2 * max(base, min(federation.terms.tol, 10 * base))
        need("measured", all(abs(one.loss - event.loss) <= wide and one.holds for one in said), event.loss)

    def blamed(self, player: Player, who: bytes, fair: bool, event: object) -> None:
        """An honest one is in time where blocks run what is due."""
        if player.habit[who] == HONEST and player.params.max_due > 1 and not player.graph.accounts[who].banned:
            need("honest", fair, event)

    def failed(self, player: Player, event: Failed) -> None:
        need("calm", not player.mood.calm, event)
        drawn = self.watched[event.federation].seats
        seats = drawn[max(drawn)]
        others = any(player.habit[who] != HONEST for who in seats)
        self.blamed(player, event.account, others and not event.silent, event)

    # --- federations --------------------------------------------------------------------------------------------------------

    def end(self, player: Player, event: Ended) -> None:
        graph, federation, watched = player.graph, self.known[event.federation], self.watched[event.federation]
        self.ended[event.why] += 1
        late = graph.clock - longest(graph.params, federation.terms) - federation.lateness
        need("ends", late <= 0, f"{late} ms late")
        need("ends", federation.starts <= 2 * federation.terms.rounds + 2, federation.starts)
        need("price", watched.burned > 0, "nothing burned for what it keeps")
        full = watched.paid == federation.terms.bounty
        need("bounty", not full or federation.best <= federation.terms.target, "all was paid")
        need("bounty", event.why != "REACHED" or full, "the target is met, and not all was paid")
        if player.mood.calm:
            need("calm", event.why in ("REACHED", "ROUNDS", "MET", "ABANDONED", "EXPIRED"), event.why)

    def federation(self, graph: Graph, federation: Federation) -> None:
        watched, terms = self.watched[federation.id], federation.terms
        active = federation.active()
        living = [one for one in active if not graph.accounts[one.id].banned]
        for who in watched.bad.keys() - federation.members.keys():
            del watched.bad[who]  # another owner has its index: it comes back like a new one
        need("members", len({one.digest for one in active}) == len(active), "two have the same data")
        need("members", len(living) <= terms.max_members and federation.indexes <= graph.params.indexes, len(living))
        for member in federation.members.values():
            need("bench", member.benched_until <= federation.starts + 5, member.benched_until)
            if member.index is None:
                need("members", member.state == PENDING, "ACTIVE without an index")
            else:
                former = watched.indexes.get(member.index, member.id)
                need("members", former == member.id or self.unnamed(federation, watched, former), "an index of another")
                watched.indexes[member.index] = member.id
                watched.benches[member.id] = member.benched_until
        places = [one.index for one in federation.members.values() if one.index is not None]
        need("members", len(set(places)) == len(places), "an index of two")
        if federation.best_model:
            need("bounty", watched.paid == worth(terms, federation.initial, federation.best), watched.paid)
        vetted = sum(1 for one in living if graph.flagged(one.id))
        if federation.cells is None and len(living) >= terms.min_members and (vetted >= terms.min_sum or not terms.vetted):
            need("moves", opening.enough(terms, opening.roster(graph, federation)), f"{len(living)} are not enough")
        watched.joined, watched.excluded = joined(federation), set(federation.excluded)
        if federation.attempt is not None:
            watched.base, watched.roster = federation.base, federation.attempt.roster
        if federation.state in DRAWING and graph.params.max_due > 1:
            need("ends", graph.height <= federation.draw_height, "a draw is late")

    def unnamed(self, federation: Federation, watched: Watched, former: bytes) -> bool:
        """Whether the index of one that lost it could go over; in the same block it may have come again, with another one."""
        summed = any(former in one for sets in watched.chains.values() for one in sets)
        runs = federation.attempt is not None and former in federation.attempt.roster
        return not summed and not runs and watched.benches[former] <= federation.starts

    def accounts(self, graph: Graph) -> None:
        for who, account in graph.accounts.items():
            if account.banned:
                need("banned", graph.money.balance[who] == 0, who)
                continue
            times = self.struck.get(who, {})
            live = sum(1 for time in times.values() if graph.clock - time < graph.params.month)
            need("barred", graph.stands(who) == (live < 3), who)

    def over(self, player: Player) -> None:
        graph = player.graph
        need("keys", not graph.federations and not graph.money.escrow, f"{len(graph.federations)} federations")


def parted(federation: Federation, weights: dict[bytes, int], pot: int) -> dict[bytes, int]:
    order = sorted(weights, key=lambda who: federation.members[who].index or 0)
    parts = {who: pot * weights[who] // sum(weights.values()) for who in order}
    parts[order[0]] += pot - sum(parts.values())
    return parts


def flagged(graph: Graph) -> int:
    return sum(graph.flagged(one) for one in graph.accounts)


def able(graph: Graph) -> set[bytes]:
    return {
        one.id
        for one in graph.accounts.values()
        if one.serves and one.box and one.able and one.flagged(graph.clock, graph.params.month)
    }


def joined(federation: Federation) -> set[bytes]:
    return {one.id for one in federation.members.values() if one.state in (ACTIVE, PENDING)}
