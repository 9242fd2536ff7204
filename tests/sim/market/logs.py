"""What worker, verifier and outbox log in a run: into the trace, and where it tells of a fault of theirs, to the checkers."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol

import structlog


class Hears(Protocol):
    def logged(self, level: str, event: MutableMapping[str, Any]) -> None: ...


class Overheard:
    def __init__(self) -> None:
        self.world: Hears | None = None

    def __call__(self, logger: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        if self.world is not None:
            self.world.logged(level, event)
        raise structlog.DropEvent


@contextmanager
def overheard() -> Iterator[Overheard]:
    heard, before = Overheard(), structlog.get_config()
    structlog.configure(processors=[heard], cache_logger_on_first_use=False)
    try:
        yield heard
    finally:
        structlog.configure(**before)
