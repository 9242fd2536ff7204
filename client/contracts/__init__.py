"""The client's side of the contracts: a folder each, found by itself; adding one touches no other file.

A slice is a package with the modules that its contract needs, each found by its name. `PART` of such a module is an object of the
type that its readers go by. Where that type is declared, the kind stands beside it, and it is asked for by that: `parts(TEXTS)`.

    commands   CommandsPart: its commands; imports nothing else                                    client.cli.entries
    settings   SettingsPart: its settings                                                          client.schema.settings
    people     PeoplePart: its part of an account in words                                         client.schema.people
    texts      TextsPart: why its codes refuse, why credits move, what its records prove           client.schema.explain
    work       WorkPart: its machines                                                              client.work.machine
    api        ApiPart: routes, what counts for metrics, what it answers to who asks to join       client.api.route
    account    AccountPart: its part of what the API says of an account                            client.api.route
    pages      PagesPart: pages, drawn with its folder `templates`, and its part of the overview   client.dashboard.page
    callbacks  CallbackPart: what is told to URLs                                                  client.callbacks.following
    notify     NotifyPart: what the operator is told of                                            client.notify.events
    sdk        SdkPart: its calls of the SDK                                                       client.sdk.calls
    objects    ObjectsPart: what a node as an object has of it; of own slices alone                client.sdk.objects
    statements StatementsPart: what the identity signs beside transactions                         client.keys.statements

Slices lie here, or in another distribution that names its package under the entry point group `learningchain.client`, as it names
its contract for the ledger (`chain.contracts`). What is read here is what the operator of this machine installed.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Generic, NamedTuple, TypeVar

GROUP = "learningchain.client"
Part = TypeVar("Part")


class PartKind(NamedTuple, Generic[Part]):
    """A part that a slice may have: `PART` of the module `name` in its package, of the type `type`."""

    name: str
    type: type[Part]


class BadSlice(Exception):
    """A slice whose part is none of its kind, or cannot be imported. The text names both, and says what is wanted."""


def packages() -> dict[str, str]:
    """Each slice's package by its name, in the order of the names. Two of one name: the one that lies here counts."""
    return dict(sorted((_installed(tuple(sys.path)) | _here(tuple(__path__))).items()))


def is_own(name: str) -> bool:
    """Whether the slice is this program's."""
    return name in _here(tuple(__path__))


@lru_cache(4)
def _here(folders: tuple[str, ...]) -> dict[str, str]:
    """Looked for on the disk first: `pkgutil` loads much to look anywhere else, such as in a program that was packed."""
    names = [name for folder in folders for name in _packages(folder)]
    if not names:
        import pkgutil

        names = [info.name for info in pkgutil.iter_modules(folders) if info.ispkg]
    return {name: f"{__name__}.{name}" for name in names}


def _packages(folder: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if os.path.isfile(os.path.join(entry.path, "__init__.py"))]
    except OSError:
        return []


@lru_cache(4)
def _installed(path: tuple[str, ...]) -> dict[str, str]:
    """Those of other distributions on the path: looked for once, as each question to the node needs them many times."""
    if not any(_names_slices(folder) for folder in path):
        return {}
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=GROUP)}


def _names_slices(folder: str) -> bool:
    """Whether a distribution there has slices. `importlib.metadata` takes longer to load than a page of help needs in all."""
    try:
        found = [entry.path for entry in os.scandir(folder or ".") if entry.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    for path in found:
        try:
            with open(os.path.join(path, "entry_points.txt"), encoding="utf-8") as f:
                if f"[{GROUP}]" in f.read():
                    return True
        except (OSError, ValueError):
            continue
    return False


def parts(kind: PartKind[Part]) -> dict[str, Part]:
    """The part of this kind of every slice that has one, by the slice's name. It is imported here. Raises `BadSlice`."""
    found = {slice_: _module(slice_, f"{package}.{kind.name}") for slice_, package in packages().items()}
    return {slice_: _part(slice_, module, kind) for slice_, module in found.items() if module is not None}


def _module(slice_: str, name: str) -> ModuleType | None:
    """None where the slice has no such module."""
    try:
        return None if find_spec(name) is None else importlib.import_module(name)
    except Exception as fault:
        if is_own(slice_):
            raise
        why = f"{type(fault).__name__}: {fault}"
        raise BadSlice(
            f"The slice {slice_} cannot be used: {name} cannot be imported ({why}). Mend or remove its package"
        ) from fault


def _part(slice_: str, module: ModuleType, kind: PartKind[Part]) -> Part:
    part = getattr(module, "PART", None)
    if isinstance(part, kind.type):
        return part
    wanted = f"{kind.type.__module__}.{kind.type.__qualname__}"
    there = "is missing" if part is None else f"is a {type(part).__qualname__}"
    raise BadSlice(f"The slice {slice_} cannot be used: {module.__name__}.PART {there}, and has to be a {wanted}")
