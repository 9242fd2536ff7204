"""What the engine mounts, in a mount namespace of its own: nobody else sees it, and it goes with the engine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from learningchain.sandbox.oci.bundle import NODES

_LIBC = ctypes.CDLL(None, use_errno=True)
RDONLY, NOSUID, NODEV, NOEXEC, DETACH = 1, 2, 4, 8, 2
LOCKED = NOSUID | NODEV | NOEXEC
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Raises OSError."""
    if _LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None):
        error = ctypes.get_errno()
        raise OSError(error, f"mounting {kind} at {target}: {os.strerror(error)}")


def cover(folder: Path, below: Path) -> Path:
    """A tree that is `below`, and takes what is made in it into `folder`: the runtime makes places for mounts in it. Who looks at
    its mounts reads no path of the owner's. Raises OSError."""
    names = {name: folder / name for name in ("upper", "work", "root")}
    for place in names.values():
        place.mkdir()
    opened = {name: os.open(place, os.O_PATH | os.O_DIRECTORY) for name, place in (*names.items(), ("lower", below))}
    try:
        options = [f"{name}dir=/proc/self/fd/{opened[name]}" for name in ("lower", "upper", "work")]
        mount("overlay", str(names["root"]), "overlay", NOSUID | NODEV, ",".join((*options, "userxattr")))
    finally:
        for number in opened.values():
            os.close(number)
    return names["root"]


def unmount(target: str) -> None:
    """One that is not mounted is no error."""
    _LIBC.umount2(target.encode(), DETACH)


def make_dev(folder: Path, more: Iterable[str] = ()) -> None:
    """What is /dev in a container, where it is read-only: places for what is mounted below. `more`: nodes beside those that every
    one has."""
    folder.mkdir(exist_ok=True)
    mount("tmpfs", str(folder), "tmpfs", NOSUID | NOEXEC, "size=64k,nr_inodes=512,mode=0755")
    for path in more:
        place = folder / Path(path).relative_to("/dev")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    for node in NODES:
        (folder / Path(node).name).touch()
    for name in ("pts", "shm", "mqueue"):
        (folder / name).mkdir()
    for name, target in LINKS.items():
        (folder / name).symlink_to(target)
