"""The server: answers for the models that it serves, and, as a verifier, in appeals. Pure: inputs to effects.

Which requests moved is told by `Changed`: of each the state says whether this node sits in its committee. A seat is (request,
round); rounds 1 and 2 are of servers, 3 is an appeal's. For each seat:

    input                         when                                   effect
    Chain, ANSWER                 a new seat                             FetchContent of the input, the model where it is not here
    Chain, ANSWER                 its box does not open                  Submit CommitAnswer of BAD_KEY; own key gone: ABSTAIN
    Chain                         image and model are here, it serves    KeepWarm
    Chain                         the input is here, too                 StartRun
    RunEnded                      an answer, or what says why not        Submit CommitAnswer (stored on this disk before), blinded
                                                                         where the request is private
    ContentMissing                half of the window is over             Submit CommitAnswer of NO_DATA
    Chain                         no time is left                        Kill, Submit CommitAnswer of ABSTAIN
    Chain, OPEN                   own commitment stands                  Submit OpenAnswer
    Chain, AGREED or WEAK         this node's answer was not paid, half  StartRun, once more
                                  of the time for appeals is over, and
                                  none of its appeals is under way
    RunEnded                      the second run says the same           Submit AppealAnswer, where the bond is within the settings

An answer is never made anew once it is stored: a node that starts again opens what it committed to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from learningchain.chain.contracts.prediction import duties
from learningchain.chain.contracts.prediction.duties import ABSTAIN, NO_DATA, AnswerDuty, RunTerms, Unpaid
from learningchain.chain.contracts.prediction.messages import AppealAnswer, CommitAnswer, OpenAnswer, answer_commitment
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.host import Reader
from learningchain.chain.types import parse_credits
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.roles import runs, sealed
from learningchain.client.contracts.prediction.roles.answer_window import AnswerFigures, AnswerWindow, sample_of
from learningchain.client.contracts.prediction.roles.held_inputs import HeldInputs
from learningchain.client.contracts.prediction.roles.inputs import InputUnfit
from learningchain.client.contracts.prediction.roles.private import BoxPlace, NoBoxKey, answer_without, blinded, opened
from learningchain.client.contracts.prediction.roles.sealed import SealedAnswer, SeatOf
from learningchain.client.keys.hidden import BadKey
from learningchain.client.node.block_figures import AnyFigure, Distribution, Figure, HistogramFigure
from learningchain.client.work.artifacts import reason as pin_reason
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    BringImage,
    Chain,
    Changed,
    ContentMissing,
    ContentReady,
    DropSecret,
    Effect,
    EndScope,
    FetchContent,
    Forget,
    ImageFailed,
    ImageReady,
    Input,
    KeepWarm,
    Kill,
    LetCool,
    ModelFailed,
    ModelWarm,
    Notice,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    Settled,
    StartRun,
    Submit,
    Unpin,
    lazily,
    take,
)
from learningchain.client.work.machine import Machine, Recalled

INPUT_PIN, SERVE_PIN = "predict", "serve"
"""The first word of the reason for which an input is pinned."""
MODEL, DATA = "model", "input"
"""Tags of what is fetched."""
RETRY_MS = 20_000
"""Chain clock after which an image or a model that was not to be had is asked for again."""
REST_MS = 24 * 3_600_000
"""Chain clock for which this node makes no more appeals of a model by itself after it lost one."""
SECOND_S = 60.0
"""How long a second run may wait for a container."""
FETCH_MS = 600_000
"""How long a model is looked for at a time."""
MARGIN_PART, MAX_MARGIN_MS, MIN_MARGIN_MS = 4, 5_000, 1_000
"""Time kept free before the deadline, to have the commitment in a block: a quarter of the window within these bounds."""
MAX_SEATS = 1_024
"""Seats that are worked on at a time: more than the stake of a server lets it have."""
MOST_NAMED = 32
"""Models that metrics name, the first ones by their ids, of those that this node serves."""


@dataclass
class _ModelHere:
    """What of a model is here."""

    terms: RunTerms
    image: str = ""
    path: Path | None = None
    why: str = ""
    """Why something of it is not here."""
    image_at: int = 0
    file_at: int = 0
    """Chain clock before which it is not asked for again."""
    hurried: bool = False
    kept: bool = False
    """Its containers are kept, or started for a question."""


@dataclass
class _Seat:
    """A seat that is worked on until its answer is on this disk."""

    duty: AnswerDuty
    commit_by: int
    source: bytes | Path | None = None
    run: str = ""
    again_at: int = 0
    answer: Answer | None = None
    submitted: bool = False
    key: bytes = b""
    """Of a private request: it opens the input and blinds the answer."""


class PredictionServer(Machine):
    """The machine of one node."""

    name = "prediction server"

    def __init__(self, known: Recalled) -> None:
        self._known, self._me, self._config = known, known.me, known.config
        self._most_bond = parse_credits(known.config.serve.appeal_max)
        stored = [secret for secret in known.secrets if secret.kind == sealed.ANSWER]
        self._sealed: dict[SeatOf, SealedAnswer] = dict(sealed.answer_in(secret) for secret in stored)
        """Answers of this node that are on its disk, until their request has ended."""
        self._making: dict[SeatOf, SealedAnswer] = {}
        """Answers that the disk has not taken yet."""
        self._models: dict[bytes, _ModelHere] = {}
        """Models that this node serves, or has a seat for."""
        self._served: set[bytes] = set()
        self._ours: set[bytes] = {seat.request for seat in self._sealed}
        """Requests that have a seat of this node and have not ended, as far as it knows."""
        self._sitting: set[bytes] = set(self._ours)
        """Those of them that moved since the last look, or wait for something else than a block."""
        self._seats: dict[SeatOf, _Seat] = {}
        self._second: dict[SeatOf, str] = {}
        """Second runs of answers that were not paid, and those that are over (empty)."""
        self._objecting: dict[SeatOf, Unpaid] = {}
        self._appealed: dict[bytes, bytes] = {}
        """Requests that this node appealed, and their models."""
        self._settled: set[bytes] = set()
        """Those of them of which it is known what became of the message."""
        self._resting: dict[bytes, int] = {}
        """Models for which it does not appeal by itself until then (chain clock): an appeal was lost."""
        self._inputs: dict[bytes, bytes | Path] = {}
        """Inputs that are here, until their request has ended."""
        self._held = HeldInputs(known.config.serve.inputs_mb << 20)
        """Inputs that are pinned here."""
        self._recalled: set[bytes] = set(self._ours)
        """Requests whose inputs an earlier start pinned, until they are looked at."""
        self._said: set[tuple[str, SeatOf]] = set()
        self._clock = 0
        self._started = 0
        self._boxes = OwnBoxKeys(known.secrets)
        self._answers: dict[bytes, AnswerWindow] = {}
        """How the models that this node serves were answered, whoever was drawn, since it started."""
        self._answer_seconds = Distribution()

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config

    def handle(self, given: Input) -> list[Effect]:
        """What follows from other inputs starts with `Chain`, which comes after each of them."""
        self._boxes.hear(given)
        match given:
            case Chain():
                return [*self._chain(given.reader, given.clock), *self._let_go(given)]
            case Changed():
                self._changed(given)
            case ImageReady() if given.ref in self._models:
                self._models[given.ref].image, self._models[given.ref].why = given.image_id, ""
            case ImageFailed() if given.ref in self._models:
                self._models[given.ref].image_at, self._models[given.ref].why = self._clock + RETRY_MS, given.reason
            case ModelWarm() if given.model in self._models:
                self._models[given.model].why = ""
            case ModelFailed() if given.model in self._models:
                self._models[given.model].why = given.reason
            case ContentReady() | ContentMissing():
                self._came(given)
            case RunEnded():
                return self._ended(given)
            case Settled() if given.ref in self._appealed and given.key == f"appeal:{given.ref.hex()}":
                self._settled.add(given.ref)
            case SecretStored() if given.secret.kind == sealed.ANSWER:
                self._stored(given.secret)
            case SecretRefused() if given.secret.kind == sealed.ANSWER:
                self._refused(given.secret)
        return []

    def notices(self) -> list[Notice]:
        text = "this node serves model {} and cannot run it, so that it abstains and is paid nothing: {}"
        return [
            Notice("serve.not-ready", ref, text.format(ref.hex()[:12], model.why))
            for ref, model in sorted(self._models.items())
            if model.why
        ]

    def figures(self) -> list[AnyFigure]:
        open_ = "Seats of this node that have no answer on its disk yet"
        answered = "From the draw of this node as a server to its answer, by the chain clock; where it abstained there is none"
        return [
            Figure("lc_prediction_seats_open", open_, (), {(): len(self._seats)}),
            HistogramFigure("lc_prediction_answer_seconds", answered, self._answer_seconds),
            *self._figures_of_models(),
        ]

    def _figures_of_models(self) -> Iterator[Figure]:
        """The newest requests of each, as GET /v1/models has them, since this node started. Names of models are ids: bounded."""
        named = sorted(self._served)[:MOST_NAMED]
        answered = [model for model in named if model in self._answers]
        found: dict[tuple[str, ...], AnswerFigures] = {(model.hex(),): self._answers[model].figures() for model in answered}
        text = "The newest requests to a model that this node serves which servers answered, 128 at most"
        yield Figure("lc_served_model_answers", text, ("model",), {model: one.counted for model, one in found.items()})
        text = "The share of these that agreed"
        agreement = {model: one.agreement for model, one in found.items() if one.agreement is not None}
        yield Figure("lc_served_model_agreement_ratio", text, ("model",), agreement)
        text = "Within how long of the posting that percentage of those with values had them"
        took = {(*model, percent): ms for model, one in found.items() for percent, ms in (("50", one.p50_ms), ("95", one.p95_ms))}
        seconds = {labels: ms / 1_000 for labels, ms in took.items() if ms is not None}
        yield Figure("lc_served_model_seconds", text, ("model", "percentile"), seconds)

    def gives_up(self, ref: bytes) -> bool:
        return ref not in self._models

    # --- the chain -------------------------------------------------------------------------------------------------------------

    def _changed(self, given: Changed) -> None:
        if given.anew:
            self._served = set(duties.served(given.reader, self._me))
        for model in given.under(duties.served_of(self._me)):
            self._place_model(given.reader, model)
        self._answers = {model: window for model, window in self._answers.items() if model in self._served}
        for request in given.under(duties.REQUESTS):
            self._count(given.reader, request)
            if request in self._ours or duties.has_seat(given.reader, request, self._me):
                self._ours.add(request)
                self._sitting.add(request)

    def _count(self, reader: Reader, request: bytes) -> None:
        if self._served and (found := sample_of(reader, request)) is not None and found[0] in self._served:
            self._answers.setdefault(found[0], AnswerWindow()).add(found[1])

    def _place_model(self, reader: Reader, model: bytes) -> None:
        if duties.serves(reader, model, self._me):
            self._served.add(model)
        else:
            self._served.discard(model)

    def _chain(self, reader: Reader, clock: int) -> list[Effect]:
        self._clock = clock
        effects: list[Effect] = []
        current: set[SeatOf] = set()
        for request in sorted(self._sitting):
            if not take(effects, request, self._look(reader, request, current)):
                current |= {seat for seat in self._seats if seat.request == request}
        take(effects, b"", lazily(self._leave, current))
        take(effects, b"", lazily(self._want_models, reader))
        for seat in sorted(self._seats, key=lambda one: (self._seats[one].commit_by, one)):
            take(effects, seat.request, lazily(self._advance, seat, self._seats[seat]))
        return effects

    def _look(self, reader: Reader, request: bytes, current: set[SeatOf]) -> Iterator[Effect]:
        """What the state asks of this node for one request."""
        found = duties.duty(reader, request, self._me)
        match found:
            case AnswerDuty():
                seat = SeatOf(request, found.round)
                if seat not in self._sealed and len(self._seats) < MAX_SEATS:
                    current.add(seat)
                    if seat not in self._seats:
                        yield from self._sit(reader, seat, found)
            case duties.OpenDuty():
                seat = SeatOf(request, found.round)
                own = self._sealed.get(seat)
                if own is not None and own.commitment == found.commitment and self._first("open", seat):
                    op = OpenAnswer(request, seat.round, own.answer, own.salt)
                    yield Submit(sealed.KIND, f"open:{request.hex()}:{seat.round}", request, op)
            case Unpaid():
                yield from self._object(reader, found)
            case duties.Over():
                yield from self._forget(reader, request)
        if request in self._recalled:
            self._recalled.discard(request)
            if not isinstance(found, duties.Over) and (fetched := duties.fetched_input(reader, request)) is not None:
                self._held.note(request, *fetched)
        if not isinstance(found, AnswerDuty | Unpaid):
            self._sitting.discard(request)  # nothing is to be done before it moves

    def _first(self, what: str, seat: SeatOf) -> bool:
        key = (what, seat)
        if key in self._said:
            return False
        self._said.add(key)
        return True

    def _sit(self, reader: Reader, seat: SeatOf, duty: AnswerDuty) -> Iterator[Effect]:
        """A new seat: the input is fetched for half of the window at most, as the rules have it."""
        window = duty.deadline - duty.started
        margin = min(max(window // MARGIN_PART, MIN_MARGIN_MS), MAX_MARGIN_MS)
        found = self._seats[seat] = _Seat(duty, duty.deadline - margin)
        if duty.round == duties.APPEAL_ROUND and not self._config.verify:
            found.answer = ABSTAIN
        elif duty.key_hash:
            self._open_box(seat, found)
        if found.answer is not None:
            return
        if seat.request in self._inputs:
            found.source = self._inputs[seat.request]
        elif duty.inline:
            found.source = self._inputs[seat.request] = duty.inline
        elif (gone := self._room(reader, seat.request)) is None:
            found.answer = ABSTAIN
        else:
            for request in gone:
                yield from self._put_out(request)
            until = duty.started + window // 2
            scope, who = _scope_of(seat), duty.requester
            yield FetchContent(scope, DATA, seat.request, duty.cid, duty.size, until, pin=INPUT_PIN, holder=who)

    def _room(self, reader: Reader, request: bytes) -> list[bytes] | None:
        """The requests whose inputs go so that this one's may come; None where there is no room."""
        fetched = duties.fetched_input(reader, request)
        busy = {seat.request for seat in self._seats} | {seat.request for seat in self._making}
        return [] if fetched is None else self._held.take(request, *fetched, busy)

    def _put_out(self, request: bytes) -> Iterator[Effect]:
        """Its answer is sealed; who needs the input in an appeal has it from the requester, or from other seats."""
        self._inputs.pop(request, None)
        yield Unpin(request, pin_reason(INPUT_PIN, request))

    def _open_box(self, seat: SeatOf, found: _Seat) -> None:
        """LC-PRIV-4, 5: without the key there is nothing to run."""
        duty, place = found.duty, BoxPlace(seat.request, seat.round, self._me)
        try:
            found.key = opened(duty.box, place, duty.box_key, self._boxes.privates(), duty.key_hash)
        except (BadKey, NoBoxKey) as why:
            found.answer = answer_without(why)

    def _leave(self, current: set[SeatOf]) -> Iterator[Effect]:
        """Seats that are not to answer any more, or whose answer is on this disk."""
        for seat in [seat for seat in self._seats if seat not in current]:
            left = self._seats.pop(seat)
            if left.run:
                yield Kill(left.run, "the round is over")
            yield EndScope(_scope_of(seat))

    def _forget(self, reader: Reader, request: bytes) -> Iterator[Effect]:
        self._ours.discard(request)
        self._settled.discard(request)
        if (model := self._appealed.pop(request, None)) is not None and duties.is_upheld(reader, request):
            self._resting[model] = self._clock + REST_MS
        self._inputs.pop(request, None)
        self._held.drop(request)
        for seat in [seat for seat in self._sealed if seat.request == request]:
            del self._sealed[seat]
            yield DropSecret(sealed.ANSWER, sealed.key_of(seat))
        self._second = {seat: run for seat, run in self._second.items() if seat.request != request}
        self._said = {(what, seat) for what, seat in self._said if seat.request != request}
        yield Forget(request)

    # --- models ----------------------------------------------------------------------------------------------------------------

    def _want_models(self, reader: Reader) -> Iterator[Effect]:
        """Image and model of all that is served, and of the seats of appeals; what nobody needs goes."""
        seated = {seat.duty.model for seat in self._seats.values()}
        for ref in sorted(seated | self._served):
            if ref not in self._models and (terms := duties.run_terms(reader, ref)) is not None:
                self._models[ref] = _ModelHere(terms)
            if ref in self._models:
                yield from self._want(ref, self._models[ref], urgent=ref in seated)
        waiting = {duties.model_of(reader, request) for request in self._sitting}
        for ref in [ref for ref in self._models if ref not in seated | self._served | waiting]:
            if self._models.pop(ref).kept:
                yield LetCool(ref)
            yield EndScope(_model_scope_of(ref))
            yield Forget(ref)

    def _let_go(self, given: Chain) -> list[Effect]:
        """Models whose image an earlier start left here, and that are not served any more."""
        kept = [ref for ref in given.held if ref not in self._models and duties.is_model(given.reader, ref)]
        return [Forget(ref) for ref in sorted(kept)] if given.complete else []

    def _want(self, ref: bytes, model: _ModelHere, *, urgent: bool) -> Iterator[Effect]:
        hurry = urgent and not model.hurried
        if not model.image and (self._clock >= model.image_at or hurry):
            model.image_at, model.hurried = 2**63, model.hurried or urgent
            yield BringImage(ref, runs.wanted_image(self._config, model.terms), urgent, model.terms.owner)
        if model.path is None and self._clock >= model.file_at:
            model.file_at = 2**63
            scope, until, terms = _model_scope_of(ref), self._clock + FETCH_MS, model.terms
            yield FetchContent(scope, MODEL, ref, terms.cid, terms.size, until, pin=SERVE_PIN, holder=terms.owner)
        if model.image and model.path is not None and not model.kept and ref in self._served:
            model.kept = True
            spec = runs.predict_spec(model.terms, run=f"predict-{ref.hex()[:32]}", image=model.image, path=model.path)
            if isinstance(spec, str):
                model.why = spec
            else:
                yield KeepWarm(ref, spec)

    # --- a seat ----------------------------------------------------------------------------------------------------------------

    def _advance(self, seat: SeatOf, found: _Seat) -> Iterator[Effect]:
        if found.answer is None and self._clock >= found.commit_by:
            if found.run:
                yield Kill(found.run, "no time is left to commit to an answer")
                found.run = ""
            found.answer = ABSTAIN
        if found.answer is not None:
            yield from self._commit(seat, found, found.answer)
        elif found.source is not None and not found.run and self._clock >= found.again_at:
            model = self._models.get(found.duty.model)
            if model is not None and model.image and model.path is not None:
                found.run = self._name(seat)
                left = (found.commit_by - self._clock) / 1_000
                yield self._start(found.run, found.duty, model, found.source, left, found.key)

    def _start(
        self, run: str, duty: AnswerDuty, model: _ModelHere, source: bytes | Path, wait_s: float, key: bytes = b""
    ) -> StartRun:
        """In a container that waits for a request, where the model is served; a judge starts one of its own."""
        spec = runs.predict_spec(model.terms, run=run, image=model.image, path=model.path or Path())
        late = runs.late_input(duty, model.terms, source, key)
        return StartRun(run, duty.request, spec, (runs.PHASE, duty.round), late=late, warm=duty.model, wait_s=wait_s)

    def _name(self, seat: SeatOf) -> str:
        self._started += 1
        return f"answer-{seat.request.hex()[:32]}-{seat.round}-{self._started}"

    def _commit(self, seat: SeatOf, found: _Seat, answer: Answer) -> Iterator[Effect]:
        """The answer that counts is this one, or the one that was stored for this seat before."""
        if found.submitted:
            return
        found.submitted = True
        if answer != ABSTAIN and seat.round != duties.APPEAL_ROUND:
            self._answer_seconds.add(max(0, self._clock - found.duty.started) / 1_000)
        salt = self._known.rng(sealed.SALT)
        commitment = answer_commitment(self._known.chain_id, seat.request, seat.round, self._me, answer, salt)
        own = self._making[seat] = SealedAnswer(commitment, salt, answer)
        op = CommitAnswer(seat.request, seat.round, commitment)
        yield Submit(sealed.KIND, f"commit:{seat.request.hex()}:{seat.round}", seat.request, op, sealed.of_answer(seat, own))

    def _stored(self, secret: Secret) -> None:
        seat, own = sealed.answer_in(secret)
        self._making.pop(seat, None)
        self._sealed[seat] = own

    def _refused(self, secret: Secret) -> None:
        """The disk refused: the same is offered again, as long as there is time."""
        seat, _ = sealed.answer_in(secret)
        self._making.pop(seat, None)
        if seat in self._seats:
            self._seats[seat].submitted = False

    # --- what runs and files came to -------------------------------------------------------------------------------------------

    def _came(self, given: ContentReady | ContentMissing) -> None:
        for ref, model in self._models.items():
            if given.scope == _model_scope_of(ref):
                if isinstance(given, ContentReady):
                    model.path, model.why = given.path, ""
                else:
                    model.file_at, model.why = self._clock + RETRY_MS, given.reason
                return
        for seat, found in self._seats.items():
            if given.scope == _scope_of(seat):
                if isinstance(given, ContentReady):
                    found.source = self._inputs[seat.request] = given.path
                elif found.answer is None:
                    found.answer = ABSTAIN if given.local else NO_DATA
                return
        for seat in self._sealed:
            if given.scope == _scope_of(seat) and isinstance(given, ContentReady):
                self._inputs[seat.request] = given.path

    def _ended(self, ended: RunEnded) -> list[Effect]:
        for found in self._seats.values():
            if found.run == ended.run:
                found.run = ""
                found.answer = self._hidden(found, runs.answer_of(ended))
                if found.answer is None:  # this machine's own trouble: there may be time for another try
                    found.again_at = self._clock + RETRY_MS // 20
                return []
        for seat, run in self._second.items():
            if run and run == ended.run:
                self._second[seat] = ""
                return list(self._compare(seat, ended))
        return []

    def _hidden(self, found: _Seat, answer: Answer | None) -> Answer | None:
        """What a private request's answer is sealed as: blinded, so that the ledger counts what it cannot read."""
        if answer is None or not found.key:
            return answer
        model = self._models.get(found.duty.model)
        classes = model.terms.terms.classes if model is not None else 0
        return blinded(answer, found.key, found.duty.request, list(found.duty.chosen), classes)

    # --- appeals of its own ----------------------------------------------------------------------------------------------------

    def _object(self, reader: Reader, unpaid: Unpaid) -> Iterator[Effect]:
        """An answer that was not paid is run once more; where that says the same, judges are asked."""
        seat = SeatOf(unpaid.duty.request, unpaid.duty.round)
        source, model = self._inputs.get(seat.request), self._models.get(unpaid.duty.model)
        if self._clock < unpaid.appeal_from:
            return
        if seat not in self._sealed or seat in self._second or not 0 < unpaid.bond <= self._most_bond:
            return
        refused = {one for one in self._settled if not duties.appealed_by(reader, one, self._me)}
        self._appealed = {one: model for one, model in self._appealed.items() if one not in refused}
        self._settled -= refused
        if self._appealed or self._clock < self._resting.get(unpaid.duty.model, 0):
            return  # who makes this machine's answers stand alone gets one bond, not one for each request
        if source is None and not unpaid.duty.inline and self._first("input", seat):
            until = unpaid.appeal_by
            for request in self._room(reader, seat.request) or ():
                yield from self._put_out(request)
            scope, asked = _scope_of(seat), unpaid.duty
            yield FetchContent(scope, DATA, seat.request, asked.cid, asked.size, until, pin=INPUT_PIN, holder=asked.requester)
        source = source or unpaid.duty.inline
        if not source or model is None or not model.image or model.path is None:
            return
        run = self._second[seat] = self._name(seat)
        self._objecting[seat] = unpaid
        yield self._start(run, unpaid.duty, model, source, SECOND_S)

    def _compare(self, seat: SeatOf, ended: RunEnded) -> Iterator[Effect]:
        own, unpaid = self._sealed.get(seat), self._objecting.pop(seat, None)
        if own is None or unpaid is None or not _same(own.answer, runs.answer_of(ended)):
            return
        if unpaid.unread and not isinstance(ended.result, InputUnfit):
            return
        self._appealed[seat.request] = unpaid.duty.model
        op = AppealAnswer(seat.request, list(unpaid.rows))
        yield Submit(sealed.KIND, f"appeal:{seat.request.hex()}", seat.request, op)


def _same(own: Answer, again: Answer | None) -> bool:
    """Of BAD_INPUT the row alone is run again, and stands elsewhere."""
    return again == own or (again is not None and again.code == own.code == AnswerCode.BAD_INPUT)


def _scope_of(seat: SeatOf) -> str:
    return f"{seat.request.hex()}-{seat.round}"


def _model_scope_of(model: bytes) -> str:
    return f"model-{model.hex()}"
