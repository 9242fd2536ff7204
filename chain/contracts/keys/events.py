"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.host import Data, Datum, Form, OneOf

_KEY, _NUMBER = Datum("key", Form.HASH), Datum("number")
EVENTS: dict[str, Data] = {  # LC-KEY-10
    "key.rotated": (_KEY, _NUMBER),
    "key.recovered": (_KEY, _NUMBER),
    "guardians": (Datum("guardians"), Datum("threshold"), Datum("delay"), Datum("since", Form.TIME)),
    "recovery.word": (Datum("guardian", Form.ID), _KEY, Datum("words"), Datum("needed")),
    "recovery.objected": (Datum("needed"), Datum("until", Form.TIME)),
    "recovery.ended": (Datum("why", Form.TEXT),),
}
FORMS: dict[str, Form | OneOf] = {
    "RotateKey.key": Form.HASH,
    "RotateKey.signature": Form.HASH,
    "Recover.key": Form.HASH,
    "Recover.signature": Form.HASH,
    "SetGuardians.delay": Form.NUMBER,
}
