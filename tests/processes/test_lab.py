"""A laboratory as somebody types it: made, used, ended, started again without a loss, and removed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from learningchain.client.cli import lab
from learningchain.client.doctor.machine import taken
from tests.processes.harness import PATIENCE_S, ROOT
from tests.slow import SLOW

NODES = 4


def free_ports() -> int:
    """The first of as many in a row as both kinds need; below those that other tests take."""
    while True:
        first = random.randrange(10_000, 19_000)
        if not any(taken(lab.HOST, port) for port in range(first, first + 2 * NODES)):
            return first


class Shell:
    """Somebody's terminal. `said` is typed before each command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, "true"

    def type(self, words: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEARNINGCHAIN_")}
        done = subprocess.run(
            ["sh", "-c", f'learningchain() {{ "{sys.executable}" -m learningchain "$@"; }}; {self.said} && learningchain {words}'],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=kept | {"PYTHONPATH": str(ROOT)},
            timeout=3 * PATIENCE_S * SLOW,
            check=False,
        )
        assert done.returncode == 0, f"learningchain {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.type(f"{words} --json"))
        return found


def nodes_left(folder: Path) -> list[str]:
    """Command lines that name the folder, of whatever process."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [line.decode(errors="replace") for line in lines if os.fsencode(folder) in line and b"\0node\0" in line]


def test_a_laboratory_from_its_first_day_to_its_last(tmp_path: Path) -> None:
    shell, first = Shell(tmp_path), free_ports()
    ports = f"--nodes {NODES} --api-port {first} --listen-port {first + NODES}"
    try:
        shown = shell.type(f"lab up --no-work {ports}")
        (shell.said,) = (line for line in shown.splitlines() if line.startswith("export "))
        assert all(f"http://127.0.0.1:{first + n}" in shown and str(tmp_path / "lab" / f"node{n}") in shown for n in range(NODES))

        rows = shell.json("lab status")["nodes"]
        assert [(row["name"], row["peers"] > 0, row["height"] > 0, row["works"]) for row in rows] == [
            (f"node{n}", True, True, False) for n in range(NODES)
        ]
        assert len({row["pid"] for row in rows}) == len(nodes_left(tmp_path)) == NODES

        target = shell.type("id --address --data lab/node0").strip()
        assert shell.json(f"transfer {target} 2.5")["code"] == 0
        assert shell.json(f"lab up --no-work {ports}")["started"] == [], "it runs already"

        assert shell.json("lab down") | {"folder": ""} == {"folder": "", "killed": [], "running": [], "removed": False, "kept": []}
        assert nodes_left(tmp_path) == [] and shell.json("lab status")["nodes"][0]["pid"] is None
        assert len(shell.json("lab up --no-work")["started"]) == NODES
        assert shell.json("balance")["balance"] == "97.5", "nothing is lost"
    finally:
        shell.type("lab down --remove")
    assert nodes_left(tmp_path) == [] and list(tmp_path.iterdir()) == []
