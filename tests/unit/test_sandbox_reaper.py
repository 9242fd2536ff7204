"""What ends containers when their node does not: the reaper's rules, and its life beside a node's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.sandbox import SandboxUnavailable
from learningchain.sandbox.docker import reaper
from learningchain.sandbox.docker.reaper import Reaper
from learningchain.sandbox.docker.reaper_program import (
    GRACE_S,
    STAYS_LABEL,
    UNTIL_LABEL,
    fate,
    held,
    look,
    read_until,
    until_label,
)

LEAVE_S = 600.0


@pytest.mark.parametrize(
    ("what", "until", "stays", "runs", "now", "gone_s", "doom"),
    [
        ("a node that lives ends its own", 100, False, True, 101, None, ""),
        ("one that hangs ends nothing", 100, False, True, 101 + GRACE_S, None, "kill"),
        ("what is dead is the node's to look at", 100, False, False, 101 + GRACE_S, None, ""),
        ("nobody comes back for this one", 100, False, True, 0, 0.0, "remove"),
        ("nor for this one when it is dead", 100, False, False, 0, 0.0, "remove"),
        ("a training waits for the next start", 1_000, True, True, 0, LEAVE_S, ""),
        ("and no longer than that", 1_000, True, True, 0, LEAVE_S + 1, "remove"),
        ("by its own deadline also without a node", 100, True, True, 101, 1.0, "kill"),
        ("its end can still be looked at", 100, True, False, 101, 1.0, ""),
        ("a program of ours ends by itself", ..., False, True, 10_000, LEAVE_S + 1, ""),
    ],
)
def test_what_becomes_of_a_container(
    what: str, until: Any, stays: bool, runs: bool, now: float, gone_s: float | None, doom: str
) -> None:
    labels = {} if until is ... else {UNTIL_LABEL: until_label(until)}
    labels |= {STAYS_LABEL: "1"} if stays else {}
    assert fate(labels, runs, now=now, gone_s=gone_s, leave_s=LEAVE_S) == doom, what


def test_a_deadline_that_is_none_is_over() -> None:
    assert [read_until(text) for text in (until_label(12.5), "soon", "")] == [12.5, 0, 0]


def test_what_the_engine_refuses_to_end_is_looked_at_again() -> None:
    class Api:
        refuses = True

        def containers(self, **_: Any) -> list[dict[str, Any]]:
            return [{"Id": "c", "State": "running", "Labels": {UNTIL_LABEL: until_label(0)}}]

        def remove_container(self, name: str, **_: Any) -> None:
            if self.refuses:
                raise OSError("busy")

    api, said = Api(), list[str]()
    assert look(api, "n", 1.0, LEAVE_S, said.append)
    api.refuses = False
    assert not look(api, "n", 1.0, LEAVE_S, said.append)
    assert said == ["remove c", "busy", "remove c"]


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it does within ten seconds."""
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.05)
    return False


OWNER = """
import os, sys
from pathlib import Path
from learningchain.sandbox.docker.reaper import Reaper
one = Reaper("unix:///nowhere.sock", "n", Path(sys.argv[1]), 600)
one.ensure()
print(one._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_reaper_outlives_its_node_until_another_one_is_there(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, check=False, timeout=60)
    pid = int(dead.stdout)
    assert dead.returncode == -9 and Path(f"/proc/{pid}").exists()
    heir = Reaper("unix:///nowhere.sock", "n", tmp_path, LEAVE_S)
    heir.ensure()
    assert soon(lambda: not Path(f"/proc/{pid}").exists()), "the heir has one of its own"
    heir.close()


def test_a_reaper_that_died_is_started_again_and_one_that_is_not_needed_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = Reaper("unix:///nowhere.sock", "n", Path("data"), LEAVE_S)  # as of `--data lab/node0`
    one.ensure()
    first = one._process
    assert first is not None
    one.ensure()
    assert one._process is first
    first.kill()
    assert soon(lambda: one._process is not first), "nobody had to ask for it"
    second = one._process
    assert second is not None
    lock = os.open(tmp_path / "data" / "reaper.lock", os.O_RDWR)
    assert held(lock)
    one.close()
    assert not held(lock) and second.poll() == 0
    os.close(lock)


def test_without_a_reaper_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper.sys, "executable", "/bin/false")  # type: ignore[attr-defined]
    with pytest.raises(SandboxUnavailable, match=r"ended or said nothing.*reaper\.log"):
        Reaper("", "n", tmp_path, LEAVE_S).ensure()
