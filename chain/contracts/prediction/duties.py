"""What the ledger asks of an account about requests: seats to answer, answers to open, answers that were not paid. Plain functions
over the committed state; machines decide what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import (
    APPEAL_ROWS,
    APPEAL_SEATS,
    NAMED_ROWS,
    answer_window,
    appeal_opens,
    bond,
)
from learningchain.chain.contracts.prediction.messages import Program, RegisterModel, challenge, seed_of
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    ANSWERED,
    ENDED,
    ModelRecord,
    PredictionResult,
    PredictionRound,
    PredictionSeat,
    RequestRecord,
    RequestState,
    RequestTerms,
    ServerRecord,
)
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.host import Reader, read_params
from learningchain.chain.types import cid_text

REQUESTS = records.request_key(b"")
MOST_SERVED = 4_096
"""Models of one server that are looked for at a start."""
APPEAL_ROUND = 3
SURE_TOLS = 6
"""How many times the tolerance an own answer is from a value that it may stake a bond on: judges let stand what is 4 from theirs,
and theirs may be 2 from an honest answer (LC-PRE-2)."""
ABSTAIN = Answer(AnswerCode.ABSTAIN, [], [], 0)
NO_DATA = Answer(AnswerCode.NO_DATA, [], [], 0)
BAD_INPUT = Answer(AnswerCode.BAD_INPUT, [], [], 0)
BAD_KEY = Answer(AnswerCode.BAD_KEY, [], [], 0)


@dataclass(frozen=True)
class RunTerms:
    """What of a model's terms a run goes by. `program` is the image, its limits and the model's content."""

    model: bytes
    program: Program
    terms: RegisterModel
    owner: bytes

    @property
    def cid(self) -> str:
        return cid_text(self.program.model)

    @property
    def size(self) -> int:
        return self.program.size


@dataclass(frozen=True)
class AnswerDuty:
    """A seat that answers: until `deadline` of the chain clock, in a window that began at `started`. `chosen`: the rows that are
    answered, of `rows`; `key_hash` of a private request, the box that the seat was given, and the box key of the draw."""

    request: bytes
    round: int
    model: bytes
    started: int
    deadline: int
    cid: str
    size: int
    inline: bytes
    rows: int
    chosen: tuple[int, ...]
    seed: int
    challenge: int
    key_hash: bytes = b""
    box: bytes = b""
    box_key: bytes = b""
    requester: bytes = b""


@dataclass(frozen=True)
class OpenDuty:
    """A seat that has committed and is to open."""

    round: int
    commitment: bytes


@dataclass(frozen=True)
class Unpaid:
    """An answer of this node that was not paid, while an appeal is possible: the rows that judges who answer as it did would
    change, the most that the bond may be, and from when until when (chain clock) others than the requester may appeal. `duty` is
    what a second run answers. `unread`: only an input that is no list of its rows, whatever the model says of it, is sure to be
    found so by judges, for they see some rows alone, and which one does not fit was not said."""

    duty: AnswerDuty
    rows: tuple[int, ...]
    unread: bool
    bond: int
    appeal_from: int
    appeal_by: int


@dataclass(frozen=True)
class Over:
    """The request has ended, or is not in the state any more."""


Duty = AnswerDuty | OpenDuty | Unpaid | Over


# --- what an account serves ----------------------------------------------------------------------------------------------------


def served_of(me: bytes) -> bytes:
    """The prefix of the keys that name the models which an account serves."""
    return records.served_key(me, b"")


def served(reader: Reader, me: bytes) -> list[bytes]:
    """All models that this node serves or is leaving: at most as many as it staked on."""
    prefix = served_of(me)
    return [key[len(prefix) :] for key, _ in reader.scan(prefix, MOST_SERVED)]


def serves(reader: Reader, model: bytes, me: bytes) -> bool:
    return isinstance(reader.get(records.server_key(model, me)), ServerRecord)


def is_model(reader: Reader, ref: bytes) -> bool:
    return reader.get(records.model_key(ref)) is not None


def is_known(reader: Reader, ref: bytes) -> bool:
    """Whether the state has this ref as a request or as a model."""
    return is_model(reader, ref) or reader.get(records.request_key(ref)) is not None


def run_terms(reader: Reader, model: bytes) -> RunTerms | None:
    found = reader.get(records.model_key(model))
    return RunTerms(model, found.program, found.terms, found.owner) if isinstance(found, ModelRecord) else None


def model_of(reader: Reader, request: bytes) -> bytes:
    """Empty where there is no such request."""
    asked = reader.get(records.terms_key(request))
    return asked.terms.model if isinstance(asked, RequestTerms) else b""


# --- seats ---------------------------------------------------------------------------------------------------------------------


def appealed_by(reader: Reader, request: bytes, me: bytes) -> bool:
    record = reader.get(records.request_key(request))
    return isinstance(record, RequestRecord) and record.appellant == me


def is_upheld(reader: Reader, request: bytes) -> bool:
    """Whether an appeal of it was lost."""
    record = reader.get(records.request_key(request))
    return isinstance(record, RequestRecord) and record.appeal == AppealVerdict.UPHELD


def has_seat(reader: Reader, request: bytes, me: bytes) -> bool:
    """Whether this node sits in any round of a request that has not ended."""
    record = reader.get(records.request_key(request))
    if not isinstance(record, RequestRecord) or record.state in ENDED:
        return False
    return any(me in round_.seats for round_ in record.rounds)


def fetched_input(reader: Reader, request: bytes) -> tuple[bytes, int] | None:
    """The requester and the bytes of an input that has to be fetched; None where it lies on the ledger."""
    asked = reader.get(records.terms_key(request))
    return (asked.requester, asked.terms.size) if isinstance(asked, RequestTerms) and not asked.terms.inline else None


def duty(reader: Reader, request: bytes, me: bytes) -> Duty | None:
    """What the request asks of this node now; None where it only has to wait."""
    record, asked = reader.get(records.request_key(request)), reader.get(records.terms_key(request))
    if not isinstance(record, RequestRecord) or not isinstance(asked, RequestTerms) or record.state in ENDED:
        return Over()
    own = [(round_, seat) for round_ in record.rounds if (seat := _seat(reader, request, round_, me)) is not None]
    for round_, seat in own:
        match record.state:
            case RequestState.ANSWER if round_.round == record.round and not seat.commitment:
                return _answer(reader, request, asked, record, round_, seat)
            case RequestState.OPEN if _of_present_tally(record, round_) and seat.commitment and not seat.answer:
                return OpenDuty(round_.round, seat.commitment)
            case state if state in ANSWERED and not record.appellant and round_.round != APPEAL_ROUND:
                return _unpaid(reader, request, asked, record, round_, seat)
    return None


def _seat(reader: Reader, request: bytes, round_: PredictionRound, me: bytes) -> PredictionSeat | None:
    if me not in round_.seats:
        return None
    found = reader.get(records.seat_key(request, round_.round, me))
    return found if isinstance(found, PredictionSeat) else None


def _of_present_tally(record: RequestRecord, round_: PredictionRound) -> bool:
    """Substitutes are opened with those for whom they stand in; an appeal's seats alone."""
    return (round_.round == APPEAL_ROUND) == (record.round == APPEAL_ROUND)


def _answer(
    reader: Reader, request: bytes, asked: RequestTerms, record: RequestRecord, round_: PredictionRound, seat: PredictionSeat
) -> AnswerDuty:
    terms, appealed = asked.terms, round_.round == APPEAL_ROUND
    chosen = tuple(record.rows) if appealed else tuple(range(terms.rows))
    # Substitutes are asked for the same check as those for whom they stand in.
    beacon = (round_ if appealed else record.rounds[0]).beacon
    return AnswerDuty(
        request=request,
        round=round_.round,
        model=terms.model,
        started=record.deadline - _window(reader, asked, chosen, appealed=appealed),
        deadline=record.deadline,
        cid=cid_text(terms.cid),
        size=terms.size,
        inline=terms.inline,
        rows=terms.rows,
        chosen=chosen,
        seed=seed_of(request),
        challenge=challenge(beacon, request, round_.round),
        key_hash=terms.key_hash[0] if terms.key_hash else b"",
        box=seat.box,
        box_key=seat.box_key,
        requester=asked.requester,
    )


def _window(reader: Reader, asked: RequestTerms, chosen: tuple[int, ...], *, appealed: bool) -> int:
    """How long the round takes answers (LC-PRE-3), in milliseconds."""
    params, model = read_params(reader, records.NUMBER, PredictionParams), run_terms(reader, asked.terms.model)
    if model is None:
        return 0
    terms = model.terms
    base, size = (params.pred_vote_base, asked.terms.size + model.size) if appealed else (params.pred_a0, asked.terms.size)
    return answer_window(base, terms.start_s, terms.row_ms, len(chosen), size)


# --- answers that were not paid --------------------------------------------------------------------------------------------------


def _unpaid(
    reader: Reader, request: bytes, asked: RequestTerms, record: RequestRecord, round_: PredictionRound, seat: PredictionSeat
) -> Unpaid | None:
    result, model = reader.get(records.result_key(request)), run_terms(reader, asked.terms.model)
    if not seat.answer or seat.paid or asked.terms.key_hash or not isinstance(result, PredictionResult) or model is None:
        return None
    own, duty = seat.answer[0], _answer(reader, request, asked, record, round_, seat)
    rows = _surely_wrong(own, result, model.terms.tol) if own.code == AnswerCode.OK else ()
    if own.unfit is not None:
        rows = (own.unfit,)
        duty = replace(duty, chosen=rows)  # judges see it among other rows than the first time
    if not rows and own.code != AnswerCode.BAD_INPUT:
        return None
    params, amounts = read_params(reader, records.NUMBER, PredictionParams), records.amounts_of(asked, record.tip)
    return Unpaid(
        duty=duty,
        rows=rows,
        unread=not rows and asked.terms.rows > APPEAL_ROWS,
        bond=bond(amounts.vote_fee(params.pred_fee), APPEAL_SEATS),
        appeal_from=appeal_opens(record.answered, params.pred_appeal),
        appeal_by=record.deadline,
    )


def _surely_wrong(own: Answer, result: PredictionResult, tol: int) -> tuple[int, ...]:
    """The first rows that judges would change who answer as this node did. Without one an appeal loses its bond: liars who agree on
    another check, or stay a little beyond the tolerance, leave an honest answer unpaid and nothing to overturn."""
    found = []
    for row, value in enumerate(result.values):
        label = own.classes[row] if own.classes else 0
        if value.support and (label != value.label or abs(own.scores[row] - value.score) > SURE_TOLS * tol):
            found.append(row)
    return tuple(found[:NAMED_ROWS])
