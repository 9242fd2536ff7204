"""Files of a run on another machine: what it is given to go on from, and the checkpoints that it leaves on its way.

Node and machine are the real ones, on a loopback connection with real TLS; their engines are doubles.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from learningchain.client.machines import frames as f
from learningchain.client.machines import program as program_module
from learningchain.client.machines.program import NodeRefused
from learningchain.client.machines.trust import MachineSecrets, machine_context
from learningchain.sandbox import EngineError, OutputFile, RunResult, RunStatus
from learningchain.sandbox.phases import CHECKPOINT, CHECKPOINT_FOLD
from tests.unit.machines_kit import LIMITS, STEP, ScriptedEngine, Site, a_site, spec

CAP = CHECKPOINT_FOLD * LIMITS.model_cap


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch) as made:
        await made.image()
        yield made


class Keeper:
    """Whoever takes a run's checkpoints, as the node's work does: the newest is kept."""

    def __init__(self) -> None:
        self.found: list[bytes] = []

    def __call__(self, file: OutputFile) -> None:
        raw = file.path.read_bytes()
        assert hashlib.sha256(raw).digest() == file.sha256 and len(raw) == file.size
        file.path.unlink()
        self.found.append(raw)

    def run(self, site: Site, mode: str, cancel: threading.Event | None = None) -> asyncio.Task[RunResult]:
        return asyncio.create_task(site.backend.run(spec(mode), lambda _: None, cancel or threading.Event(), self))


def left(site: Site, *names: str) -> list[str]:
    """Files that a machine, and its node, still have of a run."""
    folders = [site.folder / "gpu1" / "in", site.folder / "gpu1" / "checkpoints", site.folder / "node" / "machines" / "out"]
    return [path.name for folder in folders for path in folder.iterdir() if path.name not in names]


async def test_a_checkpoint_comes_while_the_training_goes_on(site: Site) -> None:
    machine, keeper = await site.machine("gpu1"), Keeper()
    running = keeper.run(site, "save")
    await site.until(lambda: bool(keeper.found))
    assert keeper.found == [STEP] and not running.done()
    machine.go.set()
    result = await running
    assert result.status is RunStatus.OK and left(site, result.outputs["model"].path.name) == []


async def test_a_training_goes_on_elsewhere_from_what_another_machine_left(site: Site, tmp_path: Path) -> None:
    machine, path, earlier = await site.machine("gpu1"), tmp_path / "step", tmp_path / "earlier"
    path.write_bytes(STEP)
    earlier.write_bytes(b"a model of before")
    result = await site.run(spec(inputs={CHECKPOINT: path, "model": earlier}))
    assert result.status is RunStatus.OK and not site.own.ran
    assert machine.given == {CHECKPOINT: STEP, "model": b"a model of before"}
    assert left(site, result.outputs["model"].path.name) == [] and path.exists()


async def test_a_checkpoint_waits_for_a_connection_that_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    give, machine, keeper, tries = program_module.MachineProgram._give, await site.machine("gpu1"), Keeper(), list[str]()

    async def cut(self: program_module.MachineProgram, given: f.GiveOutput, path: Path) -> None:
        tries.append(given.name)
        if len(tries) == 1:
            raise ConnectionError("cut")
        await give(self, given, path)

    monkeypatch.setattr(program_module.MachineProgram, "_give", cut)
    running = keeper.run(site, "save")
    await site.until(lambda: bool(tries))
    writer = site.hub._machines["gpu1"].writer
    assert writer is not None and not keeper.found
    writer.transport.abort()
    await site.until(lambda: bool(keeper.found))
    machine.go.set()
    assert (await running).status is RunStatus.OK and keeper.found == [STEP] and machine.ran == ["train-save"]


async def test_a_machine_that_winds_down_brings_the_last_checkpoint_first(site: Site) -> None:
    """As a lease does whose time is nearly over: the attempt's next run goes on from there."""
    await site.machine("gpu1")
    keeper = Keeper()
    running = keeper.run(site, "last")
    await site.engines["gpu1"].began.wait()
    await site.programs["gpu1"].wind_down()
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and keeper.found == [STEP]
    assert left(site) == []


async def test_a_full_disk_of_the_machine_ends_the_run_there_and_names_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.machine("gpu1")

    def full(place: Path, what: str, size: int, files: int) -> None:
        raise EngineError(what, f"the disk of {place} is full")

    monkeypatch.setattr(program_module, "leave_room", full)
    result = await site.run(spec())
    assert result.status is RunStatus.ENGINE_ERROR and "is full" in result.reason
    assert site.state("gpu1") == "failing" and (await site.run(spec())).status is RunStatus.OK and site.own.ran == ["train-ok"]
    assert left(site) == []


async def test_a_machine_whose_engine_is_gone_says_so_until_it_is_back(site: Site) -> None:
    machine, program = await site.machine("gpu1"), site.programs["gpu1"]
    running = asyncio.create_task(site.run(spec("wait")))
    await machine.began.wait()
    program.engine_is("it has not answered for 20 s")
    await site.until(lambda: site.state("gpu1") == "failing")
    assert "not answered" in site.hub.shown()[0]["why"]
    assert (await site.run(spec())).status is RunStatus.OK and site.own.ran == ["train-ok"], "nothing is placed there"
    program.engine_is("")
    await site.until(lambda: site.state("gpu1") == "ready")
    machine.go.set()
    assert (await running).status is RunStatus.OK and machine.ran == ["train-wait"], "what it has goes on over all that"


async def _offered(site: Site, secrets: MachineSecrets, frame: f.FromMachine) -> f.FromNode:
    async with program_module._connected(secrets.address, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(frame))
        return await program_module._answer(frames)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (f.GiveOutput("train-save", CHECKPOINT, CAP + 1), f"1 to {CAP} are allowed"),
        (f.GiveOutput("train-save", CHECKPOINT, 0), f"1 to {CAP} are allowed"),
        (f.GiveOutput("train-save", "sets", 1), "1 to 0 are allowed"),
        (f.Want("train-save", "model"), "no input model"),
        (f.Want("train-save", CHECKPOINT), "no input checkpoint"),
    ],
)
async def test_a_machine_brings_no_more_and_takes_nothing_else(site: Site, frame: f.FromMachine, why: str) -> None:
    machine, keeper = await site.machine("gpu1"), Keeper()
    running = keeper.run(site, "save")
    await site.until(lambda: bool(keeper.found))
    with pytest.raises(NodeRefused, match=why):
        await _offered(site, site.programs["gpu1"]._secrets, frame)
    machine.go.set()
    status = (await running).status
    assert status is (RunStatus.OK if isinstance(frame, f.Want) else RunStatus.ENGINE_ERROR) and keeper.found == [STEP]


async def test_where_nobody_keeps_checkpoints_none_is_taken(site: Site) -> None:
    machine: ScriptedEngine = await site.machine("gpu1")
    running = asyncio.create_task(site.run(spec("save")))
    await machine.began.wait()
    with pytest.raises(NodeRefused, match="Nobody takes a checkpoint"):
        await _offered(site, site.programs["gpu1"]._secrets, f.GiveOutput("train-save", CHECKPOINT, 5))
    machine.go.set()
    result = await running
    assert result.status is RunStatus.OK and left(site, result.outputs["model"].path.name) == []
