"""The room that the tests run in (scripts/room.sh) leaves nothing behind, also where it is killed in the middle of a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from learningchain.sandbox.images import build_python_image
from tests.slow import SLOW

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
LIVES = "room-test-sleeper"
"""An argument of the room's processes, by which they are found."""
# A process in a session of its own, a mount, a network namespace, and a container that goes on.
BUSY = f"""
setsid bash -c 'exec -a {LIVES} sleep 1000' &
mount -t tmpfs tmpfs /mnt && ip netns add elsewhere
docker load -qi image.tar | cut -d' ' -f4 >image
docker run -d --network none "$(cat image)" /usr/local/bin/python3 -c 'import time; time.sleep(1000)' {LIVES} && touch running; wait
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a room")


@pytest.fixture
def tree() -> Iterator[Path]:
    """A checkout of its own, as far as a room needs one; not below /run, which a room has for itself."""
    (ROOT / ".run").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="room-", dir=ROOT / ".run", ignore_cleanup_errors=True) as folder:
        shutil.copytree(ROOT / "scripts", Path(folder) / "scripts")
        yield Path(folder)


def room(tree: Path, command: str, **environment: str) -> subprocess.Popen[str]:
    words = ["scripts/room.sh", "bash", "-c", command]
    around = os.environ | environment
    return subprocess.Popen(
        words, cwd=tree, env=around, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def until(what: str, probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S * SLOW
    while not probe():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.05)


def of(tree: Path) -> list[str]:
    """Command lines of the living processes that belong to this room."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            dead = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if not dead and process.name != str(os.getpid()) and (str(tree) in words or LIVES in words):
            found.append(words)
    return found


def test_a_room_is_alone_and_hands_the_exit_code_on(tree: Path) -> None:
    run = room(tree, 'docker ps -aq; ls -A /dev/shm; ip -br link; echo "$TMPDIR $HOME"; exit 7')
    said, _ = run.communicate()
    assert run.returncode == 7, said
    lines = [line for line in said.splitlines() if "started a Docker Engine" not in line]
    assert [line.split()[0] for line in lines] == ["lo", "/run/tmp"], "no containers, no namespaces, no network but loopback"
    assert not of(tree)


def test_a_room_that_is_killed_takes_everything_along_and_the_next_finds_nothing(tree: Path) -> None:
    build_python_image(tree / "image.tar", {}, with_packages=())
    first = room(tree, BUSY)
    until("a container runs", (tree / "running").exists)
    assert sum(LIVES in words and "sleep" in words for words in of(tree)) >= 2, "the process and the one in the container"
    (container,) = (path.name for path in (tree / ".run/room/engine/data/containers").iterdir())
    groups = [path for path in Path("/sys/fs/cgroup").rglob(f"*{container}*") if path.is_dir()]
    assert groups
    assert str(tree) not in Path("/proc/mounts").read_text(), "what it mounts nobody else sees"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    until("the kernel ended it all", lambda: not of(tree))
    second = room(tree, "docker ps -aq; docker images -q; ip netns list; ls -A .run/room/tmp/home")
    said, _ = second.communicate()
    assert second.returncode == 0, said
    assert [line for line in said.splitlines() if "started a Docker Engine" not in line] == []
    assert not [group for group in groups if group.exists()], "nor control groups"


def test_two_rooms_in_one_checkout_are_refused(tree: Path) -> None:
    first = room(tree, "touch running; sleep 1000")
    until("the first is there", (tree / "running").exists)
    second = room(tree, "touch second", LC_ROOM_WAIT_S="1")
    said, _ = second.communicate()
    assert second.returncode == 3 and "another run of the tests is under way" in said
    assert not (tree / "second").exists()
    first.kill()
    first.wait()
    until("it is gone", lambda: not of(tree))
