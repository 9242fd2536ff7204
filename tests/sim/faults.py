"""How the mishaps of a profile strike a machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from learningchain.chain.storage.disk import SECTOR
from learningchain.chain.storage.errors import DiskFull, StorageFailed
from tests.sim import repair
from tests.sim.profile import Mishap
from tests.sim.store import Store
from tests.unit.storage_disk import Node as DiskNode

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

SLOTS = 4
"""Of the guard's file."""


def schedule(world: World) -> None:
    for mishap in world.profile.mishaps:
        machine = world.machines[mishap.machine]
        if mishap.kind.startswith("old"):
            world.later(max(1, mishap.when - mishap.amount), partial(_back_up, machine, mishap))
        else:
            world.later(mishap.when, partial(_strike, machine, mishap))


def _strike(machine: Machine, mishap: Mishap) -> None:
    world = machine.world
    if world.healed:
        return
    world.note(machine.index, "mishap", mishap.kind.encode())
    world.faults[mishap.kind] += 1
    STRIKES[mishap.kind](machine, mishap)


def heal(machine: Machine) -> None:
    """Nothing goes wrong any more."""
    machine.fuse, machine.drag = None, 0
    disk = machine.disk
    disk.cut_at, disk.free, disk.sync_fails, disk.misdirect = None, None, False, False
    machine.store.fault = None
    machine.clock_off = machine.world.skew(machine.index)


# --- disks that refuse ------------------------------------------------------------------------------------------------------------


def _failed_sync(machine: Machine, _: Mishap) -> None:
    machine.disk.sync_fails = True


def _full_disk(machine: Machine, _: Mishap) -> None:
    machine.disk.free = 0
    machine.store.fault = DiskFull("Could not write the database", "no space left on the device", "")


def _failed_database(machine: Machine, _: Mishap) -> None:
    machine.store.fault = StorageFailed("Could not write the database", "the device reports an input/output error", "")


def _slow(machine: Machine, mishap: Mishap) -> None:
    machine.drag = mishap.amount


# --- disks that lie ---------------------------------------------------------------------------------------------------------------


def _down(machine: Machine) -> None:
    """Bytes change while the machine is off; it comes up again soon."""
    machine.damaged = True
    if machine.up:
        machine.die(kill=False)
    machine.world.later(machine.rng.choice(repair.DELAYS), machine.boot)


def _flip(machine: Machine, name: str, first: int, last: int, count: int) -> None:
    """Some bits between two bytes, where anything is stored: empty space tells nothing."""
    node = machine.disk.names.get(name)
    used = [at for at, byte in enumerate(node.durable[:last]) if byte and at >= first] if node is not None else []
    for _ in range(count):
        if node is not None and used:
            node.flip(8 * machine.rng.choice(used) + machine.rng.randrange(8))


def _flipped_log(machine: Machine, _: Mishap) -> None:
    _down(machine)
    _flip(machine, "wal", 0, machine.segment, machine.rng.choice([1, 2, 40]))


def _flipped_guard(machine: Machine, _: Mishap) -> None:
    _down(machine)
    slots = machine.rng.sample(range(SLOTS), machine.rng.choice([1, SLOTS]))
    for slot in slots:
        _flip(machine, "guard", slot * SECTOR, (slot + 1) * SECTOR, 1)


def _flipped_database(machine: Machine, _: Mishap) -> None:
    _down(machine)
    machine.store.flip(machine.rng)


def _misdirected_write(machine: Machine, _: Mishap) -> None:
    machine.disk.misdirect = True
    machine.damaged = True
    # It shows when the file is read again.
    machine.after(machine.rng.randint(5, 400), machine.crash)


def _lost_guard(machine: Machine, _: Mishap) -> None:
    _down(machine)
    machine.disk.names.pop("guard", None)


def _lost_folder(machine: Machine, _: Mishap) -> None:
    _down(machine)
    machine.order = partial(repair.start_empty, machine)


# --- backups ----------------------------------------------------------------------------------------------------------------------


def _back_up(machine: Machine, mishap: Mishap) -> None:
    store, log = machine.store.copy(), machine.disk.names["wal"].copy()
    machine.world.later(mishap.when - machine.world.now, partial(_restore, machine, mishap, store, log))


def _restore(machine: Machine, mishap: Mishap, store: Store, log: DiskNode) -> None:
    """The guard stays as it is: it says what was signed since."""
    if machine.world.healed:
        return
    machine.world.note(machine.index, "mishap", mishap.kind.encode())
    machine.world.faults[mishap.kind] += 1
    _down(machine)
    if "database" in mishap.kind:
        machine.store = store
    if "log" in mishap.kind:
        log.sync()
        machine.disk.names["wal"] = log
        machine.disk.durable_names["wal"] = log


def _clock_jump(machine: Machine, mishap: Mishap) -> None:
    machine.clock_off += mishap.amount


STRIKES: dict[str, Callable[[Machine, Mishap], None]] = {
    "failed sync": _failed_sync,
    "full disk": _full_disk,
    "failed database": _failed_database,
    "slow": _slow,
    "flipped log": _flipped_log,
    "flipped guard": _flipped_guard,
    "flipped database": _flipped_database,
    "misdirected write": _misdirected_write,
    "lost guard": _lost_guard,
    "lost folder": _lost_folder,
    "clock jump": _clock_jump,
}
