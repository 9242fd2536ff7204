"""A real node behind its doors: what other programs of its user can see of it, and what a crowd before them can take from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from learningchain.client.node.process import share_of_files
from tests.processes.harness import PASSPHRASE, ROOT, Graph, NodeProcess, Role, command, eventually, validators

NOBODY = "nobody"
FEW = 400
"""Open files that the machine lets a node have, in all."""

LOOK = """
import sys
pid, = sys.argv[1:]
for name in ("environ", "mem", "maps", "fd/0"):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            found = file.read(1)
            print(name, "read")
    except PermissionError:
        print(name, "refused")
    except OSError as fault:
        print(name, "read", fault.errno)
"""


RELAY = """
import socket, sys, threading
port = int(sys.argv[1])
door = socket.socket(socket.AF_INET6)
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("::1", port))
door.listen()
print("listens", flush=True)

def pass_on(source, target, told):
    while data := source.recv(65536):
        if told:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)

while True:
    caller, _ = door.accept()
    node = socket.create_connection(("127.0.0.1", port))
    for both in ((caller, node, True), (node, caller, False)):
        threading.Thread(target=pass_on, args=both, daemon=True).start()
"""
"""Shows whoever connects the true node, and tells all that it is sent."""


# --- another user of the machine ----------------------------------------------------------------------------------------------


async def test_another_user_at_the_other_loopback_gets_neither_token_nor_code(tmp_path: Path) -> None:
    """It passes on what it is asked to the true node, whose proofs are for the address that the node listens at."""
    if not as_nobody():
        pytest.skip("only root can run a program as another user")
    async with Graph(tmp_path, validators(1)) as graph:
        node = graph["v0"]
        port = int(node.api.url.rpartition(":")[2])
        token = (node.data / "api.token").read_text().strip() if (node.data / "api.token").exists() else ""
        with (tmp_path / "told").open("wb") as told:
            thief = subprocess.Popen([*as_nobody(), sys.executable, "-c", RELAY, str(port)], stdout=told, cwd="/")
        try:
            await eventually("the other user listens", lambda: _told(tmp_path, b"listens"))
            await node.start()
            token = token or (node.data / "api.token").read_text().strip()
            assert node.says("another program listens at this port of the other loopback")
            code, out, err = await command(node, "status", "--json", "--api", f"http://localhost:{port}")
            assert code == 0, err
            code, out, err = await command(node, "status", "--json", "--api", f"http://[::1]:{port}")
            assert code != 0 and "nobody" in err
            assert await _told(tmp_path, b"GET /v1/proof"), "it was asked for a proof, and passed on the node's"
            code, out, err = await command(node, "dashboard", "--no-open", "--json")
            assert code == 0 and json.loads(out)["url"].startswith(f"http://127.0.0.1:{port}/")
            assert token and token.encode() not in (tmp_path / "told").read_bytes()
        finally:
            thief.kill()
            thief.wait()


async def test_a_node_takes_its_port_at_both_loopbacks(tmp_path: Path) -> None:
    if not as_nobody():
        pytest.skip("only root can run a program as another user")
    async with Graph(tmp_path, validators(1)) as graph:
        node = await graph["v0"].start()
        port = node.api.url.rpartition(":")[2]
        thief = [*as_nobody(), sys.executable, "-c", RELAY, port]
        late = await asyncio.to_thread(subprocess.run, thief, capture_output=True, cwd="/", text=True)
        assert late.returncode != 0 and "Address already in use" in late.stderr


async def _told(folder: Path, what: bytes) -> bool:
    return what in (folder / "told").read_bytes()


# --- other programs of the same user ------------------------------------------------------------------------------------------


def as_nobody() -> list[str]:
    """The beginning of a command that runs as another user than root; nothing where the tests run as one already."""
    if os.getuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed: no program can be run as another user")
    user = pwd.getpwnam(NOBODY)
    return [
        "setpriv",
        "--reuid",
        str(user.pw_uid),
        "--regid",
        str(user.pw_gid),
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]


def look(pid: int) -> dict[str, str]:
    command = [*as_nobody(), sys.executable, "-c", LOOK, str(pid)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.splitlines()
    return dict(line.split()[:2] for line in lines)


async def test_other_programs_of_its_user_see_neither_the_memory_nor_the_passphrase_of_a_node() -> None:
    # Not below the folder that pytest keeps closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        async with Graph(Path(folder), validators(1)) as graph:
            await look_into(graph["v0"])


async def look_into(node: NodeProcess) -> None:
    give_away(node)
    node.program = [*as_nobody(), *node.program]
    await node.start()
    assert look(node.pid) == {"environ": "refused", "mem": "refused", "maps": "refused", "fd/0": "refused"}
    # As a program is seen that does not guard itself: the look above is not refused for another reason.
    idle = [*as_nobody(), sys.executable, "-c", "print(1, flush=True); input()"]
    with subprocess.Popen(idle, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as plain:
        assert plain.stdout is not None
        plain.stdout.readline()
        assert look(plain.pid)["environ"] == "read"
        plain.kill()
    core = next(line for line in Path(f"/proc/{node.pid}/limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    # Whoever may look (root) finds the rest of the environment, and stars instead of the passphrase.
    with contextlib.suppress(PermissionError):
        block = Path(f"/proc/{node.pid}/environ").read_bytes()
        assert b"PYTHONUNBUFFERED=1" in block
        assert PASSPHRASE.encode() not in block
        assert b"LEARNINGCHAIN_PASSPHRASE=" + b"*" * len(PASSPHRASE) in block
    assert await node.stop() == 0


def test_a_program_that_a_node_starts_does_not_get_the_passphrase(tmp_path: Path) -> None:
    """Helpers that check signatures, and the programs of other people, are other processes."""
    seen = tmp_path / "seen"
    code = (
        "import os, subprocess, sys\n"
        "from learningchain.client.node import process\n"
        "process.guard('LEARNINGCHAIN_PASSPHRASE')\n"
        f"subprocess.run(['env'], stdout=open({str(seen)!r}, 'wb'))\n"
    )
    environment = {**os.environ, "LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=ROOT)
    assert "PATH=" in seen.read_text() and "PASSPHRASE" not in seen.read_text()


def give_away(node: NodeProcess) -> None:
    """The data folder, and the way to it, belong to whoever runs the node."""
    if os.getuid():
        return
    user = pwd.getpwnam(NOBODY)
    for path in (node.data, *node.data.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    node.data.parent.chmod(0o711)


# --- a crowd at the API --------------------------------------------------------------------------------------------------------


async def test_1500_half_requests_stop_neither_the_owner_nor_the_dials_of_a_node(tmp_path: Path) -> None:
    """Where the machine gives a node few files: it dials a peer, and votes with it, while they are held."""
    async with Graph(tmp_path, [*validators(1), Role("v1", validator=True, settings={"network.peers": []})]) as graph:
        await besiege(graph["v0"], graph["v1"])


async def besiege(node: NodeProcess, other: NodeProcess) -> None:
    """`other` knows nobody: the two meet if `node` dials."""
    node.program = ["prlimit", f"--nofile={FEW}:{FEW}", *node.program]
    await node.start()
    port = int(node.api.url.rpartition(":")[2])
    held: list[socket.socket] = []
    few = asyncio.Semaphore(64)  # fewer than the kernel keeps until they are accepted: more of them would wait a second each

    async def hold() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        held.append(sock)
        async with few:
            await loop.sock_connect(sock, ("127.0.0.1", port))
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(sock, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Half: ")

    loop = asyncio.get_running_loop()
    try:
        await asyncio.gather(*(hold() for _ in range(1_500)))
        await node.api.status()
        used = len(os.listdir(f"/proc/{node.pid}/fd"))
        assert used <= FEW - 100, "files for peers are left"
        assert used >= share_of_files(FEW, 512), "the requests are held, so far as there is room"
        await node.api.status()
        await other.start()
        (peer,) = await eventually("the two are connected", node.api.peers)
        assert peer["direction"] == "out"
        await node.grows(2)
        assert not node.says("Too many open files")
    finally:
        for sock in held:
            sock.close()


async def test_a_node_asks_for_as_many_files_as_it_may_have(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(1)) as graph:
        node = graph["v0"]
        node.program = ["prlimit", "--nofile=256:4096", *node.program]
        await node.start()
        assert resource.prlimit(node.pid, resource.RLIMIT_NOFILE) == (4_096, 4_096)


async def test_nonsense_at_the_api_leaves_no_traceback_in_the_log(tmp_path: Path) -> None:
    async with Graph(tmp_path, [Role("v0", validator=True, settings={"log.format": "json"})]) as graph:
        node = graph["v0"]
        await node.start()
        port = int(node.api.url.rpartition(":")[2])
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"secretbytes\x1b[31m\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    sock.recv(65_536)
        await node.api.status()
        lines = [line for line in node.log.read_text().splitlines() if not line.startswith("---")]
        assert all(line.startswith("{") for line in lines), lines
        assert sum("could not be read" in line for line in lines) == 5
        assert not node.says("Traceback") and not node.says("\x1b")
