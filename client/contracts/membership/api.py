"""Members: who they are, and the validators' words on a suspended one and on what is parked."""

from __future__ import annotations

import asyncio
import re
import secrets
from bisect import bisect_right
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.membership import (
    Case,
    Invite,
    JudgeCase,
    Leave,
    Member,
    Release,
    RevokeInvite,
    SetBoxKey,
    case_key,
    invitation_id,
    member_key,
    slots_of,
)
from learningchain.chain.crypto import parse_address
from learningchain.chain.errors import Malformed
from learningchain.chain.host import Account, account_key
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import parse_credits
from learningchain.client.api.accounts import AccountView, view
from learningchain.client.api.ending import Ending, EndingQuery, cursor_of
from learningchain.client.api.errors import unavailable, usage
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_account, parse_field
from learningchain.client.api.submit import answer, sends, spending, submit
from learningchain.client.contracts.membership.http import cases, joining
from learningchain.client.contracts.membership.http.schema import (
    AccountsQuery,
    BoxKeyAnswer,
    BoxKeyRequest,
    BoxKeyView,
    InvitationView,
    InviteAnswer,
    InviteRequest,
    JudgementRequest,
    LeaveRequest,
    OpenCase,
    ReleaseRequest,
    RevokeRequest,
)
from learningchain.client.contracts.membership.http.token import to_text
from learningchain.client.contracts.membership.outsiders import door
from learningchain.client.contracts.membership.statements import TOKEN, token_body
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.schema.render import Json, contract_number
from learningchain.p2p.address_book import parse_endpoint

AT_ONCE = 64
"""Accounts that are shown before others have the loop."""


# --- reading ------------------------------------------------------------------------------------------------------------------


async def list_accounts(call: Call) -> list[Json]:
    await call.context.followers.all_settled()
    query = call.query
    members = call.node.ledger.state.keys(b"m/")
    start = 0 if query.after is None else bisect_right(members, member_key(parse_account("after", query.after)))
    views = []
    for number, key in enumerate(members[start : start + query.limit]):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        views.append(view(call, key[2:]))
    return [view for view in views if view is not None]


class OpenCases(Ending):
    """There are as many as accounts that are suspended."""

    prefix = case_key(b"")

    def end_of(self, record: Any) -> int | None:
        return record.until if isinstance(record, Case) else None


async def list_cases(call: Call) -> list[Json]:
    followed = await call.context.followers.settled(OpenCases)
    state, own = call.node.ledger.state, call.node.ledger.own_id
    found = []
    for number, (end, account) in enumerate(followed.first(call.query.after, call.query.limit)):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if (shown := cases.waiting(state, account, own)) is not None:
            found.append(shown | {"cursor": cursor_of(end, account)})
    return found


async def get_box_key(call: Call) -> Json:
    from learningchain.client.work.boxes import BOX_KEYS, box_in  # what work needs loads after the node's start

    member = call.node.ledger.state.get(member_key(call.node.ledger.own_id))
    key, since = (member.box_key, member.box_since) if isinstance(member, Member) else (b"", 0)
    kept = sorted((box_in(one).made, one.key) for one in await call.node.work.stores.secrets.of(BOX_KEYS))
    return {
        "key": key.hex() or None,
        "since": since,
        "here": key in [public for _, public in kept],
        "kept": [{"key": public.hex(), "made": made} for made, public in kept],
    }


# --- writing ------------------------------------------------------------------------------------------------------------------


async def post_judgement(call: Call) -> Reply:
    body: JudgementRequest = call.body
    op = JudgeCase(parse_account("account", body.account), body.confirm)
    what = f"The judgement on {body.account}"
    return await answer(call, what, await submit(call, what, op))


async def post_release(call: Call) -> Reply:
    body: ReleaseRequest = call.body
    op = Release(parse_field("contract", contract_number, body.contract), parse_field("ref", _reference, body.ref), body.give_back)
    what = f"The release of {body.contract} {body.ref}"
    return await answer(call, what, await submit(call, what, op))


_REFERENCE = re.compile(r"(?:[0-9a-f]{2}){1,64}", re.ASCII)


def _reference(text: str) -> bytes:
    if text.startswith("lc1"):
        return parse_address(text)
    if not _REFERENCE.fullmatch(text):
        raise ValueError("a job's id in lower-case hex is expected, or lc1... of an account")
    return bytes.fromhex(text)


async def post_invitation(call: Call) -> Reply:
    """The token is made here and kept nowhere."""
    body: InviteRequest = call.body
    node, key = call.node, joining.one_time_key()
    clock = node.ledger.clock
    genesis = node.genesis()
    for one in body.addresses:
        parse_field("addresses", parse_endpoint, one)  # before an invitation is spent on a token that leads nowhere
    contacts = [(node.ledger.own_id, one) for one in body.addresses] or joining.reachable(node.contacts())
    if not contacts:
        raise usage(
            "A newcomer could not reach this node: it listens on every address and advertises none. Name where it is reached "
            "(addresses, learningchain invite --address HOST:PORT), or set network.advertise"
        )
    op = Invite(key.public, min(MAX_INT, clock + body.lasts_ms), parse_field("credits", parse_credits, body.credits))
    status = node.status()
    what = "The invitation"
    recent = status["height"], bytes.fromhex(status["block_id"]) or genesis.chain_id
    own = node.ledger.own_id
    try:
        draft = joining.draft_token(key, genesis, contacts, op.expires, recent, own, joining.own_key(node.ledger.state, own))
        signature = await node.statement(TOKEN, token_body(draft))
    except (SignerUnavailable, Malformed, ValueError) as e:
        raise unavailable(f"{what} was not signed: {e}. Try again when the signer is back", name="SIGNER") from None
    tx = await submit(call, what, op)
    token = to_text(replace(draft, signature=signature))
    return await answer(call, what, tx, token=token, invitation=invitation_id(key.public).hex(), expires=op.expires)


async def list_invitations(call: Call) -> list[Json]:
    ledger = call.node.ledger
    return [joining.shown(ledger.state, slot, ledger.clock) for slot in slots_of(ledger.state, ledger.own_id)]


async def post_revocation(call: Call) -> Reply:
    body: RevokeRequest = call.body
    what = f"The revocation of {body.invitation}"
    return await answer(call, what, await submit(call, what, RevokeInvite(parse_field("invitation", _hash, body.invitation))))


async def post_leave(call: Call) -> Reply:
    what = "Leaving"
    return await answer(call, what, await submit(call, what, Leave()))


async def post_box_key(call: Call) -> Reply:
    """The private key is on the disk before the message leaves."""
    from learningchain.client.contracts.membership.roles import box
    from learningchain.client.work.boxes import BOX_KEYS, box_in

    node, what = call.node, "The new box key"
    account = node.ledger.state.get(account_key(node.ledger.own_id))
    if not isinstance(account, Account):
        raise unavailable(f"{what} was not made: this node has no account on the ledger yet")
    here = {one.key: box_in(one) for one in await node.work.stores.secrets.of(BOX_KEYS)}
    made = box.of_box(secrets.token_bytes(32), account.key, box.after(here, node.ledger.clock))
    op = SetBoxKey(made.key)
    spending(call, what, op)  # what is refused leaves nothing behind
    await node.work.stores.secrets.keep(made)
    return await answer(call, what, await submit(call, what, op), key=made.key.hex())


def _hash(text: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("an invitation's id has 64 characters of lower-case hex")
    return bytes.fromhex(text)


_ROUTES = (
    sends("/v1/invitations", "Invite one machine: a token that lets it join", post_invitation, InviteRequest, InviteAnswer),
    Route("GET", "/v1/invitations", "This node's invitations, oldest first", list_invitations, list[InvitationView]),
    sends("/v1/revocations", "Take an open invitation back", post_revocation, RevokeRequest),
    sends("/v1/leave", "This node's identity is no member any more", post_leave, LeaveRequest, owner=True),
    Route("GET", "/v1/box-key", "The key under which others seal what this node alone reads", get_box_key, BoxKeyView),
    sends("/v1/box-key", "Replace that key by a new one", post_box_key, BoxKeyRequest, BoxKeyAnswer),
    Route(
        "GET",
        "/v1/cases",
        "Open cases against suspended accounts, the one that ends first first",
        list_cases,
        list[OpenCase],
        query=EndingQuery,
    ),
    Route(
        "GET",
        "/v1/accounts",
        "Accounts in the order of their ids",
        list_accounts,
        list[AccountView],
        query=AccountsQuery,
    ),
    sends("/v1/judgements", "A validator's word on a suspended account", post_judgement, JudgementRequest),
    sends("/v1/releases", "A validator's word on what is parked", post_release, ReleaseRequest),
)
PART = ApiPart(__doc__, _ROUTES, (OpenCases,), door=door)
