"""What requests of the API mean as messages of the contract. Plain functions; a refusal names the field."""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec.structs import replace

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.cell_formulas import cell_fault, least_noise
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    MASKED_DIMS,
    MAX_FEDERATION_PARAMS,
    AggregationRule,
    FederationTerms,
    OpenFederation,
    PaySplit,
    Secrecy,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.host import Reader, read_params
from learningchain.chain.host.terms import Arch, Limits
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import parse_credits, parse_loss
from learningchain.chain.verification.scale import FloatKind
from learningchain.client.api.errors import not_found, usage
from learningchain.client.api.posting import binary_cid, build_hidden, build_image, params_text, parse_not_negative
from learningchain.client.api.route import parse_field, parse_hash
from learningchain.client.contracts.federation.http.schema import FederationLimits, FederationRequest

Able = Callable[[FederationTerms], int]
LEAST_SUM = 3
"""Members in a sum, unless the request says otherwise: of two each computes the other's update."""


def find_federation(reader: Reader, text: str) -> bytes:
    """A federation of the state by its id. Raises `RequestError`."""
    federation = parse_field("federation", parse_hash, text)
    if reader.get(records.posting_key(federation)) is None:
        text = f"There is no federation {federation.hex()} in the state. GET /v1/federations lists those that there are"
        raise not_found(text, name="NO_SUCH_FEDERATION")
    return federation


# --- opening --------------------------------------------------------------------------------------------------------------------


BY_HALVES_FROM = 12
"""Owners, at least: three cells. With fewer a cell's own direction says little of its members."""


def secrecy_of(wanted: str | None, dims: int) -> Secrecy:
    """Where nothing is said: sums alone can be read, and of a small model where `of_cell` can have it so."""
    if wanted is not None:
        return Secrecy[wanted.upper()]
    return Secrecy.SUM if dims >= MASKED_DIMS else Secrecy.OPEN


def of_cell(body: FederationRequest, terms: FederationTerms, able: Able) -> FederationTerms:
    """Of a model of few values: with `sum` and what that takes where the request leaves it open (LC-FED-55). Without a word about
    secrecy it is `sum` where all fits, and three serve such federations; otherwise the terms as they are."""
    if terms.dims >= MASKED_DIMS or body.secrecy == "open":
        return terms
    split = PaySplit.EQUAL if terms.min_members < BY_HALVES_FROM else PaySplit.HALF
    found = replace(
        terms,
        secrecy=Secrecy.SUM,
        split=split if body.split is None else terms.split,
        dp_milli=terms.dp_milli or least_noise(max(1, terms.dims)),
    )
    if body.secrecy == "sum":
        return found
    return found if not cell_fault(found) and able(found) >= AGGREGATORS else terms


def build_federation(body: FederationRequest, reader: Reader, clock: int, able: Able) -> OpenFederation:
    """`able`: how many could aggregate under these terms. Raises `RequestError` naming the field; the rules check the rest."""
    reference, secrecy = body.reference, secrecy_of(body.secrecy, body.model.dims)
    split = PaySplit.ALIGNED if body.split is None and reference else PaySplit[(body.split or "equal").upper()]
    terms = FederationTerms(
        image=build_image(body.image, "the members"),
        arch=Arch[body.arch.upper()],
        params=params_text(body.params, MAX_FEDERATION_PARAMS),
        limits=_limits(body.limits, body.model.size),
        model=binary_cid("model.cid", body.model.cid),
        size=body.model.size,
        dims=body.model.dims,
        hidden=[] if body.hidden is None else [build_hidden(body.hidden)],
        schema=b"" if body.schema is None else binary_cid("schema", body.schema),
        bounty=parse_field("bounty", parse_credits, body.bounty),
        fee=0,
        target=parse_field("target", parse_loss, body.target),
        float_kind=FloatKind[body.float_kind.upper()],
        tol=parse_field("tol", parse_not_negative, body.tol),
        rounds=body.rounds,
        round_ms=_milliseconds("round_s", body.round_s),
        pace_ms=_milliseconds("pace_s", body.pace_s),
        ends=_ends(body, clock),
        min_members=body.min_members,
        max_members=body.max_members,
        min_sum=min(LEAST_SUM, body.min_members) if body.min_sum is None else body.min_sum,
        vetted=body.vetted,
        secrecy=secrecy,
        rule=AggregationRule[body.rule.upper()],
        split=split,
        reference=reference,
        clip=parse_field("clip", parse_not_negative, body.clip),
        patience=body.patience,
        admit_open=body.admit == "open",
        outside=body.outside,
        dp_milli=body.dp_milli,
    )
    terms = of_cell(body, terms, able)
    fee = least_fee(reader, terms) if body.fee is None else parse_field("fee", parse_credits, body.fee)
    return OpenFederation(replace(terms, fee=fee))


def least_fee(reader: Reader, terms: FederationTerms) -> int:
    """Micro-credits: u is at least this (LC-FED-1)."""
    return formulas.least_fee(read_params(reader, records.NUMBER, FederationParams).fed_rate, terms)


def _ends(body: FederationRequest, clock: int) -> int:
    if (body.ends_in_s is None) == (body.ends is None):
        raise usage("The end is not valid: exactly one of ends_in_s and ends is needed. Give one of them")
    return body.ends if body.ends is not None else clock + _milliseconds("ends_in_s", body.ends_in_s or 0.0)


def _milliseconds(name: str, in_s: float) -> int:
    if not math.isfinite(in_s):
        raise usage(f"{name} is not valid: it must be a finite number of seconds. Correct {name}")
    return min(MAX_INT >> 1, round(in_s * 1_000))


def _limits(limits: FederationLimits, model_bytes: int) -> Limits:
    return Limits(
        cpus_milli=round(limits.cpus * 1_000),
        mem_mb=limits.mem_mb,
        train_s=limits.train_s,
        eval_s=limits.eval_s,
        model_cap=model_bytes,
        tmp_mb=limits.tmp_mb,
        threads=math.ceil(limits.cpus) if limits.threads is None else limits.threads,
    )
