"""`job new`: a folder with a job that builds and runs, to begin a job from. Its files are in `client/contracts/job/skeleton`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts

PROGRAMS = {"python": "job.py", "shell": "job.sh"}
"""The program of each kind: it becomes /lc/job."""
PHASES = {"python": "`train`, `evaluate` and `predict`", "shell": "`train` and `evaluate`"}
MORE = {
    "python": """| `schema.json` | what can be asked: each input's name, type and range. It is of the model, not in the image |
| `sample.jsonl` | rows by which others see whether the model answers the same on their machine |
""",
    "shell": "",
}
"""Files of a kind, in the table of a job's page."""
BUILDS = {
    "python": "learningchain job build . --out {name}.tar",
    "shell": "docker build -t {name} .\ndocker save {name} -o {name}.tar",
}
"""What makes the image, in the folder: `job build` has Python and no shell."""
ASKED = {
    "python": """Once a winner is paid, others can ask its model, and you get the price that you name for each row. Servers are
verifiers' nodes, at least three beside whoever asks:

```sh
learningchain model register --job latest --name {name} --kind number --price 0.001 --schema schema.json --sample sample.jsonl
learningchain model serve OWNER/{name}
learningchain predict OWNER/{name} 2.5
```

With the schema a value out of its range is refused before anything is paid, and tables (`predict --csv`) and the dashboard's form
know the names. The answers to the sample are taken from two runs of the winner on your machine, so `--sample` needs a container
engine there; without one leave it out. Change both files with `predict` in `{program}`.""",
    "shell": "This program answers no questions about its model: that takes the phase `predict`, which the job in Python has.",
}
"""What a job's page says of its model, once there is one."""
_SUFFIX = ".txt"
"""Of the files as they lie in the package, where nobody may take a program for a part of this one."""


def new(
    folder: Annotated[Path, Parameter(name="DIR", help="The folder to make; it may be there, if it is empty.")],
    /,
    *,
    language: Annotated[Literal["python", "shell"], Parameter(help="What the program is written in.")] = "python",
    common: Common = HERE,
) -> int:
    """Write a job that builds and runs: a program, points to learn from, a Dockerfile, what its model can be asked, and what to do
    next."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUsage(f"{folder} is there already and not an empty folder. Name a new one")
    name, made = image_name(folder), files(language)
    for path, text in made.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path == "README.md":
            words = {"name": name, "program": PROGRAMS[language], "phases": PHASES[language]}
            words |= {"build": BUILDS[language].format(**words), "more": MORE[language], "asked": ASKED[language].format(**words)}
            text = text.format(**words)
        target.write_text(text, "utf-8")
    (folder / PROGRAMS[language]).chmod(0o755)
    document = {"folder": str(folder), "name": name, "language": language, "files": sorted(made)}

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("program", folder / PROGRAMS[language]), ("what to do", folder / "README.md")]
        console.print(facts(f"A job in {folder}", rows))

    common.out.show(document, people)
    builds = f"learningchain job build {folder} --out {name}.tar"
    if language != "python":
        builds = f"docker build -t {name} {folder} && docker save {name} -o {name}.tar"
    common.out.note(f"Build it: {builds}")
    common.out.note(f"Then try it: learningchain image check {name}.tar")
    return 0


def image_name(folder: Path) -> str:
    """What Docker takes as an image's name: small letters, digits, and single . _ - between them."""
    words = re.findall(r"[a-z0-9]+", folder.resolve().name.lower())
    return "-".join(words)[:64] or "my-job"


def files(language: str) -> dict[str, str]:
    """The files of a kind, by their paths in the new folder."""
    skeleton = resources.files("learningchain.client.contracts.job").joinpath("skeleton")
    found: dict[str, str] = {}
    for part in ("common", language):
        found |= dict(_below(skeleton.joinpath(part)))
    return found


def _below(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield prefix + entry.name.removesuffix(_SUFFIX), entry.read_text("utf-8")
