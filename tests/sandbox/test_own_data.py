"""Own data on a real engine where whoever brings them is killed: nothing of it counts, and nothing of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import pytest

from learningchain.sandbox import DataRefused, Sandbox
from learningchain.sandbox.data import scan_folder

ROOT = Path(__file__).resolve().parents[2]
BRINGS = """
import sys
from pathlib import Path
from learningchain.sandbox import Sandbox
from learningchain.sandbox.data import scan_folder

def sent(size):
    print("sent", flush=True)
    sys.stdin.read()

Sandbox(Path(sys.argv[1]), node_tag=sys.argv[2]).add_data("scans", scan_folder(Path(sys.argv[3])), on_bytes=sent)
"""


def volumes(tag: str) -> list[str]:
    mine = {"label": [f"learningchain.node={tag}", "learningchain.own=yes"]}
    api: Any = docker.from_env().api
    return [found["Name"] for found in api.volumes(filters=mine)["Volumes"] or []]


def test_who_is_killed_while_it_brings_data_leaves_none(tmp_path: Path) -> None:
    tag = f"own-{os.getpid()}"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("1")
    words = [sys.executable, "-c", BRINGS, str(tmp_path / "room"), tag, str(tmp_path / "folder")]
    room = Sandbox(tmp_path / "room", node_tag=tag, cache_dir=tmp_path / "room" / "cache")
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"sent\n"
            [half] = volumes(tag)
            with pytest.raises(DataRefused, match="other data are being added"):
                room.add_data("more", scan_folder(tmp_path / "folder"))
            assert room.cleanup(keep_data=True).problems == ()
            assert volumes(tag) == [half], "a node that starts leaves alone what somebody brings"
        finally:
            child.kill()
    assert room.list_data() == []
    own = room.add_data("scans", scan_folder(tmp_path / "folder"))
    [whole] = volumes(tag)
    assert whole != half
    heir = Sandbox(tmp_path / "room", node_tag=tag)
    assert heir.cleanup(keep_data=True).problems == ()
    assert (heir.list_data(), volumes(tag)) == ([own], [whole])
    assert heir.cleanup().problems == ()
    assert (heir.list_data(), volumes(tag)) == ([], [])
    room.close()
    heir.close()
