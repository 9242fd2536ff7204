"""One-use tickets for streams: for readers that can send no header, such as a browser's EventSource on a page of the owner's own.

    made by a token's holder --> taken once within TICKET_S --> the stream is on the word of that token, and ends with it

Pure: time and randomness are handed in. Of a ticket only the SHA-256 is kept; nothing is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from learningchain.chain.crypto import sha256
from learningchain.client.keys.tokens import MAX_TOKENS, Token

TICKET_S: Final = 30.0
MAX_TICKETS: Final = 8
"""Of one token that wait; a newer one takes the oldest one's place."""
MAX_TEXT: Final = 128
MAX_ALL: Final = MAX_TICKETS * (MAX_TOKENS + 1)


@dataclass(frozen=True)
class _Ticket:
    token: Token
    end: float


class Tickets:
    """`now` is in seconds and only grows; `draw` gives 256 bits that nobody can guess, as text."""

    def __init__(self, draw: Callable[[], str]) -> None:
        self._draw = draw
        self._waiting: dict[bytes, _Ticket] = {}

    def new(self, token: Token, now: float) -> str:
        self._waiting = {digest: one for digest, one in self._waiting.items() if now < one.end}
        own = [digest for digest, one in self._waiting.items() if one.token.id == token.id]
        for digest in own[: max(0, len(own) - MAX_TICKETS + 1)]:
            del self._waiting[digest]
        while len(self._waiting) >= MAX_ALL:
            del self._waiting[next(iter(self._waiting))]
        text = self._draw()
        self._waiting[_digest(text)] = _Ticket(token, now + TICKET_S)
        return text

    def take(self, text: str, now: float) -> Token | None:
        """The token that made the ticket, which is used up; None where it is none, was used, or is too old."""
        found = self._waiting.pop(_digest(text), None)
        return found.token if found is not None and now < found.end else None

    def __len__(self) -> int:
        return len(self._waiting)


def _digest(text: str) -> bytes:
    return sha256(text[: MAX_TEXT + 1].encode("utf-8", "replace"))
