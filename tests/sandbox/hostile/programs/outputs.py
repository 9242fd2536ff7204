"""Models that are not what they should be, and what else lies beside them."""

from __future__ import annotations

import os
import signal
import socket

from .kit import FINE, HELD, MODEL, OUT, attempt, case, finish, held, put

CAP = 256 * 1024


def bad(words: str) -> tuple[str, str]:
    return "bad-result", f"exit 0, but {words}"


@case("outputs", bad("model is a symbolic link"), sampled=True)
def model_is_a_link() -> None:
    """a model that is a link to a file of the host"""
    os.symlink("/etc/shadow", MODEL)


@case("outputs", bad("model is a symbolic link"))
def links_in_a_circle() -> None:
    """links that name each other"""
    os.symlink("other", MODEL)
    os.symlink("model", f"{OUT}/other")


@case("outputs", bad("model is a symbolic link"))
def link_into_inputs() -> None:
    """a model that is a link to the job's own input"""
    os.symlink("/lc/in/job.json", MODEL)


@case("outputs", bad("model is a folder"))
def model_is_a_folder() -> None:
    """a folder in place of the model"""
    os.mkdir(MODEL)
    put(f"{MODEL}/model", b"weights")


@case("outputs", HELD)
def model_is_a_pipe() -> None:
    """a pipe that nobody writes to, in place of the model"""
    attempt("a pipe", os.mkfifo, MODEL)
    held()


@case("outputs", bad("model is a socket"), gvisor=(bad("model is missing"),))
def model_is_a_socket() -> None:
    """a socket in place of the model"""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(MODEL)
    listener.listen()


@case("outputs", bad("model has 3145728 bytes; the limit is 262144"), model_cap=CAP)
def sparse_model() -> None:
    """a model of 3 MiB that holds nothing"""
    put(MODEL, b"")
    os.truncate(MODEL, 3 << 20)


@case("outputs", bad(f"model has {CAP + 1} bytes; the limit is {CAP}"), model_cap=CAP)
def model_one_byte_too_long() -> None:
    """a model of one byte more than is allowed"""
    finish(model=bytes(CAP + 1))


@case("outputs", bad("model is missing"))
def model_vanishes() -> None:
    """a model that is removed again at the end"""
    finish()
    os.unlink(MODEL)


@case("outputs", bad("model is empty"))
def model_is_empty() -> None:
    """a model of no bytes"""
    finish(model=b"")


@case("outputs", bad("model cannot be read: Permission denied"))
def unreadable_model() -> None:
    """a model that nobody may read"""
    finish()
    os.chmod(MODEL, 0)


@case("outputs", bad("model"))
def unreadable_folder() -> None:
    """an output folder that nobody may enter"""
    finish()
    os.chmod(OUT, 0)


@case("outputs", HELD)
def hard_links() -> None:
    """hard links to its inputs and to the image's files"""
    for path in ("/lc/in/job.json", "/etc/passwd", "/lc/job", "/proc/self/exe"):
        attempt(path, os.link, path, MODEL)
    held()


@case("outputs", FINE)
def strange_names() -> None:
    """other outputs whose names hold newlines, escapes, no text at all, 255 bytes"""
    for name in (b"a\nb", b"\xff\xfe", b"-rf", b"\x1b[2J", b"x" * 255, b"con:", b"model "):
        put(f"{OUT}/{os.fsdecode(name)}", b"x")
    finish()


@case("outputs", FINE, sampled=True)
def late_writer() -> None:
    """a child that goes on writing the outputs after the job has ended"""
    finish()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            put(f"{OUT}/late", b"late")
            put(f"{OUT}/.model", b"weights")
            os.replace(f"{OUT}/.model", MODEL)
