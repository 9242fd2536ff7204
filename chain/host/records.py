"""The records that every network has, whatever its contracts: accounts, escrows, deadlines, what is parked, and the chain's own.

State keys are `<prefix>/<rest>`; every prefix has one record type. `a/`, `e/`, `d/`, `dh/`, `p/` and those that begin with `g` are
these.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.host.events import Data, Datum, Form
from learningchain.chain.host.listing import ALL, Listing
from learningchain.chain.params import LANES, MAX_VALIDATORS, Params
from learningchain.chain.types import AccountId, Hash, Height, PublicKey, Uint, ValidatorSet

ACTIVE, SUSPENDED, BANNED = 0, 1, 2


class Account(Wire, frozen=True):
    """An identity on the ledger. `key` is its current public key, `sequences` the next sequence of each lane, `arrival` when
    it owes no bandwidth any more, in microseconds of the chain clock (`chain.bandwidth`)."""

    key: PublicKey
    status: Annotated[int, Meta(ge=ACTIVE, le=BANNED)]
    balance: Uint
    frozen: Uint
    sequences: Annotated[list[Uint], Meta(min_length=LANES, max_length=LANES)]
    arrival: Uint


class GenesisAccount(Wire, frozen=True):
    """An account that a network starts with."""

    key: PublicKey
    credits: Uint
    validator: bool
    verifier: bool


class Escrow(Wire, frozen=True):
    amount: Uint


class Due(Wire, frozen=True):
    """A deadline of a contract; the key carries the account that it counts for, time, contract and reference."""

    contract: Uint
    ref: Annotated[bytes, Meta(max_length=64)]


MAX_REASON = 32
FAILED, NO_HANDLER = "failed", "no handler"
"""LC-BLK-20: why a reference is parked. Names of faults stand in the log alone: another program has others."""
MAX_FAULT_TEXT = 4_000
"""Characters kept of a fault: where it happened stands at the end."""
MAX_HELD = 64
"""Deadlines kept of a parked reference: many more than any contract sets for one."""
Words = Annotated[list[AccountId], Meta(max_length=MAX_VALIDATORS)]


class HeldDue(Wire, frozen=True):
    """A deadline that came while its reference was parked, and the one that parked it."""

    account: AccountId
    time: Uint


class Parked(Wire, frozen=True):
    """A reference whose handler failed: at which height, why (LC-BLK-20), what it waits for, who would release it how."""

    height: Height
    reason: Annotated[str, Meta(max_length=MAX_REASON)]
    held: Annotated[list[HeldDue], Meta(max_length=MAX_HELD)]
    retry: Words
    give_back: Words


class ChainRecord(Wire, frozen=True):
    """The block that the state stands after. `clock` is the chain clock."""

    chain_id: Hash
    height: Height
    time: Uint
    clock: Uint
    beacon: Hash


class Supply(Wire, frozen=True):
    minted: Uint
    burned: Uint


class Validators(Wire, frozen=True):
    """The set that signs from height `since` on."""

    since: Height
    members: ValidatorSet


class BeaconCommitment(Wire, frozen=True):
    """A validator's commitment to its next beacon secret, made in its block at `height`."""

    height: Height
    commitment: Hash


class KeyOwner(Wire, frozen=True):
    """Whose key this is, or was: an account's second key or a later one, since this height. A key belongs to one id for ever."""

    account: AccountId
    since: Height


class BurnedSince(Wire, frozen=True):
    """What was burned because the account that should have got it was banned. It is given back where the ban is lifted."""

    amount: Uint


class History(Wire, frozen=True):
    """Heights at which the validator set changed, newest last: evidence is judged by the set of its height."""

    sets: Annotated[list[Validators], Meta(max_length=64)]


class ClockMark(Wire, frozen=True):
    """The chain clock of the block of a height."""

    height: Uint
    clock: Uint


class ClockMarks(Wire, frozen=True):
    """Of some blocks, oldest first: an age is counted in time as well as in blocks (LC-BLK-41)."""

    marks: Annotated[list[ClockMark], Meta(max_length=32)]


MAX_PARAM_CHANGES = 256
"""Changes of one contract's parameters before which values are kept: what was posted before older ones goes on by the oldest."""
MAX_PARAM_VALUES = 64


class ParamValues(Wire, frozen=True):
    """Parameters of a contract, 0 for those of the ledger, in the order of their record."""

    contract: Annotated[int, Meta(ge=0, le=255)]
    values: Annotated[list[Uint], Meta(max_length=MAX_PARAM_VALUES)]


class PendingParams(Wire, frozen=True):
    """What holds from the next block on, by contract."""

    sections: Annotated[list[ParamValues], Meta(max_length=256)]


class ParamHistory(Wire, frozen=True):
    """Chain clocks of the blocks after which a contract's parameters changed, oldest first."""

    ends: Annotated[list[Uint], Meta(max_length=MAX_PARAM_CHANGES)]


class NextProtocol(Wire, frozen=True):
    """The version of the protocol from block `height` on."""

    version: Uint
    height: Height


class Protocol(Wire, frozen=True):
    """The version of the next block, and the one that was decided to follow it. Without a record it is version 1."""

    version: Uint
    following: Annotated[list[NextProtocol], Meta(max_length=1)]


FIRST_PROTOCOL = Protocol(1, [])
K_CHAIN, K_SUPPLY, K_VALIDATORS, K_NEXT_VALIDATORS, K_PARAMS, K_HISTORY = b"g/", b"gs/", b"gv/", b"gn/", b"gp/", b"gh/"
K_PENDING_PARAMS, K_PROTOCOL, K_CLOCK_MARKS = b"gq/", b"gu/", b"gt/"
BASE_STATE: dict[bytes, type] = {
    b"a/": Account,
    b"e/": Escrow,
    b"d/": Due,
    b"dh/": Due,
    b"p/": Parked,
    K_CHAIN: ChainRecord,
    K_SUPPLY: Supply,
    K_VALIDATORS: Validators,
    K_NEXT_VALIDATORS: Validators,
    K_PARAMS: Params,
    K_HISTORY: History,
    b"gb/": BeaconCommitment,
    b"gk/": KeyOwner,
    b"gz/": BurnedSince,
    K_PENDING_PARAMS: PendingParams,
    b"gw/": ParamHistory,
    b"gx/": ParamValues,
    K_PROTOCOL: Protocol,
    K_CLOCK_MARKS: ClockMarks,
}


DUE_WORK = 32
"""A message that sets a deadline is so much work at least (LC-BLK-14): max_due follows from the work of a block."""

BASE_LISTED: dict[bytes, Listing] = {b"d/": ALL, b"dh/": ALL, b"p/": ALL}
BASE_REASONS: dict[str, str] = {
    "block reward": "the proposer of a block is paid what genesis sets (LC-BLK-13)",
    "frozen": "free credits are out of reach while a case against the account is open (LC-MEM-4)",
    "returned": "the case was lifted: what was frozen is free again (LC-MEM-8)",
    "ban": "the account was banned, and what it held is burned (LC-MEM-9)",
}
"""For what the ledger itself moves credits, in words."""
BASE_EVENTS: dict[str, Data] = {
    "parked": (Datum("contract", Form.CONTRACT), Datum("fault", Form.TEXT)),
    "released": (Datum("contract", Form.CONTRACT), Datum("word", Form.TEXT)),
}


def params_key(contract: int) -> bytes:
    """Where the parameters of a contract are kept: one record under a prefix of its own."""
    return b"gp%d/" % contract


def param_history_key(contract: int) -> bytes:
    return b"gw/" + bytes((contract,))


def past_params_key(contract: int, end: int) -> bytes:
    """What a contract's parameters were up to the block of this chain clock."""
    return b"gx/" + bytes((contract,)) + end.to_bytes(8, "big")


def account_key(identity: bytes) -> bytes:
    return b"a/" + identity


def key_owner_key(key: bytes) -> bytes:
    return b"gk/" + key


def burned_since_key(identity: bytes) -> bytes:
    return b"gz/" + identity


def escrow_key(ref: bytes) -> bytes:
    return b"e/" + ref


def due_key(account: bytes, at: int, contract: int, ref: bytes) -> bytes:
    """`account` (20 bytes) is whose deadlines this one takes the place of."""
    return b"d/" + account + at.to_bytes(8, "big") + bytes((contract,)) + ref


def split_due(key: bytes) -> tuple[bytes, int, int, bytes]:
    """(account, time, contract, ref) of a deadline's key."""
    return key[2:22], int.from_bytes(key[22:30], "big"), key[30], key[31:]


def height_due_key(height: int, account: bytes, at: int, contract: int, ref: bytes) -> bytes:
    """LC-BLK-33: of a deadline that waits for a height: what its ordinary key will be, behind the height."""
    return b"dh/" + height.to_bytes(8, "big") + due_key(account, at, contract, ref)[2:]


def split_height_due(key: bytes) -> tuple[int, bytes]:
    """(height, key of the ordinary deadline that it becomes)."""
    return int.from_bytes(key[3:11], "big"), b"d/" + key[11:]


def fault_of(ref: bytes, height: int) -> str:
    """How the text of a fault begins that parked `ref` in the block of a height."""
    return f"parked {ref.hex()} in block {height}: "


def parked_key(contract: int, ref: bytes) -> bytes:
    return b"p/" + bytes((contract,)) + ref
