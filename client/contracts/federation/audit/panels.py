"""Measurements judged again: seats, commitments, openings, quorum, loss and fees. LC-FED-19, 35 to 39, 49, 51. Pure.

fed.panel -> measure -> (votes signed) -> open -> vote ... -> measured
                ^                                    |
                +------------- again ----------------+
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.messages import (
    CommitMeasure,
    MeasureCode,
    OpenMeasure,
    OpenSteps,
    measure_commitment,
    ticket,
)
from learningchain.chain.losses import BadOpening, check_opening, draw_probe
from learningchain.chain.verification.scale import lower_median
from learningchain.client.contracts.federation.audit.evidence import AuditStep
from learningchain.client.contracts.federation.audit.findings import AuditNotes, pay_faults

FEE = "fed.panel.fee"


@dataclass
class AuditedMeasurement:
    """`votes`: (account, code, loss, holds) as the events tell them."""

    r: int
    again: int
    seats: list[bytes]
    probe: bytes = b""
    committed: dict[bytes, bytes] = field(default_factory=dict)
    opened: dict[bytes, OpenMeasure | OpenSteps] = field(default_factory=dict)
    votes: list[tuple[bytes, int, int, int]] = field(default_factory=list)


class PanelAudit:
    def __init__(self, notes: AuditNotes) -> None:
        self._notes = notes
        self._seats: list[bytes] = []
        self._beacon = b""
        self._early: list[tuple[bytes, CommitMeasure]] = []
        """Of a measurement that the very transaction begins which they are in."""
        self.current: AuditedMeasurement | None = None

    @property
    def again(self) -> int | None:
        """Of the measurement that runs, or came to nothing last."""
        return self.current.again if self.current is not None else None

    def hear(self, sender: bytes, said: Any) -> None:
        now = self.current
        if not isinstance(said, CommitMeasure | OpenMeasure | OpenSteps):
            return
        if now is None or (said.r, said.again) != (now.r, now.again):
            self._early += [(sender, said)] if isinstance(said, CommitMeasure) else []
        elif isinstance(said, CommitMeasure):
            now.committed[sender] = said.commitment
        else:
            now.opened[sender] = said

    def seated(self, step: AuditStep, r: int, seats: list[bytes], joined: set[bytes]) -> None:
        """Who is new stands in the order of the tickets, those that are no members first."""
        self._beacon = self._beacon or step.beacon
        new = [who for who in seats if who not in self._seats]
        order = [(who in joined, ticket(self._beacon, self._notes.federation, 0, 0, who)) for who in new]
        faults = [] if order == sorted(order) else ["who was drawn does not stand in the order of the beacon's tickets"]
        self._seats = seats
        self._notes.judge("draw", faults, f"{len(new)} seats of the panel in the order of their tickets", r)

    def asked(self, r: int, again: int, seats: list[bytes]) -> None:
        early, self._early = self._early, []
        committed = {who: said.commitment for who, said in early if (said.r, said.again) == (r, again)}
        self.current = AuditedMeasurement(r, again, seats, committed=committed)
        if seats != self._seats:
            self._notes.judge("measurement", ["others are asked than were seated"], "", r)

    def opens(self, step: AuditStep) -> None:
        if self.current is not None:
            self.current.probe = step.beacon

    def voted(self, account: bytes, code: int, loss: int, holds: int) -> None:
        if self.current is not None:
            self.current.votes.append((account, code, loss, holds))

    def measured(self, invalid: int, loss: int, by: list[bytes]) -> None:
        """LC-FED-37"""
        now = self.current
        if now is None:
            return
        found = self._result(now)
        faults = self._vote_faults(now)
        if found is None:
            faults.append("too few of the opened votes agree")
        elif (found[1] is None, found[1] or 0) != (bool(invalid), loss):
            faults.append(f"the loss stands as {loss}, the lower median of the votes is {found[1]}")
        elif found[0] != by:
            faults.append("others count than those whose votes agree")
        side = found[0] if found is not None else []
        self._notes.judge("measurement", faults, f"{len(by)} of {len(now.seats)} seats agree, each as it committed to", now.r)
        fee, source = self._notes.terms.fee, records.fee_escrow(self._notes.federation)
        unpaid = pay_faults("a fee", source, [(who, fee) for who in side], self._notes.take_paid(FEE))
        self._notes.judge("fees", unpaid, f"{len(side)} seats got {fee} micro-credits each", now.r)
        self.current = None

    def came_to_nothing(self) -> None:
        """It is measured again, or the federation ends STALLED."""
        now = self.current
        if now is None:
            return
        faults = self._vote_faults(now)
        if self._result(now) is not None:
            faults.append("enough of the opened votes agree: it was to count")
        self._notes.judge("measurement", faults, f"the {now.again + 1}. time: too few agreed, as the votes stand", now.r)

    # --- votes -------------------------------------------------------------------------------------------------------------------

    def _vote_faults(self, now: AuditedMeasurement) -> list[str]:
        """Each vote that stands was opened by its seat, is what that seat committed to, and its leaves hold or do not as told."""
        found = [] if {who for who, *_ in now.votes} == now.opened.keys() else ["other seats are told to have voted than opened"]
        for account, code, loss, holds in now.votes:
            said, name = now.opened.get(account), account.hex()[:12]
            if said is None or account not in now.seats:
                continue
            sealed = self._commitment(now, account, said)
            if now.committed.get(account) != sealed:
                found.append(f"the vote of {name} does not open what it committed to")
            if (code, loss, bool(holds)) != (said.measure.code, self._loss(said), self._holds(now, said)):
                found.append(f"the vote of {name} stands otherwise than it was signed")
        return found

    def _commitment(self, now: AuditedMeasurement, account: bytes, said: OpenMeasure | OpenSteps) -> bytes:
        notes = self._notes
        return measure_commitment(notes.chain_id, notes.federation, now.r, now.again, account, said.measure, said.salt)

    def _loss(self, said: OpenMeasure | OpenSteps) -> int:
        """That stands with its vote."""
        measured = said.measure.measured if isinstance(said, OpenMeasure) else []
        return measured[0].mean if measured else 0

    def _holds(self, now: AuditedMeasurement, said: OpenMeasure | OpenSteps) -> bool:
        """LC-FED-51"""
        if isinstance(said, OpenSteps):
            return False
        for measured, opening in zip(said.measure.measured, said.opening, strict=False):
            probe = draw_probe(now.probe, self._notes.federation, 0, now.again, measured.count)
            try:
                check_opening(measured, probe, opening)
            except BadOpening:
                return False
        return True

    def _result(self, now: AuditedMeasurement) -> tuple[list[bytes], int | None] | None:
        """Who counts, and the loss (None: the model is invalid); None where it is not measured."""
        terms, opened = self._notes.terms, [(who, now.opened[who]) for who in now.seats if who in now.opened]
        good = [(who, one) for who, one in opened if one.measure.code == MeasureCode.OK and self._holds(now, one)]
        losses = [self._loss(one) for _, one in good]
        enough = formulas.enough_votes(len(now.seats), now.again == formulas.MEASUREMENTS - 1)
        side = [good[i][0] for i in formulas.agreeing(terms, losses)]
        invalid = [who for who, one in opened if one.measure.code == MeasureCode.INVALID]
        if len(side) >= enough:
            return side, lower_median(losses)
        return (invalid, None) if len(invalid) >= enough else None
