"""Wheel and sdist of a copied tree, by the build backend that pyproject.toml names, without network and the caller's umask."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from scripts.packages.tree import PackageError

_BACKEND: Final = "import sys, setuptools.build_meta as backend; getattr(backend, sys.argv[1])(sys.argv[2])"
_BUILD_S: Final = 120.0


def wheel(tree: Path, out: Path, epoch: int) -> Path:
    """The wheel of the copied `tree`, in `out`."""
    return _build("build_wheel", tree, out, epoch, "*.whl")


def sdist(tree: Path, out: Path, epoch: int) -> Path:
    """The source distribution; setuptools leaves the machine's times and users in it, so it is written anew."""
    path = _build("build_sdist", tree, out, epoch, "*.tar.gz")
    path.write_bytes(_normal(path.read_bytes(), epoch))
    return path


def _build(hook: str, tree: Path, out: Path, epoch: int, made: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SETUPTOOLS", "DISTUTILS"))}
    done = subprocess.run(
        [sys.executable, "-c", _BACKEND, hook, str(out)],
        cwd=tree,
        env=clean | {"SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        umask=0o022,
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    found = list(out.glob(made))
    if done.returncode or len(found) != 1:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise PackageError(f"{hook} failed (exit {done.returncode}). Its last words:\n{said}")
    return found[0]


def _normal(raw: bytes, epoch: int) -> bytes:
    """The same files in the order of their names, of nobody, at `epoch`."""
    plain = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(raw)) as source,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in sorted(source.getmembers(), key=lambda one: one.name):
            fresh = tarfile.TarInfo(member.name)
            fresh.type, fresh.size, fresh.mtime = member.type, member.size, epoch
            fresh.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            target.addfile(fresh, source.extractfile(member) if member.isfile() else None)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=epoch) as zipped:
        zipped.write(plain.getvalue())
    return packed.getvalue()
