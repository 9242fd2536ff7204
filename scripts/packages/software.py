"""The software of others that comes with a node or is installed with it: names, versions, licences, hashes.

What is installed is the lock's (requirements/VERSION/run.txt, the same for every Python), and what the extras add; licences are
read from the installed packages' own metadata, so this runs in an environment that has the lock's versions. What comes in the wheel
are the dashboard's files (client/dashboard/static): their versions and licences stand in LICENSES.txt beside them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.packages.tree import ROOT, PackageError, place_of

EXTRAS: Final = ("federation", "postgresql")
"""Extras of pyproject.toml that people install."""
LOCK: Final = ROOT / "requirements" / "3.11"
STATIC: Final = ROOT / "client" / "dashboard" / "static"
OWN_STATIC: Final = frozenset({"LICENSES.txt", "dashboard.css", "dashboard.js", "icon.svg", "tables.js"})
_WITHOUT_EXPRESSION: Final = {
    "aiosignal": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "uvloop": "MIT OR Apache-2.0",
}
"""Packages whose metadata name a licence in words alone: read in their licence files."""
_STATIC_LICENCES: Final = {"Zero-Clause BSD": "0BSD", "BSD Zero Clause License": "0BSD", "The MIT License (MIT)": "MIT"}
_NPM: Final = {"htmx": "htmx.org", "htmx-ext-sse": "htmx-ext-sse", "uPlot": "uplot"}
_EXPRESSION: Final = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")
_PIN: Final = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_TEXTS: Final = re.compile(r"(?i)^(licen[cs]e|copying|notice|authors)")


@dataclass(frozen=True)
class Software:
    """One package of others. `hashes`: SHA-256 of the files that may be installed of it, or of the file in the wheel."""

    name: str
    version: str
    purl: str
    licence: str
    texts: tuple[tuple[str, str], ...]
    hashes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    optional: bool = False
    file: str = ""
    """Its path in the wheel, where it is there."""


def third_party() -> list[Software]:
    """All of it, by name: what every node runs with, what extras add, what lies in the wheel. Raises `PackageError`."""
    return sorted([*installed(), *in_the_wheel()], key=lambda one: (bool(one.file), one.name, one.file))


def pins(lock: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Version and hashes of every package in a lock file."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if pin := _PIN.match(line):
            name = pin[1]
            found[name] = (pin[2], ())
        elif fits := _HASH.search(line):
            version, hashes = found[name]
            found[name] = (version, (*hashes, fits[1]))
    return found


def installed() -> list[Software]:
    """What a node is installed with; `optional` is what only an extra brings."""
    always, known = pins(LOCK / "run.txt"), pins(LOCK / "dev.txt")
    extra = {name: known[name] for name in brought_by(EXTRAS, known) if name not in always}
    return [
        *(of_package(name, *pin, known=frozenset({*always, *extra})) for name, pin in always.items()),
        *(of_package(name, *pin, known=frozenset({*always, *extra}), optional=True) for name, pin in extra.items()),
    ]


def brought_by(extras: tuple[str, ...], known: dict[str, tuple[str, tuple[str, ...]]]) -> list[str]:
    """Names of what these extras of ours install, and of what that needs, among the pinned packages."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    waiting = [Requirement(text) for extra in extras for text in table[extra]]
    found = dict[str, None]()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or name not in known:
            continue
        found[name] = None
        waiting += needed(_distribution(name), tuple(one.extras))
    return sorted(found)


def needed(package: Distribution, extras: tuple[str, ...] = ()) -> list[Requirement]:
    """What it needs here, with these extras of its own."""
    asked = [Requirement(text) for text in package.requires or []]
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [one for one in asked if one.marker is None or any(one.marker.evaluate(where) for where in environments)]


def of_package(name: str, version: str, hashes: tuple[str, ...], *, known: frozenset[str], optional: bool = False) -> Software:
    package = _distribution(name)
    if package.version != version:
        raise PackageError(f"{name} {package.version} is installed, and the lock has {version}: run make setup")
    needs = sorted({canonicalize_name(one.name) for one in needed(package)} & known)
    return Software(
        name, version, f"pkg:pypi/{name}@{version}", licence_of(name, package), texts_of(package), hashes, tuple(needs), optional
    )


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise PackageError(f"{name} is in the lock, and not installed: run make setup") from None


def licence_of(name: str, package: Distribution) -> str:
    """Its licence as an SPDX expression."""
    meta = package.metadata
    said = next((meta[field] for field in ("License-Expression", "License") if field in meta), "")
    if _EXPRESSION.fullmatch(said):
        return said
    if name not in _WITHOUT_EXPRESSION:
        raise PackageError(f"{name} names its licence in words alone. Read its licence file, and add it to _WITHOUT_EXPRESSION")
    return _WITHOUT_EXPRESSION[name]


def texts_of(package: Distribution) -> tuple[tuple[str, str], ...]:
    """Names and contents of its licence files."""
    files = [one for one in package.files or [] if ".dist-info" in str(one.parent) and _TEXTS.match(one.name)]
    inside = [one for one in package.files or [] if ".dist-info/licenses/" in str(one) and one not in files]
    found = sorted({*files, *inside}, key=str)
    return tuple((str(one).partition(".dist-info/")[2], _text(Path(str(one.locate())))) for one in found)


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace").replace("\r\n", "\n").strip("\n")


def in_the_wheel() -> list[Software]:
    """The dashboard's files that are others', from LICENSES.txt: `NAME VERSION (FILE, FILE)`, a licence's name, its text."""
    found = []
    for part in (STATIC / "LICENSES.txt").read_text().split("-" * 60):
        if not part.strip():
            continue
        heading, _, text = part.strip().partition("\n")
        fits = re.fullmatch(r"(\S+) (\S+) \((.+)\)", heading)
        licence = _STATIC_LICENCES.get(text.strip().partition("\n")[0].strip())
        if fits is None or licence is None:
            raise PackageError(f"LICENSES.txt: '{heading}' is not NAME VERSION (FILES) above a licence that is known here")
        name, version, files = fits.groups()
        for file in files.split(", "):
            digest = sha256((STATIC / file).read_bytes()).hexdigest()
            place = place_of(f"{STATIC.relative_to(ROOT).as_posix()}/{file}")
            purl = f"pkg:npm/{_NPM[name]}@{version}"
            found.append(Software(name, version, purl, licence, ((file, text.strip()),), (digest,), file=place))
    missing = {path.name for path in STATIC.iterdir()} - OWN_STATIC - {Path(one.file).name for one in found}
    if missing:
        raise PackageError(f"LICENSES.txt says nothing of {', '.join(sorted(missing))}, which would be in the wheel")
    return found
