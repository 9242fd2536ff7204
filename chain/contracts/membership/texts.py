"""The words for people: events, codes, and how fields are shown."""

from __future__ import annotations

from chain.contracts.membership.messages import MemberCode
from chain.host import (
    Data,
    Datum,
    Form,
    OneOf,
)

_JOB = Datum("job", Form.HASH)
_CONTRACT = Datum("contract", Form.CONTRACT)
EVENTS: dict[str, Data] = {
    "strike": (Datum("reason", Form.TEXT), _JOB),
    "suspended": (_JOB, Datum("until", Form.TIME)),
    "case.corroborated": (_JOB,),
    "case.judged": (Datum("validator", Form.ID), Datum("judgement", Form.TEXT)),
    "verifier.off": (),
    "banned": (_JOB,),
    "reinstated": (_JOB,),
    "double.signing": (Datum("height"),),
    "validator.ejected": (Datum("height"),),
    "release.voted": (_CONTRACT, Datum("validator", Form.ID), Datum("word", Form.TEXT)),
}
TEXTS: dict[int, tuple[str, str]] = {
    MemberCode.NOT_A_VALIDATOR: ("only validators judge and release", "Send this from a validator's node"),
    MemberCode.NO_CASE: ("there is no open case against this account", "GET /v1/accounts/{id} shows whether a case is open"),
    MemberCode.ALREADY_VOTED: ("this word is recorded already", "Nothing to do; the opposite word would replace it"),
    MemberCode.BAD_EVIDENCE: ("the evidence shows no double signing", "Send two conflicting signatures of one validator"),
    MemberCode.OLD_EVIDENCE: ("the evidence is too old, or of a height that is not decided", "Nothing to do"),
    MemberCode.KNOWN_EVIDENCE: ("this double signing was dealt with", "Nothing to do"),
    MemberCode.LAST_VALIDATOR: ("the last validator cannot be removed", "Nothing to do"),
    MemberCode.NOT_PARKED: ("this is not parked", "GET /v1/status lists what is parked"),
    MemberCode.NOTHING_TO_GIVE_BACK: ("this contract holds nothing that could be given back", "Release it to run again"),
}
FORMS: dict[str, Form | OneOf] = {"Release.contract": Form.CONTRACT}
