"""Asks Slurm for leases by its own commands: a lease is a batch job that runs `learningchain machine lease`.

    try_out(shape) --sbatch --test-only-->  when one would start
    ask(name)      --sbatch-->  queued --> running --> ended
    look(names)    --squeue-->  where each of them stands: one question for all
    end(name)      --scancel->  ended

Slurm knows a lease by the name of its job, which the node made: one whose `sbatch` was not answered, or with nonsense, is found and
ended all the same. Commands are lists of arguments, and no text of a job, a peer or a machine is in them. What they say is bounded
and checked; what they say of a lease says nothing of its process, which may run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import re
import shlex
import signal
from collections.abc import Collection, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

log: Any = structlog.get_logger("slurm")

CALL_S: Final = 60.0
END_S: Final = 5.0
MAX_ANSWER: Final = 1 << 20
WARN_S: Final = 120
"""Slurm sends USR1 so long before a lease's time is over."""
HANDED_ON: Final = frozenset({"HOME", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SLURM_CONF", "USER"})
"""What sbatch, and so a lease's job, has of the node's environment."""
_STATES: Final = re.compile(r"[A-Z_]{2,32}")
_START: Final = re.compile(r"to start at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\b")
_QUEUED: Final = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_ENDED: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)


class SlurmError(Exception):
    """A command of Slurm failed, or said what is no answer. The text names the command and what it said."""


class LeaseShape(msgspec.Struct, frozen=True):
    """What a lease needs: Slurm gives whole processors, and counts its time in minutes."""

    cpus: int
    mem_mb: int
    minutes: int
    gres: str = ""
    """Generic resources, such as gpu:a100:2."""


class LeaseStanding(Enum):
    QUEUED, RUNNING, ENDED = "queued", "running", "ended"


class LeaseNews(msgspec.Struct, frozen=True):
    """Where Slurm says that a lease stands. `why`: its state, and its reason for that, in Slurm's words."""

    standing: LeaseStanding
    why: str
    start: float | None = None
    """Unix time at which it started, or may start."""


class SlurmTerms(msgspec.Struct, frozen=True):
    """What the operator set. `command`: the words that start the program on a machine of the cluster."""

    command: tuple[str, ...]
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""


class Slurm:
    def __init__(self, terms: SlurmTerms) -> None:
        self._terms = terms

    async def try_out(self, shape: LeaseShape) -> float | None:
        """When a lease of this shape would start (Unix time); None where Slurm does not say. Raises `SlurmError` where it would
        never."""
        _, said = await _call([*self._words("sbatch", shape), "--test-only"], b"#!/bin/sh\n")
        found = _START.search(said)
        return None if found is None else _unix(found[1])

    async def ask(self, name: str, shape: LeaseShape, order: Path, printed: Path) -> None:
        """A lease of this name. Its program reads the file `order` and writes into `printed`. Raises `SlurmError`, also where a
        lease was made: `end` it."""
        script = f"#!/bin/sh\nexec {shlex.join((*self._terms.command, 'machine', 'lease', str(order)))}\n"
        named = [f"--job-name={name}", f"--output={printed}", f"--signal=B:USR1@{WARN_S}"]
        said, _ = await _call([*self._words("sbatch", shape), "--parsable", *named], script.encode())
        number = said.strip().partition(";")[0]
        if not (number.isascii() and number.isdigit() and len(number) <= 12):
            raise SlurmError(f"sbatch answered {_shown(said)!r}, which is no number of a job")
        log.info("a lease was asked for", lease=name, job=number, cpus=shape.cpus, mem_mb=shape.mem_mb, minutes=shape.minutes)

    async def look(self, names: Collection[str]) -> dict[str, LeaseNews]:
        """Those of these that Slurm knows. Raises `SlurmError`."""
        asked = ["squeue", "--noheader", "--states=all", "--format=%j|%T|%S|%r", f"--name={','.join(sorted(names))}"]
        said, _ = await _call(asked)
        rows = [_row(line) for line in said.splitlines() if line.strip()]
        return {name: news for name, news in rows if name in names}

    async def end(self, name: str) -> None:
        """Whatever Slurm has of this lease ends; it may have nothing. Raises `SlurmError`."""
        await _call(["scancel", f"--name={name}"])

    def _words(self, command: str, shape: LeaseShape) -> list[str]:
        """A shape as Slurm's options. A job has of this node's environment what `HANDED_ON` names, which is all that sbatch
        has: for every other choice Slurm 22.05 first runs a login shell of the user on the machine, for NIL as well, and gives the
        job up (NODE_FAIL) where that takes longer than ten seconds."""
        terms = self._terms
        chosen = {"partition": terms.partition, "account": terms.account, "qos": terms.qos, "constraint": terms.constraint}
        return [
            command,
            "--no-requeue",
            "--export=ALL",
            "--chdir=/",
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={shape.cpus}",
            f"--mem={shape.mem_mb}M",
            f"--time={shape.minutes}",
            *([f"--gres={shape.gres}"] if shape.gres else []),
            *(f"--{option}={value}" for option, value in chosen.items() if value),
        ]


def _row(line: str) -> tuple[str, LeaseNews]:
    name, state, start, reason = (*line.split("|", 3), "", "", "")[:4]
    if line.count("|") < 3 or _STATES.fullmatch(state) is None:
        raise SlurmError(f"squeue answered {_shown(line)!r}, which is no line of its table")
    standing = LeaseStanding.ENDED if state in _ENDED else LeaseStanding.QUEUED if state in _QUEUED else LeaseStanding.RUNNING
    said = reason.strip()
    why = state if said in ("", "None") else f"{state}: {_shown(said)}"
    return name.strip(), LeaseNews(standing, why, _unix(start.strip()))


def _unix(text: str) -> float | None:
    """Slurm's times are local ones, of this process as of its own; None for "N/A"."""
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


async def _call(words: Sequence[str], given: bytes = b"") -> tuple[str, str]:
    """What a command of Slurm wrote, and what it complained of. Raises `SlurmError`."""
    command, pipe = words[0], asyncio.subprocess.PIPE
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("LEARNINGCHAIN_", "SBATCH_", "SQUEUE_"))}
    if command == "sbatch":
        kept = {name: text for name, text in kept.items() if name in HANDED_ON}
    kept |= {"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, stderr=pipe, env=kept, cwd="/", start_new_session=True
        )
    except (OSError, ValueError) as fault:
        raise SlurmError(f"{command} cannot be started: {getattr(fault, 'strerror', None) or fault}") from None
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise SlurmError(f"{command} has no pipes")
    try:
        async with asyncio.timeout(CALL_S):
            with contextlib.suppress(ConnectionError, RuntimeError):  # it ended without reading: how it ended says more
                process.stdin.write(given)
                process.stdin.close()
            out, err = await asyncio.gather(_bounded(process.stdout, command), _bounded(process.stderr, command))
            code = await process.wait()
    except TimeoutError:
        raise SlurmError(f"{command} did not answer within {CALL_S:g} s") from None
    finally:
        await _end(process)
    if code:
        raise SlurmError(f"{command} ended with {code}: {_shown(err or out) or 'and said nothing'}")
    return out, err


async def _bounded(stream: asyncio.StreamReader, command: str) -> str:
    found = bytearray()
    while piece := await stream.read(65_536):
        found += piece
        if len(found) > MAX_ANSWER:
            raise SlurmError(f"{command} wrote more than {MAX_ANSWER} bytes")
    return found.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """It and all of its session. What it still had to say is thrown away: a pipe that nobody reads would hold up its end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            for stream in (process.stdout, process.stderr):
                while stream is not None and await stream.read(65_536):
                    pass
            await process.wait()


def _shown(text: str) -> str:
    """In one line, for people."""
    return "".join(char if char.isprintable() else " " for char in text.strip()[:300]).strip()
