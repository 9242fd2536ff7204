"""The ledger as one handler sees it inside one block, and the fence around deadlines and around telling how a case ended.

Where such a handler fails, all it did is undone and its reference is parked (LC-BLK-20): its deadlines are kept and its messages
refused, until the validators release it. Everything else goes on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from learningchain.chain.codec import decode, encode
from learningchain.chain.crypto import ZERO_HASH
from learningchain.chain.errors import OWN_FAULTS, BrokenInvariant, Code
from learningchain.chain.host.contract import Contract, Power
from learningchain.chain.host.powers import Powers
from learningchain.chain.host.records import (
    FAILED,
    MAX_FAULT_TEXT,
    MAX_HELD,
    NO_HANDLER,
    HeldDue,
    Parked,
    due_key,
    fault_of,
    parked_key,
)
from learningchain.chain.host.services import Service
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import Event, Receipt

S = TypeVar("S")


def audit_events(events: list[Event]) -> None:
    """Raises where a receipt could not carry them: they would be in no receipt that others can read."""
    decode(Receipt, encode(Receipt(ZERO_HASH, Code.OK, events)), MAX_INT)


class NoHandler(BrokenInvariant):
    """A deadline of a contract that has none, or of no contract."""


@dataclass
class Host(Powers):
    """All that a handler may do: records, events and deadlines (`Access`), credits, powers, and what is parked."""

    def acting(self, contract: Contract) -> Host:
        """The same host for a handler of this contract: with its powers, and for its events."""
        view = object.__new__(Host)
        view.__dict__.update(self.__dict__, contract=contract)
        return view

    def service(self, service: Service[S]) -> S:
        """What another contract offers, or this one."""
        for contract in self.contracts.values():
            offered = contract.services.get(service)
            if offered is not None:
                return offered(self.acting(contract))  # type: ignore[no-any-return]
        raise BrokenInvariant(f"no contract offers the service {service.name!r}")

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
        found = self.contracts.get(contract)
        if found is None or found.on_due is None:
            raise NoHandler(f"contract {contract} has a deadline and no handler for it")
        found.on_due(self.acting(found), ref, at)

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
            reason = NO_HANDLER if isinstance(fault, NoHandler) else FAILED
            self._park(contract, ref, Parked(self.height, reason, held, [], []))
            self._note("parked", ref, contract, reason)
            self.faults.append(fault_of(ref, self.height) + "".join(traceback.format_exception(fault))[-MAX_FAULT_TEXT:])
        else:
            self.store.keep()

    def release(self, contract: int, ref: bytes, *, give_back: bool) -> None:
        """LC-MEM-13: a parked reference goes on with the deadlines that it missed, or ends."""
        self._need(Power.RELEASE)
        known = self.parked(contract, ref)
        if known is None:
            raise BrokenInvariant(f"{ref.hex()} of contract {contract} is not parked")
        self.delete(parked_key(contract, ref))
        self._note("released", ref, contract, "give back" if give_back else "retry")
        if give_back:
            found = self.contracts[contract]
            if found.on_give_back is None:
                raise BrokenInvariant(f"contract {contract} holds nothing to give back")
            found.on_give_back(self.acting(found), ref)
            return
        for held in known.held:
            self.schedule(held.time, contract, ref, held.account)

    def _park(self, contract: int, ref: bytes, record: Parked) -> None:
        held = sorted(set(record.held), key=lambda one: (one.time, one.account))[:MAX_HELD]
        self.put(parked_key(contract, ref), Parked(record.height, record.reason, held, record.retry, record.give_back))

    def close_case(self, identity: bytes, refs: list[tuple[int, bytes]], banned: bool) -> None:
        """LC-BLK-21: tell the contracts that asked for a suspension how it ended.

        One that fails at it parks its own reference, not the case; one whose reference is parked is not told.
        """
        self._need(Power.STANDING)
        for number, ref in refs:
            if self.parked(number, ref) is None:
                self.fenced(number, ref, partial(self._tell, number, ref, identity, banned), [])

    def ban(self, identity: bytes, ref: bytes) -> None:
        """LC-MEM-9: every contract that wants to know is told. One that fails at it parks the account as a reference of its own."""
        super().ban(identity, ref)
        for contract in self.contracts.values():
            if contract.on_banned is not None:
                self.fenced(contract.number, identity, partial(contract.on_banned, self.acting(contract), identity), [])

    def _tell(self, contract: int, ref: bytes, identity: bytes, banned: bool) -> None:
        found = self.contracts[contract]
        if found.on_case_closed is not None:
            found.on_case_closed(self.acting(found), ref, identity, banned)
