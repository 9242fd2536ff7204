"""Domain tags: each use of a hash has one of its own, so that what is hashed for one purpose is nothing for another (LC-ID-1).

A tag is made once, where it is used, and is in `TAGS` from then on: a second one of that name ends the program at its start. The
specification lists those of this program (LC-ID-8), and a test compares.
"""

from __future__ import annotations

import hashlib

MAX_NAME = 32
TAGS: dict[str, Tag] = {}


class InvalidTag(ValueError):
    """A tag that is no short ASCII text, or is taken."""


class Tag:
    """What stands before everything that is hashed for one purpose."""

    name: str
    use: str
    domain: bytes
    """The length of the name, and the name."""

    def __init__(self, name: str, use: str) -> None:
        """`use`: what is hashed under it. Raises `InvalidTag`."""
        if not name.isascii() or not 1 <= len(name) <= MAX_NAME:
            raise InvalidTag(f"a tag is ASCII text of 1 to {MAX_NAME} characters, not {name!r}")
        if name in TAGS:
            raise InvalidTag(f"the tag {name} is taken: it is for {TAGS[name].use}")
        TAGS[name] = self
        self.name, self.use = name, use
        self.domain = bytes((len(name),)) + name.encode()

    def hash(self, *parts: bytes) -> bytes:
        """LC-ID-1: SHA-256 over the domain and the parts; all but the last are of fixed size."""
        return hashlib.sha256(self.domain + b"".join(parts)).digest()
