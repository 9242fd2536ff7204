"""What only few may do: to open an account, to stop and end it, to give it another key, to change who validates, and by which
parameters and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from learningchain.chain import bandwidth
from learningchain.chain.crypto import account_id
from learningchain.chain.errors import BrokenInvariant, Code, Reject
from learningchain.chain.host.ages import first_reportable
from learningchain.chain.host.contract import Power
from learningchain.chain.host.credits import Credits
from learningchain.chain.host.parameters import changed, put_pending, values_of
from learningchain.chain.host.records import (
    ACTIVE,
    BANNED,
    FIRST_PROTOCOL,
    K_CLOCK_MARKS,
    K_HISTORY,
    K_NEXT_VALIDATORS,
    K_PROTOCOL,
    K_VALIDATORS,
    SUSPENDED,
    Account,
    ClockMarks,
    History,
    KeyOwner,
    NextProtocol,
    Protocol,
    Validators,
    account_key,
    burned_since_key,
    key_owner_key,
)
from learningchain.chain.params import LANES
from learningchain.chain.types import TransferEvent, Validator

KEPT_SETS = 64
"""Changes of the set that evidence can look back on (LC-MEM-12)."""
SETS_OF_KEYS = 48
"""LC-KEY-3: with so many within `evidence_age`, no key of a validator changes: ejections and votes have room still."""


class Powers(Credits):
    """New accounts, accounts' standing and keys, and the validator set."""

    # accounts

    def open_account(self, key: bytes) -> bytes:
        """LC-MEM-22: an account for a key that nobody has or had, without credits; its id. It may send a little at once."""
        self._need(Power.ACCOUNTS)
        if self.key_owner(key) is not None:
            raise BrokenInvariant(f"an account for a key that has one: {key.hex()}")
        identity = account_id(key)
        arrival = bandwidth.of_newcomer(self.params, self.clock)
        self.put(account_key(identity), Account(key, ACTIVE, 0, 0, [0] * LANES, arrival))
        return identity

    # standing

    def freeze(self, identity: bytes, amount: int, ref: bytes) -> int:
        """LC-MEM-4: suspend the account, if it is not yet, and freeze min(free, amount); how much that is."""
        self._need(Power.STANDING)
        account = self.known_account(identity)
        if account.status == BANNED or amount < 0:
            raise BrokenInvariant(f"freezing {amount} of an account with status {account.status}")
        taken = min(account.balance, amount)
        if taken:
            self.events.append(TransferEvent("frozen", identity, identity, taken, ref))
        self._hold(identity, account, SUSPENDED, account.balance - taken, account.frozen + taken)
        return taken

    def unfreeze(self, identity: bytes, ref: bytes) -> None:
        """The account is active again, and what was frozen is free."""
        self._need(Power.STANDING)
        account = self.known_account(identity)
        if account.frozen:
            self.events.append(TransferEvent("returned", identity, identity, account.frozen, ref))
        self._hold(identity, account, ACTIVE, account.balance + account.frozen, 0)

    def ban(self, identity: bytes, ref: bytes) -> None:
        """The account is banned for good and what it holds, frozen or free, is burned."""
        self._need(Power.STANDING)
        account = self.known_account(identity)
        lost = account.frozen + account.balance
        if lost:
            self._count(burned=lost)
            self.events.append(TransferEvent("ban", identity, b"", lost, ref))
        self._hold(identity, account, BANNED, 0, 0)

    def unban(self, identity: bytes) -> None:
        """A banned account is active again. It holds nothing: what was burned is minted back by whoever lifts the ban."""
        self._need(Power.STANDING)
        account = self.known_account(identity)
        if account.status != BANNED:
            raise BrokenInvariant(f"lifting the ban of an account with status {account.status}")
        self.delete(burned_since_key(identity))
        self._hold(identity, account, ACTIVE, 0, 0)

    # keys

    def key_owner(self, key: bytes) -> bytes | None:
        """LC-KEY-1: whose key this is or was: of its first keys an account's id tells, of the others a record. None: nobody's.

        Raises `Malformed` for what is no public key.
        """
        later = self.get(key_owner_key(key), KeyOwner)
        if later is not None:
            return later.account
        first = account_id(key)
        return first if self.account(first) is not None else None

    def change_key(self, identity: bytes, key: bytes) -> None:
        """LC-KEY-3: `key`, which was nobody's so far, is the account's from now on. All else of the account stays.

        In the validator set it is from the next height on. Rejects NOT_ALLOWED where that cannot change in this block.
        """
        self._need(Power.KEYS)
        account = self.known_account(identity)
        if self.key_owner(key) is not None:
            raise BrokenInvariant(f"the key {key.hex()} belongs to somebody already")
        following = self.following_validators()
        if any(v.id == identity for v in following):
            self._check_room_for_set()
            self._change_set([Validator(v.id, key) if v.id == identity else v for v in following])
        self.put(key_owner_key(key), KeyOwner(identity, self.height))
        kept = account.status, account.balance, account.frozen, account.sequences, account.arrival
        self.put(account_key(identity), Account(key, *kept))

    def check_share_of_sets(self, identity: bytes) -> None:
        """LC-KEY-2: of the sets that may differ by keys each validator has a share, or a few would leave the others none.

        Rejects NOT_ALLOWED where this validator has used its own.
        """
        if all(v.id != identity for v in self.following_validators()):
            return
        keys = [(record, {v.id: v.key for v in record.members}.get(identity)) for record in self._sets()]
        changed = [record for (_, old), (record, new) in pairwise(keys) if old and new and old != new]
        used = sum(map(self._is_recent, changed))
        if used >= max(1, SETS_OF_KEYS // len(self.following_validators())):
            often = f"this validator's key changed {used} times since block {self.first_reportable()}"
            text = f"{often}, and other validators need room to change theirs; try again later"
            raise Reject(Code.NOT_ALLOWED, text)

    def _is_recent(self, record: Validators) -> bool:
        """Whether evidence may still be judged by the set before this one."""
        return record.since >= self.first_reportable()

    def _check_room_for_set(self) -> None:
        """LC-KEY-3: whoever changed keys again and again would push the sets out that evidence against it is judged by."""
        recent = sum(map(self._is_recent, self._sets()))
        if recent >= SETS_OF_KEYS:
            text = f"the validator set changed {recent} times since block {self.first_reportable()}; try again later"
            raise Reject(Code.NOT_ALLOWED, text)

    # validators

    def set_is_changed(self) -> bool:
        """Whether this block changed the validator set already."""
        sets = self._sets()
        return bool(sets) and sets[-1].since > self.height

    def change_validators(self, members: list[Validator]) -> None:
        """The set from the next height on. One change per block: a second one in the same block is refused."""
        self._need(Power.VALIDATORS)
        self._change_set(members)

    def _change_set(self, members: list[Validator]) -> None:
        sets = self._sets()
        if self.set_is_changed():
            raise Reject(Code.NOT_ALLOWED, "the validator set changes once per block; try again in the next one")
        record = Validators(self.height + 1, sorted(members, key=lambda v: v.id))
        self.put(K_NEXT_VALIDATORS, record)
        self.put(K_HISTORY, History([*sets, record][-KEPT_SETS:]))

    def _sets(self) -> list[Validators]:
        history = self.get(K_HISTORY, History)
        return history.sets if history else []

    def validators(self) -> list[Validator]:
        """The set that signs this block."""
        record = self.get(K_VALIDATORS, Validators)
        if record is None:
            raise BrokenInvariant("no validator set")
        return record.members

    def following_validators(self) -> list[Validator]:
        """The set that signs the next block, as it is so far."""
        changes = self.get(K_NEXT_VALIDATORS, Validators)
        return changes.members if changes is not None else self.validators()

    def first_reportable(self) -> int:
        """LC-MEM-10: of what height, and of all above it, double signing can be reported."""
        found = self.get(K_CLOCK_MARKS, ClockMarks)
        return first_reportable(found.marks if found is not None else [], self.params, self.height, self.clock)

    def validators_at(self, height: int) -> list[Validator] | None:
        """The set that signed `height`, or None when that is no longer kept."""
        for record in reversed(self._sets()):
            if record.since <= height:
                return record.members
        return None

    # parameters and protocol

    def param_changes(self, contract: int, values: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """Name, value before and value after of those that would change (LC-GOV-8). Raises `ParamsRefused`."""
        before, after = changed(self.store, self.contracts, contract, values)
        both = zip(before.__struct_fields__, values_of(before), values_of(after), strict=True)
        return [(name, old, new) for name, old, new in both if old != new]

    def change_params(self, contract: int, values: Mapping[str, int]) -> None:
        """LC-BLK-35: from the next block on; 0 for those of the ledger. Raises `ParamsRefused`."""
        self._need(Power.PARAMS)
        put_pending(self.store, contract, changed(self.store, self.contracts, contract, values)[1])

    def protocol(self) -> Protocol:
        """The version of the protocol that this block has, and the one that follows."""
        return self.get(K_PROTOCOL, Protocol) or FIRST_PROTOCOL

    def change_protocol(self, version: int, height: int) -> None:
        """LC-BLK-36: another version from a height on, in the place of what was decided before; the present one: none follows."""
        self._need(Power.PARAMS)
        now = self.protocol().version
        if height <= self.height:
            raise BrokenInvariant(f"a version for block {height} is decided in block {self.height}")
        self.put(K_PROTOCOL, Protocol(now, [NextProtocol(version, height)] if version != now else []))
