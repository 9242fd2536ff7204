"""What runs in a sidecar: writes a run's inputs and reads its outputs, in a container as locked as the job's own.

    ping                             ok
    put NAME SIZE, then SIZE bytes   ok
    get NAME CAP                     ok SIZE, then SIZE bytes; or: no WHY
    start NAME CAP                   the same of a file of any size, cut after CAP bytes
    take NAME CAP                    the same of a file that may change meanwhile: read into memory first
    copy NAME CAP SEEN               ok SIZE STAMP, then SIZE bytes, then: whole, or: changed. Of a job that goes on; or: no WHY
    new                              ok: the volume for data was empty, and has a folder for them; or: no WHY
    keep NAME SIZE, then SIZE bytes  ok: a file of the owner's data; NAME in hexadecimal, with the folders before it. Such data
                                     outlive the engine's machine: a large file reaches the disk as it comes
    sync NAME                        ok: this file of the data is on the disk, also after a loss of power
    stay SECONDS                     ok: it holds the volumes for so long after its standard input ended

One request a line on standard input, one answer each on standard output, until standard input ends: then the node has let
go of the sidecar, or is gone. Stands alone in the sidecar's image, with the interpreter and next to no library.
"""

import io
import os
import stat
import time

IN = "/lc/in"
OUT = "/lc/out"
DATA = "/lc/data"
FILES = "files"
"""The folder of a data volume that jobs see: it is the filler's own, where the volume's root is everybody's."""
LINE = 2048
CHUNK = 1 << 18
SYNC_EVERY = 64 << 20


def serve(asked: io.BufferedReader, answers: io.BufferedWriter) -> None:
    os.umask(0)
    stays = 0.0
    while words := asked.readline(LINE).decode("ascii").split():
        if words[0] == "ping":
            answers.write(b"ok\n")
        elif words[0] == "put":
            put(f"{IN}/{words[1]}", int(words[2]), asked)
            answers.write(b"ok\n")
        elif words[0] == "new":
            begin(answers)
        elif words[0] == "keep":
            keep(bytes.fromhex(words[1]).decode(), int(words[2]), asked)
            answers.write(b"ok\n")
        elif words[0] == "sync":
            sync(bytes.fromhex(words[1]).decode())
            answers.write(b"ok\n")
        elif words[0] == "stay":
            stays = float(words[1])
            answers.write(b"ok\n")
        elif words[0] == "copy":
            copy(words[1], int(words[2]), words[3], answers)
        else:
            get(words[1], int(words[2]), answers, words[0])
        answers.flush()
    time.sleep(stays)


def begin(answers: io.BufferedWriter) -> None:
    """Nobody else's files become a job's inputs."""
    if os.listdir(DATA):
        return refuse(answers, "is not empty")
    os.mkdir(f"{DATA}/{FILES}", 0o755)
    answers.write(b"ok\n")
    return None


def keep(name: str, size: int, source: io.BufferedReader) -> None:
    """The node has checked the name; that it leads out of the folder is refused here too."""
    parts = within(name)
    for end in range(1, len(parts)):
        folder = "/".join((DATA, FILES, *parts[:end]))
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o755)
    put("/".join((DATA, FILES, *parts)), size, source, durable=True)


def within(name: str) -> list[str]:
    parts = name.split("/")
    if not all(part.strip(".") for part in parts):
        raise ValueError("a name that leads out")
    return parts


def sync(name: str) -> None:
    """Asked for file by file when all are there: what the disk gets for the first holds most of what the others wait for."""
    file = os.open("/".join((DATA, FILES, *within(name))), os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def put(path: str, size: int, source: io.BufferedReader, *, durable: bool = False) -> None:
    """Readable by everybody in the job's container, where it is mounted read-only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb", buffering=0) as file:
        while size:
            if durable and file.tell() and not file.tell() % SYNC_EVERY:
                os.fsync(file.fileno())  # nobody's patience ends while gigabytes go to the disk at once
            piece = source.read(min(CHUNK, size))
            if not piece:
                raise EOFError("the node went away")
            file.write(piece)
            size -= len(piece)


def get(name: str, cap: int, answers: io.BufferedWriter, how: str) -> None:
    """Only a regular file of the job's, and never what a link names. Where nothing is taken the job is dead: nothing changes."""
    opened = regular(name)
    if isinstance(opened, str):
        return refuse(answers, opened)
    with open(opened, "rb", buffering=-1 if how == "take" else 0) as file:
        facts = os.fstat(opened)
        if how == "get" and facts.st_size > cap:
            return refuse(answers, f"has {facts.st_size} bytes; the limit is {cap}")
        if how == "take":
            taken = file.read(cap)
            answers.write(b"ok %d\n" % len(taken) + taken)
            return None
        left = min(cap, facts.st_size)
        answers.write(b"ok %d\n" % left)
        while left:
            piece = file.read(min(CHUNK, left))
            answers.write(piece)
            left -= len(piece)
            if not piece:
                raise EOFError(f"{name} became shorter")
    return None


def copy(name: str, cap: int, seen: str, answers: io.BufferedWriter) -> None:
    """One opened file, whatever gets its name meanwhile. As much is sent as was announced, of a file that becomes shorter too: the
    stream goes on after it, and the word behind it says that it is no good."""
    opened = regular(name)
    if isinstance(opened, str):
        return refuse(answers, opened)
    with open(opened, "rb", buffering=0) as file:
        facts = os.fstat(opened)
        size, stamp = facts.st_size, mark(facts)
        if stamp == seen:
            return refuse(answers, "is the same")
        if not 0 < size <= cap:
            return refuse(answers, f"has {size} bytes; the limit is {cap}" if size else "is empty")
        answers.write(f"ok {size} {stamp}\n".encode())
        while size:
            piece = file.read(min(CHUNK, size)) or bytes(min(CHUNK, size))
            answers.write(piece)
            size -= len(piece)
        answers.write(b"whole\n" if mark(os.fstat(opened)) == stamp else b"changed\n")
    return None


def mark(facts: os.stat_result) -> str:
    """Another one for every file, and after every change of one."""
    return f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}"


def regular(name: str) -> int | str:
    """An output, opened; or why it cannot be taken."""
    path = f"{OUT}/{name}"
    try:
        facts = os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(facts.st_mode):
            return f"is {kind(facts.st_mode)}, not a regular file"
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        facts = os.fstat(opened)
        if not stat.S_ISREG(facts.st_mode):  # of a job that lives, it may have become one
            os.close(opened)
            return f"is {kind(facts.st_mode)}, not a regular file"
    except FileNotFoundError:
        return "is missing"
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    return opened


def refuse(answers: io.BufferedWriter, why: str) -> None:
    answers.write(f"no {why}\n".encode("ascii", "replace"))


def kind(mode: int) -> str:
    names = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


if __name__ == "__main__":
    with open(0, "rb") as standard_input, open(1, "wb") as standard_output:
        serve(standard_input, standard_output)
