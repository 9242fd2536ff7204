"""What runs in a sidecar: writes a run's inputs and reads its outputs, in a container as locked as the job's own.

    ping                             ok
    put NAME SIZE, then SIZE bytes   ok
    get NAME CAP                     ok SIZE, then SIZE bytes; or: no WHY
    new                              ok: the volume for data was empty, and has a folder for them; or: no WHY
    add NAME SIZE, then SIZE bytes   ok: a file of a data set; NAME in hexadecimal, with the folders before it

One request a line on standard input, one answer each on standard output, until standard input ends: then the node has let
go of the sidecar, or is gone. Stands alone in the sidecar's image, with the interpreter and next to no library.
"""

import io
import os
import stat

IN = "/lc/in"
OUT = "/lc/out"
DATA = "/lc/data"
FILES = "files"
"""The folder of a data volume that jobs see: it is the filler's own, where the volume's root is everybody's."""
LINE = 2048
CHUNK = 1 << 18


def serve(asked: io.BufferedReader, answers: io.BufferedWriter) -> None:
    os.umask(0)
    while words := asked.readline(LINE).decode("ascii").split():
        if words[0] == "ping":
            answers.write(b"ok\n")
        elif words[0] == "put":
            put(f"{IN}/{words[1]}", int(words[2]), asked)
            answers.write(b"ok\n")
        elif words[0] == "new":
            begin(answers)
        elif words[0] == "add":
            add(bytes.fromhex(words[1]).decode(), int(words[2]), asked)
            answers.write(b"ok\n")
        else:
            get(words[1], int(words[2]), answers)
        answers.flush()


def begin(answers: io.BufferedWriter) -> None:
    """Nobody else's files become a job's inputs."""
    if os.listdir(DATA):
        return refuse(answers, "is not empty")
    os.mkdir(f"{DATA}/{FILES}", 0o755)
    answers.write(b"ok\n")
    return None


def add(name: str, size: int, source: io.BufferedReader) -> None:
    """The node has checked the name; that it leads out of the folder is refused here too."""
    parts = name.split("/")
    if not all(part.strip(".") for part in parts):
        raise ValueError("a name that leads out")
    for end in range(1, len(parts)):
        folder = "/".join((DATA, FILES, *parts[:end]))
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o755)
    put("/".join((DATA, FILES, *parts)), size, source)


def put(path: str, size: int, source: io.BufferedReader) -> None:
    """Readable by everybody in the job's container, where it is mounted read-only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb", buffering=0) as file:
        while size:
            piece = source.read(min(CHUNK, size))
            if not piece:
                raise EOFError("the node went away")
            file.write(piece)
            size -= len(piece)


def get(name: str, cap: int, answers: io.BufferedWriter) -> None:
    """Only a regular file of the job's, and never what a link names. The job is dead: nothing changes meanwhile."""
    path = f"{OUT}/{name}"
    try:
        facts = os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(facts.st_mode):
            return refuse(answers, f"is {kind(facts.st_mode)}, not a regular file")
        if facts.st_size > cap:
            return refuse(answers, f"has {facts.st_size} bytes; the limit is {cap}")
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return refuse(answers, "is missing")
    except OSError as problem:
        return refuse(answers, f"cannot be read: {problem.strerror}")
    with open(opened, "rb", buffering=0) as file:
        answers.write(b"ok %d\n" % facts.st_size)
        left = facts.st_size
        while left:
            piece = file.read(min(CHUNK, left))
            answers.write(piece)
            left -= len(piece)
            if not piece:
                raise EOFError(f"{name} became shorter")
    return None


def refuse(answers: io.BufferedWriter, why: str) -> None:
    answers.write(f"no {why}\n".encode("ascii", "replace"))


def kind(mode: int) -> str:
    names = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


if __name__ == "__main__":
    with open(0, "rb") as standard_input, open(1, "wb") as standard_output:
        serve(standard_input, standard_output)
