"""Debian's Prometheus: the program that scrapes a node, and `promtool`, unpacked beside the tests where it is not installed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.processes.harness import eventually, free_port

PACKAGE = "prometheus"


def programs(folder: Path) -> Path:
    """Where `prometheus` and `promtool` lie. Skips where this machine cannot have them."""
    if (installed := shutil.which("promtool")) is not None and shutil.which("prometheus") is not None:
        return Path(installed).parent
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("Prometheus is not installed, and there is no apt-get to get Debian's package with")
    for words in (["download", PACKAGE], ["update"], ["download", PACKAGE]):
        subprocess.run(["apt-get", *words], cwd=folder, capture_output=True, timeout=300, check=False)
        if found := next(folder.glob(f"{PACKAGE}_*.deb"), None):
            subprocess.run(["dpkg-deb", "-x", str(found), str(folder)], capture_output=True, timeout=300, check=True)
            return folder / "usr/bin"
    pytest.skip("Debian's package of Prometheus cannot be had here")


def promtool(place: Path, *words: str | Path, text: str | None = None) -> str:
    """What it says. Raises AssertionError where it is not content."""
    done = subprocess.run([place / "promtool", *words], input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Prometheus:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = url, http

    async def get(self, path: str, **query: str) -> Any:
        async with self._http.get(f"{self._url}/api/v1/{path}", params=query) as answer:
            document = await answer.json()
            assert document["status"] == "success", document
            return document["data"]

    async def ask(self, query: str) -> list[float]:
        """The numbers that a query gives now, without those that are none."""
        found = [float(one["value"][1]) for one in (await self.get("query", query=query))["result"]]
        return [number for number in found if number == number]

    async def firing(self) -> set[tuple[str, str]]:
        """Name and instance of each alert that fires."""
        alerts = (await self.get("alerts"))["alerts"]
        return {(a["labels"]["alertname"], a["labels"].get("instance", "")) for a in alerts if a["state"] == "firing"}


@asynccontextmanager
async def scraping(place: Path, folder: Path, targets: Sequence[str], rules: str) -> AsyncIterator[Prometheus]:
    """Scrapes once a second. Ends with the block."""
    (folder / "rules.yml").write_text(rules)
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = [{"job_name": "learningchain", "static_configs": [{"targets": list(targets)}]}]
    (folder / "prometheus.yml").write_text(json.dumps({"global": every, "rule_files": ["rules.yml"], "scrape_configs": jobs}))
    port = free_port()
    words = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(place / "prometheus", *words, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as http:
            made = Prometheus(f"http://127.0.0.1:{port}", http)

            async def ready() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    return bool(await made.ask("up"))
                return False

            await eventually("Prometheus has scraped", ready)
            yield made
    finally:
        process.terminate()
        await process.wait()
