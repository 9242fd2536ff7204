"""The five nodes of the demo: folders, keys and genesis made as a user would make them, processes started and ended again.

Each node is a process of its own, in a session of its own, so that Ctrl-C reaches the demo alone and the demo ends the nodes in
order. Whatever the nodes left on the container engine is removed by their tags. Nothing here knows of jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learningchain.chain.crypto import address
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, Section, check_genesis, to_json
from learningchain.chain.params import PROTOCOL_VERSION, Params
from learningchain.chain.types import parse_credits
from learningchain.client import config
from learningchain.client.cli.network import put_genesis
from learningchain.client.keys.keystore import Keystore
from learningchain.client.sdk.client import Client
from learningchain.examples.demo.plan import ATTEMPTS, NODES, OTHERS, PARAMS, SECTIONS, Part
from learningchain.examples.place import IMPORTED_FROM, RUN
from learningchain.p2p.tls import make_ca
from learningchain.sandbox import Sandbox, SandboxError

STOP_S = 20.0
"""A node that still runs so long after SIGTERM is killed."""
COMMAND_S = 60.0
KEPT_LOGS = 5
KEPT = "kept"
"""Marks a folder whose nodes' data somebody asked for."""
LONGEST_S = 3_600.0
"""No run lasts so long: data that is older was left by one that was killed."""


class DemoFailed(Exception):
    """The demo cannot go on. The text says what, why and what to do."""


@dataclass
class Home:
    """A member: its folder, and for a node its addresses and process."""

    part: Part
    data: Path
    id: bytes
    key: bytes
    listen: str = ""
    api: str = ""
    log: Path = Path()
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def address(self) -> str:
        return address(self.id)

    @property
    def url(self) -> str:
        return f"http://{self.api}"

    @property
    def tag(self) -> str:
        """What marks this node's containers: see `client.work.compose`."""
        return self.address[:20]


@dataclass
class Graph:
    """Everything that was made, so that it can be ended."""

    folder: Path
    keep: bool
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    nodes: list[Home] = field(default_factory=list)
    others: list[Home] = field(default_factory=list)
    """Members without a node: they send through somebody else's."""
    helpers: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def members(self) -> list[Home]:
        return [*self.nodes, *self.others]

    def member(self, name: str) -> Home:
        return next(home for home in self.members if home.name == name)

    def environment(self) -> dict[str, str]:
        """The nodes' environment: the user's own LEARNINGCHAIN_ variables are for the user's own node."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(config.PREFIX)}
        path = os.pathsep.join(p for p in (str(IMPORTED_FROM), kept.get("PYTHONPATH")) if p)
        return kept | {"LEARNINGCHAIN_PASSPHRASE": self.passphrase, "PYTHONPATH": path}

    def client(self, home: Home) -> Client:
        return Client(home.url, (home.data / "api.token").read_text().strip())


# --- folders ------------------------------------------------------------------------------------------------------------------


def new_folder(base: Path) -> Path:
    """A folder of this run's own, named by the time. The logs of the last runs stay, and what a killed run left goes."""
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=base))
    (folder / "logs").mkdir()
    (folder / "nodes").mkdir()
    others = [p for p in base.iterdir() if p.is_dir() and p != folder and not (p / KEPT).exists()]
    for old in others:
        if time.time() - old.stat().st_mtime > LONGEST_S:
            shutil.rmtree(old / "nodes", ignore_errors=True)
    for old in sorted(p for p in others if not (p / "nodes").exists())[: -KEPT_LOGS or None]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now: all are held until the last is known."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


# --- set-up -------------------------------------------------------------------------------------------------------------------


async def make_member(graph: Graph, part: Part, options: list[str]) -> Home:
    """`learningchain init` for one member."""
    data = graph.folder / "nodes" / part.name
    await command(graph, "init", "--data", str(data), "--name", part.name, *options)
    public = Keystore.public(data / "keystore.json")
    return Home(part, data, public.id, public.public_key, log=graph.logs / f"{part.name}.log")


async def make_node(graph: Graph, part: Part, listen: str, api: str, peers: list[str], settings: Mapping[str, Any]) -> Home:
    options = ["--listen", listen, "--api-listen", api, *(word for peer in peers for word in ("--peer", peer))]
    home = await make_member(graph, part, options)
    home.listen, home.api = listen, api
    changes = {
        "work.enabled": part.works,
        "work.attempts": ATTEMPTS,
        "work.min_bounty": part.min_bounty,
        "work.min_time_left_s": 8,
        "sandbox.cache_dir": str(RUN / "sandbox"),
        "log.level": "debug",
    }
    await asyncio.to_thread(config.change, data=home.data, changes={**changes, **settings})
    return home


async def make_homes(
    graph: Graph,
    nodes: Sequence[Part] = NODES,
    others: Sequence[Part] = OTHERS,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Identities and settings, and more `settings` of some by name. Everybody knows one address at first, the first node's, and
    finds the others by it."""
    ports = free_ports(2 * len(nodes))
    listens = [f"127.0.0.1:{port}" for port in ports]
    more = settings or {}
    pairs = list(zip(nodes, listens[::2], listens[1::2], strict=True))
    first = listens[0]
    limit = asyncio.Semaphore(2)  # each derives a key: 128 MiB and a core

    async def one(part: Part, listen: str, api: str) -> Home:
        async with limit:
            return await make_node(graph, part, listen, api, [] if listen == first else [first], more.get(part.name, {}))

    async def other(part: Part) -> Home:
        async with limit:
            return await make_member(graph, part, [])

    made = await asyncio.gather(*(one(*pair) for pair in pairs), *(other(part) for part in others))
    graph.nodes, graph.others = list(made[: len(nodes)]), list(made[len(nodes) :])


async def make_network(graph: Graph, params: Params = PARAMS, sections: Sequence[Section] = tuple(SECTIONS)) -> Genesis:
    """The network's file, written once and installed with every node."""
    accounts = [GenesisAccount(h.key, parse_credits(h.part.grant), h.part.validator, h.part.validator) for h in graph.members]
    ca = make_ca(time.time())
    genesis = Genesis(PROTOCOL_VERSION, "demo", int(time.time() * 1000), params, accounts, ca.cert_pem, ca.key_pem, list(sections))
    check_genesis(genesis)
    path = graph.folder / "genesis.json"
    path.write_bytes(to_json(genesis))
    for home in graph.nodes:
        await asyncio.to_thread(put_genesis, home.data, path)
    return genesis


async def command(graph: Graph, *words: str) -> None:
    """One `learningchain` command as a user types it. Raises `DemoFailed` with what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "learningchain", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=graph.environment(),
        start_new_session=True,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), COMMAND_S)
    except TimeoutError:
        raise DemoFailed(f"learningchain {words[0]} did not end within {COMMAND_S:.0f} s. Is this machine overloaded?") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise DemoFailed(f"learningchain {' '.join(words)} failed: {said.decode(errors='replace').strip()[-600:]}")


# --- processes ----------------------------------------------------------------------------------------------------------------


def start_node(graph: Graph, home: Home, program: str = "learningchain") -> None:
    """A session of its own keeps the terminal's Ctrl-C away from it; with setpriv it still ends when the demo is killed. `program`:
    the module that runs as its node."""
    setpriv = shutil.which("setpriv")
    words = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    words += [sys.executable, "-m", program, "node", "--data", str(home.data)]
    with home.log.open("ab") as log:
        home.process = subprocess.Popen(
            words + (["--work"] if home.part.works else []),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=graph.environment(),
            cwd=graph.folder,
            start_new_session=True,
        )


def dead(graph: Graph) -> str:
    """A node that ended while it was needed, with the end of its log; empty where all run."""
    for home in graph.nodes:
        if home.process is not None and home.process.poll() is not None:
            code = home.process.returncode
            why = (
                f"was ended by signal {-code}" if code < 0 else "was told to stop" if code == 0 else f"ended with exit code {code}"
            )
            return f"the node of {home.name} {why}, not by the demo. Its log {home.log} ends with:\n{tail(home.log)}"
    return ""


def check_alive(graph: Graph) -> None:
    """Raises `DemoFailed` where a node has ended."""
    if died := dead(graph):
        raise DemoFailed(died)


def tail(path: Path) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError as problem:
        return f"({problem})"
    return "\n".join("    " + line[:300] for line in text.splitlines()[-12:])


async def end_processes(graph: Graph) -> list[str]:
    """Ends all that runs: asked first, killed where that does not help. What is worth telling comes back."""
    for helper in graph.helpers:
        with contextlib.suppress(ProcessLookupError):
            if helper.returncode is None:
                os.killpg(helper.pid, signal.SIGKILL)
        await helper.wait()
    running = [home for home in graph.nodes if home.process is not None and home.process.poll() is None]
    for home in graph.nodes:
        _signal(home, signal.SIGTERM)
    told = await asyncio.gather(*(_wait_end(home, home.process) for home in running if home.process is not None))
    for home in graph.nodes:
        _signal(home, signal.SIGKILL)  # whatever is left of its group
    return [text for text in told if text]


async def _wait_end(home: Home, process: subprocess.Popen[bytes]) -> str:
    try:
        code = await asyncio.to_thread(process.wait, STOP_S)
        return f"the node of {home.name} ended with exit code {code}; its log is {home.log}" if code else ""
    except subprocess.TimeoutExpired:
        _signal(home, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        return f"the node of {home.name} did not stop within {STOP_S:.0f} s and was killed; its log is {home.log}"


def _signal(home: Home, number: signal.Signals) -> None:
    if home.process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(home.process.pid, number)


def clean_engine(graph: Graph) -> list[str]:
    """Containers, volumes and images that the nodes made, also those of killed nodes. What could not be removed comes back."""
    problems: list[str] = []
    for home in graph.nodes:
        try:
            room = Sandbox(home.data / "sandbox", node_tag=home.tag)
            problems += room.cleanup().problems
            room.close()
        except (SandboxError, OSError) as fault:
            problems.append(f"the containers of {home.name} could not be looked for: {fault}")
    return problems


def clean_folder(graph: Graph) -> None:
    if graph.keep:
        (graph.folder / KEPT).touch()
    else:
        shutil.rmtree(graph.folder / "nodes", ignore_errors=True)
