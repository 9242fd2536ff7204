"""Machines that the owner trusts: what they measure is the node's own word, and the node reads it itself.

Node and machines are the real ones, on loopback connections with real TLS; their engines are doubles.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from learningchain.client.config import ConfigError, load
from learningchain.client.machines import bringers
from learningchain.client.machines import frames as f
from learningchain.client.machines import program as program_module
from learningchain.client.machines.program import NodeRefused
from learningchain.client.machines.trust import MachineSecrets, machine_context
from learningchain.sandbox import Evaluated, RunSpec, RunStatus
from tests.unit.machines_kit import IMAGE, MEASURED, Site, a_site, spec
from tests.unit.test_machines import _gone


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch, trusted=("gpu1", "gpu2")) as made:
        await made.image()
        yield made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(b"a model")
    return path


def evaluation(model: Path, **more: Path) -> RunSpec:
    params = json.dumps({"mode": "ok"})
    return spec(run_id="check-1", phase="evaluate", seed=None, params=params, inputs={"model": model, **more})


async def test_a_trusted_machine_measures_to_the_last_digit_what_the_own_engine_does(site: Site, model: Path) -> None:
    hidden = model.with_name("hidden")
    hidden.write_bytes(b"rows")
    here = await site.run(evaluation(model, eval=hidden))
    machine = await site.machine("gpu1")
    there = await site.run(evaluation(model, eval=hidden))
    assert site.own.ran == machine.ran == ["check-1"] and machine.given == {"model": b"a model", "eval": b"rows"}
    assert isinstance(there.result, Evaluated) and tuple(there.result.losses) == MEASURED
    assert (there.status, there.result, there.outputs) == (here.status, here.result, {})
    folders = [site.folder / "gpu1" / "in", site.folder / "gpu1" / "sandbox" / "out", site.folder / "node" / "machines" / "out"]
    await site.until(lambda: not [path for folder in folders for path in folder.iterdir()])


async def test_each_trusted_machine_that_is_there_and_does_not_train_evaluates_beside_the_node(site: Site, model: Path) -> None:
    assert site.backend.evaluators() == 1
    machine = await site.machine("gpu1")
    await site.machine("gpu3")
    assert site.backend.evaluators() == 2
    site.hub.drain("gpu1", True)
    assert site.backend.evaluators() == 1
    site.hub.drain("gpu1", False)
    running = asyncio.create_task(site.run(spec("wait", phase="evaluate", seed=None, inputs={"model": model})))
    await machine.began.wait()
    assert site.backend.evaluators() == 2 and site.backend.elsewhere() == 1
    machine.go.set()
    await running


async def test_nobody_else_measures(site: Site, model: Path) -> None:
    other = await site.machine("gpu3")
    assert (await site.run(evaluation(model))).status is RunStatus.OK
    assert site.own.ran == ["check-1"] and not other.ran


async def test_a_model_is_checked_by_another_machine_than_the_one_that_trained_it(site: Site, model: Path) -> None:
    first = await site.machine("gpu1")
    await site.run(spec())
    assert first.ran == ["train-ok"]
    await site.run(evaluation(model))
    assert site.own.ran == ["check-1"], "there is no other one"
    second = await site.machine("gpu2")
    await site.run(evaluation(model))
    assert second.ran == ["check-1"]


@pytest.mark.parametrize("damaged", [False, True])
async def test_who_trained_is_known_over_a_start_of_the_node(site: Site, model: Path, damaged: bool) -> None:
    await site.machine("gpu1")
    await site.run(spec())
    if damaged:
        (site.folder / "node" / "machines" / "brought.json").write_text("[1")
    await _gone(site)
    again = Site(site.folder, site.hub.port, trusted=("gpu1", "gpu2"))
    try:
        await again.backend.prepare([IMAGE], [])
        await again.until(lambda: again.state("gpu1") == "ready")
        await again.run(evaluation(model))
        assert (again.own.ran, site.engines["gpu1"].ran[1:]) == (([], ["check-1"]) if damaged else (["check-1"], []))
    finally:
        await again.close()


async def test_so_many_jobs_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringers, "MAX_BROUGHT", 2)
    known = bringers.ModelBringers(tmp_path / "brought.json")
    for mode, name in (("a", "gpu1"), ("b", "gpu1"), ("a", "gpu2"), ("c", "gpu1")):
        await known.add(spec(mode), name)
    assert [sorted(bringers.ModelBringers(tmp_path / "brought.json").of(spec(mode))) for mode in "abc"] == [
        ["gpu1", "gpu2"],
        [],
        ["gpu1"],
    ]


LOSSES = {
    "losses that are no numbers": (b"0.5\nnan\n", "is no number"),
    "no list of losses": (b"\x93NUMPY", "newline"),
    "done without losses": (b"", "gave no losses"),
}


@pytest.mark.parametrize("case", LOSSES)
async def test_what_cannot_be_read_ends_the_run_and_says_nothing_of_the_model(site: Site, model: Path, case: str) -> None:
    given, why = LOSSES[case]
    secrets = await site.joined("gpu1")
    async with program_module._connected(secrets.address, machine_context(secrets)) as (_, writer):
        writer.write(f.framed(f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 4_000, 4_096, "", [])))
        await site.until(lambda: site.state("gpu1") == "ready")
        running = asyncio.create_task(site.run(evaluation(model)))
        await site.until(lambda: site.hub.has("check-1"))
        if given:
            with pytest.raises(NodeRefused, match="cannot be read"):
                await _give(secrets, given)
        else:
            writer.write(f.framed(f.RunOver("check-1", "ok", "", 0, 1, "")))
        result = await running
    assert result.status is RunStatus.ENGINE_ERROR and why in result.reason and result.result is None
    assert not list((site.folder / "node" / "machines" / "out").iterdir())


async def _give(secrets: MachineSecrets, losses: bytes) -> None:
    async with program_module._connected(secrets.address, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(f.GiveOutput("check-1", "losses", len(losses))))
        assert isinstance(await program_module._answer(frames), f.Sized)
        writer.write(losses)
        await program_module._answer(frames)


async def test_an_evaluation_under_way_is_no_trouble_of_the_next_start(site: Site, model: Path) -> None:
    """A run with files is noted, too, and nobody goes on with it."""
    machine = await site.machine("gpu1")
    waiting = spec("wait", phase="evaluate", seed=None, inputs={"model": model})
    running = asyncio.create_task(site.run(waiting))
    await machine.began.wait()
    ((name, take),) = site.hub._notes.read()
    assert (name, take.run) == ("gpu1", waiting.run_id)
    machine.go.set()
    await running


@pytest.mark.parametrize("name", ["GPU1", "", "a/b", "-a"])
def test_a_name_that_no_machine_has_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.toml").write_text(f"[cluster]\ntrusted = [{json.dumps(name)}]\n")
    with pytest.raises(ConfigError, match="no name of a machine"):
        load(tmp_path)
