"""Federations with cells (LC-FED-55 to 62) in the same graph: nine owners, whose cells are summed whole or not at all, and people
who are late, lie, are silent, leave, join again or are banned.

What is true of an attempt follows from its number and its files, as in `people`: honest aggregators and seats say the same.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, formulas, messages, records
from learningchain.chain.contracts.federation.duties import FederationDuty, OwedDuty
from learningchain.chain.contracts.federation.messages import (
    STEPS,
    DirectionMeasure,
    FederationTerms,
    FileCode,
    MaskDigest,
    MeasureCode,
    PartStage,
    PaySplit,
    Secrecy,
    StepsMeasure,
)
from learningchain.chain.contracts.federation.records import AttemptRecord, CellRecord
from learningchain.chain.contracts.membership.records import Member
from learningchain.chain.crypto import sha256
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.verification.committee import least_able
from tests.sim.profile import PARAMS, Profile
from tests.sim.training.people import FIRST, SALT, named
from tests.sim.training.rough import RoughTrainer, RoughTrainingWorld

DIMS, ENOUGH = 21, 8
"""Members with whom the first start is asked for: two cells of four."""
PROFILE = Profile(validators=1, observers=0, transfers=0, job=False, heal_at=12_000, federations=True)
STAGES = {
    FederationDuty.SEAL_ROWS: PartStage.ROWS,
    FederationDuty.PIN_ROWS: PartStage.ROWS,
    FederationDuty.SEAL_SUMS: PartStage.SUMS,
    FederationDuty.PIN_SUMS: PartStage.SUMS,
}
SEALS = (FederationDuty.SEAL_ROWS, FederationDuty.SEAL_SUMS)


class CellTrainer(RoughTrainer):
    def terms(self, clock: int) -> FederationTerms:
        rng = self.rng
        return replace(
            super().terms(clock),
            size=4 * DIMS + 100,
            dims=DIMS,
            hidden=[],
            ends=clock + 100_000_000,
            round_ms=cell_formulas.CELL_ROUND_MS,
            pace_ms=5_000,
            min_members=3,
            max_members=20,
            min_sum=3,
            secrecy=Secrecy.SUM,
            split=rng.choice((PaySplit.EQUAL, PaySplit.HALF)),
            reference=True,
            dp_milli=cell_formulas.least_noise(DIMS),
            admit_open=True,
        )

    def _come(self, state: State, member: Member, clock: int) -> Any | None:
        serves = state.get(records.serving_key(self.id)) is not None
        if member.verifier and serves and state.get(records.cell_serving_key(self.id)) is None:
            return messages.ServeCells(True)
        return super()._come(state, member, clock)

    def _enough_serve(self, state: State) -> bool:
        members = ((key[2:], state.get(key)) for key in state.keys(b"m/"))
        others = [account for account, one in members if isinstance(one, Member) and one.verifier and account != self.id]
        able = sum(state.get(records.cell_serving_key(one)) is not None for one in others)
        return able >= max(messages.AGGREGATORS, least_able(len(others)))

    def _start(self, state: State, owed: OwedDuty) -> Any | None:
        members = [one for _, one in state.scan(records.MEMBERS_OF + owed.federation, 64)]
        active = sum(one.state == records.MemberState.ACTIVE for one in members)
        return messages.StartRound(owed.federation, owed.r) if active >= (3 if owed.r else ENOUGH) else None

    # --- aggregators --------------------------------------------------------------------------------------------------------------

    def _aggregate(self, state: State, owed: OwedDuty, attempt: AttemptRecord) -> Any | None:
        ref, number, duty = owed.federation, owed.attempt, owed.duty
        if duty in STAGES:
            stage = STAGES[duty]
            parts = self._parts(owed, attempt, stage)
            if duty not in SEALS:
                return messages.PinSealed(ref, number, stage, parts, SALT)
            digests, chain_id = [part.digest for part in parts], chain_record(state).chain_id
            return messages.SealParts(
                ref, number, stage, messages.parts_seal(chain_id, ref, owed.r, number, self.id, stage, digests, SALT)
            )
        word = b"lie" if self._is(self.lies, "lies", ref, duty, number) else b"truth"
        if duty == FederationDuty.SCREEN:
            return messages.ScreenUpdates(ref, number, self._codes(state, owed, attempt), b"", 0, sha256(word))
        if duty == FederationDuty.SUM:
            summing = self._whole(state, ref, set(formulas.indexes_of(formulas.of_bitmap(attempt.accepted))))
            many = len(STEPS) * cell_formulas.directions(len(summing), attempt.with_reference)
            models = [named(b"candidate", ref, b"%d %d" % (number, n), word) for n in range(many)]
            return messages.SumCells(ref, number, named(b"sums", ref, b"%d" % number, word), models)
        return super()._aggregate(state, owed, attempt)

    def _parts(self, owed: OwedDuty, attempt: AttemptRecord, stage: PartStage) -> list[MaskDigest]:
        """At its place; of share 0, where all have it, or of a mask, it may say another one."""
        known = formulas.masks(attempt.seats.index(self.id) + 1)
        shares = [0, *known] if stage == PartStage.ROWS else known
        lie = b"lie" if self._is(self.lies / 3, "parts", owed.federation, owed.attempt, stage) else b""
        digests = {share: sha256(b"%d %d %d" % (owed.attempt, stage, share)) for share in shares}
        return [MaskDigest(n, sha256(lie + one) if lie and n == shares[0] else one) for n, one in digests.items()]

    def _whole(self, state: State, federation: bytes, indexes: set[int]) -> list[set[int]]:
        found: Any = state.get(records.cell_key(federation))
        cells = [set(formulas.indexes_of(formulas.of_bitmap(cell.members))) for cell in found.inside]
        return [cell for cell in cells if cell <= indexes]

    def _codes(self, state: State, owed: OwedDuty, attempt: AttemptRecord) -> bytes:
        """Who has bad files does not prove them, for all alike."""
        shared = formulas.of_bitmap(attempt.shared)
        files: list[Any] = [state.get(records.file_key(owed.federation, place)) for place in range(attempt.files)]
        bad = {one.index for one in files if sha256(b"%d" % owed.attempt + one.account)[0] < 256 * self.bad_files[one.account]}
        counting = {one.index for place, one in enumerate(files) if shared >> place & 1}
        sums = {index for cell in self._whole(state, owed.federation, counting - bad) for index in cell}
        return bytes(
            FileCode.AWAY
            if one.index not in counting
            else FileCode.UNPROVED
            if one.index in bad
            else FileCode.USED
            if one.index in sums
            else FileCode.IDLE
            for one in files
        )

    # --- the panel ----------------------------------------------------------------------------------------------------------------

    def _measure(self, state: State, owed: OwedDuty) -> Any | None:
        if not owed.r:
            return super()._measure(state, owed)
        ref, now, found = (
            owed.federation,
            state.get(records.federation_key(owed.federation)),
            state.get(records.cell_key(owed.federation)),
        )
        assert isinstance(now, records.FederationRecord) and isinstance(found, CellRecord)
        lied = 10**8 if self._is(self.lies, "measures", ref, owed.r, owed.again) else 0
        drawn = [sha256(model) for model in found.models[:: len(STEPS)]]
        trees = [LossTree([FIRST - one[0] % 7 * 10**8 // 2 + lied] * 3) if one[1] % 9 else None for one in drawn]
        entries = [
            DirectionMeasure(STEPS[one[2] % len(STEPS)], [tree.measurement]) if tree else DirectionMeasure(0, [])
            for one, tree in zip(drawn, trees, strict=True)
        ]
        good = [(place, tree) for place, tree in enumerate(trees) if tree]
        measure = StepsMeasure(MeasureCode.OK, entries) if good else StepsMeasure(MeasureCode.INVALID, [])
        key = (ref, owed.r, owed.again)
        if owed.duty == FederationDuty.MEASURE:
            chain_id = chain_record(state).chain_id
            return messages.CommitMeasure(*key, messages.measure_commitment(chain_id, *key, self.id, measure, SALT))
        shown = []
        if good:
            place, tree = good[int.from_bytes(now.probe, "big") % len(good)]
            shown = [open_losses(tree, draw_probe(now.probe, ref, place, owed.again, 3))]
        return messages.OpenSteps(*key, measure, shown, SALT)


class CelledTrainingWorld(RoughTrainingWorld):
    """A member that is late costs its attempt ten minutes. Three words of each aggregator fit into a window."""

    patience = 60 * 60_000
    kind = CellTrainer
    owner_count = 9
    params = replace(PARAMS, fed_base=3_000)

    def __init__(self, seed: int, profile: Profile | None = None, attacks: Any = None) -> None:
        super().__init__(seed, profile or PROFILE, attacks)

    def _moods(self, rng: Any) -> None:
        super()._moods(rng)
        for one in self.members:
            one.trainer.late /= 6
            one.trainer.fidgets /= 8
        few = {who: likely / 6 for who, likely in self.sponsors[0].trainer.bad_files.items()}
        for one in self.members:
            one.trainer.bad_files = few
        for one in self.sponsors:
            one.trainer.opens = 1
