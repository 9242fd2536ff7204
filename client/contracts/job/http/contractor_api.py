"""What a contractor asks of its own node beside posting: a price, a job taken back or put off, a key kept until it is revealed."""

from __future__ import annotations

import asyncio
from typing import Any

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import CancelJob, ExtendJob, PostJob
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Reject
from learningchain.chain.host import Account, account_key, read_params
from learningchain.chain.types import format_credits
from learningchain.client.api.errors import foretold, rejected
from learningchain.client.api.posting import parse_digest
from learningchain.client.api.route import Call, Reply, Route, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends, submit, trial_host, try_out
from learningchain.client.contracts.job.http import quotes
from learningchain.client.contracts.job.http.postings import build_job, check_open, expiry_of
from learningchain.client.contracts.job.http.schema import (
    ExtensionRequest,
    HiddenKept,
    HiddenKeyRequest,
    JobCancelled,
    JobExtended,
    JobQuote,
    JobRequest,
)
from learningchain.client.contracts.job.http.views import newest, summarise
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.render import Json

AT_ONCE = 64
"""Jobs that are compared before others have the loop."""

# --- the price -----------------------------------------------------------------------------------------------------------------


async def post_quote(call: Call) -> Json:
    """Nothing is sent, and nothing need be uploaded: the posting is tried out on a copy of the present state."""
    node = call.node
    params = read_params(node.ledger.state, records.NUMBER, JobParams)
    terms: PostJob = build_job(call.body, node.ledger.clock, params.job_rate)
    locked = quotes.price(terms)
    flagged, able = quotes.judges(trial_host(node.ledger), node.ledger.own_id, terms)
    train_s, trainers = quotes.trainers(node.ledger.state, node.ledger.own_id, terms, node.ledger.clock)
    account = node.ledger.state.get(account_key(node.ledger.own_id))
    amounts = {
        "bounty": locked.bounty,
        "fees": locked.fees,
        "bond": locked.bond,
        "deposit": locked.deposit,
        "total": locked.total,
        "free": account.balance if isinstance(account, Account) else 0,
        "stake": locked.stake,
        "fee": terms.fee,
        "least_fee": quotes.least_fee(terms, params),
    }
    return {
        **{name: format_credits(value) for name, value in amounts.items()},
        "finalists": terms.finalists,
        "expiry": terms.expiry,
        "ends": [
            {"state": end.state.name, "usual": format_credits(end.usual), "most": format_credits(end.most)}
            for end in quotes.ends(terms)
        ],
        "verifiers": flagged,
        "judges": able,
        "train_s": train_s,
        "trainers": trainers,
        "conspirators": quotes.conspirators(able),
        "refusal": _refusal(call, terms),
        "comparable": _rendered(quotes.comparable(_limits(terms), await _recent(call))),
    }


def _refusal(call: Call, terms: PostJob) -> Json | None:
    """Why the ledger would refuse the posting now."""
    try:
        check_open(call.body.expires_in_s, read_params(call.node.ledger.state, records.NUMBER, JobParams))
        try_out(call.node.ledger, terms)
    except Reject as e:
        return foretold(e)
    return None


def _limits(terms: PostJob) -> dict[str, int]:
    return {name: getattr(terms.limits, name) for name in terms.limits.__struct_fields__}


async def _recent(call: Call) -> list[Json]:
    """Summaries of the newest jobs that this node knows, also of those that left the state."""
    state, node = call.node.ledger.state, call.node
    in_state = [job for _, job in newest(state, None, quotes.LOOKED_AT)]
    found: list[Json] = []
    for number, job in enumerate(in_state):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        found += [told] if (told := summarise(state, job)) is not None else []
    left = [job for _, job in await node.archived_below(records.NUMBERS.prefix, None, quotes.LOOKED_AT)]
    for start in range(0, len(left), AT_ONCE):
        if len(found) >= quotes.LOOKED_AT:
            break
        past = await node.archived(left[start : start + AT_ONCE])
        found += [told for job, one in past.items() if (told := summarise(one.reader, job)) is not None]
    return found[: quotes.LOOKED_AT]


def _rendered(found: dict[str, Any]) -> Json:
    amounts = ("bounty_lowest", "bounty_median", "bounty_highest")
    return {name: format_credits(value) if name in amounts and value is not None else value for name, value in found.items()} | {
        "how": quotes.HOW
    }


def require_open(call: Call, what: str, in_s: float | None) -> None:
    """Raises `RequestError` where the time that a job is open is too short by the time its message stands in a block."""
    try:
        check_open(in_s, read_params(call.node.ledger.state, records.NUMBER, JobParams))
    except Reject as e:
        raise rejected(f"{what} would be refused and was not sent", e.code, e.text) from None


# --- a job without a claim -----------------------------------------------------------------------------------------------------


async def post_cancel(call: Call) -> Reply:
    job = parse_field("job", parse_hash, call.path("job"))
    what = f"Cancelling job {job.hex()[:12]}"
    return await answer(call, what, await submit(call, what, CancelJob(job)), job=job.hex())


async def post_extension(call: Call) -> Reply:
    body: ExtensionRequest = call.body
    job = parse_field("job", parse_hash, call.path("job"))
    expiry = expiry_of(body.expires_in_s, body.expiry, call.node.ledger.clock)
    what = f"Extending job {job.hex()[:12]}"
    require_open(call, what, body.expires_in_s)
    return await answer(call, what, await submit(call, what, ExtendJob(job, expiry)), job=job.hex(), expiry=expiry)


# --- hidden data ---------------------------------------------------------------------------------------------------------------


async def post_hidden_key(call: Call) -> Json:
    """On this disk when it answers; revealed by itself when a job of this node asks for it."""
    body: HiddenKeyRequest = call.body
    key = parse_field("key", parse_digest, body.key)
    from learningchain.client.contracts.job.roles import secrets  # with the machines: no start waits for them

    await call.node.work.stores.secrets.keep(secrets.of_key(key))
    return {"key_hash": sha256(key).hex()}


ROUTES = (
    Route(
        "POST",
        "/v1/jobs/quote",
        "What a job would cost, and who could judge it; nothing is sent",
        post_quote,
        JobQuote,
        JobRequest,
        scope=TokenScope.READ,
    ),
    sends(
        "/v1/jobs/{job}/cancel",
        "Take back a job of this node that nobody has claimed on",
        post_cancel,
        None,
        JobCancelled,
        scope=TokenScope.POST,
    ),
    sends(
        "/v1/jobs/{job}/extension",
        "Give a job of this node that nobody has claimed on a later expiry",
        post_extension,
        ExtensionRequest,
        JobExtended,
        scope=TokenScope.POST,
    ),
    Route(
        "POST",
        "/v1/hidden-keys",
        "Keep the key of hidden evaluation data: this node reveals it by itself when its job asks for it",
        post_hidden_key,
        HiddenKept,
        HiddenKeyRequest,
        scope=TokenScope.POST,
    ),
)
