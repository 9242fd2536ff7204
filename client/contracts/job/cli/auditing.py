"""A job followed while the chain is executed again from genesis: what happened to it by the rules, whatever anybody says of it.

    blocks 1, 2, … executed --> its events and payments, and the state after its last one --> beside what this node tells of it

Pure. What this node's index tells is compared in `client.receipts.audit_index`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import Executed
from learningchain.chain.types import LogEvent, TransferEvent
from learningchain.client.contracts.job.http.render import render_job
from learningchain.client.contracts.job.http.views import describe
from learningchain.client.receipts.audit_index import Happened
from learningchain.client.schema.render import Json

POSTED = "job.posted"


@dataclass
class JobWatch:
    """For `Audit`: follows the first job whose id begins with `beginning` until it has ended."""

    beginning: str
    job: bytes = b""
    happened: list[Happened] = field(default_factory=list)
    view: Json | None = None
    """As the state after its last event has it."""
    root: bytes = b""
    """Of that state."""

    def __call__(self, height: int, executed: Executed, state: State) -> bool:
        found = False
        for receipt in executed.receipts:
            for event in receipt.events:
                if not self.job and isinstance(event, LogEvent) and event.topic == POSTED:
                    self.job = event.ref if event.ref.hex().startswith(self.beginning) else b""
                if self.job and event.ref == self.job:
                    self.happened.append(Happened(height, receipt.tx, event))
                    found = True
        if found:
            described = describe(state, self.job)
            self.view = self.view if described is None else render_job(described)
            self.root = state.root
        return found and self.view is not None and self.view["ended"] is not None

    @property
    def payments(self) -> list[Happened]:
        return [one for one in self.happened if isinstance(one.event, TransferEvent)]

    @property
    def notes(self) -> list[Happened]:
        return [one for one in self.happened if isinstance(one.event, LogEvent)]
