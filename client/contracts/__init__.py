"""What a node's client side knows of each contract, a folder each. Whatever asks for a part finds it by its name: adding a contract
touches no other folder."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from types import ModuleType


def parts(name: str) -> list[ModuleType]:
    """The module of this name of every contract that has one, in the order of the contracts' names."""
    folders = sorted(info.name for info in pkgutil.iter_modules(__path__) if info.ispkg)
    return [
        importlib.import_module(f"{__name__}.{folder}.{name}")
        for folder in folders
        if importlib.util.find_spec(f"{__name__}.{folder}.{name}") is not None
    ]
