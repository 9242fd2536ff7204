"""A sponsor's requests: what a federation would take, opening, admitting, starting, closing."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

from learningchain.chain.codec import read
from learningchain.chain.contracts import perform
from learningchain.chain.contracts.federation import formulas, pool, records
from learningchain.chain.contracts.federation.messages import (
    AdmitMember,
    CloseFederation,
    FederationCode,
    FederationTerms,
    OpenFederation,
    RemoveMember,
    Secrecy,
    StartRound,
    federation_id_of,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import FederationPosting, FederationRecord
from learningchain.chain.errors import Reject
from learningchain.chain.host import read_params
from learningchain.chain.types import cid_text, format_credits, tx_id
from learningchain.client.api.errors import foretold, rejected, usage
from learningchain.client.api.route import Call, Reply, Route, parse_account
from learningchain.client.api.submit import answer, sends, spending, submit, trial_host
from learningchain.client.contracts.federation.http.lending import lends
from learningchain.client.contracts.federation.http.postings import build_federation, find_federation, least_fee
from learningchain.client.contracts.federation.http.schema import (
    FederationPosted,
    FederationQuote,
    FederationRequest,
    LookAfterRequest,
    LookedAfter,
    MemberRequest,
    RoundStarted,
    StartRequest,
)
from learningchain.client.contracts.federation.roles.images import listed_programs, why_not_run
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.render import Json
from learningchain.p2p.content.faults import FetchFailed

FETCH_S = 60.0
MOST_COUNTED = 1_000
"""Verifiers that a quote looks at."""


async def post_federation(call: Call) -> Reply:
    """What the node is to do for it by itself is on the disk before the opening leaves."""
    ledger, wanted = call.node.ledger, call.body.look_after
    op = build_federation(call.body, ledger.state, ledger.clock, partial(_able, call))
    what, before = "The federation", None
    if wanted is not None:
        if wanted.reference is not None:
            lends(call, what)
            _require_allowed(call, what, op.terms)
        spending(call, what, op)
        path = await _initial(call, op.terms)

        async def before(raw: bytes) -> None:
            await _look_after(call, federation_id_of(tx_id(raw), 0), path, wanted)

    tx = await submit(call, what, op, before)
    return await answer(call, what, tx, federation=federation_id_of(tx, 0).hex(), ends=op.terms.ends)


async def post_look_after(call: Call) -> Json:
    """Said again it takes the place of what was said before."""
    state = call.node.ledger.state
    federation = find_federation(state, call.path("federation"))
    posting = state.get(records.posting_key(federation))
    if not isinstance(posting, FederationPosting) or posting.sponsor != call.node.ledger.own_id:
        raise rejected("Nothing was done", FederationCode.NOT_SPONSOR, "another account opened this federation")
    if call.body.reference:
        _require_allowed(call, "The reference", posting.terms)
    await _look_after(call, federation, await _initial(call, posting.terms), call.body)
    return {"federation": federation.hex(), "auto": call.body.auto}


def _require_allowed(call: Call, what: str, terms: FederationTerms) -> None:
    """A reference is trained by the image on own data. Raises `RequestError`."""
    if refused := why_not_run(terms.image, listed_programs(call.node.config())):
        raise usage(f"{what} was not sent: {refused}", name="CANNOT_LOOK_AFTER", status=409)


async def _initial(call: Call, terms: FederationTerms) -> Path:
    """Where the initial model lies in this node's store. Raises `RequestError`."""
    cid = cid_text(terms.model)
    try:
        return await call.node.files.fetch(cid, max_size=terms.size, timeout_s=FETCH_S)
    except FetchFailed as problem:
        text = f"The initial model {cid} is not on this node, so it could not serve it: {problem}. Upload it first (POST /v1/files)"
        raise usage(text, name="NO_MODEL_HERE", status=409) from None


async def _look_after(call: Call, federation: bytes, initial: Path, wanted: LookAfterRequest) -> None:
    """What is left out stays as it was said before."""
    from learningchain.client.contracts.federation.http import joining  # the sandbox's words load after the node's start
    from learningchain.client.contracts.federation.roles.sponsor import SponsorBook, SponsorMachine

    kept = call.node.work.books.get(SponsorMachine.name)
    known = [one for one in read(SponsorBook, kept).opened if one.federation == federation] if kept is not None else []
    key = bytes.fromhex(wanted.hidden_key) if wanted.hidden_key is not None else known[0].hidden_key if known else b""
    data = wanted.reference if wanted.reference is not None else known[0].data if known else ""
    try:
        await joining.look_after(call.node, federation, initial, hidden_key=key, data=data, auto=wanted.auto)
    except joining.CannotJoin as problem:
        raise usage(f"The federation is not looked after: {problem}", name="CANNOT_LOOK_AFTER", status=409) from None


def _able(call: Call, terms: FederationTerms) -> int:
    """How many could aggregate and measure."""
    ledger = call.node.ledger
    return sum(1 for _ in islice(pool.each_able(trial_host(ledger), ledger.own_id, terms), MOST_COUNTED))


async def post_federation_quote(call: Call) -> Json:
    """Nothing is sent."""
    ledger = call.node.ledger
    op = build_federation(call.body, ledger.state, ledger.clock, partial(_able, call))
    terms, params = op.terms, read_params(ledger.state, records.NUMBER, FederationParams)
    able = _able(call, terms)
    return {
        "secrecy": Secrecy(terms.secrecy).name.lower(),
        "bounty": format_credits(terms.bounty),
        "fees": format_credits(formulas.fees_locked(terms.fee, terms.rounds)),
        "price": format_credits(formulas.price(params.fed_rate, terms)),
        "fee": format_credits(terms.fee),
        "least_fee": format_credits(least_fee(ledger.state, terms)),
        "free": format_credits(trial_host(ledger).free(ledger.own_id)),
        "ends": terms.ends,
        "latest_end": formulas.latest_end(params, terms),
        "panel": able,
        "aggregators": able,
        "refusal": _refusal(call, op),
    }


def _refusal(call: Call, op: OpenFederation) -> Json | None:
    """Why it would not be opened in a block that came now."""
    try:
        perform(trial_host(call.node.ledger), call.node.ledger.own_id, op)
    except Reject as e:
        return foretold(e)
    return None


async def post_federation_start(call: Call) -> Reply:
    """Round 0 measures the initial model; each further one trains."""
    state = call.node.ledger.state
    federation = find_federation(state, call.path("federation"))
    r = call.body.round
    if r is None:
        now = state.get(records.federation_key(federation))
        r = now.r if isinstance(now, FederationRecord) else 0
    what = f"The start of round {r} of federation {federation.hex()[:12]}"
    return await answer(call, what, await submit(call, what, StartRound(federation, r)), round=r)


async def post_federation_close(call: Call) -> Reply:
    federation = find_federation(call.node.ledger.state, call.path("federation"))
    what = f"Closing federation {federation.hex()[:12]}"
    return await answer(call, what, await submit(call, what, CloseFederation(federation)))


async def post_admission(call: Call) -> Reply:
    federation = find_federation(call.node.ledger.state, call.path("federation"))
    what, member = f"Admitting {call.body.member}", parse_account("member", call.body.member)
    return await answer(call, what, await submit(call, what, AdmitMember(federation, member)))


async def post_removal(call: Call) -> Reply:
    federation = find_federation(call.node.ledger.state, call.path("federation"))
    what, member = f"Removing {call.body.member}", parse_account("member", call.body.member)
    return await answer(call, what, await submit(call, what, RemoveMember(federation, member)))


_ONE = "/v1/federations/{federation}"
ROUTES = (
    sends(
        "/v1/federations",
        "Open a federation of this node",
        post_federation,
        FederationRequest,
        FederationPosted,
        scope=TokenScope.POST,
    ),
    Route(
        "POST",
        f"{_ONE}/look-after",
        "What this node does by itself for a federation that it opened",
        post_look_after,
        LookedAfter,
        LookAfterRequest,
        failures=(404, 409),
        scope=TokenScope.ALL,
    ),
    Route(
        "POST",
        "/v1/federations/quote",
        "What a federation would lock, who could serve it, and why it would be refused; nothing is sent",
        post_federation_quote,
        FederationQuote,
        FederationRequest,
        scope=TokenScope.READ,
    ),
    sends(
        f"{_ONE}/start",
        "Start a round of a federation of this node",
        post_federation_start,
        StartRequest,
        RoundStarted,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    sends(
        f"{_ONE}/close",
        "End a federation of this node between two rounds",
        post_federation_close,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    sends(
        f"{_ONE}/admit",
        "Let in who waits to be a member of a federation of this node",
        post_admission,
        MemberRequest,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    sends(
        f"{_ONE}/remove",
        "Remove a member of a federation of this node, from the next start on",
        post_removal,
        MemberRequest,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
)
