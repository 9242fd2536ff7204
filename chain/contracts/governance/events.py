"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.contracts.governance.messages import ActionKind
from learningchain.chain.host import Data, Datum, Form, OneOf

_VOTES: Data = (Datum("yes"), Datum("no"), Datum("validators"))
_CONTRACT = Datum("contract", Form.CONTRACT)
EVENTS: dict[str, Data] = {
    "proposal.made": (Datum("proposer", Form.ID), Datum("action", OneOf(ActionKind)), Datum("expires", Form.TIME)),
    "proposal.voted": (Datum("validator", Form.ID), Datum("word", Form.TEXT)),
    "proposal.waits": (Datum("height"),),
    "proposal.reopened": (Datum("yes"), Datum("validators")),
    "proposal.accepted": _VOTES,
    "proposal.rejected": _VOTES,
    "proposal.expired": _VOTES,
    "proposal.withdrawn": _VOTES,
    "proposal.failed": (Datum("code"),),
    "validator.added": (),
    "validator.removed": (),
    "parameter.changed": (Datum("contract"), Datum("name", Form.TEXT), Datum("before"), Datum("after")),
    "upgrade.set": (Datum("version"), Datum("height")),
}
FORMS: dict[str, Form | OneOf] = {"expires": Form.TIME, "SetParameters.contract": Form.NUMBER}
