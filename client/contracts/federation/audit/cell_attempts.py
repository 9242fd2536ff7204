"""Attempts of federations with cells judged again: who decides, seals, Screens, sums, who is excluded, fees. LC-FED-57 to 60. Pure.

    READY -> TRAIN -> HAVE -> SCREEN -> SUM

A stage ends with the event that begins the next one, with the sum, or with a void. Then what was signed in it says who missed, who
is excluded, who is paid, and whether the attempt goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Any

from learningchain.chain.contracts.federation import cell_formulas, formulas
from learningchain.chain.contracts.federation.cells import ABSENT, LACKED, MASKED, UNPROVED
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    STEPS,
    CommitUpdate,
    FileCode,
    PartStage,
    PinSealed,
    ReadyKey,
    SealParts,
    SumCells,
    parts_seal,
)
from learningchain.chain.contracts.federation.records import MOST_LACKED, FederationState, RosterEntry, VoidReason
from learningchain.client.contracts.federation.audit.attempts import AttemptsAudit, AuditedAttempt, counted_codes, most_alike
from learningchain.client.contracts.federation.audit.cells import CellsAudit
from learningchain.client.contracts.federation.audit.evidence import AuditStep
from learningchain.client.contracts.federation.audit.findings import AuditNotes, Told, parted

PROVED = "which update was proved the three aggregators alone could compute, and no file outlives its round"
S = FederationState
AGREE = 2
"""Of three."""


@dataclass
class AuditedCells(AuditedAttempt):
    """`inside`: cells by their numbers, with their members; `signed`: files as their owners signed them; `pins` as they came.
    `liars`, of `parted`, a stage: who pinned parts that differ. `payees`: whom the stage that ended last gives a fee."""

    inside: dict[int, list[bytes]] = field(default_factory=dict)
    stage: FederationState = S.DRAW
    ready: set[bytes] = field(default_factory=set)
    signed: list[tuple[bytes, bytes]] = field(default_factory=list)
    seals: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    pins: dict[tuple[int, bytes], PinSealed] = field(default_factory=dict)
    said: dict[bytes, SumCells] = field(default_factory=dict)
    liars: list[bytes] = field(default_factory=list)
    parted: int = 0
    side: list[bytes] = field(default_factory=list)
    payees: list[bytes] = field(default_factory=list)
    summing: dict[int, list[bytes]] = field(default_factory=dict)
    sum: SumCells | None = None

    def whole(self, accounts: Iterable[bytes]) -> dict[int, list[bytes]]:
        """The cells of which all are among these."""
        among = set(accounts)
        return {number: members for number, members in self.inside.items() if among.issuperset(members)}

    def vote(self, stage: int, who: bytes) -> Any:
        """What it said of a Screen, or of a sum; None: nothing."""
        if stage == PartStage.ROWS:
            return None if (screen := self.screens.get(who)) is None else (screen.codes, screen.digest)
        return None if (said := self.said.get(who)) is None else (said.sums, tuple(said.models))

    def votes(self, stage: int) -> list[tuple[bytes, Any]]:
        return [(who, self.vote(stage, who)) for who in self.seats]


class CellAttempts(AttemptsAudit):
    current: AuditedCells | None

    def __init__(self, notes: AuditNotes, cells: CellsAudit, indexes: Mapping[bytes, int]) -> None:
        super().__init__(notes)
        self._cells, self._indexes = cells, indexes
        self._due, self._told = list[Told](), list[Told]()
        """Who is silent, differs, is excluded."""
        self.lacked: list[bytes] = []

    def begin(self, r: int, number: int, roster: tuple[RosterEntry, ...]) -> None:
        self.current = AuditedCells(r, number, roster)

    def hear(self, sender: bytes, said: Any) -> None:
        super().hear(sender, said)
        now = self.current
        if now is None or getattr(said, "attempt", None) != now.number:
            return
        match said:
            case ReadyKey():
                now.ready.add(sender)
            case CommitUpdate():
                now.signed.append((sender, said.cid))
            case SealParts():
                now.seals[said.stage, sender] = said.seal
            case PinSealed():
                now.pins[said.stage, sender] = said
                now.parts[said.stage, sender] = {part.mask: part.digest for part in said.parts}
                if not now.liars:
                    now.liars, now.parted = _conflicting(now, sender, said.stage), said.stage
            case SumCells():
                now.said[sender] = said

    # --- DRAW, READY (LC-FED-20, 56) ---------------------------------------------------------------------------------------------

    def form(self, step: AuditStep, flags: Mapping[bytes, bool | None], roster: Sequence[RosterEntry]) -> None:
        """Once, whatever comes of the draw."""
        now = self.current
        if now is None or now.stage != S.DRAW:
            return
        now.beacon, now.stage = step.beacon, S.READY
        vetted = {**flags, **{one.account: one.vetted for one in roster}}
        within = {one.account for one in roster}
        now.inside = self._cells.form(now.r, now.number, lambda who: self._ticket(now, now.beacon, who), vetted, within)
        inside = sorted(who for members in now.inside.values() for who in members)
        now.roster = tuple(RosterEntry(who, self._indexes.get(who, 0), bool(vetted.get(who))) for who in inside)

    def drawn(self, step: AuditStep, seats: list[bytes]) -> None:
        self._unready()
        super().drawn(step, seats)

    def trains(self, seats: list[bytes]) -> None:
        self._unready()
        super().trains(seats)
        if self.current is not None:
            self.current.stage = S.TRAIN

    def _unready(self) -> None:
        """A window ended, in which somebody gave no key."""
        if (now := self.current) is not None and now.stage == S.READY:
            self._due += [("silent", who) for who in now.seats if who not in now.ready]

    # --- what the events tell ----------------------------------------------------------------------------------------------------

    def tell(self, *told: Any) -> None:
        self._told.append(told)

    def disputed(self, stage: int, both: list[bytes]) -> None:
        self.tell("disputed", stage, *both)

    def collected(self, count: int) -> None:
        super().collected(count)
        self._goes_on(S.HAVE)

    def decided(self, shared: int, deciding: list[bytes]) -> None:
        """LC-FED-59: all three, and the files that all of them have."""
        self._goes_on(S.SCREEN)
        now = self.current
        if now is None:
            return
        faults = [] if deciding == now.seats else ["others decide than the three that were drawn"]
        if now.shared.bit_count() != shared:
            faults.append(f"{shared} files count as shared, the bitmaps have {now.shared.bit_count()} in common")
        self._notes.judge("deciding", faults, f"all three have {shared} of {len(now.files)} files", now.r, now.number)

    def judge_codes(self, base: bytes, starts: int) -> None:
        """With the end of the stage."""

    def screened(self, base: bytes, used: int, accepted: int, norm: int) -> None:
        self._goes_on(S.SUM)
        now = self.current
        if now is not None and (used, accepted, norm) != (now.shared.bit_count(), now.accepted.bit_count(), 0):
            self._notes.judge("screen", ["what stands of the Screen is not what was agreed"], "", now.r, now.number)

    def cells_summed(self, sums: bytes, cells: int, by: list[bytes]) -> AuditedCells | None:
        """The attempt, where the sum is one that two signed."""
        self._goes_on(None)
        now, self.current = self.current, None
        if now is None:
            return None
        faults = [] if now.sum is not None and now.sum.sums == sums and now.side == by else ["fewer than two signed this sum"]
        faults += _candidate_faults(now)
        if len(now.summing) != cells:
            faults.append(f"{cells} cells are told to be summed, {len(now.summing)} follow from the codes")
        shown = f"of {cells} cells, as {len(by)} signed, and all three showed what they had sealed"
        self._notes.judge("sum", faults + self._shut(now), shown, now.r, now.number)
        self._end(now)
        return now if now.sum is not None else None

    def void(self, why: int) -> None:
        due, now = self._stage_ends(), self.current
        if now is None:
            return
        name = VoidReason(why).name if why in frozenset(VoidReason) else str(why)
        unknown = self._cells.taken_as_told and {why, due} == {VoidReason.TOO_FEW, VoidReason.NO_AGGREGATORS} and not now.seats
        faults = [] if due == why or unknown else [f"it ended as {name}, and what was said gives {due.name if due else 'no end'}"]
        self._notes.judge("void", faults + self._shut(now), f"{name}, as what was said gives", now.r, now.number)
        self.current = None
        self._end(now)

    def _goes_on(self, stage: FederationState | None) -> None:
        due, now = self._stage_ends(), self.current
        if now is None:
            return
        if due is not None:
            self._notes.judge("void", [f"it was to end as {due.name}, and went on"], "", now.r, now.number)
        now.stage = stage or now.stage

    def _end(self, now: AuditedCells) -> None:
        self._judge_fees(now, now.payees)
        if self._due or self._told:
            shown = "who was silent, or said another thing than two, is excluded"
            self._notes.judge("excluded", parted(self._due, self._told), shown, now.r, now.number)
            self._due, self._told = [], []
        self._cells.judge(now.r, now.number)

    # --- how a stage ends --------------------------------------------------------------------------------------------------------

    def _stage_ends(self) -> VoidReason | None:
        """What follows from what was said in it; how the attempt ends by it, or None where it goes on."""
        now = self.current
        if now is None:
            return None
        ends = {S.TRAIN: self._train_ends, S.HAVE: self._have_ends, S.SCREEN: self._screen_ends, S.SUM: self._sum_ends}
        if now.stage in ends:
            return ends[now.stage](now)
        self._unready()
        return VoidReason.NO_AGGREGATORS if now.inside else VoidReason.TOO_FEW

    def _train_ends(self, now: AuditedCells) -> VoidReason | None:
        """LC-FED-58"""
        now.files = now.signed
        sent = {who for who, _ in now.files}
        self._cells.trained(now.roster)
        for one in now.roster:
            if one.account not in sent:
                self._cells.miss(now.number, one.account, ABSENT)
        return None if now.whole(sent) else VoidReason.TOO_FEW

    def _have_ends(self, now: AuditedCells) -> VoidReason | None:
        """LC-FED-59: who says that it lacks most of the files says nothing of any."""
        every = (1 << len(now.files)) - 1
        have = {who: formulas.of_bitmap(now.have[who].files) for who in now.seats if who in now.have}
        believed = [bits for bits in have.values() if 2 * (every & ~bits).bit_count() <= len(now.files)]
        for place, (who, _) in enumerate(now.files):
            if any(not bits >> place & 1 for bits in believed):
                self._cells.miss(now.number, who, LACKED)
        if silent := [who for who in now.seats if who not in have]:
            self._fails(silent, [])
            return VoidReason.DISPUTE
        self._note_lacks(now, have)
        now.shared = reduce(and_, have.values(), every)
        now.with_reference = all(said.reference for said in now.have.values())
        return None if now.whole(_those(now, now.shared)) else VoidReason.SPLIT

    def _note_lacks(self, now: AuditedCells, have: dict[bytes, int]) -> None:
        """Who alone lacked what the two others had."""
        refers = [who for who in have if now.have[who].reference]
        for who, own in have.items():
            others = reduce(and_, (bits for other, bits in have.items() if other != who))
            if others & ~own or (len(refers) == AGREE and who not in refers):
                self.lacked = [*(one for one in self.lacked if one != who), who][-MOST_LACKED:]

    def _screen_ends(self, now: AuditedCells) -> VoidReason | None:
        side = self._agreed(now, PartStage.ROWS)
        if not side:
            return VoidReason.DISPUTE
        now.agreed, files = now.screens[side[0]], [who for who, _ in now.files]
        codes = dict(zip(files, now.agreed.codes, strict=False))
        unproved = [who for who in files if codes.get(who) == FileCode.UNPROVED]
        for who in unproved:
            self._cells.miss(now.number, who, UNPROVED)
        complete = now.whole(_those(now, now.shared))
        now.summing = {number: members for number, members in complete.items() if not set(members) & set(unproved)}
        used = {who for members in now.summing.values() for who in members}
        now.accepted = sum(1 << (now.index_of(who) or 0) for who in used)
        self._judge_screen(now, side, codes, used)
        now.payees = [] if used else side
        return None if used else VoidReason.SPLIT

    def _judge_screen(self, now: AuditedCells, side: list[bytes], codes: dict[bytes, int], used: set[bytes]) -> None:
        shared = _those(now, now.shared)
        signed = [(who, code, 0, int(who in used)) for who, code in codes.items()]
        faults = [] if now.told == signed and len(codes) == len(now.files) else ["other codes stand than two signed"]
        for who, code in codes.items():
            idle = code if code == FileCode.UNPROVED else FileCode.USED if who in used else FileCode.IDLE
            if code != (idle if who in shared else FileCode.AWAY):
                faults.append(
                    f"the code {code} of {who.hex()[:12]} does not follow from the bitmaps, the cells and who is UNPROVED"
                )
        self._notes.judge("screen", faults, f"{len(side)} of 3 said the same: {len(used)} used", now.r, now.number)
        self._notes.leave("codes", f"{counted_codes(bytes(codes.values()))}: {PROVED}", now.r, now.number)

    def _sum_ends(self, now: AuditedCells) -> VoidReason | None:
        """Fees as in LC-FED-32."""
        screened, votes = most_alike(now.votes(PartStage.ROWS)), dict(now.votes(PartStage.SUMS))
        agreed = most_alike(list(votes.items()))
        several = len({vote for vote in votes.values() if vote is not None}) > 1
        now.side = self._agreed(now, PartStage.SUMS)
        if now.parted == PartStage.SUMS and now.liars:
            now.payees = [who for who in screened if who not in now.liars]
        else:
            now.payees = [who for who in screened if votes[who] is not None and (who in agreed or not several)]
        if not now.side:
            return VoidReason.DISPUTE
        now.sum = now.said[now.side[0]]
        return None if now.sum.models else VoidReason.NOT_FINITE

    def _agreed(self, now: AuditedCells, stage: int) -> list[bytes]:
        """LC-FED-60: two or three that say the same, where nobody is silent and no parts differ."""
        if now.parted == stage and now.liars:
            self._due.append(("disputed", stage, *now.liars))
            self._fails([], now.liars)
            return []
        votes = now.votes(stage)
        sealed, pinned = ({who for of, who in some if of == stage} for some in (now.seals, now.pins))
        spoke = {who for who, vote in votes if vote is not None}
        silent = next((rest for some in (sealed, pinned, spoke) if (rest := [who for who in now.seats if who not in some])), [])
        side, several = most_alike(votes), len({vote for _, vote in votes if vote is not None}) > 1
        self._fails(silent, [who for who in now.seats if who in spoke and who not in side and several])
        return [] if silent else side

    def _fails(self, silent: Iterable[bytes], differs: Iterable[bytes]) -> None:
        for word, accounts in (("silent", silent), ("differs", differs)):
            for who in accounts:
                self._due += [(word, who), ("excluded", who)]

    def _shut(self, now: AuditedCells) -> list[str]:
        """Whose parts are not what it sealed before anybody saw another's."""
        return [
            f"stage {stage}: the parts of {who.hex()[:12]} are not what it sealed"
            for (stage, who), pinned in now.pins.items()
            if now.seals.get((stage, who)) != self._seal(now, who, pinned)
        ]

    def _seal(self, now: AuditedCells, who: bytes, pinned: PinSealed) -> bytes:
        digests, notes = [part.digest for part in pinned.parts], self._notes
        return parts_seal(notes.chain_id, notes.federation, now.r, now.number, who, pinned.stage, digests, pinned.salt)


def _candidate_faults(now: AuditedCells) -> list[str]:
    """Where there are not as many as the cells that sum give, with the reference or without."""
    named = len(now.sum.models) if now.sum is not None else 0
    allowed = {len(STEPS) * cell_formulas.directions(len(now.summing), one) for one in (False, now.with_reference)}
    return [] if named in allowed else [f"{named} candidates are named, {min(allowed)} or more follow"]


def _those(now: AuditedCells, places: int) -> list[bytes]:
    """Whose files stand at these places."""
    return [who for place, (who, _) in enumerate(now.files) if places >> place & 1]


def _conflicting(now: AuditedCells, sender: bytes, stage: int) -> list[bytes]:
    """LC-FED-60: of a mask with two digests both that pinned it; of share 0, when all three have, who differs from two, or all."""
    parts = {who: now.parts.get((stage, who), {}) for who in now.seats}
    own = parts.get(sender, {})
    for who, other in parts.items():
        if any(own[mask] != other[mask] for mask in (own.keys() & other.keys()) - {MASKED}):
            return [sender, who]
    said = [part[MASKED] for part in parts.values() if MASKED in part]
    if stage != PartStage.ROWS or len(said) < AGGREGATORS:
        return []
    most = max(said, key=said.count)
    return [who for who in now.seats if parts[who][MASKED] != most or said.count(most) == 1]
