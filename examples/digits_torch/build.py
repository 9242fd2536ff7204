"""The image of the digits job in torch: `python -m learningchain.examples.build digits_torch DEST.tar`."""

from __future__ import annotations

from pathlib import Path

from learningchain.examples import images
from learningchain.examples.digits.data import split_digits
from learningchain.examples.federation import wheel
from learningchain.examples.federation.build import found_in

HERE = Path(__file__).parent
SHARED = ("tabular.py", "digits/job.py", "digits_torch/shapes.py", "federation/federated.py", "federation/pictures.py")
"""Files of the other examples that the job imports."""


def image_files() -> dict[str, bytes | Path]:
    """What the image holds beside Python and packages, by path in the image. Raises DataMissing."""
    training, evaluation = split_digits()
    shared: dict[str, bytes | Path] = {f"/lc/learningchain/examples/{name}": (HERE.parent / name).read_bytes() for name in SHARED}
    return {"/lc/job": (HERE / "job.py").read_bytes(), "/lc/train.csv": training, "/lc/eval.csv": evaluation, **shared}


def build(dest: Path, cache: Path | None = None) -> str:
    """Writes the archive to `dest` and returns the image id. Fetches torch the first time.

    Raises TorchMissing, DataMissing, ImageBuildError, OSError, PackageNotFoundError."""
    with found_in(wheel.torch_folder()):
        return images.build(dest, image_files(), wheel.PACKAGES, cache)
