"""What a node's work tells its operator: which machines fail, and what they want known. The log has it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import structlog

from learningchain.client.work.events import Notice

log = structlog.get_logger(__name__)

MAX_WHY = 500
"""Characters kept of what a part that fails says."""
MAX_NOTICES = 64
"""Notices of one machine that the status lists."""


class Failures:
    """Machines that fail at present. `now()`: wall-clock milliseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._failing: dict[str, tuple[int, str]] = {}
        """By machine: since when, and why."""

    def fails(self, part: str, fault: Exception, ref: bytes = b"") -> None:
        if part not in self._failing:
            text = "a part of this node's work fails; it is asked again at the next block"
            log.error(text, part=part, ref=ref.hex(), exc_info=fault)
            of = f" ({ref.hex()})" if ref else ""
            self._failing[part] = (self._now(), f"{type(fault).__name__}: {fault}{of}"[:MAX_WHY])

    def goes_on(self, part: str) -> None:
        if self._failing.pop(part, None) is not None:
            log.info("a part of this node's work goes on", part=part)

    def shown(self) -> list[dict[str, Any]]:
        """Which, since when (wall clock, ms), why."""
        return [{"part": part, "since": since, "why": why} for part, (since, why) in sorted(self._failing.items())]


class Notices:
    """What machines want known at present. `now()`: wall-clock milliseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._noticed: dict[tuple[str, str, bytes], tuple[int, Notice]] = {}
        """By machine, topic and ref: since when."""

    def note(self, said: Iterable[tuple[str, Iterable[Notice]]]) -> None:
        """All that is so now, by machine. The log has it when it comes, reads otherwise, and is no longer so."""
        found: dict[tuple[str, str, bytes], tuple[int, Notice]] = {}
        for name, notices in said:
            for notice in notices:
                key = name, notice.topic, notice.ref
                since, before = self._noticed.get(key, (self._now(), None))
                found[key] = since, notice
                if before is None or before.text != notice.text:
                    log.warning(notice.text, topic=notice.topic, ref=notice.ref.hex())
        for _, topic, ref in self._noticed.keys() - found.keys():
            log.info("no longer so", topic=topic, ref=ref.hex())
        self._noticed = found

    def shown(self) -> list[dict[str, Any]]:
        """The oldest first: since when (wall clock, ms), about what, in words."""
        told = sorted(self._noticed.values(), key=lambda one: (one[0], one[1].topic, one[1].ref))
        return [{"topic": n.topic, "ref": n.ref.hex(), "since": since, "text": n.text} for since, n in told]
