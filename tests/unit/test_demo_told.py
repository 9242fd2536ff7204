"""A demo that tells its story: its exit code, and that nothing is left of it however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from examples.demo import told
from examples.demo.ending import INTERRUPTED
from examples.demo.graph import DemoFailed, Graph
from examples.demo.told import Story, tell


@pytest.fixture
def cleaned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was ended and removed, in order; the engine is left alone."""
    steps: list[str] = []

    async def end(_: Graph) -> list[str]:
        steps.append("nodes")
        os.kill(os.getpid(), signal.SIGINT)  # somebody is impatient
        await asyncio.sleep(0.01)
        return []

    monkeypatch.setattr(told, "end_processes", end)
    monkeypatch.setattr(told, "clean_engine", lambda _: steps.append("engine") or [])
    monkeypatch.setattr(told, "clean_folder", lambda _: steps.append("folder"))
    return steps


class Kept(Story):
    async def play(self) -> None:
        self.promise("it is so", holds=True)


class Broken(Story):
    async def play(self) -> None:
        self.promise("it is so", holds=True)
        self.promise("this too", holds=False)


class Empty(Story):
    async def play(self) -> None:
        pass


class Failing(Story):
    async def play(self) -> None:
        raise DemoFailed("nobody came")


class Waiting(Story):
    async def play(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("story", "code", "line"),
    [
        (Kept, 0, "1 of 1 promises hold"),
        (Broken, 1, "  FAILED  this too"),
        (Empty, 1, "0 of 0 promises hold"),
        (Failing, 1, "The demo failed: nobody came"),
        (Waiting, INTERRUPTED, "interrupted: the nodes are ended and everything is cleaned up"),
    ],
)
def test_nothing_is_left_however_it_ends(story: type[Story], code: int, line: str, tmp_path: Path, cleaned: list[str]) -> None:
    said: list[str] = []
    ended = tell(story, tmp_path, said.append)
    assert line in said
    assert cleaned == ["nodes", "engine", "folder"]
    assert ended == code, "a signal while cleaning up neither cuts it short nor changes what is told"
    assert said[-1].startswith("logs: ")


def test_what_is_left_on_the_engine_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "clean_engine", lambda _: ["a container"])
    said: list[str] = []
    assert tell(Kept, tmp_path, said.append) == 1
    assert "left on the engine: a container" in said
