"""The demo: the main job on a graph of five nodes on this machine, from nothing to the balances at the end.

`main` sets everything up, shows what happens, checks every promise on every node, and leaves nothing behind but the logs. It uses
only what a user has: the command, the configuration, and the nodes' APIs.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Final

from learningchain.client.sdk.types import ApiError
from learningchain.examples.demo.board import Board, Step
from learningchain.examples.demo.check import Verdict, judge
from learningchain.examples.demo.ending import to_its_end, until_interrupted
from learningchain.examples.demo.graph import DemoFailed, Graph, clean_engine, clean_folder, dead, end_processes, new_folder
from learningchain.examples.demo.reading import read
from learningchain.examples.demo.show import Screen, final_tables, screen
from learningchain.examples.demo.stay import stay as stay_on
from learningchain.examples.demo.story import Scene, declared, example, run_fraud, run_lie, run_race, set_up, upload
from learningchain.examples.demo.summary import summary
from learningchain.examples.place import RUN

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2


def main(
    json_file: Path | None = None, keep: bool = False, folder: Path | None = None, to_stderr: bool = False, stay: bool = False
) -> int:
    """Run the demo. 0: everything promised is true on every node; 1: something is not, and it is named; 2: wrong usage;
    130: interrupted.

    `json_file` gets the summary; `keep` leaves the nodes' data folders; `folder` is where logs go (`.run/demo`); `to_stderr`
    shows nothing on standard output; `stay` lets the graph run on at the end, until it is interrupted.
    """
    shown = screen(to_stderr=to_stderr)
    problem = _hindrance(json_file)
    if problem:
        shown.say(f"The demo does not start: {problem}", "bold red")
        return USAGE

    async def played() -> int:
        work = _run(json_file, keep, folder or RUN / "demo", shown, stay)
        return await until_interrupted(work, lambda text: shown.say(text, "yellow"))

    return asyncio.run(played())


def _hindrance(json_file: Path | None) -> str:
    """What would make minutes of work useless; empty where nothing does."""
    if json_file is not None and (json_file.is_dir() or not os.access(json_file.absolute().parent, os.W_OK | os.X_OK)):
        return f"the summary cannot be written to {json_file}. Name a file in a folder that is there and may be written to"
    try:
        example("digits.use")
    except DemoFailed as problem:
        return str(problem)
    return ""


async def _run(json_file: Path | None, keep: bool, base: Path, shown: Screen, stay: bool) -> int:
    graph = Graph(new_folder(base), keep)
    scene = Scene(graph, Board(shown.say))
    shown.start(scene.board)
    code = FAILED
    try:
        verdict = await _play(scene)
        code = _tell(scene, verdict, shown)
        if json_file is not None:
            await asyncio.to_thread(_write, json_file, json.dumps(summary(verdict, scene), indent=2) + "\n")
        if stay:
            await stay_on(scene, shown)
    except (DemoFailed, ApiError, OSError) as problem:
        code = FAILED
        died = dead(graph)
        shown.say(f"The demo failed: {died or problem}", "bold red")
    finally:
        clean = await to_its_end(_clean(scene, shown))
    return code if clean else FAILED


async def _play(scene: Scene) -> Verdict:
    images = await set_up(scene)
    await declared(scene)
    honest, liar = await upload(scene, images)
    await run_race(scene, honest)
    await run_fraud(scene, honest)
    await run_lie(scene, liar)
    scene.board.title = "Checking every node"
    return judge(await read(scene), scene)


def _tell(scene: Scene, verdict: Verdict, shown: Screen) -> int:
    shown.stop()
    final_tables(shown.console, scene, verdict)
    for failure in verdict.failures:
        shown.say(f"NOT TRUE: {failure}", "bold red")
    if verdict.failures:
        shown.say(f"{len(verdict.failures)} of {verdict.promises} promises do not hold", "bold red")
        return FAILED
    shown.say(f"all {verdict.promises} promises hold on every node", "bold green")
    return DONE


async def _clean(scene: Scene, shown: Screen) -> bool:
    """End and remove everything. False where something may be left."""
    graph = scene.graph
    step: Step = scene.board.step("Cleaning up", 0)
    if scene.watcher is not None:
        await scene.watcher.stop()
    for client in scene.clients.values():
        await client.close()
    for text in await end_processes(graph):
        shown.say(text, "yellow")
    problems = await asyncio.to_thread(clean_engine, graph)
    for text in problems:
        shown.say(f"left on the engine: {text}", "red")
    await asyncio.to_thread(clean_folder, graph)
    scene.board.finish(step)
    shown.stop()
    shown.say(f"logs: {graph.logs}" + (f", data folders: {graph.folder / 'nodes'}" if graph.keep else ""), "")
    return not problems


def _write(path: Path, text: str) -> None:
    """The file is there whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".summary-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
