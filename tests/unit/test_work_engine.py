"""Threads around the sandbox, the record of runs, and what is held for a job: images, models, pins."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from learningchain.chain.contracts.job import PostJob
from learningchain.chain.host.terms import Earlier, Image, ImageKind, Use
from learningchain.client.config import Config
from learningchain.client.config.sections import ClusterConfig
from learningchain.client.contracts.job.roles.runs import evaluate_spec, wanted_image
from learningchain.client.data.published import describe
from learningchain.client.doctor import gpus
from learningchain.client.work import WorkConfig, compose
from learningchain.client.work.artifacts import Images, Models, Pins
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.engine import MAX_PROGRESS, MAX_RUNS, RunLog, ThreadedSandbox
from learningchain.client.work.events import WantedImage, WantedSet
from learningchain.client.work.prepared import PreparedEngine
from learningchain.client.work.sets import BadSet
from learningchain.client.work.vanished import VanishedImages
from learningchain.p2p.content.cid import parse
from learningchain.sandbox import (
    BadImage,
    Check,
    CleanupReport,
    EngineInfo,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
    SandboxUnavailable,
    SelfTestReport,
)
from tests.unit.work_kit import FakeEngine, FilesDouble, Inline, Web, evaluated, posting

IMAGE = "sha256:" + "ab" * 32
JOB, OTHER, THIRD = b"j" * 32, b"k" * 32, b"l" * 32


class StubSandbox:
    """Answers what `Sandbox` answers; `run` waits until it is cancelled."""

    def __init__(self, proved: bool = True) -> None:
        self.proved, self.calls = proved, list[str]()
        self.began = threading.Event()

    def check_engine(self) -> EngineInfo:
        return EngineInfo("20.10", "1.41", "amd64", ("runc",), 2, 4_096, False)

    def cleanup(self, *, keep_data: bool, keep_images: Any, keep_runs: Any) -> CleanupReport:
        self.calls.append(f"cleanup {sorted(keep_images)}")
        return CleanupReport(1, 2, 3, ())

    def self_test(self) -> SelfTestReport:
        self.calls.append("self_test")
        return SelfTestReport("runc", (Check("network", self.proved, "a packet left"),))

    def run(self, spec: RunSpec, *, on_progress: Any, on_checkpoint: Any, cancel: threading.Event) -> RunResult:
        on_progress(Progress(1, 2, 0.5))
        self.began.set()
        assert cancel.wait(10)
        return RunResult(status=RunStatus.CANCELLED, reason="cancelled")

    def close(self) -> None:
        self.calls.append("close")


def spec() -> RunSpec:
    return RunSpec(run_id="r", image_id=IMAGE, phase="train", seed=1, budget_s=1)


async def test_a_run_is_in_a_thread_and_its_progress_on_the_loop() -> None:
    stub = StubSandbox()
    engine = ThreadedSandbox(stub, 1, self_test=False)  # type: ignore[arg-type]
    seen: list[tuple[Progress, int]] = []
    cancel = threading.Event()
    task = asyncio.ensure_future(engine.run(spec(), lambda p: seen.append((p, threading.get_ident())), cancel))
    await asyncio.to_thread(stub.began.wait, 10)
    cancel.set()
    assert (await task).status is RunStatus.CANCELLED
    assert seen == [(Progress(1, 2, 0.5), threading.get_ident())]
    await engine.close()
    assert stub.calls == ["close"]


async def test_a_sandbox_that_leaks_runs_nothing() -> None:
    with pytest.raises(SandboxUnavailable, match="network: a packet left"):
        await ThreadedSandbox(StubSandbox(proved=False), 1, self_test=True).prepare((), ())  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "told"), [("none", True), ("static", True), ("slurm", False)])
async def test_a_gpu_of_slurm_that_no_cluster_gives_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, told: bool
) -> None:
    """With `slurm` the leases prove it themselves (test_slurm_gpus)."""
    monkeypatch.setattr(compose, "make_backend", lambda *_: StubSandbox())
    offered = ["slurm/gpu=0 cuda 8000", "a.com/gpu=0 cuda 8000"]
    config = Config(work=WorkConfig(gpus=offered), cluster=ClusterConfig(kind=kind))
    engine = compose.make_engine(config, tmp_path, bytes(20))
    prepared = PreparedEngine(engine)
    prepared.report = await engine.prepare((), ())
    notices = [one.text for found in prepared.notices() for one in found if one.topic == "device.refused"]
    found = gpus.look_at_cluster(offered, kind)
    assert len(notices) == len(found) == told
    for text in (*notices, *(one.text for one in found)):
        assert text.startswith("the device slurm/gpu=0 is given to no job") and f"cluster.kind is {kind}" in text
    await engine.close()


# --- the record of runs --------------------------------------------------------------------------------------------------------


def test_the_record_of_runs_is_bounded_and_keeps_those_under_way() -> None:
    log = RunLog(lambda: 5)
    first = log.begin("first", JOB, "train", 1, 7)
    for number in range(2 * MAX_RUNS):
        run = log.begin(f"r{number}", JOB, "train", 1, 7)
        log.end(run, RunResult(status=RunStatus.OK, reason="done", result=evaluated(5), log_tail="tail"))
    assert len(log.list()) == MAX_RUNS
    assert log.list()[0]["id"] == f"r{2 * MAX_RUNS - 1}"
    assert log.list()[0]["log"] == ""
    shown = log.get(f"r{2 * MAX_RUNS - 1}")
    assert shown is not None
    assert (shown["log"], shown["loss"], shown["state"], shown["seed"]) == ("tail", "0.000000005", "ok", "7")
    for step in range(3 * MAX_PROGRESS):
        log.progress(first, Progress(step, None, None))
    shown = log.get("first")
    assert shown is not None
    assert len(shown["progress"]) <= MAX_PROGRESS
    assert shown["progress"][-1]["step"] == 3 * MAX_PROGRESS - 1
    assert log.cancel("first", "because")
    assert first.cancel.is_set()
    log.end(first, RunResult(status=RunStatus.CANCELLED, reason="cancelled"))
    log.progress(first, Progress(1, None, None))
    assert not log.cancel("first", "again")
    assert log.get("gone") is None


# --- specs ---------------------------------------------------------------------------------------------------------------------


def test_a_claimant_and_every_verifier_hand_their_evaluation_the_same(tmp_path: Path) -> None:
    terms = posting(0, params='{"x":1}')
    runs = (("verify-1", "a", 12.5), ("verify-2", "b", 9.0), ("check-1", "a", 5.0), ("again-1", "a", 3.0))
    specs = [evaluate_spec(terms, run=run, image_id=IMAGE, model=tmp_path / at, wall_s=wall) for run, at, wall in runs]

    def shown(s: RunSpec | str) -> tuple[Any, ...]:
        assert isinstance(s, RunSpec)
        return (s.phase, s.seed, s.budget_s, s.threads, s.limits.mem_mb, s.params, sorted(s.inputs))

    assert [shown(spec) for spec in specs] == [("evaluate", None, 5, 1, 64, '{"x":1}', ["model"])] * 4


# --- material ------------------------------------------------------------------------------------------------------------------


async def test_a_model_is_named_as_the_content_store_will_name_it_and_leftovers_go(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        models = Models(tmp_path / "models", executor)
        left = tmp_path / "out"
        left.mkdir()
        (left / "new.model").write_bytes(b"weights" * 100_000)
        (left / "old.model").write_bytes(b"left by a killed node")
        model = await models.adopt(left / "new.model", "train-1")
        files = FilesDouble(Web(), "n", tmp_path / "files")
        cid, size = await files.add(model.path, pin="p")
        assert (parse(cid).to_bytes(), size) == (model.cid, model.size)
        (tmp_path / "models" / "stray.model").write_bytes(b"x")
        await models.sweep({model.path}, left)
        assert sorted(p.name for p in tmp_path.rglob("*.model")) == ["train-1.model"]
        await models.drop(model.path)
        await models.drop(model.path)
        assert not model.path.exists()


def wanted(terms: PostJob) -> WantedImage:
    return wanted_image(WorkConfig(), terms)


def make_images(tmp_path: Path) -> tuple[Images, FilesDouble, FakeEngine, Pins, WorkDatabase]:
    files = FilesDouble(Web(), "n", tmp_path / "files")
    engine = FakeEngine(tmp_path / "out", random.Random(0))
    book = WorkDatabase(tmp_path / "work.db", bytes(32), bytes(20))
    pins = Pins(files, book, Inline())
    return Images(files, engine, pins), files, engine, pins, book


async def test_an_image_is_pinned_and_stays_until_its_last_job_ended(tmp_path: Path) -> None:
    images, files, engine, pins, book = make_images(tmp_path)
    (tmp_path / "image.tar").write_bytes(b"an image")
    cid, size = await files.add(tmp_path / "image.tar", pin="boss")
    files.unpin(cid, "boss")
    terms = posting(0, image=Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), b"\xab" * 32, size))
    assert await images.ensure(JOB, wanted(terms)) == IMAGE
    assert await images.ensure(OTHER, wanted(terms)) == IMAGE
    assert files.pins[cid] == {f"image:{JOB.hex()}", f"image:{OTHER.hex()}"}
    assert {job for _, _, job, _ in book.pins()} == {JOB, OTHER} == pins.refs
    await images.release(JOB)
    assert engine.images == {IMAGE}
    await images.release(OTHER)
    assert engine.images == set()
    again = Pins(files, book, Inline())
    await again.load()
    await again.release(JOB)
    await again.release(OTHER)
    assert (files.pins[cid], book.pins()) == (set(), [])


async def test_the_files_of_a_set_are_pinned_once_for_all_jobs_on_it_until_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten thousand files each job would otherwise cost megabytes, of memory and of the disk."""
    images, files, engine, pins, book = make_images(tmp_path)
    (tmp_path / "image.tar").write_bytes(b"an image")
    (tmp_path / "set").mkdir()
    for name in "abc":
        (tmp_path / "set" / name).write_bytes(name.encode())
    found, paths = describe(tmp_path / "set")
    (tmp_path / "manifest").write_bytes(found.manifest)
    cids = [(await files.add(path, pin="boss"))[0] for path in paths]
    manifest = (await files.add(tmp_path / "manifest", pin="boss"))[0]
    image, size = await files.add(tmp_path / "image.tar", pin="boss")
    posted = Image(ImageKind.ARCHIVE, "", parse(image).to_bytes(), b"\xab" * 32, size)
    wants = replace(wanted(posting(0, image=posted)), sets=(WantedSet("digits", manifest, found.size, len(cids)),))
    monkeypatch.setattr(engine, "keep_set", AsyncMock())
    for ref in (JOB, OTHER, THIRD):
        await images.ensure(ref, wants)
    once = {"boss", f"set:{manifest}"}
    assert [files.pins[cid] for cid in cids] == [once] * 3 and len(book.pins()) == 3 * 2 + 3
    await pins.release(JOB)
    assert [files.pins[cid] for cid in cids] == [once] * 3 and JOB not in {ref for *_, ref, _ in book.pins()}
    again = Pins(files, book, Inline())
    await again.load()
    await again.give_up(OTHER, [f"image:{OTHER.hex()}"])
    assert [files.pins[cid] for cid in cids] == [once] * 3 and again.refs == {THIRD}
    await again.release(THIRD)
    assert [files.pins[cid] for cid in (*cids, manifest)] == [{"boss"}] * 4 and book.pins() == []


SET_FILES = ["one", "two"]


async def reads(pins: Pins, ref: bytes) -> None:
    await pins.pin("manifest", f"image:{ref.hex()}", ref)
    await pins.pin_set("manifest", ref, SET_FILES)


async def test_the_files_of_a_set_go_where_its_jobs_end_together_and_stay_for_one_that_begins(tmp_path: Path) -> None:
    _, files, _, pins, book = make_images(tmp_path)
    for ref in (JOB, OTHER):
        await reads(pins, ref)
    await asyncio.gather(pins.release(JOB), pins.release(OTHER))
    assert not any(files.pins.values()) and book.pins() == [] and not pins.refs
    await reads(pins, JOB)
    await asyncio.gather(pins.release(JOB), reads(pins, OTHER))
    assert [files.pins[cid] for cid in SET_FILES] == [{"set:manifest"}] * 2 and pins.refs == {OTHER}


async def test_what_the_store_did_not_pin_is_pinned_by_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files, _, pins, _ = make_images(tmp_path)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="full"):
        broken.setattr(files, "pin_all", Mock(side_effect=OSError("full")))
        await pins.pin("one", "set:manifest", JOB)
    await pins.pin("one", "set:manifest", JOB)
    assert files.pins["one"] == {"set:manifest"}


async def test_the_model_to_begin_with_comes_with_the_image_and_is_what_was_posted(tmp_path: Path) -> None:
    images, files, _, _, _ = make_images(tmp_path)
    for name in ("image.tar", "model"):
        (tmp_path / name).write_bytes(name.encode())
    (image, size), (cid, length) = [await files.add(tmp_path / name, pin="boss") for name in ("image.tar", "model")]
    archive = Image(ImageKind.ARCHIVE, "", parse(image).to_bytes(), b"\xab" * 32, size)
    posted = posting(0, image=archive, earlier=[Earlier(bytes(32), parse(cid).to_bytes(), length, 5)])
    assert wanted_image(WorkConfig(), posted, Use.EVALUATE).model is None
    await images.ensure(JOB, wanted(posted))
    begun = images.model(JOB)
    assert begun is not None and begun.read_bytes() == b"model" and f"image:{JOB.hex()}" in files.pins[cid]
    await images.release(JOB)
    assert images.model(JOB) is None
    with pytest.raises(BadSet, match=f"it has {length} bytes, not {length + 1}"):
        await images.ensure(JOB, replace(wanted(posted), model=(cid, length + 1)))


async def test_an_image_that_vanished_is_brought_again_and_the_run_made_once_more(tmp_path: Path) -> None:
    """Runs on an engine without their image end as engine errors; the machines hear of none where the image can be had again."""
    images, files, engine, _, _ = make_images(tmp_path)
    (tmp_path / "image.tar").write_bytes(b"an image")
    cid, size = await files.add(tmp_path / "image.tar", pin="boss")
    terms = posting(0, image=Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), b"\xab" * 32, size))
    image = await images.ensure(JOB, wanted(terms))
    runs: list[str] = []

    async def run(spec: Any, *_: Any) -> RunResult:
        runs.append(spec.image_id)
        there = await engine.has_image(spec.image_id)
        return RunResult(status=RunStatus.OK if there else RunStatus.ENGINE_ERROR, reason="" if there else "No such image")

    makes = VanishedImages(SimpleNamespace(run=run, start=lambda spec, cancel: run(spec)), images.bring_again)  # type: ignore[arg-type]
    spec, cancel = cast(Any, SimpleNamespace(image_id=image)), threading.Event()
    engine.images.clear()
    assert (await makes.run(spec, lambda _: None, cancel)).status is RunStatus.OK and len(runs) == 2
    engine.images.clear()
    assert cast(RunResult, await makes.start(spec, cancel)).status is RunStatus.OK and len(runs) == 4
    other = cast(Any, SimpleNamespace(image_id="sha256:" + "cd" * 32))
    assert (await makes.run(other, lambda _: None, cancel)).status is RunStatus.ENGINE_ERROR and len(runs) == 5, "nobody holds it"
    engine.images.clear()
    cancel.set()
    assert (await makes.run(spec, lambda _: None, cancel)).status is RunStatus.ENGINE_ERROR and len(runs) == 6, "it was cancelled"
    cancel.clear()
    await images.release(JOB)
    assert not await images.bring_again(image), "its job is over"


async def test_a_registry_image_that_is_another_one_than_posted_is_refused(tmp_path: Path) -> None:
    images, *_ = make_images(tmp_path)
    posted = Image(ImageKind.REGISTRY, "jobs/test@sha256:" + "ab" * 32, b"", b"\xee" * 32, 1_000)
    with pytest.raises(BadImage, match="not sha256:eeee"):
        await images.ensure(JOB, wanted(posting(0, image=posted)))
