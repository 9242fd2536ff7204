"""What an audit collects of random federations that go through the real handlers, without blocks and signatures around them."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import federation_id_of
from learningchain.chain.host import escrow_key
from learningchain.chain.types import LogEvent
from learningchain.client.contracts.federation.audit.evidence import OPENED, STARTED, AuditStep, FederationEvidence
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
                if isinstance(event, LogEvent) and event.topic == STARTED and event.data[0]:
                    known.rosters[event.data[1]] = tuple(self.get(records.roster_key(ref)).members)
            self._look(known)

    def _look(self, known: FederationEvidence) -> None:
        """Its records as they stand, while they do."""
        ref = known.federation
        if (now := self.get(records.federation_key(ref))) is None or (known.record is not None and known.record.end):
            return
        known.record, known.members = now, self.below(records.MEMBERS_OF + ref)
        bounty, fees = (self.get(escrow_key(shape(ref))) for shape in (records.bounty_escrow, records.fee_escrow))
        known.escrows = (bounty.amount if bounty else 0), (fees.amount if fees else 0)


def evidence_of(seed: int, player: type[Player] = Player) -> list[FederationEvidence]:
    played = player(seed, naming=(naming := RealNaming())).run()
    ledger = EvidenceLedger(played, naming)
    with bounds_of(played.params):
        for block in played.blocks:
            ledger.carry_out(block)
    return list(ledger.found.values())
