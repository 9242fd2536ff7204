"""A finding: what was looked at, how it is, and what to do. And running looks so that the whole ends in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")

MAX_TEXT: Final = 500
"""Characters of a text that a file or a peer may have written."""
MAX_OF_ONE: Final = 16
"""Findings of one look that are shown: what strangers can lengthen ends there."""


class FindingLevel(StrEnum):
    FINE = "fine"
    SKIPPED = "skipped"
    """It was not looked at; the text says why."""
    WARNING = "warning"
    FAILURE = "failure"


EXIT: Final = {FindingLevel.FINE: 0, FindingLevel.SKIPPED: 0, FindingLevel.WARNING: 1, FindingLevel.FAILURE: 2}
"""As monitoring plugins say it: 0 fine, 1 warning, 2 critical."""


@dataclass(frozen=True)
class DoctorFinding:
    """`check` names what was looked at and stays the same between versions; `remedy` says what to do, empty where nothing is."""

    check: str
    level: FindingLevel
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "remedy"):
            object.__setattr__(self, name, getattr(self, name)[:MAX_TEXT])


def fine(check: str, text: str) -> DoctorFinding:
    return DoctorFinding(check, FindingLevel.FINE, text)


def skipped(check: str, why: str, remedy: str = "") -> DoctorFinding:
    return DoctorFinding(check, FindingLevel.SKIPPED, why, remedy)


def warning(check: str, text: str, remedy: str) -> DoctorFinding:
    return DoctorFinding(check, FindingLevel.WARNING, text, remedy)


def failure(check: str, text: str, remedy: str) -> DoctorFinding:
    return DoctorFinding(check, FindingLevel.FAILURE, text, remedy)


def exit_code(findings: Iterable[DoctorFinding]) -> int:
    return max((EXIT[finding.level] for finding in findings), default=0)


def bounded(findings: list[DoctorFinding]) -> list[DoctorFinding]:
    """The worst first where there are too many, and how many were left out."""
    if len(findings) <= MAX_OF_ONE:
        return findings
    kept = sorted(findings, key=lambda finding: -EXIT[finding.level])[: MAX_OF_ONE - 1]
    left = len(findings) - len(kept)
    return [*kept, DoctorFinding(kept[0].check, kept[0].level, f"{left} more findings of this kind are not shown", kept[0].remedy)]


def together(calls: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T | Exception | None]:
    """What each call gives or raises, None where it has not ended in time. All run at once.

    Threads that nobody waits for: a disk or a name server that does not answer keeps no process from ending.
    """
    found: dict[str, T | Exception | None] = dict.fromkeys(calls)

    def one(name: str, call: Callable[[], T]) -> None:
        try:
            found[name] = call()
        except Exception as fault:  # whoever asked judges it
            found[name] = fault

    threads = [threading.Thread(target=one, args=item, daemon=True, name=f"doctor-{item[0]}") for item in calls.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(found)


def examine(looks: Mapping[str, Callable[[], list[DoctorFinding]]], seconds: float) -> list[DoctorFinding]:
    """All findings in the order of the looks. A look that fails or hangs is a failure of its own."""
    found: list[DoctorFinding] = []
    for name, result in together(looks, seconds).items():
        if result is None:
            why = f"no answer within {seconds:g} s"
            found.append(failure(name, why, "Something on this machine hangs: look at its disks, its name server and the engine"))
        elif isinstance(result, Exception):
            why = f"it could not be looked at: {type(result).__name__}: {result}"
            ours = "Report it, with this text"
            theirs = "Look at the rights and the free space of what it names; TMPDIR names another folder for temporary files"
            found.append(failure(name, why, theirs if isinstance(result, OSError) else ours))
        else:
            found += bounded(result)
    return found
