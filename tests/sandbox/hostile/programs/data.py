"""The owner's data, which a job sees from the engine's disk, and what lies below them and beside them there."""

from __future__ import annotations

import mmap
import os

from .kit import FINE, HELD, attempt, case, held, must, write

DATA = "/lc/in/data"
PROGRAM = f"{DATA}/program"


@case("data", HELD, sampled=True, phase="local")
def data_write() -> None:
    """changing a data set: writing, adding, removing, renaming, modes, times, links, attributes, cutting off"""
    for path in (PROGRAM, f"{DATA}/deep/numbers", f"{DATA}/x", f"{DATA}/deep/x", "/lc/in/x", "/lc/in/job.json"):
        attempt(path, write, path)
    for action, arguments in (
        (os.unlink, (PROGRAM,)),
        (os.rename, (PROGRAM, f"{DATA}/x")),
        (os.rename, (DATA, "/lc/in/x")),
        (os.link, (PROGRAM, f"{DATA}/x")),
        (os.link, (PROGRAM, "/lc/out/x")),
        (os.symlink, (PROGRAM, f"{DATA}/x")),
        (os.mkdir, (f"{DATA}/x",)),
        (os.rmdir, (f"{DATA}/deep",)),
        (os.chmod, (PROGRAM, 0o777)),
        (os.utime, (PROGRAM,)),
        (os.truncate, (PROGRAM, 0)),
        (os.setxattr, (PROGRAM, "user.x", b"1")),
        (os.setxattr, (PROGRAM, "trusted.overlay.opaque", b"y")),
    ):
        attempt(f"{action.__name__} {arguments}", action, *arguments)
    held()


@case("data", HELD, phase="local")
def data_run() -> None:
    """running a program of a data set, also one that its owner made set-user-id on the host"""
    must(not os.stat(PROGRAM).st_mode & 0o7111, f"mode {os.stat(PROGRAM).st_mode:o}")
    attempt("run", os.execv, PROGRAM, [PROGRAM])
    attempt("run by a link", os.execv, f"/proc/self/cwd/..{PROGRAM}", [PROGRAM])
    held()


@case("data", HELD, gvisor=(FINE,), phase="local")
def data_map() -> None:
    """mapping a file of a data set as code"""
    file = os.open(PROGRAM, os.O_RDONLY)
    attempt("map", lambda: mmap.mmap(file, 1, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC))
    held()


@case("data", HELD, phase="local")
def data_below() -> None:
    """what lies below a data set: the engine's folders that it is made of, other volumes, `..` out of it"""
    with open("/proc/self/mountinfo") as file:
        told = [part for line in file if " /lc/in " in line for part in line.replace(",", " ").replace("=", " ").split()]
    folders = [folder for part in told for folder in part.split(":") if folder.startswith("/var/") or "/volumes/" in folder]
    for folder in (*folders, "/var/lib/docker/volumes", f"{DATA}/../../../../var/lib/docker"):
        attempt(folder, os.listdir, folder)
    must(sorted(os.listdir("/lc/in")) == ["data", "job.json", "model"], f"there is more: {os.listdir('/lc/in')}")
    must(os.path.realpath(f"{DATA}/..") == "/lc/in", "a folder that leads out")
    held()
