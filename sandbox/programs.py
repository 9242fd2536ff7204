"""Starts a program of this package in a process of its own, which goes on without the one that started it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO


def start_program(
    words: Sequence[str], *, ready: bytes, within_s: float, said: BinaryIO, stdin: int, keeps: Callable[[str], bool]
) -> subprocess.Popen[bytes] | None:
    """The process, once it has said `ready`; None where it ended or said nothing in time. `keeps`: of which variables of the
    environment it knows; `said`: where it complains."""
    environment = {name: value for name, value in os.environ.items() if keeps(name)}
    # Where this process has its packages from.
    environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    # A session of its own: what ends the node's terminal does not end it.
    process = subprocess.Popen(
        words, stdin=stdin, stdout=subprocess.PIPE, stderr=said, cwd="/", env=environment, start_new_session=True
    )
    answer = b""
    if process.stdout is not None:
        with process.stdout as answers:
            answer = answers.readline(64) if select.select([answers], [], [], within_s)[0] else b""
    if answer.strip() == ready.strip():
        return process
    process.kill()
    process.wait()
    return None
