"""What only few may do: to stop and end an account, and to change who validates."""

from __future__ import annotations

from chain.errors import BrokenInvariant, Code, Reject
from chain.host.contract import Power
from chain.host.credits import Credits
from chain.host.records import (
    ACTIVE,
    BANNED,
    K_HISTORY,
    K_NEXT_VALIDATORS,
    K_VALIDATORS,
    SUSPENDED,
    History,
    Validators,
)
from chain.types import TransferEvent, Validator


class Powers(Credits):
    """Accounts' standing, and the validator set."""

    # standing

    def freeze(self, identity: bytes, ref: bytes) -> None:
        """All free credits become frozen, and the account suspended."""
        self._need(Power.STANDING)
        account = self.known_account(identity)
        if account.balance:
            self.events.append(TransferEvent("frozen", identity, identity, account.balance, ref))
        self._hold(identity, account, SUSPENDED, 0, account.frozen + account.balance)

    def unfreeze(self, identity: bytes, ref: bytes) -> None:
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

    # validators

    def change_validators(self, members: list[Validator]) -> None:
        """The set from the next height on. One change per block: a second one in the same block is refused."""
        self._need(Power.VALIDATORS)
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
