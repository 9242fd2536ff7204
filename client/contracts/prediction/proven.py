"""What the records of a request in a receipt file say, offline: values, how many agreed, whether it is final, the decision.

    terms (pr/) + where it stands (pb/) + result (pv/) + model (pm/) [+ policy (pp/)], each proven by the state root of one block
        --> the values as they are now --K of a private request--> plain ones --policy--> decisions

Nothing is asked of a node. The decision of a public request is made anew from its values and compared with the ledger's. That of a
private one is REFER on the ledger, which cannot read its values: with K it is made here, from values that are proven and unblinded.
SHA-256(K) stands in the terms, so another key is noticed. Values without their request, or of another one, say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from learningchain.chain.contracts.prediction.blinding import plain_value
from learningchain.chain.contracts.prediction.decisions import Decision, DecisionRule, RowDecision, decide
from learningchain.chain.contracts.prediction.records import (
    ANSWERED,
    ENDED,
    ModelRecord,
    PolicyRecord,
    PredictionResult,
    RequestRecord,
    RequestState,
    RequestTerms,
    model_key,
    policy_key,
    request_key,
    result_key,
    terms_key,
)
from learningchain.chain.contracts.prediction.tally import VALUED, PredictionOutcome, RowValue
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.crypto import address, sha256
from learningchain.chain.host import Reader
from learningchain.chain.types import format_loss
from learningchain.p2p.content import cid as cids

Json = dict[str, Any]
Proven = Mapping[bytes, Any]
"""Records by key, decoded; None where it is proven that there is none."""
_TERMS = terms_key(b"")
MOST_ROWS = 64
"""That are told to people; a program gets all."""


class ProvenRequest(NamedTuple):
    """What the records of one request are."""

    request: bytes
    terms: RequestTerms
    state: RequestRecord
    result: PredictionResult
    model: ModelRecord
    policy: PolicyRecord | None


def keys_of(request: bytes, model: bytes, policy: bytes | None) -> list[bytes]:
    """Of the records that a receipt of a request holds."""
    return [
        terms_key(request),
        request_key(request),
        result_key(request),
        model_key(model),
        *([policy_key(policy)] if policy else []),
    ]


def plain_document(reader: Reader, request: bytes, key: bytes) -> Json | None:
    """What a private request's records say to who has its key; None where they say nothing yet. Raises ValueError: another key."""
    asked = reader.get(terms_key(request))
    if not isinstance(asked, RequestTerms):
        return None
    policy = asked.terms.policy[0] if asked.terms.policy else None
    records = {place: reader.get(place) for place in keys_of(request, asked.terms.model, policy)}
    found = said(records, [key])[1]
    return found[0] if found else None


def said(records: Proven, keys: Sequence[bytes]) -> tuple[list[str], list[Json]]:
    """What is proven of each request, for people and for programs. `keys`: of private requests.

    Raises ValueError where a key belongs to none of them, or where the records contradict each other."""
    lines: list[str] = []
    documents: list[Json] = []
    used: set[bytes] = set()
    for place, record in records.items():
        if place.startswith(_TERMS) and isinstance(record, RequestTerms):
            told, document = _request(records, place[len(_TERMS) :], record, keys, used)
            lines += told
            documents += document
    if strange := [key for key in keys if key not in used]:
        raise ValueError(
            f"{len(strange)} of the keys given belong to no private request in this file: SHA-256 of the right one stands in the "
            "request"
        )
    return lines, documents


def _request(
    records: Proven, request: bytes, terms: RequestTerms, keys: Sequence[bytes], used: set[bytes]
) -> tuple[list[str], list[Json]]:
    hashes = terms.terms.key_hash
    key = next((one for one in keys if hashes and sha256(one) == hashes[0]), None)
    if key is not None:
        used.add(key)
    found = _together(records, request, terms)
    if isinstance(found, str):
        return [f"Of request {request.hex()} nothing more is proven: {found}."], []
    values = _values(found, key)
    readable = key is not None or not hashes
    decisions = _decided(found, values, readable)
    lines = [*_head(found), *_value_lines(found, values, readable), *_decision_lines(found, decisions, readable)]
    return lines, [_document(found, values, decisions, readable)]


def _together(records: Proven, request: bytes, terms: RequestTerms) -> ProvenRequest | str:
    """The records of one request, or what is missing."""
    state, result = records.get(request_key(request)), records.get(result_key(request))
    model = records.get(model_key(terms.terms.model))
    policy = records.get(policy_key(terms.terms.policy[0])) if terms.terms.policy else None
    if not isinstance(state, RequestRecord):
        return "the file has not where it stands"
    if not isinstance(model, ModelRecord):
        return f"the file has not its model {terms.terms.model.hex()}"
    if not isinstance(result, PredictionResult) or result.outcome not in VALUED:
        return f"it has no values; it is {RequestState(state.state).name}{_outcome(state)}"
    if terms.terms.policy and not isinstance(policy, PolicyRecord):
        return f"the file has not its policy {terms.terms.policy[0].hex()}"
    if len(result.values) != terms.terms.rows:
        raise ValueError(f"request {request.hex()} has {terms.terms.rows} rows, its result {len(result.values)}")
    return ProvenRequest(request, terms, state, result, model, policy if isinstance(policy, PolicyRecord) else None)


def _outcome(state: RequestRecord) -> str:
    return f" ({PredictionOutcome(state.outcome).name})" if state.outcome else ""


# --- values and decisions ------------------------------------------------------------------------------------------------------


def _values(found: ProvenRequest, key: bytes | None) -> list[RowValue | None]:
    """As they are now, plain where the key is here."""
    result, classes = found.result, found.model.terms.classes
    fell = found.state.appeal == AppealVerdict.OVERTURNED and result.appealed not in (0, *VALUED)
    changed = {one.row: one for one in result.changed if one.support}
    values: list[RowValue | None] = []
    for row, before in enumerate(result.values):
        value = changed.get(row, before)
        if fell or not value.support:
            values.append(None)
            continue
        label, score = value.label, value.score
        if key is not None:
            label, score = plain_value(label, score, key, found.request, row, classes)
        values.append(RowValue(label, score, tuple(range(value.support))))
    return values


def _decided(found: ProvenRequest, values: list[RowValue | None], readable: bool) -> list[RowDecision]:
    """LC-PRE-44. Raises ValueError where the ledger's is another one."""
    if found.policy is None:
        return []
    policy, private = found.policy.terms, bool(found.terms.terms.key_hash)
    rates = [(rate.start, rate.ppm) for rate in policy.rates]
    rule = DecisionRule(policy.below, policy.threshold, rates, policy.least, policy.most)
    about = {"c": found.state.wanted, "tol": found.model.terms.tol, "asked": found.terms.asked}
    made = decide(rule, values, private=private and not readable, **about)
    said = [(one.decision, one.rate, one.borderline) for one in found.result.decisions]
    if not private and said != [tuple(one) for one in made]:
        raise ValueError(f"the decisions of request {found.request.hex()} are not what its policy makes of its values")
    return made


# --- in words --------------------------------------------------------------------------------------------------------------------


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _head(found: ProvenRequest) -> list[str]:
    terms, state, model = found.terms, found.state, found.model
    asked = terms.terms
    rows = f"{asked.rows} row{'' if asked.rows == 1 else 's'}"
    private = ", private" if asked.key_hash else ""
    if state.state in ENDED:
        end = f"It is final since {_time(state.ended)} of the chain's clock."
    elif state.state in ANSWERED:
        end = f"An appeal may still change it, until {_time(state.deadline)} of the chain's clock."
    else:
        end = "An appeal of it is under way and may change it."
    appeal = f" An appeal ended: {AppealVerdict(state.appeal).name}." if state.appeal else ""
    return [
        f"Request {found.request.hex()} of {address(terms.requester)}, posted {_time(terms.posted)}: {rows} of input "
        f"{cids.from_bytes(asked.cid)}{private}, asked of model {asked.model.hex()} ({model.terms.name} of "
        f"{address(model.owner)}). These bytes had been asked of it {terms.ordinal} times before; it is the requester's request "
        f"{terms.asked} of it.",
        f"{PredictionOutcome(found.result.outcome).name}: of {state.wanted} seats at least {found.result.agree} agree on each row "
        f"with a value; {asked.agree} were asked for. {end}{appeal}",
    ]


def _value_lines(found: ProvenRequest, values: list[RowValue | None], readable: bool) -> list[str]:
    blind = "" if readable else " (blinded: only who has the request's key can read it)"
    lines = []
    for row, value in enumerate(values[:MOST_ROWS]):
        if value is None:
            lines.append(f"  row {row}: no value")
            continue
        what = f"class {value.predicted} with {format_loss(value.score)}" if found.model.terms.classes else format_loss(value.score)
        lines.append(f"  row {row}: {what}, said by {len(value.support)}{blind}")
    return [*lines, *([f"  and {len(values) - MOST_ROWS} more rows"] if len(values) > MOST_ROWS else [])]


def _decision_lines(found: ProvenRequest, decisions: list[RowDecision], readable: bool) -> list[str]:
    if found.policy is None:
        return []
    policy = found.policy.terms
    side = "at most" if policy.below else "at least"
    head = f"Policy {found.terms.terms.policy[0].hex()} accepts values of {side} {format_loss(policy.threshold)}:"
    if found.terms.terms.key_hash:
        made = "made here from the plain values; the ledger, which cannot read them, says REFER"
        head += (
            f" ({made})" if readable else " (the ledger cannot read the values; with the request's key the decision is made here)"
        )
    lines = [head]
    for row, one in enumerate(decisions[:MOST_ROWS]):
        rate = f" at {one.rate / 10_000:g} %" if one.decision is Decision.ACCEPT else ""
        near = ", near the threshold" if one.borderline else ""
        lines.append(f"  row {row}: {one.decision.name}{rate}{near}")
    return lines


def _document(found: ProvenRequest, values: list[RowValue | None], decisions: list[RowDecision], readable: bool) -> Json:
    terms, state, classes = found.terms, found.state, found.model.terms.classes
    return {
        "request": found.request.hex(),
        "requester": address(terms.requester),
        "model": terms.terms.model.hex(),
        "cid": str(cids.from_bytes(terms.terms.cid)),
        "posted": terms.posted,
        "ordinal": terms.ordinal,
        "asked": terms.asked,
        "private": bool(terms.terms.key_hash),
        "readable": readable,
        "outcome": PredictionOutcome(found.result.outcome).name,
        "state": RequestState(state.state).name,
        "final": state.state in ENDED,
        "final_at": state.ended or None,
        "appeal": AppealVerdict(state.appeal).name if state.appeal else None,
        "seats": state.wanted,
        "agree": found.result.agree,
        "values": [
            None
            if value is None
            else {
                "class": value.predicted if classes else None,
                "score": format_loss(value.score),
                "support": len(value.support),
            }
            for value in values
        ],
        "policy": terms.terms.policy[0].hex() if terms.terms.policy else None,
        "decisions": [
            {"decision": one.decision.name.lower(), "rate_ppm": one.rate, "borderline": one.borderline} for one in decisions
        ],
    }
