"""Which backends there are, each found by its name: the setting `sandbox.backend` chooses one.

A backend is a package with `BACKEND`, a function of `BackendSettings` that gives a `Backend`: one of `OWN`, or one that another
distribution names under the entry point group `learningchain.sandbox`. What is read here is what the operator of this machine
installed. `tests/sandbox/backend_suite.py` is what every backend must pass.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import msgspec

from learningchain.sandbox.backend import Backend

GROUP = "learningchain.sandbox"
OWN = {"docker": "learningchain.sandbox.docker", "oci": "learningchain.sandbox.oci"}


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node hands to the backend that it makes.

    `data` is a folder of the backend's own. `node_tag` marks everything that this node makes; it differs between the nodes that
    share an engine. `engine`, `runtime`, `cache_dir`, `disk_from`, `data_cap` and `images_cap` (bytes) are the settings of those
    names, and `sets_cap` is [work] data_mb in bytes, which each backend reads in its own way; `engine` is empty where the backend
    is to find it. `devices`: names of those that runs may be given. A backend that gives none says so in its self-test
    (`SelfTestReport.devices`).
    """

    data: Path
    node_tag: str
    engine: str = ""
    runtime: str = "runc"
    cache_dir: Path | None = None
    disk_from: int = 64 << 20
    data_cap: int = 64 << 30
    images_cap: int = 64 << 30
    sets_cap: int = 64 << 30
    devices: tuple[str, ...] = ()


class UnknownBackend(ValueError):
    """There is no backend of this name, or it is none. The text says what there is."""


def backends() -> dict[str, str]:
    """The package of each by its name. Two of one name: our own counts."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | OWN


def make_backend(name: str, settings: BackendSettings) -> Backend:
    """Raises `UnknownBackend`; what a backend says of settings that it cannot use is its own."""
    found = backends()
    if name not in found:
        known = ", ".join(sorted(found))
        raise UnknownBackend(
            f"there is no sandbox backend {name!r} (there is: {known}). Set sandbox.backend to one of these, or install the one "
            f"that is meant"
        )
    try:
        make: Callable[[BackendSettings], Backend] = importlib.import_module(found[name]).BACKEND
    except (ImportError, AttributeError) as problem:
        raise UnknownBackend(
            f"the sandbox backend {name!r} ({found[name]}) cannot be used: {problem}. Install it again, or set sandbox.backend to "
            f"docker"
        ) from problem
    return make(settings)
