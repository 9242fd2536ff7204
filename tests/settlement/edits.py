"""Copies of the model with one edit: wrong contracts. Whether comparing traces notices them, and whether the properties do."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from . import scenario

SETTLEMENT = Path(__file__).parent
NAME = "settlement_edited"


class DoesNotFit(Exception):
    """The text to be replaced does not stand in the file exactly once."""


@contextmanager
def edited(folder: Path, file: str, old: str, new: str) -> Iterator[Path]:
    """A copy of the model in `folder` with one edit. It shares the scenarios' types with the model; at the end it is forgotten."""
    copy = folder / "settlement"
    shutil.copytree(SETTLEMENT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / file).read_text()
    if text.count(old) != 1:
        raise DoesNotFit(f"{file}: {old!r} stands there {text.count(old)} times")
    (copy / file).write_text(text.replace(old, new))
    try:
        yield copy
    finally:
        shutil.rmtree(copy)
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]


def load(copy: Path, module: str) -> ModuleType:
    """A module of the copy."""
    spec = importlib.util.spec_from_file_location(NAME, copy / "__init__.py", submodule_search_locations=[str(copy)])
    if spec is None or spec.loader is None:
        raise ImportError(str(copy))
    package = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = package
    spec.loader.exec_module(package)
    sys.modules[f"{NAME}.scenario"] = scenario
    return importlib.import_module(f"{NAME}.{module}")
