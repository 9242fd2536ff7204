"""What happened in a run: one digest over every event, and the last events for people."""

from __future__ import annotations

import hashlib
from collections import deque
from itertools import chain

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.chain.node.messages import decode_message

CHUNK = 128
"""Events that are hashed at once."""
KEPT = 32
"""Chunks."""
_WIDTH = 300
_TEXT = frozenset({"penalize", "halt", "refused to start", "mishap", "killed", "power cut"})
"""Events whose detail is text."""

Event = tuple[int, int, int, str, bytes]
"""When, to which machine, from which one, what, and its detail."""


class Trace:
    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._chunks: deque[list[Event]] = deque(maxlen=KEPT)
        self._new: list[Event] = []

    def note(self, now: int, index: int, what: str, detail: bytes, source: int) -> None:
        """`index` is the machine that it happened to (-1: the graph), `source` the one that a message came from (-1: none)."""
        self._new.append((now, index, source, what, detail))
        if len(self._new) == CHUNK:
            self._digest.update(encode(self._new))
            self._chunks.append(self._new)
            self._new = []

    @property
    def digest(self) -> str:
        whole = self._digest.copy()
        whole.update(encode(self._new))
        return whole.hexdigest()

    def tail(self, count: int) -> list[str]:
        """The last events."""
        return [_line(*event) for event in [*chain(*self._chunks), *self._new][-count:]] if count else []


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
