"""Who sits in which cell, who missed an attempt and lost its place, beside what the events tell of it. LC-FED-56 to 59. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from learningchain.chain.contracts.federation import cell_formulas, formulas
from learningchain.chain.contracts.federation.messages import MOST_CELLS
from learningchain.chain.contracts.federation.records import CellRecord, RosterEntry
from learningchain.client.contracts.federation.audit.findings import AuditNotes, Told, parted

CELL, OVER, GONE = "fed.cell", "fed.cell.over", "fed.gone.cell"
UNSEEN = "the block of the draw changed the flag of {}, or banned it: who is in which cell is taken as told"


class CellsAudit:
    """`joined`: the ACTIVE members, as the replay has them; `lose` is told whom misses cost its membership. What is due by the
    rules and what is told are held together whenever something is judged."""

    def __init__(self, notes: AuditNotes, joined: set[bytes], lose: Callable[[bytes], None]) -> None:
        self._notes, self._joined, self._lose = notes, joined, lose
        self._cells: dict[int, list[bytes]] = {}
        """By their numbers: who is left of each."""
        self.taken_as_told = False
        """Who was in at the last draw."""
        self._numbered = 0
        self._rows: dict[bytes, int] = {}
        self._moves, self._told = list[Told](), list[Told]()
        self._missed, self._told_missed = list[Told](), list[Told]()

    # --- what is told ------------------------------------------------------------------------------------------------------------

    def told(self, topic: str, data: Sequence[Any]) -> None:
        self._told.append((topic, *data))

    def told_missed(self, attempt: int, member: bytes, why: int) -> None:
        self._told_missed.append((attempt, member, why))

    def judge(self, r: int | None = None, attempt: int | None = None) -> None:
        """What was told of cells and misses since the last time."""
        if self._moves or self._told:
            shown = f"{len(self._moves)} changes of cells, as tickets, flags and misses give"
            self._notes.judge("cells", parted(self._moves, self._told), shown, r, attempt)
        if attempt is not None:
            shown = f"{len(self._missed)} missed, as files, aggregators and codes say"
            self._notes.judge("misses", parted(self._missed, self._told_missed), shown, r, attempt)
        for some in (self._moves, self._told, self._missed, self._told_missed):
            some.clear()

    # --- cells (LC-FED-56) -------------------------------------------------------------------------------------------------------

    def left(self, who: bytes) -> None:
        """For ever; with too few left its cell is over."""
        for number, members in list(self._cells.items()):
            if who in members:
                members.remove(who)
                self._moves.append((GONE, who))
                if len(members) < self._notes.terms.min_sum:
                    self._ends(number)

    def form(
        self, r: int, attempt: int, ticket_of: Callable[[bytes], bytes], flags: Mapping[bytes, bool | None], roster: set[bytes]
    ) -> dict[int, list[bytes]]:
        """At the end of a DRAW: the cells that are in, with their members. `flags`: who carries it, None who was banned; `roster`:
        who is in as the ledger's record has it, nobody where the attempt ended with the draw."""
        unseen = sorted(self._joined - flags.keys())
        self.taken_as_told = bool(unseen)
        if unseen:
            self._notes.leave("cells", UNSEEN.format(unseen[0].hex()[:12]), r, attempt)
            return self._as_told(roster)
        counts = {who: bool(flags[who]) or not self._notes.terms.vetted for who in self._joined if flags[who] is not None}
        self._deal_first(ticket_of, counts)
        for who in sorted(self._joined - counts.keys()):
            self.left(who)
        self._deal_new(ticket_of, counts)
        inside = self._fit(counts)
        within = {who for members in inside.values() for who in members}
        faults = parted(self._moves, self._told)
        if roster and roster != within:
            faults.append("others are in the roster than the cells that may be in give")
        waiting = len(counts) - len(within)
        self._notes.judge("cells", faults, f"{len(within)} owners are in, in {len(inside)} cells; {waiting} wait", r, attempt)
        self._moves.clear()
        self._told.clear()
        return inside

    def _deal_first(self, ticket_of: Callable[[bytes], bytes], counts: dict[bytes, bool]) -> None:
        if not self._numbered and self._is_enough(counts, counts, cell_formulas.LEAST_IN_CELL):
            many = cell_formulas.cells_of(self._notes.terms, len(counts), sum(counts.values()))
            self._deal(ticket_of, counts, counts, many, set())

    def _deal_new(self, ticket_of: Callable[[bytes], bytes], counts: dict[bytes, bool]) -> None:
        """Of those who wait or are of a cell that rests, where they are enough; then what rests is over."""
        fit = self._fit(counts)
        inside = {who for members in fit.values() for who in members}
        outside, least = counts.keys() - inside, cell_formulas.usual_size(self._notes.terms)
        if self._numbered and len(fit) < MOST_CELLS and self._is_enough(outside, counts, least):
            resting = [number for number in self._cells if number not in fit]
            together = {who for number in resting for who in self._cells[number]}
            for number in resting:
                self._ends(number)
            self._deal(ticket_of, outside, counts, 1, together)

    def _deal(
        self,
        ticket_of: Callable[[bytes], bytes],
        members: Iterable[bytes],
        counts: dict[bytes, bool],
        many: int,
        together: set[bytes],
    ) -> None:
        order = sorted(members, key=lambda who: (not counts[who], who not in together, ticket_of(who)))
        needed = order[: self._notes.terms.min_sum]
        order.sort(key=lambda who: who not in needed and who not in together)
        for places in cell_formulas.dealt(len(order), many):
            self._numbered += 1
            dealt = self._cells[self._numbered] = [order[place] for place in places]
            self._rows |= dict.fromkeys(dealt, 0)
            self._moves.append((CELL, self._numbered, *sorted(dealt)))

    def _fit(self, counts: dict[bytes, bool]) -> dict[int, list[bytes]]:
        least = cell_formulas.LEAST_IN_CELL
        return {number: list(members) for number, members in self._cells.items() if self._is_enough(members, counts, least)}

    def _is_enough(self, members: Iterable[bytes], counts: dict[bytes, bool], least: int) -> bool:
        found = [counts[who] for who in members if who in counts]
        return len(found) >= least and sum(found) >= self._notes.terms.min_sum

    def _ends(self, number: int) -> None:
        del self._cells[number]
        self._moves.append((OVER, number))

    def _as_told(self, roster: set[bytes]) -> dict[int, list[bytes]]:
        for topic, *data in self._told:
            if topic == CELL:
                self._numbered, self._cells[data[0]] = data[0], data[1:]
                self._rows |= dict.fromkeys(data[1:], 0)
            elif topic == OVER:
                self._cells.pop(data[0], None)
            else:
                self._cells = {number: [who for who in members if who != data[0]] for number, members in self._cells.items()}
        self._moves.clear()
        self._told.clear()
        return {number: list(members) for number, members in self._cells.items() if roster.issuperset(members)}

    # --- misses (LC-FED-58, 59) --------------------------------------------------------------------------------------------------

    def trained(self, roster: Sequence[RosterEntry]) -> None:
        """The row of each goes on by one attempt."""
        for one in roster:
            self._rows[one.account] = cell_formulas.after_attempt(self._rows.get(one.account, 0), False)

    def miss(self, attempt: int, who: bytes, why: int) -> None:
        """The third of sixteen attempts costs its place."""
        self._rows[who] = self._rows.get(who, 0) | 1
        self._missed.append((attempt, who, why))
        if cell_formulas.is_gone(self._rows[who]) and any(who in members for members in self._cells.values()):
            self._lose(who)
            self.left(who)

    # --- the record --------------------------------------------------------------------------------------------------------------

    def judge_record(self, record: CellRecord, indexes: Mapping[bytes, int]) -> None:
        """Cells and rows of the last attempts, as they stand in the end."""
        told = {cell.number: formulas.of_bitmap(cell.members) for cell in record.cells}
        due = {number: sum(1 << indexes.get(who, 0) for who in members) for number, members in self._cells.items()}
        same = (record.numbered, told) == (self._numbered, due)
        self._notes.judge(
            "cells", [] if same else ["its record has other cells than follow"], f"its record has the {len(due)} that follow"
        )
        rows = {one.index: one.attempts for one in record.members}
        wrong = [
            f"the row of {who.hex()[:12]} stands otherwise"
            for who, at in indexes.items()
            if rows.get(at, 0) != self._rows.get(who, 0)
        ]
        self._notes.judge("misses", wrong, "the rows of the last attempts are those that follow")
