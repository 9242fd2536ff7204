"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.contracts.prediction.records import RequestState, RetireReason
from learningchain.chain.contracts.prediction.tally import AnswerCode, ModelKind, PredictionOutcome
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.host import Data, Datum, Form, OneOf
from learningchain.chain.host.terms import Arch, ImageKind

_OWNER, _SERVER, _REQUESTER = Datum("owner", Form.ID), Datum("server", Form.ID), Datum("requester", Form.ID)
_MODEL, _REQUEST = Datum("model", Form.ID), Datum("request", Form.ID)
_ROYALTY, _FLOOR = Datum("royalty", Form.CREDITS), Datum("floor", Form.CREDITS)
_TIP, _AMOUNT, _STAKE = Datum("tip", Form.CREDITS), Datum("amount", Form.CREDITS), Datum("stake", Form.CREDITS)
_ROUND, _DEADLINE, _SEATS = Datum("round"), Datum("deadline", Form.TIME), Datum("seats", Form.ID, many=True)
_OUTCOME = Datum("outcome", OneOf(PredictionOutcome, upper=True))
EVENTS: dict[str, Data] = {
    "model.registered": (_OWNER, Datum("name", Form.TEXT), _ROYALTY, _FLOOR),
    "model.price": (_ROYALTY, _FLOOR, Datum("from", Form.TIME)),
    "model.retired": (_OWNER, Datum("why", OneOf(RetireReason))),
    "model.left": (_OWNER,),
    "server.joined": (_SERVER, _STAKE),
    "server.asleep": (_SERVER,),
    "server.out": (_SERVER,),
    "server.leaving": (_SERVER,),
    "server.left": (_SERVER,),
    "request.posted": (_MODEL, _REQUESTER, _TIP, Datum("until", Form.TIME)),
    "request.tip": (_TIP,),
    "request.evicted": (Datum("by", Form.ID),),
    "request.keys": (_ROUND, _DEADLINE, _SEATS),
    "request.answer": (_ROUND, _DEADLINE, _SEATS),
    "answer.sealed": (_ROUND, _SERVER),
    "answer.silent": (_ROUND, _SERVER),
    "request.redraw": (Datum("height"),),
    "request.open": (_ROUND, _DEADLINE),
    "answer.opened": (_ROUND, _SERVER, Datum("code", OneOf(AnswerCode, upper=True))),
    "server.fined": (_SERVER, _AMOUNT),
    "request.answered": (_REQUESTER, _OUTCOME, Datum("agree"), Datum("valued"), _DEADLINE),
    "request.failed": (_REQUESTER, _OUTCOME),
    "request.decided": (Datum("accept"), Datum("decline"), Datum("refer")),
    "request.appealed": (Datum("appellant", Form.ID), _AMOUNT, Datum("height")),
    "appeal.ended": (Datum("verdict", OneOf(AppealVerdict, upper=True)), Datum("side"), Datum("changed")),
    "appeal.no_keys": (),
    "server.slashed": (_SERVER, _AMOUNT),
    "request.final": (_REQUESTER,),
    "request.given_back": (_REQUESTER,),
    "request.left": (Datum("state", OneOf(RequestState, upper=True)), Datum("ended", Form.TIME)),
    "policy.registered": (_MODEL, _OWNER),
    "policy.left": (_OWNER,),
    "royalty.shared": (_AMOUNT,),
}
FORMS: dict[str, Form | OneOf] = {
    "royalty": Form.CREDITS,
    "floor": Form.CREDITS,
    "expected_royalty": Form.CREDITS,
    "expected_floor": Form.CREDITS,
    "tip": Form.CREDITS,
    "amount": Form.CREDITS,
    "max_charge": Form.CREDITS,
    "request": Form.HASH,
    "model": Form.HASH,
    "commitment": Form.HASH,
    "arch": OneOf(Arch),
    "Program.model": Form.ID,
    "RegisterModel.tol": Form.LOSS,
    "RegisterModel.kind": OneOf(ModelKind),
    "Image.kind": OneOf(ImageKind),
    "Answer.code": OneOf(AnswerCode, upper=True),
    "RegisterPolicy.threshold": Form.LOSS,
    "PolicyRate.start": Form.LOSS,
}
