"""The volumes of the engine: folders on the disk, file systems in memory, and views of several of both.

A volume on the disk is a folder, with a record of what it was made as beside it. One in memory is mounted for the first container
that has it and empty again after the last one. A view is an overlay without an upper layer, whose folders are named from where the
engine keeps its volumes: a job that looks at its mounts reads no path of the owner's.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox.oci.mounts import LOCKED, RDONLY, mount, unmount
from learningchain.sandbox.oci.trees import remove_tree

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_FLAGS = {"nosuid", "nodev", "noexec", "ro"}
_LOWER = "lowerdir="


class Volume(msgspec.Struct):
    """One volume: what it was made as, and how many containers have it mounted."""

    name: str
    options: dict[str, str]
    labels: dict[str, str]
    users: int = 0

    @property
    def kind(self) -> str:
        return self.options.get("type", "")


class Volumes:
    """Below a folder of the disk, `kept`, and one for what is mounted, `mounted`. Safe from several threads."""

    def __init__(self, kept: Path, mounted: Path) -> None:
        self._kept, self._mounted = kept, mounted
        self._lock = threading.RLock()
        self._all: dict[str, Volume] = {}
        kept.mkdir(parents=True, exist_ok=True)
        mounted.mkdir(exist_ok=True)
        for place in kept.iterdir():
            try:
                volume = msgspec.json.decode((place / "volume.json").read_bytes(), type=Volume)
                volume.users = 0
                self._all[volume.name] = volume
            except (OSError, ValueError):
                remove_tree(place)

    def create(self, name: str, options: dict[str, str], labels: dict[str, str]) -> None:
        """One of the name that is there stays as it is, as engines do. Raises ValueError, OSError."""
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"no volume is called {name[:80]!r}")
        with self._lock:
            if name in self._all:
                return
            volume = Volume(name, dict(options), dict(labels))
            if not volume.kind:
                place = self._kept / name
                (place / "_data").mkdir(parents=True)
                (place / "volume.json").write_bytes(msgspec.json.encode(volume))
            self._all[name] = volume

    def describe(self, name: str) -> dict[str, Any] | None:
        with self._lock:
            volume = self._all.get(name)
        if volume is None:
            return None
        facts = {"Name": name, "Driver": "local", "Options": volume.options or None, "Labels": volume.labels, "Scope": "local"}
        return facts | {"Mountpoint": str(self._place(volume))}

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            names = list(self._all)
        return [facts for name in names if (facts := self.describe(name)) is not None]

    def _place(self, volume: Volume) -> Path:
        return self._mounted / volume.name if volume.kind else self._kept / volume.name / "_data"

    def take(self, name: str) -> str:
        """Its folder, for a container that starts. Raises OSError."""
        with self._lock:
            volume = self._all[name]
            place = self._place(volume)
            if volume.kind and not volume.users:
                place.mkdir(exist_ok=True)
                self._mount(volume, place)
            volume.users += 1
            return str(place)

    def _mount(self, volume: Volume, place: Path) -> None:
        words = [word for word in volume.options["o"].split(",") if word not in _FLAGS]
        if volume.kind == "tmpfs":
            # Whoever the container's user is outside of it is this engine's own.
            mount("tmpfs", str(place), "tmpfs", LOCKED, ",".join(word for word in words if not word.startswith(("uid=", "gid="))))
            return
        here = os.path.commonpath([str(self._mounted), str(self._kept)])
        folders = next(word for word in words if word.startswith(_LOWER)).removeprefix(_LOWER).split(":")
        lower = ":".join(os.path.relpath(folder, here) for folder in folders)
        before = os.getcwd()
        os.chdir(here)
        try:
            mount("overlay", str(place), "overlay", LOCKED | RDONLY, f"{_LOWER}{lower}")
        finally:
            os.chdir(before)

    def give_back(self, name: str) -> None:
        """A container that had it has ended."""
        with self._lock:
            volume = self._all.get(name)
            if volume is None:
                return
            volume.users -= 1
            if volume.kind and not volume.users:
                self._forget(volume)

    def _forget(self, volume: Volume) -> None:
        place = self._place(volume)
        unmount(str(place))
        with contextlib.suppress(OSError):
            place.rmdir()

    def remove(self, name: str) -> bool:
        """False where there is none. Nobody has it."""
        with self._lock:
            volume = self._all.pop(name, None)
            if volume is None:
                return False
            if volume.kind:
                self._forget(volume)
            else:
                remove_tree(self._kept / name)
        return True
