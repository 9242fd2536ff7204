"""What the operator of a simulated machine does when its node stops by itself, and how a machine is set up.

A disk that refused: it is seen to, and the machine starts again. A guard that is lost: a new one, on the operator's word
(`--accept-new-guard`). Anything else that is damaged: the data folder goes, and the node starts from nothing, syncs from its
peers, and gets a new guard. That is what the texts of the errors say. A node that stops for any other reason is a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.node.recovery import read_log
from learningchain.chain.storage.errors import DiskFull, GuardMissing, StorageError, StorageFailed
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import quorum
from tests.sim.store import Store
from tests.unit.storage_disk import SimDisk

if TYPE_CHECKING:
    from tests.sim.machine import Machine

DELAYS = (50, 300, 1_000)


def install(machine: Machine, seed: int, *, guard: bool = True) -> None:
    """A new disk with an empty log, a guard and an empty store."""
    world = machine.world
    machine.disk = SimDisk(seed, tally=world.faults)
    Wal.open("wal", chain_id=machine.chain_id, create=True, disk=machine.disk, segment=machine.segment).close()
    if guard:
        Guard.create("guard", chain_id=machine.chain_id, disk=machine.disk).close()
    machine.store = Store(world.genesis_items, machine.chain_id, world.genesis_state.root)


def halted(machine: Machine, fault: StorageError) -> None:
    """The disk refused while the node ran, or gave other bytes than it took."""
    machine.world.faults["halted by a full disk" if isinstance(fault, DiskFull) else "halted by a failing disk"] += 1
    machine.world.note(machine.index, "halt", str(fault).encode())
    _end(machine, fault)


def refused(machine: Machine, fault: Exception) -> None:
    """The node does not start."""
    machine.world.faults["refused to start"] += 1
    machine.world.note(machine.index, "refused to start", str(fault).encode())
    _end(machine, fault)


def _end(machine: Machine, fault: Exception) -> None:
    if isinstance(fault, StorageFailed):
        # What a failed sync left is unknown: the machine starts anew, not the process alone.
        machine.die(kill=isinstance(fault, DiskFull))
    elif not machine.damaged:
        raise fault
    else:
        machine.die(kill=True)
        machine.order = (lambda: accept_new_guard(machine)) if isinstance(fault, GuardMissing) else (lambda: start_empty(machine))
    machine.world.later(machine.rng.choice(DELAYS), machine.boot)


def accept_new_guard(machine: Machine) -> None:
    """As `client.daemon.opening.open_guard` does it."""
    machine.world.faults["new guard accepted"] += 1
    wal = Wal.open("wal", chain_id=machine.chain_id, create=False, disk=machine.disk, segment=machine.segment)
    state, _ = machine.store.load()
    last = max([machine.store.height, *read_log(wal.records()).certificates])
    wal.close()
    n = len(validators_of(state))
    after = last + 1 if quorum(n) < n else last
    Guard.create("guard", chain_id=machine.chain_id, after_height=after, disk=machine.disk).close()


def start_empty(machine: Machine) -> None:
    """Everything but the key is gone."""
    machine.world.faults["started from nothing"] += 1
    install(machine, machine.rng.randrange(2**32), guard=False)
    machine.damaged = machine.renewed = True
    accept_new_guard(machine)
