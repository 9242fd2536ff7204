"""Real nodes as separate processes on loopback, each with its own data folder, and bounded ways to wait for what they do.

    async with Graph(folder, validators(4) + [Role("observer")]) as graph:
        await graph.start()
        await graph["v0"].api.transfer(graph["observer"].address, "1", wait=20)

A graph kills whatever it started when it is left, however that happens; its nodes also die with the test process. Every node
writes one log file over all its lives; `conftest` shows the ends of the logs when a test fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar
from unittest import mock

import aiohttp
import msgspec

from learningchain.chain.crypto import SigningKey, account_id, address, sha256
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, to_json
from learningchain.chain.params import CREDIT
from learningchain.chain.types import parse_credits
from learningchain.client import config
from learningchain.client.keys import keystore
from learningchain.client.keys.keystore import Identity, Keystore
from learningchain.client.schema.bodies import CertificateView, StatusView, TxAnswer
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.http import local_url, read_token
from learningchain.client.sdk.types import ApiError, Json
from learningchain.p2p.tls import make_ca
from learningchain.sandbox import Sandbox, SandboxError
from tests.network import NetworkParams
from tests.network import genesis as network_genesis
from tests.slow import SLOW

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "a passphrase for tests"
POLL_S = 0.05
PATIENCE_S = 60.0
"""On a quiet machine, where others are not: `SLOW` multiplies it. Every wait ends with its event, or here."""
TAIL = 60
"""Lines of each log that a failure shows."""
QUICK = NetworkParams(heartbeat=400, job_min_open=1_000)
"""An idle graph still makes a few blocks a second, so that nobody waits long for one."""
_PART, _PARTS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = itertools.count(random.Random(os.getpid() ^ time.time_ns()).randrange(12_000))
"""Each is given once. Runs of tests beside this one begin elsewhere: they rarely meet, unlike numbers drawn one by one."""
_libc = ctypes.CDLL(None)


class NotInTime(AssertionError):
    """What a test waited for did not happen."""


async def eventually(what: str, probe: Callable[[], Awaitable[T | None]], within: float = PATIENCE_S) -> T:
    """The first true answer of `probe`. A node that cannot be reached has not answered yet. Raises `NotInTime`."""
    deadline = time.monotonic() + within * SLOW
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = await probe()
            if found:
                return found
            last = found
        except ApiError as fault:
            if fault.kind not in ("unreachable", "unavailable") or fault.name == "INTERNAL":
                raise
            last = fault
        await asyncio.sleep(POLL_S)
    raise NotInTime(f"after {within * SLOW:.0f} s still not: {what} (last answer: {last!r})")


def free_port() -> int:
    """Below the range that the kernel hands out by itself, so that no outgoing connection takes it meanwhile."""
    while True:
        port = 20_000 + (next(_PORTS) * _PARTS + _PART) % 12_000
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


# --- who takes part -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Role:
    """A node of the graph. `member` false: its key is not in genesis. `settings` are dotted names of the configuration."""

    name: str
    validator: bool = False
    verifier: bool = False
    credits: str = "1000"
    member: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


def validators(count: int, **settings: Any) -> list[Role]:
    return [Role(f"v{i}", validator=True, settings={k.replace("__", "."): v for k, v in settings.items()}) for i in range(count)]


@dataclass(frozen=True)
class Person:
    """An account without a node: a test signs for it and sends through any node's API."""

    name: str
    credits: str = "100"
    verifier: bool = False
    own_key: SigningKey | None = None

    @classmethod
    def behind(cls, node: NodeProcess) -> Person:
        """Whoever holds a node's key, sending on their own."""
        return cls(node.name, own_key=node.identity.key)

    @property
    def key(self) -> SigningKey:
        return self.own_key or SigningKey(sha256(f"person {self.name}".encode()))

    @property
    def id(self) -> bytes:
        return account_id(self.key.public)

    @property
    def address(self) -> str:
        return address(self.id)

    async def send(self, node: NodeProcess, *ops: Any, wait: float = PATIENCE_S) -> TxAnswer:
        """One transaction with these messages, final on return. Raises `RejectedError` or `InvalidError`."""
        return await node.api.submit_tx(ops, self.key, wait=wait)


# --- one process --------------------------------------------------------------------------------------------------------------


class NodeProcess:
    """A node's data folder and the process that runs on it, one after the other. `program` stands in for `learningchain`."""

    def __init__(self, name: str, data: Path, identity: Identity) -> None:
        self.name, self.data, self.identity = name, data, identity
        self.log = data.with_suffix(".log")
        self.program: list[str] = [sys.executable, "-m", "learningchain"]
        self._process: subprocess.Popen[bytes] | None = None
        self._api: Client | None = None

    @property
    def id(self) -> bytes:
        return self.identity.id

    @property
    def address(self) -> str:
        return self.identity.address

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def api(self) -> Client:
        """The SDK on this node; of the present life of the process."""
        if self._api is None:
            url = local_url(config.load(self.data, {}).config.api.listen)
            self._api = Client(url, read_token(self.data / "api.token"))
        return self._api

    def spawn(self, *arguments: str, passphrase: str = PASSPHRASE, environment: Mapping[str, str] | None = None) -> None:
        """Start the process without waiting for anything."""
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
        command = [*self.program, "node", "--data", str(self.data), *arguments]
        with self.log.open("ab") as log:
            log.write(f"--- {' '.join(arguments) or 'node'}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=kept | {"LEARNINGCHAIN_PASSPHRASE": passphrase, "PYTHONUNBUFFERED": "1"} | dict(environment or {}),
                preexec_fn=_die_with_parent,
            )

    async def start(self, *arguments: str, within: float = PATIENCE_S) -> Self:
        """Start it and wait until its API answers."""
        await self._close_api()
        self.spawn(*arguments)
        await eventually(f"{self.name} answers", self._answers, within)
        return self

    async def _answers(self) -> StatusView | None:
        if not self.running:
            raise AssertionError(f"{self.name} ended with {self.exit_code} instead of starting:\n{self.tail(15)}")
        if not (self.data / "api.token").exists():
            return None
        return await self.api.status()

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    async def ended(self, within: float = PATIENCE_S) -> int:
        """Wait for the process's end; its exit code (negative: the signal)."""
        process = self._process
        if process is None:
            raise RuntimeError(f"{self.name} was not started")
        try:
            code = await asyncio.to_thread(process.wait, within * SLOW)
        except subprocess.TimeoutExpired:
            raise NotInTime(f"after {within * SLOW:.0f} s {self.name} still runs") from None
        await self._close_api()
        return code

    async def refuses(self, *arguments: str, passphrase: str = PASSPHRASE, within: float = PATIENCE_S) -> tuple[int, str]:
        """Start it where it must not start: the exit code, and what it said in this life."""
        before = self.log.stat().st_size if self.log.exists() else 0
        self.spawn(*arguments, passphrase=passphrase)
        code = await self.ended(within)
        return code, self.log.read_bytes()[before:].decode("utf-8", "replace")

    async def stop(self) -> int:
        """As an operator ends it; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended()

    def pause(self) -> None:
        """Stands still when this returns: a thread inside a system call ends that first."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_S * SLOW
        while self.running and not self._stands() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _stands(self) -> bool:
        try:
            tasks = [task.read_text() for task in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except OSError:
            return False  # one of them ended meanwhile
        return all(task.rpartition(")")[2].split()[0] in "TtZX" for task in tasks)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def tail(self, lines: int = TAIL) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as f:
            f.seek(max(0, self.log.stat().st_size - 200 * lines))
            return "\n".join(f.read().decode("utf-8", "replace").splitlines()[-lines:])

    def says(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text("utf-8", "replace")

    async def close(self) -> None:
        await self._close_api()
        if self._process is not None and self.running:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def _close_api(self) -> None:
        if self._api is not None:
            await self._api.close()
            self._api = None

    # what it says of the ledger

    async def height(self) -> int:
        return (await self.api.status())["height"]

    async def reaches(self, height: int, within: float = PATIENCE_S) -> StatusView:
        async def there() -> StatusView | None:
            status = await self.api.status()
            return status if status["height"] >= height else None

        return await eventually(f"{self.name} is at height {height}", there, within)

    async def grows(self, blocks: int = 2, within: float = PATIENCE_S) -> int:
        """Wait for more blocks than there are now; the height then."""
        status = await self.reaches(await self.height() + blocks, within)
        return status["height"]

    async def logs(self, text: str, within: float = PATIENCE_S) -> None:
        async def said() -> bool:
            return self.says(text)

        await eventually(f"{self.name} logs {text!r}", said, within)

    async def certificate(self, height: int | str = "latest") -> CertificateView:
        found = (await self.api.block(height))["certificate"]
        assert found is not None, f"{self.name} has no certificate of block {height}"
        return found

    async def has_box_key(self, within: float = PATIENCE_S) -> None:
        """Until its account has one: a node says it by itself soon after its start, in a transaction of its own."""

        async def said() -> bool:
            return (await self.api.account())["box_key"] is not None

        await eventually(f"{self.name} has a box key", said, within)

    async def carried(self, direction: str, *ways: str) -> float:
        """Bytes of files that went `in` or `out` in this life, by `connections` and by `messages`, or one of both."""
        url = local_url(config.load(self.data, {}).config.api.listen)
        headers = {"Authorization": f"Bearer {read_token(self.data / 'api.token')}"}
        async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics", headers=headers) as answer:
            text = await answer.text()
        found = [(way, n) for way, n in re.findall(rf'lc_file_bytes_total{{direction="{direction}",way="(\w+)"}} (\S+)', text)]
        return sum(float(number) for way, number in found if not ways or way in ways)

    async def job_in(self, job: str, *states: str, within: float = PATIENCE_S) -> Json:
        async def there() -> Json | None:
            view = await self.api.job(job)
            return dict(view) if view["state"] in states else None

        return await eventually(f"job {job[:8]} is {' or '.join(states)} for {self.name}", there, within)


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)


# --- the graph ----------------------------------------------------------------------------------------------------------------


class Graph:
    """Nodes of one network. Entering makes folders, keys, genesis and settings; nothing runs before `start`."""

    live: ClassVar[list[Graph]] = []
    """Graphs whose logs a failing test may want shown."""

    def __init__(self, folder: Path, roles: Sequence[Role], *, people: Sequence[Person] = (), params: Any = QUICK) -> None:
        self.folder, self.roles, self.people, self.params = folder, list(roles), list(people), params
        self.nodes: dict[str, NodeProcess] = {}
        self.closed = False

    def __getitem__(self, name: str) -> NodeProcess:
        return self.nodes[name]

    def __iter__(self) -> Iterator[NodeProcess]:
        return iter(self.nodes.values())

    async def __aenter__(self) -> Self:
        Graph.live.append(self)
        for role in self.roles:
            data = self.folder / role.name
            data.mkdir(mode=0o700)
            self.nodes[role.name] = NodeProcess(role.name, data, new_identity(data))
        self.genesis = self._genesis()
        listens = {role.name: f"127.0.0.1:{free_port()}" for role in self.roles}
        for role in self.roles:
            node = self.nodes[role.name]
            (node.data / "genesis.json").write_bytes(to_json(self.genesis))
            values = {
                "name": role.name,
                "network.listen": listens[role.name],
                "network.peers": [listen for name, listen in listens.items() if name != role.name],
                "api.listen": f"127.0.0.1:{free_port()}",
                "work.verify": False,
            }
            (node.data / config.FILE).write_text(config.render(values | dict(role.settings)))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.gather(*(node.close() for node in self.nodes.values()))
        await asyncio.to_thread(self._sweep)
        self.closed = True
        if error is None:
            Graph.live.remove(self)

    def _sweep(self) -> None:
        """Containers, volumes and images of nodes that were killed: their next start would remove them."""
        for node in self:
            if (node.data / "sandbox").exists():
                room = Sandbox(node.data / "sandbox", node_tag=node.address[:20])
                with contextlib.closing(room), contextlib.suppress(SandboxError):
                    room.cleanup()

    def _genesis(self) -> Genesis:
        ca = make_ca(time.time())
        accounts = [
            GenesisAccount(self.nodes[r.name].identity.key.public, parse_credits(r.credits), r.validator, r.verifier)
            for r in self.roles
            if r.member
        ]
        accounts += [GenesisAccount(p.key.public, parse_credits(p.credits), False, p.verifier) for p in self.people]
        now = int(time.time() * 1_000)
        return network_genesis("test", now, self.params, accounts, ca.cert_pem, ca.key_pem)

    def logs(self) -> str:
        return "\n".join(f"--- {node.name} ({node.data}, exit code {node.exit_code})\n{node.tail()}" for node in self)

    async def start(self, *names: str) -> Self:
        """Start these nodes (all), wait until each answers and is connected to every other running one."""
        chosen = [self.nodes[name] for name in names] or list(self.nodes.values())
        await asyncio.gather(*(node.start() for node in chosen))
        await self.connected()
        return self

    async def connected(self, within: float = PATIENCE_S) -> None:
        running = [node for node in self if node.running]

        async def all_of(node: NodeProcess) -> bool:
            known = {peer["id"] for peer in await node.api.peers()}
            return {other.address for other in running if other is not node} <= known

        await asyncio.gather(*(eventually(f"{n.name} is connected to all", lambda n=n: all_of(n), within) for n in running))  # type: ignore[misc]

    async def agree(self, *, above: int = 0, within: float = PATIENCE_S) -> Json:
        """Wait until every running node has the newest height of all (and `above`); their blocks there must be one. That block."""
        running = [node for node in self if node.running]
        top: int = max([above, *[await node.height() for node in running]])
        await asyncio.gather(*(node.reaches(top, within) for node in running))
        blocks = [await _stored(node, top) for node in running]
        for node, block in zip(running, blocks, strict=True):
            assert block["block_id"] == blocks[0]["block_id"], f"{node.name} has another block {top} than {running[0].name}"
            assert block["state_root"] == blocks[0]["state_root"]
        return blocks[0]

    async def no_fork(self) -> int:
        """Every height that two running nodes hold is the same block on both. The heights compared."""
        running = [node for node in self if node.running]
        top: int = min([await node.height() for node in running])
        for height in range(1, top + 1):
            found = {(await _stored(node, height))["block_id"] for node in running}
            assert len(found) == 1, f"height {height} was decided twice: {found}"
        return top

    async def conserved(self, *nodes: NodeProcess) -> int:
        """On these nodes (all that run) accounts and escrows add up to genesis' grants less what was burned. In micro-credits."""
        granted = sum(a.credits for a in self.genesis.accounts)
        supply = 0
        for node in nodes or [node for node in self if node.running]:
            found = {k: micro(v) for k, v in (await node.api.supply()).items() if k != "height"}
            assert found["accounts"] + found["escrows"] == found["supply"] == found["minted"] - found["burned"]
            assert found["minted"] == granted
            supply = found["supply"]
        return supply

    async def balances(self, node: NodeProcess) -> dict[str, int]:
        """Free credits of every account, in micro-credits."""
        return {a["id"]: micro(a["balance"]) for a in await node.api.accounts()}


async def _stored(node: NodeProcess, height: int) -> Json:
    """A block that the ledger has may be a moment behind in the database."""

    async def there() -> Json | None:
        try:
            return dict(await node.api.block(height))
        except ApiError as fault:
            if fault.kind == "not_found":
                return None
            raise

    return await eventually(f"{node.name} stores block {height}", there)


def micro(credits: Any) -> int:
    """Micro-credits of the API's text."""
    return parse_credits(str(credits))


def new_identity(data: Path) -> Identity:
    """A keystore in `data` whose passphrase costs little to check."""
    with mock.patch.object(keystore, "SCRYPT_N", 2**14):
        return Keystore.create(data / "keystore.json", PASSPHRASE)


async def command(node: NodeProcess, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a `learningchain` command on a node's data folder: exit code, output, errors."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "learningchain",
        *arguments,
        "--data",
        str(node.data),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=kept | dict(environment or {}),
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S * SLOW)
    return process.returncode or 0, out.decode(), err.decode()


def with_params(**changes: int) -> Any:
    return msgspec.structs.replace(QUICK, **changes)


def credits(amount: int) -> int:
    """Whole credits in micro-credits."""
    return amount * CREDIT


def pairs(items: Sequence[T]) -> list[tuple[T, T]]:
    return list(itertools.pairwise(items))
