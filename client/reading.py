"""How text that a person typed, or saved with an editor, is read: one way for the environment, for files and for secrets.

Editors put a byte order mark before what they save, and line ends of their system; shells and compose files set variables that
are empty. None of it is meant, so none of it counts. Anything in the package `client` may use this; it does no I/O but for the file
that it is asked for.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Final

from learningchain.chain.storage import private

MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""The byte order mark, decoded."""
SETTINGS: Final = "config.toml"
MAX_SETTINGS: Final = 262_144
API_LISTEN: Final = "127.0.0.1:7401"
"""Where a node's API listens unless its owner says otherwise."""


def variable(name: str) -> str | None:
    """What an environment variable says. One that is set and empty says nothing, as one that is not set."""
    return os.environ.get(name) or None


def folder(given: Path | None) -> Path:
    """The data folder that is named, else this user's. Raises ValueError where that user has no home."""
    try:
        if given is not None:
            return given.expanduser()
        from platformdirs import user_data_path

        return user_data_path("learningchain", appauthor=False)
    except RuntimeError as e:
        raise ValueError(f"The data folder cannot be told: {e}. Name it with --data or LEARNINGCHAIN_DATA") from None


def unmarked(raw: bytes) -> bytes:
    """The bytes of a text without the byte order mark of UTF-8."""
    return raw.removeprefix(MARK.encode())


def one_line(given: str) -> str:
    """A secret that is one line: without byte order mark and line end. Raises ValueError where there are more lines."""
    line = given.removeprefix(MARK).rstrip("\r\n")
    if "\n" in line or "\r" in line:
        raise ValueError("it has more than one line, and only one can be typed")
    return line


def one_word(copied: str) -> str:
    """A token or another long word that somebody copied: white space, as mail wraps lines, and signs without width, as chats and
    pages put between letters, are no part of it."""
    return "".join(sign for sign in copied if not sign.isspace() and unicodedata.category(sign) != "Cf")


def file(path: Path, most: int, *, own: bool = False) -> bytes:
    """The bytes of a text file, at most one more than `most`, without its byte order mark. `own`: it lies in the data folder, where
    neither a link nor a pipe has its name. Raises OSError."""
    with private.reading(path) if own else path.open("rb") as source:
        return unmarked(source.read(most + 1 + len(MARK.encode())))[: most + 1]


def api_listen(data: Path) -> str | None:
    """Where the API of the node in a folder listens, by the environment and its settings, of which nothing else is looked at: who
    asks a node that runs needs no more. None where they cannot be read: `client.config.load` says why."""
    import tomllib

    if (said := variable("LEARNINGCHAIN_API_LISTEN")) is not None:
        return said
    try:
        found = tomllib.loads(file(data / SETTINGS, MAX_SETTINGS, own=True).decode()).get("api", {}).get("listen", API_LISTEN)
    except FileNotFoundError:
        return API_LISTEN
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
