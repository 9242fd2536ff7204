"""What must hold after every block where federations have cells. `CellChecker` looks at those, and at the others as `Checker`."""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import Benched, CellsSummed, Drawn, Measured, Screened, Settled
from .generate import Player
from .graph import Graph
from .properties import Checker, Watched, able, joined, need, parted
from .records import ACTIVE, GONE, Cells, Federation
from .scenario import AWAY, HALF, RESTS, UNPROVED, USED


@dataclass(slots=True, eq=False)
class Seen:
    """Of one federation, after the last block."""

    living: dict[int, frozenset[int]] = field(default_factory=dict)
    numbered: int = 0
    best: int = 0
    best_model: bytes = b""
    base: bytes = b"initial"
    loss: int | None = None
    """Of the last round that was settled."""
    clip: int = 0
    gained: dict[int, int] = field(default_factory=dict)
    """By index, since points were last cleared."""
    lacked: set[bytes] = field(default_factory=set)


class CellChecker(Checker):
    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[bytes, Seen] = {}
        self.serving: set[bytes] = set()
        """Who could be drawn for cells after the last block."""

    def __call__(self, player: Player) -> None:
        super().__call__(player)
        self.serving = able_for_cells(player.graph)
        for ref, federation in player.graph.federations.items():
            if federation.cells is not None and not federation.end:
                self.cells(player.graph, federation, federation.cells)
                seen = self.seen[ref]
                seen.living, seen.numbered = dict(federation.cells.living), federation.cells.numbered
                seen.best, seen.best_model, seen.base = federation.best, federation.best_model, federation.base
                seen.clip, seen.lacked = federation.clip, set(federation.cells.lacked)

    def told(self, player: Player, event: object) -> None:
        federation = self.known.get(getattr(event, "federation", b""))
        if federation is None or federation.cells is None or not isinstance(event, Drawn | Screened | CellsSummed | Measured):
            need("cell.one", not isinstance(event, Benched) or federation is None or federation.cells is None, "one is benched")
            super().told(player, event)
        elif isinstance(event, Drawn) and event.attempt:
            self.drawn_three(player.graph, federation, event)
        elif isinstance(event, Screened):
            self.codes(player.graph, federation, federation.cells, event)
        elif isinstance(event, CellsSummed):
            self.sums(federation, federation.cells, event)
        elif isinstance(event, Measured) and event.r:
            self.least(federation, federation.cells, event)
        else:
            super().told(player, event)

    # --- attempts -----------------------------------------------------------------------------------------------------------

    def drawn_three(self, graph: Graph, federation: Federation, event: Drawn) -> None:
        watched, who, now = self.watched[federation.id], set(event.who), able_for_cells(graph)
        need("seats", federation.sponsor not in who and who <= now | self.serving | self.served, "one is not able")
        seats = watched.seats.setdefault(event.attempt, set())
        need("seats", not seats & who and len(who) <= 3, "one is drawn again")
        seats |= who
        watched.screened = None
        sure = (now & self.serving) - {federation.sponsor}
        out = federation.excluded | watched.excluded | self.seen_of(federation).lacked | set(cells_of(federation).lacked)
        need("cell.three", not who & federation.excluded & watched.excluded or len(sure - out) < 3, "an excluded one sits")
        third = -(-max(self.flagged, sum(graph.flagged(one) for one in graph.accounts)) // 3)
        strangers = sure - joined(federation) - watched.joined - out
        inside = who & joined(federation) & watched.joined
        need("seats", not inside or len(strangers) < max(3, third), "a member sits beside enough others")

    def codes(self, graph: Graph, federation: Federation, known: Cells, event: Screened) -> None:
        watched = self.watched[federation.id]
        watched.screened, watched.aggregators = event, 0
        codes = dict(event.codes)
        need("sums", set(codes) <= set(watched.roster), "a file of one that is not in")
        need("cell.whole", set(codes.values()) <= {USED, AWAY, UNPROVED, RESTS}, codes)
        need("cell.whole", {who for who, code in codes.items() if code == USED} == set(event.accepted), codes)
        by_index = {one.index: one.id for one in federation.members.values()}
        for members in known.inside.values():
            whole = {by_index[index] for index in members}
            need("cell.whole", whole <= set(event.accepted) or not whole & set(event.accepted), "a part of a cell is summed")

    def sums(self, federation: Federation, known: Cells, event: CellsSummed) -> None:
        watched = self.watched[federation.id]
        need("sums", len(event.by) >= 2 and set(event.by) <= watched.seats[event.attempt], event.by)
        by_index = {one.index: one.id for one in federation.members.values()}
        watched.last = tuple(by_index[index] for _, members in event.cells for index in members)
        need("sums", watched.screened is not None and set(watched.screened.accepted) == set(watched.last), watched.last)
        sets = federation.chains[federation.base]
        for _, members in event.cells:
            some = frozenset(by_index[index] for index in members)
            count = sum(watched.roster[who] or not federation.terms.vetted for who in some)
            need("cell.whole", 3 <= len(some) <= 16 and count >= federation.terms.min_sum, count)
            need("cell.base", some in sets, some)
        for who in watched.last:
            watched.points[who] = watched.points.get(who, 0) + 1

    def least(self, federation: Federation, known: Cells, event: Measured) -> None:
        watched, seen = self.watched[federation.id], self.seen_of(federation)
        watched.panelled, watched.loss = 0, event.loss
        need("measured", set(event.by) <= set(watched.panel), "one that does not sit")
        losses = [loss for _, loss in known.found if loss is not None]
        need("cell.least", event.loss == min(losses, default=None), event.loss)
        if event.loss is not None:
            four = known.models[4 * known.chosen : 4 * known.chosen + 4]
            need("cell.least", federation.model and federation.model in four, federation.model)
        if len(known.inside) > 1:
            before = seen.best if seen.base == seen.best_model else seen.loss
            need("revert", before is not None, "the base was not measured")
            for place, members in enumerate(known.inside.values(), 1):
                loss = known.found[place][1]
                some = 0 if loss is None or before is None else min(2**59, max(0, before - loss)) // len(members)
                for index in members:
                    seen.gained[index] = seen.gained.get(index, 0) + some

    # --- money --------------------------------------------------------------------------------------------------------------

    def owed(self, federation: Federation, watched: Watched, pot: int) -> dict[bytes, int]:
        gained = self.seen_of(federation).gained if federation.terms.split == HALF else {}
        indexed = [(one.id, one.index) for one in federation.members.values() if one.index is not None]
        some = {who: gained[index] for who, index in indexed if gained.get(index)}
        if not some:
            return super().owed(federation, watched, pot)
        parts = super().owed(federation, watched, pot - pot // 2)
        for who, part in parted(federation, some, pot // 2).items():
            parts[who] = parts.get(who, 0) + part
        return {who: parts[who] for who in sorted(parts, key=lambda who: federation.members[who].index or 0)}

    def settled(self, graph: Graph, event: Settled) -> None:
        super().settled(graph, event)
        federation = self.known[event.federation]
        if federation.cells is None:
            return
        seen = self.seen_of(federation)
        seen.loss = self.watched[event.federation].loss
        if event.reverted or federation.best_r == event.r:
            seen.gained = {}
        need("cell.radius", 10**6 <= federation.clip <= 64 * 10**9, federation.clip)
        need("cell.radius", not event.reverted or federation.clip == max(10**6, seen.clip // 4), federation.clip)
        need("cell.radius", event.reverted or federation.clip <= 2 * seen.clip, federation.clip)

    # --- cells --------------------------------------------------------------------------------------------------------------

    def seen_of(self, federation: Federation) -> Seen:
        return self.seen.setdefault(federation.id, Seen(clip=federation.terms.clip))

    def cells(self, graph: Graph, federation: Federation, known: Cells) -> None:
        seen = self.seen_of(federation)
        indexes = [index for members in known.living.values() for index in members]
        need("cell.one", len(indexes) == len(set(indexes)), "one has two cells")
        states = {one.index: one.state for one in federation.members.values()}
        need("cell.one", all(states[index] == ACTIVE for index in indexes), "one of a cell is not ACTIVE")
        for number, members in known.living.items():
            need("cell.size", max(3, federation.terms.min_sum) <= len(members) <= 16, len(members))
            need("cell.one", number > seen.numbered or members <= seen.living.get(number, frozenset()), "one came in")
            gone = [index for index in members if known.rows[index].bit_count() >= 3]
            need("cell.missed", not gone, gone)
        for index, row in known.rows.items():
            need("cell.missed", row < 2**16 and (row.bit_count() < 3 or states.get(index) != ACTIVE or index not in indexes), row)
        if GONE in states.values():
            need("cell.one", not any(states[index] == GONE for index in indexes), "who is GONE has a cell")


def cells_of(federation: Federation) -> Cells:
    if federation.cells is None:
        raise ValueError("it has no cells")
    return federation.cells


def able_for_cells(graph: Graph) -> set[bytes]:
    return {who for who in able(graph) if graph.accounts[who].serves_cells}
