"""Losses that are not what an evaluation leaves: whose fault it is, decided by the first line that is no loss."""

from __future__ import annotations

import os
import signal
import socket
import stat

from .kit import FINE, HELD, LOSSES, OUT, Verdict, attempt, case, finish, held, put

MOST = 24 << 20
LINES = 1 << 20
LONGEST = b"-100.000000000000000000\n"
"""24 bytes: 2^20 such lines are all that a file may hold."""


def broken(words: str) -> Verdict:
    return "bad-result", f"exit 0, but losses{words}"


def invalid(words: str) -> Verdict:
    return "model-invalid", f"exit 0, but {words}"


@case("losses", broken(" is missing"), phase="evaluate")
def no_losses() -> None:
    """none at all"""


@case("losses", broken(" is a symbolic link"), phase="evaluate", sampled=True)
def losses_are_a_link() -> None:
    """losses that are a link to a file of the host"""
    os.symlink("/etc/passwd", LOSSES)


@case("losses", broken(" is a symbolic link"), phase="evaluate")
def losses_are_a_link_to_a_device() -> None:
    """losses that are a link to a device that never ends"""
    os.symlink("/dev/zero", LOSSES)


@case("losses", broken(" is a symbolic link"), phase="evaluate")
def losses_are_a_link_to_the_model() -> None:
    """losses that are a link to the model that was to be judged"""
    os.symlink("/lc/in/model", LOSSES)


@case("losses", broken(" is a folder"), phase="evaluate")
def losses_are_a_folder() -> None:
    """a folder in place of the losses, without any right to look into it"""
    os.mkdir(LOSSES, 0)


@case("losses", HELD, phase="evaluate")
def losses_are_a_pipe() -> None:
    """a pipe that nobody writes to, in place of the losses"""
    attempt("a pipe", os.mkfifo, LOSSES)
    held()


@case("losses", HELD, phase="evaluate")
def losses_are_a_device() -> None:
    """a device of zeros without end, in place of the losses"""
    for kind, number in ((stat.S_IFCHR, (1, 5)), (stat.S_IFBLK, (8, 0))):
        attempt(f"a device {number}", os.mknod, LOSSES, kind | 0o666, os.makedev(*number))
    held()


@case("losses", broken(" is a socket"), gvisor=(broken(" is missing"),), phase="evaluate")
def losses_are_a_socket() -> None:
    """a socket in place of the losses"""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(LOSSES)
    listener.listen()


@case("losses", broken(" cannot be read: Permission denied"), phase="evaluate")
def losses_are_unreadable() -> None:
    """losses that nobody may read"""
    finish()
    os.chmod(LOSSES, 0)


@case("losses", broken(""), phase="evaluate")
def losses_are_locked_away() -> None:
    """losses in a folder that nobody may enter"""
    finish()
    os.chmod(OUT, 0)


@case("losses", FINE, phase="evaluate", file_cap=64 << 20)
def as_many_losses_as_there_may_be() -> None:
    """2^20 losses in 24 MiB: the limits of lines and of bytes at once"""
    finish(LONGEST * LINES)


@case(
    "losses", broken(", line 1048577: the file has more than 25,165,824 bytes"), phase="evaluate", file_cap=64 << 20, sampled=True
)
def losses_of_one_byte_too_many() -> None:
    """24 MiB and a byte"""
    finish(LONGEST * LINES + b"0")


@case("losses", broken(", line 1048577: an evaluation has at most 1,048,576 losses"), phase="evaluate")
def one_loss_too_many() -> None:
    """2^20 lines and one"""
    finish(b"0\n" * (LINES + 1))


@case("losses", broken(", line 1: the file has more than 25,165,824 bytes"), phase="evaluate", file_cap=64 << 20)
def a_line_without_end() -> None:
    """digits until the place for outputs is full, and no end of the line"""
    with open(LOSSES, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"9" * (1 << 20))
        except OSError:
            pass


@case("losses", broken(", line 1: it is empty"), phase="evaluate", file_cap=64 << 20)
def losses_of_newlines() -> None:
    """24 million lines with nothing in them"""
    put(LOSSES, b"\n" * MOST)


@case("losses", broken(", line 1: the file has more than"), phase="evaluate", file_cap=256 << 20)
def sparse_losses() -> None:
    """losses of 200 MiB that hold nothing and take no memory"""
    put(LOSSES, b"")
    os.truncate(LOSSES, 200 << 20)


@case("losses", broken(", line 3: "), phase="evaluate", file_cap=256 << 20)
def good_losses_before_a_hole() -> None:
    """two losses, and 200 MiB of nothing behind them"""
    finish()
    os.truncate(LOSSES, 200 << 20)


@case("losses", FINE, phase="evaluate", sampled=True)
def losses_that_grow() -> None:
    """a child that goes on adding losses after the job has ended, and while they would be read"""
    finish()
    file = os.open(LOSSES, os.O_WRONLY | os.O_APPEND)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            os.write(file, b"0.25\n")


@case("losses", invalid("losses, line 2: 'nan' is no number"), phase="evaluate", sampled=True)
def a_loss_that_is_not_a_number() -> None:
    """a loss of nan among good ones"""
    finish(b"0.5\nnan\n0.5\n")


@case("losses", invalid("losses, line 1: 'NaN' is no number"), phase="evaluate", file_cap=64 << 20)
def not_a_number_before_too_much() -> None:
    """nan, and 25 MiB behind it: the first bad line decides, on every machine"""
    finish(b"NaN\n" + b"x" * (25 << 20))


@case("losses", broken(", line 1: 'x' is no loss"), phase="evaluate")
def nonsense_before_not_a_number() -> None:
    """a word, and nan behind it"""
    finish(b"x\nnan\n")


@case("losses", invalid("losses, line 1: '-Infinity' is no number"), phase="evaluate")
def an_infinite_loss() -> None:
    """a loss below every other: minus infinity"""
    finish(b"-Infinity\n")


@case("losses", invalid("losses, line 1: '1e-999999999' has an exponent"), phase="evaluate")
def a_loss_with_an_exponent() -> None:
    """a loss with an exponent"""
    finish(b"1e-999999999\n")


@case(
    "losses",
    invalid("losses, line 1: '9999999999999999999999999999999999999999' and 7,999,960 bytes more"),
    phase="evaluate",
    file_cap=64 << 20,
)
def a_loss_of_megabytes() -> None:
    """a loss of eight million digits"""
    finish(b"9" * 8_000_000 + b"\n")


@case("losses", invalid("the losses of 10 examples add up to more than 63 bits hold"), phase="evaluate")
def losses_that_add_up_to_too_much() -> None:
    """ten losses, each the greatest that may be"""
    finish(b"999999999.999999999\n" * 10)


@case("losses", broken(", line 1: "), phase="evaluate")
def losses_in_foreign_digits() -> None:
    """losses in digits that are not ASCII"""
    finish("\u0660.\u0661\n".encode())


@case("losses", broken(", line 1: "), phase="evaluate")
def losses_in_another_encoding() -> None:
    """losses in UTF-16"""
    finish("0.5\n0.25\n".encode("utf-16"))


@case("losses", broken(", line 1: it begins with a byte order mark"), phase="evaluate")
def losses_with_a_mark() -> None:
    """a mark in front that some readers skip"""
    finish(b"\xef\xbb\xbf0.5\n")


@case("losses", broken(", line 1: it ends with a carriage return"), phase="evaluate")
def losses_with_carriage_returns() -> None:
    """ends of lines of another system"""
    finish(b"0.5\r\n0.25\r\n")


@case("losses", broken(", line 2: it has no newline at its end"), phase="evaluate")
def losses_cut_off() -> None:
    """a last line that has no end"""
    finish(b"0.5\n0.2")


@case("losses", broken(', line 1: \'{"loss":"0.5"}\' is no loss'), phase="evaluate")
def losses_as_a_document() -> None:
    """a JSON document"""
    finish(b'{"loss":"0.5"}\n')


@case("losses", broken(", line 1: '\\x1b[2J0.5' is no loss"), phase="evaluate")
def losses_that_take_over_a_terminal() -> None:
    """escape sequences in the line that is told"""
    finish(b"\x1b[2J0.5\n")
