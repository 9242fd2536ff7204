"""What every node tells once all stand at one height: read afresh from each node's API, for `examples.demo.check` to judge."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from learningchain.chain.contracts.credits import Transfer
from learningchain.client.keys.keystore import Keystore
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.types import ApiError, InvalidError
from learningchain.examples.demo.board import Json
from learningchain.examples.demo.plan import CHEATER, CONTRACTOR, VICTIM
from learningchain.examples.demo.story import Scene, until

LEVEL_S: Final = 30.0
REFUSE_S: Final = 10.0


@dataclass
class Seen:
    """What one node says of everything."""

    name: str
    status: Json
    block: Json
    supply: Json
    accounts: list[Json]
    jobs: list[Json]
    """The race, the cheater's two frauds, the lie about a worker."""
    runs: list[Json]
    paid: list[Json]
    """History of the race's winner."""
    accused: list[Json]
    """History of the worker that was lied about."""


@dataclass
class Reading:
    """What all of them say."""

    height: int = 0
    seen: list[Seen] = field(default_factory=list)
    winner_sha256: str = ""
    """Of the model as the winner's own node holds it."""
    refusals: dict[str, str] = field(default_factory=dict)
    """By node, what the cheater's next message was answered with; empty where it was taken."""


async def read(scene: Scene) -> Reading:
    """What every node tells now that all stand at one height."""
    refusals = await _refusals(scene)
    height = await _one_height(scene)
    seen = [await _read(scene, name, client, height) for name, client in scene.clients.items()]
    race = seen[0].jobs[0]
    sha256 = await _winners_file(scene, scene.board.name(race.get("winner")), race.get("model") or {})
    return Reading(height, seen, sha256, refusals)


async def _one_height(scene: Scene) -> int:
    """Wait until every node has the newest block that any of them has now; its height."""
    target = max([(await c.status())["height"] for c in scene.clients.values()])

    async def level() -> bool:
        return min([(await c.status())["height"] for c in scene.clients.values()]) >= target

    await until(f"block {target} on every node", level, LEVEL_S, scene)
    return target


async def _read(scene: Scene, name: str, client: Client, height: int) -> Seen:
    jobs = [dict(await client.job(job)) for job in scene.jobs]
    winner = jobs[0]["winner"]
    return Seen(
        name=name,
        status=dict(await client.status()),
        block=dict(await client.block(height)),
        supply=dict(await client.supply()),
        accounts=[dict(a) for a in await client.accounts()],
        jobs=jobs,
        runs=await client.runs(),
        paid=[dict(line) for line in await client.history(str(winner))] if winner else [],
        accused=[dict(line) for line in await client.history(scene.graph.member(VICTIM).address)],
    )


async def _winners_file(scene: Scene, winner: str, model: Json) -> str:
    client = scene.clients.get(winner)
    if client is None or not model:
        return ""
    with tempfile.TemporaryDirectory(dir=scene.graph.folder) as scratch:
        fetched = await client.fetch(model["cid"], Path(scratch) / "model", max_size=model["size"])
        return fetched.sha256


async def _refusals(scene: Scene) -> dict[str, str]:
    """The cheater's next message, offered to every node."""
    cheater = scene.graph.member(CHEATER.name)
    identity = await asyncio.to_thread(Keystore.open, cheater.data / "keystore.json", scene.graph.passphrase)
    target = scene.graph.member(CONTRACTOR).id
    found: dict[str, str] = {}
    for name, client in scene.clients.items():
        try:
            await client.submit_tx([Transfer(target, 1, b"")], identity.key, wait=REFUSE_S)
            found[name] = ""
        except InvalidError as refusal:
            found[name] = f"{refusal.name}: {refusal.message}"
        except ApiError as problem:
            found[name] = f"{problem.kind}: {problem.message}"
    return found
