"""Validators whose blocks lie in a PostgreSQL server: killed, cut off from it, and with the server killed under them."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.network import NetworkParams
from tests.postgres import NoServer, Server
from tests.processes.harness import Graph, NodeProcess, Role, command, credits, eventually
from tests.processes.journal import contradictions, journalled

KEPT = 100
FAST = NetworkParams(heartbeat=100, evidence_age=KEPT, job_keep=1, appeal=1)
SECRET = "sesame-open"
LONG_S = 180.0
LOCK = "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = '{}'"


def secret_url(server: Server) -> str:
    return server.new_database().replace("postgres@", f"postgres:{SECRET}@")


def roles(*urls: str) -> list[Role]:
    pruned = {"storage.url": urls[1], "storage.keep_blocks": str(KEPT)}
    return [
        Role("v0", validator=True, settings={"storage.url": urls[0]}),
        Role("v1", validator=True, settings=pruned),
        *(Role(f"v{i}", validator=True) for i in (2, 3)),
        Role("second", settings={"storage.url": urls[0]}),
    ]


@pytest.mark.full("the store's own tests on a real server, with processes that are killed")
async def test_a_graph_whose_validators_keep_their_blocks_in_a_server(tmp_path: Path) -> None:
    try:
        server = Server().start()
    except NoServer as why:
        pytest.skip(f"no PostgreSQL: {why}")
    try:
        urls = [secret_url(server), secret_url(server)]
        async with Graph(tmp_path, roles(*urls), params=FAST) as graph:
            v0, v1 = graph["v0"], graph["v1"]
            journals = [journalled(node) for node in (v0, v1)]
            await graph.start("v0", "v1", "v2", "v3")
            await graph["v2"].api.transfer(v0.address, "3", wait=60)
            await _one_node_alone(graph)
            await _killed(graph, v0)
            await _cut_off(graph, v1, server, urls[1])
            await _the_server_crashes(graph, server)
            await _prunes(graph, v1)
            await _copied_to_a_file_and_back(graph, v1, server)
            await graph.agree()
            assert await graph.conserved() == credits(5000)
            assert all(contradictions(journal) == [] for journal in journals)
            await _no_password_anywhere(graph)
    finally:
        server.close()


@pytest.mark.full("the store's own tests on a real server; the server of a validator is stopped for half a minute")
async def test_a_validator_whose_server_hangs_waits_says_so_and_goes_on(tmp_path: Path) -> None:
    try:
        server = Server().start()
    except NoServer as why:
        pytest.skip(f"no PostgreSQL: {why}")
    try:
        url = secret_url(server)
        others = [Role(f"v{i}", validator=True) for i in (1, 2, 3)]
        async with Graph(tmp_path, [Role("v0", validator=True, settings={"storage.url": url}), *others], params=FAST) as graph:
            v0 = graph["v0"]
            journal = journalled(v0)
            await graph.start()
            await graph["v2"].grows(2, within=LONG_S)
            pid = v0.pid
            server.signal_all(signal.SIGSTOP)
            try:
                await graph["v2"].grows(3, within=LONG_S)

                async def said() -> bool:
                    return "the database server does not answer" in v0.log.read_text()

                await eventually("the log says what it waits for", said, LONG_S)
            finally:
                server.signal_all(signal.SIGCONT)
            await graph.agree(within=LONG_S)
            await graph["v2"].grows(2, within=LONG_S)

            async def again() -> bool:
                return "the database server answers again" in v0.log.read_text()

            await eventually("the log says that it goes on", again, LONG_S)

            async def well() -> bool:
                return not [one for one in (await v0.api.status()).get("failing", []) if one["part"] == "database"]

            await eventually("its status says nothing of it any more", well, LONG_S)
            assert v0.pid == pid and contradictions(journal) == [] and SECRET not in v0.log.read_text()
    finally:
        server.close()


async def _one_node_alone(graph: Graph) -> None:
    code, said = await graph["second"].refuses(within=LONG_S)
    assert code == 1 and "another node holds it" in said


async def _killed(graph: Graph, node: NodeProcess) -> None:
    for _ in range(2):
        await graph["v2"].grows(2, within=LONG_S)
        await node.kill()
        await node.start(within=LONG_S)
    await graph.agree(within=LONG_S)


async def _cut_off(graph: Graph, node: NodeProcess, server: Server, url: str) -> None:
    """The lock is gone: the node ends by itself, the others go on, and its next life has everything."""
    database = url.split("@/")[1].split("?")[0]
    ((pid,),) = server.run(LOCK.format(database))
    server.run(f"SELECT pg_terminate_backend({pid})")
    assert await node.ended(LONG_S) == 75
    assert "no longer held" in node.tail()
    await graph["v2"].grows(2, within=LONG_S)
    await node.start(within=LONG_S)
    await graph.agree(within=LONG_S)


async def _the_server_crashes(graph: Graph, server: Server) -> None:
    """Two of four validators stop with it: nothing is decided until they are back, and nothing is lost."""
    server.stop(signal.SIGQUIT)
    assert await asyncio.gather(*(graph[name].ended(LONG_S) for name in ("v0", "v1"))) == [75, 75]
    server.start()
    await asyncio.gather(*(graph[name].start(within=LONG_S) for name in ("v0", "v1")))
    await graph.agree(within=LONG_S)
    await graph["v2"].grows(2, within=LONG_S)


async def _prunes(graph: Graph, node: NodeProcess) -> None:
    await node.reaches(KEPT + 20, within=LONG_S)

    async def dropped() -> bool:
        return (await node.api.status())["first_block"] > 5

    await eventually("old blocks are dropped", dropped, LONG_S)


async def _copied_to_a_file_and_back(graph: Graph, node: NodeProcess, server: Server) -> None:
    await node.stop()
    before = json.loads((await command(node, "db", "check", "--json"))[1])
    assert before["holds"] and before["first_block"] > 5 and SECRET not in str(before)
    code, _, err = await command(node, "db", "copy", str(node.data / "db"), "--use")
    assert code == 0, err
    on_file = json.loads((await command(node, "db", "check", "--json"))[1])
    same = ("height", "block", "state_root", "first_block")
    assert [on_file[name] for name in same] == [before[name] for name in same]
    await node.start(within=LONG_S)
    await graph.agree(within=LONG_S)
    await node.stop()
    refused = await command(node, "db", "copy", secret_url(server))
    assert refused[0] == 2 and SECRET not in refused[1] + refused[2]
    code, _, err = await command(node, "db", "copy", server.new_database(), "--use")
    assert code == 0, err
    await node.start(within=LONG_S)
    await graph.agree(within=LONG_S)


async def _no_password_anywhere(graph: Graph) -> None:
    v0 = graph["v0"]
    assert SECRET in (v0.data / "config.toml").read_text()
    lines = Path(f"/proc/{v0.pid}/cmdline").read_bytes()
    shown = [str(await v0.api.status()), (await command(v0, "config", "show", "--json"))[1], (await command(v0, "doctor"))[1]]
    assert "***" in shown[1]
    for text in (*shown, lines.decode(), *(node.log.read_text() for node in graph if node.log.exists())):
        assert SECRET not in text
