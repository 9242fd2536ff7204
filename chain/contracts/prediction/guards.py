"""What every message asks before it does anything: the model, the request, and whether the sender may. Each has its code."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import PredictionCode
from learningchain.chain.contracts.prediction.records import ModelState, PredictionSeat, RequestState
from learningchain.chain.contracts.prediction.store import ModelContext, RequestContext, load_model, load_request
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.host import MEMBERS, STANDING, VERIFIERS, Host
from learningchain.chain.host.deadlines import is_open


def model_of(host: Host, model: bytes) -> ModelContext:
    found = load_model(host, model)
    if found is None:
        text = f"there is no model {model.hex()} in the state: there never was, or it was retired and left (LC-PRE-15)"
        raise Reject(PredictionCode.NO_SUCH_MODEL, text)
    return found


def request_of(host: Host, request: bytes) -> RequestContext:
    found = load_request(host, request)
    if found is None:
        text = f"there is no request {request.hex()} in the state: there never was, or it ended long ago and left (LC-PRE-46)"
        raise Reject(PredictionCode.NO_SUCH_REQUEST, text)
    return found


def require_owner(model: ModelContext, sender: bytes, what: str) -> None:
    if model.owner != sender:
        raise Reject(PredictionCode.NOT_OWNER, f"only its owner, {address(model.owner)}, {what}")


def require_live(model: ModelContext) -> None:
    if model.standing.state != ModelState.LIVE:
        raise Reject(PredictionCode.NOT_LIVE, f"the model {model.id.hex()} is retired")


def require_active(host: Host, sender: bytes, what: str) -> None:
    """Neither suspended nor banned. Transactions of banned accounts never come this far."""
    if not host.is_active(sender):
        raise Reject(PredictionCode.NOT_ACTIVE, f"while a case against you is open you may not {what}")


def require_standing(host: Host, sender: bytes, what: str) -> None:
    if not host.service(STANDING).stands(sender):
        text = f"you have live strikes from work of three roots: you may not {what} until one ends"
        raise Reject(PredictionCode.TOO_MANY_STRIKES, text)


def require_flag(host: Host, sender: bytes) -> None:
    if not host.service(VERIFIERS).has_flag(sender):
        raise Reject(PredictionCode.NOT_A_VERIFIER, "only members with the verifier flag serve models")


def require_box_key(host: Host, sender: bytes) -> None:
    if not host.service(MEMBERS).box_key(sender):
        raise Reject(PredictionCode.NO_BOX_KEY, "you have no box key on the ledger: nobody could seal a request to you")


def require_state(request: RequestContext, states: tuple[RequestState, ...], what: str) -> None:
    """It is in one of `states`, and its deadline has not passed, even where the deadline still waits for its turn."""
    now = request.record
    if now.state not in states:
        raise Reject(PredictionCode.WRONG_STATE, f"{what} does not fit: the request is {RequestState(now.state).name}")
    if not is_open(request.host, now.deadline):
        raise Reject(PredictionCode.TOO_LATE, f"the time for {what} ended at {now.deadline} of the chain clock")


def require_requester(request: RequestContext, sender: bytes) -> None:
    if request.requester != sender:
        raise Reject(PredictionCode.NOT_REQUESTER, "only who asked may do this")


def require_round(request: RequestContext, number: int, also: tuple[int, ...] = ()) -> None:
    """`also`: rounds whose seats take part in the present one."""
    now = request.record.round
    if number != now and number not in also:
        raise Reject(PredictionCode.WRONG_ROUND, f"the request is in round {now}, not {number}")


def require_seat(request: RequestContext, number: int, sender: bytes) -> PredictionSeat:
    found = request.host.get(records.seat_key(request.id, number, sender), PredictionSeat)
    if found is None:
        raise Reject(PredictionCode.NOT_SEATED, f"you have no seat in round {number}")
    return found
