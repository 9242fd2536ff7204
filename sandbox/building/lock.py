"""A locked list of packages, `requirements.lock`: names, exact versions and the SHA-256 of their files, as pip and uv write them.

    scikit-learn==1.9.1 ; python_version >= "3.11" --hash=sha256:52a0… --hash=sha256:09f4…

Whatever could bring in something else is refused by name: a version that is not exact, a missing hash, a URL, a path, an option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from learningchain.sandbox.image_writer import ImageBuildError

MAX_BYTES: Final = 1 << 20
MAX_PACKAGES: Final = 500
_CUDA: Final = "nvidia-cudnn"
"""What torch's build for CUDA brings along, and its build for processors does not."""
_HASH = re.compile(r"\s--hash=([a-z0-9]+):([0-9a-f]+)(?=\s|$)")


@dataclass(frozen=True)
class LockedPackage:
    """One package of the list. `hashes`: SHA-256 of the files that it may be, in hex."""

    name: str
    version: Version
    hashes: frozenset[str]


def read_lock(text: str, facts: Mapping[str, str], *, gpus: bool) -> list[LockedPackage]:
    """The packages whose markers hold for a base with these facts, by name. `gpus`: whether trainings ask for some. Raises
    ImageBuildError."""
    if len(text.encode()) > MAX_BYTES:
        raise ImageBuildError(f"requirements.lock has more than {MAX_BYTES} bytes; lock the packages of this job alone")
    found: dict[str, LockedPackage] = {}
    for number, line in _lines(text):
        locked = _read_line(f"requirements.lock, line {number}", line, facts)
        if locked is None:
            continue
        if found.setdefault(locked.name, locked) != locked:
            raise ImageBuildError(f"requirements.lock, line {number}: {locked.name} is there twice; keep one of them")
    if len(found) > MAX_PACKAGES:
        raise ImageBuildError(f"requirements.lock has {len(found)} packages; at most {MAX_PACKAGES} go into an image")
    if not gpus and "torch" in found and any(name.startswith(_CUDA) for name in found):
        version = found["torch"].version.public
        raise ImageBuildError(
            f"the list has torch {version} for NVIDIA's GPUs: with their libraries three gigabytes packed, which everybody who "
            f"trains or judges would fetch. Take the build for processors: torch=={version}+cpu in requirements.txt, and in the "
            "settings of pip (extra-index-url) the index of such builds that torch's installation page names. Then: "
            "learningchain job lock. Where trainings are to have GPUs, say so first: gpus = 1 below [post] in the folder's job.toml"
        )
    return [found[name] for name in sorted(found)]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first: joined at backslashes, without comments."""
    held, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        first = first if held else number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        if whole := (held + line).strip():
            yield first, whole
        held = ""
    if whole := held.strip():
        yield first, whole


def _read_line(where: str, line: str, facts: Mapping[str, str]) -> LockedPackage | None:
    hashes = _HASH.findall(line)
    wanted = _HASH.sub(" ", line).strip()
    if wanted.startswith("-") or " --" in wanted:
        raise ImageBuildError(
            f"{where}: {wanted[:60]!r} is an option; the list holds packages alone, and pip's own settings name the index"
        )
    try:
        requirement = Requirement(wanted)
        (pin,) = requirement.specifier
        version = Version(pin.version)
    except (InvalidRequirement, InvalidVersion, ValueError):
        raise ImageBuildError(f"{where}: {wanted[:60]!r} is no package with one exact version, such as numpy==2.4.6") from None
    if requirement.url is not None or pin.operator != "==":
        raise ImageBuildError(f"{where}: {requirement.name} has no exact version; write {requirement.name}==VERSION and its hashes")
    if requirement.marker is not None and not requirement.marker.evaluate(dict(facts)):
        return None
    known = frozenset(digest for kind, digest in hashes if kind == "sha256" and len(digest) == 64)
    if not known:
        raise ImageBuildError(
            f"{where}: {requirement.name} has no --hash=sha256:…; `learningchain job lock` writes the list with them"
        )
    return LockedPackage(canonicalize_name(requirement.name), version, known)
