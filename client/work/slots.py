"""What may run at once on this node. Pure.

| kind of run | how many | memory and processors |
|---|---|---|
| training, with the check of its model | `work.concurrent` | while models are served: what is set aside for them stays free |
| evaluation on duty | one | not counted: a committee does not wait |
| answer of a served model | `serve.slots` | `serve.mem_mb` for all containers of all served models, those that wait too |

Each kind has slots of its own, so none waits for another: a request never waits behind a training. While this node serves no model
nothing is set aside, and everything is as if there were no third row. Where it begins to serve while trainings run, they go on: no
training is ever killed for a request, and until they have ended the machine may be fuller than this table says.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class MachineShare(msgspec.Struct, frozen=True):
    """A part of the machine: thousandths of processors, and MiB of memory."""

    cpus_milli: int
    mem_mb: int

    def __str__(self) -> str:
        return f"{self.cpus_milli / 1_000:g} processors and {self.mem_mb} MiB"

    def less(self, taken: MachineShare) -> MachineShare:
        """What is left; nothing where it is less than nothing."""
        return MachineShare(max(0, self.cpus_milli - taken.cpus_milli), max(0, self.mem_mb - taken.mem_mb))

    def holds(self, wanted: MachineShare) -> bool:
        return wanted.cpus_milli <= self.cpus_milli and wanted.mem_mb <= self.mem_mb


def training_room(machine: MachineShare | None, aside: MachineShare | None, running: Iterable[MachineShare]) -> MachineShare | None:
    """What trainings that start now may take together; None: whatever they ask for.

    `machine`: what the engine's machine has, where that is known; `aside`: what is kept for served models, None where there are
    none; `running`: of every run that is no answer.
    """
    if machine is None or aside is None:
        return None
    room = machine.less(aside)
    for taken in running:
        room = room.less(taken)
    return room
