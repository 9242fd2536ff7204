"""`lab`: what it refuses before anything is made, and which process it takes for a node."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli import lab, network
from learningchain.client.cli.ready import locked_by

pytest_plugins = ["tests.unit.client_cli_kit"]


def a_file(place: Path) -> None:
    place.write_text("")


def somebody_s(place: Path) -> None:
    place.mkdir()
    (place / "thesis.tex").touch()


def removed_half(place: Path) -> None:
    place.mkdir()
    for name in (lab.PASSPHRASE, lab.GENESIS):
        (place / name).touch()


FOLDERS: list[tuple[list[str], Callable[[Path], None], str]] = [
    (["up"], a_file, "is no laboratory; nothing in it was touched"),
    (["up"], somebody_s, "is no laboratory; nothing in it was touched"),
    (["up"], removed_half, "learningchain lab down --remove --folder"),
    (["up", "--api-port", "0"], lambda _: None, "--api-port is the first of 4 ports"),
    (["up", "--listen-port", "65533"], lambda _: None, "--listen-port is the first of 4 ports"),
    (["up", "--api-port", "7503"], lambda _: None, "less than 4 ports apart"),
    (["up", "--nodes", "0"], lambda _: None, "--nodes"),
    (["status"], lambda _: None, "There is no laboratory in"),
    (["status"], somebody_s, "is no laboratory"),
    (["down", "--remove"], somebody_s, "is no laboratory"),
    (["down", "--remove"], Path.mkdir, "There is no laboratory in"),
]


@pytest.mark.parametrize(("words", "make", "said"), FOLDERS)
def test_a_refusal_touches_nothing(run: Any, tmp_path: Path, words: list[str], make: Callable[[Path], None], said: str) -> None:
    place = tmp_path / "lab"
    make(place)
    before = sorted(tmp_path.rglob("*"))
    ran = run("lab", *words, "--folder", place)
    assert ran.code == 2 and said in ran.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--api-port", "--listen-port"])
def test_a_port_that_is_taken_is_named_with_its_option(run: Any, tmp_path: Path, option: str) -> None:
    with socket.socket() as s:
        s.bind((lab.HOST, 0))
        s.listen()
        port = s.getsockname()[1]
        ran = run("lab", "up", "--nodes", "1", option, str(port), "--folder", tmp_path / "lab")
    assert ran.code == 2 and f"cannot listen on {lab.HOST}:{port}" in ran.err and option in ran.err
    assert not list(tmp_path.iterdir())


def test_what_fails_half_way_leaves_nothing(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(network, "put_genesis", full)
    monkeypatch.setattr(lab, "check_ports", lambda _: None)
    ran = run("lab", "up", "--nodes", "1", "--folder", tmp_path / "deep" / "lab")
    assert ran.code == 2 and "No space left" in ran.err
    assert not list((tmp_path / "deep").iterdir())


LOCKS = [(b"4711\n", 4711), (b"1", 1), (b"", None), (b"0\n", None), (b"-4\n", None), (b"4711 4712\n", None), (b"\xff\n", None)]


@pytest.mark.parametrize(("content", "pid"), LOCKS)
def test_the_process_in_a_lock_file(tmp_path: Path, content: bytes, pid: int | None) -> None:
    (tmp_path / "lock").write_bytes(content)
    assert locked_by(tmp_path / "lock") == pid
    assert locked_by(tmp_path / "none") is None
    (tmp_path / "link").symlink_to(tmp_path / "lock")
    assert locked_by(tmp_path / "link") is None


@pytest.mark.parametrize(("held", "node", "found"), [(True, True, True), (True, False, False), (False, True, False)])
def test_only_the_node_that_holds_the_folder_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool, node: bool, found: bool
) -> None:
    """A number alone is not enough: the process may be gone, and another one have it."""
    monkeypatch.setattr(lab, "_is_node", lambda _pid: node)
    member = lab.LabNode(tmp_path, "127.0.0.1:1", "127.0.0.1:2")
    member.lock.write_text(f"{os.getpid()}\n")
    with member.lock.open() as lock:
        if held:
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert lab.holder(member) == (os.getpid() if found else None)


DEAF = """
import fcntl, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), file=lock, flush=True)
print("held", flush=True)
signal.pause()
"""


def test_a_node_that_does_not_stop_is_killed_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "_is_node", lambda _pid: True)
    monkeypatch.setattr(lab, "STOP_S", 0.0)
    monkeypatch.setattr(lab, "KILL_S", 60.0)
    deaf, gone = (lab.LabNode(tmp_path / name, "", "") for name in ("node0", "node1"))
    deaf.data.mkdir()
    with subprocess.Popen([sys.executable, "-c", DEAF, deaf.lock], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        (told,), left = lab._stop([deaf, gone])
    assert process.returncode == -signal.SIGKILL and left == []
    assert told.startswith("node0 did not stop within") and str(deaf.log) in told


def test_this_process_is_no_node() -> None:
    assert not lab._is_node(os.getpid())


def test_the_printed_line_is_one_for_a_shell(tmp_path: Path) -> None:
    place = tmp_path / "it's a lab"
    place.mkdir()
    (place / lab.PASSPHRASE).write_text("pass 'word\n")
    line = lab.environment(place, lab.LabNode(place / "node3", "", ""))
    shown = f'{line}; printf \'%s|%s\' "$LEARNINGCHAIN_DATA" "$LEARNINGCHAIN_PASSPHRASE"'
    done = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{place / 'node3'}|pass 'word", shlex.quote(line)
