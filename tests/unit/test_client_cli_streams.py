"""Closed and narrow standard streams, and readers that go away: no command fails for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from learningchain.client.keys.keystore import Keystore
from tests.unit.client_cli_kit import WORD
from tests.unit.client_fake_api import FINISHED, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]
COMMAND = f"'{sys.executable}' -m learningchain"


@pytest.fixture
def node(clean_environment: None, tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    Keystore.create(tmp_path / "d" / "keystore.json", WORD)
    return tmp_path


def shell(line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | more
    return subprocess.run(
        ["bash", "-c", line.replace("LC", COMMAND)], cwd=folder, env=environment, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("LC init --data new <&-", 2, b"--passphrase-file"),
        ("LC predict lc1x/y --data d <&-", 2, b"There are no rows"),
        ("LC db copy - --data d <&-", 2, b"Standard input holds no URL"),
        ("LC id --data d >&-", 0, b""),
        ("LC id --data d 2>&-", 0, b""),
        ("LC nosuch <&- >&- 2>&-", 2, b""),
        ("LC id --data d >/dev/full", 2, b"No space left"),
    ],
)
def test_no_stream_makes_a_command_fail(node: Path, line: str, code: int, said: bytes) -> None:
    done = shell(line, node)
    assert done.returncode == code and said in done.stderr, done
    assert b"Traceback" not in done.stderr and not (node / "new").exists()


@pytest.mark.parametrize("words", [["config", "--data", "d"], ["config", "--data", "d", "--json"], ["init", "--help"], ["--help"]])
def test_a_reader_that_is_gone_ends_a_command_as_it_ends_other_tools(node: Path, words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "learningchain", *words], cwd=node, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_a_terminal_has_no_sign_for_is_shown_by_what_comes_near(api: Fake, tmp_path: Path) -> None:
    api.answers["GET /v1/jobs"] = [FINISHED | {"title": "d\N{SNOWMAN}"}]
    for encoding in ("latin-1", "ascii"):
        done = shell("LC job list && LC job list --json", tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done
    data = tmp_path / os.fsdecode(b"\xe4\xe2\x98\x83")
    data.mkdir()
    Keystore.create(data / "keystore.json", WORD)
    for encoding in ("utf-8", "latin-1", "ascii"):
        done = shell(f"LC id --data '{data}'", tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == 0 and b"data folder" in done.stdout, done


@pytest.mark.parametrize(
    "environment",
    [
        *({"TZ": zone} for zone in ("", ":/nowhere", "XYZ+99", "../../etc/passwd")),
        *({"COLUMNS": width} for width in ("0", "-5", "many", "1")),
        *({"HOME": home} for home in ("", "relative", "/nowhere")),
        *({"TERM": ""}, {"LC_ALL": "xx_YY"}, {"PATH": ""}, {"PYTHONUTF8": "0", "LC_ALL": "C"}, {"PYTHONOPTIMIZE": "2"}),
    ],
    ids=str,
)
def test_an_odd_environment_changes_no_answer(node: Path, environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "learningchain", "id", "--public-key", "--data", "d"]
    plain = subprocess.run(words, cwd=node, capture_output=True, timeout=60, check=True)
    done = subprocess.run(words, cwd=node, env=os.environ | environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, b"")


WAITS = """
import asyncio, sys, tempfile
from learningchain.client.cli import app, common

def ask(self, call):
    async def waits():
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=sys.argv[1]):
            print(flush=True)
            await asyncio.Event().wait()
    asyncio.run(waits())

common.Common.ask = ask
app.main(["status"])
"""


def test_a_command_that_is_terminated_leaves_no_scratch_and_ends_by_the_signal(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WAITS, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"\n" and len(list(tmp_path.iterdir())) == 1
    child.terminate()
    assert child.wait(60) == -signal.SIGTERM and list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_under_a_command_is_named(node: Path) -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; LC init --data d", node, LEARNINGCHAIN_PASSPHRASE=WORD)
    assert done.returncode == 2 and b"The folder that this command was called in is not there any more" in done.stderr, done


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("LC id --data d", 0, b"lc1"),
        ("LC init --data new", 2, b"the file system is read-only"),
        ("LC node --data d", 1, b"the file system is read-only"),
        ("LC config set work.enabled true --data d", 2, b"Read-only file system"),
        ("LC keystore export usb.json --data d", 2, b"Read-only file system"),
        ("LC token list --data d", 2, b"Read-only file system"),
        ("LC doctor --data d", 2, b"learningchain node --data d"),
    ],
)
def test_a_disk_that_may_only_be_read_is_named_as_that(node: Path, line: str, code: int, said: bytes) -> None:
    mount = f"mount --bind '{node}' '{node}' && mount -o remount,ro,bind '{node}' && cd '{node}'"
    if subprocess.run(["unshare", "-m", "bash", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("nobody but root, on a machine that lets it, mounts a folder anew")
    words = {"LEARNINGCHAIN_PASSPHRASE": WORD, "LEARNINGCHAIN_NEW_PASSPHRASE": WORD, "WHAT": line.replace("LC", COMMAND)}
    done = shell(f'unshare -m bash -c "{mount} && eval \\"\\$WHAT\\""', node, **words)
    assert done.returncode == code and said in done.stdout + done.stderr, done
    assert b"Traceback" not in done.stderr and b"Report it" not in done.stdout
