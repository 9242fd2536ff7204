"""Copies of the model with some edits: wrong contracts, or the rules as they were before one of them was changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

from tests.model_copies import Edit, ModelCopies

from . import scenario

_COPIES = ModelCopies(Path(__file__).parent, "predictions_edited", scenario)


def edited(folder: Path, edits: Sequence[Edit]) -> AbstractContextManager[Path]:
    """A copy of the model in `folder` with some edits. At the end it is forgotten."""
    return _COPIES.edited(folder, edits)


def load(copy: Path, module: str, shared: bool = False) -> ModuleType:
    """A module of the copy; with `shared` the copy takes our scenarios."""
    return _COPIES.load(copy, module, shared=shared)
