"""Progress, points, pots and shares judged again. LC-FED-40 to 44. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.messages import PaySplit
from learningchain.chain.contracts.federation.records import RoundOutcome
from learningchain.chain.types import format_credits, format_loss
from learningchain.client.contracts.federation.audit.attempts import AuditedAttempt
from learningchain.client.contracts.federation.audit.findings import AuditNotes, pay_faults

SHARE = "fed.share"


@dataclass
class PaymentsAudit:
    """Where the money stands. `points` and `shares` (micro-credits) by account, `indexes` by account, `examples` as claimed."""

    notes: AuditNotes
    base: bytes
    clip: int
    r: int = 0
    initial: int = 0
    best: int = 0
    best_model: bytes = b""
    best_r: int = 0
    model: bytes = b""
    paid: int = 0
    streak: int = 0
    loss: int | None = None
    """Of the last measurement; None: the model is invalid."""
    last: list[bytes] = field(default_factory=list)
    points: dict[bytes, int] = field(default_factory=dict)
    shares: dict[bytes, int] = field(default_factory=dict)
    indexes: dict[bytes, int] = field(default_factory=dict)
    examples: dict[bytes, int] = field(default_factory=dict)

    def started_from(self, loss: int | None) -> None:
        """LC-FED-39"""
        self.loss, self.model = loss, self.base
        if loss is None:
            return
        self.initial = self.best = loss
        self.best_model = self.base
        if not self.is_met:
            self.r = 1

    @property
    def is_met(self) -> bool:
        terms = self.notes.terms
        return self.initial - 2 * formulas.tol(terms, self.initial) <= terms.target

    def summed(self, attempt: AuditedAttempt, model: bytes, clip: int) -> None:
        """LC-FED-40"""
        by_index = sorted((attempt.index_of(who) or 0, place, who) for place, (who, _) in enumerate(attempt.files))
        found = [(place, who) for index, place, who in by_index if attempt.accepted >> index & 1]
        split = self.notes.terms.split
        if split == PaySplit.ALIGNED:
            given = attempt.agreed.points if attempt.agreed is not None else b""
            new = [given[place] if place < len(given) else 0 for place, _ in found]
        elif split == PaySplit.SAMPLES:
            new = formulas.sample_points([self.examples.get(who, 0) for _, who in found]) if found else []
        else:
            new = [1] * len(found)
        for (_, who), points in zip(found, new, strict=True):
            self.points[who] = self.points.get(who, 0) + points
        self.model, self.clip, self.last = model, clip, [who for _, who in found]

    def settled(self, outcome: int, loss: int, best: int, pot: int) -> None:
        """LC-FED-41 to 43"""
        r, terms, measured = self.r, self.notes.terms, self.loss
        worst = self.best + formulas.margin(terms, self.initial)
        due, shares = 0, list[tuple[bytes, int]]()
        if measured is not None and formulas.improves(terms, measured, self.best):
            wanted = RoundOutcome.PROGRESS
            self.best, self.best_model, self.base, self.streak = measured, self.model, self.model, 0
            self.best_r = r
            if self.initial > terms.target:  # otherwise it was to end before: what is told has been found to differ
                due = formulas.due(terms, self.initial, measured) - self.paid
            shares = self._shares(due)
            self.paid += due
            self.points.clear()
        elif measured is None or measured > worst or self.streak + 1 >= terms.patience:
            wanted = RoundOutcome.REVERTED
            self.base, self.streak = self.best_model, 0
            self.points.clear()
        else:
            wanted = RoundOutcome.NO_PROGRESS
            self.base, self.streak = self.model, self.streak + 1
        told, follows = (outcome, loss, best, pot), (wanted, measured or 0, self.best, due)
        faults = [] if told == follows else [f"it stands as {_outcome(*told)}; {_outcome(*follows)} follows from the loss"]
        self.notes.judge("settlement", faults, _outcome(*follows), r)
        source = records.bounty_escrow(self.notes.federation)
        unpaid = pay_faults("a share", source, shares, self.notes.take_paid(SHARE))
        fine = f"{format_credits(due)} credits to {len(shares)} owners, to the micro-credit"
        self.notes.judge("pay", unpaid, fine, r)
        for who, amount in shares:
            self.shares[who] = self.shares.get(who, 0) + amount
        if self.best > terms.target and r < terms.rounds:
            self.r += 1

    def _shares(self, pot: int) -> list[tuple[bytes, int]]:
        """In the order of the indexes: by points, or equally to those of the last sum."""
        found = sorted((self.indexes.get(who, 0), who, points) for who, points in self.points.items() if points)
        found = found or sorted((self.indexes.get(who, 0), who, 1) for who in self.last)
        if not found:
            return []
        parts = self._parts(pot, [(who, points) for _, who, points in found])
        return [(who, part) for (_, who, _), part in zip(found, parts, strict=True)]

    def _parts(self, pot: int, points: Sequence[tuple[bytes, int]]) -> list[int]:
        return formulas.shares(pot, [one for _, one in points])


def _outcome(outcome: int, loss: int, best: int, pot: int) -> str:
    name = RoundOutcome(outcome).name if outcome in frozenset(RoundOutcome) else str(outcome)
    return f"{name} at a loss of {format_loss(loss)}, the best one {format_loss(best)}, a pot of {format_credits(pot)} credits"
