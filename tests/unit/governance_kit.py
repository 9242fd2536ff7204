"""What the tests of governance share: a chain whose validators propose and vote by name."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.governance import (
    Action,
    OpenProposal,
    ParamValue,
    Propose,
    SetParameters,
    VoteProposal,
    proposals,
)
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.types import LogEvent
from tests.unit.ledger_kit import VALIDATORS, Chain, genesis_of, id_of

MEMBERS = ("alice", "bob", "carol")
FAR = 1_000_000
"""Until when a proposal is open, from now, unless a test says otherwise."""


def values(contract: int, **named: int) -> SetParameters:
    return SetParameters(contract, [ParamValue(name, named[name]) for name in sorted(named)])


class Council(Chain):
    def __init__(self, validators: tuple[str, ...] = VALIDATORS, **params: int) -> None:
        super().__init__(genesis_of(*MEMBERS, validators=validators, **params))

    def propose(self, action: Action, by: str = "v1", *, life: int = FAR, **changed: Any) -> int:
        return self.codes(self.tx(by, Propose(action, self.clock + life), **changed))[0]

    def open(self, action: Action, by: str = "v1", *, life: int = FAR) -> bytes:
        """A proposal that is open then; its id."""
        before = {known for known, _ in proposals(self.state)}
        assert self.propose(action, by, life=life) == 0
        (new,) = {known for known, _ in proposals(self.state)} - before
        return new

    def vote(self, proposal: bytes, yes: bool, *names: str) -> list[int]:
        """One block with a word of each."""
        return self.codes(*(self.tx(name, VoteProposal(proposal, yes)) for name in names))

    def decide(self, action: Action, by: str, *yes: str) -> None:
        """Proposed by one and decided by the last of the others."""
        self.vote(self.open(action, by), True, *yes)

    def record(self, proposal: bytes) -> OpenProposal | None:
        return dict(proposals(self.state)).get(proposal)

    def topics(self) -> list[str]:
        """Of the events in the last block."""
        assert self.last is not None
        return [event.topic for receipt in self.last.receipts for event in receipt.events if isinstance(event, LogEvent)]

    def names(self) -> set[str]:
        """The set of the next block."""
        ids = {v.id for v in validators_of(self.state)}
        return {name for name in (*VALIDATORS, *MEMBERS, "v5", "v6", "v7") if id_of(name) in ids}
