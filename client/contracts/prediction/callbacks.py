"""What callbacks tell of a request: agreed, or failed; overturned where an appeal was won; final.

    posted -> agreed -> final          posted -> failed          posted -> agreed -> overturned -> final          posted -> left

`left` is said by a node that has not the blocks in which the request ended and left the state, where it cannot tell which end that
was.

`agreed` has values, also where fewer agree than were asked for: `outcome` is WEAK then. Data are read from the state when the event
is noted, so that `overturned` has the new values. Scores are decimal texts. Of a private request of this node values and decisions
are plain, as its requester sees them (`opened`): the URL is the requester's, and whoever may ask for a callback on this node may
read them there. Where the node has no key of it they are the ledger's, and `blinded` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    NUMBER,
    ChangedValue,
    PredictionResult,
    RequestRecord,
    RequestState,
    RequestTerms,
    ValueRecord,
    request_key,
    result_key,
    terms_key,
)
from learningchain.chain.contracts.prediction.tally import VALUED, PredictionOutcome
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.host import Reader, read_params
from learningchain.chain.types import format_loss
from learningchain.client.callbacks.following import CallbackLeaving, CallbackPart
from learningchain.client.contracts.prediction.proven import plain_document
from learningchain.client.contracts.prediction.roles.private import KEY

Json = dict[str, Any]
AGREED, FAILED, OVERTURNED, FINAL, LEFT = "agreed", "failed", "overturned", "final", "left"
_NAMED: Final = {
    "request.answered": AGREED,
    "request.failed": FAILED,
    "request.given_back": FAILED,
    "request.final": FINAL,
}


def named(topic: str, noted: Json) -> str | None:
    if topic == "appeal.ended":
        return OVERTURNED if noted.get("verdict") == AppealVerdict.OVERTURNED.name else None
    return _NAMED.get(topic)


def happened(reader: Reader, ref: bytes) -> list[str]:
    """From the state alone: also of a request of which no block is kept."""
    found = reader.get(request_key(ref))
    if not isinstance(found, RequestRecord):
        return []
    if found.state == RequestState.FAILED:
        return [FAILED]
    said = [AGREED] if found.answered else []
    said += [OVERTURNED] if found.appeal == AppealVerdict.OVERTURNED else []
    return said + ([FINAL] if found.state == RequestState.FINAL else [])


def knows(reader: Reader, ref: bytes) -> bool:
    return reader.get(terms_key(ref)) is not None


def left(reader: Reader, told: Sequence[str], known_ms: int | None, clock_ms: int) -> str:
    """One that was answered has ended since. One without a word of an answer failed, unless an answer of its may have stood in the
    state for all its time, `pred_keep` from its end (LC-PRE-46), and be gone by now: then that it left is all that is known."""
    if AGREED in told or OVERTURNED in told:
        return FINAL
    keep = read_params(reader, NUMBER, PredictionParams).pred_keep
    return FAILED if known_ms is not None and clock_ms < known_ms + keep else LEFT


def data(reader: Reader, ref: bytes, name: str, noted: Json | None) -> Json:
    """What is said with an event. `noted` says the outcome of a request that has left the state by now: one without seats does with
    the next posting (LC-PRE-46)."""
    terms, state, result = reader.get(terms_key(ref)), reader.get(request_key(ref)), reader.get(result_key(ref))
    said: Json = {"request": ref.hex()}
    if isinstance(terms, RequestTerms):
        said |= {"model": terms.terms.model.hex(), "rows": terms.terms.rows, "private": bool(terms.terms.key_hash)}
    if isinstance(state, RequestRecord) and state.outcome:
        said["outcome"] = PredictionOutcome(state.outcome).name
    elif noted is not None and "outcome" in noted:
        said["outcome"] = noted["outcome"]
    if isinstance(result, PredictionResult) and name != FAILED:
        overturned = isinstance(state, RequestRecord) and state.appeal == AppealVerdict.OVERTURNED
        said |= {"agree": result.agree, "values": values_of(result, overturned)}
        if said.get("private"):
            said["blinded"] = True
        if result.decisions:
            said["decisions"] = [
                {"decision": Decision(one.decision).name.lower(), "rate_ppm": one.rate, "borderline": one.borderline}
                for one in result.decisions
            ]
    return said


def secret_of(reader: Reader, ref: bytes) -> tuple[str, bytes] | None:
    """The key of a private request."""
    terms = reader.get(terms_key(ref))
    return (KEY, terms.terms.key_hash[0]) if isinstance(terms, RequestTerms) and terms.terms.key_hash else None


def opened(reader: Reader, ref: bytes, data: Json, secret: bytes) -> Json:
    """Values and decisions that the ledger cannot read, in plain. Raises ValueError where the key is another one."""
    plain = plain_document(reader, ref, secret) if "values" in data else None
    if plain is None:
        return data
    decided = {"decisions": plain["decisions"]} if plain["decisions"] else {}
    return data | {"values": plain["values"], "blinded": False} | decided


def values_of(result: PredictionResult, overturned: bool) -> list[Json | None]:
    """As they are now. What judges said of a row stands in its place; where they overturned by a code there are none. None: the row
    has no value."""
    if overturned and result.appealed and result.appealed not in VALUED:
        return [None] * len(result.values)
    changed = {one.row: one for one in result.changed if one.support}
    return [_value(changed.get(row, one)) for row, one in enumerate(result.values)]


def _value(one: ValueRecord | ChangedValue) -> Json | None:
    return {"class": one.label, "score": format_loss(one.score), "support": one.support} if one.support else None


PART: Final = CallbackPart(
    names=frozenset({AGREED, FAILED, OVERTURNED, FINAL, LEFT}),
    last=frozenset({FAILED, FINAL, LEFT}),
    named=named,
    happened=happened,
    data=data,
    secret_of=secret_of,
    opened=opened,
    leaving=CallbackLeaving(knows, left),
)
