"""The keys contract's part of a node's work: it tells its owner what may happen to its key."""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.client.contracts.keys.roles.watching import RecoveryWatch
from learningchain.client.work.machine import Machine, Recalled, WorkPart, knows_no_ref


def _machines(known: Recalled) -> Sequence[Machine]:
    return (RecoveryWatch(known),)


PART = WorkPart(name="keys", knows=knows_no_ref, machines=_machines)
