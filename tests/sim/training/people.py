"""What members do with federations: open one, join it, and whatever is theirs to do (`duties.duties`).

What is true follows from what is asked, so honest aggregators and seats say the same. A liar adds the same lie as every other liar.
"""

from __future__ import annotations

import random
from typing import Any

from learningchain.chain.contracts.federation import duties, formulas, messages, records
from learningchain.chain.contracts.federation.duties import FederationDuty, OwedDuty
from learningchain.chain.contracts.federation.messages import (
    CQ,
    AggregationRule,
    FederationTerms,
    FileCode,
    MaskDigest,
    MeasureCode,
    ModelMeasure,
    PartStage,
    PaySplit,
    Secrecy,
)
from learningchain.chain.contracts.federation.records import AttemptRecord, FederationPosting, FederationRecord
from learningchain.chain.contracts.membership.messages import SetBoxKey, SetCapacity
from learningchain.chain.contracts.membership.records import Member, member_key
from learningchain.chain.crypto import sha256
from learningchain.chain.host import ACTIVE, Account, account_key
from learningchain.chain.host.terms import Limits
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.verification.committee import least_able
from tests.sim.asking.people import CAPACITY, IMAGE

DIMS = 8
FIRST, TARGET = 2 * 10**9, 10**9
SALT = sha256(b"salt of measurements")


def named(*parts: bytes) -> bytes:
    return b"\x01\x55\x12\x20" + sha256(b" ".join(parts))


def live(state: State) -> list[bytes]:
    return [key[len(records.LIVE) :] for key in state.keys(records.LIVE)]


class Trainer:
    """A member's own words: `say` is the next one."""

    opens = 0
    """How many federations it opens."""
    lies = 0.0
    silent = 0.0
    """How likely it does nothing where it was drawn."""

    def __init__(self, identity: bytes, rng: random.Random) -> None:
        self.id, self.rng = identity, rng
        self.opened = 0
        self.moods: dict[tuple[Any, ...], float] = {}

    def say(self, state: State, clock: int) -> Any | None:
        account, member = state.get(account_key(self.id)), state.get(member_key(self.id))
        if not isinstance(account, Account) or not isinstance(member, Member):
            return None
        if member.verifier and not member.capacity:
            return SetCapacity(CAPACITY)
        if not member.box_key:
            return SetBoxKey(sha256(b"box" + self.id))
        for owed in duties.duties(state, self.id):
            message = self._duty(state, owed) if clock < owed.deadline else None
            if message is not None:
                return message
        return self._come(state, member, clock) if account.status == ACTIVE else None

    def _come(self, state: State, member: Member, clock: int) -> Any | None:
        if member.verifier and state.get(records.serving_key(self.id)) is None:
            return messages.ServeFederation(True)
        if self.opened < self.opens and self._enough_serve(state):
            self.opened += 1
            return messages.OpenFederation(self.terms(clock))
        for federation in live(state):
            posting: Any = state.get(records.posting_key(federation))
            if posting.sponsor != self.id and state.get(records.member_key(federation, self.id)) is None:
                return messages.JoinFederation(federation, sha256(self.id), 0)
        return None

    def _enough_serve(self, state: State) -> bool:
        """LC-FED-54: otherwise its opening would be refused."""
        members = ((key[2:], state.get(key)) for key in state.keys(b"m/"))
        others = [account for account, one in members if isinstance(one, Member) and one.verifier and account != self.id]
        return sum(state.get(records.serving_key(one)) is not None for one in others) >= least_able(len(others))

    def terms(self, clock: int) -> FederationTerms:
        rng = self.rng
        return FederationTerms(
            image=IMAGE,
            arch=CAPACITY.arch,
            params="",
            limits=Limits(1_000, 256, 10, 1, 1_000, 16, 1),
            model=named(b"initial"),
            size=4 * DIMS + 100,
            dims=DIMS,
            hidden=[],
            schema=b"",
            bounty=rng.choice((1, 999, 10_000)),
            fee=20,
            target=TARGET,
            float_kind=2,
            tol=0,
            rounds=rng.choice((1, 2)),
            round_ms=10_000,
            pace_ms=1_000,
            ends=clock + 3_600_000,
            min_members=2,
            max_members=8,
            min_sum=rng.choice((1, 2)),
            vetted=rng.random() < 0.5,
            secrecy=Secrecy.OPEN,
            rule=AggregationRule.MEAN,
            split=PaySplit.EQUAL,
            reference=False,
            clip=10**9,
            patience=2,
            admit_open=True,
            outside=False,
            dp_milli=0,
        )

    # --- duties -------------------------------------------------------------------------------------------------------------------

    def _is(self, likely: float, *what: Any) -> bool:
        """The same at every look."""
        if what not in self.moods:
            self.moods[what] = self.rng.random()
        return self.moods[what] < likely

    def _duty(self, state: State, owed: OwedDuty) -> Any | None:
        ref, number, duty = owed.federation, owed.attempt, owed.duty
        if duty == FederationDuty.START_ROUND:
            return self._start(state, owed)
        if duty == FederationDuty.COMMIT:
            posting: Any = state.get(records.posting_key(ref))
            return messages.CommitUpdate(ref, number, named(b"file", self.id, b"%d" % number), formulas.update_size(posting.terms))
        if self._is(self.silent, "silent", ref, duty, number, owed.again):
            return None
        if duty in (FederationDuty.MEASURE, FederationDuty.OPEN):
            return self._measure(state, owed)
        attempt = state.get(records.attempt_key(ref))
        return self._aggregate(state, owed, attempt) if isinstance(attempt, AttemptRecord) else None

    def _start(self, state: State, owed: OwedDuty) -> Any | None:
        """Once a few have joined."""
        joined = sum(1 for _ in state.scan(records.MEMBERS_OF + owed.federation, 2))
        return messages.StartRound(owed.federation, owed.r) if joined >= 2 or owed.r == 0 else None

    def _aggregate(self, state: State, owed: OwedDuty, attempt: AttemptRecord) -> Any | None:
        ref, number, duty = owed.federation, owed.attempt, owed.duty
        word = b"lie" if self._is(self.lies, "lies", ref, duty, number) else b"truth"
        if duty == FederationDuty.READY:
            return messages.ReadyKey(ref, number, sha256(b"ready" + self.id))
        if duty == FederationDuty.HAVE:
            return messages.HaveUpdates(ref, number, formulas.to_bitmap(2**attempt.files - 1, attempt.files), False)
        if duty in (FederationDuty.PIN_ROWS, FederationDuty.PIN_SUMS):
            stage = PartStage.ROWS if duty == FederationDuty.PIN_ROWS else PartStage.SUMS
            place = attempt.seats.index(self.id) + 1
            digest = sha256(b"%d %d" % (number, stage) + (word if self._is(0.3, "split", ref, number) else b""))
            return messages.PinParts(ref, number, stage, [MaskDigest(mask, digest) for mask in formulas.masks(place)])
        if not self._is_supplied(state, owed, attempt):
            return None
        if duty == FederationDuty.SCREEN:
            shared = formulas.of_bitmap(attempt.shared)
            codes = bytes(FileCode.USED if shared >> i & 1 else FileCode.AWAY for i in range(attempt.files))
            return messages.ScreenUpdates(ref, number, codes, b"", CQ, sha256(word))
        model = named(b"model", ref, b"%d" % number, word)
        return messages.SumUpdates(ref, number, model, named(b"delta", model))

    def _is_supplied(self, state: State, owed: OwedDuty, attempt: AttemptRecord) -> bool:
        lacking = attempt.seats.index(self.id) + 1
        for other in attempt.deciding:
            seat: Any = state.get(records.aggregator_key(owed.federation, other))
            parts = seat.rows if owed.duty == FederationDuty.SCREEN else seat.sums
            if other != self.id and any(part.mask == lacking for part in parts):
                return True
        return False

    def _measure(self, state: State, owed: OwedDuty) -> Any | None:
        ref, now = owed.federation, state.get(records.federation_key(owed.federation))
        posting = state.get(records.posting_key(ref))
        if not isinstance(now, FederationRecord) or not isinstance(posting, FederationPosting):
            return None
        gain = sum(now.model) % 7 * 10**8 // 2 if now.r else 0
        lied = 10**8 if self._is(self.lies, "measures", ref, owed.r, owed.again) else 0
        tree = LossTree([FIRST - gain + lied] * 3)
        measure = ModelMeasure(MeasureCode.OK, [tree.measurement])
        key = (ref, owed.r, owed.again)
        if owed.duty == FederationDuty.MEASURE:
            chain_id = chain_record(state).chain_id
            return messages.CommitMeasure(*key, messages.measure_commitment(chain_id, *key, self.id, measure, SALT))
        opening = open_losses(tree, draw_probe(now.probe, ref, 0, owed.again, 3))
        return messages.OpenMeasure(*key, measure, [opening], SALT)
