# ruff: noqa: T201
"""What a sponsor posts: `python -m learningchain.examples.federation.build NAME FOLDER` writes

image.tar           the image, as a docker-archive
model.safetensors   the initial model
schema.json         what the owners' tables hold, for `learningchain data add --schema` and for whoever joins
rows.json           what a row may hold that the trained model is asked about, for `learningchain fed deploy --schema`
sample.jsonl        rows to ask it about
train.csv           all rows that owners may have
owner1, owner2 ...  a folder for each owner, with its own share of these rows (--owners)
README.md           what a sponsor and what an owner types with these files
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.metadata
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import numpy as np
except ModuleNotFoundError:
    raise SystemExit(
        "error: this needs numpy and scikit-learn. Install LearningChain with its extra `demo`: pip install 'learningchain[demo]'"
    ) from None

from learningchain.chain.contracts.federation.messages import MOST_MEMBERS
from learningchain.examples import images
from learningchain.examples.data import DataMissing
from learningchain.examples.digits.data import split_digits
from learningchain.examples.federation import wheel
from learningchain.examples.federation.deal import dealt
from learningchain.examples.federation.federated import Model, model_bytes
from learningchain.examples.german_credit import ranks
from learningchain.examples.tabular import read_table
from learningchain.sandbox.image_writer import ImageBuildError

HERE = Path(__file__).parent
SEED = 1
SAMPLED = 3


@dataclass(frozen=True)
class Example:
    """`data`: a folder of examples; `program` a file of this one; `params`: as they are posted; `clip`: norm of a first update,
    about as long as that of an honest owner."""

    data: str
    program: str
    params: str
    clip: float
    mem_mb: int
    target: str
    """A loss that three owners or more reach in a few rounds."""
    rows: str = "data"
    """The module of the folder that has the rows."""

    reference: bool = False
    """Whether the sponsor has rows of its own, as a model that is summed in cells needs, with rounds of ten minutes."""

    rounds: int = 8
    """In which the target is reached. A cell's sum is noisy: three are usual, one federation in 200 needs more than eight."""

    @property
    def torch(self) -> bool:
        return self.program in ("tables", "pictures")


EXAMPLES = {
    "breast-cancer": Example("breast_cancer", "logistic", '{"steps":100,"rate":2.0}', 20.0, 192, "0.25"),
    "breast-cancer-layer": Example("breast_cancer", "layer", '{"steps":40,"rate":0.3}', 3.0, 192, "0.2"),
    "breast-cancer-network": Example("breast_cancer", "tables", '{"steps":40,"rate":0.3}', 3.0, 768, "0.2"),
    "credit": Example("german_credit", "logistic", '{"steps":20,"rate":0.3}', 1.0, 192, "0.53"),
    "credit-numbers": Example("german_credit", "logistic", '{"steps":80,"rate":0.3}', 1.0, 192, "0.52", "ranks", True, 16),
    "credit-network": Example("german_credit", "tables", '{"steps":20,"rate":0.1}', 3.0, 768, "0.54"),
    "digits-network": Example("digits", "pictures", '{"steps":40,"rate":0.1}', 5.0, 768, "0.3"),
}
HIDDEN = {"layer": 256, "tables": 32}
"""Units of the layer between, by program. With 128 and fewer the sponsor's reference rests on single values now and then, and is
refused for that (LC-FILE-18)."""


def rows_schema(name: str) -> dict[str, Any]:
    """What a row may hold: the features' schema of the image."""
    one = EXAMPLES[name]
    found: dict[str, Any] = json.loads((HERE.parent / one.data / "schema.json").read_bytes())
    if one.data == "digits":
        pixel = {"datatype": "UINT8", "shape": [], "min": 0, "max": 16}
        found["inputs"] = [{"name": f"pixel_{at // 8}_{at % 8}", **pixel, "about": "0 white to 16 black"} for at in range(64)]
    elif one.data == "german_credit":
        del found["unit"]  # as a job it says a number; federated it says a class, and a model says the one or the other
        found["classes"] = ["lost", "paid back"]
    if one.rows == "ranks":
        found["inputs"] = ranks.in_numbers(found["inputs"])
    return found


def data_schema(name: str) -> dict[str, Any]:
    """What an owner's tables hold: the same columns, and the truth."""
    found = rows_schema(name)
    columns = [
        {key: field[key] for key in ("name", "datatype", "min", "max", "values") if key in field} for field in found["inputs"]
    ]
    truth = {"name": "truth", "datatype": "INT64", "min": 0, "max": len(found["classes"]) - 1}
    return {"columns": [*columns, truth]}


def split_rows(name: str) -> tuple[bytes, bytes]:
    """(rows for owners, rows for evaluation). Raises DataMissing."""
    one = EXAMPLES[name]
    if one.data == "digits":
        head = ",".join([*(field["name"] for field in rows_schema(name)["inputs"]), "truth"]).encode() + b"\n"
        training, evaluation = split_digits()
        return head + training, head + evaluation
    found: tuple[bytes, bytes] = importlib.import_module(f"learningchain.examples.{one.data}.{one.rows}").split_rows()
    return found


def initial(name: str) -> Model:
    """Drawn with a seed that is always the same."""
    rng, one = np.random.default_rng(SEED), EXAMPLES[name]
    width = len(read_table(split_rows(name)[1].decode().splitlines()[:2], rows_schema(name)["inputs"])[0][0])

    def drawn(*shape: int) -> Any:
        return rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)

    def zeros(count: int) -> Any:
        return np.zeros(count, np.float32)

    if one.program == "logistic":
        return {"weights": zeros(width)}
    if one.program in HIDDEN:
        hidden = HIDDEN[one.program]
        return {"0.weight": drawn(hidden, width), "0.bias": zeros(hidden), "2.weight": drawn(1, hidden), "2.bias": zeros(1)}
    return {
        "0.weight": drawn(8, 1, 3, 3),
        "0.bias": zeros(8),
        "2.weight": drawn(16, 8, 3, 3),
        "2.bias": zeros(16),
        "6.weight": drawn(10, 256),
        "6.bias": zeros(10),
    }


def image_files(name: str) -> dict[str, bytes | Path]:
    """What the image holds beside Python and packages, by path in the image. Raises DataMissing."""
    shapes = {tensor: list(values.shape) for tensor, values in initial(name).items()}
    return {
        "/lc/job": (HERE / f"{EXAMPLES[name].program}.py").read_bytes(),
        "/lc/schema.json": json.dumps(rows_schema(name)).encode(),
        "/lc/shapes.json": json.dumps(shapes).encode(),
        "/lc/learningchain/examples/tabular.py": (HERE.parent / "tabular.py").read_bytes(),
        "/lc/learningchain/examples/federation/federated.py": (HERE / "federated.py").read_bytes(),
        "/lc/eval.csv": split_rows(name)[1],
    }


def build(name: str, dest: Path, cache: Path | None = None) -> str:
    """Writes the archive to `dest` and returns the image id. Raises TorchMissing, DataMissing, ImageBuildError, OSError,
    PackageNotFoundError; KeyError for no example."""
    files = image_files(name)
    if not EXAMPLES[name].torch:
        return images.build(dest, files, ("numpy",), cache)
    with found_in(wheel.torch_folder()):
        return images.build(dest, files, wheel.PACKAGES, cache)


@contextmanager
def found_in(folder: Path) -> Iterator[None]:
    """Distributions of this folder are found, too; the environment's own come first."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def sample(inputs: list[dict[str, Any]], table: bytes) -> str:
    """The first rows of a table as a model is asked about them, a line each."""
    reads = [{"BYTES": str, "FP32": float, "FP64": float}.get(one["datatype"], int) for one in inputs]
    rows = list(csv.reader(table.decode().splitlines()))[1 : 1 + SAMPLED]
    return "".join(json.dumps([read(cell) for read, cell in zip(reads, row, strict=False)]) + "\n" for row in rows)


README = """\
# {name}: a federation to try

On three nodes or more, which may be the owners': they add up and measure, and say so before it is opened.

    learningchain fed serve on

As the sponsor, on a node that is no owner:

{own}    learningchain fed open --image-archive {folder}/image.tar --model {folder}/model.safetensors \\
        --schema {folder}/schema.json --bounty 30 --target {target} --rounds {rounds} --ends 1d --round-time {round} \\
        --train-time 60s --params '{params}' --clip {clip:g} --mem-mb {mem_mb} --tmp-mb 8 --admit open --max-members {members}{more}

As each owner, on a node of its own, with a folder of its own (owner1, owner2 ...):

    learningchain data add cases {folder}/owner1 --schema {folder}/schema.json
    learningchain fed join latest cases
    learningchain fed watch latest

Once the federation is over the sponsor offers the best model, and prints its own address for those who serve it:

    learningchain fed deploy latest --name {name} --kind class --classes {classes} --row-time 500ms --start-time 60s \\
        --schema {folder}/rows.json --sample {folder}/sample.jsonl
    learningchain id --address

On three nodes or more, none of which is to ask, with that address in the place of SPONSOR:

    learningchain model serve SPONSOR/{name}

And the sponsor asks, as everybody else may who says SPONSOR/{name}:

    learningchain predict {name} --file {folder}/sample.jsonl

The whole way on one machine: docs/start-data.md.
"""


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m learningchain.examples.federation.build",
        description="Write what a sponsor of a federation posts, and a share of the rows for each owner, into a folder.",
    )
    found.add_argument("name", choices=list(EXAMPLES), metavar="NAME", help=", ".join(EXAMPLES))
    found.add_argument("folder", type=Path, metavar="FOLDER")
    found.add_argument("--owners", type=int, default=3, help="how many owners the rows are dealt to (3)")
    return found


def main(argv: list[str]) -> int:
    given = parser().parse_args(argv)
    name, folder, one = given.name, given.folder, EXAMPLES[given.name]
    try:
        if not 1 <= given.owners <= MOST_MEMBERS:
            raise ValueError(f"a federation has 1 to {MOST_MEMBERS} owners")
        if (folder / f"owner{given.owners + 1}").exists():
            raise ValueError(f"{folder} has shares for more owners, of the same rows: take another folder, or remove this one")
        folder.mkdir(parents=True, exist_ok=True)
        print(build(name, folder / "image.tar"))
        (folder / "model.safetensors").write_bytes(model_bytes(initial(name)))
        (folder / "schema.json").write_text(json.dumps(data_schema(name), indent=1))
        asked = rows_schema(name)
        (folder / "rows.json").write_text(json.dumps(asked, indent=1))
        training, evaluated = split_rows(name)
        (folder / "sample.jsonl").write_text(sample(asked["inputs"], evaluated))
        (folder / "train.csv").write_bytes(training)
        people = [f"owner{number}" for number in range(1, given.owners + 1)] + ["sponsor"] * one.reference
        for who, share in zip(people, dealt(training, len(people), seed=1, skew=4.0), strict=True):
            (folder / who).mkdir(exist_ok=True)
            (folder / who / "cases.csv").write_bytes(share)
        place = shlex.quote(str(folder))
        own = f"    learningchain data add cases {place}/sponsor --schema {place}/schema.json\n" if one.reference else ""
        more, round_time = (" --reference cases", "10m") if one.reference else ("", "60s")
        told = {"own": own, "more": more, "round": round_time} | {
            "name": name,
            "folder": place,
            "members": max(4, given.owners),
            "classes": len(asked["classes"]),
            "target": one.target,
            "rounds": one.rounds,
            "params": one.params,
            "clip": one.clip,
        }
        (folder / "README.md").write_text(README.format(**told, mem_mb=one.mem_mb))
    except wheel.TorchMissing as problem:
        print(f"left out: {name}: {problem}", file=sys.stderr)
        return 1
    except ValueError as problem:
        print(f"error: --owners {given.owners}: {problem}", file=sys.stderr)
        return 2
    except (DataMissing, ImageBuildError, OSError, importlib.metadata.PackageNotFoundError) as problem:
        print(f"error: the image cannot be built: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
