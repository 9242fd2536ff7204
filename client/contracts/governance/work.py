"""The governance contract's part of a node's work: it tells the operator what waits for its word."""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.governance import proposal_key
from learningchain.client.contracts.governance.roles.watching import ProposalWatch
from learningchain.client.work.machine import Machine, Recalled, Watch, WorkPart, knows_no_ref


def _machines(known: Recalled) -> Sequence[Machine]:
    return (ProposalWatch(known),)


_PROPOSALS = proposal_key(b"")
PART = WorkPart(
    name="governance",
    knows=knows_no_ref,
    machines=_machines,
    watch=Watch((_PROPOSALS,), _PROPOSALS, _PROPOSALS),
)
