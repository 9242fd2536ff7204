"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.contracts.job.messages import OnCheat
from learningchain.chain.contracts.job.records import JobState, Line, Result
from learningchain.chain.host import Data, Datum, Form, OneOf
from learningchain.chain.host.terms import Arch, ImageKind
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.votes import BallotCode

_AUDIT = (Datum("audit"), Datum("round"))
_CLAIMANT, _VOTER, _POSTER = Datum("claimant", Form.ID), Datum("voter", Form.ID), Datum("poster", Form.ID)
_LOSS, _DEADLINE, _EXPIRY = Datum("loss", Form.LOSS), Datum("deadline", Form.TIME), Datum("expiry", Form.TIME)
_BOUNTY, _AMOUNT = Datum("bounty", Form.CREDITS), Datum("amount", Form.CREDITS)
EVENTS: dict[str, Data] = {
    "job.posted": (_POSTER, _BOUNTY, Datum("fee", Form.CREDITS), _EXPIRY),
    "cancelled": (_POSTER,),
    "extended": (_POSTER, _EXPIRY),
    "claim": (_CLAIMANT, _LOSS, Datum("claim")),
    "reveal.open": (_DEADLINE, Datum("must", Form.ID, many=True)),
    "reveal": (_CLAIMANT, _LOSS, Datum("model", Form.ID), Datum("size")),
    "silent": (_CLAIMANT,),
    "key.open": (_DEADLINE,),
    "key": (Datum("key", Form.HASH),),
    "key.missing": (),
    "key.bad": (),
    "draw": (*_AUDIT, Datum("height")),
    "audit": (*_AUDIT, _DEADLINE, Datum("models", Form.ID, many=True)),
    "dropped": (_CLAIMANT,),
    "commit": (*_AUDIT, _VOTER),
    "count": (*_AUDIT, _DEADLINE),
    "vote": (*_AUDIT, _VOTER, Datum("candidate"), Datum("vote", OneOf(BallotCode, upper=True)), Datum("measured", Form.LOSS)),
    "column": (*_AUDIT, _VOTER, Datum("candidate"), Datum("hidden")),
    "opened": (*_AUDIT, _VOTER),
    "second.round": (Datum("audit"), Datum("candidates", many=True)),
    "verdict": (
        *_AUDIT,
        _CLAIMANT,
        Datum("result", OneOf(Result, upper=True)),
        Datum("line", OneOf(Line, upper=True)),
        Datum("opened"),
    ),
    "unrepeatable": (_CLAIMANT,),
    "paid": (Datum("winner", Form.ID), _BOUNTY, Datum("model", Form.ID), _LOSS),
    "refunded": (_POSTER, _AMOUNT),
    "empty": (_POSTER, _AMOUNT),
    "bond": (Datum("burned", Form.CREDITS), Datum("returned", Form.CREDITS)),
    "job.left": (Datum("state", OneOf(JobState, upper=True)), Datum("ended", Form.TIME)),
}
FORMS: dict[str, Form | OneOf] = {
    "job": Form.HASH,
    "bounty": Form.CREDITS,
    "fee": Form.CREDITS,
    "loss": Form.LOSS,
    "tol": Form.LOSS,
    "floor": Form.LOSS,
    "total": Form.LOSS,
    "root": Form.HASH,
    "arch": OneOf(Arch),
    "float_kind": OneOf(FloatKind),
    "on_cheat": OneOf(OnCheat),
    "Image.kind": OneOf(ImageKind),
    "Ballot.code": OneOf(BallotCode, upper=True),
}
