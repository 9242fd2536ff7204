"""Work that takes long is held as what takes seconds is: whole nodes' work with all slices as they are found, in virtual time."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Image, ImageKind
from learningchain.client.contracts.job.roles.cleanup import OWN_PIN, UNCLEAR_PIN, WON_PIN
from learningchain.client.work import WorkDriver
from learningchain.client.work.events import SERVED, FetchContent, Forget, Pin, ReleaseImage, ServeFile, Unpin
from learningchain.client.work.gone import GONE_MS
from learningchain.client.work.machine import find_slices, knows_no_ref
from learningchain.p2p.content.cid import Codec, cid_of, parse
from tests.federation_nodes import FedWorld
from tests.unit.prediction_kit import Table
from tests.unit.test_federation_machines import SMALL
from tests.unit.test_work_graph import VALIDATORS, Graph
from tests.unit.work_kit import LIMITS, Chain, Node, blocks, run_virtual, working

MINUTE_MS = 60_000
EVERY_S = 5.0
LONG_S = 10 * GONE_MS / 1_000


def hours(chain: Chain, seconds: float) -> Any:
    """Blocks for so long."""
    end = asyncio.get_running_loop().time() + seconds
    return blocks(chain, lambda: asyncio.get_running_loop().time() >= end, 2 * seconds, EVERY_S)


def test_a_job_of_forty_minutes_whose_image_takes_six_is_held_to_its_payment_over_a_kill(tmp_path: Path) -> None:
    """Images, claimed models and salts of a live job stay on their nodes, whatever other contracts clean up meanwhile."""

    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=1))
        chain = graph.chain
        (tmp_path / "image").write_bytes(b"image")
        cid, _ = await graph.nodes["boss"].files.add(tmp_path / "image", pin="posted")
        image = Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), sha256(b"image"), 6 * 60 * 10**6 + 1_000)
        for node in graph.nodes.values():
            node.engine.train_s, node.files.arrives_s = 18 * 60.0, 6 * 60.0
        await graph.start()
        limits = msgspec.structs.replace(LIMITS, train_s=20 * 60)
        job = chain.post("boss", expiry=chain.clock + 40 * MINUTE_MS, limits=limits, image=image)
        began = chain.clock
        await blocks(chain, lambda: bool(chain.describe(job)["claims"]), 39 * 60, EVERY_S)
        await graph.nodes["a"].kill()
        await asyncio.sleep(10)
        await graph.nodes["a"].start()
        await blocks(chain, lambda: chain.ended(job), 50 * 60, EVERY_S)
        assert chain.clock >= began + 40 * MINUTE_MS
        found = chain.describe(job)
        assert found["state"] == "PAID" and len(found["claims"]) == len(VALIDATORS)
        votes = [v["vote"] for r in found["rounds"] for seat in r["committee"] for v in seat["votes"]]
        assert votes and set(votes) == {"OK"}
        graph.honest()
        await blocks(chain, lambda: not any(node.engine.images for node in graph.nodes.values()), 60)
        for name in VALIDATORS:
            assert nothing_is_left(graph.nodes[name], {WON_PIN}), name
        await graph.stop()

    run_virtual(main())


def nothing_is_left(node: Node, stays: set[str]) -> bool:
    """Of what a node held for a ref: pins but those of these words, losses, models, notes of whose the ref was."""
    words = {why.partition(":")[0] for pins in node.files.pins.values() for why in pins}
    losses, models = node.folder / "work" / "losses", node.folder / "work" / "models"
    files = [path for folder in (losses, models) if folder.is_dir() for path in folder.iterdir()]
    assert node.work is not None
    return words <= stays and not files and not node.work._stores.database.owners()


# --- what is held for one contract is released by no other ------------------------------------------------------------------------


def job_of(graph: Graph) -> bytes:
    return graph.chain.post("boss", expiry=graph.chain.clock + 10 * int(LONG_S * 1_000), bounty=10_000_000)


def federation_of(graph: Graph) -> bytes:
    world = FedWorld(**SMALL)
    also(graph.chain, world.ledger.store.get)
    return world.federation


def request_of(graph: Graph) -> bytes:
    table = Table()
    request = table.ask(wait=3_600_000)
    also(graph.chain, table.chain.state.get)
    return request


def also(chain: Chain, more: Callable[[bytes], Any]) -> None:
    """The state has what another ledger has, too."""
    own = chain.state.get
    chain.state.get = lambda key: own(key) or more(key)  # type: ignore[method-assign]


LIVE: dict[str, tuple[Callable[[Graph], bytes], str]] = {
    "job": (job_of, "worker"),
    "federation": (federation_of, "federation.member"),
    "prediction": (request_of, "requester"),
}
"""By slice: how something of it comes to live, and one of its machines."""


def test_every_contract_that_holds_something_for_a_ref_is_tried_here() -> None:
    assert {part.name for part in find_slices() if part.knows is not knows_no_ref} == LIVE.keys()


def held(work: WorkDriver, ref: bytes) -> set[str]:
    """Why contents are pinned for it."""
    return {why.partition(":")[0] for (_, why), (of, _) in work._stores.pins._held.items() if of == ref}


async def hold(node: Node, ref: bytes, machine: str) -> str:
    """As a machine does that serves a file for it, and keeps losses."""
    work = node.work
    assert work is not None
    path = node.folder / "a file"
    path.write_bytes(ref)
    cid = cid_of(Codec.RAW, ref)
    work._do(machine, [Pin(ref, str(cid), "ask"), ServeFile(ref, cid.to_bytes(), path)])
    await work._stores.losses.keep(ref, "a run", array("q", [1, 2]))
    await asyncio.sleep(1)
    assert held(work, ref) == {"ask", SERVED}
    return str(cid)


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of an older program"])
@pytest.mark.parametrize("name", LIVE)
def test_what_is_held_for_something_alive_stays_for_as_long_as_it_lives(tmp_path: Path, name: str, noted: bool) -> None:
    """It is held for ten times the time after which what left the state goes, over a start, and no other contract's machine can
    release it. Whose it is stands in a note, or, where an older program brought it, in the state alone."""

    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=0))
        node, (alive, machine) = graph.nodes["a"], LIVE[name]
        await graph.start("a")
        ref = alive(graph)
        await hold(node, ref, machine)
        await hours(graph.chain, LONG_S / 2)
        if not noted:
            await node.work._stores.owners.drop(ref)  # type: ignore[union-attr]
        await node.kill()
        work = await node.start()
        await hours(graph.chain, LONG_S / 2)
        others = [one for other, (_, one) in LIVE.items() if other != name]
        for other in [*others, "box key"]:
            work._do(other, [Forget(ref), Unpin(ref, f"ask:{ref.hex()}"), ReleaseImage(ref)])
        await asyncio.sleep(5)
        assert held(work, ref) == {"ask", SERVED} and work._stores.losses.path(ref, "a run").is_file()
        work._do(machine, [Forget(ref)])
        await asyncio.sleep(5)
        assert not held(work, ref) and ref not in work._stores.losses.refs and not work._stores.database.owners()
        await graph.stop()

    run_virtual(main())


@pytest.mark.parametrize("over", [ReleaseImage, Forget])
def test_what_is_on_its_way_when_the_last_thing_of_its_ref_is_given_up_keeps_its_owner(tmp_path: Path, over: Any) -> None:
    """A file is asked for, nothing else is held for the ref any more, and the file comes a minute later: over a start no other
    contract's machine may release it."""

    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=0))
        node, (alive, machine) = graph.nodes["a"], LIVE["job"]
        await graph.start("a")
        work, ref = node.work, alive(graph)
        assert work is not None
        node.files.arrives_s = 60.0
        cid, until = str(cid_of(Codec.RAW, b"late")), graph.chain.clock + 60 * MINUTE_MS
        (tmp_path / "late").write_bytes(b"late")
        await graph.nodes["boss"].files.add(tmp_path / "late", pin="posted")
        work._do(machine, [over(ref), FetchContent("late", "file", ref, cid, 4, until, pin="ask")])
        await hours(graph.chain, 120)
        assert held(work, ref) == {"ask"} and work._stores.database.owners() == {ref: "job"}
        await graph.stop()

    run_virtual(main())


@pytest.mark.parametrize("name", LIVE)
def test_what_left_the_state_goes_by_the_word_of_its_own_contract_but_not_while_the_node_is_behind(
    tmp_path: Path, name: str
) -> None:
    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=0))
        node, (_, machine) = graph.nodes["a"], LIVE[name]
        work = await node.start()
        ref = sha256(name.encode())
        cid = await hold(node, ref, machine)
        work._do(machine, [Pin(ref, cid, f"{OWN_PIN}:{ref.hex()}")])
        await asyncio.sleep(1)
        await node.kill()
        work = await node.start()
        await asyncio.sleep(LONG_S)  # no block
        node.behind_ms = 60 * MINUTE_MS
        await hours(graph.chain, 1.2 * GONE_MS / 1_000)  # blocks of an hour ago
        assert held(work, ref) == {"ask", SERVED, OWN_PIN}
        node.behind_ms = 0
        await hours(graph.chain, 1.2 * GONE_MS / 1_000)
        unclear = {UNCLEAR_PIN} if name == "job" else set()
        assert held(work, ref) == unclear, "a model that was under audit is kept for its owner: nobody can tell whether it won"
        assert ref not in work._stores.losses.refs and not work._stores.database.owners()
        await graph.stop()

    run_virtual(main())
