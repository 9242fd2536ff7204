"""Who is at the dashboard. Pure: time and randomness are handed in.

    link      made for the holder of the full token -> opened once within LINK_S -> a session
    name      browsers keep cookies by host and whatever port: the node's pages have a host name that nobody else knows, so that
              no other port of this machine is sent one. A plain link is opened at the node's own address instead, where a
              browser does not find that name; sessions of the one are none at the other
    session   ended by its owner, by IDLE_S without a request, by LIFE_S in all, by MAX_SESSIONS newer ones, or with the node

Nothing is on the disk, and of what the browser holds only the SHA-256 is here.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from learningchain.chain.crypto import sha256

LOGIN_PATH: Final = "/dashboard/login"
MAX_LOGIN: Final = 1_024
"""Bytes of the form that opens a link: the only body that is read of somebody who is not known."""
LINK_S: Final = 120.0
MAX_LINKS: Final = 8
"""Links that wait to be opened; a newer one takes the oldest one's place."""
IDLE_S: Final = 12 * 3_600.0
LIFE_S: Final = 7 * 24 * 3_600.0
MAX_SESSIONS: Final = 16
MAX_MARKS: Final = 256
"""Forms of a session that were sent, newest last: none of them counts a second time."""
MAX_NOTES: Final = 4
MAX_TEXT: Final = 128
"""Characters of anything that a browser sends as a secret."""


@dataclass(eq=False)
class BrowserSession:
    """One browser of the owner. `form_token` stands in each of its forms; `notes` are told by the next page."""

    form_token: str
    opened: float
    used: float
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NOTES))
    ended: bool = False
    streams: int = 0
    """Open pages that are told what is new."""
    plain: bool = False
    """Whether it is at the node's own address."""
    _marks: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_MARKS))

    def accepts(self, token: str) -> bool:
        return hmac.compare_digest(token[:MAX_TEXT].encode(), self.form_token.encode())

    def spend(self, mark: str) -> bool:
        """Whether a form with this mark is sent for the first time. Without a mark none is."""
        if not mark or len(mark) > MAX_TEXT or mark in self._marks:
            return False
        self._marks.append(mark)
        return True


class Sessions:
    """`now` is in seconds and only grows; `draw` gives 256 bits that nobody can guess, as text. `host` is the name of the pages;
    empty: there are plain sessions alone. `plain` says where a link, or a request, is."""

    def __init__(self, draw: Callable[[], str], host: str = "") -> None:
        self._draw, self.host = draw, host
        self._links: dict[bytes, tuple[float, bool]] = {}
        self._sessions: dict[bytes, BrowserSession] = {}

    def new_link(self, now: float, *, plain: bool = False) -> str:
        """A code that opens one session."""
        self._links = {digest: link for digest, link in self._links.items() if now < link[0]}
        while len(self._links) >= MAX_LINKS:
            del self._links[next(iter(self._links))]
        code = self._draw()
        self._links[_digest(code)] = now + LINK_S, plain
        return code

    def is_link(self, code: str, now: float, *, plain: bool = False) -> bool:
        """Whether the code would open a session now; it stays."""
        end, made_plain = self._links.get(_digest(code), (0.0, plain))
        return now < end and plain == made_plain

    def open(self, code: str, now: float, *, plain: bool = False) -> str | None:
        """The cookie of a new session; None where the code is none, was used, is too old, or is opened elsewhere."""
        if not self.is_link(code, now, plain=plain):
            return None
        del self._links[_digest(code)]
        self._forget(now)
        while len(self._sessions) >= MAX_SESSIONS:
            self._end(min(self._sessions, key=lambda digest: self._sessions[digest].used))
        cookie = self._draw()
        self._sessions[_digest(cookie)] = BrowserSession(self._draw(), now, now, plain=plain)
        return cookie

    def find(self, cookie: str, now: float, *, plain: bool = False) -> BrowserSession | None:
        """The session of a cookie, which counts as used now."""
        digest = _digest(cookie)
        found = self._sessions.get(digest)
        if found is None or found.plain != plain:
            return None
        if _is_over(found, now):
            self._end(digest)
            return None
        found.used = now
        return found

    @staticmethod
    def left(one: BrowserSession, now: float) -> float:
        """Seconds until a session ends by itself where its browser asks nothing more; 0 where it has ended."""
        return 0.0 if one.ended else max(0.0, min(one.used + IDLE_S, one.opened + LIFE_S) - now)

    def close(self, cookie: str) -> None:
        digest = _digest(cookie)
        if digest in self._sessions:
            self._end(digest)

    def __len__(self) -> int:
        return len(self._sessions)

    def _forget(self, now: float) -> None:
        for digest in [digest for digest, one in self._sessions.items() if _is_over(one, now)]:
            self._end(digest)

    def _end(self, digest: bytes) -> None:
        self._sessions.pop(digest).ended = True


def _is_over(one: BrowserSession, now: float) -> bool:
    return now - one.used >= IDLE_S or now - one.opened >= LIFE_S


def _digest(text: str) -> bytes:
    return sha256(text[: MAX_TEXT + 1].encode("utf-8", "replace"))
