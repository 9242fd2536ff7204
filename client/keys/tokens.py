"""API tokens with a scope, a spending limit and an end, for programs that are not to hold the node's full token.

    new --> in use --> expired | revoked        what a token says is kept as a SHA-256: its text is shown once

The limit counts what leaves the account's free credits by the token's requests. An amount is counted, on the disk, before the
message is signed, and taken back where nothing was signed: a crash counts too much, never too little. The node and the commands
share the file; what a command changes counts from the next request on.
"""

from __future__ import annotations

import hmac
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import structlog

from learningchain.chain.crypto import sha256
from learningchain.chain.storage import private
from learningchain.chain.storage.versions import other_version
from learningchain.chain.types import format_credits

log: Any = structlog.get_logger("tokens")

FILE: Final = "tokens.db"
PREFIX: Final = "lct_"
VERSION: Final = 1
MAX_TOKENS: Final = 256
MAX_LABEL: Final = 64
MAX_DAYS: Final = 3_650
DAY_MS: Final = 86_400_000
KEEP_MS: Final = 90 * DAY_MS
"""How long a token that expired or was revoked is listed."""
MOST: Final = 2**63 - 1
_TEXT = re.compile(PREFIX + r"([0-9a-f]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
_COLUMNS = "id, digest, scope, label, most, spent, created, expires, revoked"
_SCHEMA = (
    "CREATE TABLE meta (version INTEGER NOT NULL)",
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, digest BLOB NOT NULL, scope INTEGER NOT NULL, label TEXT NOT NULL, most INTEGER, "
    "spent INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER, revoked INTEGER)",
)


class TokenError(Exception):
    """A token that cannot be made, found or used. The text says why and what to do."""


class LimitReached(TokenError):
    """The token's spending limit leaves less than this takes."""


class TokenScope(IntEnum):
    """What a token's holder may do; each may do what those below it may."""

    READ = 1
    PREDICT = 2
    POST = 3
    ALL = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Token:
    """A row. Credits in micro-credits, times in milliseconds of the wall clock; None: no limit, no end, not revoked."""

    id: str
    scope: TokenScope
    label: str
    most: int | None
    spent: int
    created: int
    expires: int | None
    revoked: int | None

    def why_not(self, now: int) -> str | None:
        """Why it is good for nothing any more; None where it is good."""
        if self.revoked is not None:
            return "it was revoked"
        if self.expires is not None and now >= self.expires:
            return "it has expired"
        return None


FULL: Final = Token("full", TokenScope.ALL, "api.token", None, 0, 0, None, None)
"""What the token in api.token may do."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Tokens:
    """The tokens of a data folder. Safe to use from several threads and processes; calls block. Raises `TokenError`."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            private.claim_database(path)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._open()
            # The loop that votes looks tokens up: it must not wait for a charge's sync in another thread.
            self._reads = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0.1)
        except (sqlite3.Error, OSError) as problem:
            raise self._failed(problem) from None

    def _failed(self, problem: BaseException) -> TokenError:
        return TokenError(
            f"The tokens in {self._path} cannot be used ({problem}). Move the file away and make the tokens anew; the token in "
            "api.token works without it"
        )

    def _open(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES (?)", (VERSION,))
            (version,) = self._db.execute("SELECT version FROM meta").fetchone()
        finally:
            self._db.execute("COMMIT")
        if version != VERSION:
            why, todo = other_version(version, VERSION)
            raise TokenError(f"Cannot use the tokens in {self._path}: {why}. {todo}")

    def close(self) -> None:
        with self._lock:
            self._reads.close()
            self._db.close()

    def _run(self, query: str, *values: Any) -> tuple[list[Any], int]:
        """Rows, and how many were changed; on the disk when it returns."""
        try:
            with self._lock:
                cursor = self._db.execute(query, values)
                return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as problem:
            raise self._failed(problem) from None

    # --- the owner's ----------------------------------------------------------------------------------------------------------

    def new(self, scope: TokenScope, *, most: int | None, days: float | None, label: str, now: int) -> tuple[Token, str]:
        """A token, and its text, which is kept nowhere. `most`: micro-credits."""
        if len(label) > MAX_LABEL or not label.isprintable():
            raise TokenError(f"A label has at most {MAX_LABEL} printable characters. Choose another")
        if days is not None and not 0 < days <= MAX_DAYS:
            raise TokenError(
                f"A token is good for up to {MAX_DAYS} days, not {days:g}. Leave --days out where it is to have no end"
            )
        self._run("DELETE FROM tokens WHERE coalesce(revoked, expires) < ?", now - KEEP_MS)
        expires = None if days is None else now + int(days * DAY_MS)
        id_, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        text = f"{PREFIX}{id_}_{secret}"
        values = (id_, sha256(text.encode()), int(scope), label, most, 0, now, expires, None, MAX_TOKENS)
        _, made = self._run(
            f"INSERT INTO tokens ({_COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM tokens) < ?", *values
        )
        if not made:
            raise TokenError(f"There are {MAX_TOKENS} tokens, the most that are kept. Revoked ones go after 90 days")
        return Token(id_, scope, label, most, 0, now, expires, None), text

    def rows(self) -> list[Token]:
        """The newest first."""
        found, _ = self._run(f"SELECT {_COLUMNS} FROM tokens ORDER BY created DESC, id")
        return [_token(row) for row in found]

    def revoke(self, id_: str, now: int) -> Token:
        """From the next request on."""
        self._run("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ?", now, id_)
        found, _ = self._run(f"SELECT {_COLUMNS} FROM tokens WHERE id = ?", id_)
        if not found:
            raise TokenError(f"There is no token {id_[:20]}. learningchain token list shows those that there are")
        return _token(found[0])

    # --- the node's -----------------------------------------------------------------------------------------------------------

    def find(self, text: str) -> Token | None:
        """The token with this text, whether it is still good or not. For one thread; waits for no writer."""
        shape = _TEXT.fullmatch(text)
        if shape is None:
            return None
        try:
            found = self._reads.execute(f"SELECT {_COLUMNS} FROM tokens WHERE id = ?", (shape[1],)).fetchone()
        except sqlite3.Error as problem:
            raise self._failed(problem) from None
        digest = sha256(text.encode())
        return _token(found) if found is not None and hmac.compare_digest(bytes(found[1]), digest) else None

    def key(self, id_: str, now: int) -> bytes | None:
        """The SHA-256 of a token's text; None where it is not known, or no longer good. For one thread; waits for no writer."""
        try:
            found = self._reads.execute(f"SELECT {_COLUMNS} FROM tokens WHERE id = ?", (id_,)).fetchone()
        except sqlite3.Error as problem:
            raise self._failed(problem) from None
        return bytes(found[1]) if found is not None and _token(found).why_not(now) is None else None

    def is_good(self, token: Token, now: int) -> bool:
        """Whether a token that was found before may still be used. For one thread; waits for no writer."""
        try:
            found = self._reads.execute(f"SELECT {_COLUMNS} FROM tokens WHERE id = ?", (token.id,)).fetchone()
        except sqlite3.Error as problem:
            raise self._failed(problem) from None
        return found is not None and _token(found).why_not(now) is None

    def why_not(self, id_: str, now: int) -> str | None:
        """Why the token with this id is good for nothing any more; None where it is good, or not known here (a restored node has
        none of its tokens). For one thread; waits for no writer."""
        try:
            found = self._reads.execute(f"SELECT {_COLUMNS} FROM tokens WHERE id = ?", (id_,)).fetchone()
        except sqlite3.Error as problem:
            raise self._failed(problem) from None
        return None if found is None else _token(found).why_not(now)

    def charge(self, token: Token, amount: int, now: int) -> None:
        """Count an amount against the limit, on the disk. Raises `LimitReached`, and counts nothing then."""
        good = "revoked IS NULL AND (expires IS NULL OR expires > ?3)"
        query = f"UPDATE tokens SET spent = spent + ?1 WHERE id = ?2 AND spent <= coalesce(most, {MOST}) - ?1 AND {good}"
        _, changed = self._run(query, amount, token.id, now)
        if changed:
            return
        found, _ = self._run(f"SELECT {_COLUMNS} FROM tokens WHERE id = ?", token.id)
        known = _token(found[0]) if found else None
        raise LimitReached(_why(known, now))

    def refund(self, token: Token, amount: int) -> None:
        """Nothing was signed after all."""
        self._run("UPDATE tokens SET spent = max(0, spent - ?) WHERE id = ?", amount, token.id)


def _why(token: Token | None, now: int) -> str:
    if token is None:
        return "the token is gone"
    if (why := token.why_not(now)) is not None or token.most is None:
        return why or "the token counted all that it can"
    left = max(0, token.most - token.spent)
    return f"of the token's {format_credits(token.most)} credits {format_credits(left)} are left"


def _token(row: Any) -> Token:
    id_, _, scope, label, most, spent, created, expires, revoked = row
    return Token(id_, TokenScope(scope), label, most, spent, created, expires, revoked)


class TokenFile:
    """The tokens as a running node sees them: opened when the first is asked for, so that a node without any has no file.

    For the loop's thread, but for what `opened` gives.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._tokens: Tokens | None = None
        self._told = False

    def opened(self) -> Tokens | None:
        if self._tokens is None and self._path is not None and self._path.exists():
            self._tokens = Tokens(self._path)
        return self._tokens

    def find(self, text: str) -> Token | None:
        """As `Tokens.find`. A file that cannot be read lets nobody in, and is told once."""
        if not text.startswith(PREFIX):
            return None
        try:
            tokens = self.opened()
            return None if tokens is None else tokens.find(text)
        except TokenError as problem:
            if not self._told:
                log.error("tokens cannot be read", why=str(problem))
            self._told = True
            return None

    def why_not(self, id_: str, now: int) -> str | None:
        """As `Tokens.why_not`. Raises `TokenError`: nothing is known of any token then."""
        tokens = self.opened()
        return None if tokens is None else tokens.why_not(id_, now)

    def close(self) -> None:
        if self._tokens is not None:
            self._tokens.close()
            self._tokens = None
