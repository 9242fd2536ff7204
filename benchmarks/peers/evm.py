"""anvil and ganache: one node each, so no consensus; signed transfers, and postings and claims on a small contract.

Everything is signed in advance and offered in JSON-RPC batches over one connection, with a bounded number outstanding.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.graph import free_ports
from benchmarks.link import Link
from benchmarks.peers.base import Processes, Progress, Rate, Unavailable
from benchmarks.peers.install import Npm

CHAIN = 1337
ACCOUNTS = 16
BATCH = 100
LIMIT_S = 120.0
POLL_S = 0.02
_FUNDS = hex(10**30)
_SECRETS = [(bytes([7]) * 31 + bytes([i + 1])).hex() for i in range(ACCOUNTS)]
_WORD = 2**256
Call = tuple[int, str, int, str]
"""Account, receiver, value, data in hex."""
BOUNTY = 1_000
EXPIRY = 2**40


@dataclass(frozen=True)
class Evm:
    transfers: Rate
    posts: Rate
    claims: Rate
    jobs_per_s: float
    """A posting and a claim on it in turns: the harmonic mean of their two rates."""


def anvil_command(program: Path, port: int) -> list[str]:
    """One block a second without a limit of gas: mining each transaction by itself is slower."""
    fixed = ["--host", "127.0.0.1", "--chain-id", str(CHAIN), "--accounts", "1", "--silent", "--order", "fifo"]
    return [str(program), *fixed, "--block-time", "1", "--disable-block-gas-limit", "--no-request-size-limit", "--port", str(port)]


def ganache_command(program: Path, port: int) -> list[str]:
    """Every transaction is mined at once, as it does by default."""
    fixed = ["--server.host", "127.0.0.1", "--chain.chainId", str(CHAIN), "--wallet.totalAccounts", "1", "--logging.quiet"]
    return [str(program), *fixed, "--server.port", str(port)]


async def anvil(npm: Npm, transfers: int, jobs: int, outstanding: int) -> Evm:
    """Raises `Unavailable`."""
    return await _evm(
        "anvil", anvil_command(npm.program("anvil"), port := free_ports(1)[0]), port, npm, (transfers, jobs, outstanding)
    )


async def ganache(npm: Npm, transfers: int, jobs: int, outstanding: int) -> Evm:
    """Raises `Unavailable`."""
    command = ganache_command(npm.program("ganache"), port := free_ports(1)[0])
    return await _evm("ganache", command, port, npm, (transfers, jobs, outstanding))


async def _evm(name: str, command: list[str], port: int, npm: Npm, size: tuple[int, int, int]) -> Evm:
    transfers, jobs, outstanding = size
    with Processes(name) as group:
        group.start(command, env=os.environ | {"HOME": str(group.folder)})
        await asyncio.to_thread(group.wait_for_port, port)
        async with Link(f"http://127.0.0.1:{port}") as link:
            node = _Node(name, link, npm)
            await node.fund("anvil_setBalance" if name == "anvil" else "evm_setAccountBalance")
            sent = node.sign([(i % ACCOUNTS, node.addresses[(i + 1) % ACCOUNTS], 1, "") for i in range(transfers)])
            rate = await node.offer(sent, outstanding)
            board = await node.deploy(npm.contract["code"])
            posts, claims = job_calls(npm.contract["selectors"], board, node.addresses, jobs // 2)
            posted = await node.offer(node.sign(posts), outstanding)
            claimed = await node.offer(node.sign(claims), outstanding)
            done = [await node.number(board, npm.contract["selectors"][what]) for what in ("posted()", "claimed()")]
        if done != [jobs // 2, jobs // 2]:
            raise Unavailable(f"{name} has {done} of {jobs // 2} postings and claims each: its figures mean nothing")
    return Evm(rate, posted, claimed, 2 / (1 / posted.per_s + 1 / claimed.per_s))


def job_calls(selectors: dict[str, str], board: str, addresses: list[str], jobs: int) -> tuple[list[Call], list[Call]]:
    """Postings, and for each of them a claim by the next account."""
    post = next(code for name, code in selectors.items() if name.startswith("post("))
    claim = next(code for name, code in selectors.items() if name.startswith("claim("))
    posts = [(i % ACCOUNTS, board, BOUNTY, post + posting(i)) for i in range(jobs)]
    claims = []
    for i in range(jobs):
        job = int(addresses[i % ACCOUNTS], 16) << 64 | i
        claims.append(((i + 1) % ACCOUNTS, board, BOUNTY // 10, claim + _words(job, 500_000_000) + "ab" * 32))
    return posts, claims


def posting(number: int) -> str:
    """The arguments of `post`: terms as long as the ledger's own postings have them here."""
    params = b'{"epochs":3}'
    limits = (1_000, 256, 60, 30, 10**6, 64, 1)
    terms = _words(0, 0, EXPIRY, 50_000_000, 0, 3, 1, 0, 1, 0, 1_000) + "cd" * 64 + _words(*limits, 21 * 32)
    return _words(number, 64) + terms + _words(len(params)) + params.ljust(32, b"\0").hex()


def _words(*values: int) -> str:
    return "".join((value % _WORD).to_bytes(32, "big").hex() for value in values)


class _Node:
    """Speaks JSON-RPC with one node and knows what its accounts have sent."""

    def __init__(self, name: str, link: Link, npm: Npm) -> None:
        self._name, self._link, self._npm = name, link, npm
        self._nonces = [0] * ACCOUNTS
        self.addresses: list[str] = self._signer([])["addresses"]

    def _signer(self, calls: list[Call]) -> Any:
        wish = {"chain": CHAIN, "secrets": _SECRETS, "nonces": self._nonces, "calls": calls}
        command = [sys.executable, "-m", "benchmarks.peers.evm_sign"]
        done = subprocess.run(command, input=json.dumps(wish).encode(), capture_output=True, env=self._npm.python_env, check=False)
        if done.returncode:
            raise Unavailable(f"{self._name}: transactions could not be signed: {done.stderr.decode()[-300:]}")
        return json.loads(done.stdout)

    def sign(self, calls: list[Call]) -> list[str]:
        signed = self._signer(calls)["signed"]
        for account, *_ in calls:
            self._nonces[account] += 1
        return [str(one) for one in signed]

    async def ask(self, method: str, *params: Any) -> Any:
        return (await self._send([(method, list(params))]))[0]

    async def _send(self, requests: list[tuple[str, list[Any]]]) -> list[Any]:
        body = [{"jsonrpc": "2.0", "id": i, "method": method, "params": params} for i, (method, params) in enumerate(requests)]
        status, raw = await self._link.post("/", json.dumps(body).encode())
        answers = json.loads(raw)
        if status != 200 or not isinstance(answers, list):
            raise Unavailable(f"{self._name} answered {status}: {raw[:300]!r}")
        for answer in answers:
            if "error" in answer:
                raise Unavailable(f"{self._name} refused {requests[answer.get('id') or 0][0]}: {str(answer['error'])[:300]}")
        return [answer["result"] for answer in sorted(answers, key=lambda answer: int(answer["id"]))]

    async def fund(self, method: str) -> None:
        for one in self.addresses:
            await self.ask(method, "0x" + one, _FUNDS)

    async def deploy(self, code: str) -> str:
        tx = await self.ask("eth_sendRawTransaction", "0x" + self.sign([(0, "", 0, code)])[0])
        ends = time.monotonic() + LIMIT_S
        while time.monotonic() < ends:
            receipt = await self.ask("eth_getTransactionReceipt", tx)
            if receipt is not None and receipt["status"] == "0x1":
                return str(receipt["contractAddress"])[2:]
            await asyncio.sleep(0.1)
        raise Unavailable(f"{self._name} did not deploy the contract")

    async def number(self, board: str, selector: str) -> int:
        return int(await self.ask("eth_call", {"to": "0x" + board, "data": "0x" + selector}, "latest"), 16)

    async def _mined(self) -> int:
        """Transactions of our accounts that stand in blocks."""
        asked = [("eth_getTransactionCount", ["0x" + one, "latest"]) for one in self.addresses]
        return sum(int(answer, 16) for answer in await self._send(asked))

    async def offer(self, signed: list[str], outstanding: int) -> Rate:
        """Counts what is mined; what a node refuses to take raises `Unavailable`."""
        before = await self._mined()
        batches = [
            [("eth_sendRawTransaction", ["0x" + one]) for one in signed[i : i + BATCH]] for i in range(0, len(signed), BATCH)
        ]
        progress, sent = Progress(), 0
        async with asyncio.timeout(LIMIT_S):
            while progress.done < len(signed):
                if batches and sent - progress.done + len(batches[0]) <= outstanding:
                    batch = batches.pop(0)
                    await self._send(batch)
                    sent += len(batch)
                else:
                    await asyncio.sleep(POLL_S)
                if (mined := await self._mined() - before) > progress.done:
                    progress.add(mined - progress.done)
        return progress.rate()
