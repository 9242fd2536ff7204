"""What happened in a run: one digest over every event, and the last events for people."""

from __future__ import annotations

import hashlib
from collections import deque

import msgspec

from chain.errors import Malformed
from chain.node.messages import decode_message

KEPT = 4_000
_WIDTH = 300
_TEXT = frozenset({"penalize", "halt", "refused to start", "mishap", "killed", "power cut"})
"""Events whose detail is text."""


class Trace:
    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._last: deque[tuple[int, int, int, str, bytes]] = deque(maxlen=KEPT)

    def note(self, now: int, index: int, what: str, detail: bytes, source: int) -> None:
        """`index` is the machine that it happened to (-1: the graph), `source` the one that a message came from (-1: none)."""
        self._digest.update(b"%d %d %d %d " % (now, index, source, len(what)) + what.encode() + detail)
        self._last.append((now, index, source, what, detail))

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def tail(self, count: int) -> list[str]:
        """The last events."""
        return [_line(*event) for event in list(self._last)[-count:]] if count else []


def _line(now: int, index: int, source: int, what: str, detail: bytes) -> str:
    name = f"n{index}" if index >= 0 else "--"
    return f"{now:6} ms  {name:3} {what}{f' n{source}' if source >= 0 else ''}  {_shown(what, detail)}"


def _shown(what: str, detail: bytes) -> str:
    if what in _TEXT:
        return detail.decode()
    if what != "from":
        return detail.hex()[:12]
    try:
        text = _brief(decode_message(detail))
    except Malformed as fault:
        text = f"malformed: {fault}"
    return text if len(text) < _WIDTH else text[:_WIDTH] + " …"


def _brief(value: object) -> str:
    """Like repr, with the beginnings of hashes, ids and signatures only."""
    if isinstance(value, bytes):
        return value.hex()[:8] or "nil"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    if isinstance(value, msgspec.Struct):
        fields = (f"{name}={_brief(getattr(value, name))}" for name in value.__struct_fields__ if name != "signature")
        return f"{type(value).__name__}({', '.join(fields)})"
    return repr(value)
