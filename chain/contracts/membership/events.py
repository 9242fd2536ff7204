"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.host import Data, Datum, Form, OneOf
from learningchain.chain.host.terms import Arch

_JOB = Datum("job", Form.HASH)
_INVITATION = Datum("invitation", Form.HASH)
_OWNER = Datum("owner", Form.ID)
_CONTRACT = Datum("contract", Form.CONTRACT)
_NUMBER = Datum("case")
_ACCUSED: Data = (_JOB, _OWNER, Datum("frozen", Form.CREDITS), Datum("until", Form.TIME), _NUMBER)
_ENDED: Data = (_JOB, _NUMBER, Datum("confirmed"), Datum("lifted"), Datum("judges"))
EVENTS: dict[str, Data] = {
    "strike": (Datum("reason", Form.TEXT), _JOB, _OWNER),
    "suspended": _ACCUSED,
    "case.extended": _ACCUSED,
    "case.judged": (Datum("validator", Form.ID), Datum("judgement", Form.TEXT)),
    "case.lapsed": _ENDED,
    "case.lifted": _ENDED,
    "banned": _ENDED,
    "verifier.rests": (Datum("until", Form.TIME),),
    "capacity": (
        Datum("arch", OneOf(Arch)),
        Datum("cpus_milli"),
        Datum("mem_mb"),
        Datum("image"),
        Datum("model_cap"),
        Datum("eval_s"),
    ),
    "training": (Datum("arch", OneOf(Arch)), Datum("train_s")),
    "double.signing": (Datum("height"),),
    "validator.ejected": (Datum("height"),),
    "invited": (_INVITATION, Datum("expires", Form.TIME), Datum("credits", Form.CREDITS)),
    "invitation.ended": (_INVITATION, Datum("how", Form.TEXT)),
    "joined": (Datum("root", Form.ID), Datum("inviter", Form.ID), Datum("sender", Form.ID)),
    "left": (Datum("how", Form.TEXT),),
    "verifier": (Datum("on"),),
    "box.key": (Datum("key", Form.HASH),),
    "ban.lifted": (Datum("proposal", Form.HASH), Datum("minted", Form.CREDITS)),
    "release.voted": (_CONTRACT, Datum("validator", Form.ID), Datum("word", Form.TEXT)),
}
FORMS: dict[str, Form | OneOf] = {
    "Release.contract": Form.CONTRACT,
    "Capacity.arch": OneOf(Arch),
    "SetTraining.arch": OneOf(Arch),
    "Invite.expires": Form.TIME,
    "Invite.credits": Form.CREDITS,
    "Invite.key": Form.HASH,
    "RevokeInvite.invitation": Form.HASH,
    "SetBoxKey.key": Form.HASH,
}
