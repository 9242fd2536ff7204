"""Training on the owner's own data: what a program may want to keep, to see, to change, and to tell the world by what it leaves."""

from __future__ import annotations

import os
import stat

from .kit import GOOD, HELD, LOSSES, MODEL, OUT, Verdict, attempt, call, case, finish, forbidden, held, must, params, put, write

DATA = "/lc/in/data"
FILE = f"{DATA}/deep/numbers"
MARK = ".left-by-the-last-run"
PLACES = (
    *("/", "/tmp", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/run", "/var/tmp", "/home", "/root", "/etc", "/lc"),
    *("/lc/in", DATA, f"{DATA}/deep", OUT, "/sys/fs/cgroup", "/proc/self/cwd", "/proc/self/root", "/proc/1/root"),
)
IN_MEMORY = {"/tmp", "/dev/shm", OUT, "/proc/self/cwd"}
"""Where a run may write: each is its own, and goes with it."""


def bad(words: str) -> Verdict:
    return "bad-result", f"exit 0, but {words}"


def size() -> int:
    return os.stat("/lc/in/model").st_size


@case("local", HELD, phase="local", runs=2, sampled=True)
def keeps_between_runs() -> None:
    """leaving a mark for the next run on the same data, in every place there is; it is run twice, and looks for the other's"""
    for place in PLACES:
        must(not os.path.lexists(f"{place}/{MARK}"), f"the last run's mark in {place}")
    for place in PLACES:
        try:
            write(f"{place}/{MARK}")
        except OSError:
            continue
        must(place in IN_MEMORY, f"a mark could be left in {place}")
    for name in ("user.lc", "trusted.lc", "security.lc"):
        attempt(f"an attribute {name}", os.setxattr, FILE, name, b"1")
    before = os.stat(FILE)
    with open(FILE, "rb") as file:
        file.read()
    must(os.stat(FILE).st_atime_ns == before.st_atime_ns, "when it was read is kept: the next run could tell")
    held()


@case("local", HELD, phase="local", sampled=True)
def reads_others_data() -> None:
    """data of another federation on the same engine: by the volume's place, through other roots, by handles, by a search"""
    for place in params()["places"].split():
        for root in ("", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../../..", f"{DATA}/../../.."):
            attempt(f"{root}{place}", os.listdir, f"{root}{place}")
    for name in ("name_to_handle_at", "open_by_handle_at"):
        forbidden(name, -100, FILE.encode(), 0, 0, 0)
    wanted, found = params()["others"].encode(), []
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if folder != "/" or name not in ("proc", "sys", "usr", "lib", "lib64")]
        for name in names:
            try:
                path = os.path.join(folder, name)
                if stat.S_ISREG(os.stat(path).st_mode):
                    with open(path, "rb") as file:
                        found += [path] if wanted in file.read(4096) else []
            except OSError:
                continue
    must(found == ["/lc/in/job.json"], f"found in {found}; job.json says what to look for")
    held()


@case("local", HELD, phase="local", gvisor=(HELD,))
def sees_others_names() -> None:
    """the names of other data among its mounts: there are those of its own alone"""
    with open("/proc/self/mountinfo") as file:
        told = file.read()
    own = [word for line in told.splitlines() if " /lc/in " in line for word in line.split() if "volumes/" in word]
    others = [place for place in params()["places"].split() if place in told and not any(place in word for word in own)]
    must(not others, f"mounts tell of {others}")
    must(told.count("lc-data-") <= 1, "more than its own data among the mounts")
    held()


@case("local", HELD, phase="local", sampled=True)
def writes_data() -> None:
    """writing to the data: remounting, binding, an overlay of its own, other roots, open descriptors, modes, owners"""
    for flags in (32, 32 | 4096, 4096, 1 << 18):  # remount, remount and bind, bind, private
        answer, _ = call("mount", b"none", DATA.encode(), b"none", flags, 0)
        must(answer == -1, f"mount with {flags}")
    layers = b"lowerdir=/lc/in,upperdir=/tmp/up,workdir=/tmp/work"
    for folder in ("/tmp/up", "/tmp/work"):
        os.mkdir(folder)
    must(call("mount", b"overlay", b"/lc/in", b"overlay", 0, layers)[0] == -1, "an overlay over the data")
    for name in ("umount2", "fsopen", "open_tree", "move_mount", "mount_setattr", "unshare", "pivot_root", "chroot"):
        forbidden(name, 0x10000000 if name == "unshare" else 0, 0, 0, 0, 0)
    for root in ("/proc/self/root", "/proc/1/root", "/proc/thread-self/root", "/proc/self/cwd/.."):
        attempt(f"through {root}", write, f"{root}{FILE}")
    opened, inside = os.open(FILE, os.O_RDONLY), os.open(DATA, os.O_RDONLY | os.O_DIRECTORY)
    for path in (f"/proc/self/fd/{opened}", f"/dev/fd/{opened}", f"/proc/thread-self/fd/{opened}", f"/proc/self/fd/{inside}/x"):
        attempt(path, write, path)
    attempt("a mode", os.fchmod, opened, 0o777)
    attempt("an owner", os.fchown, opened, os.getuid(), os.getgid())
    attempt("cutting off", os.ftruncate, opened, 0)
    attempt("a name below the folder", lambda: os.open("x", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=inside))
    attempt("a link out", os.link, FILE, "/tmp/numbers")
    attempt("a link in", os.rename, "/tmp/up", f"{DATA}/up")
    with open(FILE, "rb") as whole:
        must(whole.read() == b"#!/usr/local/bin/python3\n", "the data are what they were")
    held()


@case("local", HELD, phase="local")
def tells_who_trains() -> None:
    """which owner, round or node this is: by its parameters, environment, names of folders and of the machine"""
    import json

    with open("/lc/in/job.json") as file:
        told = json.load(file)
    must(set(told) == {"v", "phase", "seed", "budget_s", "threads", "mem_mb", "params"}, f"job.json tells {sorted(told)}")
    must(
        {name for name in os.environ if name.startswith("LC_")} == {"LC_VERSION", "LC_PHASE", "LC_SEED"},
        "the environment tells more",
    )
    must(os.uname().nodename == "job", "the machine's name")
    with open("/proc/self/mountinfo") as file:
        must("hostile-" not in file.read(), "the node's name among the mounts")
    must({os.stat(path).st_uid for path in (DATA, FILE)} != {os.getuid()}, "the data are the job's own")
    held()


@case("local", bad("model has 19 bytes; the limit is 18"), phase="local")
def hides_data_behind_the_model() -> None:
    """a byte of the data behind a model of the right size"""
    finish(model=b"w" * (size() + 1))


@case("local", bad("model has 17 bytes, and not 18 as the one that it came from"), phase="local")
def says_something_by_a_size() -> None:
    """a model that is shorter than the one it came from: sizes would say something about the data"""
    finish(model=b"w" * (size() - 1))


@case("local", bad("model has 1099511627776 bytes; the limit is 18"), phase="local", file_cap=1 << 41)
def local_sparse_model() -> None:
    """a model of a tebibyte that holds nothing"""
    finish()
    os.truncate(MODEL, 1 << 40)


@case("local", bad("model has"), phase="local")
def local_endless_model() -> None:
    """a model that is written until the place for outputs is full"""
    put(LOSSES, GOOD)
    with open(MODEL, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"w" * (1 << 16))
        except OSError:
            pass


@case("local", bad("model is a symbolic link"), phase="local")
def model_is_the_data() -> None:
    """a link to a file of the data in place of the model"""
    finish()
    os.unlink(MODEL)
    os.symlink(FILE, MODEL)


@case("local", bad("losses, line 1: 'YWdlLHNleA==' is no loss"), phase="local")
def losses_that_hold_the_data() -> None:
    """rows of the data in place of losses: whoever would publish them publishes numbers alone"""
    finish(losses=b"YWdlLHNleA==\n")


@case("local", ("ok", "done"), phase="local")
def other_outputs() -> None:
    """the data themselves as further outputs: what the phase does not name never leaves the container"""
    finish()
    with open(FILE, "rb") as file:
        for name in ("update", "model.1", "data", ".hidden"):
            put(f"{OUT}/{name}", file.read() + b"x")
