"""What is collected of a federation while the chain is executed again from genesis. Pure but for being fed block by block.

Its size is bounded by the terms: 2R + 2 attempts of at most 128 files, three aggregators each, and three measurements a round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from learningchain.chain.contracts.federation import CONTRACT, records
from learningchain.chain.contracts.federation.formulas import has_cells
from learningchain.chain.contracts.federation.messages import FederationTerms, OpenFederation, federation_id_of
from learningchain.chain.contracts.federation.records import (
    AttemptRoster,
    CellRecord,
    FederationMember,
    FederationRecord,
    RosterEntry,
)
from learningchain.chain.contracts.membership import member_key
from learningchain.chain.contracts.membership.indexes import is_available
from learningchain.chain.host import BANNED, Account, Escrow, account_key, escrow_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import Executed, chain_record
from learningchain.chain.ledger.tx import ParsedTx
from learningchain.chain.types import Event, LogEvent
from learningchain.client.contracts.federation.http.ledger_views import members_of
from learningchain.client.receipts.audit_index import Happened

OPENED, STARTED, ENDED = "fed.opened", "fed.started", "fed.ended"
DRAWN, VOID = "fed.drawn", "fed.void"


@dataclass(frozen=True)
class AuditStep:
    """A transaction that was applied, or the block itself (`sender` is empty): what it said of the federation, and what came of it.

    `clock` and `beacon` are the chain's in that block.
    """

    height: int
    clock: int
    beacon: bytes
    tx: bytes
    sender: bytes
    messages: tuple[Any, ...]
    events: tuple[Event, ...]


@dataclass
class FederationEvidence:
    """`rosters` by attempt, as they stood after its start, and with cells after its draw. `flags`, with cells, by attempt: whether
    each member carried the flag at the draw, None where it was banned; of whom that block itself changed nothing is there.
    `record`, `cells`, `members` and `escrows` (bounty, fees; micro-credits): after the last step."""

    chain_id: bytes
    federation: bytes = b""
    sponsor: bytes = b""
    terms: FederationTerms | None = None
    steps: list[AuditStep] = field(default_factory=list)
    rosters: dict[int, tuple[RosterEntry, ...]] = field(default_factory=dict)
    flags: dict[int, dict[bytes, bool | None]] = field(default_factory=dict)
    record: FederationRecord | None = None
    cells: CellRecord | None = None
    members: list[tuple[bytes, FederationMember]] = field(default_factory=list)
    escrows: tuple[int, int] = (0, 0)

    @property
    def happened(self) -> list[Happened]:
        return [Happened(step.height, step.tx, event) for step in self.steps for event in step.events]


@dataclass
class FederationWatch:
    """For `Audit`: follows the first federation whose id begins with `beginning` until it has ended."""

    beginning: str
    evidence: FederationEvidence
    root: bytes = b""
    """Of the state after its last step."""

    def __call__(self, height: int, executed: Executed, state: State) -> bool:
        found, known = list(self._steps(height, executed, state)), self.evidence
        if not found:
            return False
        known.steps += found
        topics = {event.topic for step in found for event in step.events if isinstance(event, LogEvent)}
        self._keep_rosters(found, executed, state)
        record = state.get(records.federation_key(known.federation))
        known.record = record if isinstance(record, FederationRecord) else known.record
        cells = state.get(records.cell_key(known.federation))
        known.cells = cells if isinstance(cells, CellRecord) else known.cells
        known.members = members_of(state, known.federation) or known.members
        bounty, fees = records.bounty_escrow(known.federation), records.fee_escrow(known.federation)
        known.escrows = _held(state, bounty), _held(state, fees)
        self.root = state.root
        return ENDED in topics

    def _steps(self, height: int, executed: Executed, state: State) -> Iterator[AuditStep]:
        sent, chain, known = {tx.id: tx for tx in executed.txs}, chain_record(state), self.evidence
        for receipt in executed.receipts:
            tx = sent.get(receipt.tx)
            if not known.federation:
                self._find(tx, receipt.events)
            if not known.federation or receipt.code:
                continue
            events = tuple(event for event in receipt.events if event.ref == known.federation)
            said = tuple(op for op in tx.ops if _is_about(op, known.federation)) if tx is not None else ()
            if events or said:
                sender = tx.body.sender if tx is not None else b""
                yield AuditStep(height, chain.clock, chain.beacon, receipt.tx, sender, said, events)

    def _find(self, tx: ParsedTx | None, events: list[Event]) -> None:
        for event in events:
            if tx is not None and isinstance(event, LogEvent) and event.topic == OPENED:
                if not event.ref.hex().startswith(self.beginning):
                    continue
                known = self.evidence
                known.federation, known.sponsor = event.ref, tx.body.sender
                for place, op in enumerate(tx.ops):
                    if isinstance(op, OpenFederation) and federation_id_of(tx.id, place) == event.ref:
                        known.terms = op.terms

    def _keep_rosters(self, found: list[AuditStep], executed: Executed, state: State) -> None:
        known, roster = self.evidence, state.get(records.roster_key(self.evidence.federation))
        for event in (event for step in found for event in step.events):
            if not isinstance(event, LogEvent) or event.topic not in (STARTED, DRAWN, VOID) or not event.data[0]:
                continue
            if event.topic != VOID and isinstance(roster, AttemptRoster):
                known.rosters[event.data[1]] = tuple(roster.members)
            if event.topic != STARTED and known.terms is not None and has_cells(known.terms) and event.data[1] not in known.flags:
                known.flags[event.data[1]] = _flags(known.federation, executed, state)


def _flags(federation: bytes, executed: Executed, state: State) -> dict[bytes, bool | None]:
    """A draw comes before the transactions of its block: who is changed by these, or by another deadline, is left out."""
    clock, changed = chain_record(state).clock, {key for key, _ in executed.encoded}
    found = dict[bytes, bool | None]()
    for who, _ in members_of(state, federation):
        account = state.get(account_key(who))
        if isinstance(account, Account) and account.status == BANNED:
            found |= {who: None} if account_key(who) not in changed else {}
        elif member_key(who) not in changed:
            found[who] = is_available(state, clock, who)
    return found


def _is_about(op: Any, federation: bytes) -> bool:
    return type(op) in CONTRACT.messages and getattr(op, "federation", None) == federation


def _held(state: State, escrow: bytes) -> int:
    found = state.get(escrow_key(escrow))
    return found.amount if isinstance(found, Escrow) else 0
