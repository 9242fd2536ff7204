"""A graph of real daemon processes on loopback, made for a measurement and removed after it."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from learningchain.chain.crypto import SigningKey
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, make_params, to_json
from learningchain.chain.params import CREDIT, PROTOCOL_VERSION
from learningchain.client.keys.keystore import Keystore
from learningchain.p2p.tls import make_ca

PASSPHRASE = "benchmark of a graph"
VALIDATORS = 4
GRANT = 1_000_000 * CREDIT
PARAMS, SECTIONS = make_params(job_max_live=1_000_000, job_max_live_bytes=2**40)
"""A few accounts post what a whole graph would."""
START_S = 60.0
STOP_S = 30.0


@dataclass
class Member:
    """One node: its folder, ports, process."""

    name: str
    folder: Path
    key: SigningKey
    p2p: int
    api: int
    validator: bool
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api}"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.folder / 'api.token').read_text().strip()}"}


@dataclass
class Graph:
    """`payers` are members without a node, each with a grant: the load signs for them."""

    folder: Path
    genesis: Genesis
    members: list[Member]
    payers: list[SigningKey]
    _session: aiohttp.ClientSession | None = field(default=None)

    @property
    def validators(self) -> list[Member]:
        return [m for m in self.members if m.validator]

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=0))
        return self._session

    async def close(self) -> None:
        """Stops every process, in order, and removes the folder."""
        if self._session is not None:
            await self._session.close()
        for member in self.members:
            await asyncio.to_thread(stop, member)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def get(self, member: Member, path: str) -> Any:
        async with self.session.get(member.url + path, headers=member.headers()) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def wait_until_ready(self, members: list[Member], peers: int) -> None:
        """Every one answers and is connected with `peers` others. Raises `RuntimeError` with the log of one that is not."""
        ends = time.monotonic() + START_S
        for member in members:
            while True:
                with contextlib.suppress(aiohttp.ClientError, FileNotFoundError):
                    if (await self.get(member, "/v1/status"))["peers"] >= peers:
                        break
                if time.monotonic() > ends or (member.process is not None and member.process.poll() is not None):
                    raise RuntimeError(f"{member.name} did not start:\n{(member.folder / 'log').read_text()[-2000:]}")
                await asyncio.sleep(0.05)


def make(payers: int) -> Graph:
    """Folders, identities and genesis for four validators and a fifth member that joins later. Nothing runs yet."""
    folder = Path(tempfile.mkdtemp(prefix="learningchain-bench-"))
    ports = free_ports(2 * (VALIDATORS + 1))
    members = []
    for i in range(VALIDATORS + 1):
        data = folder / f"node{i}"
        data.mkdir(mode=0o700)
        identity = Keystore.create(data / "keystore.json", PASSPHRASE)
        members.append(Member(data.name, data, identity.key, ports[2 * i], ports[2 * i + 1], i < VALIDATORS))
    keys = [SigningKey(secrets.token_bytes(32)) for _ in range(payers)]
    now = time.time()
    ca = make_ca(now)
    accounts = [GenesisAccount(m.key.public, GRANT, m.validator, False) for m in members]
    accounts += [GenesisAccount(k.public, GRANT, False, True) for k in keys]
    genesis = Genesis(PROTOCOL_VERSION, "benchmark", int(now * 1000), PARAMS, accounts, ca.cert_pem, ca.key_pem, SECTIONS)
    raw = to_json(genesis)
    for member in members:
        (member.folder / "genesis.json").write_bytes(raw)
        (member.folder / "config.toml").write_text(config(member, members))
    return Graph(folder, genesis, members, keys)


def config(member: Member, members: list[Member]) -> str:
    others = ", ".join(f'"127.0.0.1:{m.p2p}"' for m in members if m.validator and m is not member)
    return (
        f'name = "{member.name}"\n'
        f'[network]\nlisten = "127.0.0.1:{member.p2p}"\npeers = [{others}]\n'
        f'[api]\nlisten = "127.0.0.1:{member.api}"\n'
        '[work]\nenabled = false\nverify = false\njudge = "never"\n'
        '[log]\nlevel = "warning"\n'
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(member: Member, module: str = "benchmarks.validator", *more: str) -> None:
    """The daemon in a process of its own; its output goes to `log` in its folder. `module` is that of the process."""
    with (member.folder / "log").open("ab") as log:
        member.process = subprocess.Popen(
            [sys.executable, "-m", module, str(member.folder), *more],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE},
        )


def stop(member: Member) -> None:
    process, member.process = member.process, None
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
