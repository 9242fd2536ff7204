"""What a user of this node has it do in federations: join with own data, look first, stop, look after an own one.

    agree_to_join   the data are here and fit the posted schema --> kept for the machine --> JoinFederation
    preview         `local` once on the present model; nothing is sent
    stop            no further update; LeaveFederation
    keep_vault      from now on, or no more
    recover         a node of this account was lost: train again, open its vault
    look_after      the sponsor's side of a federation that this account opened

A wish is on the disk before its message leaves the node: after a kill the node trains where it joined.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from learningchain.chain.codec import read
from learningchain.chain.contracts.federation.messages import JoinFederation, LeaveFederation, NewData
from learningchain.chain.contracts.federation.records import FederationMember, FederationState, MemberState, member_key
from learningchain.chain.contracts.membership import Member
from learningchain.chain.contracts.membership import member_key as membership_key
from learningchain.chain.crypto import address
from learningchain.chain.types import cid_text
from learningchain.client.api.whole_node import NodeService
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.arithmetic.vault import LEAST_HOLDERS, MOST_HOLDERS
from learningchain.client.contracts.federation.http.schema import PreviewView
from learningchain.client.contracts.federation.http.used_data import note_used, used_in, used_text
from learningchain.client.contracts.federation.http.views import preview_view
from learningchain.client.contracts.federation.roles.images import listed_programs, why_not_run
from learningchain.client.contracts.federation.roles.looking import FederationLook, look
from learningchain.client.contracts.federation.roles.member import VAULTS, MemberBook, MemberMachine, VaultBook
from learningchain.client.contracts.federation.roles.runs import SCHEMA
from learningchain.client.contracts.federation.roles.verifiers import deciders, least_verifiers, too_few_to_draw
from learningchain.client.contracts.federation.wishes import (
    PreviewWish,
    SponsorWish,
    StopWish,
    TrainedFederation,
    TrainWish,
    VaultWish,
    Wish,
    of_wish,
)
from learningchain.client.contracts.federation.without_numpy import numpy_missing
from learningchain.sandbox import OwnData

MIN_VETTED: Final = 2
"""Three owners can train then, and a sum of three hides who said what from each of them alone; two together read the third. Whoever
joins may want more, and change it later (`demand`)."""
POLL_S: Final = 0.1
WISHED_S: Final = 30.0


class CannotJoin(Exception):
    """It is not joined, and nothing was sent. The text says why and what to do."""


@dataclass(frozen=True)
class JoinTerms:
    """What a data owner agrees to. `min_vetted`: it trains only where so many other members carry the verifier flag. `n`: examples,
    where the split is by samples. `vault`: two members keep the local model, sealed, after each fifth round. `again`: data that
    were used in another federation of a small model may be used in this one, too."""

    min_vetted: int = MIN_VETTED
    n: int = 0
    vault: bool = False
    again: bool = False


async def own_data(node: NodeService, name: str) -> OwnData:
    """Raises CannotJoin."""
    try:
        found = {own.name: own for own in await node.work.engine.own_data()}
    except OSError as problem:
        raise CannotJoin(f"the data of this node cannot be looked at: {problem}") from None
    if name not in found:
        raise CannotJoin(f"there are no data {name!r} on this node's engine. Add them: learningchain data add {name} FOLDER")
    return found[name]


def check_join(node: NodeService, federation: bytes, own: OwnData) -> FederationLook:
    """That the federation lives, that the owner lets its program run and wants no more verifiers to draw of, and that the data were
    held against the schema that it posted. Raises CannotJoin."""
    at = _live(node, federation)
    if at.posting.sponsor == node.ledger.own_id:
        raise CannotJoin("the sponsor of a federation cannot be its member")
    _require_allowed(node, at)
    few = too_few_to_draw(len(deciders(at, node.ledger.clock).aggregators), least_verifiers(node.config()))
    if few:
        raise CannotJoin(few)
    if at.terms.schema and own.notes.get(SCHEMA) != schema_hash(at):
        raise CannotJoin(
            f"the data {own.name!r} were not held against the schema that the sponsor posted ({cid_text(at.terms.schema)}). Do it, "
            f"and join then: learningchain fed schema {federation.hex()[:12]}; learningchain data remove {own.name}; "
            f"learningchain data add {own.name} FOLDER --schema schema.json"
        )
    return at


def _require_allowed(node: NodeService, at: FederationLook) -> None:
    """Raises CannotJoin."""
    if refused := why_not_run(at.terms.image, listed_programs(node.config())):
        raise CannotJoin(refused)


def schema_hash(at: FederationLook) -> str:
    """Of the posted schema, which is one block of content: its name has the SHA-256 of its bytes."""
    return at.terms.schema[-32:].hex() if at.terms.schema else ""


def least_vetted(node: NodeService, federation: bytes) -> int:
    """What the owner wanted before, where it trains there already: other data change nothing of it."""
    kept = node.work.books.get(MemberMachine.name)
    known = [one for one in read(MemberBook, kept).joined if one.federation == federation] if kept is not None else []
    return known[0].min_vetted if known else MIN_VETTED


async def agree_to_join(node: NodeService, federation: bytes, data: str, terms: JoinTerms) -> bytes:
    """The transaction that joins; from then on the node trains by itself. Raises CannotJoin, InvalidTx, SignerUnavailable."""
    own = await own_data(node, data)
    if check_join(node, federation, own).has_cells:
        await _use(node, own, federation, again=terms.again)
    await _wish(node, TrainWish(federation, data, terms.min_vetted))
    member = node.ledger.state.get(member_key(federation, node.ledger.own_id))
    digest = published_digest(federation, own.digest)
    if isinstance(member, FederationMember) and member.state != MemberState.GONE:
        return await node.ledger.submit([NewData(federation, digest, terms.n)])
    await _wish(node, VaultWish(federation, terms.vault, []))
    return await node.ledger.submit([JoinFederation(federation, digest, terms.n)])


async def _use(node: NodeService, own: OwnData, federation: bytes, *, again: bool) -> None:
    """Of a small model. Raises CannotJoin for data of another one."""
    other = await used_in(node, own.digest, federation)
    if other is not None and not again:
        raise CannotJoin(used_text(other))
    await note_used(node, own.digest, federation)


async def demand(node: NodeService, federation: bytes, min_vetted: int) -> TrainedFederation:
    """Train from the next start on only where so many other members carry the verifier flag. Nothing goes to the ledger. Raises
    CannotJoin."""
    kept = node.work.books.get(MemberMachine.name)
    joined = [] if kept is None else [one for one in read(MemberBook, kept).joined if one.federation == federation]
    if not joined:
        raise CannotJoin("this node does not train in such a federation: join it (learningchain fed join)")
    await _wish(node, TrainWish(federation, joined[0].data, min_vetted))
    return replace(joined[0], min_vetted=min_vetted)


async def preview(node: NodeService, federation: bytes, data: str, *, within_s: float | None = None) -> PreviewView:
    """`local` once on the present model and own data. Nothing is sent, and the model that it leaves is deleted. Waits until it has
    ended, or `within_s`: then its `state` is "running", and `preview_view` says more later. Raises CannotJoin."""
    await own_data(node, data)
    at = _live(node, federation)
    _require_allowed(node, at)
    number = secrets.token_bytes(32)
    await _wish(node, PreviewWish(federation, data, number))
    most = WISHED_S + 600.0 + at.terms.limits.train_s
    until = asyncio.get_running_loop().time() + (most if within_s is None else within_s)
    while True:
        found = preview_view(node.work, number)
        over = asyncio.get_running_loop().time() >= until
        if found is not None and (found["state"] != "running" or over):
            return found
        if over:
            raise CannotJoin("this node has not begun it yet. See what it does: learningchain status")
        await asyncio.sleep(POLL_S)


async def stop(node: NodeService, federation: bytes) -> bytes:
    """No further update leaves this node; the transaction that leaves. What is summed already is paid. Raises InvalidTx,
    SignerUnavailable."""
    await _wish(node, StopWish(federation))
    return await node.ledger.submit([LeaveFederation(federation)])


async def keep_vault(node: NodeService, federation: bytes, on: bool, holders: Sequence[bytes] = ()) -> None:
    """Keep a vault from now on, whose key so many holders share (none: the account's own secret alone opens it), or no more.
    Raises CannotJoin."""
    state = node.ledger.state
    if look(state, federation) is None or not _index_of(node, federation, node.ledger.own_id):
        raise CannotJoin("this account is no member of such a federation, and members alone have a vault")
    if holders and not LEAST_HOLDERS <= len(set(holders)) <= MOST_HOLDERS:
        raise CannotJoin(f"a vault's key is shared by {LEAST_HOLDERS} or {MOST_HOLDERS} members, or by nobody: name so many")
    for one in holders:
        known = state.get(membership_key(one))
        if one == node.ledger.own_id or not _index_of(node, federation, one):
            raise CannotJoin(f"{address(one)} is no other member of this federation: name members (learningchain fed members)")
        if not isinstance(known, Member) or not known.verifier or not known.box_key:
            raise CannotJoin(f"{address(one)} has no verifier flag, or no box key: shares go to accounts that validators know")
    await _wish(node, VaultWish(federation, on, list(dict.fromkeys(holders))))


def named_holders(node: NodeService, federation: bytes) -> list[bytes]:
    """Whom the owner named for its vault, as far as this node knows."""
    kept = node.work.books.get(VAULTS)
    wanted = read(VaultBook, kept).own.wanted if kept is not None else []
    return next((one.holders for one in wanted if one.federation == federation), [])


async def recover(node: NodeService, federation: bytes, data: str, terms: JoinTerms) -> bytes:
    """A node of this account was lost: this one trains in its place, and opens the vault that the ledger names, where it names one.
    The transaction that says that the data are others than before; empty where they are the same. `data` may be empty where the
    federation has ended: then its vault alone comes back, and no program runs. Raises CannotJoin, InvalidTx, SignerUnavailable."""
    at, member = look(node.ledger.state, federation), node.ledger.state.get(member_key(federation, node.ledger.own_id))
    if at is None or not isinstance(member, FederationMember) or not member.index:
        raise CannotJoin("this account is no member of such a federation on the ledger: join it (learningchain fed join)")
    digest, ended = member.digest, at.state == FederationState.END
    if not ended and member.state == MemberState.GONE:
        raise CannotJoin("this account left the federation, or was removed: join it again (learningchain fed join)")
    if not ended and not data:
        raise CannotJoin("name the data that it is to train on (learningchain data add, then learningchain data list)")
    own = await own_data(node, data) if data else None
    if own is not None and ended:
        _require_allowed(node, at)  # it would measure the final model on them
    elif own is not None:
        digest = published_digest(federation, own.digest)
        if check_join(node, federation, own).has_cells:
            await _use(node, own, federation, again=digest == member.digest)
    await _wish(node, VaultWish(federation, True, named_holders(node, federation)))
    await _wish(node, TrainWish(federation, data, terms.min_vetted))
    return b"" if digest == member.digest else await node.ledger.submit([NewData(federation, digest, terms.n)])


def _index_of(node: NodeService, federation: bytes, account: bytes) -> int:
    found = node.ledger.state.get(member_key(federation, account))
    return found.index if isinstance(found, FederationMember) else 0


async def look_after(
    node: NodeService, federation: bytes, initial: Path, *, hidden_key: bytes = b"", data: str = "", auto: bool = True
) -> None:
    """The node serves the initial model, opens the hidden file to the panel, trains the reference on own data (`data`), and with
    `auto` starts rounds by itself. `initial` has to stay where it is. May be said before the federation is on the ledger, and
    again. Raises CannotJoin."""
    if data:
        await own_data(node, data)
    await _wish(node, SponsorWish(federation, str(initial), hidden_key, data, auto))


def _live(node: NodeService, federation: bytes) -> FederationLook:
    at = look(node.ledger.state, federation)
    if at is None or at.state == FederationState.END:
        raise CannotJoin("there is no such federation on the ledger, or it has ended")
    return at


async def _wish(node: NodeService, wish: Wish) -> None:
    """Raises CannotJoin where nobody here would carry it out; who wants to stop is not held."""
    if (missing := numpy_missing()) and not isinstance(wish, StopWish):
        raise CannotJoin(missing)
    await node.work.stores.secrets.keep(of_wish(wish, secrets.token_bytes(16)))
