"""Published data sets of trainings on other machines: each goes there once, within bounds, and comes to the last byte.

Node and machine are the real ones, on a loopback connection with real TLS; their engines are doubles.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.errors import Malformed
from learningchain.client.machines import frames as f
from learningchain.client.machines import heard, set_cache
from learningchain.client.machines import program as program_module
from learningchain.client.machines.program import NodeRefused
from learningchain.client.machines.set_cache import SetCache, listing_of, read_listing
from learningchain.client.machines.trust import machine_context
from learningchain.sandbox import DataSet, EngineError, RunResult, RunSpec, RunStatus
from learningchain.sandbox.data import joined, measure, scan_folder
from learningchain.sandbox.spec import on_disk
from tests.unit.machines_kit import Site, a_site, spec


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch) as made:
        await made.image()
        yield made


def published(folder: Path, name: str, size: int = 300_000) -> DataSet:
    (folder / name / "a").mkdir(parents=True)
    (folder / name / "a" / "b").write_bytes(name.encode() * size)
    (folder / name / "empty").write_bytes(b"")
    return scan_folder(folder / name)


def kept(site: Site) -> list[str]:
    return sorted(path.name for path in (site.folder / "gpu1" / "sets").iterdir())


async def test_a_data_set_goes_to_a_machine_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, sent, send = await site.machine("gpu1"), list[bytes](), heard.send_set
    one, two = published(tmp_path, "digits"), published(tmp_path, "words")

    async def counted(machine: object, wanted: f.WantSet, writer: object) -> None:
        sent.append(wanted.digest)
        await send(machine, wanted, writer)  # type: ignore[arg-type]

    monkeypatch.setattr("learningchain.client.machines.hub.send_set", counted)
    for number, sets in enumerate(({"d": one}, {"d": one, "w": two}, {"d": one}, {"w": two})):
        result = await site.run(spec(run_id=f"train-{number}", inputs={"sets": joined(sets)}))
        assert result.status is RunStatus.OK and not site.own.ran, result
        assert machine.given == {f"{name}/{x.name}": x.path.read_bytes() for name, data in sets.items() for x in data.files}
    assert len(sent) == 2 and kept(site) == sorted(digest.hex() for digest in sent)


async def test_a_set_that_the_disk_of_a_machine_damaged_comes_anew(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, sets = await site.machine("gpu1"), joined({"d": published(tmp_path, "digits")})
    runs = machine.run

    async def compared(wanted: RunSpec, *rest: Any) -> RunResult:
        """As an engine does."""
        files = [file for given in wanted.inputs.values() if isinstance(given, DataSet) for file in given.files]
        if any(measure(file.name, file.path) != file for file in files):
            return RunResult(status=RunStatus.ENGINE_ERROR, reason="not what it was when it was measured")
        return await runs(wanted, *rest)

    monkeypatch.setattr(machine, "run", compared)
    assert (await site.run(spec(run_id="train-1", inputs={"sets": sets}))).status is RunStatus.OK
    [folder] = (site.folder / "gpu1" / "sets").iterdir()
    (folder / "0").write_bytes(b"damaged")
    for run, status in (("train-2", RunStatus.ENGINE_ERROR), ("train-3", RunStatus.OK)):
        site.hub._machines["gpu1"].trouble_until = 0.0
        assert (await site.run(spec(run_id=run, inputs={"sets": sets}))).status is status and not site.own.ran


async def test_what_came_with_another_content_is_no_set(site: Site, tmp_path: Path) -> None:
    machine, data = await site.machine("gpu1"), published(tmp_path, "digits")
    path = data.files[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    result = await site.run(spec(inputs={"sets": joined({"d": data})}))
    assert result.status is RunStatus.ENGINE_ERROR and "another content" in result.reason
    assert not machine.ran and kept(site) == []


async def test_a_machine_gets_no_data_set_but_those_of_its_runs(site: Site, tmp_path: Path) -> None:
    machine, sets = await site.machine("gpu1"), joined({"d": published(tmp_path, "digits")})
    running = asyncio.create_task(site.run(spec("wait", inputs={"sets": sets})))
    await machine.began.wait()
    secrets = site.programs["gpu1"]._secrets
    for run, digest in (("train-wait", bytes(32)), ("train-other", on_disk("sets", sets)[0].digest)):
        async with program_module._connected(secrets.address, machine_context(secrets)) as (frames, writer):
            writer.write(f.framed(f.WantSet(run, digest)))
            with pytest.raises(NodeRefused, match="no such run"):
                await program_module._answer(frames)
    machine.go.set()
    await running


async def _brought(cache: SetCache, data: DataSet, used: tuple[bytes, ...] = ()) -> DataSet:
    listing, stream = listing_of(data), asyncio.StreamReader()
    stream.feed_data(listing + b"".join(x.path.read_bytes() for x in data.files))
    return await cache.bring(data.digest, data.size, len(listing), stream.readexactly, used)


async def test_the_longest_unused_makes_room_and_what_a_run_uses_stays(tmp_path: Path) -> None:
    sets = [published(tmp_path, name, 1_000) for name in ("a", "b", "c", "d")]
    cache = SetCache(tmp_path / "cache", 3_500)
    cache.sweep()
    for age, data in zip((300, 100, 200), sets, strict=False):
        await _brought(cache, data)
        folder = tmp_path / "cache" / data.digest.hex()
        os.utime(folder, (folder.stat().st_mtime - age,) * 2)
    await _brought(cache, sets[3], (sets[0].digest,))
    assert [cache.find(data.digest) is not None for data in sets] == [True, True, False, True]


async def test_a_disk_with_less_room_than_the_bound_takes_the_next_set_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte a file takes a block: the bound alone would fill the disk, and then no set would come here any more."""
    sets, folder = [published(tmp_path, name, 1_000) for name in ("a", "b", "c")], tmp_path / "cache"

    def leave_room(_: Path, what: str, size: int = 0, files: int = 0) -> None:
        if files + sum(1 for path in folder.rglob("*") if path.is_file()) > 7:
            raise EngineError(what, "the disk is full")

    monkeypatch.setattr(set_cache, "leave_room", leave_room)
    cache = SetCache(folder, 1 << 30)
    cache.sweep()
    for age, data in zip((300, 200, 100), sets, strict=True):
        await _brought(cache, data)
        os.utime(found := folder / data.digest.hex(), (found.stat().st_mtime - age,) * 2)
    assert [cache.find(data.digest) is not None for data in sets] == [False, True, True]
    with pytest.raises(EngineError):
        await _brought(cache, sets[0], (sets[1].digest, sets[2].digest))


async def test_what_was_cut_off_or_damaged_is_fetched_again(tmp_path: Path) -> None:
    data, cache = published(tmp_path, "a", 10), SetCache(tmp_path / "cache", 10_000)
    cache.sweep()
    await _brought(cache, data)
    (tmp_path / "cache" / data.digest.hex() / "listing").write_bytes(b"half")
    assert cache.find(data.digest) is None and not list((tmp_path / "cache").iterdir())
    (tmp_path / "cache" / f"{data.digest.hex()}.new").mkdir()
    cache.sweep()
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("raw", [b"", b"\x90", b"\x91\x93\xa2..\x01\xc4\x20" + bytes(32), b"\xdd\xff\xff\xff\xff"])
def test_what_is_no_listing_is_refused(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_listing(raw, bytes(32), tmp_path)
