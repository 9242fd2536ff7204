"""`job build`, `job lock`, `job base`: the image of a job from a folder and a locked list of wheels, without Docker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, size_text
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.sandbox.building import Built, OpenBase

Base = Annotated[
    Path | None, Parameter(help="The base to build on, from job base; its Python runs here. Default: this machine's own.")
]
Wheels = Annotated[Path | None, Parameter(help="A folder of wheels to take. Default: the index of pip's own settings.")]

CUDA = ("nvidia-", "cuda-")
"""How packages begin that bring libraries for GPUs."""


def build(
    folder: Annotated[Path, Parameter(name="DIR", help="The job's folder (job.py, data, requirements.lock), or a module FILE.py.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(name=["--out", "-o"], help="The archive to write; it may be there. Default: DIR.tar.")
    ] = None,
    base: Base = None,
    wheels: Wheels = None,
    common: Common = HERE,
) -> int:
    """Make the image of a folder, or of a module with @learningchain.job, without Docker and without executing anything of it.

    The same base, list of wheels and files give the same image id on every machine.
    """
    target = out if out is not None else archive_name(folder)
    built = build_image(folder, target, base, wheels)
    document: dict[str, Any] = {
        "archive": str(target),
        "image_id": built.image_id,
        "base": built.base_id,
        "size": built.size,
        "packages": [f"{name}=={version}" for name, version in built.packages],
        "files": list(built.files),
    }

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("archive", f"{target}, {size_text(built.size)}"), ("image", built.image_id)]
        rows += [("base", built.base_id), ("packages", ", ".join(document["packages"]) or "none")]
        rows += [("files", f"{len(built.files)}: {', '.join(built.files[:8])}{' …' if len(built.files) > 8 else ''}")]
        console.print(facts(f"Image of {folder}", rows))

    common.out.show(document, people)
    common.out.note(f"Try it as workers and verifiers will: learningchain image check {target}")
    return 0


def lock(
    folder: Annotated[Path, Parameter(name="DIR", help="The job's folder, with a requirements.txt.")],
    /,
    *,
    base: Base = None,
    wheels: Wheels = None,
    common: Common = HERE,
) -> int:
    """Write requirements.lock: exact versions and hashes of what requirements.txt names and what that needs, wheels alone."""
    from learningchain.sandbox.building import lock_folder

    with _opened(base) as opened:
        names = lock_folder(folder, opened, wheels)
    target, count = folder / "requirements.lock", len(names)
    common.out.show({"lock": str(target), "packages": count}, lambda console: console.print(f"{target}: {count} packages"))
    if cuda := [name for name in names if name.startswith(CUDA)]:
        common.out.note(
            f"{len(cuda)} of them are for NVIDIA's GPUs ({', '.join(cuda[:2])} …), gigabytes of libraries, which everybody who "
            "trains or judges fetches. Where the maker has a build for processors alone and trainings need no GPU, name that in "
            "requirements.txt, such as torch==2.13.0+cpu"
        )
    common.out.note(f"Build the image: learningchain job build {folder}")
    return 0


def base(
    out: Annotated[Path, Parameter(name="FILE", help="The archive to write; it may be there.")], /, *, common: Common = HERE
) -> int:
    """Write the base that images are built on here: this machine's Python with its libraries.

    Whoever builds the same job on the same base has the same image id.
    """
    import shutil

    with _opened(None) as opened:
        shutil.copyfile(opened.layers[0].archive, out)
        found = {"archive": str(out), "base": opened.image.image_id, "python": opened.facts["python_full_version"]}
        found["glibc"] = ".".join(map(str, opened.glibc))
    common.out.show(found, lambda console: console.print(facts("Base", list(found.items()))))
    common.out.note(f"Others build on it with: learningchain job build DIR --base {out}")
    return 0


def archive_name(folder: Path) -> Path:
    """Where the image of a folder or module goes if nothing else is said."""
    whole = folder.resolve()
    return Path(f"{whole.stem if whole.suffix == '.py' else whole.name}.tar")


def build_image(folder: Path, target: Path, base: Path | None = None, wheels: Path | None = None) -> Built:
    """The image of a folder, as an archive. Raises `WrongUsage`."""
    from learningchain.sandbox.building import build_folder

    with _opened(base) as opened:
        return build_folder(folder, target, opened, wheels)


@contextmanager
def _opened(base: Path | None) -> Iterator[OpenBase]:
    """A base for what is built in the block: this one, or one of this machine's own. Raises `WrongUsage`, also for the block."""
    from learningchain.client.sdk.values import sentence
    from learningchain.sandbox.building import open_base, own_base
    from learningchain.sandbox.image_writer import ImageBuildError

    try:
        with open_base(base or own_base()) as opened:
            yield opened
    except ImageBuildError as problem:
        raise WrongUsage(sentence(str(problem))) from None
    except OSError as problem:
        where = "Let this user write there, or name another place: --out FILE; for what is kept, XDG_CACHE_HOME=FOLDER"
        raise WrongUsage(f"The image cannot be built: {problem}. {where}") from None
