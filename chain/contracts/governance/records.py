"""What the state keeps of proposals."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.governance.messages import MAX_OPEN, Action
from learningchain.chain.host import Reader
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.chain.tags import Tag
from learningchain.chain.types import AccountId, Uint

NUMBER = 6
MOST = MAX_OPEN * 4 * MAX_VALIDATORS
"""Proposals that are listed: those of who left the set stay until they end."""
_PROPOSAL = Tag("lc/open-proposal", "proposals' ids")
Voters = Annotated[list[AccountId], Meta(max_length=MAX_VALIDATORS)]


class OpenProposal(Wire, frozen=True):
    """Since when and until when it is open (chain clock), and the last words of the validators, each list ascending by id.

    `turn`: where it is decided and waits because the set changed in that block, the time of the deadline that wakes it; else 0.
    """

    proposer: AccountId
    action: Action
    since: Uint
    expires: Uint
    yes: Voters
    no: Voters
    turn: Uint


class OpenCount(Wire, frozen=True):
    """How many proposals of an account are open."""

    count: Annotated[int, Meta(ge=1, le=MAX_OPEN)]


def proposal_id(tx: bytes, op_index: int) -> bytes:
    """LC-GOV-2: by its message: the transaction, and which one of it."""
    return _PROPOSAL.hash(tx, bytes((op_index,)))


def proposal_key(proposal: bytes) -> bytes:
    return b"op/" + proposal


def count_key(proposer: bytes) -> bytes:
    return b"oc/" + proposer


# --- reading -------------------------------------------------------------------------------------------------------------------


def proposals(reader: Reader) -> list[tuple[bytes, OpenProposal]]:
    """(id, record) of the open ones, the one that expires first comes first."""
    prefix = proposal_key(b"")
    return sorted(
        ((key[len(prefix) :], record) for key, record in reader.scan(prefix, MOST)), key=lambda one: (one[1].expires, one[0])
    )


def proposal(reader: Reader, identity: bytes) -> OpenProposal | None:
    record = reader.get(proposal_key(identity))
    return record if isinstance(record, OpenProposal) else None
