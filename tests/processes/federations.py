"""Federations on nodes that run, as people open and join them, and what became of each, held against the rules by another way.

    async with federated_graph(folder, roles) as graph:          # on a clock that the test moves; every window is an hour and more
        await graph.start()
        image = await posted(sponsor, archive, image_id)
        one = await open_and_join(sponsor, owners, image, folder, values, rule="median")
        told = await ended(sponsor, one)

`Told` is what one node says of a federation that has ended; `exact_pay` computes from its rounds what each owner must have got.
`local_values` and `rule_of` do in plain Python what owners and aggregators do: equal inputs give equal bytes.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learningchain.chain.codec import read
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import FederationServer
from learningchain.chain.types import parse_loss
from learningchain.client.contracts.federation.arithmetic.places import CQ, AttemptPlace
from learningchain.client.contracts.federation.arithmetic.updates import update_of
from learningchain.client.contracts.federation.roles.looking import local_seed
from learningchain.client.sdk.types import NotFoundError
from tests.processes import federated_job
from tests.processes.clocked import DAY_MS, HOUR_MS, ClockedGraph
from tests.processes.harness import Graph, NodeProcess, Role, command, eventually, micro, with_params

SLOW_S = 240.0
HOUR_S = HOUR_MS // 1_000
FEE = "0.001"
SERVES = {"work.verify": True, "federation.serve": True}
PARAMS = with_params(
    heartbeat=1_000,
    fed_base=HOUR_MS,
    fed_ready=HOUR_MS,
    fed_open=HOUR_MS,
    fed_least=1_000,
    pred_a0=HOUR_MS,
    pred_open=HOUR_MS,
    pred_appeal=HOUR_MS,
    max_step=DAY_MS,
    job_min_open=1_000,
)
LIMITS = {"cpus": 1.0, "mem_mb": 128, "train_s": 60, "eval_s": 60, "tmp_mb": 8, "threads": 1}
Json = dict[str, Any]


def owner(name: str, validator: bool = False, settings: Json | None = None) -> Role:
    return Role(name, validator=validator, verifier=True, settings=SERVES | (settings or {}))


def federated_graph(folder: Path, roles: Sequence[Role]) -> ClockedGraph:
    folder.mkdir()
    return ClockedGraph(folder, roles, params=PARAMS)


def model_file(values: Sequence[float]) -> bytes:
    size = 4 * len(values)
    head = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (len(values), size)
    return len(head).to_bytes(8, "little") + head + array("f", values).tobytes()


async def add_rows(node: NodeProcess, rows: Sequence[bytes], folder: Path) -> None:
    """The owner's rows under the name `rows`. The node does not run yet."""
    folder.mkdir()
    (folder / "rows.csv").write_bytes(b"\n".join(rows))
    code, _, err = await command(node, "data", "add", "rows", str(folder))
    assert code == 0, err


async def drawable(asked: NodeProcess, *nodes: NodeProcess, cells: bool = False) -> None:
    """Each proved its sandbox, declared what its machine takes, and serves; `cells`: those of small models, too."""

    async def serves(node: NodeProcess) -> bool:
        found = (await asked.api.proof(records.serving_key(node.id)))["record"]
        known = found is not None and read(FederationServer, bytes.fromhex(found)) is not None
        if known and cells:
            known = (await asked.api.proof(records.cell_serving_key(node.id)))["record"] is not None
        return known and bool((await asked.api.account(node.address))["capacity"])

    await asked.reaches(1)
    for node in nodes:
        await eventually(f"{node.name} may be drawn", lambda n=node: serves(n), SLOW_S)  # type: ignore[misc]


async def posted(sponsor: NodeProcess, archive: Path, image_id: str) -> Json:
    sent = await sponsor.api.upload(archive)
    return {"cid": sent["cid"], "image_id": image_id, "size": sent["size"]}


async def open_and_join(
    sponsor: NodeProcess,
    owners: Sequence[NodeProcess],
    image: Json,
    initial: Path,
    dims: int,
    *,
    look_after: Json | None = None,
    start: bool = True,
    **terms: Any,
) -> str:
    """A federation that all owners have joined with their `rows`, whose rounds start by themselves from then on."""
    sent = await sponsor.api.upload(initial)
    body = {
        "image": image,
        "model": {"cid": sent["cid"], "size": sent["size"], "dims": dims},
        "limits": LIMITS,
        "bounty": "30",
        "fee": FEE,
        "tol": "0",
        "float_kind": "f64",
        "rounds": 8,
        "ends_in_s": 4 * 24 * HOUR_S,
        "round_s": HOUR_S,
        "pace_s": 24 * HOUR_S,
        "min_members": 3,
        "secrecy": "open",
        "split": "equal",
        "clip": "3",
        "admit": "open",
    }
    opened = await sponsor.api.open_federation(body | terms | {"look_after": {"auto": False, **(look_after or {})}}, wait=60)
    federation = str(opened["federation"])

    async def knows(node: NodeProcess) -> bool:
        try:
            return bool(await node.api.joining(federation))
        except NotFoundError:
            return False

    async def joins(node: NodeProcess) -> None:
        await eventually(f"{node.name} knows it", lambda: knows(node))
        await node.api.join_federation(federation, "rows", vault=False, wait=60)

    await asyncio.gather(*(joins(node) for node in owners))
    if start:
        await sponsor.api.look_after_federation(federation, auto=True)
    return federation


# --- what became of it -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """`attempts`, `rounds`, `measurements`: the oldest first."""

    view: Json
    members: list[Json]
    attempts: list[Json]
    rounds: list[Json]
    measurements: list[Json]

    def codes(self, node: NodeProcess) -> list[str]:
        """What was said of this owner's files, by attempt."""
        return [file["code"] for one in self.attempts for file in one["files"] if file["member"] == node.address]

    def paid(self, node: NodeProcess) -> int:
        return next(micro(one["paid"]) for one in self.members if one["account"] == node.address)

    @property
    def best(self) -> int:
        return parse_loss(self.view["best"])


async def ended(node: NodeProcess, federation: str) -> Told:
    async def over() -> Json | None:
        found = dict(await node.api.federation(federation))
        return found if found["state"] == "END" else None

    view = await eventually(f"{node.name} sees the end", over, 2 * SLOW_S)
    attempts = (await node.api.federation_attempts(federation, limit=50))["attempts"]
    measurements = (await node.api.federation_measurements(federation, limit=50))["measurements"]
    return Told(
        view,
        [dict(one) for one in await node.api.federation_members(federation)],
        [dict(one) for one in reversed(attempts)],
        [dict(one) for one in reversed(await node.api.federation_rounds(federation))],
        [dict(one) for one in reversed(measurements)],
    )


def exact_pay(told: Told) -> Counter[str]:
    """What each owner must have got of the bounty with split equal (LC-FED-40 to 42), from what the rounds say was accepted and
    measured alone: in micro-credits, by address."""
    target, initial = parse_loss(told.view["target"]), parse_loss(told.view["initial"])
    bounty, index = micro(told.view["bounty"]), {one["account"]: one["index"] for one in told.members}
    got, points, paid = Counter[str](), Counter[str](), 0
    for one in told.rounds:
        points.update(one["accepted"])
        if one["outcome"] == "PROGRESS":
            due = bounty * (initial - max(parse_loss(one["loss"]), target)) // (initial - target)
            shares = {who: (due - paid) * n // points.total() for who, n in points.items()}
            shares[min(points, key=index.__getitem__)] += due - paid - sum(shares.values())
            got.update(shares)
            paid = due
        if one["outcome"] != "NO_PROGRESS":
            points.clear()
    return got


def fees(told: Told) -> Counter[str]:
    """Fees of aggregators and seats, by address; of federations whose every attempt was summed."""
    found = Counter[str]()
    for who in [who for one in told.rounds for who in one["aggregators"]] + [
        who for one in told.measurements for who in one["counted"]
    ]:
        found[who] += micro(FEE)
    return found


def say(what: str, told: Told, graph: Graph) -> None:
    """For who reads the run (`pytest -s`)."""
    by_name = {node.name: Counter(told.codes(node)) for node in graph}
    losses = [told.view["initial"], *(one["loss"] for one in told.rounds)]
    print(f"{what}: losses {', '.join(map(str, losses))}; { ({name: dict(one) for name, one in by_name.items() if one}) }")


# --- by another way --------------------------------------------------------------------------------------------------------------


def model_of(path: Path) -> list[float]:
    return federated_job.read_model(path)[1]


def local_values(
    chain_id: bytes, federation: str, attempt: int, base: list[float], rows: Sequence[bytes], **params: Any
) -> list[float]:
    """What `local` of the image makes of a base in round 1."""
    seed = local_seed(AttemptPlace(chain_id, bytes.fromhex(federation), 1, attempt))
    cells = [[float(cell) for cell in row.split(b",")] for row in rows]
    own = [(row[: federated_job.FEATURES], row[federated_job.FEATURES]) for row in cells]
    hidden, passes, rate = (params.get(name, usual) for name, usual in (("hidden", 0), ("passes", 2), ("rate", 0.02)))
    return list(array("f", federated_job.train(base, own, hidden, random.Random(seed), passes, rate)))


def update(base: list[float], local: list[float], clip: int) -> list[int]:
    pieces = update_of(np.array(base, np.float32), np.array(local, np.float32), clip)
    return [int(value) for piece in pieces for value in piece]


def rule_of(rule: str, base: list[float], updates: Sequence[list[int]], clip: int) -> list[float]:
    """LC-FILE-33 to 35: the next model of the accepted updates, a coordinate at a time."""
    drop = {"trimmed": len(updates) // 4, "median": (len(updates) - 1) // 2}.get(rule, 0)
    kept = [sorted(column)[drop : len(column) - drop] for column in zip(*updates, strict=True)]
    step = clip / 1e9 / CQ / len(kept[0])
    return list(array("f", [b + sum(column) * step for b, column in zip(base, kept, strict=True)]))


def same_model(
    graph: Graph,
    federation: str,
    told: Told,
    rule: str,
    shares: dict[str, list[bytes]],
    base: list[float],
    model: list[float],
    **params: Any,
) -> None:
    """The model of round 1 is, to the bit, what the rule makes of the updates that the accepted owners' data give."""
    updates = first_updates(graph, federation, told, shares, base, **params)
    assert model == rule_of(rule, base, updates, parse_loss(told.rounds[0]["clip"])), f"{rule}, of {len(updates)}"


async def first_model(node: NodeProcess, federation: str, path: Path) -> list[float]:
    """Of round 1, as soon as it is summed: nobody keeps it for long."""

    async def summed() -> bool:
        try:
            return bool(await node.api.fetch_federation_model(federation, path, round=1))
        except NotFoundError:
            return False

    await eventually("the model of round 1 is there", summed, SLOW_S)
    return model_of(path)


def first_updates(
    graph: Graph, federation: str, told: Told, shares: dict[str, list[bytes]], base: list[float], **params: Any
) -> list[list[int]]:
    """Of the owners that round 1 accepted, from their data."""
    first = told.rounds[0]
    accepted = [name for name in shares if graph[name].address in first["accepted"]]
    place = graph.genesis.chain_id, federation, first["attempt"], base
    return [update(base, local_values(*place, shares[name], **params), parse_loss(first["clip"])) for name in accepted]
