"""Proposals: the open ones, new ones, and a validator's words; and the parameters in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.contracts.governance import (
    Action,
    AddValidator,
    Admit,
    Ban,
    LiftBan,
    ParamValue,
    Propose,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    Upgrade,
    VoteProposal,
    Withdraw,
)
from learningchain.chain.contracts.governance.records import OpenProposal, proposal_key
from learningchain.chain.crypto import is_public_key
from learningchain.chain.host import read_params
from learningchain.chain.ledger.genesis import CORE, OF_CONTRACTS, unit_of
from learningchain.chain.params import votable
from learningchain.client.api.ending import Ending, EndingQuery
from learningchain.client.api.errors import usage
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_account, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends, submit
from learningchain.client.contracts.governance.http.schema import (
    ParameterView,
    ProposalRequest,
    ProposalView,
    ProposalVoteRequest,
    WithdrawRequest,
)
from learningchain.client.contracts.governance.http.views import describe, view
from learningchain.client.schema.render import Json

AT_ONCE = 64
"""Proposals that are shown before others have the loop."""
_OF_ACCOUNTS: dict[str, Callable[[bytes], Action]] = {
    "remove": Remove,
    "ban": Ban,
    "lift-ban": LiftBan,
    "add-validator": AddValidator,
    "remove-validator": RemoveValidator,
}


# --- reading ------------------------------------------------------------------------------------------------------------------


class OpenProposals(Ending):
    prefix = proposal_key(b"")

    def end_of(self, record: Any) -> int | None:
        return record.expires if isinstance(record, OpenProposal) else None


async def list_proposals(call: Call) -> list[ProposalView]:
    followed = await call.context.followers.settled(OpenProposals)
    state, own, found = call.node.ledger.state, call.node.ledger.own_id, list[ProposalView]()
    for number, (_, ref) in enumerate(followed.first(call.query.after, call.query.limit)):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if (shown := view(state, ref, own)) is not None:
            found.append(shown)
    return found


async def list_parameters(call: Call) -> list[Json]:
    state = call.node.ledger.state
    groups: list[tuple[str, object, dict[str, msgspec.structs.FieldInfo]]] = [("ledger", call.node.ledger.params, CORE)]
    groups += [(c.name, read_params(state, c.number, c.params), OF_CONTRACTS[c.number]) for c in CONTRACTS if c.params]
    return [_parameter(name, params, f) for name, params, fields in groups for f in fields.values()]


def _parameter(contract: str, params: object, f: msgspec.structs.FieldInfo) -> Json:
    bounds = votable(f)
    low, high = (bounds.low, bounds.high) if bounds else (None, None)
    return {"name": f.name, "contract": contract, "value": getattr(params, f.name), "unit": unit_of(f), "low": low, "high": high}


# --- writing ------------------------------------------------------------------------------------------------------------------


def build_action(body: ProposalRequest) -> Action:
    """Raises `ApiError` naming the field that is missing or wrong."""
    if (kind := _OF_ACCOUNTS.get(body.action)) is not None:
        return kind(parse_account("account", _given(body, "account")))
    if body.action == "admit":
        return Admit(parse_field("key", _public_key, _given(body, "key")))
    if body.action == "verifier":
        return SetVerifier(parse_account("account", _given(body, "account")), _given(body, "on"))
    if body.action == "upgrade":
        return Upgrade(_given(body, "version"), _given(body, "height"))
    return _parameters(_given(body, "values"))


def _given(body: ProposalRequest, field: str) -> Any:
    value = getattr(body, field)
    if value is None or value == {}:
        raise usage(f"{field} is missing: a proposal to {body.action} needs it")
    return value


def _public_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if not is_public_key(key):
        raise ValueError("not a compressed secp256k1 public key")
    return key


def _parameters(values: dict[str, int]) -> SetParameters:
    owners = {name: number for number, fields in {0: CORE, **OF_CONTRACTS}.items() for name in fields}
    if unknown := sorted(set(values) - set(owners)):
        raise usage(f"There is no parameter {unknown[0]}: GET /v1/parameters lists those that there are")
    numbers = {owners[name] for name in values}
    if len(numbers) != 1:
        raise usage("A proposal changes parameters of the ledger, or of one contract: make one for each")
    return SetParameters(numbers.pop(), [ParamValue(name, values[name]) for name in sorted(values)])


async def post_proposal(call: Call) -> Reply:
    body: ProposalRequest = call.body
    action = build_action(body)
    what = f"The proposal to {describe(action)}"
    op = Propose(action, call.node.ledger.clock + round(body.expires_s * 1_000))
    return await answer(call, what, await submit(call, what, op))


async def post_vote(call: Call) -> Reply:
    body: ProposalVoteRequest = call.body
    what = f"The vote on the proposal {body.proposal[:12]}"
    op = VoteProposal(parse_field("proposal", parse_hash, body.proposal), body.yes)
    return await answer(call, what, await submit(call, what, op))


async def post_withdrawal(call: Call) -> Reply:
    body: WithdrawRequest = call.body
    what = f"The withdrawal of the proposal {body.proposal[:12]}"
    op = Withdraw(parse_field("proposal", parse_hash, body.proposal))
    return await answer(call, what, await submit(call, what, op))


_ROUTES = (
    Route(
        "GET",
        "/v1/proposals",
        "Open proposals, the one that expires first first",
        list_proposals,
        list[ProposalView],
        query=EndingQuery,
    ),
    Route(
        "GET",
        "/v1/parameters",
        "Parameters in force, and what the validators may make of them",
        list_parameters,
        list[ParameterView],
    ),
    sends("/v1/proposals", "Propose something to the validators; this one's yes as well", post_proposal, ProposalRequest),
    sends("/v1/votes", "A validator's word on a proposal", post_vote, ProposalVoteRequest),
    sends("/v1/withdrawals", "Take a proposal of this node back", post_withdrawal, WithdrawRequest),
)
PART = ApiPart(__doc__, _ROUTES, (OpenProposals,))
