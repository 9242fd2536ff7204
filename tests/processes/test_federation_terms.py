"""The terms that protect owners and measurement, on real nodes with real containers: test data that only the panel reads, a
panel that no owner sits on, noise on every sum. One graph: three owners, and two verifiers who own no data."""

from __future__ import annotations

import asyncio
import math
import os
from array import array
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.types import parse_loss
from learningchain.client.contracts.federation.arithmetic.places import CQ
from learningchain.client.keys import hidden
from learningchain.client.sdk.types import RejectedError
from tests.processes import federated_job
from tests.processes.federations import (
    Json,
    Told,
    add_rows,
    drawable,
    ended,
    exact_pay,
    federated_graph,
    fees,
    first_model,
    first_updates,
    model_file,
    model_of,
    open_and_join,
    owner,
    posted,
    same_model,
)
from tests.processes.harness import Graph, NodeProcess, Role, micro
from tests.processes.test_federation import OWNERS, made, network

__all__ = ["made"]  # the fixture
Made = tuple[Path, str, list[bytes]]
OUTSIDERS = ("p1", "p2", "p3")
HIDDEN_ROWS = 60
MARK = b"0.314159265,"
"""Begins each hidden row: no other file has it."""
LOOK_S = 0.2
UNITS = 32
LAYER: Json = {"hidden": UNITS, "passes": 1, "rate": 0.03}
DP_MILLI = 200
SIGMA = DP_MILLI / 1_000
pytestmark = [
    pytest.mark.full("seven nodes with containers and four federations: minutes"),
    pytest.mark.timeout(1_500),
]


@dataclass(frozen=True)
class Stage:
    """What the stories have in common. `kept`: rows that no owner has; `shares`: those of each owner, by its name."""

    graph: Graph
    image: Json
    kept: list[bytes]
    shares: dict[str, list[bytes]]
    folder: Path

    @property
    def sponsor(self) -> NodeProcess:
        return self.graph["v0"]

    @property
    def owners(self) -> list[NodeProcess]:
        return [self.graph[name] for name in OWNERS]

    @property
    def outside(self) -> list[NodeProcess]:
        return [self.graph[name] for name in OUTSIDERS]

    async def opened(self, initial: Path, dims: int, **terms: Any) -> str:
        return await open_and_join(self.sponsor, self.owners, self.image, initial, dims, **terms)


async def test_hidden_data_an_outside_panel_and_noise(tmp_path: Path, made: Made) -> None:
    roles = [
        Role("v0", validator=True),
        *(owner(name, validator=True) for name in OWNERS),
        *(owner(name) for name in OUTSIDERS),
    ]
    kept, rows = made[2][:HIDDEN_ROWS], made[2][HIDDEN_ROWS:]
    shares = {name: rows[n::3] for n, name in enumerate(OWNERS)}
    async with federated_graph(tmp_path / "graph", roles) as graph:
        for name in OWNERS:
            await add_rows(graph[name], shares[name], tmp_path / f"data-{name}")
        await graph.start()
        sponsor, others = graph["v0"], [graph[name] for name in (*OWNERS, *OUTSIDERS)]
        await drawable(sponsor, *others)
        stage = Stage(graph, await posted(sponsor, made[0], made[1]), kept, shares, tmp_path)
        before = await graph.balances(sponsor)
        owed = Counter[str]()
        for story in (_hidden, _a_sponsor_that_posts_another_file, _noise):
            owed += await story(stage)
        await graph.agree()
        await graph.conserved()
        after = await graph.balances(sponsor)
        got = {node.name: after[node.address] - before[node.address] for node in others}
        assert got == {node.name: owed[node.address] for node in others}


# --- the hidden file, and who measures -------------------------------------------------------------------------------------------


async def sealed(sponsor: NodeProcess, plain: bytes, folder: Path, *, claimed: bytes = b"") -> tuple[Json, str]:
    """What an opening says of a hidden file, which is uploaded, and its key. `claimed`: another text than is in it."""
    folder.mkdir()
    (folder / "plain").write_bytes(plain)
    key = sha256(folder.name.encode()).digest()
    hidden.encrypt(folder / "plain", folder / "sealed", key, bytes(hidden.NONCE))
    sent = await sponsor.api.upload(folder / "sealed")
    said = {"cid": sent["cid"], "size": sent["size"], "key_hash": sha256(key).hexdigest()}
    return said | {"plain_hash": sha256(claimed or plain).hexdigest()}, key.hex()


class Finds:
    """Nodes on whose disk a hidden row lay in clear when somebody looked; a file that did not change is read once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._read: set[tuple[str, int, int]] = set()
        self.names: set[str] = set()

    def look(self) -> set[str]:
        for node in self._graph:
            for folder, _, files in os.walk(node.data):
                for name in files:
                    with suppress(FileNotFoundError):  # gone since
                        self._file(node.name, Path(folder, name))
        return self.names

    def _file(self, node: str, path: Path) -> None:
        stat = path.lstat()
        version = str(path), stat.st_size, stat.st_mtime_ns
        if path.is_file() and not path.is_symlink() and version not in self._read:
            if MARK in path.read_bytes():
                self.names.add(node)
            self._read.add(version)

    async def keep_looking(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)


def _seats(told: Told) -> set[str]:
    return {vote["seat"] for one in told.measurements for vote in one["votes"]}


async def _hidden(stage: Stage) -> Counter[str]:
    sponsor, initial = stage.sponsor, stage.folder / "linear.safetensors"
    initial.write_bytes(model_file([0.0] * 31))
    plain = b"\n".join(MARK + row.partition(b",")[2] for row in stage.kept)
    said, key = await sealed(sponsor, plain, stage.folder / "hidden")
    terms: Json = {"hidden": said, "rounds": 2, "target": "0.001"}
    federation = await stage.opened(initial, 31, start=False, look_after={"hidden_key": key}, **terms)
    standing = await sponsor.api.federation(federation)
    assert (standing["state"], standing["panel"], standing["initial"]) == ("IDLE", [], None)
    finds = Finds(stage.graph)
    assert finds.look() == set(), "nobody has it in clear before anything is measured: what the sponsor serves is sealed"
    looking = asyncio.create_task(finds.keep_looking())
    await sponsor.api.look_after_federation(federation, auto=True)
    first, best = stage.folder / "hidden-first", stage.folder / "hidden-best"
    await first_model(sponsor, federation, first)
    for seat in stage.outside:
        with pytest.raises(RejectedError) as refused:
            await seat.api.join_federation(federation, digest="ab" * 32)
        assert refused.value.name == "OWN_FEDERATION", "who has seen the hidden rows does not train"
    told = await ended(sponsor, federation)
    looking.cancel()
    await sponsor.api.fetch_federation_model(federation, best)

    assert (told.view["end"], told.view["round"]) == ("ROUNDS", 2)
    seats = _seats(told)
    assert seats == {node.address for node in stage.outside}, "owners serve, too, and two seats stay empty"
    assert [one["round"] for one in told.measurements] == [0, 1, 2]
    assert [one["outcome"] for one in told.rounds] == ["PROGRESS", "PROGRESS"]
    assert all(set(one["counted"]) == seats for one in told.measurements)
    measured = [parse_loss(told.rounds[0]["loss"]), told.best]
    assert measured == [pytest.approx(loss_on(model, plain), abs=2) for model in (first, best)], "on the hidden rows"
    assert finds.look() == set(OUTSIDERS), "the panel's disks had them in clear, neither an owner's nor the sponsor's"
    print(f"hidden: losses {told.view['initial']}, {', '.join(one['loss'] for one in told.rounds)}; in clear at {finds.names}")
    return exact_pay(told) + fees(told)


def loss_on(model: Path, rows: bytes) -> int:
    """Of a linear model, in units of 1e-9."""
    values = model_of(model)
    cells = [[float(cell) for cell in row.split(b",")] for row in rows.splitlines()]
    found = [federated_job.loss(values, (row[: federated_job.FEATURES], row[federated_job.FEATURES]), 0) for row in cells]
    return round(math.fsum(found) / len(found) * 1e9)


async def _a_sponsor_that_posts_another_file(stage: Stage) -> Counter[str]:
    """The file opens, and is not what the terms commit to: every seat says so, nothing is trained, nobody is paid."""
    said, key = await sealed(stage.sponsor, b"\n".join(stage.kept), stage.folder / "other", claimed=b"easy ones")
    initial, terms = stage.folder / "linear.safetensors", {"hidden": said, "target": "0.1"}
    federation = await stage.opened(initial, 31, look_after={"hidden_key": key}, **terms)
    told = await ended(stage.sponsor, federation)
    assert (told.view["end"], told.attempts, told.rounds) == ("STALLED", [], [])
    votes = [(vote["seat"], vote["code"]) for one in told.measurements for vote in one["votes"]]
    assert Counter(votes) == {(node.address, "BADKEY"): 3 for node in stage.outside}
    assert micro(told.view["bounty_left"]) == 0 and not any(map(told.paid, stage.owners))
    return Counter()


# --- noise -----------------------------------------------------------------------------------------------------------------------


async def _noise(stage: Stage) -> Counter[str]:
    """Two masked federations, the first without noise and with a panel from outside. Its first model is, to the bit, the mean of
    what owners trained; with noise each value is off by the sum of three draws, one of each mask, as large as the terms say."""
    base = list(array("f", network(UNITS)))
    outside = {node.address for node in stage.outside}
    federation, clean, model = await _one_round(stage, base, 0, outside=True)
    assert _seats(clean) == outside, "owners serve, too, and two seats stay empty where the terms keep them out"
    same_model(stage.graph, federation, clean, "mean", stage.shares, base, model, **LAYER)

    base[0] += 1 / 1_024  # owners' nodes send on a model in one federation
    federation, noisy, model = await _one_round(stage, base, DP_MILLI)
    assert _seats(noisy) == outside, "owners sit where fewer than three others could"
    updates = first_updates(stage.graph, federation, noisy, stage.shares, base, **LAYER)
    step = parse_loss(noisy.rounds[0]["clip"]) / 1e9 / CQ / len(updates)
    noise = [(w - b) / step - sum(column) for w, b, column in zip(model, base, zip(*updates, strict=True), strict=True)]
    spread, wanted = math.sqrt(sum(value**2 for value in noise) / len(noise)) / CQ, math.sqrt(3) * SIGMA
    print(f"noise: {spread:.3f} of the clip on each value of the sum, by the terms {wanted:.3f}; epsilon {epsilon(SIGMA)}")
    assert spread == pytest.approx(wanted, rel=0.2), f"{len(noise)} draws: nine standard deviations of it"
    assert len({round(value) for value in noise}) > len(noise) // 2, "each value has a draw of its own"
    return exact_pay(clean) + fees(clean) + exact_pay(noisy) + fees(noisy)


async def _one_round(stage: Stage, base: list[float], dp_milli: int, **more: Any) -> tuple[str, Told, list[float]]:
    """The federation, what became of it, and the model of its round."""
    terms: Json = {"secrecy": "sum", "params": LAYER, "target": "0.001", "rounds": 1, "dp_milli": dp_milli} | more
    initial = stage.folder / f"layer-{dp_milli}.safetensors"
    initial.write_bytes(model_file(base))
    federation = await stage.opened(initial, len(base), **terms)
    meaning = await stage.owners[0].api.joining(federation)
    assert meaning["epsilon"] == (epsilon(dp_milli / 1_000) if dp_milli else None)
    assert any("no noise" in warning for warning in meaning["warnings"]) == (not dp_milli)
    model = await first_model(stage.sponsor, federation, stage.folder / f"noise-{dp_milli}")
    told = await ended(stage.sponsor, federation)
    assert [told.codes(node) for node in stage.owners] == [["USED"]] * len(OWNERS)
    return federation, told, model


def epsilon(sigma: float, rounds: int = 1) -> float:
    """Of one sum, at delta 1e-5 (docs/federation.md says what it does not cover)."""
    return round(rounds / (2 * sigma**2) + math.sqrt(2 * rounds * math.log(1e5)) / sigma, 2)
