"""`demo --stay`: what is told at the end of the story, and that an interruption is the end that was asked for."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from learningchain.client.sdk.types import UnreachableError
from learningchain.examples.demo import stay
from learningchain.examples.demo.board import Board
from learningchain.examples.demo.graph import DemoFailed, Graph, Home
from learningchain.examples.demo.plan import CONTRACTOR, NODES
from learningchain.examples.demo.show import LineScreen
from learningchain.examples.demo.story import Scene


class Node:
    """As much of a client as gives a link; a silent one gives none."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent

    async def dashboard_link(self) -> dict[str, Any]:
        if self._silent:
            raise UnreachableError("Cannot reach the node")
        return {"path": "/login/word", "host": "own.localhost", "good_for_s": 120}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    graph = Graph(tmp_path, keep=False)
    graph.nodes = [Home(part, tmp_path / "nodes" / part.name, bytes(20), b"", api="127.0.0.1:7600") for part in NODES]
    clients: Any = {part.name: Node(silent=part.name == "bob") for part in NODES}
    return Scene(graph, Board(lambda _text, _style: None), clients)


async def test_it_waits_for_the_interruption(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, text, waits = LineScreen(to_stderr=False), io.StringIO(), asyncio.Event()
    shown.console = Console(file=text, width=120)
    monkeypatch.setattr(stay, "check_alive", lambda _: waits.set())
    task = asyncio.create_task(stay.stay(scene, shown))
    await asyncio.wait_for(waits.wait(), 60)
    task.cancel()
    await asyncio.wait_for(task, 60)
    assert text.getvalue().count("/login/word") == len(NODES) - 1 and "Cannot reach the node" in text.getvalue()
    folder = scene.graph.folder / "nodes"
    assert f"lie in {folder}." in text.getvalue() and f"export LEARNINGCHAIN_DATA={folder / CONTRACTOR}\n" in text.getvalue()
    assert text.getvalue().count("\nlearningchain ") == 3 and "Ctrl-C" in text.getvalue()


async def test_a_node_that_ends_by_itself_ends_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_: Graph) -> None:
        raise DemoFailed("the node of bob ended with exit code 1")

    monkeypatch.setattr(stay, "check_alive", ended)
    with pytest.raises(DemoFailed, match="bob"):
        await stay.stay(scene, LineScreen(to_stderr=True))
