"""Bad input to a running node gets a clear answer, says what to do, and costs nothing: through the real API and command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import JobCode
from learningchain.chain.errors import Code, TxCode
from learningchain.client.sdk.http import local_url, read_token
from learningchain.client.sdk.types import InvalidError, Json, RejectedError
from tests.processes import scripted
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, credits
from tests.processes.scripted import announcement

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTRACTOR, ALICE, BOB, POOR = Person("contractor", "500"), Person("alice"), Person("bob"), Person("poor", "0")
CHEAT = Person("cheat", "20")
JURY = [Person(f"juror {i}", "1", verifier=True) for i in range(3)]
DIGEST = "registry.example/trainer@sha256:" + "ab" * 32


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClockedGraph]:
    people = [CONTRACTOR, ALICE, BOB, POOR, CHEAT, *JURY]
    folder = tmp_path_factory.mktemp("one")
    async with ClockedGraph(folder, [Role("v0", validator=True)], people=people) as made:
        await made.start()
        await scripted.declare(made["v0"], JURY)
        yield made


@pytest.fixture
def node(graph: Graph) -> NodeProcess:
    return graph["v0"]


async def ask(node: NodeProcess, path: str, body: Any) -> tuple[int, Json]:
    """POST without the SDK, which would not send such things: status and error."""
    url, token = local_url(_listen(node)), read_token(node.data / "api.token")
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.post(url + path, json=body, headers=headers, params={"wait": "20"}) as r:
        return r.status, dict((await r.json()).get("error") or {})


def _listen(node: NodeProcess) -> str:
    from learningchain.client import config

    return config.load(node.data, {}).config.api.listen


class Unharmed:
    """Around bad input: no balance changes, the supply adds up, and the node goes on."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.node = graph, graph["v0"]

    async def __aenter__(self) -> None:
        self.before = await self.graph.balances(self.node)

    async def __aexit__(self, *failure: object) -> None:
        if failure[0] is None:
            assert await self.graph.balances(self.node) == self.before
            await self.graph.conserved()
            await self.node.grows(1)
            assert self.node.running


JOB: Json = {"image": {"reference": DIGEST}, "bounty": "5", "expires_in_s": 60}


@pytest.mark.parametrize(
    ("change", "status", "name", "words"),
    [
        ({"image": {"reference": "registry.example/trainer:latest"}}, 400, None, ["image.reference", "digest", "@sha256:"]),
        ({"image": {"cid": "bafy"}}, 400, None, ["image", "image_id"]),
        ({"bounty": "1001"}, 409, "INSUFFICIENT_CREDITS", ["credits, 1000 are free", "smaller amount"]),
        ({"bounty": "0"}, 409, "LOW_BOUNTY", ["bounty", "at least", "job_min_bounty"]),
        ({"bounty": "1e3"}, 400, None, ["bounty", "decimal"]),
        ({"expires_in_s": None, "expiry": 1_000}, 409, "BAD_EXPIRY", ["is past", "chain clock", "expires_in_s"]),
        ({"expires_in_s": -5}, 400, None, ["expires_in_s"]),
        ({"limits": {"mem_mb": 1}}, 409, "IMPOSSIBLE_LIMIT", ["mem_mb", "6 to"]),
        ({"limits": {"cpus": 5_000}}, 409, "IMPOSSIBLE_LIMIT", ["cpus_milli"]),
        ({"limits": {"train_s": 0}}, 409, "IMPOSSIBLE_LIMIT", ["train_s"]),
        ({"bountty": "5"}, 400, None, ["bountty"]),
    ],
    ids=lambda v: str(v)[:40] if isinstance(v, dict) else "",
)
async def test_a_job_that_cannot_be(
    graph: Graph, node: NodeProcess, change: Json, status: int, name: str | None, words: list[str]
) -> None:
    body = {k: v for k, v in (JOB | change).items() if v is not None}
    async with Unharmed(graph):
        found, error = await ask(node, "/v1/jobs", body)
        assert found == status, error
        for word in words:
            assert word in error["message"]
        if name is not None:
            assert error["name"] == name
        assert not await node.api.jobs()


async def test_the_command_line_says_it_too(graph: Graph, node: NodeProcess) -> None:
    async with Unharmed(graph):
        code, out, err = await command(node, "job", "submit", "--image", "trainer:latest", "--bounty", "5", "--expires", "60s")
        assert (code, out) == (2, "")
        assert "not pinned" in err and "@sha256:" in err
        code, out, err = await command(node, "job", "submit", "--image", DIGEST, "--bounty", "5000", "--expires", "60s", "--json")
        error = msgspec.json.decode(err)["error"]
        assert (code, error["code"], error["name"]) == (1, Code.INSUFFICIENT_CREDITS, "INSUFFICIENT_CREDITS")
        code, out, err = await command(node, "transfer", node.address, "1")
        assert code == 1 and "same account" in err
        code, out, err = await command(node, "transfer", ALICE.address[:-1] + "x", "1")
        assert code == 2 and "lc1" in err


async def test_more_than_there_is_cannot_be_sent(graph: Graph, node: NodeProcess) -> None:
    async with Unharmed(graph):
        for who in (POOR, ALICE):
            await refused(who, node, Transfer(BOB.id, credits(101), b""), code=Code.INSUFFICIENT_CREDITS)


async def refused(who: Person, node: NodeProcess, op: Any, *, code: int) -> RejectedError:
    """The transaction stands in a block with this code and changed nothing; the answer says why and what to do."""
    with pytest.raises(RejectedError) as answer:
        await who.send(node, op)
    assert answer.value.code == code, answer.value.message
    assert "refused in block" in answer.value.message
    assert answer.value.message.count(". ") >= 1, "why, and what to do"
    return answer.value


async def test_claims_and_reveals_that_the_rules_refuse(graph: ClockedGraph, node: NodeProcess) -> None:
    chain_id = graph.genesis.chain_id
    job = await scripted.post(CONTRACTOR, node, open_ms=HOUR_MS)
    first = announcement(chain_id, job, ALICE, "0.5")
    early = announcement(chain_id, job, BOB, "0.6")
    await ALICE.send(node, first.claim)
    await BOB.send(node, early.claim)
    async with Unharmed(graph):
        await refused(ALICE, node, announcement(chain_id, job, ALICE, "0.5").claim, code=JobCode.NOT_BETTER)
        await refused(CONTRACTOR, node, announcement(chain_id, job, CONTRACTOR, "0.1").claim, code=JobCode.OWN_JOB)
        await refused(BOB, node, announcement(chain_id, job, BOB, "-1").claim, code=JobCode.BAD_LOSS)
        await refused(BOB, node, announcement(chain_id, "00" * 32, BOB, "0.1").claim, code=JobCode.NO_SUCH_JOB)
        await refused(BOB, node, early.opening, code=JobCode.WRONG_STATE)
    await graph.clock.advance(HOUR_MS)
    await node.job_in(job, "REVEAL")
    async with Unharmed(graph):
        await refused(BOB, node, announcement(chain_id, job, BOB, "0.1").claim, code=JobCode.TOO_LATE)
        await refused(ALICE, node, announcement(chain_id, job, ALICE, "0.5").opening, code=JobCode.REVEAL_MISMATCH)
        await refused(POOR, node, announcement(chain_id, job, POOR, "0.5").opening, code=JobCode.NO_CLAIM)
        large = msgspec.structs.replace(first.opening, size=scripted.LIMITS.model_cap + 1)
        await refused(ALICE, node, large, code=JobCode.BAD_MODEL)
    await ALICE.send(node, first.opening)
    await BOB.send(node, early.opening)
    await node.job_in(job, "COMMIT", "COUNT")


async def test_a_banned_member_is_not_heard(graph: ClockedGraph, node: NodeProcess) -> None:
    await scripted.ban(graph, node, CONTRACTOR, CHEAT, JURY)
    job = await scripted.post(CONTRACTOR, node, open_ms=HOUR_MS)
    async with Unharmed(graph):
        for op in (announcement(graph.genesis.chain_id, job, CHEAT, "0.2").claim, Transfer(BOB.id, 1, b"")):
            with pytest.raises(InvalidError, match="banned") as answer:
                await CHEAT.send(node, op)
            assert answer.value.code == TxCode.BANNED


async def test_bytes_that_are_no_transaction(graph: Graph, node: NodeProcess) -> None:
    stranger = Person("stranger")
    async with Unharmed(graph):
        for raw, word in (("zz", "hex"), ("00ff", "not a transaction")):
            status, error = await ask(node, "/v1/tx", {"raw": raw})
            assert status in (400, 422) and word in error["message"]
        with pytest.raises(Exception, match=r"no such account|no member|no account") as answer:
            await stranger.send(node, Transfer(BOB.id, 1, b""))
        assert getattr(answer.value, "kind", "") in ("not_found", "invalid")
