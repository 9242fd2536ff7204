"""Fetches the wheels of a locked list by pip, which unpacks and builds nothing here, and holds each against its hash.

pip asks the index of its own settings, or a folder of wheels. What it brings is believed for its hash and its name alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from learningchain.sandbox.building.base import LIMITS, OpenBase
from learningchain.sandbox.building.lock import LockedPackage
from learningchain.sandbox.image_writer import ImageBuildError
from packaging import tags

FETCH_S = 3600
_OLDEST_GLIBC: Final = {"amd64": 5, "arm64": 17}
_LEGACY: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Names of platforms from before they carried the C library's version (PEP 600)."""
_OTHER_FILE: Final = re.compile(r"^\s+(\S+==\S+) from ", re.MULTILINE)
"""Where pip names a file whose hash is not among those that were asked for."""
_REFUSALS: Final = ("No matching distribution found for ", "Could not find a version that satisfies the requirement ")
_CONFLICT: Final = re.compile(r"^The conflict is caused by:\n(.+?)\n\s*$", re.MULTILINE | re.DOTALL)
"""Why no versions fit together, where pip says it."""
_NOT_BUILT: Final = "Source distributions are not built: take a version that has such a wheel"
_RANGES: Final = "Let one of them take more versions"
_ELSEWHERE: Final = (
    "A version with + is of an index of its maker's, which pip has to know: once: pip config set global.extra-index-url URL"
)


@dataclass(frozen=True)
class Wheel:
    """A wheel on this disk whose bytes are those of the list."""

    path: Path
    name: str
    version: Version


def platforms(base: OpenBase) -> list[str]:
    """The platform tags that run on a base, the newest C library first."""
    machine = base.facts["platform_machine"]
    names: list[str] = []
    for minor in range(base.glibc[1], _OLDEST_GLIBC.get(base.image.config.architecture, 17) - 1, -1):
        names.append(f"manylinux_2_{minor}_{machine}")
        names += [f"{_LEGACY[minor]}_{machine}"] if minor in _LEGACY else []
    return [*names, f"linux_{machine}"]


def fetch(locked: Sequence[LockedPackage], base: OpenBase, into: Path, wheels: Path | None) -> list[Wheel]:
    """The wheels of a list in the folder `into`, by name. `wheels`: a folder that has them all. Raises ImageBuildError, OSError."""
    if not locked:
        return []
    lines = [" ".join((f"{one.name}=={one.version}", *(f"--hash=sha256:{h}" for h in sorted(one.hashes)))) for one in locked]
    wanted = into / "wanted.txt"
    wanted.write_text("\n".join(lines) + "\n")
    source = ["--no-index", "--find-links", str(wheels.resolve())] if wheels is not None else []
    target = into / "wheels"
    words = ["download", "--require-hashes", "--no-deps", "--dest", str(target), *_target(base), *source]
    _pip([*words, "--requirement", str(wanted)], base)
    supported = frozenset(_tags(base))
    return [_checked(one, target, supported) for one in locked]


def resolve(names: Path, base: OpenBase, wheels: Path | None) -> str:
    """A locked list, as text, of what pip chooses for a file of package names and their dependencies. Raises ImageBuildError."""
    source = ["--no-index", "--find-links", str(wheels.resolve())] if wheels is not None else []
    with tempfile.TemporaryDirectory(prefix="learningchain-lock-") as scratch:
        report = Path(scratch) / "report.json"
        words = [
            "install",
            "--dry-run",
            "--ignore-installed",
            "--target",
            scratch,
            "--report",
            str(report),
            *_target(base),
            *source,
        ]
        _pip([*words, "--requirement", str(names)], base)
        chosen: list[dict[str, Any]] = json.loads(report.read_bytes())["install"]
    lines = ["# Made by `learningchain job lock` from requirements.txt; do not edit by hand."]
    for one in sorted(chosen, key=lambda one: canonicalize_name(one["metadata"]["name"])):
        digest = one["download_info"].get("archive_info", {}).get("hash", "").removeprefix("sha256=")
        name, version = canonicalize_name(one["metadata"]["name"]), one["metadata"]["version"]
        if len(digest) != 64:
            raise ImageBuildError(f"{name} {version} comes from a place without hashes; name packages of an index alone")
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}")
    return "\n".join(lines) + "\n"


def _target(base: OpenBase) -> list[str]:
    """What makes pip choose for the base, and never run a build."""
    version = base.facts["python_version"]
    words = ["--only-binary=:all:", "--python-version", version, "--implementation", "cp"]
    for abi in (f"cp{version.replace('.', '')}", "abi3", "none"):
        words += ["--abi", abi]
    for platform in platforms(base):
        words += ["--platform", platform]
    return words


def _tags(base: OpenBase) -> list[tags.Tag]:
    major, minor = (int(part) for part in base.facts["python_version"].split("."))
    interpreter = f"cp{major}{minor}"
    exact = tags.cpython_tags((major, minor), [interpreter], platforms(base))
    return [*exact, *tags.compatible_tags((major, minor), interpreter, platforms(base))]


def _pip(words: list[str], base: OpenBase) -> None:
    # -P: no module of the folder where the command was typed takes the place of pip or of Python's own.
    command = [sys.executable, "-P", "-m", "pip", *words, "--progress-bar=off", "--no-input", "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=FETCH_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ImageBuildError(f"the packages cannot be fetched: {problem}") from None
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if "No module named pip" in said:
        raise ImageBuildError(f"{sys.executable} has no pip to fetch wheels with; install it (python -m ensurepip)")
    kind = f"CPython {base.facts['python_version']} on {platforms(base)[0]}"
    if (other := _OTHER_FILE.search(said)) is not None:
        raise ImageBuildError(
            f"{other[1]}: its wheel for {kind} has another hash than requirements.lock names. Build on the base that the list was "
            "made for, or lock again"
        )
    for begin in _REFUSALS:
        if begin in said:
            name = said.split(begin)[1].split()[0]
            raise ImageBuildError(f"{name} has no wheel for {kind}. {_ELSEWHERE if '+' in name else _NOT_BUILT}")
    if (cause := _CONFLICT.search(done.stdout)) is not None:
        lines = "; ".join(line.strip() for line in cause[1].strip().splitlines())
        raise ImageBuildError(f"no versions of the packages fit together: {lines[:500]}. {_ELSEWHERE if '+' in lines else _RANGES}")
    raise ImageBuildError(f"the packages cannot be fetched, pip says: {' '.join(said.splitlines()[-3:])[:500] or done.returncode}")


def _checked(locked: LockedPackage, folder: Path, supported: frozenset[tags.Tag]) -> Wheel:
    """The wheel of one package. Raises ImageBuildError where it is not the one of the list, or is for another platform."""
    what = f"{locked.name}=={locked.version}"
    for path in sorted(folder.iterdir()):
        if path.suffix != ".whl":
            raise ImageBuildError(f"{path.name} is no wheel, and nothing is built here: take a version that has one")
        try:
            name, version, _, fits = parse_wheel_filename(path.name)
        except InvalidWheelFilename as problem:
            raise ImageBuildError(f"{what}: {problem}") from None
        if (name, version) != (locked.name, locked.version):
            continue
        if not fits & supported:
            raise ImageBuildError(f"{path.name} is a wheel for another platform than the base's; lock the packages for the base")
        if path.stat().st_size > LIMITS.archive_bytes:
            raise ImageBuildError(f"{path.name} has more than {LIMITS.archive_bytes} bytes, as much as a whole image may have")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest not in locked.hashes:
            raise ImageBuildError(
                f"{path.name} has the SHA-256 {digest}, which requirements.lock does not name: lock again, or find out why"
            )
        return Wheel(path, name, version)
    raise ImageBuildError(f"pip brought no wheel of {what}")
