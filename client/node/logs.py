"""Structured logs: lines for people on a terminal, JSON lines for collectors. Set up once, by the daemon."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

from learningchain.chain.storage.database_url import without_urls

if TYPE_CHECKING:
    from learningchain.client.node.screen import Screen


def configure(level: str, form: str, screen: Screen | None = None) -> None:
    """Everything that this process logs goes to standard error, at `level` and above; `form` is "console" or "json". With a
    `screen` it goes into that one's file, and people read what that one says.

    Lines of libraries have the same form as the node's own, and no text of a stranger reaches a terminal as it came.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        # Plain tracebacks: the decorated ones print local variables, which may be secrets.
        renderer = structlog.dev.ConsoleRenderer(
            colors=screen is None and sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    first: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    said: list[Any] = [harmless] if form == "console" else []
    said += [] if screen is None else [screen]
    last: list[Any] = [structlog.processors.format_exc_info, secretless, *said, renderer]
    out = sys.stderr if screen is None else screen.file
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    named = structlog.stdlib.ExtraAdder(allow=set()), structlog.stdlib.add_logger_name
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*named, *first], processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


def secretless(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """No password of a URL comes into the log, whatever library said it."""
    return {name: without_urls(value) if isinstance(value, str) else value for name, value in event.items()}


def harmless(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Control characters and what turns the direction of text become escapes.

    A traceback keeps its lines, indented: the text of an exception cannot look like a line of the log.
    """
    shown = {name: escaped(value) if isinstance(value, str) else value for name, value in event.items() if name != "exception"}
    if isinstance(trace := event.get("exception"), str):
        shown["exception"] = "\n".join(f"  {escaped(line)}" for line in trace.split("\n"))
    return shown


def escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)
