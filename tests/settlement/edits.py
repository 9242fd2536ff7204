"""Copies of the model with one edit: wrong contracts. Whether comparing traces notices them, and whether the properties do."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

from tests.model_copies import ModelCopies

from . import scenario

_COPIES = ModelCopies(Path(__file__).parent, "settlement_edited", scenario)


def edited(folder: Path, file: str, old: str, new: str) -> AbstractContextManager[Path]:
    """A copy of the model in `folder` with one edit. It shares the scenarios' types with the model; at the end it is forgotten."""
    return _COPIES.edited(folder, [(file, old, new)])


def load(copy: Path, module: str) -> ModuleType:
    """A module of the copy."""
    return _COPIES.load(copy, module, shared=True)
