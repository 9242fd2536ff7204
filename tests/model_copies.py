"""A model's package with some edits, beside the model itself: wrong contracts, and rules as they were before one was changed."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

Edit = tuple[str, str, str]
"""A file of the model, what stands there, what stands there instead."""


class DoesNotFit(Exception):
    """The text to be replaced does not stand in the file exactly once."""


class ModelCopies:
    """Of the package in `source`, imported as `name`. `scenario` is the model's module of that name."""

    def __init__(self, source: Path, name: str, scenario: ModuleType) -> None:
        self._source, self._name, self._scenario = source, name, scenario

    @contextmanager
    def edited(self, folder: Path, edits: Sequence[Edit]) -> Iterator[Path]:
        """A copy in `folder` with some edits. At the end it is forgotten."""
        copy = folder / self._source.name
        shutil.copytree(self._source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for file, old, new in edits:
            text = (copy / file).read_text()
            if text.count(old) != 1:
                raise DoesNotFit(f"{file}: {old!r} stands there {text.count(old)} times")
            (copy / file).write_text(text.replace(old, new))
        try:
            yield copy
        finally:
            shutil.rmtree(copy)
            for name in [name for name in sys.modules if name.partition(".")[0] == self._name]:
                del sys.modules[name]

    def load(self, copy: Path, module: str, *, shared: bool) -> ModuleType:
        """A module of the copy; with `shared` the copy takes the model's own scenarios."""
        if self._name not in sys.modules:
            spec = importlib.util.spec_from_file_location(self._name, copy / "__init__.py", submodule_search_locations=[str(copy)])
            if spec is None or spec.loader is None:
                raise ImportError(str(copy))
            package = importlib.util.module_from_spec(spec)
            sys.modules[self._name] = package
            spec.loader.exec_module(package)
            if shared:
                sys.modules[f"{self._name}.scenario"] = self._scenario
        return importlib.import_module(f"{self._name}.{module}")
