"""The best model of a federation becomes one that can be asked: a registration with the contract of predictions.

The registration names the federation as its source, and the ledger takes model, image and limits from there (LC-FED-53): so what is
asked is what was trained, whoever offers it. Of one whose records left the state the node names the same program itself: then who
wants to know compares its bytes with those that the federation's end names. The royalty is split as the bounty was, by what each
owner was paid.
"""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.federation.formulas import royalty_weights
from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.chain.contracts.federation.records import (
    EndReason,
    FederationPosting,
    FederationRecord,
    federation_key,
    posting_key,
)
from learningchain.chain.contracts.prediction.messages import Program, RegisterModel, Share, model_id_of
from learningchain.chain.contracts.prediction.tally import ModelKind
from learningchain.chain.crypto import address
from learningchain.chain.types import parse_credits
from learningchain.client.api.errors import usage
from learningchain.client.api.posting import binary_cid, parse_not_negative
from learningchain.client.api.route import Call, Reply, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends, submit
from learningchain.client.contracts.federation.http.ledger_views import Members, members_of
from learningchain.client.contracts.federation.http.lookup import known, unknown
from learningchain.client.contracts.federation.http.offers import why_not_offered
from learningchain.client.contracts.federation.http.schema import DeployRequest, FederationDeployed
from learningchain.client.contracts.prediction.schemas import schema_of
from learningchain.client.keys.tokens import TokenScope


async def post_deployment(call: Call) -> Reply:
    """By the sponsor, or where the sponsor went away by an owner that was paid. A schema that nobody could ask by is refused before
    the deposit is locked."""
    federation, reader, left = await known(call, whole=True)
    posting, now = reader.get(posting_key(federation)), reader.get(federation_key(federation))
    if not isinstance(posting, FederationPosting) or not isinstance(now, FederationRecord):
        raise unknown(call, federation)
    members = members_of(reader, federation)
    _check(call, posting, now, members)
    what = f"The best model of federation {federation.hex()[:12]}"
    shares = shares_of(members)
    op = registration(call.body, posting.terms, now.best_model, shares, federation if left is None else None)
    await schema_of(call, op, op.name)
    tx = await submit(call, what, op)
    told = [{"account": address(share.account), "weight": share.weight} for share in shares]
    return await answer(call, what, tx, model=model_id_of(tx, 0).hex(), shares=told)


def _check(call: Call, posting: FederationPosting, now: FederationRecord, members: Members) -> None:
    """Raises `RequestError`."""
    own, sponsor = call.node.ledger.own_id, address(posting.sponsor)
    end = EndReason(now.end).name if now.end else None
    paid = any(account == own and one.paid for account, one in members)
    if refused := why_not_offered(address(own), sponsor, end=end, best_round=now.best_r, paid=paid):
        raise usage(refused.text, name=refused.name, status=409)


def shares_of(members: Members) -> list[Share]:
    """By what each was paid, as the ledger wants them (LC-FED-53). Empty where nobody was."""
    return [Share(account, weight) for account, weight in royalty_weights((account, one.paid) for account, one in members)]


def registration(
    body: DeployRequest, terms: FederationTerms, model: bytes, shares: Sequence[Share], source: bytes | None
) -> RegisterModel:
    """`source`: the federation, while it stands in the state. Raises `RequestError` naming the field."""
    if body.kind == "class" and body.classes is None:
        raise usage("classes is missing: a model of kind class says how many classes there are")
    if (body.sample is None) != (body.sample_answers is None):
        raise usage("sample and sample_answers stand together: rows, and what the model answers to them. Give both, or none")
    return RegisterModel(
        name=body.name,
        source=[] if source is None else [source],
        previous=[parse_field("previous", parse_hash, body.previous)] if body.previous is not None else [],
        program=[_program(terms, model)] if source is None else [],
        kind=ModelKind.CLASS if body.kind == "class" else ModelKind.NUMBER,
        classes=body.classes or 0,
        tol=parse_field("tol", parse_not_negative, body.tol),
        royalty=parse_field("price", parse_credits, body.price),
        floor=parse_field("floor", parse_credits, body.floor),
        slots=body.slots,
        max_rows=body.max_rows,
        input_cap=2**20,
        row_ms=body.row_ms,
        start_s=body.start_s,
        schema=binary_cid("schema.cid", body.schema.cid) if body.schema is not None else b"",
        sample=binary_cid("sample", body.sample) if body.sample is not None else b"",
        sample_answers=binary_cid("sample_answers", body.sample_answers) if body.sample_answers is not None else b"",
        origin=[],
        shares=list(shares),
    )


def _program(terms: FederationTerms, model: bytes) -> Program:
    limits = terms.limits
    within = (limits.cpus_milli, limits.mem_mb, limits.tmp_mb, limits.threads)
    return Program(terms.image, terms.arch, terms.params, model, terms.size, *within)


ROUTES = (
    sends(
        "/v1/federations/{federation}/deploy",
        "Register the best model of a federation that has ended, its royalty shared among the owners",
        post_deployment,
        DeployRequest,
        FederationDeployed,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
)
