"""What a stranger's image leaves free of a disk: nobody's image takes the last of it. The node writes its chain on the same one."""

from __future__ import annotations

import os
from pathlib import Path

from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.spec import MIB

SPARE = 1024 * MIB
"""Bytes that stay free: four times what a node needs to start."""
SPARE_FILES = 50_000
"""Files that may still be made; file systems that count none have no such bound."""
BLOCK = 4096
"""What a file takes beside its contents."""


def leave_room(folder: Path | None, what: str, size: int = 0, files: int = 0) -> None:
    """Raises EngineError where `size` more bytes in `files` files would take the last of the disk of `folder`.

    None, and a folder that is not here, stand for the disk of another machine: nothing is known of it.
    """
    try:
        facts = os.statvfs(folder) if folder is not None else None
    except OSError:
        facts = None
    if facts is None:
        return
    free = facts.f_bavail * facts.f_frsize - size - BLOCK * files
    if free < SPARE:
        left = max(0, free) // MIB
        raise EngineError(what, f"it would leave {left} MiB free on the disk of {folder}; {SPARE // MIB} have to stay")
    if facts.f_files and facts.f_favail - files < SPARE_FILES:
        raise EngineError(what, f"the disk of {folder} has room for {facts.f_favail} more files; {SPARE_FILES} have to stay")
