"""A person at a real browser, as tests tell it what to do. Debian's Chromium is brought where it is missing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STEP_S = 200.0
"""More than any wait that a test asks for."""
BRING = '. scripts/lib.sh; apt_install "a browser" chromium fonts-dejavu-core'


def bring() -> Path:
    """The interpreter of the browser's environment. Skips, with the reason, where it or the browser cannot be had."""
    if shutil.which("chromium") is None:
        done = subprocess.run(["bash", "-c", BRING], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"Chromium cannot be installed here: {done.stderr.strip()[-300:]}")
    return environment(HERE / "requirements.txt", "playwright")


class Person:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, what: str, **told: Any) -> Any:
        """What came of it. Fails the test where the browser could not do it."""
        writer, reader = self._process.stdin, self._process.stdout
        assert writer is not None and reader is not None
        writer.write(json.dumps({"do": what, **told}).encode() + b"\n")
        line = await asyncio.wait_for(reader.readline(), STEP_S)
        assert line, "the browser ended"
        answer = json.loads(line)
        assert "failed" not in answer, f"{what} {told}: {answer['failed']}"
        return answer["done"]


@contextlib.asynccontextmanager
async def person(folder: Path, *, keys: bool = False) -> AsyncIterator[Person]:
    """At a browser with nothing in it; its own complaints go to `folder`/browser.log. `keys`: without a mouse."""
    python = await asyncio.to_thread(bring)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | {"HOME": str(folder)}
    with (folder / "browser.log").open("wb") as complaints:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(HERE / "browse.py"),
            *(["--keys"] if keys else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            limit=1 << 24,
            env=environ,
            cwd=folder,
            start_new_session=True,
        )
        try:
            yield Person(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                await process.wait()
