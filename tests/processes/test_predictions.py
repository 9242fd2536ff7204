"""Predictions on real nodes and in real containers: three servers answer and are paid to the last micro-credit; liars, silence,
kill -9 and requesters that vanish change what is paid, and never the agreed value."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from learningchain.chain.contracts.membership import SetBoxKey
from learningchain.chain.contracts.prediction.messages import CommitAnswer, OpenAnswer, ServeModel, answer_commitment
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.client.sdk.types import Json
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, eventually, micro, with_params

PROGRAM = Path(__file__).with_name("asked_model.py")
SERVES = {"work.verify": True, "serve.mem_mb": 512, "serve.warm": 1}
SERVERS = ("v1", "v2", "v3")
ROLES = [Role("v0", validator=True), *(Role(name, validator=True, verifier=True, settings=SERVES) for name in SERVERS)]
PARAMS = with_params(pred_a0=20_000, pred_open=20_000, pred_appeal=3_000)
SLOW_S = 120.0
"""Everything with containers: the engine, too, is shared."""
FACTOR, TIP = 3, 600_000
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    room = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"predict-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    path = tmp_path_factory.mktemp("image") / "asked.tar"
    return path, build_python_image(path, {"/lc/job": PROGRAM.read_bytes()}, with_packages=())


async def register(owner: NodeProcess, archive: tuple[Path, str], folder: Path, **changes: Any) -> str:
    """The model as its owner offers it; its id."""
    path, image_id = archive
    weights = folder / "weights"
    weights.write_text(str(FACTOR))
    image, model = await owner.api.upload(path), await owner.api.upload(weights)
    for name in ("sample", "sample_answers"):
        if isinstance(changes.get(name), bytes):
            (folder / name).write_bytes(changes[name])
            changes[name] = (await owner.api.upload(folder / name))["cid"]
    terms: Json = {
        "name": "sums",
        "kind": "number",
        "price": "0.001",
        "floor": "0.0001",
        "image": {"cid": image["cid"], "image_id": image_id, "size": image["size"]},
        "model": model,
        "limits": {"cpus": 0.5, "mem_mb": 64, "tmp_mb": 8},
        "start_s": 20,
        "row_ms": 500,
    }
    return (await owner.api.register_model(terms | changes, wait=30))["model"]


async def serve(graph: Graph, model: str, *names: str, untried: bool = True) -> None:
    """These serve the model, which its owner's node has. Each has a box key by itself soon after its start."""
    height = await graph["v0"].height()
    for name in names:
        await graph[name].reaches(height)
        await graph[name].has_box_key(SLOW_S)
        done = await graph[name].api.serve(model, untried=untried, wait=30)
        assert done["tried"] is not untried


async def _capacity(asked: NodeProcess, node: NodeProcess) -> object:
    return (await asked.api.account(node.address))["capacity"]


async def test_three_servers_answer_and_are_paid_exactly(tmp_path: Path, archive: tuple[Path, str]) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner = graph["v0"]
        await graph.start()
        check = FACTOR * 3 * (1 + (1 + 1 % 997) / 10**5)
        sample = {"sample": b"[1, 2]\n", "sample_answers": f"{FACTOR * 3:.9f}\ncheck {check:.9f}\n".encode()}
        model = await register(owner, archive, tmp_path, **sample)
        await serve(graph, model, "v1", untried=False)
        await serve(graph, model, *SERVERS[1:])
        wrong = {**sample, "sample_answers": b"8.5\ncheck 9\n", "name": "wrong"}
        refused = await register(owner, archive, tmp_path, **wrong)
        await graph["v1"].reaches(await owner.height())
        code, _, err = await command(graph["v1"], "model", "serve", refused, "--json")
        assert code == 2 and "TRIAL_FAILED" in err and "this machine's answers to the sample and the owner's differ" in err, err
        noise = await register(owner, archive, tmp_path, name="noise", params={"says": "nan\ncheck nan\n"})
        await serve(graph, noise, "v1")
        code, out, err = await command(owner, "predict", "noise", "[1, 2]", "--n", "1", "--json")
        assert code == 4 and json.loads(out)["outcome"] == "MODEL_FAULT", err
        before = await graph.balances(owner)
        code, out, err = await command(owner, "predict", "sums", "[1, 2]", "[0.5]", "--n", "3", "--tip", "0.6", "--final", "--json")
        assert code == 0, err
        found = json.loads(out)
        assert [value["score"] for value in found["values"]] == ["9.000000000", "1.500000000"]
        assert (found["state"], found["outcome"], found["agree"], found["votes"]) == ("FINAL", "AGREED", 3, {"OK": 3})
        burned = -(-(TIP + 2_000) // 20)
        subsidy = min(20_000, burned // 6)
        after = await graph.balances(owner)
        for name in SERVERS:
            assert after[graph[name].address] - before[graph[name].address] == TIP // 3 + subsidy
        assert before[owner.address] - after[owner.address] == TIP + burned, "the royalty went from one hand to the other"
        assert micro(found["cost"]) == TIP + 2_000 + burned
        supply = await owner.api.supply()
        assert micro(supply["minted"]) - micro(supply["supply"]) == micro(supply["burned"])


# --- longer ones: who lies, is silent, dies or goes away ------------------------------------------------------------------------

full = pytest.mark.full


class Puppet:
    """A server without a container, whose answers a test says. Its account is `person`'s."""

    def __init__(self, graph: Graph, person: Person) -> None:
        self.graph, self.person = graph, person

    async def serve(self, node: NodeProcess, model: str) -> None:
        key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        await self.person.send(node, SetBoxKey(key))
        await self.person.send(node, ServeModel(bytes.fromhex(model), 2_000_000))

    async def commit(self, node: NodeProcess, request: str, answer: Answer) -> None:
        sealed = answer_commitment(self.graph.genesis.chain_id, bytes.fromhex(request), 1, self.person.id, answer, bytes(32))
        await self.person.send(node, CommitAnswer(bytes.fromhex(request), 1, sealed))

    async def open(self, node: NodeProcess, request: str, answer: Answer) -> None:
        await self.person.send(node, OpenAnswer(bytes.fromhex(request), 1, answer, bytes(32)))


async def in_state(node: NodeProcess, request: str, *states: str, within: float = SLOW_S) -> Json:
    async def there() -> Json | None:
        view = await node.api.prediction(request)
        return dict(view) if view["state"] in states else None

    return await eventually(f"request {request[:8]} is {' or '.join(states)}", there, within)


@full("the test above asks real servers; who lies or is silent, test_prediction_requests has by the rules")
async def test_one_liar_and_one_silent_of_five_earn_nothing_and_change_nothing(tmp_path: Path, archive: tuple[Path, str]) -> None:
    liar, mute = Person("liar", "10", verifier=True), Person("mute", "10", verifier=True)
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, people=[liar, mute], params=with_params(pred_a0=20_000, pred_open=30_000)) as graph:
        owner = graph["v0"]
        await graph.start()
        model = await register(owner, archive, tmp_path, start_s=5)
        await serve(graph, model, *SERVERS)
        (tmp_path / "rows").write_text("[1, 2]\n[0.5]\n")
        code, out, err = await command(graph["v1"], "model", "try", model, str(tmp_path / "rows"), "--json")
        assert code == 0, err
        assert [run["scores"] for run in json.loads(out)["runs"]] == [["9.000000000", "1.500000000"]] * 2
        lies, sleeps = Puppet(graph, liar), Puppet(graph, mute)
        await lies.serve(owner, model)
        await sleeps.serve(owner, model)
        before = await graph.balances(owner)
        posted = await owner.api.request_prediction({"model": model, "input": "[1, 2]\n", "n": 5, "tip": "0.5"}, wait=30)
        request = posted["request"]
        await in_state(owner, request, "ANSWER")
        wrong = Answer(AnswerCode.OK, [], [5 * 10**9], 5 * 10**9)
        await lies.commit(owner, request, wrong)
        await in_state(owner, request, "OPEN")
        await lies.open(owner, request, wrong)
        found = await in_state(owner, request, "AGREED", "WEAK", "FAILED")
        assert (found["state"], found["agree"], found["values"][0]["score"]) == ("AGREED", 3, "9.000000000")
        after = await graph.balances(owner)
        assert [after[one.address] - before[one.address] for one in (liar, mute)] == [0, 0]
        stakes = {one["server"]: micro(one["stake"]) for one in (await owner.api.model(model))["members"]}
        fine = 10 * 100
        assert stakes[mute.address] == 2_000_000 - fine, "who is silent pays"
        assert stakes[liar.address] == 2_000_000, "three of five are no quorum that knows better"
        for name in SERVERS:
            assert after[graph[name].address] > before[graph[name].address]


@full("test_work_prediction_server restarts the machine between commitment and opening; the test above has real containers")
async def test_a_server_that_is_killed_between_commitment_and_opening_opens_after_its_restart(
    tmp_path: Path, archive: tuple[Path, str]
) -> None:
    (tmp_path / "graph").mkdir()
    slow = Person("slow", "10", verifier=True)
    params = with_params(pred_a0=60_000, pred_open=60_000, pred_appeal=2_000)
    async with Graph(tmp_path / "graph", ROLES, people=[slow], params=params) as graph:
        owner, victim = graph["v0"], graph["v1"]
        await graph.start()
        model = await register(owner, archive, tmp_path)
        await serve(graph, model, "v1", "v2")
        puppet = Puppet(graph, slow)
        await puppet.serve(owner, model)
        posted = await owner.api.request_prediction({"model": model, "input": "[1, 2]\n", "n": 3, "tip": "0.5"}, wait=30)
        request = posted["request"]

        async def both_committed() -> bool:
            seats = (await owner.api.prediction(request))["seats"]
            return sum(seat["committed"] for seat in seats) == 2

        await eventually("both nodes have committed", both_committed, SLOW_S)
        await victim.kill()
        right = Answer(AnswerCode.OK, [], [9 * 10**9], 9 * 10**9)
        await puppet.commit(owner, request, right)
        await in_state(owner, request, "OPEN")
        await victim.start()
        found = await in_state(owner, request, "AGREED", "WEAK", "FINAL", "FAILED")
        codes = {seat["server"]: seat["code"] for seat in found["seats"]}
        assert codes[victim.address] == "OK" and found["values"][0]["score"] == "9.000000000"
        assert found["votes"]["OK"] == 2, "the third sealed something and never opened it"


@full("the rules ask nothing more of a requester; the test above has real containers")
async def test_a_requester_that_vanishes_has_paid_all_the_same(tmp_path: Path, archive: tuple[Path, str]) -> None:
    roles = [*ROLES, Role("asker")]
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", roles, params=PARAMS) as graph:
        owner, asker = graph["v0"], graph["asker"]
        await graph.start()
        model = await register(owner, archive, tmp_path)
        await serve(graph, model, *SERVERS)
        rows = "".join(f"[{row}, 0.5]\n" for row in range(250))
        asked = {"model": model, "input": rows, "n": 3, "tip": "0.5", "idempotency_key": "all of them"}
        posted = await asker.api.request_prediction(asked, wait=30)

        async def fetched() -> bool:
            view = await owner.api.prediction(posted["request"])
            return any(seat["committed"] for seat in view["seats"])

        await eventually("somebody has answered", fetched, SLOW_S)
        await asker.kill()
        found = await in_state(owner, posted["request"], "FINAL", "FAILED")
        assert (found["outcome"], found["valued"]) == ("AGREED", 250)
        assert found["values"][249]["score"] == "748.500000000"
        await asker.start()
        again = await asker.api.request_prediction(asked)
        assert again["request"] == posted["request"], "its caller died as well, and asks under the same key"
        assert [one["id"] for one in await owner.api.predictions(requester=asker.address)] == [posted["request"]]


@full("test_work_prediction_server appeals on a real ledger; the test above has real containers")
async def test_an_honest_server_that_was_outvoted_appeals_and_the_judges_overturn(
    tmp_path: Path, archive: tuple[Path, str]
) -> None:
    """Two liars of three win the first round; the third is a node, which was not paid, and asks the other verifiers by itself."""
    liars = [Person(name, "10", verifier=True) for name in ("liar-1", "liar-2")]
    roles = [*ROLES, *(Role(f"j{i}", verifier=True, settings=SERVES) for i in range(2))]
    params = with_params(pred_a0=60_000, pred_open=60_000, pred_appeal=60_000, pred_vote_base=60_000, pred_open_votes=30_000)
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", roles, people=liars, params=params) as graph:
        owner = graph["v0"]
        await graph.start()
        model = await register(owner, archive, tmp_path)
        await serve(graph, model, "v1")
        puppets = [Puppet(graph, liar) for liar in liars]
        for puppet in puppets:
            await puppet.serve(owner, model)
        for name in ("v2", "v3", "j0", "j1"):  # who declares a machine after the posting judges nothing of it
            await eventually(f"{name} can judge", lambda node=graph[name]: _capacity(owner, node), SLOW_S)  # type: ignore[misc]
        posted = await owner.api.request_prediction({"model": model, "input": "[1, 2]\n", "n": 3, "tip": "0.5"}, wait=30)
        request = posted["request"]
        await in_state(owner, request, "ANSWER")
        wrong = Answer(AnswerCode.OK, [], [5 * 10**9], 5 * 10**9)
        for puppet in puppets:
            await puppet.commit(owner, request, wrong)
        await in_state(owner, request, "OPEN")
        for puppet in puppets:
            await puppet.open(owner, request, wrong)
        found = await in_state(owner, request, "APPEAL", "KEYS", "ANSWER", "FINAL")
        assert found["values"][0]["score"] == "5.000000000" and found["appeal"]["appellant"] == graph["v1"].address
        found = await in_state(owner, request, "FINAL")
        assert found["appeal"]["verdict"] == "OVERTURNED"
        assert (found["values"][0]["score"], found["values"][0]["new_score"]) == ("5.000000000", "9.000000000")
