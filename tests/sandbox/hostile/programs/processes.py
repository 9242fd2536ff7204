"""Processes that do not end, or end in odd ways."""

from __future__ import annotations

import os
import signal
import sys
import time

from .kit import CLOCK, FAILED, FINE, HELD, LIBC, STOPPED, case, finish, held, must

EVERY_SIGNAL = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


def deaf() -> None:
    for number in EVERY_SIGNAL:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue


def stay() -> None:
    while True:
        time.sleep(60)


@case("processes", CLOCK, wall_s=1.0, sampled=True)
def ignores_signals() -> None:
    """ignoring every signal that can be ignored"""
    deaf()
    stay()


@case("processes", CLOCK, gvisor=STOPPED, wall_s=1.0)
def daemons() -> None:
    """twenty daemons, double forked, in sessions of their own, deaf to signals"""
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                deaf()
                stay()
            os._exit(0)
    deaf()
    stay()


@case("processes", FINE, sampled=True)
def leaves_daemons() -> None:
    """ending while its daemons go on, with its output kept open"""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            deaf()
            stay()
        os._exit(0)
    finish()


@case("processes", CLOCK, wall_s=1.0)
def stops_itself() -> None:
    """stopping itself instead of ending"""
    os.kill(os.getpid(), signal.SIGSTOP)
    stay()


@case("processes", CLOCK, wall_s=1.0)
def closes_its_output() -> None:
    """closing its output, so that nobody hears of it, and staying"""
    os.close(1)
    os.close(2)
    stay()


@case("processes", ("failed", "the job failed (exit 137)"))
def claims_a_kill() -> None:
    """the exit code of a process that was killed for its memory"""
    sys.stdout.flush()
    os._exit(137)


@case("processes", ("failed", "the job failed (exit 137)"))
def kills_itself() -> None:
    """killing itself"""
    os.kill(os.getpid(), signal.SIGKILL)


@case("processes", ("failed", "the job failed (exit 255)"))
def odd_exit_code() -> None:
    """an exit code that the contract does not know"""
    os._exit(255)


@case("processes", ("failed", "the job failed (exit 134)"), gvisor=(FAILED,))
def dumps_core() -> None:
    """a crash that would leave its memory behind as a file"""
    os.chdir("/lc/out")
    os.abort()


@case("processes", HELD)
def renames_itself() -> None:
    """a command line and a name that pass for the engine's"""
    must(LIBC.prctl(15, b"dockerd", 0, 0, 0) == 0, "its name is dockerd")
    must(os.getpid() != 1, "it is the first process of its container")
    held()


@case("processes", CLOCK, wall_s=1.0)
def sleeps_for_ever() -> None:
    """doing nothing at all"""
    stay()
