"""What contracts may do to the ledger: the host interface. Contracts share this and nothing else.

Credits are never created or lost here but by `mint` and `burn*`: every operation moves an amount between an account's free
credits, its frozen credits and named escrows, and records the move as an event. A handler refuses by raising `Reject`; whatever
it did before is then dropped. A deadline handler must not raise.

State keys are `<prefix>/<rest>`; every prefix has one record type. This module owns `a/`, `e/`, `d/` and `g/`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta

from chain.codec import Wire, decode, encode
from chain.crypto import ZERO_HASH, address, sha256
from chain.errors import OWN_FAULTS, BrokenInvariant, Code, Reject
from chain.params import LANES, MAX_INT, MAX_VALIDATORS, Params
from chain.types import (
    AccountId,
    Event,
    Hash,
    Height,
    Moved,
    Noted,
    PublicKey,
    Receipt,
    Uint,
    Validator,
    ValidatorSet,
    format_credits,
)

T = TypeVar("T")

# --- records ------------------------------------------------------------------------------------------------------------------

ACTIVE, SUSPENDED, BANNED = 0, 1, 2


class Account(Wire, frozen=True):
    """An identity on the ledger. `key` is its current public key, `sequences` the next sequence of each lane."""

    key: PublicKey
    status: Annotated[int, Meta(ge=ACTIVE, le=BANNED)]
    balance: Uint
    frozen: Uint
    sequences: Annotated[list[Uint], Meta(min_length=LANES, max_length=LANES)]


class Escrow(Wire, frozen=True):
    amount: Uint


class Due(Wire, frozen=True):
    """A deadline of a contract; the key carries the account that it counts for, time, contract and reference."""

    contract: Uint
    ref: Annotated[bytes, Meta(max_length=64)]


MAX_REASON = 32
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
    """A reference whose handler failed: at which height, with which kind of fault, what it waits for, who would release it how."""

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


class History(Wire, frozen=True):
    """Heights at which the validator set changed, newest last: evidence is judged by the set of its height."""

    sets: Annotated[list[Validators], Meta(max_length=64)]


K_CHAIN, K_SUPPLY, K_VALIDATORS, K_NEXT_VALIDATORS, K_PARAMS, K_HISTORY = b"g/", b"gs/", b"gv/", b"gn/", b"gp/", b"gh/"
BASE_STATE: dict[bytes, type] = {
    b"a/": Account,
    b"e/": Escrow,
    b"d/": Due,
    b"p/": Parked,
    K_CHAIN: ChainRecord,
    K_SUPPLY: Supply,
    K_VALIDATORS: Validators,
    K_NEXT_VALIDATORS: Validators,
    K_PARAMS: Params,
    K_HISTORY: History,
    b"gb/": BeaconCommitment,
}


DUE_WORK = 32
"""A message that sets a deadline is so much work at least (LC-BLK-14): max_due follows from the work of a block."""


def account_key(identity: bytes) -> bytes:
    return b"a/" + identity


def escrow_key(ref: bytes) -> bytes:
    return b"e/" + ref


def due_key(account: bytes, at: int, contract: int, ref: bytes) -> bytes:
    """`account` (20 bytes) is whose deadlines this one takes the place of."""
    return b"d/" + account + at.to_bytes(8, "big") + bytes((contract,)) + ref


def split_due(key: bytes) -> tuple[bytes, int, int, bytes]:
    """(account, time, contract, ref) of a deadline's key."""
    return key[2:22], int.from_bytes(key[22:30], "big"), key[30], key[31:]


def fault_of(ref: bytes, height: int) -> str:
    """How the text of a fault begins that parked `ref` in the block of a height."""
    return f"parked {ref.hex()} in block {height}: "


def parked_key(contract: int, ref: bytes) -> bytes:
    return b"p/" + bytes((contract,)) + ref


# --- what a contract declares -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MessageSpec:
    """`urgent` messages have a deadline: half of each block is reserved for them. `work`: what executing one takes, in transfers of
    a batch. `subject`: the reference that a message is about, where there is one: while that is parked, the message is refused."""

    handler: Callable[[Host, bytes, Any], None]
    urgent: bool = False
    work: int = 1
    subject: Callable[[Any], bytes] | None = None


def audit_events(events: list[Event]) -> None:
    """Raises where a receipt could not carry them: they would be in no receipt that others can read."""
    decode(Receipt, encode(Receipt(ZERO_HASH, Code.OK, events)), MAX_INT)


@dataclass(frozen=True)
class Contract:
    """A contract: its number gives the message tags [32*number, 32*number+31] and receipt codes [100*number, 100*number+99]."""

    name: str
    number: int
    messages: Mapping[type, MessageSpec]
    codes: type[IntEnum]
    state: Mapping[bytes, type]
    on_due: Callable[[Host, bytes, int], None] | None = None
    """Called with the reference and the time for which the deadline was set."""
    on_case_closed: Callable[[Host, bytes, bytes, bool], None] | None = None
    """Called when a suspension ends: (host, reference given to `suspend`, account, whether it became a ban)."""
    on_give_back: Callable[[Host, bytes], None] | None = None
    """Ends a reference that was parked: every escrow goes back to whom it came from."""


class Reader(Protocol):
    """Read access to the state: what views take."""

    def get(self, key: bytes) -> Any | None: ...

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        """At most `limit` (key, record) pairs in byte order of keys. Only `d/`, `m/`, `j/` and `p/` prefixes can be scanned."""
        ...


class Store(Reader, Protocol):
    def put(self, key: bytes, record: Any) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def begin(self) -> None:
        """Open a transaction, inside the open one where there is one; `keep` or `drop` ends it."""
        ...

    def keep(self) -> None: ...

    def drop(self) -> None: ...

    def audit(self) -> None:
        """Whether what the open transaction wrote can stand: each record is what its type allows, and credits balance.

        Raises `BrokenInvariant`, `SupplyBroken`."""
        ...


class Membership(Protocol):
    """What the membership contract does for the others."""

    def strike(self, host: Host, identity: bytes, reason: str, ref: bytes) -> None: ...

    def live_strikes(self, host: Host, identity: bytes) -> int: ...

    def suspend(self, host: Host, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None: ...

    def corroborate(self, host: Host, identity: bytes, ref: bytes) -> None: ...

    def verifiers(self, host: Host, since_before: int) -> list[bytes]: ...

    def record_draw(self, host: Host, identity: bytes, good: bool) -> None: ...


# --- the host -----------------------------------------------------------------------------------------------------------------


@dataclass
class Host:
    """The ledger as one handler sees it, inside one block. Times are milliseconds of the chain clock."""

    store: Store
    membership: Membership
    hooks: Mapping[int, Contract]
    """Every contract by number."""
    params: Params
    chain_id: bytes
    height: int
    time: int
    clock: int
    beacon: bytes
    """Beacon after this block's reveal: unknown to anybody before the block."""
    parent_beacon: bytes
    tx_id: bytes = ZERO_HASH
    op_index: int = 0
    events: list[Event] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What failed behind each `parked`, as this program saw it: for whoever mends it, never for the state."""

    # records

    def get(self, key: bytes, kind: type[T]) -> T | None:
        record = self.store.get(key)
        if record is not None and type(record) is not kind:
            raise BrokenInvariant(f"state key {key.hex()} holds {type(record).__name__}, not {kind.__name__}")
        return record

    def put(self, key: bytes, record: Wire) -> None:
        self.store.put(key, record)

    def delete(self, key: bytes) -> None:
        self.store.delete(key)

    # context

    @property
    def position(self) -> bytes:
        """Chain position of the running message, as sortable bytes.

        Within a block the order is drawn by the parent's beacon, so that no proposer puts itself first.
        """
        drawn = sha256(self.parent_beacon + self.tx_id)
        return self.height.to_bytes(8, "big") + drawn + bytes((self.op_index,))

    def note(self, topic: str, ref: bytes, *data: int | str | bytes) -> None:
        self.events.append(Noted(topic, ref, list(data)))

    # accounts and credits

    def account(self, identity: bytes) -> Account | None:
        account: Account | None = self.store.get(b"a/" + identity)
        return account

    def known_account(self, identity: bytes) -> Account:
        account = self.account(identity)
        if account is None:
            raise Reject(Code.UNKNOWN_ACCOUNT, f"{address(identity)} has no account on this network")
        return account

    def is_active(self, identity: bytes) -> bool:
        account = self.account(identity)
        return account is not None and account.status == ACTIVE

    def free(self, identity: bytes) -> int:
        account = self.account(identity)
        return account.balance if account else 0

    def _set(self, identity: bytes, account: Account, *, balance: int | None = None, frozen: int | None = None) -> None:
        if balance is None:
            balance = account.balance
        if frozen is None:
            frozen = account.frozen
        if not 0 <= balance <= MAX_INT or not 0 <= frozen <= MAX_INT:
            raise BrokenInvariant(f"{address(identity)} would hold {balance} free and {frozen} frozen")
        self.store.put(b"a/" + identity, Account(account.key, account.status, balance, frozen, account.sequences))

    def _debit(self, identity: bytes, amount: int) -> None:
        account = self.known_account(identity)
        if amount < 0:
            raise BrokenInvariant("a negative amount")
        if account.balance < amount:
            raise Reject(
                Code.INSUFFICIENT_CREDITS, f"needs {format_credits(amount)} credits, {format_credits(account.balance)} are free"
            )
        left = account.balance - amount
        self.store.put(b"a/" + identity, Account(account.key, account.status, left, account.frozen, account.sequences))

    def _credit(self, identity: bytes, amount: int, reason: str, source: bytes, ref: bytes) -> None:
        """Free credits for an active account; frozen ones for a suspended account; a banned one's are burned."""
        account = self.known_account(identity)
        if account.status == BANNED:
            self._count(burned=amount)
            self.events.append(Moved(f"{reason}:banned", source, b"", amount, ref))
            return
        if account.status == SUSPENDED:
            self._set(identity, account, frozen=account.frozen + amount)
        else:
            self._set(identity, account, balance=account.balance + amount)
        self.events.append(Moved(reason, source, identity, amount, ref))

    def move(self, source: bytes, target: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Free credits of one account to another. Rejects INSUFFICIENT_CREDITS, UNKNOWN_ACCOUNT."""
        self.known_account(target)
        self._debit(source, amount)
        self._credit(target, amount, reason, source, ref)

    def mint(self, target: bytes, amount: int, reason: str, ref: bytes) -> None:
        if amount == 0:
            return
        self._count(minted=amount)
        self._credit(target, amount, reason, b"", ref)

    def escrowed(self, escrow: bytes) -> int:
        record = self.get(escrow_key(escrow), Escrow)
        return record.amount if record else 0

    def lock(self, identity: bytes, escrow: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Free credits into an escrow (a reference longer than an account id). Rejects INSUFFICIENT_CREDITS."""
        if amount == 0:
            return
        self._debit(identity, amount)
        key = escrow_key(escrow)
        held = self.get(key, Escrow)
        self.store.put(key, Escrow(held.amount + amount if held else amount))
        self.events.append(Moved(reason, identity, escrow, amount, ref))

    def pay(self, escrow: bytes, identity: bytes, amount: int, reason: str, ref: bytes) -> None:
        """Out of an escrow to an account (frozen if it is suspended, burned if it is banned)."""
        if amount == 0:
            return
        self._escrow(escrow, self.escrowed(escrow) - amount)
        self._credit(identity, amount, reason, escrow, ref)

    def burn(self, escrow: bytes, amount: int, reason: str, ref: bytes) -> None:
        if amount == 0:
            return
        self._escrow(escrow, self.escrowed(escrow) - amount)
        self._count(burned=amount)
        self.events.append(Moved(reason, escrow, b"", amount, ref))

    def _escrow(self, escrow: bytes, amount: int) -> None:
        if amount < 0:
            raise BrokenInvariant(f"escrow {escrow.hex()} would hold {amount}")
        if amount == 0:
            self.delete(escrow_key(escrow))
        else:
            self.put(escrow_key(escrow), Escrow(amount))

    def _count(self, *, minted: int = 0, burned: int = 0) -> None:
        supply = self.get(K_SUPPLY, Supply)
        if supply is None:
            raise BrokenInvariant("no supply record")
        if supply.minted + minted > MAX_INT:
            raise Reject(Code.OVERFLOW, "the supply is at its limit")
        self.put(K_SUPPLY, Supply(supply.minted + minted, supply.burned + burned))

    # suspension: used by the membership contract

    def freeze(self, identity: bytes, ref: bytes) -> None:
        """All free credits become frozen, and the account suspended."""
        account = self.known_account(identity)
        if account.balance:
            self.events.append(Moved("frozen", identity, identity, account.balance, ref))
        self.put(
            account_key(identity),
            Account(account.key, SUSPENDED, 0, account.frozen + account.balance, account.sequences),
        )

    def thaw(self, identity: bytes, ref: bytes) -> None:
        account = self.known_account(identity)
        if account.frozen:
            self.events.append(Moved("returned", identity, identity, account.frozen, ref))
        self.put(account_key(identity), Account(account.key, ACTIVE, account.balance + account.frozen, 0, account.sequences))

    def ban(self, identity: bytes, ref: bytes) -> None:
        """The account is banned for good and what it holds, frozen or free, is burned."""
        account = self.known_account(identity)
        lost = account.frozen + account.balance
        if lost:
            self._count(burned=lost)
            self.events.append(Moved("ban", identity, b"", lost, ref))
        self.put(account_key(identity), Account(account.key, BANNED, 0, 0, account.sequences))

    # deadlines

    def schedule(self, at: int, contract: int, ref: bytes, account: bytes) -> None:
        """Have `contract`'s `on_due` called once the chain clock reaches `at`.

        It counts for `account`, who caused it and shares a block's deadlines with the others (LC-BLK-14).
        """
        self.put(due_key(account, at, contract, ref), Due(contract, ref))

    def cancel(self, at: int, contract: int, ref: bytes, account: bytes) -> None:
        self.delete(due_key(account, at, contract, ref))

    def close_case(self, identity: bytes, refs: list[tuple[int, bytes]], banned: bool) -> None:
        """LC-BLK-21: tell the contracts that asked for a suspension how it ended.

        One that fails at it parks its own reference, not the case; one whose reference is parked is not told.
        """
        for number, ref in refs:
            if self.parked(number, ref) is None:
                self.fenced(number, ref, partial(self._tell, number, ref, identity, banned), [])

    def _tell(self, contract: int, ref: bytes, identity: bytes, banned: bool) -> None:
        hook = self.hooks[contract].on_case_closed
        if hook is not None:
            hook(self, ref, identity, banned)

    # the fence

    def parked(self, contract: int, ref: bytes) -> Parked | None:
        return self.get(parked_key(contract, ref), Parked)

    def run_due(self, account: bytes, at: int, contract: int, ref: bytes) -> None:
        """LC-BLK-20: a deadline has come. It is no longer set; where it fails, or its reference is parked, it is kept with that."""
        self.delete(due_key(account, at, contract, ref))
        held = HeldDue(account, at)
        known = self.parked(contract, ref)
        if known is not None:
            self._park(contract, ref, Parked(known.height, known.reason, [*known.held, held], known.retry, known.give_back))
        else:
            self.fenced(contract, ref, lambda: self._ring(contract, ref, at), [held])

    def _ring(self, contract: int, ref: bytes, at: int) -> None:
        handler = self.hooks[contract].on_due if contract in self.hooks else None
        if handler is None:
            raise BrokenInvariant(f"contract {contract} has a deadline and no handler for it")
        handler(self, ref, at)

    def fenced(self, contract: int, ref: bytes, action: Callable[[], None], held: list[HeldDue]) -> None:
        """Run `action` in a transaction of its own. Where it fails, all it did is undone and `ref` is parked (LC-BLK-20).

        Raises `OWN_FAULTS`: they are not the reference's (LC-BLK-22).
        """
        before = len(self.events)
        self.store.begin()
        try:
            action()
            self.store.audit()
            audit_events(self.events[before:])
        except OWN_FAULTS:
            self.store.drop()
            raise
        except Exception as fault:
            self.store.drop()
            del self.events[before:]
            reason = type(fault).__name__[:MAX_REASON]
            self._park(contract, ref, Parked(self.height, reason, held, [], []))
            self.note("parked", ref, contract, reason)
            self.faults.append(fault_of(ref, self.height) + "".join(traceback.format_exception(fault))[-MAX_FAULT_TEXT:])
        else:
            self.store.keep()

    def release(self, contract: int, ref: bytes, *, give_back: bool) -> None:
        """LC-MEM-13: a parked reference goes on with the deadlines that it missed, or ends."""
        known = self.parked(contract, ref)
        if known is None:
            raise BrokenInvariant(f"{ref.hex()} of contract {contract} is not parked")
        self.delete(parked_key(contract, ref))
        self.note("released", ref, contract, "give back" if give_back else "retry")
        if give_back:
            end = self.hooks[contract].on_give_back
            if end is None:
                raise BrokenInvariant(f"contract {contract} holds nothing to give back")
            end(self, ref)
            return
        for held in known.held:
            self.schedule(held.time, contract, ref, held.account)

    def _park(self, contract: int, ref: bytes, record: Parked) -> None:
        held = sorted(set(record.held), key=lambda one: (one.time, one.account))[:MAX_HELD]
        self.put(parked_key(contract, ref), Parked(record.height, record.reason, held, record.retry, record.give_back))

    # validators

    def change_validators(self, members: list[Validator]) -> None:
        """The set from the next height on. One change per block: a second one in the same block is refused."""
        history = self.get(K_HISTORY, History)
        sets = history.sets if history else []
        if sets and sets[-1].since > self.height:
            raise Reject(Code.NOT_ALLOWED, "the validator set changes once per block; try again in the next one")
        record = Validators(self.height + 1, sorted(members, key=lambda v: v.id))
        self.put(K_NEXT_VALIDATORS, record)
        self.put(K_HISTORY, History([*sets, record][-64:]))

    def validators(self) -> list[Validator]:
        """The set that signs this block."""
        record = self.get(K_VALIDATORS, Validators)
        if record is None:
            raise BrokenInvariant("no validator set")
        return record.members

    def validators_at(self, height: int) -> list[Validator] | None:
        """The set that signed `height`, or None when that is no longer kept."""
        history = self.get(K_HISTORY, History)
        for record in reversed(history.sets if history else []):
            if record.since <= height:
                return record.members
        return None
