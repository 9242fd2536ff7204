"""Records, events and deadlines: what every handler reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from learningchain.chain.codec import Wire
from learningchain.chain.crypto import ZERO_HASH, sha256
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host.contract import Contract, Power
from learningchain.chain.host.events import fits
from learningchain.chain.host.parameters import params_at
from learningchain.chain.host.records import BASE_EVENTS, Due, due_key, height_due_key
from learningchain.chain.host.store import KVStore, read_params
from learningchain.chain.params import ContractParams, Params
from learningchain.chain.types import Event, LogEvent

T = TypeVar("T")
C = TypeVar("C", bound=ContractParams)


@dataclass
class Access:
    """Fields are those of one block and of the message that runs. Times are milliseconds of the chain clock."""

    store: KVStore
    contracts: Mapping[int, Contract]
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
    contract: Contract | None = None
    """Whose handler it is; None: the ledger itself."""
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

    def params_of(self, kind: type[T]) -> T:
        """The network's parameters of the contract that acts. Those of the ledger are `params`."""
        if self.contract is None or self.contract.params is not kind:
            raise BrokenInvariant(f"{self._name} has no parameters of the type {kind.__name__}")
        return read_params(self.store, self.contract.number, kind)

    def params_at(self, kind: type[C], clock: int) -> C:
        """Those that were in force in the block of this chain clock: what was posted then goes on by them."""
        if self.contract is None or self.contract.params is not kind:
            raise BrokenInvariant(f"{self._name} has no parameters of the type {kind.__name__}")
        return params_at(self.store, self.contract.number, kind, clock)

    # context

    @property
    def position(self) -> bytes:
        """Chain position of the running message, as sortable bytes.

        Within a block the order is drawn by the parent's beacon, so that no proposer puts itself first.
        """
        drawn = sha256(self.parent_beacon + self.tx_id)
        return self.height.to_bytes(8, "big") + drawn + bytes((self.op_index,))

    def emit(self, topic: str, ref: bytes, *data: int | str | bytes) -> None:
        """An event that the contract declared, with data of the types that it declared."""
        declared = (BASE_EVENTS if self.contract is None else self.contract.events).get(topic)
        if declared is None or not fits(declared, data):
            raise BrokenInvariant(f"{self._name} declares no event {topic!r} with the data {data!r}")
        self._note(topic, ref, *data)

    def _note(self, topic: str, ref: bytes, *data: Any) -> None:
        self.events.append(LogEvent(topic, ref, list(data)))

    @property
    def _name(self) -> str:
        return "the ledger" if self.contract is None else f"contract {self.contract.name}"

    def _need(self, power: Power) -> None:
        if self.contract is not None and power not in self.contract.powers:
            raise BrokenInvariant(f"{self._name} has no power to {power.value}")

    # deadlines

    def schedule(self, at: int, contract: int, ref: bytes, account: bytes) -> None:
        """Have `contract`'s `on_due` called once the chain clock reaches `at`.

        It counts for `account`, who caused it and shares a block's deadlines with the others (LC-BLK-14).
        """
        self.put(due_key(account, at, contract, ref), Due(contract, ref))

    def cancel(self, at: int, contract: int, ref: bytes, account: bytes) -> None:
        self.delete(due_key(account, at, contract, ref))

    def schedule_at_height(self, height: int, contract: int, ref: bytes, account: bytes) -> int:
        """LC-BLK-33: have `contract`'s `on_due` called in the block of this height, which nodes then make without waiting.

        It is called with the clock of this block, which is returned, and has its place among the deadlines by that time: where
        they are more than a block runs, it waits with them.
        """
        if height <= self.height:
            raise BrokenInvariant(f"{self._name} schedules for height {height} in the block of height {self.height}")
        self.put(height_due_key(height, account, self.clock, contract, ref), Due(contract, ref))
        return self.clock

    def cancel_at_height(self, height: int, at: int, contract: int, ref: bytes, account: bytes) -> None:
        """`at` is what scheduling it returned."""
        self.delete(height_due_key(height, account, at, contract, ref))
        self.cancel(at, contract, ref, account)
