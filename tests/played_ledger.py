"""The real contracts under the blocks of a scenario: the deadlines that are due, then the messages, on a store in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts import host_of, membership
from learningchain.chain.contracts.membership import records as kept
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.host import (
    ACTIVE,
    K_SUPPLY,
    K_VALIDATORS,
    STANDING,
    SUSPENDED,
    Account,
    ChainRecord,
    Escrow,
    Host,
    Supply,
    Validators,
    account_key,
    params_key,
    split_due,
    split_height_due,
)
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.ledger.due import DeadlineBudget, DeadlineQueue
from learningchain.chain.params import MAX_INT
from learningchain.chain.params import Params as CoreParams
from learningchain.chain.types import Validator
from tests.unit.job_kit import CHAIN_ID, MemoryStore

CORE = CoreParams()
AMPLE = Capacity(Arch.AMD64, 64_000, 2**20, 2**40, 2**40, 3_600)


class EscrowStore(MemoryStore):
    """With escrows at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.escrows: dict[bytes, Escrow] = {}

    def _set(self, key: bytes, old: Any, record: Any) -> None:
        super()._set(key, old, record)
        if key.startswith(b"e/"):
            self.escrows.pop(key[2:], None)
            if record is not None:
                self.escrows[key[2:]] = record


class ScannedStore(EscrowStore):
    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        """Also below a prefix that is longer than a kind of record."""
        keys = self._order[prefix[: prefix.index(b"/") + 1]]
        found: list[tuple[bytes, Any]] = []
        for at in range(bisect_left(keys, prefix), len(keys)):
            if len(found) == limit or not keys[at].startswith(prefix):
                break
            found.append((keys[at], self.records[keys[at]]))
        yield from found


class PlayedLedger(ABC):
    """`most_due`: deadlines of a block. `send` carries out an entry of a block and says why it was refused, if it was."""

    counted = 0
    """The contract whose deadlines alone fill a block, where the model beside it knows of no others; 0: all do."""

    def __init__(self, store: Any, contracts: Any, most_due: int) -> None:
        self.store, self.contracts, self.most_due = store, contracts, most_due
        self.events: list[Any] = []
        self.height, self.clock, self.beacon = 0, 0, bytes(32)

    @abstractmethod
    def send(self, entry: Any) -> str | None: ...

    def get(self, key: bytes) -> Any:
        return self.store.get(key)

    def host(self, tx: bytes = bytes(32), op: int = 0) -> Host:
        parent = ChainRecord(CHAIN_ID, self.height - 1, 0, 0, bytes(32))
        block = self.height, self.clock, self.clock, self.beacon
        host = host_of(self.store, CORE, parent, *block, contracts=self.contracts)
        host.tx_id, host.op_index = tx, op
        return host

    def carry_out(self, block: Any) -> tuple[tuple[int, str], ...]:
        """What was refused, by its place in the block."""
        self.height, self.clock, self.beacon = self.height + 1, block.clock, block.beacon
        self._run_due()
        answers = [(i, self.send(entry)) for i, entry in enumerate(block.entries)]
        self._check()
        return tuple((i, why) for i, why in answers if why is not None)

    def _run_due(self) -> None:
        for key, record in list(self.store.scan(b"dh/", MAX_INT)):
            if split_height_due(key)[0] <= self.height:
                self.store.delete(key)
                self.store.put(split_height_due(key)[1], record)
        host, keys = self.host(), [key for key, _ in self.store.scan(b"d/", MAX_INT)]
        played = [key for key in keys if self.counted in (0, split_due(key)[2])]
        beside = [key for key in keys if self.counted not in (0, split_due(key)[2]) and split_due(key)[1] <= self.clock]
        budget = DeadlineBudget(self.most_due, MAX_INT)
        for key in (*beside, *DeadlineQueue(played).choose(played, self.clock, budget, lambda _: 1)):
            host.run_due(*split_due(key))
            if host.faults:
                raise AssertionError(host.faults[0])
        self.events += host.events

    def _check(self) -> None:
        supply = self.store.records[K_SUPPLY]
        if self.store.held != supply.minted - supply.burned:
            raise AssertionError(f"{self.store.held} credits are held of {supply.minted} minted less {supply.burned} burned")


class PlayedMembers(PlayedLedger):
    """With the members of a scenario, and what the world does to them: its messages are told by the names of their types."""

    def begin(self, members: Any, validators: int, month: int) -> None:
        """`month` is how long strikes last."""
        put = self.store.put
        roots: dict[bytes, bytes] = {}
        for member in members:
            root = roots[member.id] = member.id if member.inviter is None else roots[member.inviter]
            declared = [AMPLE] if member.able else []
            put(account_key(member.id), Account(b"\x02" * 33, ACTIVE, member.balance, 0, [0, 0, 0, 0], 0))
            box = sha256(member.id).digest() if member.box else b""
            put(kept.member_key(member.id), kept.Member(root, member.flag, 0, 0, declared, 0, [], [], box_key=box))
        put(K_SUPPLY, Supply(sum(member.balance for member in members), 0))
        self.set_validators(validators)
        put(params_key(kept.NUMBER), MemberParams(standing_life=month))

    def is_active(self, who: bytes, *states: int) -> bool:
        return self.get(account_key(who)).status in states

    def tell(self, m: Any) -> Callable[[], None] | None:
        """What a message does that is none of the played contract's; None of those that are."""
        acts: dict[str, Callable[[], None]] = {
            "SetFlag": lambda: self.set_flag(m.account, m.on),
            "SetBox": lambda: self.change_member(m.account, box_key=sha256(m.account).digest() if m.on else b""),
            "Suspend": lambda: self.suspend(m.account, m.on),
            "Ban": lambda: self.ban(m.account),
            "Strike": lambda: self.host().service(STANDING).strike(m.account, m.origin, "elsewhere", bytes(32)),
            "SetValidators": lambda: self.set_validators(m.count),
        }
        return acts.get(type(m).__name__)

    def set_validators(self, count: int) -> None:
        validators = [Validator(bytes([i]) * 20, b"\x02" * 33) for i in range(count)]
        self.store.put(K_VALIDATORS, Validators(1, validators))

    def change_member(self, who: bytes, **changes: Any) -> None:
        self.store.put(kept.member_key(who), replace(self.get(kept.member_key(who)), **changes))

    def set_flag(self, who: bytes, on: bool) -> None:
        member = self.get(kept.member_key(who))
        if not self.is_active(who, ACTIVE, SUSPENDED):
            return  # a ban has taken the flag for good
        if on and not member.verifier:
            self.change_member(who, verifier=True, verifier_since=self.clock)
        elif not on:
            self.change_member(who, verifier=False)

    def suspend(self, who: bytes, on: bool) -> None:
        if self.is_active(who, ACTIVE, SUSPENDED):
            status = SUSPENDED if on else ACTIVE
            self.store.put(account_key(who), replace(self.get(account_key(who)), status=status))

    def ban(self, who: bytes) -> None:
        if self.is_active(who, ACTIVE, SUSPENDED):
            self.change_member(who, verifier=False)
            host = self.host().acting(membership.CONTRACT)
            host.ban(who, bytes(32))
            if host.faults:
                raise AssertionError(host.faults[0])
            self.events += host.events

    def account_fields(self, one: bytes) -> tuple[Any, ...]:
        """Balance, origins of live strikes, draws, and until when it rests: as the models tell of an account."""
        account, member = self.get(account_key(one)), self.get(kept.member_key(one))
        return (
            account.balance,
            tuple(sorted(strike.origin for strike in member.strikes if strike.end > self.clock)),
            tuple((draw.origin, draw.bad, draw.silent) for draw in member.draws),
            member.rests_until,
        )
