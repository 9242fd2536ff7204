"""Joins the sandbox and the work machines to a node: checks the engine, proves the isolation, then lets the work begin.

A node whose engine is missing or fails the self-test keeps its ledger running and says what is wrong; it runs no stranger's job.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from chain.crypto import address
from client.config import Config
from client.core import Files, Ledger
from client.driver import now_ms
from client.work.policy import WorkConfig
from client.work.runner import Work
from sandbox import Sandbox, SandboxError

log: Any = structlog.get_logger("work")

RETRY_S = 30.0
"""Between looks for an engine that is missing."""


def work_config(config: Config, *, train: bool) -> WorkConfig:
    w = config.work
    return WorkConfig(
        enabled=train,
        min_bounty=w.min_bounty_micro,
        min_time_left_s=w.min_time_left_s,
        max_run_s=w.max_run_s,
        max_image_mb=w.max_image_mb,
        max_model_mb=w.max_model_mb,
        max_mem_mb=w.max_mem_mb,
        allowed_contractors=tuple(w.allowed_contractors),
        denied_contractors=tuple(w.denied_contractors),
        concurrent=w.concurrent,
        attempts=w.attempts,
        verify=w.verify,
        judge=w.judge,
    )


class WorkRoom:
    """The working part of a node; `client.core.Runs` for the API."""

    def __init__(self, data: Path, config: Config, ledger: Ledger, files: Files, *, train: bool) -> None:
        self._data, self._config, self._ledger, self._files = data, config, ledger, files
        self._train = train
        self._work: Work | None = None
        self._sandbox: Sandbox | None = None
        self._stopped = False
        self.on_report: Callable[[dict[str, Any]], None] = lambda _report: None

    async def start(self) -> None:
        """Retries while the engine is missing; an engine that fails the self-test is not used."""
        s = self._config.sandbox
        cache = Path(s.cache_dir) if s.cache_dir else None
        tag = address(self._ledger.own_id)[:20]
        while not self._stopped:
            try:
                sandbox = Sandbox(
                    self._data / "sandbox", base_url=s.engine or None, runtime=s.runtime, node_tag=tag, cache_dir=cache
                )
                self._sandbox = sandbox
                await asyncio.to_thread(sandbox.check_engine)
                report = await asyncio.to_thread(sandbox.self_test)
            except SandboxError as fault:
                log.warning("no sandbox, so no jobs are run", why=str(fault), again_in_s=RETRY_S)
                self.on_report({"ok": False, "reason": str(fault), "checks": []})
                await asyncio.sleep(RETRY_S)
                continue
            checks = [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in report.checks]
            self.on_report({"ok": report.ok, "reason": "", "checks": checks})
            if not report.ok:
                log.error("the engine does not isolate, so no jobs are run", failed=[f.name for f in report.failures])
                return
            await self._begin(sandbox)
            return

    async def _begin(self, sandbox: Sandbox) -> None:
        self._work = Work(
            self._ledger,
            self._files,
            sandbox,
            self._data / "work",
            work_config(self._config, train=self._train),
            now=now_ms,
            rng=secrets.token_bytes,
        )
        await self._work.start()
        log.info("ready to work", train=self._train, verify=self._config.work.verify)

    async def stop(self) -> None:
        self._stopped = True
        if self._work is not None:
            await self._work.stop()
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.close)

    # client.core.Runs

    def list_runs(self) -> list[dict[str, Any]]:
        return self._work.list_runs() if self._work else []

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        return self._work.get_run(run_id) if self._work else None

    def cancel_run(self, run_id: str) -> bool:
        return self._work.cancel_run(run_id) if self._work else False
