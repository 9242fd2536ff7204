"""docs/machines.md as a reader types it from its first line to its last, with `machine doctor` on the way. Then a committee's
member whose machine is trusted: of a job with a published set and hidden data, and of one with an image of a registry, the training
and this member's evaluations are made on machines, and they are paid.

The machine is behind a cable, with a Docker Engine of its own. How long `machine doctor` took is printed (`pytest -rP`).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.client.contracts.job.http.schema import ImageRequest
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import NodeProcess, eventually, free_port
from tests.processes.machine_lab import JUDGES, SLOW_S, Lab, inline, laboratory, page
from tests.processes.machines import Cable, Machine
from tests.processes.terminal import Owner
from tests.sandbox.test_pull import Registry
from tests.unit.readme_kit import blocks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

PAGE = "docs/machines.md"
JOB = b"""#!/usr/local/bin/python3
import hashlib, sys
from pathlib import Path
lc, out = Path("/lc/in"), Path("/lc/out")
if sys.argv[1] == "train":
    rows = lc / "sets/digits/a.bin"
    (out / "model").write_text(hashlib.sha256(rows.read_bytes() if rows.exists() else b"").hexdigest())
else:
    rows = (lc / "eval").read_text() if (lc / "eval").exists() else "0.5\\n" * 40
    (out / "losses").write_text(rows if len((lc / "model").read_text()) == 64 else "9\\n" * 40)
"""
SUBMIT = (
    "learningchain job submit --image-archive job.tar --set digits={}:train --hidden hidden --bounty 50 --expires 1h --cpus 0.5 "
    "--mem-mb 64 --tmp-mb 8 --train-time 5m --eval-time 2m --model-mb 0.01 --float-kind f64 --yes"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(cable: Cable, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    typed = [
        page(PAGE, "cluster.kind").replace("10.0.0.7:7403", f"{cable.NODE}:{free_port()}") + page(PAGE, "cluster.trusted")
        for _ in range(2)
    ]
    async with laboratory(tmp_path_factory.mktemp("lab"), typed[0], judge=typed[1]) as made:
        yield made


async def _is(owner: Owner, *words: str) -> None:
    """The table of machines says so."""

    async def says() -> bool:
        told = await owner.types(page(PAGE, "learningchain machines"))
        return all(word in told for word in words)

    await eventually(f"the table has {words}", says, SLOW_S)


async def _looks(shell: Owner, there: str, *more: str) -> dict[str, str]:
    """What `machine doctor` finds, by check."""
    command, since = " ".join((inline(PAGE, "machine doctor"), *more)), time.monotonic()
    told = await shell.types(f"{there} {command} --json || test $? -le 2")
    print(f"{command}: {time.monotonic() - since:.1f} s")
    return {one["check"]: f"{one['level']}: {one['text']}" for one in json.loads(told)["findings"]}


async def test_the_page_is_typed_from_its_first_line_to_its_last(lab: Lab, cable: Cable, tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "machine").mkdir()
    machine = Machine("gpu1", lab.folder, lab.host, place=cable.place)
    owner, shell = Owner(lab.node, tmp_path / "node"), Owner(machine, tmp_path / "machine")
    doctor = f"{inline(PAGE, 'learningchain doctor')} --json || test $? -le 2"
    there = f"ip netns exec {cable.place} env DOCKER_HOST={lab.host}"
    token = (await owner.types(page(PAGE, "machine add"))).splitlines()[0]
    await _is(owner, "gpu1", "invited")
    (on_it,) = [block.text.splitlines() for block in blocks(PAGE) if block.language == "text"]
    assert on_it[1:] == ["learningchain machine run"]
    await shell.types(f"{there} {on_it[0].replace('TOKEN', token)}")
    before = await _looks(shell, there)
    assert before["program"].startswith("warning") and before["node"].startswith("fine"), before
    machine.run()
    try:
        await _is(owner, "gpu1", "ready")
        found = await _looks(shell, there)
        assert not [text for text in found.values() if text.startswith("failure")], found
        assert all(found[check].startswith("fine") for check in ("joined", "program", "node", "versions", "engine", "disk")), found
        assert (await _looks(shell, there, "--self-test"))["sandbox"].startswith("fine")
        job = await lab.post({"train": 1, "evaluate": 0.2, "examples": 40})
        assert (await lab.paid(job))["state"] == "PAID" and "phase=train" in machine.said()
        await owner.types(inline(PAGE, "machine drain"))
        await _is(owner, "gpu1", "draining")
        await owner.types(f"{inline(PAGE, 'machine drain')} --off")
        await _is(owner, "gpu1", "ready")
        assert "all 1 that train for this node are there" in await owner.types(doctor)
        await machine.stop()
        await _is(owner, "gpu1", "away")
        assert "gpu1 is away" in await owner.types(doctor)
    finally:
        await machine.stop()
    await owner.types(inline(PAGE, "machine remove"))
    assert (await _looks(shell, there))["node"].startswith("failure: the node does not let this machine in")


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def test_a_committee_s_member_measures_on_its_trusted_machine(
    lab: Lab, cable: Cable, registry: Registry, tmp_path: Path
) -> None:
    contractor, judge = lab.graph["v0"], lab.graph[JUDGES[0]]
    (tmp_path / "judge").mkdir()
    trains = Machine("gpu2", lab.folder, lab.host, place=cable.place)
    measures = Machine("gpu1", tmp_path / "judge", lab.host, place=cable.place)
    try:
        for node, machine in ((lab.node, trains), (judge, measures)):
            await machine.join((await node.api.add_machine(machine.name))["token"])
            machine.run()
        await trains.ready(lab.node, SLOW_S)
        await measures.ready(judge, SLOW_S)
        votes = await _paid(lab, await _posted(contractor, tmp_path))
        assert votes == [("OK", 40)] * len(JUDGES), "each measured the hidden data, too"
        assert _ran(trains) == ["train"], "its own check was made elsewhere"
        assert _ran(measures) == ["evaluate", "evaluate"], "in public, and on what was hidden"
        (kept,) = (trains.data / "machine" / "sets").iterdir()
        assert (kept / "0").read_bytes() == bytes(1_000)
        for machine in (trains, measures):
            assert machine.said().count("an image was fetched") == 1
        votes = await _paid(lab, await lab.post({}, await asyncio.to_thread(_pushed, registry, tmp_path)))
        assert [vote for vote, _ in votes] == ["OK"] * len(JUDGES)
        assert (_ran(trains)[1:], _ran(measures)[2:]) == (["train"], ["evaluate"])
        for machine in (trains, measures):
            assert machine.said().count("an image was fetched") == 1, "this one each pulled for itself"
    finally:
        await trains.stop()
        await measures.stop()


def _ran(machine: Machine) -> list[str]:
    return re.findall(r"run begins.*phase=(\w+)", machine.said())


async def _posted(node: NodeProcess, folder: Path) -> str:
    """The set is published and the hidden data are sealed, as the contractor types it."""
    owner = Owner(node, folder)
    (folder / "digits").mkdir()
    (folder / "digits" / "a.bin").write_bytes(bytes(1_000))
    (folder / "hidden").write_text("0.25\n" * 40)
    await asyncio.to_thread(build_python_image, folder / "job.tar", {"/lc/job": JOB}, with_packages=())
    found = re.search(r"\bbaf[ky][a-z2-7]{55}\b", await owner.types("learningchain data publish digits"))
    assert found is not None
    await owner.types(SUBMIT.format(found[0]))
    (live,) = await node.api.jobs(live=True)
    return str(live["id"])


def _pushed(registry: Registry, folder: Path) -> ImageRequest:
    """Another image, in the registry."""
    build_python_image(folder / "other.tar", {"/lc/job": JOB + b"# another one\n"}, with_packages=())
    reference, image_id = registry.push(folder / "other.tar")
    return ImageRequest(reference=reference, image_id=image_id)


async def _paid(lab: Lab, job: str) -> list[tuple[str, int | None]]:
    """What each vote said, and how many hidden examples it measured."""
    view = await lab.paid(job)
    assert (view["state"], view["winner"]) == ("PAID", lab.node.address), view
    votes = [vote for round_ in view["rounds"] for seat in round_["committee"] for vote in seat["votes"]]
    return [(vote["vote"], vote.get("hidden_examples")) for vote in votes]
