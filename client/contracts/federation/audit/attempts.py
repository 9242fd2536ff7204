"""Attempts judged again: files, who decides, Screens, accepted sets, sums and fees. LC-FED-20 to 34. Pure.

fed.started -> drawn -> file ... -> have ... -> rows -> code ... screened -> summed
                                                          any of them -> void
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import Any

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    CommitUpdate,
    FileCode,
    HaveUpdates,
    PartStage,
    PinParts,
    ReferUpdate,
    ScreenUpdates,
    SumUpdates,
    ticket,
)
from learningchain.chain.contracts.federation.records import RosterEntry, VoidReason
from learningchain.chain.contracts.federation.screening import ENDS_ROW, LEAVES_ROW, UNJUDGED
from learningchain.client.contracts.federation.audit.evidence import AuditStep
from learningchain.client.contracts.federation.audit.findings import AuditNotes, pay_faults

FEE = "fed.aggregator"
SEALED = (
    "rows and masks are opened to the drawn aggregators alone, and no file outlives its round: which rule a file met rests on "
    "what they said alike"
)


@dataclass
class AuditedAttempt:
    """`files`: (account, CID) in the order of the commitments; messages by their senders, parts by stage and sender."""

    r: int
    number: int
    roster: tuple[RosterEntry, ...]
    beacon: bytes = b""
    rows: bytes = b""
    seats: list[bytes] = field(default_factory=list)
    trained: bool = False
    """Its aggregators were ready."""
    files: list[tuple[bytes, bytes]] = field(default_factory=list)
    file_faults: list[str] = field(default_factory=list)
    reference: bytes = b""
    told_reference: bytes = b""
    have: dict[bytes, HaveUpdates] = field(default_factory=dict)
    parts: dict[tuple[int, bytes], dict[int, bytes]] = field(default_factory=dict)
    screens: dict[bytes, ScreenUpdates] = field(default_factory=dict)
    sums: dict[bytes, SumUpdates] = field(default_factory=dict)
    deciding: list[bytes] = field(default_factory=list)
    shared: int = 0
    with_reference: bool = False
    disputed: tuple[int, list[bytes]] | None = None
    told: list[tuple[bytes, int, int, int]] = field(default_factory=list)
    """Of each file: account, code, points, accepted."""
    agreed: ScreenUpdates | None = None
    accepted: int = 0

    def index_of(self, account: bytes) -> int | None:
        return next((one.index for one in self.roster if one.account == account), None)


def most_alike(said: Sequence[tuple[bytes, Any]]) -> list[bytes]:
    """LC-FED-27: who said what most say, at least two."""
    best: list[bytes] = []
    for _, vote in said:
        same = [who for who, other in said if vote is not None and other == vote]
        best = same if len(same) > len(best) else best
    return best if len(best) >= 2 else []


class AttemptsAudit:
    """Replays one attempt after the other; `accepted` and `bad` go on from one to the next."""

    def __init__(self, notes: AuditNotes) -> None:
        self._notes = notes
        self.current: AuditedAttempt | None = None
        self._sets: dict[bytes, list[int]] = {}
        """LC-FED-30: accepted on each base, by its CID."""
        self._bad: Counter[bytes] = Counter()
        self._due_benches: list[tuple[bytes, int]] = []

    # --- what was sent -----------------------------------------------------------------------------------------------------------

    def hear(self, sender: bytes, said: Any) -> None:
        now = self.current
        if now is None or getattr(said, "attempt", None) != now.number:
            return
        match said:
            case HaveUpdates():
                now.have[sender] = said
            case PinParts():
                now.parts[said.stage, sender] = {part.mask: part.digest for part in said.parts}
            case ScreenUpdates():
                now.screens[sender] = said
            case SumUpdates():
                now.sums[sender] = said
            case ReferUpdate() if sender == self._notes.sponsor:
                now.reference = said.cid

    # --- what came of it ---------------------------------------------------------------------------------------------------------

    def begin(self, r: int, number: int, roster: tuple[RosterEntry, ...]) -> None:
        self.current = AuditedAttempt(r, number, roster)

    def drawn(self, step: AuditStep, seats: list[bytes]) -> None:
        """That who follows stands in the order of the tickets of this attempt's beacon. LC-FED-5, 20."""
        now = self.current
        if now is None:
            return
        now.beacon = now.beacon or step.beacon
        new = [who for who in seats if who not in now.seats]
        tickets = [self._ticket(now, now.beacon, who) for who in new]
        faults = [] if tickets == sorted(tickets) else ["who was drawn does not stand in the order of the beacon's tickets"]
        now.seats = seats
        self._notes.judge("draw", faults, f"{len(new)} aggregators in the order of their tickets", now.r, now.number)

    def trains(self, seats: list[bytes]) -> None:
        if self.current is not None:
            self.current.seats, self.current.trained = seats, True

    def filed(self, step: AuditStep, member: bytes, cid: bytes) -> None:
        now = self.current
        if now is None:
            return
        committed = [one for one in step.messages if isinstance(one, CommitUpdate) and one.attempt == now.number]
        name = member.hex()[:12]
        if step.sender != member or cid not in [one.cid for one in committed]:
            now.file_faults.append(f"nobody signed the hash that stands for {name}")
        if now.index_of(member) is None:
            now.file_faults.append(f"{name} was not in when the attempt started")
        if member in [who for who, _ in now.files]:
            now.file_faults.append(f"{name} has a second file")
        now.files.append((member, cid))

    def referred(self, cid: bytes) -> None:
        if self.current is not None:
            self.current.told_reference = cid

    def collected(self, count: int) -> None:
        now = self.current
        if now is None:
            return
        if now.told_reference != now.reference:
            now.file_faults.append("the reference that stands is not the one that the sponsor signed")
        faults = now.file_faults + ([f"{len(now.files)} files were committed, not {count}"] if count != len(now.files) else [])
        fine = f"{count} owners signed the hash of their file, once each, before any was collected"
        self._notes.judge("files", faults, fine, now.r, now.number)

    def decided(self, shared: int, deciding: list[bytes]) -> None:
        """LC-FED-22"""
        now = self.current
        if now is None:
            return
        said = sorted((who for who in now.seats if who in now.have), key=lambda who: self._ticket(now, now.beacon, who))
        now.deciding, now.shared, now.with_reference = _deciding(now, said)
        faults = []
        if now.deciding != deciding:
            faults.append("others decide than the bitmaps give")
        if now.shared.bit_count() != shared:
            faults.append(f"{shared} files count as shared, the bitmaps have {now.shared.bit_count()} in common")
        fine = f"{len(deciding)} of {len(now.seats)} decide, who have {shared} of {len(now.files)} files in common"
        self._notes.judge("deciding", faults, fine, now.r, now.number)

    def rows_drawn(self, step: AuditStep) -> None:
        if self.current is not None:
            self.current.rows = step.beacon

    def disputed(self, stage: int, both: list[bytes]) -> None:
        if self.current is not None:
            self.current.disputed = stage, both

    def coded(self, account: bytes, code: int, points: int, accepted: int) -> None:
        if self.current is not None:
            self.current.told.append((account, code, points, accepted))

    def benched(self, member: bytes, until: int) -> None:
        if (member, until) in self._due_benches:
            self._due_benches.remove((member, until))
        elif self.current is not None:
            text = f"{member.hex()[:12]} was benched until {until}, which no row of codes gives"
            self._notes.judge("screen", [text], "", self.current.r, self.current.number)

    def forgotten(self, member: bytes) -> None:
        self._bad.pop(member, None)

    # --- Screens (LC-FED-25 to 30) -----------------------------------------------------------------------------------------------

    def judge_codes(self, base: bytes, starts: int) -> None:
        """At the first event after the codes: they are what most of the deciding said, and the set is one that the chain allows."""
        now = self.current
        if now is None or not now.told or now.agreed is not None:
            return
        said = [(who, _screen(now, who)) for who in now.deciding]
        side = most_alike(said)
        if not side:
            self._notes.judge("screen", ["codes stand where no two aggregators said the same"], "", now.r, now.number)
            return
        now.agreed, out_of = now.screens[side[0]], len(now.deciding)
        now.deciding = side
        now.accepted = self._accepted(now, base)
        points = now.agreed.points or bytes(len(now.files))
        due = [
            (who, code, given, now.accepted >> (now.index_of(who) or 0) & 1)
            for (who, _), code, given in zip(now.files, now.agreed.codes, points, strict=False)
        ]
        faults = [
            f"of {told[0].hex()[:12]} stands {_named(told)}, {_named(wanted)} is what follows"
            for told, wanted in zip(now.told, due, strict=False)
            if told != wanted
        ]
        if len(now.told) != len(now.files) or len(due) != len(now.files):
            faults.append(f"{len(now.told)} codes stand for {len(now.files)} files")
        away = [bool(code == FileCode.AWAY) == bool(now.shared >> i & 1) for i, code in enumerate(now.agreed.codes)]
        faults += ["AWAY stands for a file that all of the deciding have, or another code for one they lack"] if any(away) else []
        used = now.agreed.codes.count(FileCode.USED)
        fine = f"{len(side)} of {out_of} said the same: {used} used, {now.accepted.bit_count()} accepted"
        self._notes.judge("screen", faults, fine, now.r, now.number)
        self._notes.leave("codes", f"{counted_codes(now.agreed.codes)}: {SEALED}", now.r, now.number)
        self._expect_benches(now, starts)

    def _accepted(self, now: AuditedAttempt, base: bytes) -> int:
        """LC-FED-29, 30"""
        terms, codes = self._notes.terms, now.agreed.codes if now.agreed is not None else b""
        accounts = {now.index_of(who): who for who, _ in now.files}
        pairs = list(zip(now.files, codes, strict=False))
        used = sum(1 << (now.index_of(who) or 0) for (who, _), code in pairs if code == FileCode.USED)
        judged = sum(code not in UNJUDGED for code in codes)
        if not now.with_reference and 2 * used.bit_count() < judged:
            return 0
        counted = sum(1 << one.index for one in now.roster if one.vetted or not terms.vetted)
        least = terms.min_sum
        return formulas.fitted(
            used, self._sets.get(base, []), least, counted, lambda i: self._ticket(now, now.rows, accounts.get(i, b""))
        )

    def _expect_benches(self, now: AuditedAttempt, starts: int) -> None:
        """LC-FED-28"""
        for (who, _), code in zip(now.files, now.agreed.codes if now.agreed is not None else b"", strict=False):
            if code in LEAVES_ROW:
                continue
            self._bad[who] = 0 if code in ENDS_ROW else self._bad[who] + 1
            if self._bad[who] == formulas.BENCH_AFTER:
                self._bad[who] = 0
                self._due_benches.append((who, starts + formulas.BENCH_STARTS))

    def _missed_benches(self) -> list[str]:
        found = [f"{who.hex()[:12]} is due to be benched until {until}, and was not" for who, until in self._due_benches]
        self._due_benches = []
        return found

    def screened(self, base: bytes, used: int, accepted: int, norm: int) -> None:
        now = self.current
        if now is None:
            return
        faults = self._missed_benches()
        said = now.agreed
        if said is None or (used, norm) != (said.codes.count(FileCode.USED), said.norm) or accepted != now.accepted.bit_count():
            faults.append("what stands of the Screen is not what was agreed")
        if not now.accepted:
            faults.append("it was to be void: nobody may be summed")
        else:
            self._sets[base] = formulas.chain_with(self._sets.get(base, []), now.accepted)
        if faults:
            self._notes.judge("screen", faults, "", now.r, now.number)

    # --- sums (LC-FED-31, 32) ----------------------------------------------------------------------------------------------------

    def summed(self, model: bytes, delta: bytes, clip_before: int, clip: int, by: list[bytes]) -> None:
        now = self.current
        if now is None or now.agreed is None:
            return
        said = [(who, _sum(now, who)) for who in now.deciding]
        side = most_alike(said)
        faults = []
        if side != by or not side or _sum(now, side[0]) != (model, delta):
            faults.append("the recorded model and delta are not what most of the deciding signed")
        if clip != formulas.next_clip(clip_before, now.agreed.norm):
            faults.append(f"the next clip is {clip}, {formulas.next_clip(clip_before, now.agreed.norm)} follows from the norm")
        fine = f"{len(by)} of {len(now.deciding)} signed the same model and the same delta; the next clip follows from the norm"
        self._notes.judge("sum", faults, fine, now.r, now.number)
        self._judge_fees(now, _clean(now, side))

    def void(self, why: int) -> None:
        """LC-FED-24, 32, 34"""
        now = self.current
        if now is None:
            return
        if missed := self._missed_benches():
            self._notes.judge("screen", missed, "", now.r, now.number)
        faults, paid = _void_faults(now, why, self._notes.terms.min_members), list[bytes]()
        if why == VoidReason.SPLIT:
            paid = now.deciding
        elif now.disputed is not None:
            paid = [who for who in now.deciding if who not in now.disputed[1]] if now.disputed[0] == PartStage.SUMS else []
        elif now.agreed is not None:
            paid = _clean(now, most_alike([(who, _sum(now, who)) for who in now.deciding]))
        name = VoidReason(why).name if why in frozenset(VoidReason) else str(why)
        self._notes.judge("void", faults, f"{name}, as what was said gives", now.r, now.number)
        self._judge_fees(now, paid)
        self.current = None

    def _judge_fees(self, now: AuditedAttempt, payees: Sequence[bytes]) -> None:
        fee = self._notes.terms.fee
        due = [(who, fee) for who in payees]
        source = records.fee_escrow(self._notes.federation)
        faults = pay_faults("a fee", source, due, self._notes.take_paid(FEE))
        self._notes.judge("fees", faults, f"{len(due)} aggregators got {fee} micro-credits each", now.r, now.number)

    def _ticket(self, now: AuditedAttempt, beacon: bytes, who: bytes) -> bytes:
        return ticket(beacon, self._notes.federation, now.r, now.number, who)


# --- rules -----------------------------------------------------------------------------------------------------------------------


def _deciding(now: AuditedAttempt, said: list[bytes]) -> tuple[list[bytes], int, bool]:
    """LC-FED-22: the deciding in the order of the seats, their shared files, whether the reference counts. `said`: by tickets."""
    have = {who: formulas.of_bitmap(now.have[who].files) for who in said}
    sets = [said] if len(said) >= 2 else []
    counted = reduce(or_, have.values(), 0)
    if len(said) == AGGREGATORS:
        one, two, three = said
        sets += [[one, two], [one, three], [two, three]]
        counted = have[one] & have[two] | have[one] & have[three] | have[two] & have[three]
    found = []
    for some in sets:
        both = reduce(and_, (have[who] for who in some))
        either = reduce(or_, (have[who] for who in some)) & counted
        if both and 4 * both.bit_count() >= 3 * either.bit_count():
            found.append((some, both))
    informed = [one for one in found if all(now.have[who].reference for who in one[0])]
    if not found:
        return [], 0, False
    some, shared = (informed or found)[0]
    return [who for who in now.seats if who in some], shared, bool(informed)


def _clean(now: AuditedAttempt, side: list[bytes]) -> list[bytes]:
    """LC-FED-32: who said a sum and is not one that says something else."""
    several = len({_sum(now, who) for who in now.deciding if who in now.sums}) > 1
    return [who for who in now.deciding if who in now.sums and (who in side or not several)]


def _void_faults(now: AuditedAttempt, why: int, least: int) -> list[str]:
    """Where what was said does not give this end; `least` files make an attempt."""
    parted = False
    if now.disputed is not None:
        stage, both = now.disputed
        one, other = (now.parts.get((stage, who), {}) for who in (both[0], both[-1]))
        parted = any(one[mask] != other[mask] for mask in one.keys() & other.keys())
    votes = [_sum(now, who) if now.agreed is not None else _screen(now, who) for who in now.deciding]
    alike = most_alike(list(zip(now.deciding, votes, strict=True)))
    empty = now.agreed is not None and bool(alike) and not now.sums[alike[0]].model
    some, _, informed = _deciding(now, [who for who in now.seats if who in now.have])
    known = {
        VoidReason.NO_AGGREGATORS: not now.trained,
        VoidReason.TOO_FEW: now.trained and len(now.files) < least,
        VoidReason.NO_SET: now.trained and not some,
        VoidReason.NO_REFERENCE: bool(some) and not informed,
        VoidReason.DISPUTE: parted if now.disputed is not None else not alike,
        VoidReason.SPLIT: now.agreed is not None and not now.accepted,
        VoidReason.NOT_FINITE: empty,
    }
    if why in frozenset(VoidReason) and known[VoidReason(why)]:
        return []
    return [f"it ended as {VoidReason(why).name if why in frozenset(VoidReason) else why}, which nothing that was said gives"]


def _screen(now: AuditedAttempt, who: bytes) -> tuple[bytes, bytes, int, bytes] | None:
    said = now.screens.get(who)
    return None if said is None else (said.codes, said.points, said.norm, said.digest)


def _sum(now: AuditedAttempt, who: bytes) -> tuple[bytes, bytes] | None:
    said = now.sums.get(who)
    return None if said is None else (said.model, said.delta)


def _named(told: tuple[bytes, int, int, int]) -> str:
    _, code, points, accepted = told
    name = FileCode(code).name if code in frozenset(FileCode) else str(code)
    return f"{name}, {points} points, {'accepted' if accepted else 'not accepted'}"


def counted_codes(codes: bytes) -> str:
    counts = Counter(FileCode(code).name for code in codes if code in frozenset(FileCode))
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
