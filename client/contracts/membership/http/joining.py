"""Both sides of a token: what the inviter's node puts into it, and how a newcomer goes from it to being a member.

    token -> genesis (asked of its contacts, checked against the chain id) -> Join (brought to the graph by one of them) -> member

Each step can be done again: who has the genesis asks for none, who is a member is told so.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import (
    Invitation,
    Join,
    Slot,
    SlotState,
    invitation_key,
    join_digest,
)
from learningchain.chain.contracts.membership.invitations import counts
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import Malformed
from learningchain.chain.host import Account, Reader, account_key
from learningchain.chain.ledger.genesis import Genesis, from_json
from learningchain.chain.types import format_credits
from learningchain.client.contracts.membership.http.token import MAX_PEERS, VERSION, Contact, JoinToken
from learningchain.client.contracts.membership.outsiders import ADMITTED, Ask, Wish
from learningchain.client.contracts.membership.statements import UNSIGNED
from learningchain.client.contracts.membership.texts import TEXTS
from learningchain.client.schema.render import Json
from learningchain.client.sdk.types import ApiError, RejectedError, UnreachableError
from learningchain.p2p.address_book import parse_endpoint
from learningchain.p2p.connection import Refused
from learningchain.p2p.outsiders import ask
from learningchain.p2p.tls import CA, ca_of, ca_secret

ASK_S: Final = 10.0
OTHERS_S: Final = 3.0
PATIENCE_S: Final = 5.0
"""For which contacts wait, or say to wait, before the next one is asked as well."""
GENESIS_S: Final = 60.0
POLL_S: Final = 0.3
_ANYWHERE = ("0.0.0.0", "::")
T = TypeVar("T")


# --- the inviter's side -------------------------------------------------------------------------------------------------------


def one_time_key() -> SigningKey:
    while True:
        try:
            return SigningKey(secrets.token_bytes(32))
        except ValueError:  # one in 2^128
            continue


def reachable(contacts: Iterable[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
    """Those with an address that means something on another machine."""
    return [(member, where) for member, where in contacts if parse_endpoint(where)[0] not in _ANYWHERE]


def own_key(reader: Reader, own: bytes) -> bytes:
    """The public key of now."""
    account = reader.get(account_key(own))
    return account.key if isinstance(account, Account) else b""


def draft_token(
    key: SigningKey,
    genesis: Genesis,
    contacts: list[tuple[bytes, str]],
    expires: int,
    recent: tuple[int, bytes],
    own: bytes,
    public: bytes,
) -> JoinToken:
    """LC-MEM-32, without its signature: `recent` is the height and id of a decided block."""
    listed = [Contact(member, where) for member, where in contacts[:MAX_PEERS]]
    authority = ca_secret(CA(genesis.ca_cert, genesis.ca_key))
    fields = (VERSION, genesis.name, genesis.chain_id, listed, key.secret, authority, expires, *recent, own, public)
    return JoinToken(*fields, UNSIGNED)


def shown(reader: Reader, slot: Slot, clock: int) -> Json:
    found = reader.get(invitation_key(slot.invitation))
    return {
        "invitation": slot.invitation.hex(),
        "state": SlotState(slot.state).name.lower(),
        "until": slot.until,
        "credits": format_credits(found.credits if isinstance(found, Invitation) else 0),
        "counts": counts(slot, clock),
    }


# --- the newcomer's side ------------------------------------------------------------------------------------------------------


class Unanswered(UnreachableError):
    """None of a token's contacts answered."""


async def _ask_one(
    token: JoinToken, contact: Contact, question: bytes, timeout_s: float, read: Callable[[bytes], T]
) -> T | ApiError:
    """A contact's answer as `read` takes it, or what it said instead: a refusal of the ledger has a code, another one has none."""
    try:
        status, body = await ask(
            contact.address,
            contact.id,
            question,
            key=token.key,
            chain_id=token.chain_id,
            ca=ca_of(token.authority),
            now=time.time(),
            timeout_s=timeout_s,
        )
        if status == 200:
            return await asyncio.to_thread(read, body)
    except (Refused, Malformed) as e:
        return UnreachableError(f"{contact.address}: {e}")
    refusal = _refusal(body)
    return refusal if refusal.code is not None else UnreachableError(f"{contact.address}: {refusal}")


def _refusal(body: bytes) -> ApiError:
    try:
        found: Any = msgspec.json.decode(body)
        code, name, text = found["code"], found["name"], str(found["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return RejectedError(body[:200].decode(errors="replace") or "refused without a word")
    if isinstance(code, int) and code in TEXTS:
        text = f"{text}. {TEXTS[code][1]}"
    return RejectedError(text, code=code if isinstance(code, int) else None, name=None if name is None else str(name))


def genesis_in(body: bytes, chain_id: bytes) -> Genesis:
    """Raises `Malformed` where it is not the network's of this id."""
    genesis = from_json(body)
    if genesis.chain_id != chain_id:
        raise Malformed(f"the genesis that came is of another network than the invitation's ({genesis.chain_id.hex()[:16]})")
    return genesis


async def fetch_genesis(token: JoinToken) -> tuple[Genesis, bytes]:
    """The network's genesis and its file, from the first contact that has it: its hash is the chain id, so nobody's word counts.

    Raises `RejectedError` where all that answer refuse, `Unanswered` where nobody gives it.
    """
    question, told = encode(Ask(token.chain_id, token.inviter, Wish.GENESIS, [])), list[ApiError]()
    for contact in token.contacts:
        answer = await _ask_one(token, contact, question, GENESIS_S, lambda body: (genesis_in(body, token.chain_id), body))
        if not isinstance(answer, ApiError):
            return answer
        told.append(answer)
    raise _nobody(token, told)


def _nobody(token: JoinToken, told: Iterable[ApiError]) -> ApiError:
    """What it is that no contact let this machine in: a refusal of the ledger, where those that answered give one."""
    told = list(told)
    nobody = Unanswered(f"No member of the network {token.network} let this machine in. {'; '.join(map(str, told))}")
    return next((one for one in told if one.code is not None), nobody)


class _JoinAnswer(msgspec.Struct, frozen=True):
    state: Literal["admitted", "waiting"]
    height: Annotated[int, Meta(ge=0, le=2**48)]


def admitted_in(body: bytes) -> int | None:
    """The height at which an answer says that the newcomer is in; None where it says to wait. Raises `Malformed`."""
    try:
        found = msgspec.json.decode(body, type=_JoinAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Malformed(f"an answer that is none: {problem}") from None
    return found.height if found.state == ADMITTED else None


Told = dict[Contact, int | ApiError | None]
"""By contact: the height at which it says that the newcomer is in, None where it says to wait, or what it said instead."""


async def enter(
    token: JoinToken, own: bytes, signature: bytes, *, within_s: float, told: Callable[[], None], doubt: Callable[[str], None]
) -> int:
    """Be admitted with this public key, whose signature of the join this is; the height of the graph then. `told` is called once
    a member has taken the Join and it waits for its block.

    One contact can lie, or be behind, so none is believed alone: what counts is that all that answer, or most contacts of the
    token, say the same. One after the other is asked while those before refuse, are silent or wait for long; all are once one says
    that the newcomer is in. Where they still differ after `within_s`, `doubt` is told so, and the chain will show.
    Raises `RejectedError` with the ledger's refusal where all that answer refuse, `Unanswered` where nobody lets it in.
    """
    digest = join_digest(token.chain_id, token.key.public, own)
    op = Join(token.inviter, token.key.public, own, signature, token.key.sign(digest))
    question = encode(Ask(token.chain_id, token.inviter, Wish.JOIN, [op]))
    end, next_one, asked, waits = time.monotonic() + within_s, 0.0, list[Contact](), False
    while True:
        if time.monotonic() >= next_one and len(asked) < len(token.contacts):
            asked, next_one = token.contacts[: len(asked) + 1], time.monotonic() + PATIENCE_S
        answers = await _round(token, question, asked)
        waiting = None in answers.values()
        complete = len(asked) == len(token.contacts)
        agreed = [one for one in answers.values() if isinstance(one, int)]
        differs = [one for one in answers.values() if not isinstance(one, int | UnreachableError)]
        if agreed and complete and (not differs or 2 * len(agreed) > len(token.contacts)):
            return max(agreed)
        if complete and not agreed and not waiting:
            raise _nobody(token, [one for one in answers.values() if isinstance(one, ApiError)])
        if waiting and not waits:
            told()
            waits = True
        if agreed and not complete:
            asked = token.contacts
        elif not agreed and not waiting:
            next_one = 0.0
        elif time.monotonic() >= end:
            return _at_the_end(token, answers, within_s, doubt)
        await asyncio.sleep(POLL_S)


async def _round(token: JoinToken, question: bytes, asked: list[Contact]) -> Told:
    """One answer of each; the first contact has the most time, for the Join is brought in by it."""
    timeouts = [ASK_S, *[OTHERS_S] * (len(asked) - 1)]
    asking = [_ask_one(token, one, question, s, admitted_in) for one, s in zip(asked, timeouts, strict=True)]
    return dict(zip(asked, await asyncio.gather(*asking), strict=True))


def _at_the_end(token: JoinToken, answers: Told, within_s: float, doubt: Callable[[str], None]) -> int:
    """They still differ, or wait."""
    inside = max((one for one in answers.values() if isinstance(one, int)), default=None)
    if inside is None:
        raise Unanswered(f"The join waits in no block after {within_s:g} s. Run the same command again: it goes on from here")
    others = "; ".join(f"{one.address} {_in_words(answer)}" for one, answer in answers.items() if not isinstance(answer, int))
    doubt(f"Not all members of the network {token.network} agree that this machine is in: {others}. The chain will show")
    return inside


def _in_words(answer: int | ApiError | None) -> str:
    return "says that the join waits" if answer is None else f"says: {answer}"
