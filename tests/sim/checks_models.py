"""The executable model of a contract's page inside the second ledger: what predictions and federations have in common.

The model acts on what `checks_ledger` and `checks_members` hold: its credits are the second ledger's accounts and escrows, its
people are its members, what it waits for are the second ledger's deadlines; all of these are compared record by record. The
contract's own records are compared by what they say, in the model's words, and by which there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from chain.codec import decode
from chain.contracts import state_type
from chain.host import SUSPENDED
from tests.predictions.difference import of_field
from tests.sim.checks_ledger import Broken, Ledger, Refused
from tests.sim.checks_members import Members

Deadline = tuple[bytes, int, bytes, int]
"""Account, time, reference, height (0: none)."""


class Person:
    """A member as a model sees one. `own` is what the model alone knows of it, by name, as it begins."""

    def __init__(self, ledger: Ledger, people: Members, identity: bytes, **own: Any) -> None:
        self.ledger, self.people, self.id = ledger, people, identity
        for name, value in own.items():
            setattr(self, name, value)

    @property
    def root(self) -> bytes:
        return self.people.root(self.id)

    @property
    def flag_since(self) -> int | None:
        """Of the flag, or of the capacity, which judges need as well."""
        found = self.people.member(self.id)
        return max(found.verifier_since, found.capacity_since) if found.verifier else None

    @property
    def box(self) -> bool:
        return bool(self.people.member(self.id).box_key)

    @property
    def able(self) -> bool:
        return bool(self.people.member(self.id).capacity)

    @property
    def suspended(self) -> bool:
        account = self.ledger.account(self.id)
        return account is not None and account.status == SUSPENDED

    @property
    def banned(self) -> bool:
        return self.ledger.banned(self.id)

    def stands(self, clock: int, month: int) -> bool:
        return self.people.strikes(self.id) < 3

    def flagged(self, clock: int, month: int) -> bool:
        return self.people.may_judge(self.id)

    def drawn(self, entry: Any, clock: int, month: int) -> None:
        self.people.drew(self.id, entry.origin, bad=entry.bad, silent=entry.silent)


class People(Mapping[bytes, Any]):
    """All members, by id."""

    def __init__(self, ledger: Ledger, people: Members, **own: Any) -> None:
        self._made: Callable[[bytes], Person] = lambda identity: Person(ledger, people, identity, **own)
        self._ledger = ledger
        self._known: dict[bytes, Any] = {}

    def __getitem__(self, identity: bytes) -> Any:
        if identity not in self._known:
            self._known[identity] = self._made(identity)
        return self._known[identity]

    def __iter__(self) -> Iterator[bytes]:
        return iter(sorted(self._ledger.members))

    def __len__(self) -> int:
        return len(self._ledger.members)


class _Free(Mapping[bytes, int]):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getitem__(self, identity: bytes) -> int:
        return self._ledger.free(identity)

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def balances(ledger: Ledger) -> dict[bytes, int]:
    """What members have free in the second ledger, as a model reads it."""
    return cast(dict[bytes, int], _Free(ledger))


class Modelled(ABC):
    """A contract that is played by its model. `graph` is the model's state; its `now` takes over what the present block is.

    `handlers` are the model's by the types of its messages, `codes` the contract's by the model's names of refusals.
    """

    refused: type[Exception]
    """What the model's handlers raise."""

    def __init__(
        self, ledger: Ledger, people: Members, graph: Any, contract: Any, handlers: Mapping[type, Any], codes: Any
    ) -> None:
        self.l, self.people, self.number = ledger, people, contract.number
        self._graph, self._handlers, self._codes = graph, handlers, codes
        self._set: set[Deadline] = set()
        self._changed = False
        ledger.on_due[self.number], ledger.due_work[self.number] = self._due, self._due_work
        ledger.handlers |= dict.fromkeys(contract.messages, self._handle)

    # --- what each contract says ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _translated(self, sender: bytes, message: Any) -> Any:
        """A message of the ledger in the model's words."""

    @abstractmethod
    def _on_due(self, ref: bytes, at: int) -> None: ...

    @abstractmethod
    def _due_work(self, ref: bytes) -> int: ...

    @abstractmethod
    def _wanted(self) -> Iterable[Deadline]:
        """What the model waits for."""

    @abstractmethod
    def _compare(self, stored: Mapping[bytes, bytes], get: Callable[[bytes], Any]) -> None: ...

    # --- what comes -------------------------------------------------------------------------------------------------------------

    def _handle(self, sender: bytes, message: Any) -> None:
        self._graph.now()
        try:
            told = self._translated(sender, message)
            self._handlers[type(told)](self._graph, sender, told)
        except self.refused as refused:
            raise Refused(1 if str(refused) == "INSUFFICIENT" else self._codes[str(refused)]) from None
        self.follow()

    def _due(self, ref: bytes, at: int) -> None:
        self._graph.now()
        self._on_due(ref, at)
        self.follow()

    def follow(self) -> None:
        """The deadlines that the model waits for are those of the ledger."""
        self._changed = True
        wanted = set(self._wanted())
        for account, at, ref, height in self._set - wanted:
            if height:
                self.l.cancel_at_height(height, at, self.number, ref, account)
            else:
                self.l.cancel(at, self.number, ref, account)
        for account, at, ref, height in wanted - self._set:
            if height:
                self.l.schedule_at_height(height, self.number, ref, account)
            else:
                self.l.schedule(at, self.number, ref, account)
        self._set = wanted

    # --- what is so -------------------------------------------------------------------------------------------------------------

    def compare(self, stored: Mapping[bytes, bytes], changed: bool) -> None:
        """After a block: the nodes' records say what the model says, and there are no others. Raises `Broken`."""
        if not (changed or self._changed):
            return
        self._changed = False
        self._graph.now()

        def get(key: bytes) -> Any:
            raw = stored.get(key)
            return None if raw is None else decode(state_type(key), raw, 10**7)

        self._compare(stored, get)


def same(what: str, ours: Any, by_rules: Any) -> None:
    """Raises `Broken`."""
    found = of_field(0, what, ours, by_rules)
    if found is not None:
        raise Broken(f"{found.where}: {found.one} in the state, by the rules {found.other}")
