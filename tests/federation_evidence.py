"""What an audit collects of random federations that go through the real handlers, without blocks and signatures around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import federation_id_of
from learningchain.chain.contracts.membership.indexes import is_available
from learningchain.chain.host import ACTIVE, SUSPENDED, escrow_key
from learningchain.chain.types import LogEvent
from learningchain.client.contracts.federation.audit import cells
from learningchain.client.contracts.federation.audit.evidence import DRAWN, OPENED, STARTED, VOID, AuditStep, FederationEvidence
from tests.federation.generate import Player
from tests.federation.scenario import Entry
from tests.federation_driver import Ledger, RealNaming, bounds_of
from tests.unit.job_kit import CHAIN_ID


class EvidenceLedger(Ledger):
    """Keeps the steps of every federation that is opened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.found: dict[bytes, FederationEvidence] = {}

    def _run_due(self) -> None:
        seen = len(self.events)
        super()._run_due()
        self._keep(b"", (), self.events[seen:])

    def send(self, entry: Entry) -> str | None:
        seen = len(self.events)
        message = self.real(entry.sender, entry.message) if self.tell(entry.message) is None else None
        refused = super().send(entry)
        if refused is None:
            self._keep(entry.sender, () if message is None else (message,), self.events[seen:])
        return refused

    def _keep(self, sender: bytes, said: tuple[Any, ...], events: list[Any]) -> None:
        for event in events:
            if isinstance(event, LogEvent) and event.topic == OPENED:
                tx = self.naming.txs[event.ref]
                assert federation_id_of(tx, 0) == event.ref
                self.found[event.ref] = FederationEvidence(CHAIN_ID, event.ref, sender, said[0].terms)
        for ref, known in self.found.items():
            own = tuple(event for event in events if event.ref == ref)
            about = tuple(one for one in said if getattr(one, "federation", None) == ref)
            if not own and not about:
                continue
            known.steps.append(AuditStep(self.height, self.clock, self.beacon, bytes(32), sender, about, own))
            for event in own:
                if not isinstance(event, LogEvent) or event.topic not in (STARTED, DRAWN, VOID) or not event.data[0]:
                    continue
                if event.topic != VOID:
                    known.rosters[event.data[1]] = tuple(self.get(records.roster_key(ref)).members)
                if event.topic != STARTED and event.data[1] not in known.flags:
                    known.flags[event.data[1]] = self._flags(ref)
            self._look(known)

    def _flags(self, ref: bytes) -> dict[bytes, bool | None]:
        """A draw is a deadline, which comes before the messages of its block."""
        found = {who: is_available(self.store, self.clock, who) for who, _ in self.below(records.MEMBERS_OF + ref)}
        return {who: on if self.is_active(who, ACTIVE, SUSPENDED) else None for who, on in found.items()}

    def _look(self, known: FederationEvidence) -> None:
        """Its records as they stand, while they do."""
        ref = known.federation
        if (now := self.get(records.federation_key(ref))) is None or (known.record is not None and known.record.end):
            return
        known.cells = self.get(records.cell_key(ref))
        known.record, known.members = now, self.below(records.MEMBERS_OF + ref)
        bounty, fees = (self.get(escrow_key(shape(ref))) for shape in (records.bounty_escrow, records.fee_escrow))
        known.escrows = (bounty.amount if bounty else 0), (fees.amount if fees else 0)


def evidence_of(seed: int, player: type[Player] = Player) -> Iterator[FederationEvidence]:
    """Whoever judges it does so within the bounds of the scenario, too."""
    played = player(seed, naming=(naming := RealNaming())).run()
    ledger = EvidenceLedger(played, naming)
    with bounds_of(played.params), patch.object(cells, "MOST_CELLS", played.params.cells):
        for block in played.blocks:
            ledger.carry_out(block)
        yield from ledger.found.values()
