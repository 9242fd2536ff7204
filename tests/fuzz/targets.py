"""Every decoder that reads bytes of others, as a function of bytes that may raise the documented errors and nothing else.

`TARGETS` is the table: by name, what decodes, which errors are its refusals, the longest input worth trying, and where valid
examples come from (`examples`). A target also checks what must hold of everything that it accepts: what is canonical encodes to
the same bytes, what is shown can be shown, what is bounded is bounded. A failing check raises `Broken`.

`test_decoders` runs all of them with hypothesis, `python -m tests.fuzz` one of them under atheris.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Broken(AssertionError):
    """Something accepted does not have the properties of what may be accepted."""


class Target(NamedTuple):
    run: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = ()
    max_bytes: int = 4_096
    examples: str = ""
    """Name of a maker in `tests.fuzz.examples`; empty: the one with the target's name."""


def check(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


def text_of(data: bytes) -> str:
    """As from the command line or the environment: bytes that are no text become halves of characters."""
    return data.decode("utf-8", "surrogateescape")


def scratch() -> Path:
    """A folder for files of this process alone: a forked one that ends would take its parent's along."""
    return Path(_folder_of(os.getpid()).name)


@functools.cache
def _folder_of(process: int) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lc-fuzz-")


def attempt(target: Target, data: bytes) -> bool:
    """True when `data` was accepted, False when it was refused as documented. Everything else passes through: a bug."""
    try:
        target.run(data)
    except target.refusals:
        return False
    return True


def _table() -> dict[str, Target]:
    from tests.fuzz import (
        of_answers,
        of_asking,
        of_chain,
        of_client,
        of_cluster,
        of_data,
        of_disk,
        of_federation,
        of_ledger,
        of_losses,
        of_machines,
        of_p2p,
        of_people,
        of_sandbox,
        of_snapshots,
    )

    found: dict[str, Target] = {}
    for module in (
        of_chain,
        of_p2p,
        of_sandbox,
        of_client,
        of_cluster,
        of_disk,
        of_machines,
        of_snapshots,
        of_ledger,
        of_losses,
        of_answers,
        of_people,
        of_asking,
        of_data,
        of_federation,
    ):
        found |= module.TARGETS
    return found


TARGETS: dict[str, Target] = {}


def load() -> dict[str, Target]:
    """The table, filled at first use: the modules behind it import this one, and atheris must see them being imported."""
    if not TARGETS:
        TARGETS.update(_table())
    return TARGETS
