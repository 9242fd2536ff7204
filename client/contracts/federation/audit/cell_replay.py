"""The replay of a federation with cells: other attempts and lists in the places of attempts and losses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from learningchain.chain.contracts.federation.messages import SumCells
from learningchain.chain.contracts.federation.records import CellRecord, FederationRecord
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.audit.cell_attempts import AuditedCells, CellAttempts
from learningchain.client.contracts.federation.audit.cells import CELL, GONE, OVER, CellsAudit
from learningchain.client.contracts.federation.audit.evidence import AuditStep, FederationEvidence
from learningchain.client.contracts.federation.audit.findings import AuditNotes
from learningchain.client.contracts.federation.audit.lists import CellPayments, ListsAudit
from learningchain.client.contracts.federation.audit.replay import AuditedSum, FederationReplay


@dataclass(frozen=True)
class AuditedCellSum(AuditedSum):
    """Of cells: `delta` is the file of the sums, `clip` the radius; which candidate is the model says the settlement. `cells`:
    number and members of each that was summed."""

    place: AttemptPlace
    cells: tuple[tuple[int, int], ...]
    candidates: tuple[bytes, ...]


class CellReplay(FederationReplay):
    """Of a federation with cells (LC-FED-55 to 62): who is in which, attempts of three aggregators, lists, the radius."""

    _attempts: CellAttempts
    _panel: ListsAudit
    _money: CellPayments

    def __init__(self, evidence: FederationEvidence, notes: AuditNotes) -> None:
        super().__init__(evidence, notes)
        self._money, self._panel = CellPayments(notes, notes.terms.model, notes.terms.clip), ListsAudit(notes)
        self._cells = CellsAudit(notes, self._joined, self._gone)
        self._attempts = CellAttempts(notes, self._cells, self._money.indexes)
        self._summed: AuditedCells | None = None

    # cells and misses

    def _on_cell(self, step: AuditStep, *data: Any) -> None:
        self._cells.told(CELL, data)

    def _on_cell_over(self, step: AuditStep, *data: Any) -> None:
        self._cells.told(OVER, data)

    def _on_gone_cell(self, step: AuditStep, *data: Any) -> None:
        self._cells.told(GONE, data)

    def _on_missed(self, step: AuditStep, number: int, member: bytes, why: int) -> None:
        self._cells.told_missed(number, member, why)

    def _on_left(self, step: AuditStep, member: bytes) -> None:
        super()._on_left(step, member)
        self._cells.left(member)

    # attempts

    def _form(self, step: AuditStep, number: int) -> None:
        evidence = self._evidence
        self._attempts.form(step, evidence.flags.get(number, {}), evidence.rosters.get(number, ()))

    def _on_drawn(self, step: AuditStep, r: int, number: int, deadline: int, *seats: bytes) -> None:
        self._form(step, number)
        super()._on_drawn(step, r, number, deadline, *seats)

    def _on_void(self, step: AuditStep, r: int, number: int, why: int) -> None:
        self._form(step, number)
        super()._on_void(step, r, number, why)

    def _on_silent(self, step: AuditStep, r: int, number: int, who: bytes) -> None:
        self._attempts.tell("silent", who)

    def _on_differs(self, step: AuditStep, r: int, number: int, who: bytes) -> None:
        self._attempts.tell("differs", who)

    def _on_excluded(self, step: AuditStep, who: bytes) -> None:
        self._attempts.tell("excluded", who)

    def _on_cells_summed(self, step: AuditStep, r: int, number: int, sums: bytes, cells: int, *by: bytes) -> None:
        self._summed = now = self._attempts.cells_summed(sums, cells, list(by))
        if now is not None and now.sum is not None:
            self._money.summed(now, b"", self._money.clip)
            self._panel.models = now.sum.models

    # measurements

    def _on_directions(self, step: AuditStep, r: int, chosen: int, *found: int) -> None:
        self._panel.tell(chosen, found)

    def _on_measured(self, step: AuditStep, r: int, again: int, invalid: int, loss: int, *by: bytes) -> None:
        now, money, before = self._summed, self._money, self._money.loss
        super()._on_measured(step, r, again, invalid, loss, *by)
        lists = self._panel.found
        if r and lists is not None and now is not None and now.sum is not None:
            self._sums.append(self._judged_sum(r, now, now.sum))
            money.found(lists, now.sum.models, now, before)

    def _judged_sum(self, r: int, now: AuditedCells, said: SumCells) -> AuditedCellSum:
        """What its candidates were made of."""
        notes, money = self._notes, self._money
        place = AttemptPlace(notes.chain_id, notes.federation, r, now.number)
        cells = tuple((number, len(members)) for number, members in now.summing.items())
        accepted = now.accepted.bit_count()
        return AuditedCellSum(r, money.base, b"", said.sums, money.clip, accepted, place, cells, tuple(said.models))

    def _finish(self) -> None:
        super()._finish()
        self._cells.judge()
        record, cells = self._evidence.record, self._evidence.cells
        if record is not None and cells is not None and record.r:
            self._judge_records(record, cells)

    def _judge_records(self, record: FederationRecord, cells: CellRecord) -> None:
        """What stands in the end, and no event tells."""
        notes, money = self._notes, self._money
        self._cells.judge_record(cells, money.indexes)
        lacked = [] if cells.lacked == self._attempts.lacked else ["its record has others who alone lacked a file than follow"]
        notes.judge("excluded", lacked, f"{len(cells.lacked)} alone lacked a file that two had, as their bitmaps say")
        gained = {one.index: one.gained for one in cells.members if one.gained}
        pairs = {
            "radius": (record.clip, money.clip),
            "base": (record.base, money.base),
            "model": (record.model, money.model),
            "gain of the cells": (gained, {money.indexes.get(who): gain for who, gain in money.gained.items() if gain}),
        }
        wrong = [f"the {name} in its record is another one than follows" for name, (told, due) in pairs.items() if told != due]
        fine = f"the radius stands as {money.clip}; base and model are the candidates that were chosen, or the best one"
        notes.judge("settlement", wrong, fine)
