"""Other machines of a node: what is refused on their connections, who may join, where a training goes, and what is believed.

Node and machine are the real ones, on a loopback connection with real TLS; their engines are doubles.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.client.api.machines import ROUTES
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.machines import frames as f
from learningchain.client.machines import gate, heard
from learningchain.client.machines import hub as hub_module
from learningchain.client.machines import program as program_module
from learningchain.client.machines.book import TOKEN_MS, MachineBook, MachineError
from learningchain.client.machines.joined import LeasedFor
from learningchain.client.machines.placing import ASIDE_MB, MachinePlace, RoomShare, choose, may_leave, needs_trust
from learningchain.client.machines.program import NodeRefused, join
from learningchain.client.machines.trust import (
    BadToken,
    MachineJoinToken,
    MachineSecrets,
    key_pem,
    machine_context,
    new_key,
    parse_token,
    public_der,
)
from learningchain.sandbox import EngineError, ImageLimits, OwnData, RunSpec, RunStatus
from learningchain.sandbox.data import DataFile, DataSet
from tests.unit.api_kit import FakeRuns, serving
from tests.unit.client_fake_api import Fake
from tests.unit.machines_kit import ARCHIVE, IMAGE, LIMITS, Site, a_site, spec

pytest_plugins = ["tests.unit.client_cli_kit"]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch) as made:
        yield made


# --- frames --------------------------------------------------------------------------------------------------------------------

PING = f.framed(f.MachinePing())
HOSTILE = {
    "half a frame": (PING[:-1], ConnectionError),
    "half a length": (b"\0\0", ConnectionError),
    "no bytes": (b"\0\0\0\0", Malformed),
    "too long": ((f.MAX_FRAME + 1).to_bytes(4, "big") + bytes(10), Malformed),
    "unknown": (b"\0\0\0\2\x91\x7f", Malformed),
    "a frame of the other side": (f.framed(f.ReleaseRun("r")), Malformed),
    "one field more": (b"\0\0\0\3\x92\x09\x01", Malformed),
    "a name with a slash": (f.framed(structs.replace(f.GiveOutput("r", "model", 1), name="../model")), Malformed),
    "a run with a line": (f.framed(f.Began("r\n")), Malformed),
    "not canonical": (b"\0\0\0\4\xdc\0\1\x09", Malformed),
    "a flood": (PING * (f.BURST + 50), Malformed),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_what_is_no_frame_ends_the_connection(case: str) -> None:
    raw, error = HOSTILE[case]
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    frames = f.FrameReader(reader)
    with pytest.raises(error):
        while True:
            await frames.of_machine()
    assert encode(f.MachinePing()) == PING[4:]


async def test_who_says_nothing_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f, "SILENT_S", 0.01)
    with pytest.raises(Malformed, match="nothing was heard"):
        await f.FrameReader(asyncio.StreamReader()).of_machine()


# --- placing -------------------------------------------------------------------------------------------------------------------

WANTED = RoomShare(1_000, 512)
SMALL, LARGE = RoomShare(2_000, 1_024 + ASIDE_MB), RoomShare(8_000, 4_096 + ASIDE_MB)
PLACES: dict[str, tuple[list[MachinePlace], str | None]] = {
    "none there": ([], None),
    "the emptier of two": ([MachinePlace("a", SMALL), MachinePlace("b", LARGE)], "b"),
    "the first by name of two alike": ([MachinePlace("b", LARGE), MachinePlace("a", LARGE)], "a"),
    "one that is away or failing takes nothing": ([MachinePlace("a", LARGE, usable=False), MachinePlace("b", SMALL)], "b"),
    "what runs there counts": ([MachinePlace("a", LARGE, (WANTED,) * 7), MachinePlace("b", SMALL)], "b"),
    "memory alone may be full": ([MachinePlace("a", SMALL, (RoomShare(100, 900),))], None),
    "processors alone may be full": ([MachinePlace("a", SMALL, (RoomShare(1_500, 16),))], None),
    "something stays for the engine": ([MachinePlace("a", RoomShare(1_000, 512 + ASIDE_MB - 1))], None),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_training_goes_where_there_is_most_room(case: str) -> None:
    places, expected = PLACES[case]
    assert choose(WANTED, places) == expected


FILE = Path("/a/file")
SETS = DataSet((DataFile("digits/a", FILE, 1, bytes(32)),))
LEAVES: dict[str, tuple[RunSpec, str]] = {
    "a training": (spec(), "to any"),
    "a training that goes on": (spec(inputs={"model": FILE, "checkpoint": FILE}), "to any"),
    "a training with a data set": (spec(inputs={"sets": SETS}), "to any"),
    "a training with a GPU": (spec(devices=("nvidia.com/gpu=0",)), "nowhere"),
    "an evaluation": (spec(phase="evaluate", seed=None, inputs={"model": FILE}), "to trusted ones"),
    "an evaluation on hidden data": (spec(phase="evaluate", seed=None, inputs={"model": FILE, "eval": FILE}), "to trusted ones"),
    "an evaluation with a data set": (spec(phase="evaluate", seed=None, inputs={"model": FILE, "sets": SETS}), "nowhere"),
    "an audit of a round": (spec(phase="evaluates", seed=None, inputs={"models": FILE}), "nowhere"),
    "an answer": (spec(phase="predict", inputs={"model": FILE}), "nowhere"),
    "a training on own data": (
        spec(phase="local", inputs={"model": FILE, "data": OwnData(name="own", digest=bytes(32), size=1, files=1)}),
        "nowhere",
    ),
}


@pytest.mark.parametrize("case", LEAVES)
def test_what_leaves_the_node_and_to_whom(case: str) -> None:
    given, where = LEAVES[case]
    leaves = "nowhere" if not may_leave(given) else "to trusted ones" if needs_trust(given) else "to any"
    assert leaves == where


# --- who may join --------------------------------------------------------------------------------------------------------------


async def test_a_token_is_good_for_one_machine_within_its_hour(site: Site) -> None:
    text, until = site.hub.add("gpu1", site.where)
    assert until == site.now + TOKEN_MS and site.state("gpu1") == "invited"
    secrets = await join(parse_token(text))
    assert secrets.name == "gpu1" and site.state("gpu1") == "away"
    with pytest.raises(NodeRefused, match="was used"):
        await join(parse_token(text))
    wrong = structs.replace(parse_token(text), secret=bytes(32))
    with pytest.raises(NodeRefused, match="not known here"):
        await join(wrong)
    late, _ = site.hub.add("gpu2", site.where)
    site.now += TOKEN_MS
    with pytest.raises(NodeRefused, match="hour is over"):
        await join(parse_token(late))
    with pytest.raises(MachineError, match="There is a machine gpu1 already"):
        site.hub.add("gpu1", site.where)
    first, second = (site.hub.add("gpu3", site.where)[0] for _ in range(2))
    with pytest.raises(NodeRefused, match="not known here"):
        await join(parse_token(first))
    assert (await join(parse_token(second))).name == "gpu3"


async def test_nothing_is_told_to_another_node_than_the_token_names(site: Site) -> None:
    token = parse_token(site.hub.add("gpu1", site.where)[0])
    with pytest.raises(NodeRefused, match="not the node that made the token"):
        await join(structs.replace(token, certificate=bytes(32)))
    assert (await join(token)).name == "gpu1", "its secret was not used up"


@pytest.mark.parametrize("text", ["", "lcm_", "lct_abc", "lcm_" + "A" * 200, "lcm_ä", "lcm_" + "A" * 5_000])
def test_what_is_no_token_says_where_one_comes_from(text: str) -> None:
    with pytest.raises(BadToken, match="machine add"):
        parse_token(text)


async def test_another_version_and_another_authority_are_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = await site.joined("gpu1")
    other = MachineBook(tmp_path / "other", site.now)
    stranger = await _with_own_certificate(other, site)
    with pytest.raises((OSError, NodeRefused, Malformed)):
        await _hello(structs.replace(secrets, certificate=stranger.certificate, key=stranger.key))
    assert site.state("gpu1") == "away"
    monkeypatch.setattr(f, "PROTOCOL", f.PROTOCOL + 1)
    hello = f.MachineHello(f.PROTOCOL - 1, "1", "1", "x86_64", 1_000, 1_000, "", [])
    with pytest.raises(NodeRefused, match="install the same LearningChain"):
        await _hello(secrets, hello)


async def test_a_removed_machine_comes_in_no_more(site: Site) -> None:
    secrets = await site.joined("gpu1")
    assert isinstance(await _hello(secrets), f.Admitted)
    assert site.hub.remove("gpu1") and not site.hub.remove("gpu1")
    with pytest.raises(NodeRefused, match="removed"):
        await _hello(secrets)
    again = await site.joined("gpu1")
    with pytest.raises(NodeRefused, match="joined anew"):
        await _hello(secrets)
    assert isinstance(await _hello(again), f.Admitted)


async def _with_own_certificate(book: MachineBook, site: Site) -> MachineSecrets:
    """What another node's authority says of a machine of the same name."""
    key, (token, _) = new_key(), book.add("gpu1", site.where, site.now)
    _, certificate = book.join(token.secret, public_der(key), site.now)
    return MachineSecrets("gpu1", site.where, book.secrets.authority, certificate, key_pem(key))


async def _hello(secrets: MachineSecrets, hello: f.MachineHello | None = None) -> f.FromNode:
    async with program_module._connected(secrets.address, machine_context(secrets)) as (frames, writer):
        writer.write(f.framed(hello or f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 1_000, 1_000, "", [])))
        return await program_module._answer(frames)


# --- runs ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ok", "exit", "late"])
async def test_a_run_ends_as_it_does_on_the_own_engine(site: Site, mode: str) -> None:
    await site.image()
    here = await site.run(spec(mode))
    machine = await site.machine("gpu1")
    there = await site.run(spec(mode))
    assert machine.ran == site.own.ran == [f"train-{mode}"]
    assert machine.loaded == ARCHIVE
    for name in ("status", "exit_code", "log_tail", "left", "result"):
        assert getattr(there, name) == getattr(here, name), name
    assert {n: (o.size, o.sha256, o.path.read_bytes()) for n, o in there.outputs.items()} == {
        n: (o.size, o.sha256, o.path.read_bytes()) for n, o in here.outputs.items()
    }
    await site.until(lambda: not list(machine.folder.glob("*")))


async def test_an_image_comes_once_and_goes_with_its_last_job(site: Site) -> None:
    await site.image()
    machine = await site.machine("gpu1")
    await site.run(spec())
    machine.loaded = b""
    await site.run(spec(run_id="train-2"))
    assert machine.loaded == b""
    await site.backend.remove(IMAGE)
    await site.until(lambda: IMAGE not in machine.images)


REFERENCE = f"registry.example/net@{IMAGE}"


async def test_an_image_of_a_registry_is_pulled_where_it_is_needed(site: Site) -> None:
    assert await site.backend.pull(REFERENCE, ImageLimits()) == IMAGE
    machine = await site.machine("gpu1")
    for run in ("train-1", "train-2"):
        assert (await site.run(spec(run_id=run))).status is RunStatus.OK
    assert (machine.ran, machine.pulled, machine.loaded) == (["train-1", "train-2"], [REFERENCE], b"")
    await site.backend.remove(IMAGE)
    await site.until(lambda: IMAGE not in machine.images)


@pytest.mark.parametrize("registry", [None, "sha256:" + "cd" * 32], ids=["out of reach", "another image"])
async def test_an_image_that_a_machine_does_not_get_from_its_registry_stays_on_the_node(site: Site, registry: str | None) -> None:
    await site.backend.pull(REFERENCE, ImageLimits())
    machine, other = await site.machine("gpu1"), await site.machine("gpu2")
    machine.registry = registry
    result = await site.run(spec())
    assert result.status is RunStatus.ENGINE_ERROR and "registry" in result.reason
    assert (await site.run(spec())).status is RunStatus.OK and (machine.ran, other.ran, site.own.ran) == ([], [], ["train-ok"])


async def test_an_image_that_one_machine_could_not_pull_goes_from_the_others_with_its_last_job(site: Site) -> None:
    await site.backend.pull(REFERENCE, ImageLimits())
    machine, other = await site.machine("gpu1"), await site.machine("gpu2")
    assert (await site.run(spec(run_id="train-1"))).status is RunStatus.OK and IMAGE in machine.images
    site.hub.drain("gpu1", True)
    other.registry = None
    assert (await site.run(spec(run_id="train-2"))).status is RunStatus.ENGINE_ERROR
    await site.backend.remove(IMAGE)
    await site.until(lambda: IMAGE not in machine.images)


async def test_a_machine_that_drains_goes_on_with_what_it_has(site: Site) -> None:
    await site.image()
    machine = await site.machine("gpu1")
    running = asyncio.create_task(site.run(spec("wait")))
    await machine.began.wait()
    assert site.hub.drain("gpu1", True) and site.state("gpu1") == "draining" and not site.hub.drain("gpu2", True)
    assert (await site.run(spec())).status is RunStatus.OK and site.own.ran == ["train-ok"]
    machine.go.set()
    assert (await running).status is RunStatus.OK
    assert MachineBook(site.folder / "node" / "machines", site.now).drains("gpu1"), "also after a start of the node"
    site.hub.drain("gpu1", False)
    await site.run(spec(run_id="train-2"))
    assert machine.ran == ["train-wait", "train-2"]


async def test_how_many_trainings_would_begin_elsewhere(site: Site) -> None:
    assert site.backend.elsewhere() == 0
    await site.image()
    machine = await site.machine("gpu1")
    await site.machine("gpu2")
    assert site.backend.elsewhere() == 2
    running = asyncio.create_task(site.run(spec("wait")))
    await site.until(machine.began.is_set)
    assert site.backend.elsewhere() == 1
    site.hub.drain("gpu2", True)
    assert site.backend.elsewhere() == 0
    machine.go.set()
    await running


async def test_an_engine_of_another_processor_takes_nothing(site: Site) -> None:
    await site.image()
    hello = f.MachineHello(f.PROTOCOL, "1", "1", "aarch64", 4_000, 4_096, "", [])
    async with _by_hand(site, await site.joined("gpu1"), hello):
        assert (await site.run(spec())).status is RunStatus.OK and site.own.ran == ["train-ok"]
        assert "aarch64" in site.hub.shown()[0]["why"]


async def test_a_cancelled_run_ends_on_the_machine(site: Site) -> None:
    await site.image()
    machine, cancel = await site.machine("gpu1"), threading.Event()
    running = asyncio.create_task(site.run(spec("for-ever"), cancel))
    await machine.began.wait()
    cancel.set()
    assert (await running).status is RunStatus.CANCELLED
    assert (await site.run(spec())).status is RunStatus.OK, "a run that was called off blames nobody"


async def test_a_run_goes_on_over_a_lost_connection(site: Site) -> None:
    await site.image()
    machine = await site.machine("gpu1")
    running = asyncio.create_task(site.run(spec("wait")))
    await machine.began.wait()
    known = site.hub._machines["gpu1"]
    before = known.writer
    assert before is not None
    before.transport.abort()
    machine.go.set()
    result = await running
    assert known.writer is not before
    assert result.status is RunStatus.OK and result.outputs["model"].path.read_bytes() == b"a model"
    assert machine.ran == ["train-wait"]


@pytest.mark.parametrize(("away_s", "pause_s"), [(0, 1), (10, 1), (20, 2), (90, 9), (600, 60), (86_400, 60)])
def test_a_node_that_was_away_for_a_moment_is_dialled_again_in_a_moment(away_s: float, pause_s: float) -> None:
    assert program_module._pause(away_s) == pause_s


async def test_a_run_is_over_where_its_machine_stays_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LOST_S", 0.01)
    await site.image()
    secrets = await site.joined("gpu1")
    async with _by_hand(site, secrets) as (frames, writer):
        running = asyncio.create_task(site.run(spec()))
        assert isinstance(await _next(frames), f.Take)
        writer.close()
        result = await running
    assert result.status is RunStatus.ENGINE_ERROR and result.lost and "has been away" in result.reason
    order = bytes(32)
    hello = f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 4_000, 4_096, "", [f.HeldRun("train-ok", order)])
    async with _by_hand(site, secrets, hello) as (frames, _):
        assert isinstance(await _next(frames), f.EndRun) and isinstance(await _next(frames), f.ReleaseRun), (
            "its result is of no use now"
        )


LIES: dict[str, tuple[list[f.FromMachine], str]] = {
    "a model a byte too long": ([f.GiveOutput("train-ok", "model", LIMITS.model_cap + 1)], "1 to 100 are allowed"),
    "an empty model": ([f.GiveOutput("train-ok", "model", 0)], "1 to 100 are allowed"),
    "a file that the phase has not": ([f.GiveOutput("train-ok", "losses", 5)], "1 to 0 are allowed"),
    "done without a model": ([f.RunOver("train-ok", "ok", "", 0, 1, "")], "gave no model"),
    "its own trouble": (
        [f.RunOver("train-ok", "engine-error", "no\x1b[2J disk", -1, 1, "")],
        "no\N{REPLACEMENT CHARACTER}[2J disk",
    ),
    "started anew": ([f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 4_000, 4_096, "", [])], "started anew"),
    "another order": (
        [f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 4_000, 4_096, "", [f.HeldRun("train-ok", bytes(32))])],
        "started anew",
    ),
}


@pytest.mark.parametrize("case", LIES)
async def test_a_lying_machine_costs_the_run_alone(site: Site, case: str) -> None:
    told, why = LIES[case]
    await site.image()
    secrets = await site.joined("gpu1")
    async with contextlib.AsyncExitStack() as stack:
        frames, writer = await stack.enter_async_context(_by_hand(site, secrets))
        running = asyncio.create_task(site.run(spec()))
        assert isinstance(await _next(frames), f.Take)
        for frame in told:
            if isinstance(frame, f.GiveOutput | f.MachineHello):
                _, other = await stack.enter_async_context(_open(secrets))
                other.write(f.framed(frame))
            else:
                writer.write(f.framed(frame))
        result = await running
        assert result.status is RunStatus.ENGINE_ERROR and why in result.reason
        assert result.lost is (why == "started anew"), "what it says and gives is its doing"
        assert not list((site.folder / "node" / "machines").rglob("*.model*"))
    await site.until(lambda: site.state("gpu1") == "away")
    assert (await site.run(spec(run_id="train-2"))).status is RunStatus.OK, "the next one runs elsewhere"


@pytest.mark.parametrize("frame", [f.RunOver("train-ok", "splendid", "", 0, 1, ""), f.Want("train-ok", "")])
async def test_what_has_no_place_ends_the_connection(site: Site, frame: f.FromMachine) -> None:
    await site.image()
    async with _by_hand(site, await site.joined("gpu1")) as (frames, writer):
        running = asyncio.create_task(site.run(spec(), cancel := threading.Event()))
        assert isinstance(await _next(frames), f.Take)
        writer.write(f.framed(frame))
        await site.until(lambda: site.state("gpu1") == "away")
        cancel.set()
        assert (await running).status is RunStatus.CANCELLED


async def test_strangers_who_hold_connections_shut_no_machine_out(site: Site) -> None:
    held = [await asyncio.open_connection("127.0.0.1", site.hub.port) for _ in range(gate.MAX_HALF_OPEN + 20)]
    held[-1][1].write(b"GET / HTTP/1.0\r\n\r\n")
    await site.machine("gpu1")
    assert len(site.hub._gate.half_open) <= gate.MAX_HALF_OPEN
    for _, writer in held:
        writer.transport.abort()


async def test_a_full_disk_of_the_node_ends_the_run_and_blames_no_machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise EngineError("taking an output", "it would leave 0 MiB free on the disk of /data")

    await site.image()
    await site.machine("gpu1")
    monkeypatch.setattr(heard, "leave_room", full)
    result = await site.run(spec())
    assert result.status is RunStatus.ENGINE_ERROR and "disk of /data" in result.reason
    assert site.state("gpu1") == "ready"


async def test_a_machine_gets_no_image_but_those_of_its_runs(site: Site) -> None:
    await site.image()
    secrets = await site.joined("gpu1")
    async with _open(secrets) as (frames, writer):
        writer.write(f.framed(f.Want("train-ok", "")))
        with pytest.raises(NodeRefused, match="no such run"):
            await program_module._answer(frames)


@contextlib.asynccontextmanager
async def _open(secrets: MachineSecrets) -> AsyncIterator[tuple[f.FrameReader, asyncio.StreamWriter]]:
    async with program_module._connected(secrets.address, machine_context(secrets)) as (frames, writer):
        yield frames, writer


@contextlib.asynccontextmanager
async def _by_hand(
    site: Site, secrets: MachineSecrets, hello: f.MachineHello | None = None
) -> AsyncIterator[tuple[f.FrameReader, asyncio.StreamWriter]]:
    async with _open(secrets) as (frames, writer):
        writer.write(f.framed(hello or f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 4_000, 4_096, "", [])))
        assert isinstance(await frames.of_node(), f.Admitted)
        yield frames, writer


async def _next(frames: f.FrameReader) -> f.FromNode:
    """What the node says next, without its pings."""
    while isinstance(frame := await frames.of_node(), f.MachinePing):
        pass
    return frame


# --- a node that starts again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_run_goes_on_over_a_start_of_the_node(site: Site, how: str) -> None:
    await site.image()
    machine, wanted = await site.machine("gpu1"), spec("wait", stays=True)
    running = asyncio.create_task(site.run(wanted))
    await machine.began.wait()
    if how == "stopped":
        site.backend.leave()
        assert (await running).left
    await _gone(site)
    again = Site(site.folder, site.hub.port)
    try:
        report = await again.backend.prepare([IMAGE], [wanted])
        assert report["runs"] == (wanted.run_id,)
        machine.go.set()
        result = await again.run(wanted)
        assert result.status is RunStatus.OK and result.outputs["model"].path.read_bytes() == b"a model"
        assert machine.ran == [wanted.run_id] and not again.own.ran
        await again.until(lambda: not site.programs["gpu1"]._held)
    finally:
        running.cancel()
        await again.close()


@pytest.mark.parametrize("kept", ["none", "another order"])
async def test_a_run_that_nobody_goes_on_with_ends_on_the_machine(site: Site, kept: str) -> None:
    await site.image()
    machine, wanted = await site.machine("gpu1"), spec("for-ever", stays=True)
    running = asyncio.create_task(site.run(wanted))
    await machine.began.wait()
    await _gone(site)
    again = Site(site.folder, site.hub.port)
    try:
        other = structs.replace(wanted, seed=2)
        assert (await again.backend.prepare([IMAGE], [] if kept == "none" else [other]))["runs"] == ()
        await again.until(lambda: not site.programs["gpu1"]._held)
    finally:
        running.cancel()
        await again.close()


async def _gone(site: Site) -> None:
    """The node's end, as its machines see it: nothing is said any more."""
    site.hub._leaving = True
    for machine in site.hub._machines.values():
        if machine.writer is not None:
            machine.writer.transport.abort()
    site.hub._gate.close()
    for task in site.hub._tasks:
        task.cancel()
    await asyncio.gather(*site.hub._tasks, return_exceptions=True)


async def test_images_of_an_earlier_start_are_still_known(site: Site) -> None:
    await site.image()
    again = Site(site.folder)
    try:
        await again.backend.prepare([IMAGE], [])
        machine = await again.machine("gpu1")
        assert (await again.run(spec())).status is RunStatus.OK and machine.ran == ["train-ok"]
    finally:
        await again.close()


# --- API and command -----------------------------------------------------------------------------------------------------------


async def test_machines_over_http(site: Site, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    async with serving(tmp_path / "api") as api:
        assert await api.get("/v1/machines") == []
        error = await api.refused("POST", "/v1/machines", 409, json={"name": "gpu1"})
        assert error["name"] == "NO_MACHINES" and "cluster.kind static" in error["message"]
        api.node.machines = site.hub
        made = await api.post("/v1/machines", {"name": "gpu1", "address": site.where})
        await join(parse_token(made["token"]))
        (row,) = await api.get("/v1/machines")
        assert (row["name"], row["state"], row["heard"]) == ("gpu1", "away", None)
        metrics = (await api.get("/metrics")).decode()
        api.node.runs = FakeRuns()
        api.node.runs.all = [
            {"id": "train-1", "state": "running", "reason": ""},
            {"id": "train-2", "state": "ok", "reason": "done"},
        ]
        site.hub.leased["slurm-1"] = LeasedFor("train-1", "PENDING: Priority")
        assert [run["reason"] for run in await api.get("/v1/runs")] == ["waits for slurm-1: PENDING: Priority", "done"]
        assert 'lc_machines{state="away"} 1.0' in metrics and 'lc_machines{state="ready"} 0.0' in metrics
        for body in ({"name": "gpu1", "address": site.where}, {"name": "gpu2", "address": "0.0.0.0:7403"}):
            assert (await api.refused("POST", "/v1/machines", 409, json=body))["name"] == "MACHINE"
        for body in ({"name": "GPU 1"}, {"name": "gpu2", "address": "nowhere"}):
            assert (await api.refused("POST", "/v1/machines", 400, json=body))["name"] == "BAD_REQUEST"
        drained = {"name": "gpu1", "drain": True}
        assert await api.call("PUT", "/v1/machines/gpu1", json={"drain": True}) == (200, drained)
        assert (await api.refused("PUT", "/v1/machines/gpu9", 404, json={"drain": True}))["name"] == "NO_SUCH_MACHINE"
        assert (await api.call("DELETE", "/v1/machines/gpu1"))[0] == 200
        assert (await api.refused("DELETE", "/v1/machines/gpu1", 404))["name"] == "NO_SUCH_MACHINE"
    assert {route.needs for route in ROUTES if route.method != "GET"} == {TokenScope.ALL}


def test_the_commands_where_the_node_is(api: Fake, run: Any) -> None:
    view = {"name": "gpu1", "state": "failing", "why": "no\x1bdisk", "cpus_milli": 3_500, "mem_mb": 64, "engine": "", "runs": ["r"]}
    api.answers["GET /v1/machines"] = [view | {"heard": None}]
    told = run("machines")
    assert told.code == 0 and all(word in told.out for word in ("gpu1", "failing", "3.5", "disk")) and "\x1b" not in told.out
    api.answers["POST /v1/machines"] = {"name": "gpu1", "token": "lcm_abc", "until": 1_700_000_000_000}
    assert run("machine", "add", "gpu1").out == "lcm_abc\n"
    api.answers["PUT /v1/machines/gpu1"] = {"name": "gpu1", "drain": False}
    assert "takes trainings again" in run("machine", "drain", "gpu1", "--off").out
    assert api.bodies("PUT", "/v1/machines/gpu1") == [{"drain": False}]
    api.answers["DELETE /v1/machines/gpu1"] = {"name": "gpu1", "removed": True}
    assert run("machine", "remove", "gpu1", "--json").json["removed"]


def test_the_commands_on_the_machine_say_what_is_missing(run: Any, tmp_path: Path) -> None:
    where = ("--data", tmp_path / "none")
    assert "machine add" in run("machine", "join", "lcm_nonsense", *where).err
    nobody = MachineJoinToken("127.0.0.1:1", bytes(32), bytes(32)).text()
    assert "cluster.listen" in run("machine", "join", nobody, *where).err
    told = run("machine", "run", *where)
    assert told.code == 1 and "machine join TOKEN" in told.err
    (tmp_path / "none" / program_module.FILE).write_text("{}")
    assert "Join again" in run("machine", "run", *where).err
