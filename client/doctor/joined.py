"""A machine that trains for a node, looked at on the machine itself: whether it joined, whether its program runs, and whether the
node is within reach, knows it, and has its version and its time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import learningchain
from learningchain.client.doctor.findings import DoctorFinding, failure, fine, warning

if TYPE_CHECKING:
    from learningchain.client.machines.frames import NodeSays

APART_MS: Final = 60_000
"""What two clocks may differ by: a day would end the trust in certificates, a minute makes logs hard to compare."""


def look_at_program(data: Path) -> list[DoctorFinding]:
    """Whether a `machine run` holds this folder."""
    from learningchain.client.machines import program

    try:
        held = os.open(data / program.FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return [warning("program", "nothing trains here: it was never started", "learningchain machine run")]
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return [fine("program", "learningchain machine run is under way")]
    finally:
        os.close(held)
    return [warning("program", "nothing trains here: learningchain machine run is not under way", "learningchain machine run")]


def look_at_node(data: Path) -> list[DoctorFinding]:
    """By the certificate that this machine got when it joined; the node's connection with its program stays as it is."""
    from learningchain.chain.errors import Malformed
    from learningchain.client.machines import program

    try:
        secrets = program.read_secrets(data)
    except FileNotFoundError:
        todo = "Where the node is: learningchain machine add NAME; then here: learningchain machine join TOKEN"
        return [failure("joined", f"{data} joined no node", todo)]
    except (OSError, ValueError) as problem:
        text = f"{data / program.FILE} cannot be read: {problem}"
        return [failure("joined", text, "Join again: learningchain machine join TOKEN")]
    findings = [fine("joined", f"this machine is {secrets.name} of the node at {secrets.address}")]
    asked = time.time_ns() // 1_000_000
    try:
        said = asyncio.run(program.ask_node(secrets))
    except program.NodeRefused as problem:
        return [
            *findings,
            failure("node", f"the node does not let this machine in: {problem}", "Do as it says, then run this again"),
        ]
    except (ssl.SSLError, Malformed) as fault:
        text = f"what answers at {secrets.address} is not the node that this machine joined, or of another version: {fault}"
        return [*findings, failure("node", text, "Compare learningchain --version on both; else join again with a new token")]
    except (OSError, TimeoutError) as fault:
        text = f"the node at {secrets.address} is out of reach: {fault or 'no answer in time'}"
        return [*findings, failure("node", text, "Look whether the node runs, at cluster.listen there, and at firewalls between")]
    return [*findings, *judge_answer(said, asked, time.time_ns() // 1_000_000)]


def judge_answer(said: NodeSays, asked_ms: int, answered_ms: int) -> list[DoctorFinding]:
    """The node's version and time beside those of this machine, which asked and heard the answer at these times."""
    own = learningchain.__version__  # what a whole node needs stays unloaded
    findings = [fine("node", "the node is within reach, and lets this machine in")]
    if said.program and said.program != own:
        findings.append(
            warning("versions", f"the node has LearningChain {said.program}, and {own} is here", "Install the same on both")
        )
    else:
        findings.append(fine("versions", f"LearningChain {own}, as on the node"))
    apart_ms = max(asked_ms - said.now, said.now - answered_ms, 0)
    if apart_ms > APART_MS:
        text = f"this clock and the node's are {apart_ms / 1_000:.0f} s apart"
        findings.append(warning("clock", text, "Set the clock, and have it kept: timedatectl set-ntp true, or chrony"))
    return findings
