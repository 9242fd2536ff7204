"""The one id that a request has from the API to the block of its transaction, in the log lines on the way.

Whoever asks may bring it (`X-Request-ID`), so that their log and the node's are read together; else the node makes one. It
stands in no transaction and in no block: it is for logs alone, and nothing goes by it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from learningchain.p2p.limits import TokenBucket

HEADER: Final = "X-Request-ID"
MAX: Final = 64
_FORM = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX}}}", re.ASCII)
LINES_PER_S: Final = 50.0
LINES_AT_ONCE: Final = 500.0
current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered; None where the node does something by itself."""


def request_id(given: str | None) -> str:
    """What was given, where a log can hold it as it is; else a new one."""
    return given if given is not None and _FORM.fullmatch(given) else secrets.token_hex(8)


class RequestLines:
    """Log lines of requests, as many as a log bears: who asks without end makes no line without end, and how many were left out
    stands in the next one."""

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._budget = TokenBucket(LINES_PER_S, LINES_AT_ONCE, clock())
        self._left_out = 0

    def say(self, text: str, request: str, **more: Any) -> None:
        if not self._budget.spend(self._clock(), 1):
            self._left_out += 1
            return
        if self._left_out:
            more["left_out"], self._left_out = self._left_out, 0
        self._log.info(text, request=request, **more)
