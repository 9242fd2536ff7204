"""A data owner's and a verifier's requests: what joining means, joining, other data, leaving; serving federations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from learningchain.chain.contracts import perform
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.duties import duties
from learningchain.chain.contracts.federation.messages import JoinFederation, LeaveFederation, NewData, PaySplit, ServeFederation
from learningchain.chain.contracts.federation.records import FederationMember, FederationPosting, FederationRecord, FederationServer
from learningchain.chain.errors import InvalidTx, Reject
from learningchain.client.api.errors import invalid, not_found, rejected, unavailable, usage
from learningchain.client.api.route import Call, Reply, Route, parse_account, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends, spending, submit, trial_host
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.http.ledger_views import members_of
from learningchain.client.contracts.federation.http.lending import lends
from learningchain.client.contracts.federation.http.meaning import describe_joining
from learningchain.client.contracts.federation.http.postings import find_federation
from learningchain.client.contracts.federation.http.schema import (
    DemandKept,
    DemandRequest,
    FederationJoined,
    FederationRecovering,
    FederationServing,
    JoiningView,
    JoinRequest,
    OwnPartView,
    PreviewRequest,
    PreviewView,
    RecoverRequest,
    ServeFederationsRequest,
    VaultKept,
    VaultRequest,
)
from learningchain.client.contracts.federation.roles.images import listed_programs, may_run, program_digest
from learningchain.client.contracts.federation.roles.looking import alike_in, look, sent_before, trained_alike
from learningchain.client.contracts.federation.roles.verifiers import least_verifiers
from learningchain.client.contracts.federation.roles.waiting import why_it_waits
from learningchain.client.contracts.federation.without_numpy import numpy_missing
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.render import Json

MOST_DUTIES = 1_000
HOLD_S, POLL_S = 10.0, 0.1
"""How long one call waits for a preview, and how often it looks."""


async def get_joining(call: Call) -> Json:
    """What it would mean for this node."""
    ledger = call.node.ledger
    federation = find_federation(ledger.state, call.path("federation"))
    posting, now = ledger.state.get(records.posting_key(federation)), ledger.state.get(records.federation_key(federation))
    if not isinstance(posting, FederationPosting) or not isinstance(now, FederationRecord):
        raise RuntimeError(f"federation {federation.hex()} has no posting and record")
    host = trial_host(ledger)
    found = describe_joining(host, federation, posting, now, members_of(ledger.state, federation))
    examples = 1 if posting.terms.split == PaySplit.SAMPLES else 0
    refusal = None
    try:
        # A digest that nobody has: whether the own one is taken shows when it is sent.
        perform(host, ledger.own_id, JoinFederation(federation, published_digest(federation, ledger.own_id), examples))
    except Reject as e:
        body = rejected("Joining would be refused", e.code, e.text).body
        refusal = {"code": body.code, "name": body.name, "message": body.message}
    image, listed = posting.terms.image, listed_programs(call.node.config())
    allowed = may_run(image, listed) if listed else None
    told = {"refusal": refusal, "program": program_digest(image), "allowed": allowed, **_told_here(call, federation)}
    found["warnings"][:0] = told.pop("minds")
    return found | told


def _told_here(call: Call, federation: bytes) -> Json:
    """What this node adds: on which models it sent, of whom those are drawn who add up, and what of it its owner should mind."""
    from learningchain.client.contracts.federation.http import views  # machines load after the start

    ledger = call.node.ledger
    at = look(ledger.state, federation)
    if at is None:
        raise RuntimeError(f"federation {federation.hex()} has left the state meanwhile")
    other = views.sent_elsewhere(call.node.work, at, ledger.own_id)
    drawn = views.drawn_of(at, ledger.clock, least_verifiers(call.node.config()))
    alike = alike_in(at, ledger.own_id)
    minds = [f"this node {sent_before(other)}"] if other is not None else [trained_alike(alike)] if alike is not None else []
    return {**drawn, "sent_in": other.hex() if other is not None else None, "minds": [*minds, *drawn["minds"]]}


async def post_join(call: Call) -> Reply:
    """With data of this node it trains by itself from then on: what it trains on is on its disk before its message leaves."""
    federation = find_federation(call.node.ledger.state, call.path("federation"))
    what = f"Joining federation {federation.hex()[:12]}"
    return await _trained_on(call, what, federation, lambda digest, n: JoinFederation(federation, digest, n))


async def post_new_data(call: Call) -> Reply:
    federation = find_federation(call.node.ledger.state, call.path("federation"))
    what = f"Other data for federation {federation.hex()[:12]}"
    return await _trained_on(call, what, federation, lambda digest, n: NewData(federation, digest, n))


async def _trained_on(call: Call, what: str, federation: bytes, message: Callable[[bytes, int], Any]) -> Reply:
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    body: JoinRequest = call.body
    if (body.data is None) == (body.digest is None):
        raise usage("The data are not valid: exactly one of data and digest is needed. Give one of them")
    if body.data is None:
        digest = published_digest(federation, bytes.fromhex(body.digest or ""))
        tx = await submit(call, what, message(digest, body.n))
        return await answer(call, what, tx, published=digest.hex())
    lends(call, what)
    with _joining(what):
        own = await joining.own_data(call.node, body.data)
        digest = published_digest(federation, own.digest)
        spending(call, what, message(digest, body.n))  # what the rules refuse is refused in their words
        least = joining.least_vetted(call.node, federation) if body.min_vetted is None else body.min_vetted
        tx = await joining.agree_to_join(call.node, federation, body.data, joining.JoinTerms(least, body.n, body.vault, body.again))
    return await answer(call, what, tx, published=digest.hex())


async def post_demand(call: Call) -> Json:
    """What this owner demands before its node trains: nothing goes to the ledger."""
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    federation, what = find_federation(call.node.ledger.state, call.path("federation")), "The demand"
    lends(call, what)
    with _joining(what):
        now = await joining.demand(call.node, federation, call.body.min_vetted)
    return {"federation": federation.hex(), "data": now.data, "min_vetted": now.min_vetted}


async def post_keeping_vault(call: Call) -> Json:
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    federation, body = find_federation(call.node.ledger.state, call.path("federation")), call.body
    what = "The vault's setting"
    lends(call, what)
    with _joining(what):
        holders = [parse_account("holders", one) for one in body.holders]
        await joining.keep_vault(call.node, federation, body.on, holders)
    return {"federation": federation.hex(), "on": body.on, "holders": body.holders}


async def post_taking_place(call: Call) -> Json:
    """After a machine was lost: the account is a member still, and this node takes the lost one's place."""
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    ledger, body = call.node.ledger, call.body
    federation = find_federation(ledger.state, call.path("federation"))
    what = f"Coming back into federation {federation.hex()[:12]}"
    lends(call, what)
    with _joining(what):
        least = joining.least_vetted(call.node, federation) if body.min_vetted is None else body.min_vetted
        tx = await joining.recover(call.node, federation, body.data or "", joining.JoinTerms(least, body.n, True))
    member = ledger.state.get(records.member_key(federation, ledger.own_id))
    named = isinstance(member, FederationMember) and bool(member.vault)
    return {"federation": federation.hex(), "vault": named, "tx": tx.hex() or None}


async def post_leaving(call: Call) -> Reply:
    """No further update leaves this node, from now on."""
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    federation = find_federation(call.node.ledger.state, call.path("federation"))
    what = f"Leaving federation {federation.hex()[:12]}"
    spending(call, what, LeaveFederation(federation))
    with _joining(what):
        tx = await joining.stop(call.node, federation)
    return await answer(call, what, tx)


async def post_preview(call: Call) -> Json:
    """Waits for a moment; a run that goes on is asked for by its number. It tells a loss on own data, as `get_own_part`."""
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    federation = find_federation(call.node.ledger.state, call.path("federation"))
    body: PreviewRequest = call.body
    if (body.data is None) == (body.number is None):
        raise usage("The preview is not valid: exactly one of data and number is needed. Give one of them")
    with call.context.waits.take(call.token), _joining("The preview"):
        if body.data is not None:
            return dict(await joining.preview(call.node, federation, body.data, within_s=HOLD_S))
        return dict(await _preview_of(call, bytes.fromhex(body.number or "")))


async def _preview_of(call: Call, number: bytes) -> PreviewView:
    from learningchain.client.contracts.federation.http.views import preview_view  # the sandbox's words load after the node's start

    until = asyncio.get_running_loop().time() + HOLD_S
    while (found := preview_view(call.node.work, number)) is None or found["state"] == "running":
        if asyncio.get_running_loop().time() < until:
            await asyncio.sleep(POLL_S)
        elif found is not None:
            break
        else:
            raise not_found("This node knows no preview of that number: it keeps the last ones", name="NO_PREVIEW")
    return found


async def get_own_part(call: Call) -> Json:
    """Losses on own data among it, which are the owner's alone: no token of a program reads them, unless it may do everything."""
    from learningchain.client.contracts.federation.http.views import own_view  # the sandbox's words load after the node's start

    federation, ledger = parse_field("federation", parse_hash, call.path("federation")), call.node.ledger
    at = look(ledger.state, federation)
    waits = why_it_waits(at, ledger.own_id, ledger.clock) if at is not None else ""
    return dict(own_view(call.node.work, federation, waits))


@contextmanager
def _joining(what: str) -> Iterator[None]:
    """What the node's own side says against it, as refusals of the API."""
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start

    try:
        yield
    except joining.CannotJoin as problem:
        text = str(problem)
        raise usage(f"{what} was not sent: {text[:1].lower()}{text[1:]}", name="CANNOT_JOIN", status=409) from None
    except InvalidTx as e:
        raise invalid(f"{what} was not accepted", e) from None
    except SignerUnavailable as e:
        raise unavailable(f"{what} was not signed: {e}. Try again when the signer is back", name="SIGNER") from None


async def get_federation_serving(call: Call) -> Json:
    ledger = call.node.ledger
    found = ledger.state.get(records.serving_key(ledger.own_id))
    serves = isinstance(found, FederationServer)
    owed = sum(1 for _ in islice(duties(ledger.state, ledger.own_id), MOST_DUTIES))
    return {"on": serves, "since": found.since if isinstance(found, FederationServer) else None, "duties": owed}


async def post_federation_serving(call: Call) -> Reply:
    what = "Serving federations" if call.body.on else "Serving federations no more"
    if call.body.on and (missing := numpy_missing()):
        raise usage(f"{what} was not sent: {missing}", name="CANNOT_SERVE", status=409)
    return await answer(call, what, await submit(call, what, ServeFederation(call.body.on)))


_ONE = "/v1/federations/{federation}"
ROUTES = (
    Route(
        "GET",
        "/v1/federations/serving",
        "Whether this node may be drawn as aggregator and for panels",
        get_federation_serving,
        FederationServing,
    ),
    sends(
        "/v1/federations/serving",
        "Let this node be drawn as aggregator and for panels, or no more",
        post_federation_serving,
        ServeFederationsRequest,
        scope=TokenScope.POST,
    ),
    Route(
        "GET",
        f"{_ONE}/joining",
        "What joining a federation means: what leaves, who reads it, what it could earn",
        get_joining,
        JoiningView,
        failures=(404,),
    ),
    sends(
        f"{_ONE}/join",
        "Join a federation, or ask to be admitted",
        post_join,
        JoinRequest,
        FederationJoined,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    sends(
        f"{_ONE}/data",
        "Train on other data of this node from now on",
        post_new_data,
        JoinRequest,
        FederationJoined,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    sends(f"{_ONE}/leave", "Leave a federation, from the next start on", post_leaving, failures=(404, 409), scope=TokenScope.POST),
    Route(
        "POST",
        f"{_ONE}/demand",
        "Say how many other members must carry the verifier flag before this node trains, from the next start on",
        post_demand,
        DemandKept,
        DemandRequest,
        failures=(404, 409),
        scope=TokenScope.ALL,
    ),
    Route(
        "POST",
        f"{_ONE}/vault",
        "Keep a vault of this node's local models from now on, or no more",
        post_keeping_vault,
        VaultKept,
        VaultRequest,
        failures=(404, 409),
        scope=TokenScope.ALL,
    ),
    Route(
        "POST",
        f"{_ONE}/recover",
        "Take the place of a node of this account that was lost: train again, and open its vault",
        post_taking_place,
        FederationRecovering,
        RecoverRequest,
        failures=(404, 409),
        scope=TokenScope.ALL,
    ),
    Route(
        "POST",
        f"{_ONE}/preview",
        "Train once on own data of this node and send nothing",
        post_preview,
        PreviewView,
        PreviewRequest,
        failures=(404, 409),
        scope=TokenScope.ALL,
    ),
    Route(
        "GET",
        f"{_ONE}/own",
        "This node's own part in a federation: its updates, what left it, losses on its own data",
        get_own_part,
        OwnPartView,
        scope=TokenScope.ALL,
    ),
)
