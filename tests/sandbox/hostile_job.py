#!/usr/local/bin/python3
"""The job of the tests' image. `params.mode` says how it behaves; each mode is one small function."""

import ctypes
import json
import os
import pathlib
import signal
import socket
import sys
import time

MODEL, LOSSES = "/lc/out/model", "/lc/out/losses"
GOOD = b"0.25\n0.5\n"


def put(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def finish(losses: bytes = GOOD, model: bytes = b"weights") -> None:
    put(MODEL, model)
    put(LOSSES, losses)


def good() -> None:
    for step in (1, 2, 3):
        print("LC " + json.dumps({"step": step, "of": 3, "loss": 1 / step}), flush=True)
    finish()


def echo() -> None:
    """The model is a report of what the job sees."""
    seen = {name: os.environ.get(name) for name in sorted(os.environ) if name not in ("PATH", "LANG")}
    inputs = {}
    for name in sorted(os.listdir("/lc/in")):
        with open(f"/lc/in/{name}") as file:
            inputs[name] = file.read()
    here = {"env": seen, "in": inputs, "argv": sys.argv, "uid": os.getuid(), "cwd": os.getcwd()}
    here["processors"] = sorted(os.sched_getaffinity(0))
    finish(model=json.dumps(here).encode())
    print(json.dumps(here))


def network() -> None:
    """Exit 0 only where some way out is open."""
    for family, address in ((socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_VSOCK, (2, 1024))):
        try:
            socket.socket(family, socket.SOCK_STREAM).connect(address)
        except OSError:
            continue
        return finish()
    sys.exit(9)


def fork_bomb() -> None:
    while True:
        try:
            os.fork()
        except OSError:
            signal.pause()


def memory() -> None:
    held = []
    while True:
        held.append(bytearray(b"x") * (4 << 20))


def memory_in_tmp() -> None:
    """A file system in memory counts as memory."""
    for number in range(60):
        put(f"/dev/shm/{number}", bytes(4 << 20))


def disk() -> None:
    """Fills every place; exit 9 where all of them ended in an error."""
    for place in ("/", "/lc", "/tmp", "/lc/out", "/dev", "/dev/shm", "/var"):
        try:
            for number in range(100):
                put(f"{place}/fill{number}", bytes(2 << 20))
        except OSError:
            continue
        return finish()
    sys.exit(9)


def flood() -> None:
    while True:
        os.write(1, b"y" * 65536)


def forever() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    print('LC {"step":0}', flush=True)
    while True:
        signal.pause()


def long_training() -> None:
    """A loss line ten times a second until its budget is over, and then a model of which the last one is known."""
    with open("/lc/in/job.json") as file:
        steps = json.load(file)["budget_s"] * 10
    for step in range(1, steps + 1):
        print(f'LC {{"step":{step},"of":{steps},"loss":{1 / step}}}', flush=True)
        time.sleep(0.1)
    read = b"".join(path.read_bytes() for path in sorted(pathlib.Path("/lc/in/sets").rglob("*")) if path.is_file())
    finish(model=f"trained for {steps} steps".encode() + (b" on " + read if read else b""))


def checkpoints() -> None:
    """Counts to nine and leaves each number as its checkpoint. It stops for ever after five, unless it was given one."""
    given = pathlib.Path("/lc/in/checkpoint")
    begin = int(given.read_text()) if given.exists() else 0
    for number in range(begin + 1, 10):
        put("/lc/out/new", b"%d" % number)
        os.replace("/lc/out/new", "/lc/out/checkpoint")
        print(f'LC {{"step":{number}}}', flush=True)
        while number == 5 and not begin:
            signal.pause()
    finish(model=f"from {begin} to 9".encode())


def checkpoint_torn() -> None:
    """Writes and cuts its checkpoint in place, as fast as it can, and puts other things there in between."""
    path, until = "/lc/out/checkpoint", time.monotonic() + 4
    while time.monotonic() < until:
        for size in (300_000, 1, 700_000):
            put(path, os.urandom(1) * size)
            os.truncate(path, size // 2)
        os.unlink(path)
        os.symlink("/etc/passwd", path)
        os.unlink(path)
        os.mkdir(path)
        os.rmdir(path)
    finish()


def checkpoint_sparse() -> None:
    """As many bytes as it may have, with no memory behind them, and then more."""
    for size in (3 * 256 * 1024, 4 << 20):
        put("/lc/out/new", b"")
        os.truncate("/lc/out/new", size)
        os.replace("/lc/out/new", "/lc/out/checkpoint")
        time.sleep(2)
    finish()


def silent_forever() -> None:
    """Closes its output, so that nobody hears from it, and stays."""
    os.close(1)
    os.close(2)
    while True:
        signal.pause()


def orphans() -> None:
    """Leaves a child that would go on for ever."""
    finish()
    if os.fork() == 0:
        os.setsid()
        while True:
            put("/lc/out/late", b"late")


def root() -> None:
    """Exit 9 where every way to more rights is refused."""
    libc = ctypes.CDLL(None)
    for number in (105, 106, 161, 165):  # setuid, setgid, chroot, mount
        if libc.syscall(number, 0, 0, 0, 0, 0) == 0:
            return finish()
    for path in ("/etc/passwd", "/lc/job", "/lc/in/job.json", "/proc/sysrq-trigger"):
        try:
            open(path, "ab").close()
        except OSError:
            continue
        return finish()
    sys.exit(9)


def model_link() -> None:
    os.symlink("/etc/passwd", MODEL)


def model_folder() -> None:
    os.mkdir(MODEL)
    put(MODEL + "/model", b"weights")


def model_pipe() -> None:
    socket.socket(socket.AF_UNIX).bind(MODEL)


def model_sparse() -> None:
    put(MODEL, b"")
    os.truncate(MODEL, 3 << 20)


def model_missing() -> None:
    put(LOSSES, GOOD)


def model_empty() -> None:
    finish(model=b"")


def losses_link() -> None:
    os.symlink("/etc/passwd", LOSSES)


def losses_missing() -> None:
    put(MODEL, b"weights")


def losses_nan() -> None:
    finish(b"0.5\nnan\n")


def losses_words() -> None:
    finish(b"0.5\nloss\n")


def main() -> None:
    with open("/lc/in/job.json") as file:
        mode = json.load(file)["params"]["mode"]
    if mode.startswith("exit"):
        sys.exit(int(mode[4:]))
    globals()[mode]()


main()
