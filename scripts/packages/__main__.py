"""`python -m scripts.packages [FOLDER]`: makes all packages in FOLDER (dist), which is emptied of earlier ones before."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from scripts.packages import build, manpage, notices, sbom, software, tree

OURS = ("learningchain*", "SHA256SUMS")


def make(out: Path) -> list[Path]:
    """Every package, in `out`; their paths. Raises `PackageError`, and leaves `out` as it was."""
    version, epoch = tree.version(), tree.epoch()
    with tempfile.TemporaryDirectory(prefix="learningchain-") as place:
        made, page = Path(place, "made"), manpage.render(version, epoch)
        for what in (build.wheel, build.sdist):  # each has a tree of its own: one leaves files that the other would take
            copy = Path(place, what.__name__)
            tree.copy(copy)
            (copy / tree.MAN_PAGE).parent.mkdir()
            (copy / tree.MAN_PAGE).write_text(page)
            (copy / tree.MAN_PAGE).chmod(0o644)
            what(copy, made, epoch)
        (made / "learningchain.1").write_text(page)
        parts = software.third_party()
        wheel = next(made.glob("*.whl"))
        bill = sbom.render(version, epoch, (wheel.name, digest(wheel)), parts)
        (made / f"learningchain-{version}.cdx.json").write_text(bill)
        (made / f"learningchain-{version}-NOTICES.txt").write_text(notices.render(version, parts))
        (made / f"learningchain-{version}-constraints.txt").write_text(constraints(version, parts))
        (made / "SHA256SUMS").write_text(sums(made.iterdir()))
        return put(made, out)


def constraints(version: str, parts: Iterable[software.Software]) -> str:
    """The versions that this one was tested with, for `pip --constraint` and `uv --constraints`."""
    pins = [f"{one.name}=={one.version}" for one in parts if not one.file]
    return "\n".join([f"# The packages that learningchain {version} was tested with, extras included.", *pins]) + "\n"


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def sums(paths: Iterable[Path]) -> str:
    """As `sha256sum --check` reads it."""
    return "".join(f"{digest(path)}  {path.name}\n" for path in sorted(paths))


def put(made: Path, out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    for pattern in OURS:
        for old in out.glob(pattern):
            old.unlink()
    placed = []
    for path in sorted(made.iterdir()):
        placed.append(out / path.name)
        placed[-1].write_bytes(path.read_bytes())
        placed[-1].chmod(0o644)
    return placed


def uncommitted() -> bool:
    asked = subprocess.run(["git", "status", "--porcelain"], cwd=tree.ROOT, capture_output=True, text=True, check=False)
    return bool(asked.stdout.strip())


def main(words: list[str]) -> int:
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print(f"usage: {__doc__}", file=sys.stderr)
        return 2
    try:
        for path in make(Path(words[0] if words else "dist")):
            print(f"{path.stat().st_size:>10,}  {path}")
    except tree.PackageError as e:
        print(f"No packages were made: {e}", file=sys.stderr)
        return 1
    if uncommitted():
        print("Not everything in this folder is committed: nobody else can make the same bytes.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
