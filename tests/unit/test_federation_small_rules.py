"""Small rules of the client's federations: what the journal keeps, what a deployment's shares are, what a disk is left with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.storage import private
from client.contracts.federation.desk import DiskDesk

ME, FED = b"m" * 20, b"f" * 32


# --- the desk's folder -----------------------------------------------------------------------------------------------------------


def test_what_could_not_be_written_to_its_end_leaves_no_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 1_000
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        DiskDesk(tmp_path).write(pieces())
    assert not list(tmp_path.iterdir())


def test_what_is_made_is_on_the_disk_before_its_name_and_its_name_is_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is told of it next: after a power cut it has to be there, whole."""
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda _: done.append("file"))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("name"), replace(*paths)))
    monkeypatch.setattr(private, "sync_folder", lambda folder: done.append(f"folder {folder == tmp_path}"))
    DiskDesk(tmp_path).write([b"x"])
    assert done == ["file", "name", "folder True"]
