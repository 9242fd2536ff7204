"""A validator whose key lies with a signer: kill -9 of either at any time, a second node, no two signatures for one place."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.client import config
from learningchain.client.contracts.membership.http.token import parse_token
from tests.processes.harness import (
    PASSPHRASE,
    ROOT,
    Graph,
    NodeProcess,
    _die_with_parent,
    command,
    credits,
    eventually,
    free_port,
    validators,
)
from tests.processes.journal import contradictions

_JOURNAL = [sys.executable, "-m", "tests.processes.broken_node", "journal"]
KILLS = 5
"""Of the signer, while the graph decides: each at another moment of a round."""


class SignerProcess:
    """The signer's data folder and the process that runs on it; every signature is written down over all its lives."""

    def __init__(self, data: Path) -> None:
        self.data, self.journal, self.log = data, data.with_suffix(".signed"), data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.processes.broken_node",
                    "journal",
                    str(self.journal),
                    "signer",
                    "run",
                    "--data",
                    str(self.data),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=kept | {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE},
                preexec_fn=_die_with_parent,
            )

    async def ready(self) -> None:
        """A node's first start needs it."""

        async def said() -> bool:
            return "signer started" in self.log.read_text()

        await eventually("the signer listens", said)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        if self._process is None:
            raise RuntimeError("the signer was not started")
        self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, 30)


async def _move_key(graph: Graph, node: NodeProcess, place: str) -> SignerProcess:
    """As an operator does it: the keystore goes to the signer's folder, the pairing comes back."""
    found = SignerProcess(graph.folder / "signer")
    found.data.mkdir(mode=0o700)
    shutil.move(node.data / "keystore.json", found.data / "keystore.json")
    shutil.copy(node.data / "genesis.json", found.data / "genesis.json")
    pair = graph.folder / "node.pair"
    holder = NodeProcess("signer", found.data, node.identity)
    code, _, err = await command(holder, "signer", "pair", str(pair), "--listen", place, "--never-signed")
    assert code == 0, err
    code, _, err = await command(node, "signer", "use", str(pair))
    assert code == 0, err
    return found


async def _signs(witness: NodeProcess, who: NodeProcess) -> bool:
    return await witness.height() > 0 and who.address in (await witness.certificate())["signers"]


async def _says(node: NodeProcess, text: str) -> bool:
    found: Any = (await node.api.status()).get("failing", [])
    return any(one["part"] == "signer" and text in one["why"] for one in found)


async def _well(node: NodeProcess) -> bool:
    return not any(one["part"] == "signer" for one in (await node.api.status()).get("failing", []))


@pytest.mark.full("in the unit tests a signer goes away, comes back, and is asked by a second node")
async def test_node_and_signer_are_killed_and_a_second_node_comes(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(4)) as graph:
        node, witness = graph["v3"], graph["v0"]
        signer = await _move_key(graph, node, f"tcp:127.0.0.1:{free_port()}")
        signer.start()
        await signer.ready()
        await graph.start()
        await eventually("it signs by its signer", lambda: _signs(witness, node))
        assert (await node.api.transfer(witness.address, "1", wait=60))["code"] == 0
        assert parse_token((await node.api.invite(wait=60))["token"]).inviter == node.id

        for number in range(KILLS):
            await asyncio.sleep(0.03 * number)  # at another moment of a round each time
            await signer.end()
            await eventually("the node says so", lambda: _says(node, "signs nothing until it is back"))
            await node.grows(2)  # as an observer
            signer.start()
            await eventually("it signs again", lambda: _signs(witness, node))
        assert node.says("the signer is out of reach")

        await node.kill()
        second = _copy(graph, node)
        await second.start()
        await eventually("the copy is served", lambda: _well(second))
        await node.start()
        await eventually("the second node gets nothing", lambda: _says(node, "another node is being served"))
        await second.kill()
        await eventually("the first has its signer back", lambda: _well(node))
        await eventually("it signs again", lambda: _signs(witness, node))

        await node.kill()
        await signer.end(signal.SIGTERM)
        await node.start()
        assert await _says(node, "no signer at")
        await node.grows(2)
        signer.start()
        await eventually("it signs once its signer is there", lambda: _signs(witness, node))

        assert contradictions(signer.journal) == []
        for each in (one for one in graph if one.running):
            assert node.address in (await each.api.status())["validators"], "it kept its seat"
            assert not each.says("signed twice")
        await graph.agree()
        await graph.no_fork()
        assert await graph.conserved() == credits(4000)
        await signer.end()


def _copy(graph: Graph, node: NodeProcess) -> NodeProcess:
    """A folder that was put back on another machine while the first is thought lost."""
    made = NodeProcess("copy", graph.folder / "copy", node.identity)
    shutil.copytree(node.data, made.data)
    (made.data / "lock").unlink(missing_ok=True)
    config.change(made.data, {"network.listen": f"127.0.0.1:{free_port()}", "api.listen": f"127.0.0.1:{free_port()}"})
    graph.nodes["copy"] = made
    return made


async def test_a_folder_with_two_keys_and_a_first_start_without_a_signer_are_refused(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(1)) as graph:
        node = graph["v0"]
        shutil.copy(node.data / "keystore.json", tmp_path / "kept.json")
        signer = await _move_key(graph, node, f"unix:{tmp_path}/s")
        code, said = await node.refuses()
        assert code == 1 and "first start of a node needs its signer" in said
        shutil.copy(tmp_path / "kept.json", node.data / "keystore.json")
        code, said = await node.refuses()
        assert code == 1 and "signs in two places" in said
        (node.data / "keystore.json").unlink()
        signer.start()
        await signer.ready()
        await node.start()
        await node.grows(3)
        await signer.end()
        await eventually("alone it cannot go on without its signer", lambda: _says(node, "no signer at"))
        signer.start()
        await node.grows(3)
        assert contradictions(signer.journal) == []
        await signer.end()
