"""Small wheels, folders of jobs with a locked list of them, and a module with a job of functions."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

PROGRAM = "#!/usr/local/bin/python3\nimport sys\nimport thing\nsys.exit(thing.answer)\n"
FILES: dict[str, str] = {
    "thing/__init__.py": 'answer = 64 if "a" in {"a", "b", "c"} else 0\n',
    "thing/tests/test_thing.py": "x = 1\n",
    "thing/broken.py": "this is no module {{ name }}\n",
    "thing-1.0.data/scripts/thing": "#!python\n",
    "thing-1.0.data/data/share/thing.txt": "shared",
    "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
    "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "thing-1.0.dist-info/RECORD": "",
}

LINE = """
import json

import learningchain


@learningchain.job(files=["points.csv"])
def line(task: learningchain.Task) -> bytes:
    task.progress(1, 1, 0.0)
    return json.dumps([task.seed, task.params["b"]]).encode()


@line.evaluate
def losses(task, model):
    a, b = map(float, json.loads(model))
    return [(a * x + b - y) ** 2 for x, y in points(task.hidden or task.folder / "points.csv")]


@line.predict
def answer(task, model):
    a, b = map(float, json.loads(model))
    return lambda row, factor: a * row[0] * factor + b


def points(path):
    return [tuple(map(float, row.split(","))) for row in path.read_text().split()]
"""
"""A module whose functions are a job: the model is its seed, and b of the parameters."""


def wheel(files: Mapping[str, str | bytes] = FILES, *odd: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """The bytes of a wheel; `odd` are members that no tool would write."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        for member, content in odd:
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return raw.getvalue()


def job(folder: Path, content: bytes | None = None, name: str = "thing-1.0-py3-none-any.whl") -> tuple[Path, Path]:
    """A job's folder that wants one wheel, and the folder of wheels that has it."""
    content = wheel() if content is None else content
    made, wheels = folder / "job", folder / "wheels"
    (made / "data").mkdir(parents=True)
    wheels.mkdir()
    (made / "job.py").write_text(PROGRAM)
    (made / "data/train.csv").write_text("1,2\n")
    (made / "hidden.csv").write_text("3,4\n")
    (made / "requirements.lock").write_text(f"thing==1.0 \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
    (wheels / name).write_bytes(content)
    return made, wheels
