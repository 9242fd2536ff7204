"""Joins the sandbox and the work machines to a node.

A node whose engine is missing or fails the self-test keeps its ledger running and says what is wrong; it runs no stranger's job.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from chain.crypto import address
from client.config import Config
from client.core import Files, Ledger
from client.driver import now_ms
from client.work.runner import WorkDriver
from sandbox import BackendSettings, make_backend

log: Any = structlog.get_logger("work")


class WorkService:
    """The working part of a node; `client.core.Runs` for the API."""

    def __init__(self, data: Path, config: Config, ledger: Ledger, files: Files, *, train: bool) -> None:
        self._data, self._config, self._ledger, self._files = data, config, ledger, files
        self._train = train
        self._work: WorkDriver | None = None

    @property
    def report(self) -> dict[str, Any] | None:
        """What the sandbox's self-test said; None before it is over."""
        return self._work.report if self._work else None

    async def start(self) -> None:
        """Returns at once: the engine is looked for, and its limits are proved, while the node runs. Raises `UnknownBackend`."""
        s = self._config.sandbox
        settings = BackendSettings(
            data=self._data / "sandbox",
            node_tag=address(self._ledger.own_id)[:20],
            engine=s.engine,
            runtime=s.runtime,
            cache_dir=Path(s.cache_dir) if s.cache_dir else None,
            disk_from=s.disk_from_mb << 20,
        )
        self._work = WorkDriver(
            self._ledger,
            self._files,
            make_backend(s.backend, settings),
            self._data / "work",
            structs.replace(self._config.work, enabled=self._train),
            now=now_ms,
            rng=secrets.token_bytes,
            self_test=True,
        )
        await self._work.start()
        log.info("looking for work", train=self._train, verify=self._config.work.verify)

    def failing(self) -> list[dict[str, Any]]:
        """Parts of the work that fail at present."""
        return self._work.failing() if self._work else []

    async def stop(self) -> None:
        if self._work is not None:
            await self._work.stop()

    # client.core.Runs

    def list_runs(self) -> list[dict[str, Any]]:
        return self._work.list_runs() if self._work else []

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        return self._work.get_run(run_id) if self._work else None

    def cancel_run(self, run_id: str) -> bool:
        return self._work.cancel_run(run_id) if self._work else False
