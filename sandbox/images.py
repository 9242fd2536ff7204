"""Builds job images from the running Python interpreter: no registry, no network, no engine, no build tool.

The result is a docker-archive (what `docker save` writes and `docker load` reads) with two layers: the interpreter
with the wanted packages, and the caller's files. Entries are sorted, owned by root and dated 1970, byte code is
compiled to its position-independent form, so that the same inputs always give the same image id.

Anything may call this module; it reads the interpreter's own files and writes the one archive it is asked for.

Inside the image the interpreter is `/usr/local/bin/python3`. There is no shell and no `env`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import marshal
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from learningchain.sandbox import image_writer
from learningchain.sandbox.image_writer import (
    PYTHON_IN_IMAGE,
    ImageBuildError,
    LayerFiles,
    files_layer,
    own_text,
    this_machine,
    write_archive,
)

SIDECAR_PROGRAM = (PYTHON_IN_IMAGE, "-I", "-S", "/lc/sidecar.py")
"""Isolated from every environment variable and folder, and without `site`: it starts in a few milliseconds."""

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_STDLIB_IN_IMAGE = f"usr/local/lib/{_VERSION}"
_SITE_IN_IMAGE = f"{_STDLIB_IN_IMAGE}/site-packages"

# Parts of the standard library that no job needs: tests, desktop toolkits, installers, databases, build tools.
_STDLIB_SKIPPED = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "distutils", "venv"}
    | {"curses", "sqlite3", "dbm", "msilib", "site-packages", "dist-packages", "__pycache__", "__phello__"}
    | {"turtle.py", "antigravity.py"}
)
# Extension modules that belong to the parts above, or that need a network or a terminal. hashlib and hmac fall back
# to their built-in implementations without _hashlib, which saves an image the five megabytes of libcrypto.
_EXTENSIONS_SKIPPED: tuple[str, ...] = (
    *("_tkinter", "_test", "_ctypes_test", "_xx", "xx", "_curses", "_dbm", "_gdbm", "_sqlite3"),
    *("_ssl", "_hashlib", "readline", "nis", "ossaudiodev", "spwd", "audioop", "_crypt"),
)
# What the sidecar's program and the interpreter's own start import, and `os` as the mark by which it finds its library.
_SIDECAR_STDLIB = frozenset(
    {f"{name}.py" for name in ("_collections_abc", "abc", "codecs", "genericpath", "io", "os", "posixpath", "stat")}
    | {f"encodings/{name}.py" for name in ("__init__", "aliases", "ascii", "latin_1", "utf_8")}
)
_PACKAGE_DIRS_SKIPPED = frozenset({"__pycache__", "f2py", "distutils", "_pyinstaller", "include"})
_PACKAGE_SUFFIXES_SKIPPED = (".pyi", ".pxd", ".pyx", ".h", ".hpp", ".c", ".cpp", ".a", ".lib", ".pyc", ".build")

# Libraries that a wheel for manylinux may take from the system (PEP 600), but for those of desktops.
_WHEEL_LIBRARIES = (
    *("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libexpat.so.1", "libm.so.6", "libmvec.so.1", "libresolv.so.2"),
    *("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libanl.so.1"),
)
_STANDARD_LIBRARY_DIRS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")


def build_python_image(
    dest: Path,
    files: Mapping[str, bytes | Path],
    *,
    with_packages: Sequence[str] = ("numpy",),
    config: Mapping[str, object] | None = None,
) -> str:
    """Writes a docker-archive to `dest` (atomically) and returns its image id, "sha256:" and 64 hex digits.

    `files` maps absolute paths in the image to their bytes or to the local file that holds them; a file that starts
    with `#!` or is an ELF binary is made executable. `with_packages` names installed distributions (as pip does),
    dependencies included one by one. `config` is merged into the image's configuration (Env, Labels, ...).
    Raises ImageBuildError.
    """
    if sys.platform != "linux":
        raise ImageBuildError(f"images are built from a Linux interpreter; this one runs on {sys.platform}")
    # What may be wrong with the request comes first: the standard library takes seconds.
    extra = [files_layer(files)] if files else []
    base = LayerFiles()
    binaries = [binary for name in with_packages for binary in _add_package(base, name)]
    _add_root(base)
    binaries += [*_add_interpreter(base), *_add_stdlib(base)]
    _add_shared_libraries(base, binaries)
    return write_archive(dest, [base, *extra], config or {}, this_machine())


def python_base(dest: Path) -> str:
    """Writes an image of the interpreter and of the libraries that wheels expect of every Linux, for others to be built on.

    Returns its image id. Raises ImageBuildError.
    """
    if sys.platform != "linux":
        raise ImageBuildError(f"images are built from a Linux interpreter; this one runs on {sys.platform}")
    tree = LayerFiles()
    _add_root(tree)
    _add_shared_libraries(tree, [*_add_interpreter(tree), *_add_stdlib(tree)])
    folder = next(Path("/", path).parent for path in tree.entries if path.endswith("/libc.so.6"))
    for name in _WHEEL_LIBRARIES:
        library = next((place / name for place in (folder, *map(Path, _STANDARD_LIBRARY_DIRS)) if (place / name).exists()), None)
        if library is None and name != "libmvec.so.1":  # not every processor has one
            raise ImageBuildError(
                f"{name} is missing on this machine, which wheels expect of every Linux; install libstdc++6 and zlib1g"
            )
        if library is not None:
            _add_library(tree, str(library))
    return write_archive(dest, [tree], {}, this_machine())


def sidecar_image(cache: Path, machine: str) -> tuple[Path, str]:
    """A docker-archive with `sidecar_program` and as much of the interpreter as it needs, and its image id.

    `machine` is the engine's architecture, which must be this machine's: the interpreter is. Raises ImageBuildError.
    """
    if machine != this_machine():
        raise ImageBuildError(f"no sidecar for engines of architecture {machine!r}: this machine is {this_machine()!r}")
    program = own_text("learningchain.sandbox.docker.sidecar_program")
    return cached_image(cache, "sidecar", program, lambda dest: _build_sidecar(dest, program))


def _build_sidecar(dest: Path, program: bytes) -> str:
    tree = LayerFiles()
    _add_root(tree)
    # A new volume on a disk takes over this folder's mode: its filler is a user without any rights (sandbox/docker/volumes.py).
    tree.add_dir("lc/data", 0o777)
    binaries = [*_add_interpreter(tree), *_add_stdlib(tree, _SIDECAR_STDLIB)]
    _add_shared_libraries(tree, binaries)
    return write_archive(dest, [tree, files_layer({SIDECAR_PROGRAM[-1]: program})], {}, this_machine())


def cached_image(cache: Path, name: str, program: bytes, build: Callable[[Path], str]) -> tuple[Path, str]:
    """An archive and its image id, built once for this interpreter, this builder and this program."""
    builder = b"".join(own_text(module) for module in (__name__, image_writer.__name__))
    described = f"{sys.version}|{sys.base_prefix}|{platform.machine()}".encode()
    key = hashlib.sha256(b"\0".join((program, builder, described))).hexdigest()[:16]
    for path in sorted(cache.glob(f"{name}-{key}-*.tar")):
        return path, f"sha256:{path.stem.rpartition('-')[2]}"
    fresh = cache / f"{name}-{key}.{os.getpid()}.new"
    image_id = build(fresh)
    path = cache / f"{name}-{key}-{image_id.removeprefix('sha256:')}.tar"
    os.replace(fresh, path)
    return path, image_id


def _add_root(tree: LayerFiles) -> None:
    """The directories that the sandbox mounts over, and the two files without which user look-ups fail."""
    for path in ("dev", "proc", "sys", "lc/in", "lc/out"):
        tree.add_dir(path)
    tree.add_dir("tmp", 0o1777)
    tree.add_file("etc/passwd", b"root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\n")
    tree.add_file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")


def _add_interpreter(tree: LayerFiles) -> list[Path]:
    executable = Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
    tree.add_file(f"usr/local/bin/{_VERSION}", _stripped(executable), 0o755)
    tree.add_link("usr/local/bin/python3", _VERSION)
    tree.add_link("usr/local/bin/python", _VERSION)
    return [executable]


def _stripped(binary: Path) -> bytes | Path:
    """The binary without its debug information, which self-built interpreters carry by the ten megabytes."""
    strip = shutil.which("strip")
    if strip is None or binary.stat().st_size < 256 << 10:
        return binary
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "stripped"
        done = subprocess.run([strip, "--strip-debug", "-o", str(out), str(binary)], capture_output=True, timeout=60, check=False)
        return out.read_bytes() if done.returncode == 0 else binary


def _add_stdlib(tree: LayerFiles, only: frozenset[str] | None = None) -> list[Path]:
    """All of the standard library that a job may need, or the files in `only`; returns binaries."""
    root = Path(os.path.realpath(os.__file__)).parent
    binaries: list[Path] = []
    for path in _walk(root, _STDLIB_SKIPPED):
        relative = path.relative_to(root).as_posix()
        if only is not None and relative not in only:
            continue
        if relative.startswith("config-") or path.name in _STDLIB_SKIPPED:
            continue
        if path.suffix == ".so":
            if path.name.startswith(_EXTENSIONS_SKIPPED):
                continue
            binaries.append(path)
            tree.add_file(f"{_STDLIB_IN_IMAGE}/{relative}", _stripped(path), 0o755)
        elif path.suffix == ".py":
            _add_python_file(tree, f"{_STDLIB_IN_IMAGE}/{relative}", path)
    if f"{_STDLIB_IN_IMAGE}/os.py" not in tree.entries:
        raise ImageBuildError(f"{root} holds no Python sources; install the full standard library of this interpreter")
    # Python looks for lib-dynload to find its platform directory, even where every extension is built in.
    tree.add_dir(f"{_STDLIB_IN_IMAGE}/lib-dynload")
    tree.add_dir(_SITE_IN_IMAGE)
    # Debian's interpreter looks for packages under another name.
    tree.add_link(f"{_STDLIB_IN_IMAGE}/dist-packages", "site-packages")
    return binaries


def _walk(root: Path, skipped: frozenset[str]) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in skipped and not name.startswith("config-"))
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield path


def _add_package(tree: LayerFiles, name: str) -> list[Path]:
    """Adds the installed files of one distribution; returns its binaries."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise ImageBuildError(f"package {name!r} is not installed for {sys.executable}; install it with pip") from None
    if distribution.files is None:
        raise ImageBuildError(f"package {name!r} has no list of installed files (RECORD); install it with pip")
    binaries: list[Path] = []
    for file in distribution.files:
        source = Path(str(distribution.locate_file(file)))
        if not _wanted(PurePosixPath(file.as_posix())) or not source.is_file():
            continue
        if ".so" in source.suffixes:
            binaries.append(source)
        _add_python_file(tree, f"{_SITE_IN_IMAGE}/{file.as_posix()}", source)
    return binaries


def _wanted(path: PurePosixPath) -> bool:
    folders = path.parts[:-1]
    if ".." in path.parts or path.is_absolute() or _PACKAGE_DIRS_SKIPPED.intersection(folders):
        return False
    if path.name.endswith(_PACKAGE_SUFFIXES_SKIPPED):
        return False
    if "tests" in folders:
        # Some packages import helpers out of their own tests folder; those are named with an underscore.
        return folders[-1] == "tests" and path.name.startswith("_") and path.suffix == ".py"
    return not any(folder.endswith(".dist-info") for folder in folders) or path.name == "METADATA"


def _add_python_file(tree: LayerFiles, path: str, source: Path) -> None:
    """Adds a file; beside a Python source also its byte code, so that a read-only image starts quickly."""
    tree.add_file(path, source, 0o755 if ".so" in source.suffixes else 0o644)
    if not path.endswith(".py"):
        return
    text = source.read_bytes()
    try:
        code = compile(text, f"/{path}", "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return  # templates and samples in some packages are no valid modules
    # Unchecked-hash form (PEP 552): no dates. Marshal version 2: later versions record how often an object happened
    # to be referenced in this process, which makes the bytes, and so the image id, change from run to run.
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text)
    pure = PurePosixPath(path)
    cached = pure.parent / "__pycache__" / f"{pure.stem}.{sys.implementation.cache_tag}.pyc"
    tree.add_file(str(cached), head + marshal.dumps(code, 2))


def _add_shared_libraries(tree: LayerFiles, binaries: Sequence[Path]) -> None:
    """Adds the libraries that the binaries link to, at the places where the image's loader looks for them."""
    done = subprocess.run(
        ["ldd", *map(str, binaries)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
    )
    bundled = {os.path.normpath(path.parent) for path in binaries}
    for line in done.stdout.splitlines():
        name, arrow, target = (part.strip() for part in line.partition("=>"))
        resolved = os.path.normpath((target if arrow else name).split(" (")[0].strip())
        if resolved == "not found":
            raise ImageBuildError(f"shared library {name} is missing on this machine (ldd finds none); install it")
        if not line[:1].isspace() or not resolved.startswith("/") or os.path.dirname(resolved) in bundled:
            continue
        _add_library(tree, resolved)
    libc = next((path for path in tree.entries if path.endswith("/libc.so.6")), None)
    if libc is None:
        raise ImageBuildError(f"cannot tell the interpreter's shared libraries: ldd says {done.stderr.strip()[:200]!r}")
    # The C library opens this one by name when a thread is cancelled; ldd does not list it.
    unwinder = Path("/", libc).with_name("libgcc_s.so.1")
    if unwinder.exists():
        _add_library(tree, str(unwinder))


def _add_library(tree: LayerFiles, path: str) -> None:
    standard = path.startswith(tuple(f"{folder}/" for folder in _STANDARD_LIBRARY_DIRS))
    place = path if standard else f"/usr/lib/{PurePosixPath(path).name}"
    if place.lstrip("/") not in tree.entries:
        tree.add_file(place, _stripped(Path(os.path.realpath(path))), 0o755)
