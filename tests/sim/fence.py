"""A graph whose job contract is broken: until height MEND its deadlines do all that they should, and then fail.

Every node runs the same broken program, as every node would. The job is parked, the graph goes on, and once the program is mended
the validators let the job run again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.contracts.job import CONTRACT, deadlines, records
from learningchain.chain.contracts.membership import Release
from learningchain.chain.host import Host, read_parked
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record, validators_of
from tests.conformance import jobs, machine
from tests.sim.market import Market
from tests.sim.market.clients import REPORTS
from tests.sim.world import World

MEND = 18


def breaks(host: Host, job: bytes, at: int) -> None:
    deadlines.on_due(host, job, at)
    if host.height < MEND:
        raise KeyError(job)


BROKEN = BY_NUMBER | {CONTRACT.number: replace(CONTRACT, on_due=breaks)}
PATCH = ("learningchain.chain.contracts.BY_NUMBER", BROKEN)
"""Where nodes find the contracts, and what they find there."""


def fails(s: machine.State, job: bytes, at: int) -> None:
    """The same of the second implementation."""
    jobs.on_due(s, job, at)
    if s.height < MEND:
        raise machine.Failed


class FenceMarket(Market):
    """Validators release what is parked once the program is mended; a claimant tries before."""

    parked = 0
    """The height since which the job was parked."""

    def _work(self, state: State) -> None:
        height = chain_record(state).height
        for contract, ref, record in read_parked(state, 16):
            self.parked = record.height
            for index in range(self.world.profile.validators):
                if self._busy(index, REPORTS):
                    continue
                if height + 1 < MEND:
                    self._send(state, index, REPORTS, self._claim(index))
                elif self.world.ids[index] not in record.retry and any(v.id == self.world.ids[index] for v in validators_of(state)):
                    self._send(state, index, REPORTS, Release(contract, ref, False))
        super()._work(state)

    def unfinished(self) -> str:
        return super().unfinished() or ("" if self.parked else "the job was never parked")


class FenceWorld(World):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.checks.chain.due[CONTRACT.number] = fails

    def clients(self) -> Market:
        return FenceMarket(self)


def live(state: State) -> bool:
    """Whether a job has not ended."""
    return any(True for _ in state.scan(records.live_key(b""), 1))
