"""Owners of a federation whose nodes run `hostile_owner`, with an image of their own."""

from __future__ import annotations

from pathlib import Path

from learningchain.sandbox.images import build_python_image
from tests.processes.harness import Graph
from tests.processes.test_federation import PROGRAM


def hostile_image(folder: Path) -> tuple[Path, str]:
    """Archive and id of the image of `attack_job`."""
    files: dict[str, bytes | Path] = {
        "/lc/job": PROGRAM.with_name("attack_job.py").read_bytes(),
        "/lc/federated_job.py": PROGRAM.read_bytes(),
    }
    path = folder / "hostile.tar"
    return path, build_python_image(path, files, with_packages=())


def turn(graph: Graph, name: str, attack: str, image: tuple[Path, str]) -> None:
    """This owner's node is not the one that the others run. It goes by the graph's clock, as they do."""
    node = graph[name]
    *python, _, clock = node.program
    node.program = [*python, "tests.processes.hostile_owner", attack, str(image[0]), image[1], clock]
