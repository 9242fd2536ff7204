"""What members do with predictions: register a model, serve it, ask it, answer, give keys, appeal. One look, at most one message.

What is true of a row follows from the request's content, so every honest server finds the same, within what machines differ by.
A liar adds the same lie as every other liar.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from learningchain.chain.contracts.membership.messages import SetBoxKey, SetCapacity
from learningchain.chain.contracts.membership.records import Member, member_key
from learningchain.chain.contracts.prediction import formulas, messages, records
from learningchain.chain.contracts.prediction.messages import (
    AddTip,
    AppealAnswer,
    CancelRequest,
    CommitAnswer,
    GiveKeys,
    OpenAnswer,
    PolicyRate,
    Program,
    RegisterModel,
    RegisterPolicy,
    RequestPrediction,
    RetireModel,
    ServeModel,
    SetPrice,
    Share,
    UnserveModel,
)
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    ModelRecord,
    ModelStanding,
    ModelState,
    PolicyRecord,
    PredictionSeat,
    RequestRecord,
    RequestState,
    RequestTerms,
    ServerRecord,
)
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind
from learningchain.chain.crypto import sha256
from learningchain.chain.host import ACTIVE, Account, account_key
from learningchain.chain.host.records import params_key
from learningchain.chain.host.terms import Arch, Capacity, Image, ImageKind
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record

CAPACITY = Capacity(int(Arch.AMD64), 64_000, 65_536, 2**32, 2**32, 3_600)
TOL = 1_000
SPREAD = 10**9
LIE = 10**8
SALT = sha256(b"salt of predictions")
KEY = sha256(b"key of private requests")
FLOOR, ROYALTY = 100, 30
MODEL = b"\x01\x55\x12\x20" + sha256(b"a model")
IMAGE = Image(ImageKind.REGISTRY, "registry.example/model@sha256:" + "ab" * 32, b"", b"", 1_000)


@dataclass(frozen=True)
class Asked:
    """A request in the state."""

    id: bytes
    posting: RequestTerms
    record: RequestRecord

    def rows(self, number: int) -> list[int]:
        """The rows that a round answers."""
        return list(self.record.rows) if number == 3 else list(range(self.posting.terms.rows))


def params(state: State) -> PredictionParams:
    found = state.get(params_key(records.NUMBER))
    return found if isinstance(found, PredictionParams) else PredictionParams()


def models(state: State) -> Iterator[tuple[bytes, ModelRecord, ModelStanding]]:
    """Those that live."""
    for key in state.keys(b"po/"):
        model = key[-32:]
        record, standing = state.get(records.model_key(model)), state.get(records.standing_key(model))
        if isinstance(record, ModelRecord) and isinstance(standing, ModelStanding) and standing.state == ModelState.LIVE:
            yield model, record, standing


def requests(state: State) -> Iterator[Asked]:
    """All that the state holds, in the order of posting."""
    for key in state.keys(b"pn/"):
        numbered: Any = state.get(key)
        posting, record = state.get(records.terms_key(numbered.request)), state.get(records.request_key(numbered.request))
        if isinstance(posting, RequestTerms) and isinstance(record, RequestRecord):
            yield Asked(numbered.request, posting, record)


def unfinished(state: State) -> int:
    """Requests that have not ended."""
    return sum(one.record.state not in records.ENDED for one in requests(state))


def policies_of(state: State, model: bytes) -> list[bytes]:
    found = [key[3:] for key in state.keys(records.LIVE) if isinstance(state.get(records.policy_key(key[3:])), PolicyRecord)]
    return [one for one in found if cast(Any, state.get(records.policy_key(one))).terms.model == model]


def truth(one: Asked, row: int) -> int:
    told = sha256(one.posting.terms.cid + row.to_bytes(2, "big"))
    return int.from_bytes(told[:4], "big") % (2 * SPREAD) - SPREAD


class Asker:
    """A member's own words: `say` is the next one. Subclasses do other things than the truth."""

    model = "credit"
    """The name of the models that it registers, serves and asks."""
    owns = False
    serves = True
    asks = 0
    """How many requests it posts."""
    lies = 0.0
    """How likely an answer is a lie."""
    silent = 0.0
    """How likely it commits nothing, or does not open."""
    appeals = 0.2
    declares = True
    """Whether it says what its machine takes: who does not judges nobody."""
    fidgets = 0.1
    """How likely it does something beside, where it has nothing to do."""

    def __init__(self, identity: bytes, rng: random.Random) -> None:
        self.id, self.rng = identity, rng
        self.asked = 0
        self.served: set[bytes] = set()

    # --- what it says next --------------------------------------------------------------------------------------------------------

    def say(self, state: State, clock: int) -> Any | None:
        account, member = state.get(account_key(self.id)), state.get(member_key(self.id))
        if not isinstance(account, Account) or not isinstance(member, Member):
            return None
        if self.declares and member.verifier and not member.capacity:
            return SetCapacity(CAPACITY)
        if not member.box_key:
            return SetBoxKey(sha256(b"box" + self.id))
        duty = next(self._duties(state, clock), None)
        if duty is not None or account.status != ACTIVE:
            return duty
        return self._offer(state, member) or self._ask(state, clock) or self._fidget(state, clock)

    def _offer(self, state: State, member: Member) -> Any | None:
        """A model of its own, and its part in others."""
        known = self.known(state)
        if self.owns and not any(record.owner == self.id for _, record, _ in known):
            return self.registration()
        if not self.serves or not member.verifier:
            return None
        for model, record, standing in known:
            if model not in self.served and record.owner != self.id:
                self.served.add(model)
                floor = max(standing.floor, standing.coming_floor)
                return ServeModel(model, self.stake(formulas.least_stake(params(state).pred_stake, floor)))
        return None

    def known(self, state: State) -> list[tuple[bytes, ModelRecord, ModelStanding]]:
        return [one for one in models(state) if one[1].terms.name == self.model]

    def stake(self, least: int) -> int:
        return 2 * least

    def registration(self) -> RegisterModel:
        rng = self.rng
        classes = rng.choice((0, 0, 3))
        return RegisterModel(
            name=self.model,
            source=[],
            previous=[],
            program=[Program(IMAGE, Arch.AMD64, "", MODEL, 1_000, 1_000, 256, 16, 1)],
            kind=ModelKind.CLASS if classes else ModelKind.NUMBER,
            classes=classes,
            tol=TOL,
            royalty=rng.choice((0, ROYALTY)),
            floor=FLOOR,
            slots=rng.choice((1, 4)),
            max_rows=20,
            input_cap=100_000,
            row_ms=1,
            start_s=1,
            schema=b"",
            sample=b"",
            sample_answers=b"",
            origin=[],
            shares=[Share(self.id, 1)] if rng.random() < 0.3 else [],
        )

    # --- questions ----------------------------------------------------------------------------------------------------------------

    def _ask(self, state: State, clock: int) -> Any | None:
        if self.asked >= self.asks:
            return None
        for model, record, standing in self.known(state):
            if len(_servers(state, model)) >= 3 and record.owner != self.id:
                self.asked += 1
                return self.request(state, model, standing)
        return None

    def request(self, state: State, model: bytes, standing: ModelStanding) -> RequestPrediction:
        rng = self.rng
        rows, answers = rng.choice((1, 1, 2, 17)), rng.choice((1, 3, 3, 5, 5, 7))
        least = standing.floor * answers * rows
        inline = b"row %d %d" % (self.asked, rng.randrange(5))
        policies = policies_of(state, model) if rng.random() < 0.5 else []
        return RequestPrediction(
            model=model,
            cid=messages.inline_cid(inline),
            size=len(inline),
            inline=inline,
            rows=rows,
            answers=answers,
            agree=min(answers, rng.choice((1, 2, answers))),
            tip=rng.choice((least, 2 * least, 30 * least)),
            max_charge=10**9,
            wait=rng.choice((1_500, 4_000, 60_000)),
            key_hash=[sha256(KEY)] if rng.random() < 0.3 else [],
            policy=[rng.choice(policies)] if policies else [],
        )

    # --- duties -------------------------------------------------------------------------------------------------------------------

    def _duties(self, state: State, clock: int) -> Iterator[Any]:
        for one in requests(state):
            now = one.record
            if now.state in records.ENDED or clock >= now.deadline:
                continue
            if now.state == RequestState.KEYS:
                yield from self._keys(one)
            elif now.state in (RequestState.ANSWER, RequestState.OPEN):
                yield from self._seated(state, one)
            elif now.state in records.ANSWERED:
                yield from self._appeal(one)

    def _keys(self, one: Asked) -> Iterator[Any]:
        now = one.record
        giver = now.appellant if now.round == 3 else one.posting.requester
        if giver == self.id and not self.is_silent(one, -now.round):
            seats = next(drawn.seats for drawn in now.rounds if drawn.round == now.round)
            yield GiveKeys(one.id, now.round, [bytes(messages.BOX_BYTES)] * len(seats))

    def _seated(self, state: State, one: Asked) -> Iterator[Any]:
        now = one.record
        for drawn in now.rounds:
            if (drawn.round == 3) != (now.round == 3) or self.id not in drawn.seats:
                continue
            seat = state.get(records.seat_key(one.id, drawn.round, self.id))
            if isinstance(seat, PredictionSeat):
                yield from self.duty(state, one, drawn.round, seat)

    def duty(self, state: State, one: Asked, number: int, seat: PredictionSeat) -> Iterator[Any]:
        """Its own commitment, its own opening."""
        now = one.record
        if now.state == RequestState.ANSWER and number == now.round and not seat.commitment:
            if not self.is_silent(one, number):
                said, chain_id = self.answer(state, one, number), chain_record(state).chain_id
                yield CommitAnswer(one.id, number, messages.answer_commitment(chain_id, one.id, number, self.id, said, SALT))
        elif now.state == RequestState.OPEN and seat.commitment and not seat.answer and not self.is_silent(one, 10 + number):
            yield OpenAnswer(one.id, number, self.answer(state, one, number), SALT)

    def is_silent(self, one: Asked, number: int) -> bool:
        """Drawn once for a request and round."""
        return random.Random(f"{one.id.hex()} {number} {self.id.hex()}").random() < self.silent

    def answer(self, state: State, one: Asked, number: int) -> Answer:
        """Always the same of a request and round."""
        dice = random.Random(f"{one.id.hex()} {self.id.hex()}")
        terms: Any = state.get(records.model_key(one.posting.terms.model))
        classes = terms.terms.classes
        lie = LIE if dice.random() < self.lies else 0
        rows = one.rows(number)
        hidden = lie * (one.id[2] % 3 == 0)
        # Now and then only the check lies: the scores are as if copied from somebody else.
        scores = [truth(one, row) + lie - hidden + dice.randint(-TOL, TOL) for row in rows]
        check = sum(truth(one, row) for row in rows) // 7 + dice.randint(-TOL, TOL) + (hidden or lie * (one.id[1] % 2))
        told = [(truth(one, row) + bool(lie - hidden)) % classes for row in rows] if classes else []
        return Answer(AnswerCode.OK, told, scores, check)

    def _appeal(self, one: Asked) -> Iterator[Any]:
        asked = random.Random(f"appeal {one.id.hex()} {self.id.hex()}").random() < self.appeals
        if asked and not self.rng.randrange(3) and (not one.posting.terms.key_hash or one.posting.requester == self.id):
            yield AppealAnswer(one.id, [0])

    # --- beside -------------------------------------------------------------------------------------------------------------------

    def _fidget(self, state: State, clock: int) -> Any | None:
        """Things that are mostly allowed, and some that are not."""
        rng = self.rng
        if rng.random() >= self.fidgets:
            return None
        known, asked = self.known(state), [one for one in requests(state) if one.posting.requester == self.id]
        if asked and rng.random() < 0.4:
            one = rng.choice(asked)
            return rng.choice((AddTip(one.id, rng.choice((1, 10_000))), CancelRequest(one.id), AppealAnswer(one.id, [0])))
        if not known:
            return None
        model, record, standing = rng.choice(known)
        if record.owner == self.id and rng.random() < 0.5:
            price = (standing.royalty, rng.choice((standing.floor, standing.floor + 1)))
            retired = RetireModel(model) if rng.random() < 0.1 else None
            return retired or SetPrice(model, standing.royalty, standing.floor, *price)
        rates = [PolicyRate(-formulas.MAX_SCORE, 1_000), PolicyRate(0, 2_000)]
        policy = RegisterPolicy(model, rng.random() < 0.5, rng.randrange(-SPREAD, SPREAD), rates, 3, rng.choice((0, 2)))
        if rng.random() < 0.2:
            self.served.discard(model)
            return UnserveModel(model)
        return rng.choice((policy, ServeModel(model, 0)))


def _servers(state: State, model: bytes) -> list[bytes]:
    listed: Any = state.get(records.servers_key(model))
    found = []
    for who in listed.servers if listed else []:
        server = state.get(records.server_key(model, who))
        if isinstance(server, ServerRecord) and server.awake and not server.out and not server.leaving:
            found.append(who)
    return found
