"""What a lease's program finds on its machine: the file that tells it what it is for, and a place that no other lease has.

The file is written by the node, read on a machine of the cluster, and private to both. It holds a token, good for one machine and
one use, and which sandbox is meant. Slurm, its log and its users see its name alone.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from learningchain.chain.storage import private
from learningchain.client.machines.trust import MAX_TOKEN, fingerprint
from learningchain.sandbox.spec import MAX_DEVICES, is_device

_MAX_FILE: Final = 8_192
GIVEN: Final = "SLURM_JOB_GPUS"
MAX_PLACES: Final = 64
"""As many leases of one node on one machine: a node has no more machines."""


class LeaseOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`backend` and `runtime` are the node's own settings of these names; the engine is what the machine has. `devices`: how many
    GPUs the run gets, `cdi`: how they are called there."""

    token: Annotated[str, Meta(max_length=MAX_TOKEN)]
    backend: Annotated[str, Meta(max_length=64)]
    runtime: Annotated[str, Meta(max_length=64)]
    devices: Annotated[int, Meta(ge=0, le=MAX_DEVICES)] = 0
    cdi: Annotated[str, Meta(max_length=255)] = ""

    def write(self, path: Path) -> None:
        """Raises OSError."""
        private.replace(path, msgspec.json.encode(self))


def read_lease(path: Path) -> LeaseOrder:
    """Raises OSError, ValueError."""
    with private.reading(path) as file:
        return msgspec.json.decode(file.read(_MAX_FILE), type=LeaseOrder)


def given_devices(order: LeaseOrder, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the GPUs that Slurm gave to this job, which are exactly those that its run gets: the numbers that it says are
    the machine's, whatever else it says of them to programs that see these alone. Raises ValueError."""
    if not order.devices:
        return ()
    said = environ.get(GIVEN, "")
    numbers = said.split(",") if said else []
    if len(numbers) != order.devices or any(not (one.isascii() and one.isdigit() and len(one) < 5) for one in numbers):
        raise ValueError(f"the job asked Slurm for {order.devices} GPUs, and it was given {said or 'none'!r} ({GIVEN})")
    names = tuple(sorted({order.cdi.replace("{}", str(int(one))) for one in numbers}))
    if len(names) != order.devices or not all(map(is_device, names)):
        raise ValueError(f"the GPUs {said!r} have no names of their own by slurm.cdi ({order.cdi})")
    return names


class LeasePlace(NamedTuple):
    """What a lease's program has of its machine alone: a folder, and a tag for what it makes on the engine."""

    folder: Path
    tag: str


@contextmanager
def taken_place(authority: str) -> Iterator[LeasePlace]:
    """A place that no other lease of this node has on this machine. What an earlier one left there, however it ended, is cleaned up
    by the tag. Its lock is a name of the kernel's: jobs of one machine share those where each may have a /tmp of its own. Raises
    OSError."""
    whose = f"{fingerprint(authority).hex()[:12]}-{os.geteuid()}"
    with socket.socket(socket.AF_UNIX) as lock:
        free = (number for number in range(MAX_PLACES) if _locks(lock, f"\0learningchain-lease-{whose}-{number}"))
        number = next(free, None)
        if number is None:
            raise OSError(errno.EBUSY, f"{MAX_PLACES} leases of this node are here already", whose)
        folder = Path(tempfile.gettempdir()) / f"learningchain-lease-{whose}-{number}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "it is not a private folder of this user's", str(folder))
        try:
            yield LeasePlace(folder, f"lease-{whose}-{number}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locks(lock: socket.socket, name: str) -> bool:
    try:
        lock.bind(name)
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            return False
        raise
    return True
