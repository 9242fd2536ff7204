"""This machine's sandbox for a command: one that runs images without a node, and one that looks after what the node's own keeps."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from learningchain.client.cli.common import Common, WrongUsage

if TYPE_CHECKING:
    from learningchain.sandbox import Backend, EngineInfo


@contextmanager
def opened_sandbox(common: Common, folder: Path) -> Iterator[tuple[Backend, EngineInfo]]:
    """With the settings of the data folder where there is one; `folder` is for the runs' files. Raises `WrongUsage`."""
    from platformdirs import user_cache_path

    from learningchain.client import config
    from learningchain.sandbox import BackendSettings, SandboxError, UnknownBackend, make_backend

    settings = config.load(common.folder).config.sandbox
    cache = Path(settings.cache_dir) if settings.cache_dir else user_cache_path("learningchain", appauthor=False) / "images"
    wanted = BackendSettings(
        data=folder,
        node_tag=f"try-{secrets.token_hex(6)}",
        engine=settings.engine,
        runtime=settings.runtime,
        cache_dir=cache,
        disk_from=settings.disk_from_mb << 20,
    )
    try:
        backend = make_backend(settings.backend, wanted)
        engine = backend.check_engine()
    except (UnknownBackend, SandboxError) as problem:
        raise WrongUsage(f"No container can be run on this machine: {problem}") from None
    try:
        yield backend, engine
    except SandboxError as problem:
        raise WrongUsage(f"The sandbox of this machine failed: {problem}") from None
    finally:
        with suppress(SandboxError):
            for left in backend.cleanup().problems:
                common.out.note(f"Something stays on the engine: {left}")
        backend.close()


@contextmanager
def own_sandbox(common: Common) -> Iterator[Backend]:
    """The node's own, beside the node where that runs: nothing runs in it, and nothing of the node's is removed. Raises
    `WrongUsage`."""
    from learningchain.client import config
    from learningchain.client.cli.setup import own_identity
    from learningchain.sandbox import BackendSettings, UnknownBackend, make_backend

    settings = config.load(common.folder).config.sandbox
    wanted = BackendSettings(
        data=common.folder / "sandbox",
        node_tag=own_identity(common).address[:20],
        engine=settings.engine,
        runtime=settings.runtime,
        cache_dir=Path(settings.cache_dir) if settings.cache_dir else None,
        disk_from=settings.disk_from_mb << 20,
        data_cap=settings.data_mb << 20,
        images_cap=settings.images_mb << 20,
    )
    try:
        backend = make_backend(settings.backend, wanted)
    except UnknownBackend as problem:
        raise WrongUsage(str(problem)) from None
    try:
        yield backend
    finally:
        backend.close()
