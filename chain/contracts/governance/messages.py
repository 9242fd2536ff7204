"""What governance takes: messages, what they can ask for, and the codes of their refusals."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.types import AccountId, Hash, Height, PublicKey, Uint

MAX_OPEN = 8
"""Open proposals of one validator."""
MAX_VALUES = 16
"""Parameters that one proposal changes."""


class GovernanceCode(IntEnum):
    NOT_A_VALIDATOR = 600
    NO_PROPOSAL = 601
    TOO_MANY_PROPOSALS = 602
    BAD_EXPIRY = 603
    SAME_VOTE = 604
    NOT_THE_PROPOSER = 605
    DECIDED = 606
    NOTHING_TO_CHANGE = 607
    LAST_VALIDATOR = 608
    TOO_MANY_VALIDATORS = 609
    NOT_ELIGIBLE = 610
    UNKNOWN_PARAMETER = 611
    FIXED_PARAMETER = 612
    OUT_OF_BOUNDS = 613
    PARAMETERS_CLASH = 614
    BAD_UPGRADE = 615
    IS_A_VALIDATOR = 616


# --- actions: what a proposal can ask for -------------------------------------------------------------------------------------


class Admit(Wire, frozen=True, tag=1):
    """LC-GOV-10: whoever has this key becomes a member with a root of its own (LC-MEM-24)."""

    key: PublicKey


class Remove(Wire, frozen=True, tag=2):
    """LC-GOV-10: an account is no member any more (LC-MEM-26)."""

    account: AccountId


class SetVerifier(Wire, frozen=True, tag=3):
    """LC-GOV-10: a member gets the verifier flag, or loses it (LC-MEM-28)."""

    account: AccountId
    on: bool


class Ban(Wire, frozen=True, tag=4):
    """LC-GOV-10: a member is banned, and what it holds burns (LC-MEM-30). A validator leaves the set first."""

    account: AccountId


class LiftBan(Wire, frozen=True, tag=5):
    """LC-GOV-10: a ban ends, and what it burned is minted back (LC-MEM-31)."""

    account: AccountId


class AddValidator(Wire, frozen=True, tag=6):
    """LC-GOV-6: a member joins the validator set."""

    account: AccountId


class RemoveValidator(Wire, frozen=True, tag=7):
    """LC-GOV-7: a validator leaves the set."""

    account: AccountId


class ParamValue(Wire, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Uint


class SetParameters(Wire, frozen=True, tag=8):
    """LC-GOV-8: parameters of a contract (0: of the ledger) get other values. Names ascend."""

    contract: Annotated[int, Meta(ge=0, le=255)]
    values: Annotated[list[ParamValue], Meta(min_length=1, max_length=MAX_VALUES)]


class Upgrade(Wire, frozen=True, tag=9):
    """LC-GOV-9: from block `height` on the protocol has this version. The present version takes back what was decided before."""

    version: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    height: Height


Action = Admit | Remove | SetVerifier | Ban | LiftBan | AddValidator | RemoveValidator | SetParameters | Upgrade


class ActionKind(IntEnum):
    """The tags of actions."""

    ADMIT = 1
    REMOVE = 2
    SET_VERIFIER = 3
    BAN = 4
    LIFT_BAN = 5
    ADD_VALIDATOR = 6
    REMOVE_VALIDATOR = 7
    SET_PARAMETERS = 8
    UPGRADE = 9


def kind_of(action: Action) -> ActionKind:
    tag = action.__struct_config__.tag
    return ActionKind(tag if isinstance(tag, int) else 0)


# --- messages -----------------------------------------------------------------------------------------------------------------


class Propose(Wire, frozen=True, tag=192):
    """LC-GOV-2: ask the validators for something, until `expires` (chain clock). It is the sender's yes as well."""

    action: Action
    expires: Uint


class VoteProposal(Wire, frozen=True, tag=193):
    """LC-GOV-3: a validator's word on an open proposal; a later one replaces it."""

    proposal: Hash
    yes: bool


class Withdraw(Wire, frozen=True, tag=194):
    """LC-GOV-5: its proposer takes a proposal back."""

    proposal: Hash
