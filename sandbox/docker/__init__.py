"""The backend on a Docker Engine: the only place that knows docker-py, and the engine's words."""

from __future__ import annotations

from learningchain.sandbox.backend import Backend
from learningchain.sandbox.backends import BackendSettings


def BACKEND(settings: BackendSettings) -> Backend:
    """`engine`: its address; `runtime`: one of those that it has."""
    from learningchain.sandbox.docker.service import Sandbox

    return Sandbox(
        settings.data,
        base_url=settings.engine or None,
        runtime=settings.runtime,
        node_tag=settings.node_tag,
        cache_dir=settings.cache_dir,
        disk_from=settings.disk_from,
        data_cap=settings.data_cap,
        images_cap=settings.images_cap,
        sets_cap=settings.sets_cap,
        devices=settings.devices,
    )
