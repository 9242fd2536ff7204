"""A seat of the panel: measures a model in the sandbox, seals what it measured, and opens it. Pure.

    ledger                      input                 effect
    MEASURE                                           FetchContent of the model; hidden file: Decrypt, or KeyAsk
    KeyAsk of another seat                            KeyGive, where the key is here
                                all is here           `evaluate`, as soon as the image is here
                                RunEnded              Submit CommitMeasure (measure and salt in the book before)
                                half the window over  NOMODEL, BADKEY or ABSTAIN where something is missing
    OPEN, own commitment stands                       OpenLosses
                                LossesOpened          Submit OpenMeasure

Of a sum of cells it measures the candidates (LC-FED-61): FetchContent of base and sums, Compute of the candidates, one run of
`evaluates`, and OpenSteps in the place of OpenMeasure. Candidates that are not those of the ledger are NOMODEL.

Book: what was committed, with its salt: a node that starts again opens that, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.duties import FederationDuty
from learningchain.chain.contracts.federation.formulas import evaluation_window
from learningchain.chain.contracts.federation.messages import (
    CommitMeasure,
    MeasureCode,
    ModelMeasure,
    OpenMeasure,
    OpenSteps,
    StepsMeasure,
    measure_commitment,
)
from learningchain.chain.contracts.federation.records import FederationState, PanelSeat, RoundRecord
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Small
from learningchain.chain.losses import Measurement, draw_probe
from learningchain.chain.types import Hash, Uint, cid_text
from learningchain.client.contracts.federation.roles.channel import KeyAsk, KeyGive, tell
from learningchain.client.contracts.federation.roles.looking import FederationLook, delta_size, look, owed, proposed_in
from learningchain.client.contracts.federation.roles.measured_list import AskedLosses, asked_of, list_of
from learningchain.client.contracts.federation.roles.role import KIND, MODEL_PIN, FederationRole
from learningchain.client.contracts.federation.roles.runs import run_name
from learningchain.client.contracts.federation.roles.sponsor import BOX as KEY_BOX
from learningchain.client.contracts.federation.roles.sponsor import KEY_BOX_LABEL, key_context
from learningchain.client.contracts.federation.small_tasks import ProposeModels
from learningchain.client.contracts.federation.tasks import MadeFile
from learningchain.client.keys.boxes import CannotOpen, CannotSeal, open_box, seal_box
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    Chain,
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    Decrypt,
    DropFile,
    Effect,
    EndScope,
    FetchContent,
    Input,
    LossesOpened,
    Notice,
    OpenLosses,
    PeerSaid,
    RunEnded,
    Submit,
    Unpin,
    one_of_run,
)
from learningchain.client.work.machine import Recalled
from learningchain.sandbox import Outcome

MARGIN_MS = 20_000
"""Chain clock before the end of MEASURE at which a seat says that it cannot, if so."""
ASK_MS = 10_000
MOST_HEARD = 64
ALL_TRIES = 2
"""Runs of one measurement: a container that broke off may have been this machine's trouble."""


class SealedMeasure(Wire, frozen=True):
    """What opens the seat's commitment. `run`: whose losses are on this disk."""

    federation: Hash
    r: Uint
    again: Small
    measure: ModelMeasure
    salt: Hash
    run: Annotated[str, Meta(max_length=256)]
    steps: Annotated[list[StepsMeasure], Meta(max_length=1)]
    """Of a sum of cells: the list that is said in the place of `measure`."""

    @property
    def said(self) -> ModelMeasure | StepsMeasure:
        return self.steps[0] if self.steps else self.measure


class PanelBook(Wire, frozen=True):
    sealed: Annotated[list[SealedMeasure], Meta(max_length=1_024)]


NEW_PANEL_BOOK = PanelBook([])


@dataclass
class _Measuring:
    """One measurement that this seat works on."""

    federation: bytes
    r: int
    again: int
    asked: set[str]
    model: Path | None = None
    hidden: Path | None = None
    missing: MeasureCode | None = None
    run: str = ""
    tries: int = 0
    measure: ModelMeasure | None = None
    steps: StepsMeasure | None = None
    base: Path | None = None
    sums: Path | None = None
    models: tuple[bytes, ...] = ()
    """The candidates that the ledger names, of a sum of cells."""
    asked_at: int = -ASK_MS
    why: str = ""

    @property
    def scope(self) -> str:
        return f"fed-measure:{self.federation.hex()}:{self.r}:{self.again}"


class PanelMachine(FederationRole):
    name = f"{KIND}.panel"

    def __init__(self, known: Recalled, keys: OwnBoxKeys, book: PanelBook = NEW_PANEL_BOOK) -> None:
        super().__init__(known, keys)
        self._sealed = {one.federation: one for one in book.sealed}
        """The last one of each federation: no other can be opened any more."""
        self._now: dict[bytes, _Measuring] = {}
        self._keys: dict[bytes, bytes] = {}
        """Keys of hidden files that were given later than the seat was drawn."""
        self._pinned: dict[bytes, int] = {}
        """By federation: the round whose model is pinned here, until the next one's is."""
        self._heard: list[PeerSaid] = []
        self._opening: dict[str, tuple[bytes, LossesOpened | None]] = {}

    @property
    def book(self) -> PanelBook:
        return PanelBook([one for _, one in sorted(self._sealed.items())])

    def respond(self, given: Input) -> Iterable[Effect]:
        match given:
            case PeerSaid(message=KeyGive() | KeyAsk()) if len(self._heard) < MOST_HEARD:
                self._heard.append(given)
            case LossesOpened() if given.scope in self._opening:
                self._opening[given.scope] = self._opening[given.scope][0], given
            case ContentReady() | ContentMissing() | RunEnded() | Computed() | ComputeFailed():
                self._hear(given)
            case Chain():
                return self._look(given)
        return ()

    def _hear(self, given: ContentReady | ContentMissing | RunEnded | Computed | ComputeFailed) -> None:
        for one in self._now.values():
            if isinstance(given, RunEnded):
                if given.run == one.run:
                    self._ran(one, given)
            elif given.scope == one.scope:
                self._came(one, given)

    @staticmethod
    def _came(one: _Measuring, given: ContentReady | ContentMissing | Computed | ComputeFailed) -> None:
        match given:
            case ContentReady():
                setattr(one, given.tag, given.path)
            case ContentMissing():
                code = MeasureCode.NOMODEL if given.tag != "hidden" else MeasureCode.ABSTAIN
                one.missing, one.why = MeasureCode.BADKEY if given.bad else code, given.reason
            case Computed(result=MadeFile() as made):
                one.model = made.path
            case ComputeFailed():
                one.missing, one.why = MeasureCode.NOMODEL, given.reason

    @staticmethod
    def _ran(one: _Measuring, ended: RunEnded) -> None:
        outcome, run = ended.status.outcome, one.run
        one.run = ""
        if outcome is Outcome.MEASURED and isinstance(ended.result, Measurement):
            one.measure, one.run = ModelMeasure(MeasureCode.OK, [ended.result]), run
        elif outcome is Outcome.MEASURED and isinstance(ended.result, tuple) and len(ended.result) == sum(map(bool, one.models)):
            one.steps, one.run = list_of(one.models, ended.result), run
            one.measure = ModelMeasure(one.steps.code, [])
        elif outcome is Outcome.INVALID:
            one.measure = ModelMeasure(MeasureCode.INVALID, [])
        else:
            one.why = ended.reason or ended.status.value
            if one.tries >= ALL_TRIES:
                one.measure = ModelMeasure(MeasureCode.ABSTAIN, [])

    # --- the ledger --------------------------------------------------------------------------------------------------------------

    def _look(self, given: Chain) -> Iterator[Effect]:
        duties = owed(given, self.known.me)
        yield from self._take_and_give_keys(given)
        seen = set()
        for federation, asked in sorted(duties.items()):
            at = look(given.reader, federation)
            seat = next((one for one in at.now.panel if one.account == self.known.me), None) if at is not None else None
            if at is None or seat is None:
                continue
            if FederationDuty.MEASURE in asked:
                seen.add(federation)
                yield from self._measure(at, seat, given.clock)
            if FederationDuty.OPEN in asked:
                yield from self._open(at, seat)
        opened = {federation for federation, asked in duties.items() if FederationDuty.OPEN in asked}
        self._opening = {scope: one for scope, one in self._opening.items() if one[0] in opened}
        for federation in [federation for federation in self._now if federation not in seen]:
            yield EndScope(self._now.pop(federation).scope)
        yield from self._free(given)
        for federation in [one for one in self._sealed if self._is_over(look(given.reader, one), self._sealed[one])]:
            del self._sealed[federation]

    def _free(self, given: Chain) -> Iterator[Effect]:
        """Where this account has no seat any more, or the federation has ended, key and model go."""
        for federation in sorted({*self._keys, *self._pinned}):
            at = look(given.reader, federation)
            if at is not None and at.state != FederationState.END and any(one.account == self.known.me for one in at.now.panel):
                continue
            self._keys.pop(federation, None)
            if self._pinned.pop(federation, None) is not None:
                yield Unpin(federation, f"{MODEL_PIN}:{federation.hex()}")

    @staticmethod
    def _is_over(at: FederationLook | None, sealed: SealedMeasure) -> bool:
        if at is None or at.state not in (FederationState.MEASURE, FederationState.OPEN):
            return True
        return (at.now.r, at.now.again) != (sealed.r, sealed.again)

    def _measure(self, at: FederationLook, seat: PanelSeat, clock: int) -> Iterator[Effect]:
        this = at.now.r, at.now.again
        sealed = self._sealed.get(at.id)
        if sealed is not None and (sealed.r, sealed.again) == this:
            yield self._commit(sealed)
            return
        one = self._now.get(at.id)
        if one is None or (one.r, one.again) != this:
            if one is not None:
                yield EndScope(one.scope)
            if self._pinned.setdefault(at.id, at.now.r) != at.now.r:
                self._pinned[at.id] = at.now.r
                yield Unpin(at.id, f"{MODEL_PIN}:{at.id.hex()}")
            one = self._now[at.id] = _Measuring(at.id, *this, asked=set())
            one.models = proposed_in(at)
        late = clock >= at.now.deadline - min(MARGIN_MS, evaluation_window(at.params, at.terms) // 4)
        if one.measure is None and (one.missing is not None or late):
            one.measure = ModelMeasure(one.missing or self._without(at, one), [])
        if one.measure is None:
            yield from self._bring(at, seat, one, clock)
            return
        steps = [one.steps or StepsMeasure(one.measure.code, [])] if one.models else []
        sealed = SealedMeasure(at.id, *this, one.measure, self.known.rng(32), one.run, steps)
        self._sealed[at.id] = sealed
        if one.models and one.model is not None:
            yield DropFile(one.model)
        yield self._commit(sealed)

    @staticmethod
    def _without(at: FederationLook, one: _Measuring) -> MeasureCode:
        """No time is left: what is it that is not here?"""
        if one.model is None:
            return MeasureCode.NOMODEL
        if at.terms.hidden and "hidden" not in one.asked:
            return MeasureCode.BADKEY
        return MeasureCode.ABSTAIN

    def _commit(self, sealed: SealedMeasure) -> Submit:
        ref, r, again = sealed.federation, sealed.r, sealed.again
        seal = measure_commitment(self.known.chain_id, ref, r, again, self.known.me, sealed.said, sealed.salt)
        return Submit(KIND, f"measure:{ref.hex()}:{r}:{again}", ref, CommitMeasure(ref, r, again, seal))

    def _bring(self, at: FederationLook, seat: PanelSeat, one: _Measuring, clock: int) -> Iterator[Effect]:
        """The model, the hidden file where there is one, then the run."""
        half = at.now.deadline - evaluation_window(at.params, at.terms) // 2
        if one.models:
            yield from self._propose(at, one, half)
        elif "model" not in one.asked:
            one.asked.add("model")
            cid, who = cid_text(at.now.model), at.holder_of(at.now.model)
            yield FetchContent(one.scope, "model", at.id, cid, at.terms.size, half, pin=MODEL_PIN, holder=who)
        for hidden in at.terms.hidden:
            key = self._key(at, seat)
            if key is None and clock >= one.asked_at + ASK_MS:
                one.asked_at = clock
                others = [one.account for one in at.now.panel if one.box and one.account != self.known.me]
                yield from (tell(who, KeyAsk(at.id)) for who in (at.posting.sponsor, *others))
            if key is not None and "hidden" not in one.asked:
                one.asked.add("hidden")
                cid = cid_text(hidden.cid)
                yield Decrypt(one.scope, "hidden", cid, hidden.size, hidden.plain_hash, key, half, at.posting.sponsor)
        if one.model is None or (at.terms.hidden and one.hidden is None) or one.run:
            return
        one.tries += 1
        one.run = f"{one.scope}:{one.tries}"
        yield self.awaited.evaluate(one.run, at, one.model, one.hidden, several=bool(one.models))

    def _propose(self, at: FederationLook, one: _Measuring, until: int) -> Iterator[Effect]:
        """The candidates, by this node's own computation."""
        found = at.reader.get(records.round_key(at.id, at.now.r))
        if not isinstance(found, RoundRecord):
            return
        for tag, cid, size in (("base", found.base, at.terms.size), ("sums", found.delta, delta_size(at.terms))):
            if tag not in one.asked:
                one.asked.add(tag)
                who = at.holder_of(cid)
                yield FetchContent(one.scope, tag, at.id, cid_text(cid), size, until, pin=MODEL_PIN, holder=who)
        if one.base is not None and one.sums is not None and "models" not in one.asked:
            one.asked.add("models")
            place = at.place(self.known.chain_id)._replace(attempt=found.attempt)
            terms = at.terms
            task = ProposeModels(place, terms.dims, terms.size, one.base, one.sums, found.clip, one.models)
            yield Compute(one.scope, "models", at.id, task)

    # --- keys ------------------------------------------------------------------------------------------------------------------

    def _key(self, at: FederationLook, seat: PanelSeat) -> bytes | None:
        if at.id not in self._keys and seat.box:
            self._learn(at, seat.box)
        return self._keys.get(at.id)

    def _learn(self, at: FederationLook, box: bytes) -> None:
        """Only the key that the terms commit to."""
        context = key_context(self.known.chain_id, at.id, self.known.me)
        for private in self.keys.privates():
            try:
                key = open_box(box, private, KEY_BOX_LABEL, context)
            except CannotOpen:
                continue
            if any(sha256(key) == hidden.key_hash for hidden in at.terms.hidden):
                self._keys[at.id] = key

    def _take_and_give_keys(self, given: Chain) -> Iterator[Effect]:
        """A key is known by its hash, so any seat may give it, and a seat that has it gives it to one that follows."""
        heard, self._heard = self._heard, []
        for came in heard:
            if not isinstance(came.message, KeyGive | KeyAsk):
                continue
            at = look(given.reader, came.message.federation)
            seats = {one.account: one for one in at.now.panel} if at is not None else {}
            if at is None or self.known.me not in seats:
                continue
            if isinstance(came.message, KeyGive):
                if came.sender == at.posting.sponsor or came.sender in seats:
                    self._learn(at, came.message.box)
            elif came.sender in seats and came.sender != self.known.me:
                key, to = self._key(at, seats[self.known.me]), seats[came.sender]
                if key is not None:
                    yield tell(to.account, KeyGive(at.id, self._box(at, key, to)))

    def _box(self, at: FederationLook, key: bytes, seat: PanelSeat) -> bytes:
        rng, context = self.known.rng, key_context(self.known.chain_id, at.id, seat.account)
        try:
            return seal_box(key, seat.box_key, rng(32), KEY_BOX_LABEL, context)
        except (CannotSeal, ValueError):
            return rng(KEY_BOX)

    # --- openings --------------------------------------------------------------------------------------------------------------

    def _open(self, at: FederationLook, seat: PanelSeat) -> Iterator[Effect]:
        sealed = self._sealed.get(at.id)
        if sealed is None or (sealed.r, sealed.again) != (at.now.r, at.now.again):
            return
        own = measure_commitment(self.known.chain_id, at.id, sealed.r, sealed.again, self.known.me, sealed.said, sealed.salt)
        if own != seat.commitment:
            return
        scope = f"fed-open:{at.id.hex()}:{sealed.r}:{sealed.again}"
        opening = []
        for asked, run in _asked_in(at, sealed):
            _, opened = self._opening.get(scope, (b"", None))
            if opened is None:
                if scope not in self._opening:
                    self._opening[scope] = at.id, None
                    probe = draw_probe(at.now.probe, at.id, asked.direction, sealed.again, asked.measured.count)
                    yield OpenLosses(scope, "losses", at.id, run, asked.measured, probe)
                return
            if opened.opening is None:
                return  # the losses are gone: the seat is struck for not opening, which is so
            opening.append(opened.opening)
        op: OpenMeasure | OpenSteps = OpenMeasure(at.id, sealed.r, sealed.again, sealed.measure, opening, sealed.salt)
        if sealed.steps:
            op = OpenSteps(at.id, sealed.r, sealed.again, sealed.steps[0], opening, sealed.salt)
        yield Submit(KIND, f"open:{at.id.hex()}:{sealed.r}:{sealed.again}", at.id, op)

    def notices(self) -> list[Notice]:
        text = "this node has a seat on the panel of {} and cannot measure round {}: {}"
        found = sorted(self._now.items())
        unable = [Notice("fed.panel", ref, text.format(ref.hex()[:12], one.r, one.why)) for ref, one in found if one.why]
        return unable + super().notices()


def _asked_in(at: FederationLook, sealed: SealedMeasure) -> list[tuple[AskedLosses, str]]:
    """What leaves are asked for, if any, and the run that measured them, as the sandbox calls it."""
    run = run_name(sealed.run)
    if not sealed.steps:
        return [(AskedLosses(0, 0, measured), run) for measured in sealed.measure.measured]
    if sealed.steps[0].code != MeasureCode.OK:
        return []
    asked = asked_of(proposed_in(at), sealed.steps[0], at.now.probe)
    return [(asked, one_of_run(run, asked.place))]
