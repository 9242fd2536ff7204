"""The client's side of the contracts: a folder each, found by itself; adding one touches no other file.

A slice is a package with the modules that its contract needs, each found by its name:

    commands   SECTIONS, its commands, and SAYS; imports nothing but `client.cli.entries`     read by client.cli
    settings   WORK, its settings of the section [work], SECTIONS, others, and CHECKS         read by client.config
    people     role and rows, its part of an account in words                                 read by client.cli.ledger, dashboard
    references find, how what it keeps is named where one is typed                           read by commands
    texts      TEXTS, why its codes refuse and what to do, and REASONS, why credits move       read by client.schema.explain
    work       WORK, its machines                                                            read by client.work.machine
    api        ROUTES, and PATH and FOLLOWERS where there are some                           read by client.api.table
    account    VIEW and of, its part of what is said of an account                           read by client.api.accounts
    pages      PAGES and NAV, drawn with its folder `templates`; overview, FIRST             read by client.dashboard
    outsiders  door, what it answers to who asks to join                                      read by client.daemon.services
    callbacks  NAMES, LAST, named, happened, data: what is told to URLs                      read by client.callbacks
    notify     EVENTS, TOPICS, told: what the operator is told of                             read by client.notify
    sdk        CALLS, its calls of the SDK                                                   read by client.sdk.client
    objects    PARTS, what a node as an object has of it, awaited and blocking, of own slices   read by client.sdk.connecting
    figures    FIGURES, what its metrics count of this node                                  read by client.node.ledger
    proven     said, what records in a receipt file mean, and what keys open of them         read by client.receipts.files
    statements STATEMENTS, what the identity signs beside transactions                       read by client.signer

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

GROUP = "learningchain.client"


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


def parts(name: str) -> dict[str, ModuleType]:
    """The module `name` of every slice that has one, by the slice's name."""
    return {
        slice_: importlib.import_module(f"{package}.{name}")
        for slice_, package in packages().items()
        if find_spec(f"{package}.{name}") is not None
    }
