"""A node that must not start says what is wrong and what to do, ends with exit code 1, and loses nothing by it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from learningchain.chain.ledger.genesis import to_json
from learningchain.client import config
from tests.processes.harness import PASSPHRASE, Graph, NodeProcess, Person, Role, credits, micro

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRIEND = Person("friend")
SENT = 12
PAGE = 4096


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Graph]:
    """One validator with some history, stopped."""
    async with Graph(tmp_path_factory.mktemp("start"), [Role("v0", validator=True)], people=[FRIEND]) as made:
        node = (await made.start())["v0"]
        for _ in range(SENT):
            await node.api.transfer(FRIEND.address, "1", wait=20)
        assert await node.stop() == 0
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def node(graph: Graph, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    """A copy of that node, for one test."""
    data = tmp_path / "v0"
    shutil.copytree(graph["v0"].data, data)
    copy = graph.nodes["copy"] = NodeProcess("copy", data, graph["v0"].identity)
    yield copy
    del graph.nodes["copy"]
    await copy.close()


async def says(node: NodeProcess, *words: str, passphrase: str = PASSPHRASE) -> None:
    """It refuses to start: exit code 1, one text with all these words, no trace of the program's inside."""
    code, said = await node.refuses(passphrase=passphrase)
    assert code == 1, said
    for word in words:
        assert word in said, said
    assert "Traceback" not in said


async def goes_on(node: NodeProcess, *arguments: str) -> None:
    """Nothing was lost: the balances are there, and it makes blocks."""
    await node.start(*arguments)
    assert micro(await node.api.balance(FRIEND.address)) == credits(100 + SENT)
    await node.grows(2)
    assert await node.stop() == 0


async def test_a_second_node_on_the_same_folder(graph: Graph, node: NodeProcess) -> None:
    await node.start()
    second = NodeProcess("second", node.data, node.identity)
    second.log = node.data.with_name("second.log")
    await says(second, "is in use", f"process {node.pid} holds it", "Stop that node")
    await node.grows(2)
    assert await node.stop() == 0


def _damage_pages(node: NodeProcess) -> None:
    db = node.data / "db"
    with db.open("r+b") as f:
        for offset in range(PAGE, os.path.getsize(db), 2 * PAGE):
            f.seek(offset)
            f.write(os.urandom(PAGE))


def _damage_log(node: NodeProcess) -> None:
    with (node.data / "wal").open("r+b") as f:
        f.write(os.urandom(2 * PAGE))


def _remove(name: str) -> Callable[[NodeProcess], None]:
    return lambda node: (node.data / name).unlink()


def _damage_guard(node: NodeProcess) -> None:
    (node.data / "guard").write_bytes(os.urandom(4 * PAGE))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_damage_pages, ["database", "malformed", "backup", "sync from its peers"]),
        (_damage_log, ["log", "damaged", "Check the disk"]),
        (_remove("wal"), ["log", "missing", "sync from its peers"]),
        (_remove("guard"), ["signs nothing", "is missing", "--accept-new-guard", "no second machine uses this key"]),
        (_damage_guard, ["signs nothing", "cannot be read", "--accept-new-guard"]),
        (_remove("keystore.json"), ["no keystore", "learningchain init"]),
        (_remove("genesis.json"), ["genesis.json is missing", "learningchain genesis install"]),
    ],
    ids=["database page", "log", "no log", "no guard", "guard", "no keystore", "no genesis"],
)
async def test_damage(node: NodeProcess, damage: Callable[[NodeProcess], None], words: list[str]) -> None:
    damage(node)
    await says(node, *words)


async def test_a_lost_guard_needs_the_operators_word(node: NodeProcess) -> None:
    (node.data / "guard").unlink()
    await says(node, "--accept-new-guard")
    await goes_on(node, "--accept-new-guard")


async def test_what_can_be_put_right_costs_nothing(graph: Graph, node: NodeProcess) -> None:
    """Each of these is refused with its own words; when all is as before, so is the node."""
    await says(node, "Wrong passphrase", node.address, "Try again", passphrase="not the passphrase")
    other = msgspec.structs.replace(graph.genesis, name="other")
    with _replaced(node.data / "genesis.json", to_json(other)):
        await says(node, "network", graph.genesis.chain_id.hex()[:16], "own data folder")
    with _replaced(node.data / "genesis.json", b'{"version": 1}'):
        await says(node, "genesis", "learningchain genesis install")
    with _replaced(node.data / config.FILE, b"[work]\nattemps = 3\n"):
        await says(node, "config.toml", "work.attemps", "did you mean", "work.attempts")
    for setting in ("network.listen", "api.listen"):
        listen = str(config.value_of(config.load(node.data, {}).config, setting))
        with _taken(listen):
            await says(node, listen, "in use", f"learningchain config set {setting}")
    await goes_on(node)


@contextmanager
def _replaced(path: Path, content: bytes) -> Iterator[None]:
    own = path.read_bytes()
    path.write_bytes(content)
    yield
    path.write_bytes(own)


@contextmanager
def _taken(listen: str) -> Iterator[None]:
    host, _, port = listen.rpartition(":")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        yield


# --- a full disk ----------------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(at: Path) -> Iterator[bool]:
    """A file system of 300 MB at this folder; false, with the reason printed, where it cannot be mounted."""
    at.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(at)], capture_output=True, text=True)
    if mounted.returncode:
        print(f"no small file system here: {mounted.stderr.strip()}; full writes are injected instead")
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def resize(at: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(at)], check=True)


async def test_a_disk_that_fills_up_while_the_node_runs(graph: Graph, node: NodeProcess, tmp_path: Path) -> None:
    """It stops with the reason, forgets nothing, and goes on once there is space."""
    with small_disk(tmp_path / "disk") as real:
        data = tmp_path / "disk" / "v0"
        shutil.move(node.data, data)
        full = graph.nodes["full"] = NodeProcess("full", data, node.identity)
        full.log = tmp_path / "full.log"
        flag = tmp_path / "flag"
        if not real:
            full.program = [sys.executable, "-m", "tests.processes.broken_node", "disk-full", str(flag)]
        try:
            await full.start()
            await full.grows(2)
            if real:
                full.pause()  # what it writes between the reading of `used` and the change would make that impossible
                resize(data.parent, shutil.disk_usage(data.parent).used + 16_384)
                full.resume()
            else:
                flag.touch()
            code, said = await full.ended(), full.tail()
            assert code == 1, said
            assert "no space left" in said and "Free some space" in said
            if real:
                await says(full, "Too little space", "Free some space")
                resize(data.parent, 300 * 2**20)
            else:
                flag.unlink()
            await goes_on(full)
        finally:
            await full.close()
            del graph.nodes["full"]


async def test_too_little_space_to_begin_with(node: NodeProcess, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as real:
        if not real:
            pytest.fail("mounting a small file system was refused here: this start needs one", pytrace=False)
        resize(tmp_path / "disk", 100 * 2**20)
        data = tmp_path / "disk" / "v0"
        shutil.move(node.data, data)
        await says(NodeProcess("small", data, node.identity), "Too little space", "MiB are free", "Free some space")
