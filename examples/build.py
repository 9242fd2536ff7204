# ruff: noqa: T201
"""Builds the image of an example as a docker-archive: `python -m learningchain.examples.build NAME DEST.tar` prints the image
id."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

from learningchain.examples import images
from learningchain.examples.data import DataMissing
from learningchain.examples.digits import build as digits
from learningchain.examples.digits_torch import build as digits_torch
from learningchain.examples.federation.wheel import TorchMissing
from learningchain.examples.sentences import build as sentences
from learningchain.examples.sentences.build import ModelMissing
from learningchain.sandbox.image_writer import ImageBuildError

TABLES = ("breast_cancer", "diabetes", "german_credit")
BUILT = {"digits": digits.build, "digits_torch": digits_torch.build, "sentences": sentences.build}
HERE = Path(__file__).parent


def table_files(name: str) -> dict[str, bytes | Path]:
    """What the image of an example about a table holds: Python alone runs it. Raises DataMissing."""
    training, evaluation = importlib.import_module(f"learningchain.examples.{name}.data").split_rows()
    return {
        "/lc/job": (HERE / name / "job.py").read_bytes(),
        "/lc/schema.json": (HERE / name / "schema.json").read_bytes(),
        "/lc/learningchain/examples/tabular.py": (HERE / "tabular.py").read_bytes(),
        "/lc/train.csv": training,
        "/lc/eval.csv": evaluation,
    }


def build(name: str, dest: Path, cache: Path | None = None) -> str:
    """Writes the archive of the example to `dest` and returns the image id.

    Raises TorchMissing, ModelMissing, DataMissing, ImageBuildError, OSError, PackageNotFoundError; KeyError for no example."""
    if name in BUILT:
        return BUILT[name](dest, cache)
    if name not in TABLES:
        raise KeyError(name)
    return images.build(dest, table_files(name), (), cache)


def main(argv: list[str]) -> int:
    if len(argv) != 2 or argv[0] not in (*BUILT, *TABLES):
        print(f"usage: python -m learningchain.examples.build {'|'.join((*BUILT, *TABLES))} DEST.tar", file=sys.stderr)
        return 2
    try:
        print(build(argv[0], Path(argv[1])))
    except (TorchMissing, ModelMissing, DataMissing, ImageBuildError, OSError, importlib.metadata.PackageNotFoundError) as problem:
        print(f"error: the image cannot be built: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
