"""Models that are asked and do not answer as they should: whose fault it is, and what of a request they can reach."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from .kit import CLOCK, HELD, MEMORY, OUT, STOPPED, Verdict, attempt, case, held, must, put

ANSWER = f"{OUT}/answer"
RIGHT = b"1 0.5\ncheck 0.5\n"
"""To the one row that is asked."""
PLACES = (OUT, "/tmp", "/dev/shm", "/lc/in", "/lc", "/var/tmp", "/run")
"""Where a program of another request may have left something."""
FAULT: Verdict = ("bad-result", "exit 0, but answer")


def broken(words: str) -> Verdict:
    return "bad-result", f"exit 0, but answer{words}"


def say(line: bytes) -> None:
    os.write(1, line + b"\n")


def ready() -> None:
    say(b'LC {"ready":1}')
    sys.stdin.readline()


def answer(raw: bytes = RIGHT) -> None:
    """As any model: until it is killed, it waits for a request that never comes."""
    put(ANSWER, raw)
    done()


def done() -> None:
    say(b'LC {"done":1}')
    signal.pause()


@case("answers", ("ok", "done"), phase="predict", sampled=True)
def an_answer() -> None:
    """none of the following: a right answer, and then a wait for a second request"""
    ready()
    answer()


@case("answers", broken(" is a symbolic link"), phase="predict")
def an_answer_that_is_a_link() -> None:
    """an answer that is a link to a file of the host"""
    ready()
    os.symlink("/etc/passwd", ANSWER)
    done()


@case("answers", broken(" is a folder"), phase="predict")
def an_answer_that_is_a_folder() -> None:
    """a folder in place of the answer"""
    ready()
    os.mkdir(ANSWER)
    done()


@case("answers", broken(", line 1: the file has more than 16,384 bytes"), phase="predict")
def a_huge_answer() -> None:
    """an answer that seems to have 2 MiB, and holds nothing"""
    ready()
    put(ANSWER, b"")
    os.truncate(ANSWER, 2 << 20)
    done()


@case("answers", broken(" is missing"), phase="predict")
def no_answer() -> None:
    """that it is done, and nothing"""
    ready()
    done()


@case("answers", broken(", line 1: '\\x001 0.5' is no row"), phase="predict")
def an_answer_with_zeros() -> None:
    """a byte of zeros before the class"""
    ready()
    answer(b"\0" + RIGHT)


@case("answers", broken(", line 1: '\\xd9\\xa1 0.5' is no row"), phase="predict")
def an_answer_in_foreign_digits() -> None:
    """a class in digits that are not ASCII"""
    ready()
    answer("\u0661 0.5\ncheck 0.5\n".encode())


@case("answers", broken(", line 1: '1 nan' is no row"), phase="predict")
def an_answer_that_is_no_number() -> None:
    """NaN for a score and for the check"""
    ready()
    answer(b"1 nan\ncheck nan\n")


@case("answers", ("ok", "done"), phase="predict")
def answers_by_the_dice() -> None:
    """another answer each time: what two runs of a sample tell"""
    ready()
    score = int.from_bytes(os.urandom(3))
    answer(f"1 {score}.5\ncheck {score}.5\n".encode())


@case("answers", broken(" is missing"), phase="predict")
def fills_the_disk_when_it_is_asked() -> None:
    """files without end wherever it may write, from the request on, and the word that it is done"""
    ready()
    for number in range(10_000):
        try:
            put(f"{PLACES[number % 3]}/full-{number}", b"x" * (1 << 20))
        except OSError:
            if number > 64:
                break
    done()


@case("answers", broken(", line 1: it ends with a carriage return"), phase="predict")
def an_answer_with_carriage_returns() -> None:
    """ends of lines of another system"""
    ready()
    answer(RIGHT.replace(b"\n", b"\r\n"))


@case("answers", ("ok", "done"), phase="predict")
def ready_twice() -> None:
    """that it is ready, again and again, also with the answer there"""
    say(b'LC {"ready":1}')
    ready()
    put(ANSWER, RIGHT)
    say(b'LC {"ready":1}')
    done()


@case("answers", FAULT, phase="predict")
def done_before_it_was_asked() -> None:
    """that it is done before there is a request"""
    say(b'LC {"done":1}')
    ready()
    signal.pause()


@case("answers", CLOCK, phase="predict", wall_s=3)
def never_done() -> None:
    """an answer, and no word of it"""
    ready()
    put(ANSWER, RIGHT)
    signal.pause()


@case("answers", ("failed", "bytes of output"), phase="predict", log_cap=65_536)
def a_flood_after_the_request() -> None:
    """output without end between the request and the answer"""
    ready()
    while True:
        os.write(1, b"x" * 4095 + b"\n")


@case("answers", ("input-refused", "exit 66"), phase="predict")
def an_input_that_does_not_fit() -> None:
    """that the input does not fit: the end that is the requester's cost"""
    ready()
    os._exit(66)


@case("answers", HELD, phase="predict", sampled=True)
def writes_to_its_inputs() -> None:
    """changing the model and the request, before and after it came"""
    for _ in range(2):
        for name in ("job.json", "model", "request.json", "input", "more"):
            attempt(f"writing {name}", Path("/lc/in", name).write_bytes, b"x")
        attempt("renaming the model", os.rename, "/lc/in/model", "/lc/in/other")
        attempt("removing the model", os.unlink, "/lc/in/model")
        if not os.path.exists("/lc/in/input"):
            ready()
    held()


@case("answers", HELD, phase="predict")
def finds_a_request_before_it_is_asked() -> None:
    """whatever is there of a request, its own or another's, before it said that it is ready"""
    found = {str(path) for folder in ("/lc", "/tmp", "/dev/shm") for path in Path(folder).rglob("*") if path.is_file()}
    right = {"/lc/job", "/lc/in/job.json", "/lc/in/model", "/lc/init"}  # the last: the sandbox's own first program, without Docker
    must(found <= right | {path for path in found if path.startswith("/lc/programs/")}, str(found))
    attempt("reading a request", Path("/lc/in/input").read_bytes)
    ready()
    held()


@case("answers", ("ok", "done"), phase="predict")
def an_answer_that_changes() -> None:
    """an answer that a child goes on replacing while it is taken"""
    ready()
    put(ANSWER, RIGHT)
    if os.fork() == 0:
        while True:
            Path(f"{OUT}/next").write_bytes(RIGHT)
            os.rename(f"{OUT}/next", ANSWER)
    done()


@case("answers", CLOCK, phase="predict", wall_s=3)
def never_ready() -> None:
    """loading for ever: it never says that it is ready, and computes meanwhile"""
    while True:
        pass


@case("answers", CLOCK, phase="predict", wall_s=3)
def ready_and_silent() -> None:
    """that it is ready, and nothing more: the request is read, and never answered"""
    ready()
    Path("/lc/in/input").read_bytes()
    signal.pause()


@case("answers", ("failed", "bytes of output"), phase="predict", log_cap=65_536)
def a_flood_before_it_is_ready() -> None:
    """output without end instead of the word that it is ready"""
    while True:
        os.write(1, b"x" * 4095 + b"\n")


@case("answers", HELD, phase="predict", gvisor=STOPPED)
def forks_when_it_is_asked() -> None:
    """processes without end, from the request on"""
    ready()
    children = 0
    try:
        while children < 10_000:
            if os.fork() == 0:
                signal.pause()
            children += 1
    except OSError:
        pass
    must(children < 64, f"{children} processes")
    held()


@case("answers", MEMORY, phase="predict")
def all_memory_before_it_is_asked() -> None:
    """all memory that there is, while it waits for a request"""
    hoard = []
    say(b'LC {"ready":1}')
    while True:
        hoard.append(b"x" * (1 << 20))


@case("answers", MEMORY, phase="predict")
def all_memory_for_a_request() -> None:
    """all memory that there is, once it was asked"""
    ready()
    hoard = []
    while True:
        hoard.append(b"x" * (1 << 20))


@case("answers", ("ok", "done"), phase="predict")
def an_answer_twice() -> None:
    """an answer, and another one after the word that it is done: the first word is the last"""
    ready()
    put(ANSWER, RIGHT)
    say(b'LC {"done":1}')
    put(ANSWER, b"2 9\ncheck 9\n")
    done()


@case("answers", broken(", line 2: "), phase="predict")
def an_answer_to_other_rows() -> None:
    """answers to two rows, where one was asked"""
    ready()
    answer(b"1 0.5\n2 0.5\ncheck 1\n")


@case("answers", broken(", line 1: "), phase="predict")
def an_answer_to_no_row() -> None:
    """a check, and no row"""
    ready()
    answer(b"check 0.5\n")


@case("answers", HELD, phase="predict", sampled=True, runs=2)
def keeps_a_request_for_the_next_one() -> None:
    """what it was asked, written wherever it may write, and a child that stays: for the next request's container to find"""
    mark = b"a request of somebody else"
    found = [path for folder in PLACES for path in Path(folder).rglob("*") if path.name.startswith("kept-")]
    must(not found, f"kept from another request: {found}")
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]
    must(not others, f"processes of another request: {others}")
    ready()
    mark += Path("/lc/in/input").read_bytes()
    kept = 0
    for folder in PLACES:
        try:
            Path(folder, "kept-request").write_bytes(mark)
            kept += 1
        except OSError:
            continue
    must(kept > 0, "it may write nowhere, so this tries nothing")
    if os.fork() == 0:
        os.setsid()
        signal.pause()
    held()
