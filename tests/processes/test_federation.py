"""Federated training on real nodes with real containers: three hospitals that never see each other's rows train one model, are paid
by what the panel measures, and every node has the same books."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode, read
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import (
    AggregationRule,
    FederationTerms,
    JoinFederation,
    OpenFederation,
    PaySplit,
    Secrecy,
    federation_id_of,
)
from learningchain.chain.contracts.federation.records import (
    EndReason,
    FederationMember,
    FederationRecord,
    FederationServer,
    FederationState,
)
from learningchain.chain.host.terms import Arch, Image, ImageKind, Limits
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, cid_text, net_of, tx_id
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.http.views import own_view
from learningchain.client.contracts.federation.wishes import SponsorWish, TrainWish, Wish, of_wish
from learningchain.client.work.artifacts import cid_of_file
from learningchain.client.work.database import WorkDatabase
from learningchain.examples.breast_cancer.data import split_rows
from learningchain.sandbox import OwnData, Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, eventually, with_params

PROGRAM = Path(__file__).with_name("federated_job.py")
OWNERS = ("o1", "o2", "o3")
SERVES = {"work.verify": True, "federation.serve": True}
SMALL = [Role("v0", validator=True), *(Role(name, validator=True, verifier=True, settings=SERVES) for name in OWNERS)]
"""The owners add up and measure for each other, as nobody else is there."""
PARAMS = with_params(fed_base=60_000, fed_ready=30_000, fed_open=30_000, fed_least=1_000)
SLOW_S = 240.0
BOUNTY = 30_000_000
REMAINDER = len(OWNERS) - 1
"""Micro-credits that the first of a settlement may have beside its equal part (LC-FED-41)."""
pytestmark = pytest.mark.timeout(400)


def rows_of(raw: bytes) -> list[list[float]]:
    return [[float(cell) for cell in line.split(b",")] for line in raw.splitlines()[1:]]


def standard(rows: list[list[float]], by: list[list[float]]) -> list[bytes]:
    """Each feature in deviations from the mean of `by`, within six."""
    columns = list(zip(*by, strict=True))[:-1]
    means = [sum(column) / len(column) for column in columns]
    spreads = [
        max(1e-9, (sum((x - m) ** 2 for x in column) / len(column)) ** 0.5) for column, m in zip(columns, means, strict=True)
    ]
    return [
        ",".join(
            [*(f"{max(-6.0, min(6.0, (x - m) / s)):.4f}" for x, m, s in zip(row, means, spreads, strict=False)), f"{row[-1]:.0f}"]
        ).encode()
        for row in rows
    ]


def model_file(values: list[float]) -> bytes:
    size = 4 * len(values)
    head = json.dumps({"w": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, size]}}, separators=(",", ":")).encode()
    return len(head).to_bytes(8, "little") + head + array("f", values).tobytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[bytes]]:
    """The image's archive and id, and the training rows."""
    room = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"fed-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    training, tested = map(rows_of, split_rows())
    files = {"/lc/job": PROGRAM.read_bytes(), "/lc/eval.csv": b"\n".join(standard(tested, training))}
    path = tmp_path_factory.mktemp("image") / "federated.tar"
    return path, build_python_image(path, files, with_packages=()), standard(training, training)


class Federation:
    """One federation on a graph, whose id is known before its nodes start: what each is to do lies in its work database."""

    def __init__(self, graph: Graph, sponsor: str, owners: tuple[str, ...], terms: FederationTerms) -> None:
        self.graph, self.sponsor, self.owners, self.terms = graph, sponsor, owners, terms
        chain_id, key = graph.genesis.chain_id, graph[sponsor].identity.key
        op = [msgspec.Raw(encode(OpenFederation(terms)))]
        self.raw = sign_tx(key, chain_id, TxBody(net_of(chain_id), graph[sponsor].id, 0, 0, 10_000, op))
        self.id = federation_id_of(tx_id(self.raw), 0)

    def wish(self, name: str, wish: Wish) -> None:
        node = self.graph[name]
        database = WorkDatabase(node.data / "work" / "work.db", self.graph.genesis.chain_id, node.id)
        database.save(of_wish(wish, os.urandom(16)), 0)
        database.close()


async def add_data(node: NodeProcess, rows: list[bytes], folder: Path) -> OwnData:
    """The owner's rows under the name `rows`."""
    folder.mkdir()
    (folder / "rows.csv").write_bytes(b"\n".join(rows))
    code, out, err = await command(node, "data", "add", "rows", str(folder), "--json")
    assert code == 0, err
    found = json.loads(out)
    return OwnData(name=found["name"], digest=bytes.fromhex(found["digest"]), size=found["bytes"], files=found["files"])


def terms_of(made: tuple[Path, str, list[bytes]], initial: Path, dims: int, **changes: Any) -> FederationTerms:
    archive, image_id, _ = made
    image, size = cid_of_file(archive)
    model, model_size = cid_of_file(initial)
    terms = FederationTerms(
        image=Image(ImageKind.ARCHIVE, "", image.to_bytes(), bytes.fromhex(image_id.removeprefix("sha256:")), size),
        arch=Arch.AMD64,
        params="{}",
        limits=Limits(1_000, 128, 30, 20, model_size, 8, 1),
        model=model.to_bytes(),
        size=model_size,
        dims=dims,
        hidden=[],
        schema=b"",
        bounty=BOUNTY,
        fee=1_000,
        target=115_000_000,
        float_kind=2,
        tol=0,
        rounds=20,
        round_ms=60_000,
        pace_ms=600_000,
        ends=int(time.time() * 1_000) + 3_600_000,
        min_members=3,
        max_members=8,
        min_sum=3,
        vetted=True,
        secrecy=Secrecy.OPEN,
        rule=AggregationRule.MEAN,
        split=PaySplit.EQUAL,
        reference=False,
        clip=3 * 10**9,
        patience=3,
        admit_open=True,
        outside=False,
        dp_milli=0,
    )
    return msgspec.structs.replace(terms, **changes)


# --- what is so ------------------------------------------------------------------------------------------------------------------


async def record(node: NodeProcess, key: bytes, kind: Any) -> Any:
    """What a node's state holds under a key; None where there is nothing."""
    found = (await node.api.proof(key))["record"]
    return None if found is None else read(kind, bytes.fromhex(found))


async def standing(node: NodeProcess, federation: Federation) -> FederationRecord | None:
    found: FederationRecord | None = await record(node, records.federation_key(federation.id), FederationRecord)
    return found


async def ended(federation: Federation, *names: str) -> dict[str, FederationRecord]:
    """The same end on every node (on these)."""

    async def over(node: NodeProcess) -> FederationRecord | None:
        now = await standing(node, federation)
        return now if now is not None and now.state == FederationState.END else None

    nodes = [federation.graph[name] for name in names] or list(federation.graph)
    found = {node.name: await eventually(f"{node.name} sees the end", lambda n=node: over(n), SLOW_S) for node in nodes}  # type: ignore[misc]
    assert len({encode(one) for one in found.values()}) == 1
    return found


async def drawable(asked: NodeProcess, node: NodeProcess) -> bool:
    """It proved its sandbox and declared what its machine takes, and serves."""
    serves = await record(asked, records.serving_key(node.id), FederationServer)
    return serves is not None and bool((await asked.api.account(node.address))["capacity"])


async def begin(
    graph: Graph,
    made: tuple[Path, str, list[bytes]],
    folder: Path,
    owners: tuple[str, ...],
    values: list[float],
    shares: list[list[bytes]] | None = None,
    **terms: Any,
) -> Federation:
    """Data to the owners, wishes to all, nodes, and the federation on the ledger with its members."""
    archive, _, rows = made
    initial = folder / "initial.safetensors"
    initial.write_bytes(model_file(values))
    federation = Federation(graph, "v0", owners, terms_of(made, initial, len(values), **terms))
    federation.wish("v0", SponsorWish(federation.id, str(initial), b"", "", True))
    shares = shares or [rows[n :: len(owners)] for n in range(len(owners))]
    owned = [await add_data(graph[name], share, folder / f"data-{name}") for name, share in zip(owners, shares, strict=True)]
    for name in owners:
        federation.wish(name, TrainWish(federation.id, "rows", 2))
    await graph.start()
    sponsor = graph["v0"]
    await sponsor.reaches(1)
    await sponsor.api.upload(archive)
    for node in [one for one in graph if one.name != "v0"]:
        await eventually(f"{node.name} may be drawn", lambda n=node: drawable(sponsor, n), SLOW_S)  # type: ignore[misc]
    opened = await sponsor.api.submit_raw(federation.raw, wait=30)
    assert opened["code"] == 0, opened
    joins = [
        Person.behind(graph[name]).send(graph[name], JoinFederation(federation.id, published_digest(federation.id, own.digest), 0))
        for name, own in zip(owners, owned, strict=True)
    ]
    await asyncio.gather(*joins)
    return federation


async def test_three_owners_train_one_model_and_are_paid(tmp_path: Path, made: tuple[Path, str, list[bytes]]) -> None:
    """Updates that the aggregators see (`open`), for a small model: the target is reached, and every micro-credit is paid."""
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", SMALL, params=PARAMS) as graph:
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31)
        before = await graph.balances(graph["v0"])
        now = (await ended(federation))["v0"]
        assert EndReason(now.end) is EndReason.REACHED and now.best <= federation.terms.target < now.initial
        after = await graph.balances(graph["v0"])
        paid = {name: after[graph[name].address] - before[graph[name].address] for name in OWNERS}
        assert now.paid == BOUNTY and now.r >= 2, "one round is no training"
        # Who adds up and measures has fees besides: three of each for every attempt, and the panel's of the first measurement.
        shares = [
            (await record(graph["v0"], records.member_key(federation.id, graph[name].id), FederationMember)).paid for name in OWNERS
        ]
        assert sum(shares) == BOUNTY and max(shares) - min(shares) <= REMAINDER * now.r, "in equal parts, but for remainders"
        assert sum(paid.values()) == BOUNTY + federation.terms.fee * (3 * now.r + 3 * (now.r + 1))
        await graph.agree()
        await graph.conserved()
        for name in OWNERS:
            assert own_losses(graph[name], federation)[0] == pytest.approx(0.693, abs=0.001), "of the zero model, on own rows"


def books_of(node: NodeProcess, federation: Federation) -> dict[str, bytes]:
    """The books of a node's machines, as they are on its disk."""
    database = WorkDatabase(node.data / "work" / "work.db", federation.graph.genesis.chain_id, node.id)
    try:
        return database.books()
    finally:
        database.close()


def own_losses(node: NodeProcess, federation: Federation) -> list[float]:
    """What the model of each round lost on the node's own data, by its journal."""
    shown = own_view(Shelf(books_of(node, federation)), federation.id)
    return [float(one["loss"]["loss"]) for one in shown["attempts"] if one["loss"] is not None]


class Shelf:
    """Books to be read as those of a node."""

    def __init__(self, books: dict[str, bytes]) -> None:
        self.books = books


# --- longer ones -----------------------------------------------------------------------------------------------------------------


def network(hidden: int) -> list[float]:
    """A layer of so many units and one behind it: small weights, always the same."""
    rng = random.Random(7)
    return [rng.gauss(0, 0.15) for _ in range(hidden * 31)] + [rng.gauss(0, 0.15) for _ in range(hidden)] + [0.0]


def flipped(row: bytes) -> bytes:
    return row[:-1] + (b"0" if row.endswith(b"1") else b"1")


@pytest.mark.full("five nodes with containers, several rounds of a masked network: minutes")
@pytest.mark.timeout(900)
async def test_masked_updates_are_screened_and_a_poisoned_owner_is_refused_by_name(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    """A network of 1,025 values under `sum`: nobody sees an update, and the rows still tell whose labels are turned round."""
    (tmp_path / "graph").mkdir()
    four = (*OWNERS, "o4")
    roles = [*SMALL, Role("o4", validator=True, verifier=True, settings=SERVES)]
    rows = made[2]
    shares = [rows[n::4] for n in range(4)]
    shares[3] = [flipped(row) for row in shares[3]]
    async with Graph(tmp_path / "graph", roles, params=PARAMS) as graph:
        federation = await begin(
            graph,
            made,
            tmp_path,
            four,
            network(32),
            shares=shares,
            secrecy=Secrecy.SUM,
            params='{"hidden":32,"passes":3,"rate":0.03}',
            target=180_000_000,
            round_ms=120_000,
        )
        now = (await ended(federation))["v0"]
        assert EndReason(now.end) is EndReason.REACHED
        paid = [
            (await record(graph["v0"], records.member_key(federation.id, graph[name].id), FederationMember)).paid for name in four
        ]
        assert sum(paid) == BOUNTY and paid[3] == 0, "who poisons is not paid"
        shown = own_view(Shelf(books_of(graph["o4"], federation)), federation.id)
        assert {one["code"] for one in shown["attempts"] if one["sent"]} == {"WRONG"}
        for name in OWNERS:
            codes = [one["code"] for one in own_view(Shelf(books_of(graph[name], federation)), federation.id)["attempts"]]
            assert codes and set(codes) == {"USED"}
        await graph.agree()
        await graph.conserved()


@pytest.mark.full("nodes with containers that are killed and start again: minutes")
@pytest.mark.timeout(900)
async def test_a_member_an_aggregator_and_the_sponsor_are_killed_in_a_round_and_go_on(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    """Each by kill -9, in another state of a round; the target is reached, everything paid, no attempt void."""
    (tmp_path / "graph").mkdir()
    async with Graph(
        tmp_path / "graph", SMALL, params=with_params(fed_base=240_000, fed_ready=120_000, fed_open=240_000, fed_least=1_000)
    ) as graph:
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31, round_ms=600_000)

        async def reaches(*states: FederationState) -> FederationRecord | None:
            watched = next(node for node in graph if node.running)
            now = await standing(watched, federation)
            return now if now is not None and now.r >= 1 and now.state in states else None

        for name, *states in (
            ("o1", FederationState.TRAIN),
            ("o2", FederationState.HAVE, FederationState.ROWS, FederationState.SCREEN, FederationState.SUM),
            ("v0", FederationState.MEASURE, FederationState.OPEN),
        ):
            await eventually(f"a round is in {states[0].name}", lambda s=states: reaches(*s), SLOW_S)  # type: ignore[misc]
            await graph[name].kill()
            await graph[name].start()
        now = (await ended(federation))["v0"]
        assert EndReason(now.end) is EndReason.REACHED and now.paid == BOUNTY
        assert now.starts == now.r + 1, "no attempt came to nothing"
        await graph["v0"].kill()
        shutil.rmtree(graph["v0"].data / "blobs")
        await graph["v0"].start()

        async def whole() -> bool:
            return (graph["v0"].data / "blobs" / "files" / cid_text(now.best_model)).is_file()

        await eventually("the sponsor, which lost its files, has the final model from the members", whole, SLOW_S)
        await graph.agree()
        await graph.conserved()


@pytest.mark.full("test_federation_machines.py has aggregators that lie; nodes with containers, several rounds: a minute")
async def test_an_aggregator_that_denies_a_rival_is_outvoted_and_has_no_fee_for_it(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    """o1 calls each update of o2 WRONG. The two others say what they found: that stands, and o2 is paid as everybody."""
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", SMALL, params=PARAMS) as graph:
        liar, rival = graph["o1"], graph["o2"]
        liar.program = [sys.executable, "-m", "tests.processes.lying_aggregator", rival.id.hex()]
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31)
        before = await graph.balances(graph["v0"])
        now = (await ended(federation))["v0"]
        assert EndReason(now.end) is EndReason.REACHED and now.starts == now.r + 1, "no attempt came to nothing"
        told = (await graph["v0"].api.federation_attempts(federation.id.hex()))["attempts"]
        codes = [file["code"] for attempt in told for file in attempt["files"] if file["member"] == rival.address]
        assert codes == ["USED"] * now.r
        after = await graph.balances(graph["v0"])
        for name in OWNERS:
            node, fee = graph[name], federation.terms.fee
            share = (await record(graph["v0"], records.member_key(federation.id, node.id), FederationMember)).paid
            fees = after[node.address] - before[node.address] - share
            assert fees == fee * (now.r + 1) + (0 if node is liar else fee * now.r), name
            assert abs(share - BOUNTY // 3) <= REMAINDER * now.r, "in equal parts, but for remainders"
        await graph.agree()
        await graph.conserved()
