"""Debian 13's Docker Engine, which gives devices by name, with two harmless ones that two CDI files make of this machine's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .hostile.engine import OwnEngine, lacking

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/newer_engine.sh"
FIRST, SECOND, HOOKED = (f"learningchain.test/gpu={name}" for name in ("first", "second", "hooked"))
NODES = {FIRST: "/dev/lctest0", SECOND: "/dev/lctest1", HOOKED: "/dev/lctest2"}
KIND = "learningchain.test/gpu"


def device(name: str, more: dict[str, object] | None = None, *, host: str = "/dev/null") -> dict[str, object]:
    """A device that is the machine's null under another path."""
    node = {"path": NODES.get(f"{KIND}={name}", "/dev/lctest"), "hostPath": host, "type": "c", "permissions": "rw"}
    return {"name": name, "containerEdits": {"deviceNodes": [node]} | (more or {})}


def write_spec(folder: Path, *devices: dict[str, object], file: str = "test.json", **more: object) -> Path:
    """A CDI file of these devices."""
    path = folder / file
    path.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": KIND, "devices": devices} | more))
    return path


def newer_engine(folder: Path) -> OwnEngine:
    """One with the two devices, and a third whose file has a hook that would write `folder`/ran. Skips the test with the reason
    where there can be none."""
    if why := lacking():
        pytest.skip(f"no engine of the tests' own: {why}")
    made = subprocess.run([SCRIPT, str(folder / "newer")], capture_output=True, text=True, timeout=700, check=False)
    if made.returncode:
        pytest.skip(f"Debian 13's Docker Engine is not to be had: {made.stderr.strip()[-300:]}")
    specs, library = folder / "cdi", folder / "library.so"
    specs.mkdir()
    library.write_bytes(b"\x7fELF")
    mount = {"hostPath": str(library), "containerPath": "/usr/lib/lctest.so", "options": ["ro", "nosuid", "nodev", "bind"]}
    write_spec(specs, device("first", {"mounts": [mount], "env": ["TEST_DEVICE=first"]}), device("second", host="/dev/zero"))
    hook = {"hookName": "createContainer", "path": "/bin/sh", "args": ["sh", "-c", f"echo ran > {folder}/ran"]}
    write_spec(specs, device("hooked", {"hooks": [hook]}), file="hooked.json")
    (folder / "engine").mkdir()
    settings = {"features": {"cdi": True}, "cdi-spec-dirs": [str(specs)]}
    return OwnEngine(folder / "engine", settings, Path(made.stdout.strip()))
