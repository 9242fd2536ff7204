"""A federation on real nodes as people use it: opened, asked for, admitted, seen alike everywhere, left and closed; credits stay.

Nothing is trained here: what joins, governs and tells does not need a container.
"""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation import ServeFederation
from learningchain.chain.contracts.membership import SetBoxKey
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.sdk.types import NotFoundError, RejectedError, UsageError
from tests.processes.harness import Graph, NodeProcess, Role, command, eventually, micro
from tests.processes.scripted import JUDGE, declare

ROLES = [Role("sponsor", validator=True), Role("owner"), Role("stranger")]
IMAGE = "registry.example/train@sha256:" + "ab" * 32
DIGEST, OTHER = "ab" * 32, "cd" * 32
DIMS = 2_000
pytestmark = pytest.mark.timeout(300)


def initial(path: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [DIMS], "data_offsets": [0, 4 * DIMS]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * DIMS))
    return path


async def typed(node: NodeProcess, *words: str | Path) -> Any:
    """What a command that has to succeed prints as JSON."""
    code, out, err = await command(node, "fed", *map(str, words), "--json")
    assert code == 0, err
    return json.loads(out)


async def refused(node: NodeProcess, *words: str | Path) -> tuple[int, dict[str, Any]]:
    code, out, err = await command(node, "fed", *map(str, words), "--json")
    assert code and not out
    return code, dict(json.loads(err)["error"])


async def test_a_federation_is_opened_joined_seen_left_and_closed(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    model = initial(tmp_path / "init.safetensors")
    async with Graph(tmp_path / "graph", ROLES, people=[JUDGE]) as graph:
        await graph.start()
        sponsor, owner, stranger = (graph[role.name] for role in ROLES)
        before = await graph.balances(sponsor)
        terms = (
            "--image",
            IMAGE,
            "--model",
            model,
            "--bounty",
            "100",
            "--target",
            "0.25",
            "--rounds",
            "5",
            "--ends",
            "1d",
            "--manual",
        )

        code, out, _ = await command(sponsor, "fed", "open", *map(str, terms), "--dry-run", "--json")
        quote = json.loads(out)
        assert (code, quote["panel"], quote["aggregators"], quote["refusal"]["name"]) == (1, 0, 0, "FEW_VERIFIERS")

        # What the rules refuse, or one alone could serve, locks nothing.
        code, error = await refused(sponsor, "open", *terms, "--force")
        assert (code, error["code"], error["name"]) == (1, 538, "FEW_VERIFIERS")
        await declare(sponsor, [JUDGE])
        await JUDGE.send(sponsor, SetBoxKey(bytes(range(32))))
        await JUDGE.send(sponsor, ServeFederation(True))
        code, error = await refused(sponsor, "open", *terms)
        assert (code, "learningchain fed serve on" in error["message"]) == (2, True)
        code, error = await refused(sponsor, "open", *terms, "--split", "aligned", "--force")
        assert (code, error["code"], error["name"]) == (1, 501, "BAD_TERMS")
        assert await sponsor.api.federations() == []

        opened = await typed(sponsor, "open", *terms, "--force")
        federation = opened["federation"]
        await eventually("the owner's node knows it", lambda: _there(owner, federation))
        meaning = await owner.api.joining(federation)
        assert (meaning["bytes_each_round"], meaning["readable_from"], meaning["refusal"]) == (4 * DIMS + 500, 3, None)
        assert (meaning["aggregators"], [one["account"] for one in meaning["verifiers"]]) == (1, [JUDGE.address])
        assert (await sponsor.api.joining(federation))["refusal"]["name"] == "OWN_FEDERATION"  # type: ignore[index]

        # Asked for, admitted: everybody sees the same, and of the data a digest that is this federation's alone.
        joined = await owner.api.join_federation(federation, digest=DIGEST, wait=30)
        assert joined["published"] == published_digest(bytes.fromhex(federation), bytes.fromhex(DIGEST)).hex() != DIGEST
        with pytest.raises(RejectedError) as twice:
            await owner.api.join_federation(federation, digest=OTHER)
        assert (twice.value.code, twice.value.name) == (506, "ALREADY_MEMBER")
        code, error = await refused(stranger, "admit", federation, owner.address)
        assert (code, error["code"], error["name"]) == (1, 504, "NOT_SPONSOR")
        await typed(sponsor, "admit", federation[:16], owner.address)
        await graph.agree()
        views = [await node.api.federation(federation) for node in graph]
        members = [await node.api.federation_members(federation) for node in graph]
        assert views[0] == views[1] == views[2] and members[0] == members[1] == members[2]
        assert [(one["account"], one["state"], one["digest"]) for one in members[0]] == [
            (owner.address, "ACTIVE", joined["published"])
        ]
        assert (await typed(owner, "list", "--joined"))[0]["id"] == federation
        assert await typed(stranger, "list", "--joined") == []

        # Bad input: each with its code, by the command and over HTTP.
        code, error = await refused(sponsor, "start", federation)
        assert (code, error["code"], error["name"]) == (1, 515, "NO_PANEL")
        code, error = await refused(stranger, "leave", federation)
        assert (code, error["code"], error["name"]) == (1, 507, "NOT_A_MEMBER")
        code, error = await refused(owner, "deploy", federation, "--name", "x", "--kind", "number")
        assert (code, error["name"]) == (2, "NOT_ENDED")
        with pytest.raises(RejectedError) as early:
            await sponsor.api.start_round(federation, round=3)
        assert (early.value.code, early.value.name) == (513, "WRONG_ROUND")
        with pytest.raises(NotFoundError):
            await owner.api.join_federation("ef" * 32, digest=DIGEST)
        with pytest.raises(UsageError):
            await owner.api.join_federation(federation, digest="no digest")

        # The watch follows to the end.
        watching = asyncio.create_task(command(owner, "fed", "watch", federation, "--json"))
        await owner.api.change_data(federation, digest=OTHER, wait=30)
        with pytest.raises(RejectedError) as again:
            await owner.api.change_data(federation, digest=DIGEST)
        assert (again.value.code, again.value.name) == (533, "TOO_OFTEN")
        await typed(owner, "leave", "latest")
        await typed(sponsor, "close", "latest")
        code, out, err = await watching
        assert code == 0, err
        topics = [json.loads(line)["topic"] for line in out.splitlines()]
        assert [topic for topic in topics if topic != "fed.idle"] == [
            *("fed.opened", "fed.asked", "fed.joined", "fed.data", "fed.left", "fed.ended")
        ]
        shown = await typed(stranger, "show", federation)
        assert (shown["state"], shown["end"], shown["bounty_left"]) == ("END", "CLOSED", "0")
        await graph.agree()
        history = await sponsor.api.history(limit=50)
        assert micro(quote["price"]) > 0
        expected = before | {sponsor.address: before[sponsor.address] - micro(quote["price"])}
        assert await graph.balances(stranger) == expected, "all but the price of what is kept came back; joining cost nothing"
        await graph.conserved()
        assert {"fed.bounty.locked", "fed.bounty.back", "fed.fees.locked", "fed.fees.back"} <= {row["reason"] for row in history}
        assert (
            sum(micro((row["amount"] or "0").lstrip("+-")) for row in history if row["reason"] == "fed.bounty.back") == 100 * 10**6
        )


async def _there(node: NodeProcess, federation: str) -> bool:
    try:
        return (await node.api.federation(federation))["state"] == "IDLE"
    except NotFoundError:
        return False
