"""All that was said of a federation, step by step, judged by the rules. Pure; time and memory as its steps.

A finding holds of what was signed and of the beacons in the blocks, whatever the events tell; where an event tells otherwise it
DIFFERS. Beside rules there are conditions of the state that no step shows (who is flagged, whose machine is large enough): the
execution of the blocks, which made the roots that the validators signed, has looked at these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.messages import CloseFederation, JoinFederation, NewData, StartRound
from learningchain.chain.contracts.federation.records import EndReason
from learningchain.chain.types import LogEvent, TransferEvent, format_credits
from learningchain.client.contracts.federation.audit.attempts import AttemptsAudit
from learningchain.client.contracts.federation.audit.evidence import AuditStep, FederationEvidence
from learningchain.client.contracts.federation.audit.findings import AuditFinding, AuditNotes, AuditVerdict
from learningchain.client.contracts.federation.audit.panels import PanelAudit
from learningchain.client.contracts.federation.audit.payments import PaymentsAudit

LOCKED, BACK = ("fed.bounty.locked", "fed.fees.locked"), ("fed.bounty.back", "fed.fees.back")
KEPT = "fed.kept"
UNSIGNED = (EndReason.GIVEN_BACK,)
"""Ends of which the reason lies outside of the federation."""


@dataclass(frozen=True)
class AuditedSum:
    """A recorded sum: the clip that it was trained with (units of 1e-9), and of how many updates it is."""

    r: int
    base: bytes
    model: bytes
    delta: bytes
    clip: int
    accepted: int


@dataclass(frozen=True)
class FederationAudit:
    """`findings` in the order in which things happened, what is of the whole last. `shares`: micro-credits by account. `best_r`:
    the round that gave the best model; 0: none was better than the initial one."""

    findings: list[AuditFinding]
    sums: list[AuditedSum]
    shares: dict[bytes, int]
    best_r: int = 0
    ended: bool = False

    @property
    def holds(self) -> bool:
        return all(one.verdict != AuditVerdict.DIFFERS for one in self.findings)


class FederationReplay:
    def __init__(self, evidence: FederationEvidence, notes: AuditNotes) -> None:
        terms = notes.terms
        self._evidence, self._notes = evidence, notes
        self._attempts, self._panel = AttemptsAudit(notes), PanelAudit(notes)
        self._money = PaymentsAudit(notes, terms.model, terms.clip)
        self._held = {records.bounty_escrow(notes.federation): 0, records.fee_escrow(notes.federation): 0}
        self._starts, self._deadline = 0, 0
        self._joined: set[bytes] = set()
        self._present: set[bytes] = set()
        """Members, and who waits to be one."""
        self._asked: dict[bytes, JoinFederation | NewData] = {}
        """Who signed a wish to join, and with which data."""
        self._member_faults: list[str] = []
        self._digests: dict[bytes, bytes] = {}
        self._sums: list[AuditedSum] = []
        self._ended = 0

    def run(self) -> FederationAudit:
        for step in self._evidence.steps:
            for said in step.messages:
                self._hear(step, said)
            for event in step.events:
                if isinstance(event, TransferEvent):
                    self._moved(event)
                else:
                    self._happened(step, event)
        self._finish()
        return FederationAudit(self._notes.findings, self._sums, self._money.shares, self._money.best_r, bool(self._ended))

    def _hear(self, step: AuditStep, said: Any) -> None:
        self._attempts.hear(step.sender, said)
        self._panel.hear(step.sender, said)
        if isinstance(said, JoinFederation | NewData):
            self._asked[step.sender] = said

    def _moved(self, event: TransferEvent) -> None:
        """Every credit into and out of the two escrows; what pays somebody waits to be accounted for."""
        for escrow, sign in ((event.target, 1), (event.source, -1)):
            if escrow in self._held:
                self._held[escrow] += sign * event.amount
        self._notes.paid.append(event)

    def _happened(self, step: AuditStep, event: LogEvent) -> None:
        topic, data = event.topic.removeprefix("fed."), event.data
        if topic != "code":
            self._attempts.judge_codes(self._money.base, self._starts)
        handler = getattr(self, f"_on_{topic.replace('.', '_')}", None)
        if handler is not None:
            handler(step, *data)

    # --- the federation ----------------------------------------------------------------------------------------------------------

    def _on_opened(self, step: AuditStep, sponsor: bytes, bounty: int, fee: int, target: int, rounds: int, ends: int) -> None:
        terms = self._notes.terms
        told, signed = (bounty, fee, target, rounds, ends), (terms.bounty, terms.fee, terms.target, terms.rounds, terms.ends)
        faults = [] if told == signed and sponsor == self._notes.sponsor else ["it stands otherwise than it was signed"]
        self._notes.judge("terms", faults, "the sponsor signed them, and the id is made of that transaction")
        locked, burned = [self._notes.take_paid(reason) for reason in LOCKED], self._notes.take_paid(KEPT)
        fees = formulas.fees_locked(terms.fee, terms.rounds)
        amounts = [sum(one.amount for one in some) for some in (*locked, burned)]
        wrong = [] if amounts[0] == terms.bounty else [f"{amounts[0]} micro-credits were locked, not the bounty of {terms.bounty}"]
        if amounts[1] - amounts[2] != fees:
            wrong.append(f"{amounts[1] - amounts[2]} micro-credits were locked for fees, not {fees}")
        fine = f"{format_credits(terms.bounty)} credits of bounty and {format_credits(fees)} for fees were locked"
        self._notes.judge("escrow", wrong, fine)

    def _on_idle(self, step: AuditStep, r: int, starts: int, deadline: int) -> None:
        self._deadline = deadline

    def _on_key(self, step: AuditStep, deadline: int) -> None:
        self._deadline = deadline

    def _on_started(self, step: AuditStep, r: int, number: int, height: int) -> None:
        faults = [] if number == self._starts + 1 else [f"start {number} follows start {self._starts}"]
        signed = any(isinstance(one, StartRound) and one.r == r for one in step.messages)
        if step.sender != self._notes.sponsor or not signed:
            faults.append("the sponsor signed no start of this round")
        if r != self._money.r:
            faults.append(f"round {self._money.r} was next, not {r}")
        self._starts = number
        roster = self._evidence.rosters.get(number, ())
        strangers = [
            one.account for one in roster if self._money.indexes.get(one.account) != one.index or not self._in(one.account)
        ]
        faults += [f"{who.hex()[:12]} is in, and was no member" for who in strangers]
        if r:
            self._attempts.begin(r, number, roster)
        self._notes.judge(
            "start", faults, f"signed by the sponsor, {len(roster)} members in" if roster else "signed by the sponsor", r, number
        )

    def _in(self, account: bytes) -> bool:
        return account in self._joined

    # --- members -----------------------------------------------------------------------------------------------------------------

    def _on_asked(self, step: AuditStep, member: bytes) -> None:
        if step.sender != member:
            self._member_faults.append(f"{member.hex()[:12]} did not ask")
        self._present.add(member)

    def _on_joined(self, step: AuditStep, member: bytes, index: int) -> None:
        name, terms = member.hex()[:12], self._notes.terms
        if member not in self._asked:
            self._member_faults.append(f"{name} joined and never asked")
        by = member if terms.admit_open else self._notes.sponsor
        if step.sender != by:
            self._member_faults.append(f"{name} was let in by {step.sender.hex()[:12]}, who may not")
        if index in {known for who, known in self._money.indexes.items() if who != member}:
            self._member_faults.append(f"the index {index} of {name} is another one's")
        digest = self._takes(member)
        if digest in {known for who, known in self._digests.items() if who != member and who in self._joined}:
            self._member_faults.append(f"{name} joined with the data of another member")
        self._digests[member], self._money.indexes[member] = digest, index
        self._joined.add(member)
        self._present.add(member)

    def _on_left(self, step: AuditStep, member: bytes) -> None:
        if step.sender != member:
            self._member_faults.append(f"{member.hex()[:12]} left without signing it")
        self._gone(member)

    def _on_removed(self, step: AuditStep, member: bytes) -> None:
        if step.sender != self._notes.sponsor:
            self._member_faults.append(f"{member.hex()[:12]} was removed by another one than the sponsor")
        self._gone(member)

    def _on_lapsed(self, step: AuditStep, member: bytes) -> None:
        self._gone(member)

    def _gone(self, member: bytes) -> None:
        self._joined.discard(member)
        self._present.discard(member)

    def _on_forgotten(self, step: AuditStep, member: bytes) -> None:
        self._money.indexes.pop(member, None)
        self._attempts.forgotten(member)

    def _on_data(self, step: AuditStep, member: bytes) -> None:
        self._digests[member] = self._takes(member)

    def _takes(self, member: bytes) -> bytes:
        """With the event, and not with the message: a sum before it in the same transaction went by the data of before."""
        asked = self._asked.get(member)
        self._money.examples[member] = asked.n if asked is not None else 0
        return asked.digest if asked is not None else b""

    # --- attempts ----------------------------------------------------------------------------------------------------------------

    def _on_drawn(self, step: AuditStep, r: int, number: int, deadline: int, *seats: bytes) -> None:
        self._attempts.drawn(step, list(seats))

    def _on_train(self, step: AuditStep, r: int, number: int, deadline: int, *seats: bytes) -> None:
        self._attempts.trains(list(seats))

    def _on_file(self, step: AuditStep, number: int, member: bytes, file: bytes) -> None:
        self._attempts.filed(step, member, file)

    def _on_reference(self, step: AuditStep, number: int, file: bytes) -> None:
        self._attempts.referred(file)

    def _on_collect(self, step: AuditStep, number: int, deadline: int, files: int) -> None:
        self._attempts.collected(files)

    def _on_rows(self, step: AuditStep, number: int, height: int, files: int, *deciding: bytes) -> None:
        self._attempts.decided(files, list(deciding))

    def _on_screen(self, step: AuditStep, number: int, deadline: int) -> None:
        self._attempts.rows_drawn(step)

    def _on_disputed(self, step: AuditStep, number: int, stage: int, *both: bytes) -> None:
        self._attempts.disputed(stage, list(both))

    def _on_code(self, step: AuditStep, r: int, number: int, member: bytes, code: int, points: int, accepted: int) -> None:
        self._attempts.coded(member, code, points, accepted)

    def _on_benched(self, step: AuditStep, member: bytes, until: int) -> None:
        self._attempts.benched(member, until)

    def _on_screened(self, step: AuditStep, r: int, number: int, used: int, accepted: int, norm: int, deadline: int) -> None:
        self._attempts.screened(self._money.base, used, accepted, norm)

    def _on_void(self, step: AuditStep, r: int, number: int, why: int) -> None:
        self._attempts.void(why)

    def _on_summed(self, step: AuditStep, r: int, number: int, model: bytes, delta: bytes, clip: int, *by: bytes) -> None:
        self._attempts.summed(model, delta, self._money.clip, clip, list(by))
        if (now := self._attempts.current) is not None:
            known = self._money
            self._sums.append(AuditedSum(r, known.base, model, delta, known.clip, now.accepted.bit_count()))
            known.summed(now, model, clip)
        self._attempts.current = None

    # --- measurements ------------------------------------------------------------------------------------------------------------

    def _on_panel(self, step: AuditStep, r: int, *seats: bytes) -> None:
        self._panel.seated(step, r, list(seats), self._present)

    def _on_measure(self, step: AuditStep, r: int, again: int, deadline: int, *seats: bytes) -> None:
        self._panel.asked(r, again, list(seats))

    def _on_open(self, step: AuditStep, r: int, again: int, deadline: int) -> None:
        self._panel.opens(step)

    def _on_vote(self, step: AuditStep, r: int, again: int, seat: bytes, code: int, loss: int, holds: int) -> None:
        self._panel.voted(seat, code, loss, holds)

    def _on_again(self, step: AuditStep, r: int, again: int) -> None:
        self._panel.came_to_nothing()

    def _on_measured(self, step: AuditStep, r: int, again: int, invalid: int, loss: int, *by: bytes) -> None:
        self._panel.measured(invalid, loss, list(by))
        told = None if invalid else loss
        if r == 0:
            self._money.started_from(told)
        else:
            self._money.loss = told

    def _on_settled(self, step: AuditStep, r: int, outcome: int, loss: int, best: int, pot: int) -> None:
        self._money.settled(outcome, loss, best, pot)

    # --- the end -----------------------------------------------------------------------------------------------------------------

    def _on_ended(self, step: AuditStep, why: int, best: int, paid: int) -> None:
        self._ended = why
        if why == EndReason.STALLED:
            self._panel.came_to_nothing()
        if why in UNSIGNED:
            self._notes.leave("end", "the validators gave it back: why stands in their vote, not in the federation")
        else:
            self._judge_end(step, why, best, paid)
        back = sum(one.amount for reason in BACK for one in self._notes.take_paid(reason))
        left = [f"{amount} micro-credits stayed in an escrow" for amount in self._held.values() if amount]
        self._notes.judge("escrow", left, f"{format_credits(back)} credits that nobody earned went back; nothing is left in either")

    def _judge_end(self, step: AuditStep, why: int, best: int, paid: int) -> None:
        money, terms = self._money, self._notes.terms
        closed = step.sender == self._notes.sponsor and any(isinstance(one, CloseFederation) for one in step.messages)
        late = bool(self._deadline) and step.clock >= self._deadline
        known = {
            EndReason.REACHED: money.r > 0 and money.best <= terms.target,
            EndReason.ROUNDS: money.r == terms.rounds or self._starts == formulas.most_starts(terms.rounds),
            EndReason.MET: money.r == 0 and bool(money.best_model) and money.is_met,
            EndReason.BAD_MODEL: money.r == 0 and money.loss is None,
            EndReason.NOKEY: bool(terms.hidden) and money.r == 0 and late,
            EndReason.STALLED: self._panel.again == formulas.MEASUREMENTS - 1,
            EndReason.CLOSED: closed,
            EndReason.ABANDONED: late and step.clock < terms.ends,
            EndReason.EXPIRED: late and step.clock >= terms.ends,
        }
        name = EndReason(why).name if why in frozenset(EndReason) else str(why)
        faults = [] if why in frozenset(EndReason) and known[EndReason(why)] else [f"{name} does not follow from what happened"]
        if (best, paid) != (money.best, money.paid):
            faults.append(
                f"it stands with the best loss {best} and {paid} micro-credits paid, {money.best} and {money.paid} follow"
            )
        record = self._evidence.record
        if record is not None and (record.best_r, record.best_model) != (money.best_r, money.best_model):
            faults.append(f"its record names the model of round {record.best_r} the best, that of round {money.best_r} follows")
        best_of = f"that of round {money.best_r}" if money.best_r else "the initial one"
        self._notes.judge("end", faults, f"{name}, with {format_credits(money.paid)} credits paid; the best model is {best_of}")

    def _finish(self) -> None:
        notes, evidence, money = self._notes, self._evidence, self._money
        count = len(self._money.indexes)
        notes.judge("members", self._member_faults, f"{count} asked by their own signature, and were let in by who may")
        if not self._ended:
            told = tuple(self._held.values())
            wrong = [] if told == evidence.escrows else [f"the escrows hold {evidence.escrows}, {told} follows from the payments"]
            sums = " and ".join(format_credits(amount) for amount in told)
            notes.judge("escrow", wrong, f"{sums} credits are locked, as locked and paid give")
        stood = {who: one.paid for who, one in evidence.members if one.paid}
        owed = {who: amount for who, amount in money.shares.items() if amount}
        wrong = [] if stood == owed else ["what the ledger's records say members were paid is not what the rounds give"]
        notes.judge("pay", wrong, f"{format_credits(sum(owed.values()))} credits to {len(owed)} owners in all")
        rest = [f"{one.amount} micro-credits moved as {one.reason}, which nothing asks for" for one in notes.paid]
        if rest:
            notes.judge("escrow", rest, "")
        if notes.terms.hidden:
            notes.leave(
                "loss", "the hidden file is the panel's alone: that its seats measured what they say nobody else can repeat"
            )
        else:
            notes.leave(
                "loss", "the seats' agreement is judged; to repeat what one measured, run the image's evaluate on the model"
            )
