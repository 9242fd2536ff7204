"""`job new`: a folder with a job that builds and runs, to begin a job from. Its files are in `client/contracts/job/skeleton`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.keys.names import MAX_CHARACTERS

TEMPLATES = ("python", "sklearn", "xgboost", "torch", "shell")
BY_HAND = "shell"
"""What `job build` makes no image of, for it has Python and no shell, and whose model cannot be asked."""
BUILT = """| `job.toml` | what goes into the image, and how the job is posted: bounty, time, limits, data sets |
| `schema.json` | what can be asked: each input's name, type and range. It is of the model, not in the image |
| `sample.jsonl` | rows by which others see whether the model answers the same on their machine |
"""
PACKAGES = "| `requirements.txt` | the packages that it imports. `job lock` writes their exact versions and hashes |\n"
"""Files of a kind, in the table of a job's page."""
MAKES = {True: "learningchain job build . --out {name}.tar", False: "docker build -t {name} .\ndocker save {name} -o {name}.tar"}
LOCKS = "learningchain job lock .                # once, and after each change of requirements.txt\n"
"""What makes the image, in the folder, where `job build` does and where Docker does."""
ASKED = """Once a winner is paid, others can ask its model, and you get the price that you name for each row. Servers are
verifiers' nodes, at least three beside whoever asks:

```sh
learningchain model register --job latest --name {name} --kind number --price 0.001 --schema schema.json --sample sample.jsonl{slow}
learningchain model serve OWNER/{name}
learningchain predict OWNER/{name} 2.5
```

With the schema a value out of its range is refused before anything is paid, and tables (`predict --csv`) and the dashboard's form
know the names. The answers to the sample are taken from two runs of the winner on your machine, so `--sample` needs a container
engine there; without one leave it out. Change both files with `predict` in `{program}`."""
SLOW = {"torch": " --start-time 60s"}
"""What a model that takes long to load says of it: five seconds are the default, and importing torch alone takes that."""
UNASKED = "This program answers no questions about its model: that takes the phase `predict`, which the job in Python has."
"""What a job's page says of its model, once there is one."""
SUBMITS = {
    True: "learningchain job submit .",
    False: "learningchain job submit --image-archive {name}.tar --bounty 20 --expires 30m",
}
TERMS = " `job submit .` builds the image and takes its terms from `job.toml`; words behind it go before them:"
"""How it is posted: only what `job build` makes is named by its folder."""
_SUFFIX = ".txt"
"""Of the files as they lie in the package, where nobody may take a program for a part of this one."""


def new(
    folder: Annotated[Path, Parameter(name="DIR", help="The folder to make; it may be there, if it is empty.")],
    /,
    *,
    template: Annotated[
        Literal["python", "sklearn", "xgboost", "torch", "shell"],
        Parameter(help="What it begins from: Python alone, scikit-learn, xgboost, torch, or a shell script."),
    ] = "python",
    common: Common = HERE,
) -> int:
    """Write a job that builds and runs: a program, points to learn from, a Dockerfile, what its model can be asked, and what to do
    next."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUsage(f"{folder} is there already and not an empty folder. Name a new one")
    name, made, built = image_name(folder), files(template), template != BY_HAND
    program, locked = "job.py" if built else "job.sh", "requirements.txt" in made
    words = {"name": name, "label": own_name(name), "program": program}
    words |= {"phases": "`train`, `evaluate` and `predict`" if built else "`train` and `evaluate`"}
    words |= {"more": (BUILT if built else "") + (PACKAGES if locked else ""), "terms": TERMS if built else ""}
    words |= {"build": (LOCKS if locked else "") + MAKES[built].format(**words), "submit": SUBMITS[built].format(**words)}
    words |= {"slow": SLOW.get(template, "")}
    words |= {"asked": ASKED.format(**words) if built else UNASKED}
    for path, text in made.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.format(**words) if path in ("README.md", "job.toml") else text, "utf-8")
    (folder / program).chmod(0o755)
    document = {"folder": str(folder), "name": name, "template": template, "files": sorted(made)}

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("program", folder / program), ("what to do", folder / "README.md")]
        console.print(facts(f"A job in {folder}", rows))

    common.out.show(document, people)
    if locked:
        common.out.note(f"Lock its packages: learningchain job lock {folder}")
    builds = f"learningchain job build {folder} --out {name}.tar"
    if not built:
        builds = f"docker build -t {name} {folder} && docker save {name} -o {name}.tar"
    common.out.note(f"Build it: {builds}")
    common.out.note(f"Then try it: learningchain image check {name}.tar")
    return 0


def image_name(folder: Path) -> str:
    """What Docker takes as an image's name: small letters, digits, and single . _ - between them."""
    words = re.findall(r"[a-z0-9]+", folder.resolve().name.lower())
    return "-".join(words)[:64] or "my-job"


def own_name(name: str) -> str:
    """The name that the job has on its owner's machine: with a letter, and no longer than such names are."""
    return (name if re.search("[a-z]", name) else f"job-{name}")[:MAX_CHARACTERS].rstrip("-")


def files(template: str) -> dict[str, str]:
    """The files of a kind, by their paths in the new folder."""
    skeleton = resources.files("learningchain.client.contracts.job").joinpath("skeleton")
    found: dict[str, str] = {}
    for part in ("common", *(() if template == BY_HAND else ("built",)), template):
        found |= dict(_below(skeleton.joinpath(part)))
    return found


def _below(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield prefix + entry.name.removesuffix(_SUFFIX), entry.read_text("utf-8")
