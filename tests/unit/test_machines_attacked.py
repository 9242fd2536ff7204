"""Attacks on the port for machines, by strangers and by a machine that turned. An honest machine trains meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from learningchain.chain.errors import Malformed
from learningchain.client.machines import frames as f
from learningchain.client.machines import gate
from learningchain.client.machines.program import NodeRefused, _answer, _connected
from learningchain.client.machines.trust import MachineSecrets, joining_context, machine_context, new_key, public_der
from learningchain.sandbox import RunStatus
from tests.unit.machines_kit import LIMITS, ScriptedEngine, Site, a_site, spec

HELLO = f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 64_000, 64_000, "", [])
RUN = "train-wait"
"""The honest machine's."""


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch) as made:
        await made.image()
        yield made


@contextlib.asynccontextmanager
async def _training(site: Site) -> AsyncIterator[ScriptedEngine]:
    """An honest machine trains, and its run comes to a good end whatever is done meanwhile."""
    engine = await site.machine("honest")
    running = asyncio.create_task(site.run(spec("wait")))
    await engine.began.wait()
    yield engine
    engine.go.set()
    result = await running
    assert result.status is RunStatus.OK and result.outputs["model"].path.read_bytes() == b"a model"
    assert engine.ran == [RUN] and not site.own.ran
    assert [path.name for path in (site.folder / "node" / "machines" / "out").iterdir()] == [result.outputs["model"].path.name]


# --- strangers -----------------------------------------------------------------------------------------------------------------

KEY = public_der(new_key())
SAYS: dict[str, bytes] = {
    "another token": f.framed(f.JoinMachine(f.PROTOCOL, bytes(32), KEY)),
    "a key that is none": f.framed(f.JoinMachine(f.PROTOCOL, bytes(32), b"key")),
    "another version": f.framed(f.JoinMachine(f.PROTOCOL + 1, bytes(32), KEY)),
    "a hello without a certificate": f.framed(HELLO),
    "an image without a certificate": f.framed(f.Want(RUN, "")),
    "an output without a certificate": f.framed(f.GiveOutput(RUN, "model", 7)),
    "half a frame": f.framed(HELLO)[:-1],
    "a frame that is too long": (f.MAX_FRAME + 1).to_bytes(4, "big") + bytes(1_000),
    "a frame of the longest kind": f.MAX_FRAME.to_bytes(4, "big") + bytes(f.MAX_FRAME),
    "a node's frame": f.framed(f.Take(RUN, b"", 1, 1, 1, 1, 0, [])),
    "a flood": f.framed(f.MachinePing()) * 2_000,
    "no frame at all": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("case", SAYS)
async def test_a_stranger_gets_a_refusal_or_nothing(site: Site, case: str) -> None:
    async with _training(site):
        with contextlib.suppress(OSError, ssl.SSLError):
            async with _connected(site.where, joining_context()) as (frames, writer):
                writer.write(SAYS[case])
                if writer.can_write_eof():
                    writer.write_eof()
                if case.startswith("half"):
                    writer.close()
                with pytest.raises((NodeRefused, ConnectionError, Malformed)):
                    await _answer(frames)
        assert [row["name"] for row in site.hub.shown()] == ["honest"]


async def test_one_address_that_dials_without_end_is_cut_short(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with _training(site):
        now, served = site.hub._gate._now(), 0
        monkeypatch.setattr(site.hub._gate, "_now", lambda: now)
        for _ in range(int(gate.DIALS_AT_ONCE) + 50):
            with contextlib.suppress(OSError, ssl.SSLError, Malformed, TimeoutError):
                async with _connected(site.where, joining_context()) as (frames, writer):
                    writer.write(SAYS["another token"])
                    with pytest.raises(NodeRefused):
                        await _answer(frames)
                    served += 1
        assert 0 < served <= gate.DIALS_AT_ONCE
        for number in range(gate.MAX_ADDRESSES + 10):
            assert site.hub._gate.may_dial(f"10.0.{number >> 8}.{number & 255}"), "others dial as before"
        assert len(site.hub._gate.dials) <= gate.MAX_ADDRESSES


# --- a machine that turned -----------------------------------------------------------------------------------------------------

Attack = Callable[[Site, MachineSecrets], Awaitable[None]]


async def _says(site: Site, secrets: MachineSecrets, *told: f.FromMachine) -> f.FromNode:
    async with _connected(site.where, machine_context(secrets)) as (frames, writer):
        for frame in told:
            writer.write(f.framed(frame))
        return await _answer(frames)


async def _takes_its_image(site: Site, secrets: MachineSecrets) -> None:
    with pytest.raises(NodeRefused, match="no such run on this machine"):
        await _says(site, secrets, f.Want(RUN, ""))


async def _gives_its_model(site: Site, secrets: MachineSecrets) -> None:
    with pytest.raises(NodeRefused, match="no such run on this machine"):
        await _says(site, secrets, f.GiveOutput(RUN, "model", 7))


async def _ends_it(site: Site, secrets: MachineSecrets) -> None:
    async with _connected(site.where, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(HELLO))
        assert isinstance(await _answer(frames), f.Admitted)
        for frame in (f.RunOver(RUN, "failed", "no", 1, 1, ""), f.Printed(RUN, "lies"), f.RunProgress(RUN, 1, 1, "nan")):
            writer.write(f.framed(frame))
        writer.write(f.framed(f.Want(RUN, "")))  # what has no place here: the node has read all before it
        with pytest.raises(ConnectionError):
            while True:
                await _answer(frames)


async def _says_that_it_holds_it(site: Site, secrets: MachineSecrets) -> None:
    held = f.HeldRun(RUN, site.hub._machines["honest"].runs[RUN].order)
    hello = f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 1, 1, "\x1b[2J", [held])
    async with _connected(site.where, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(hello))
        assert isinstance(await _answer(frames), f.Admitted)
        told = [type(await _answer(frames)) for _ in range(3)]
        assert f.EndRun in told and f.ReleaseRun in told
        assert not any("\x1b" in str(row["why"]) for row in site.hub.shown())


async def _floods(site: Site, secrets: MachineSecrets) -> None:
    async with _connected(site.where, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(HELLO) + f.framed(f.Printed(RUN, "x" * f.MAX_TAIL)) * (2 * f.BURST))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            while True:
                await _answer(frames)


ATTACKS: dict[str, Attack] = {
    "takes another's image": _takes_its_image,
    "gives another's model": _gives_its_model,
    "ends another's run": _ends_it,
    "says that it holds another's run": _says_that_it_holds_it,
    "floods": _floods,
}


@pytest.mark.parametrize("case", ATTACKS)
async def test_a_machine_touches_no_run_of_another(site: Site, case: str) -> None:
    async with _training(site):
        await ATTACKS[case](site, await site.joined("turned"))
        run = site.hub._machines["honest"].runs[RUN]
        assert not run.done.done() and "lies" not in run.printed


async def test_a_removed_machine_brings_not_another_byte(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f, "PIECE", 10)
    secrets = await site.joined("turned")
    async with _connected(site.where, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(HELLO))
        assert isinstance(await _answer(frames), f.Admitted)
        running = asyncio.create_task(site.run(spec(), threading.Event()))
        while not isinstance(await _answer(frames), f.Take):
            pass
        async with _connected(site.where, machine_context(secrets)) as (answers, giving):
            giving.write(f.framed(f.GiveOutput("train-ok", "model", LIMITS.model_cap)) + b"0123456789")
            assert isinstance(await _answer(answers), f.Sized)
            assert site.hub.remove("turned") and (await running).status is RunStatus.ENGINE_ERROR
            giving.write(b"0123456789")
            with pytest.raises(NodeRefused, match="over for the node"):
                await _answer(answers)
        assert not list((site.folder / "node" / "machines" / "out").iterdir())
