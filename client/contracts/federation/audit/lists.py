"""Lists of losses judged again: of each direction a loss and a step, of all the least one, what cells gain by it, the radius that
follows. LC-FED-61, 62. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from learningchain.chain.contracts.federation import cell_formulas, formulas
from learningchain.chain.contracts.federation.messages import STEPS, MeasureCode, OpenMeasure, OpenSteps, PaySplit
from learningchain.chain.contracts.federation.steps import least_of
from learningchain.chain.losses import BadOpening, check_opening, draw_probe
from learningchain.client.contracts.federation.audit.cell_attempts import AuditedCells
from learningchain.client.contracts.federation.audit.findings import AuditNotes
from learningchain.client.contracts.federation.audit.panels import AuditedMeasurement, PanelAudit
from learningchain.client.contracts.federation.audit.payments import PaymentsAudit


@dataclass(frozen=True)
class FoundList:
    """`losses` and `steps` of each direction, None and 0 where it is INVALID; `chosen`: the place of the least loss, None where
    all are."""

    side: list[bytes]
    losses: list[int | None]
    steps: list[int]
    chosen: int | None

    @property
    def loss(self) -> int | None:
        return None if self.chosen is None else self.losses[self.chosen]

    def told(self) -> list[int]:
        """As `fed.directions` has it."""
        return [self.chosen or 0, *(n for step, loss in zip(self.steps, self.losses, strict=True) for n in (step, loss or 0))]


class ListsAudit(PanelAudit):
    """Of the initial model a seat measures one loss, of a sum one for each direction."""

    def __init__(self, notes: AuditNotes) -> None:
        super().__init__(notes)
        self.models: Sequence[bytes] = ()
        """The candidates of the last sum."""
        self.found: FoundList | None = None
        """What the lists of the last measurement say."""
        self._told = list[int]()

    def tell(self, chosen: int, found: Sequence[int]) -> None:
        self._told = [chosen, *found]

    def measured(self, invalid: int, loss: int, by: list[bytes]) -> None:
        now = self.current
        if now is not None and now.r:
            found, told = self._agreed(now), self._told
            self.found, self._told = found, []
            wrong = found is None or told != found.told()
            faults = ["other losses, steps or another choice stand than the lists give"] if wrong else []
            self._notes.judge(
                "directions", faults, f"{len(told) // 2} directions, each with the loss that the lists agree on", now.r
            )
        super().measured(invalid, loss, by)

    def _result(self, now: AuditedMeasurement) -> tuple[list[bytes], int | None] | None:
        if not now.r:
            return super()._result(now)
        found = self._agreed(now)
        return None if found is None else (found.side, found.loss)

    def _agreed(self, now: AuditedMeasurement) -> FoundList | None:
        """LC-FED-61: one vote is about all directions."""
        lists = {who: said for who in now.seats if isinstance(said := now.opened.get(who), OpenSteps) and self._counts(now, said)}
        voters, enough = list(lists), formulas.enough_votes(len(now.seats), now.again == formulas.MEASUREMENTS - 1)
        agreed = cell_formulas.measured_lists(self._notes.terms, [self._losses(said) for said in lists.values()], enough)
        if agreed is None:
            return None
        steps = [
            0 if loss is None else lists[voters[seat]].measure.directions[place].step
            for place, (loss, seat) in enumerate(zip(agreed.losses, agreed.seats, strict=True))
        ]
        side = [voters[place] for place in agreed.side]
        return FoundList(side, agreed.losses, steps, cell_formulas.chosen_direction(agreed.losses))

    def _counts(self, now: AuditedMeasurement, said: OpenSteps) -> bool:
        """As a vote of its direction's number: OK whose leaves hold, or INVALID."""
        code, count = said.measure.code, len(said.measure.directions)
        return code == MeasureCode.INVALID or (code == MeasureCode.OK and count == self._many and self._holds(now, said))

    @property
    def _many(self) -> int:
        return len(self.models) // len(STEPS)

    def _losses(self, said: OpenSteps) -> list[int | None]:
        if said.measure.code == MeasureCode.INVALID:
            return [None] * self._many
        return [one.measured[0].mean if one.measured else None for one in said.measure.directions]

    def _loss(self, said: OpenMeasure | OpenSteps) -> int:
        return least_of(said.measure) if isinstance(said, OpenSteps) else super()._loss(said)

    def _holds(self, now: AuditedMeasurement, said: OpenMeasure | OpenSteps) -> bool:
        """The leaves of one direction, which the beacon names."""
        if isinstance(said, OpenMeasure):
            return super()._holds(now, said)
        measured = [(number, one.measured[0]) for number, one in enumerate(said.measure.directions) if one.measured]
        if not measured or not said.opening:
            return said.measure.code != MeasureCode.OK
        number, found = measured[int.from_bytes(now.probe, "big") % len(measured)]
        try:
            check_opening(found, draw_probe(now.probe, self._notes.federation, number, now.again, found.count), said.opening[0])
        except BadOpening:
            return False
        return True


@dataclass
class CellPayments(PaymentsAudit):
    """`clip` is the radius. `gained`: by account, its part of what its cell gained alone, in units of 1e-9."""

    gained: Counter[bytes] = field(default_factory=Counter)
    step: int = 0
    """Of the candidate that was chosen last."""

    def found(self, lists: FoundList, models: Sequence[bytes], now: AuditedCells, before: int | None) -> None:
        """The round's model, and what each of several cells gained. `before`: the loss of the round before."""
        base = self.best if self.base == self.best_model else before or 0
        if len(now.summing) > 1:
            for members, loss in zip(now.summing.values(), lists.losses[1:], strict=False):
                self.gained.update(dict.fromkeys(members, cell_formulas.gained(base, loss, len(members))))
        if lists.chosen is not None:
            self.step = lists.steps[lists.chosen]
            self.model = models[lists.chosen * len(STEPS) + STEPS.index(self.step)]
        self.loss = lists.loss

    def settled(self, outcome: int, loss: int, best: int, pot: int) -> None:
        r = self.r
        super().settled(outcome, loss, best, pot)
        progress = self.best_r == r
        if progress or self.streak:
            self.clip = cell_formulas.next_radius(self.clip, self.step)
        else:
            self.clip = cell_formulas.shorter_radius(self.clip)
        if not self.streak:
            self.gained.clear()

    def _parts(self, pot: int, points: Sequence[tuple[bytes, int]]) -> list[int]:
        half = self.notes.terms.split == PaySplit.HALF
        return cell_formulas.half_shares(pot, [one for _, one in points], [self.gained[who] if half else 0 for who, _ in points])
