"""The base of an image: Python and the libraries that wheels expect of every Linux, as a docker-archive.

A base is another machine's word: it passes the guard for strangers' archives before anything of it is unpacked. Its interpreter is
the one program that a build runs, by the base's own loader and libraries, so that this machine's Python and C library do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from platformdirs import user_cache_path

from learningchain.sandbox.archive import Layer, ScannedImage, scan_archive
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.image_writer import PYTHON_IN_IMAGE, ImageBuildError, Written, this_machine
from learningchain.sandbox.images import cached_image, python_base
from learningchain.sandbox.spec import ImageLimits
from learningchain.sandbox.targuard import TarWalk

LIMITS: Final = ImageLimits()
COMPILE_S = 1800
"""Longest that the byte code of all packages may take."""
_ANSWER_S = 60
_PROCESSES = 8
_LARGEST_SOURCE = 4 << 20
"""Bytes of a source that is compiled; generated tables above it would take the compiler's memory a hundredfold."""

_ASK = """
import json, os, platform, sys
facts = {
    "implementation_name": sys.implementation.name, "implementation_version": platform.python_version(), "os_name": os.name,
    "platform_machine": platform.machine(), "platform_python_implementation": platform.python_implementation(),
    "platform_release": "", "platform_system": platform.system(), "platform_version": "",
    "python_full_version": platform.python_version(), "python_version": "%d.%d" % sys.version_info[:2],
    "sys_platform": sys.platform,
}
print(json.dumps({"facts": facts, "glibc": os.confstr("CS_GNU_LIBC_VERSION"), "tag": sys.implementation.cache_tag}))
"""
# As `images` compiles the standard library: without dates (PEP 552), in a form of marshal that counts no references.
_COMPILE = """
import importlib.util, json, marshal, sys
for line in sys.stdin:
    source, shown, target = json.loads(line)
    with open(source, "rb") as file:
        text = file.read()
    try:
        code = compile(text, shown, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError):
        continue  # templates and samples in some packages are no valid modules
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text)
    with open(target, "wb") as file:
        file.write(head + marshal.dumps(code, 2))
"""


@dataclass(frozen=True)
class OpenBase:
    """An unpacked base and what its interpreter says of itself."""

    image: ScannedImage
    layers: tuple[Written, ...]
    paths: frozenset[str]
    """Every file and link of it, relative to the root."""
    command: tuple[str, ...]
    """Starts its interpreter here; a program and arguments follow."""
    home: Path
    facts: dict[str, str]
    """The environment of markers (PEP 508); what names the machine's kernel is empty."""
    glibc: tuple[int, int]
    cache_tag: str

    @property
    def site_packages(self) -> str:
        return f"usr/local/lib/python{self.facts['python_version']}/site-packages"

    def compile(self, sources: Sequence[tuple[Path, str, Path]]) -> None:
        """Writes byte code: (source, path in the image, target) each. What is no valid module has none. Raises ImageBuildError."""
        wanted = [one for one in sources if one[0].stat().st_size <= _LARGEST_SOURCE]
        parts = min(_PROCESSES, os.cpu_count() or 1)
        shares = [share for part in range(parts) if (share := wanted[part::parts])]
        with ThreadPoolExecutor(parts) as threads:
            for _ in threads.map(self._compile_share, shares):
                pass

    def _compile_share(self, share: Sequence[tuple[Path, str, Path]]) -> None:
        lines = "".join(json.dumps([str(source), f"/{shown}", str(target)]) + "\n" for source, shown, target in share)
        _run(self.command, self.home, _COMPILE, lines, COMPILE_S)


def own_base(cache: Path | None = None) -> Path:
    """The base of this machine's own interpreter, as an archive in `cache`, or in this user's. Raises ImageBuildError, OSError."""
    cache = cache or user_cache_path("learningchain", appauthor=False) / "images"
    cache.mkdir(parents=True, exist_ok=True)
    return cached_image(cache, "base", b"", python_base)[0]


@contextmanager
def open_base(archive: Path) -> Iterator[OpenBase]:
    """Checks a base, unpacks it for as long as the block lasts, and asks its interpreter. Raises ImageBuildError, OSError."""
    try:
        image = scan_archive(archive, LIMITS)
    except BadImage as problem:
        raise ImageBuildError(f"{archive} cannot be a base: {problem}. `learningchain job base` writes one") from None
    if (made_for := image.config.architecture) != this_machine():
        raise ImageBuildError(f"{archive} is made for {made_for!r}; build on such a machine, this one is {this_machine()!r}")
    with tempfile.TemporaryDirectory(prefix="learningchain-base-") as scratch:
        root = Path(scratch)
        paths = frozenset(path for layer in image.layers for path in _unpack(archive, layer, root))
        command, home = _interpreter(archive, paths, root), root / "usr/local"
        told = _ask(archive, command, home)
        layers = tuple(
            Written(archive, layer.piece.offset, layer.piece.size, layer.digest.removeprefix("sha256:")) for layer in image.layers
        )
        glibc = _version_pair(str(told["glibc"]).rpartition(" ")[2])
        yield OpenBase(image, layers, paths, command, home, told["facts"], glibc, told["tag"])


def _unpack(archive: Path, layer: Layer, root: Path) -> Iterator[str]:
    """Writes a layer's regular files below `root` and yields the path of every file and link. It was checked by the guard."""
    with archive.open("rb") as file:
        file.seek(layer.piece.offset)
        walk = TarWalk(file, max_bytes=layer.piece.size, max_members=LIMITS.files)
        for member in walk:
            path = str(PurePosixPath(member.name))
            if member.regular:
                target = root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    out.writelines(walk.content())
                target.chmod(0o700)
            if member.regular or member.link:
                yield path


def _interpreter(archive: Path, paths: frozenset[str], root: Path) -> tuple[str, ...]:
    """How the base's Python is started outside of an image: its loader, its libraries, itself."""
    loaders = sorted(path for path in paths if PurePosixPath(path).name.startswith("ld-linux") and (root / path).is_file())
    folder = PurePosixPath(PYTHON_IN_IMAGE).parent.relative_to("/")
    pythons = sorted(path for path in paths if PurePosixPath(path).match(f"{folder}/python3.*") and (root / path).is_file())
    if len(pythons) != 1 or not loaders:
        raise ImageBuildError(
            f"{archive} is no base: it holds no single {PYTHON_IN_IMAGE} and loader. `learningchain job base` writes one"
        )
    libraries = {PurePosixPath(path).parent for path in paths if ".so" in PurePosixPath(path).name and "/python3" not in path}
    places = ":".join(str(root / folder) for folder in sorted(libraries))
    return (str(root / loaders[0]), "--library-path", places, str(root / pythons[0]))


def _ask(archive: Path, command: tuple[str, ...], home: Path) -> Any:
    try:
        return json.loads(_run(command, home, _ASK, "", _ANSWER_S))
    except ValueError:
        raise ImageBuildError(
            f"the interpreter of {archive} does not say what it is. `learningchain job base` writes a base"
        ) from None


def _run(command: tuple[str, ...], home: Path, program: str, text: str, limit_s: float) -> str:
    """Runs a program of ours by the base's interpreter, with nothing of this machine's environment."""
    environment = {"PYTHONHOME": str(home), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    words = [*command, "-s", "-S", "-P", "-B", "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=limit_s, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ImageBuildError(f"the base's interpreter does not run on this machine: {problem}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise ImageBuildError(f"the base's interpreter does not run on this machine: {said[0][:300]}")
    return done.stdout


def _version_pair(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    if not major.isdecimal() or not minor.isdecimal():
        raise ImageBuildError(
            f"the base has no GNU C library that says its version ({text[:40]!r}): wheels could not be chosen for it"
        )
    return int(major), int(minor)
