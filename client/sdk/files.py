"""Naming bytes while they pass: the CID and the SHA-256 of a stream; files that appear whole or not at all, and how one begins."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from learningchain.client.sdk.types import UsageError
from learningchain.p2p.content.dag import CHUNK, Builder


class StreamName:
    """Feed it the pieces of a file, of any size; then ask for its CID. Holds less than one chunk."""

    def __init__(self) -> None:
        self._builder = Builder(lambda _cid, _block: None)
        self._sha = hashlib.sha256()
        self._held = bytearray()
        self.size = 0

    def feed(self, piece: bytes) -> None:
        self.size += len(piece)
        self._sha.update(piece)
        self._held += piece
        while len(self._held) >= CHUNK:
            self._builder.feed(bytes(self._held[:CHUNK]))
            del self._held[:CHUNK]

    def finish(self) -> tuple[str, str]:
        """CID and SHA-256 (hex). The stream is over."""
        if self._held:
            self._builder.feed(bytes(self._held))
            self._held.clear()
        return str(self._builder.finish()), self._sha.hexdigest()


def beginning(path: Path, most: int) -> bytes:
    """At most so many bytes of a file that a user names. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(most)


@contextmanager
def appearing(path: Path, *, overwrite: bool, forced: str = "", secret: bool = False) -> Iterator[BinaryIO]:
    """A file that takes its name when the block ends well, and leaves nothing behind when it does not. Raises `UsageError`.

    `forced`: what the caller's user may say so that it is overwritten; empty where nothing does that. `secret`: its owner alone may
    read it, from the first byte on.
    """
    if not overwrite and os.path.lexists(path):
        other = f", or say {forced}" if forced else ""
        raise UsageError(f"{path} exists already and is not overwritten. Choose another name{other}")
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}-", suffix=".part", dir=path.parent)
    except OSError as e:
        raise UsageError(f"{path} cannot be written: {e.strerror}. Choose a folder that exists and is yours") from e
    try:
        with os.fdopen(fd, "wb") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.chmod(temporary, 0o600 if secret else 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
