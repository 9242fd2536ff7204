"""This node's own part in a federation, to be read: what its machines keep of it, beside what the ledger says to everybody.

Nothing here asks the network or waits. Losses on own data are the owner's alone: no route for others may give them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from learningchain.chain.codec import read
from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.contracts.federation.records import FederationMember, MemberState, member_key
from learningchain.chain.crypto import address
from learningchain.chain.losses import Measurement
from learningchain.chain.types import format_loss
from learningchain.client.contracts.federation.http.schema import (
    JoiningVerifier,
    OwnAttemptView,
    OwnLossView,
    OwnPartView,
    PreviewView,
    VaultView,
)
from learningchain.client.contracts.federation.roles.journal import JOURNAL, AttemptNote, PreviewNote, journal_in
from learningchain.client.contracts.federation.roles.looking import FederationLook, summed_in
from learningchain.client.contracts.federation.roles.making import sent_in
from learningchain.client.contracts.federation.roles.member import NO_VAULTS, VAULTS, MemberBook, MemberMachine, VaultBook
from learningchain.client.contracts.federation.roles.sponsor import SponsorBook, SponsorMachine
from learningchain.client.contracts.federation.roles.vaulting import VaultStage
from learningchain.client.contracts.federation.roles.verifiers import FEW, Deciders, deciders, inviter_of, too_few_to_draw


class Books(Protocol):
    """The work of a node (`client.api.whole_node.Work`)."""

    @property
    def books(self) -> Mapping[str, bytes]: ...


def own_view(work: Books, federation: bytes, waits: str = "") -> OwnPartView:
    """Attempts by their numbers, previews the oldest first. A federation that this node has no part in gives an empty one. `waits`:
    what the ledger says of it."""
    journal = journal_in(work.books.get(JOURNAL))
    notes = next((one for one in journal.federations if one.federation == federation), None)
    kept = work.books.get(MemberMachine.name)
    joined = [] if kept is None else [one for one in read(MemberBook, kept).joined if one.federation == federation]
    kept = work.books.get(SponsorMachine.name)
    opened = [] if kept is None else [one for one in read(SponsorBook, kept).opened if one.federation == federation]
    attempts = [_attempt(one) for one in notes.notes] if notes is not None else []
    return {
        "federation": federation.hex(),
        "trains": bool(joined),
        "data": joined[0].data if joined else "",
        "min_vetted": joined[0].min_vetted if joined else 0,
        "waits": waits if joined else "",
        "sponsors": bool(opened),
        "auto": any(one.auto for one in opened),
        "attempts": attempts,
        "bytes_out": sum(one["bytes_out"] for one in attempts),
        "bytes_in": sum(one["bytes_in"] for one in attempts),
        "final": _loss(notes.final) if notes is not None else None,
        "previews": [_preview(one) for one in journal.previews if one.federation == federation],
        "vault": _vault(work.books.get(VAULTS), federation),
    }


def sent_elsewhere(work: Books, at: FederationLook, account: bytes) -> bytes | None:
    """Return another federation in which this node sent an update on the present base, by its book and by the ledger."""
    kept = work.books.get(MemberMachine.name)
    by_book = None if kept is None else sent_in(read(MemberBook, kept).updates, at.now.base, at.id)
    return by_book or summed_in(at, account)


def drawn_of(at: FederationLook, clock: int, least: int) -> dict[str, Any]:
    """Of whom those are drawn who add up and measure: the fields of a `JoiningView`, and what its owner should mind (`minds`)."""
    drawn = deciders(at, clock)
    adds = len(drawn.aggregators)
    few = (
        adds < FEW and f"only {adds} verifiers can be drawn to add up, and two of the three drawn open an update: see who they are"
    )
    shown = {one for some in drawn if len(some) < FEW for one in some}
    return {
        "aggregators": adds,
        "panel": len(drawn.panel),
        "verifiers": [_verifier(at, drawn, one) for one in sorted(shown)],
        "min_verifiers": least,
        "minds": [text for text in (few, too_few_to_draw(adds, least)) if text],
    }


def _verifier(at: FederationLook, drawn: Deciders, account: bytes) -> JoiningVerifier:
    inviter, joined = inviter_of(at, account), at.reader.get(member_key(at.id, account))
    return {
        "account": address(account),
        "inviter": address(inviter) if inviter else None,
        "aggregates": account in drawn.aggregators,
        "measures": account in drawn.panel,
        "member": isinstance(joined, FederationMember) and joined.state != MemberState.GONE,
    }


def preview_view(work: Books, number: bytes) -> PreviewView | None:
    found = next((one for one in journal_in(work.books.get(JOURNAL)).previews if one.number == number), None)
    return None if found is None else _preview(found)


def _vault(kept: bytes | None, federation: bytes) -> VaultView:
    book = NO_VAULTS if kept is None else read(VaultBook, kept)
    wanted = next((one for one in book.own.wanted if one.federation == federation), None)
    back = next((one for one in book.own.opened if one.federation == federation), None)
    stage = VaultStage(wanted.stage) if wanted is not None else VaultStage.NONE
    return {
        "on": wanted is not None,
        "holders": [address(one) for one in wanted.holders] if wanted is not None else [],
        "rounds": [one.r for one in book.own.made if one.federation == federation],
        "state": stage.name.lower() if stage is not VaultStage.NONE else "",
        "why": wanted.why if wanted is not None else "",
        "recovered": back.r if back is not None else None,
        "path": back.path if back is not None else "",
        "keeps": sum(one.federation == federation for one in book.others.held),
    }


def _attempt(note: AttemptNote) -> OwnAttemptView:
    return {
        "attempt": note.attempt,
        "round": note.r,
        "sent": note.sent,
        "code": FileCode(note.code).name if note.code else "",
        "points": note.points,
        "bytes_out": note.size * note.seats,
        "bytes_in": note.base,
        "loss": _loss(note.before),
        "why": note.why,
    }


def _loss(found: list[Measurement]) -> OwnLossView | None:
    return {"loss": format_loss(found[0].mean), "examples": found[0].count} if found else None


def _preview(note: PreviewNote) -> PreviewView:
    return {
        "number": note.number.hex(),
        "federation": note.federation.hex(),
        "data": note.data,
        "state": note.ended or "running",
        "reason": note.reason,
        "loss": _loss(note.before),
        "model_bytes": note.size,
    }
