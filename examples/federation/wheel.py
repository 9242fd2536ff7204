"""torch's build for processors alone, in a folder of its own: the environment of the project stays without it.

It is fetched once, when the first image is built that wants it. A machine whose package index has no such build has no torch
examples, and whoever asks for one is told so by name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from learningchain.examples.place import RUN

VERSION = "2.13.0+cpu"
PLACE = RUN / "torch"
PACKAGES = ("numpy", "torch", "typing_extensions")
UNUSED = ("test", "include")
"""Of its folders: 150 MB that no job needs. Of the programs in `bin` it looks for one when it is imported."""
WANTED = "torch_shm_manager"
LIMIT_S = 900


class TorchMissing(Exception):
    """There is no build of torch for processors here; the text says what was looked for."""


def torch_folder() -> Path:
    """Where it is installed, a folder for `sys.path`. Takes half a minute the first time. Raises TorchMissing."""
    folder = PLACE / f"{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    if (folder / "torch").is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    wanted = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", *wanted, "--target", str(unfinished), f"torch=={VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise TorchMissing(f"torch=={VERSION} cannot be fetched: {problem}") from None
    if done.returncode:
        shutil.rmtree(unfinished, ignore_errors=True)
        said = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise TorchMissing(f"torch=={VERSION} is not to be had for {sys.executable}: {said[0]}")
    for name in UNUSED:
        shutil.rmtree(unfinished / "torch" / name, ignore_errors=True)
    for program in (unfinished / "torch" / "bin").glob("*"):
        if program.name != WANTED and program.is_file():
            program.unlink()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished.rename(folder)
    return folder
