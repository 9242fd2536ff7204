"""The demo's folders and ports."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from examples.demo.graph import KEPT, KEPT_LOGS, LONGEST_S, Graph, clean_folder, free_ports, new_folder, tail


def test_ports_are_distinct() -> None:
    assert len(set(free_ports(10))) == 10


def test_the_logs_of_the_last_runs_stay(tmp_path: Path) -> None:
    folders = []
    for _ in range(KEPT_LOGS + 2):
        folders.append(new_folder(tmp_path))
        clean_folder(Graph(folders[-1], keep=False))
        assert not (folders[-1] / "nodes").exists()
    now = new_folder(tmp_path)
    assert len([path for path in tmp_path.iterdir() if path != now]) == KEPT_LOGS
    assert (now / "logs").is_dir()


def test_a_run_beside_this_one_and_data_that_was_asked_for_stay(tmp_path: Path) -> None:
    running, kept, killed = new_folder(tmp_path), new_folder(tmp_path), new_folder(tmp_path)
    clean_folder(Graph(kept, keep=True))
    assert (kept / KEPT).exists()
    long_ago = time.time() - LONGEST_S - 60
    for folder in (kept, killed):
        os.utime(folder, (long_ago, long_ago))
    new_folder(tmp_path)
    assert (running / "nodes").is_dir()
    assert (kept / "nodes").is_dir()
    assert not (killed / "nodes").exists()


def test_the_nodes_do_not_get_the_settings_of_the_users_own_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_WORK_ATTEMPTS", "7")
    environment = Graph(tmp_path, keep=False).environment()
    assert [name for name in environment if name.startswith("LEARNINGCHAIN_")] == ["LEARNINGCHAIN_PASSPHRASE"]


def test_the_end_of_a_log_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    path.write_text("".join(f"line {i} {'x' * 1_000}\n" for i in range(1_000)))
    shown = tail(path, 5).splitlines()
    assert len(shown) == 5
    assert "line 999" in shown[-1]
    assert max(map(len, shown)) < 400
    assert "No such file" in tail(tmp_path / "none")
