"""A node's sandbox over an engine in this process: what a run leaves behind, on every way in which it can end."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import requests

from learningchain.chain.losses import LossTree
from learningchain.sandbox import (
    ContainerLimits,
    EngineError,
    Evaluated,
    ImageLimits,
    Progress,
    RunSpec,
    RunStatus,
    Sandbox,
    SandboxUnavailable,
)
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import runner, service
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.reaper import Reaper
from learningchain.sandbox.docker.sidecar import Sidecar
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.losses import MAX_LOSSES_BYTES
from learningchain.sandbox.spec import MIB
from tests.slow import SLOW

from .docker_double import Box, Client, DockerDouble, refusal
from .test_sandbox_archive import GOOD, docker_archive, entry, tar

LIMITS = ContainerLimits(cpus=1.0, mem_mb=64, model_cap=1000, log_cap=2048, wall_s=20)


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerDouble:
    double = DockerDouble(tmp_path / "volumes")
    double.folder.mkdir()
    sidecar = tmp_path / "sidecar.tar"
    sidecar_id = docker_archive(sidecar, [tar(entry("sidecar", b"x"))])
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    monkeypatch.setattr(Engine, "api", lambda self, **_: Client(double))
    monkeypatch.setattr(Reaper, "ensure", lambda self: None)
    monkeypatch.setattr(service, "sidecar_image", lambda cache, machine: (sidecar, sidecar_id))
    monkeypatch.setattr("os.umask", lambda mask: 0)  # the sidecars' program sets its own process's
    return double


@pytest.fixture
def room(double: DockerDouble, tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path / "data", node_tag="n")
    yield sandbox
    double.faults.clear()
    sandbox.close()
    assert (double.boxes, double.volumes, double.open_pulls) == ({}, {}, 0)
    assert [box.name for box in double.made if box.attached and box.theirs.fileno() != -1] == [], "no connection stays open"


@pytest.fixture
def image(room: Sandbox, tmp_path: Path) -> str:
    return load(room, tmp_path)


def load(room: Sandbox, folder: Path, name: str = "job") -> str:
    image = docker_archive(folder / f"{name}.tar", [GOOD, tar(entry(name, b"x"))])
    assert room.load_archive(folder / f"{name}.tar", image) == image
    return image


def spec(image: str, run_id: str = "r", **more: Any) -> RunSpec:
    limits = msgspec.structs.replace(LIMITS, **{key: more.pop(key) for key in list(more) if key in LIMITS.__struct_fields__})
    plain = {"phase": "train", "budget_s": 5} | ({} if more.get("phase") else {"seed": 7})
    return RunSpec(run_id=run_id, image_id=image, limits=limits, **{**plain, **more})


def left(double: DockerDouble) -> tuple[int, int]:
    """Containers and volumes on the engine."""
    return len(double.boxes), len(double.volumes)


ONE_WAITS = (1, 2)
"""A sidecar for the next run, and its two volumes."""


def test_a_run_gets_its_inputs_and_its_model_is_the_callers(room: Sandbox, double: DockerDouble, image: str) -> None:
    seen: list[bytes] = []
    shown: list[Progress] = []

    def job(box: Box) -> int:
        seen.append((box.inside / "job.json").read_bytes())
        seen.append(b"%d" % box.mounts["/lc/in"]["ReadOnly"] + b"%d" % box.mounts["/lc/out"]["ReadOnly"])
        for step in range(5):
            box.say(b'LC {"step":%d}\n' % step)
        box.leave()
        return 0

    double.job = job
    outcome = room.run(spec(image, cpus=64), on_progress=shown.append)
    assert (outcome.status, outcome.result) == (RunStatus.OK, None), outcome
    model = outcome.outputs["model"]
    assert (model.path.read_bytes(), model.size) == (b"weights", 7)
    assert model.path.stat().st_mode & 0o777 == 0o600
    assert seen[0] == (b'{"v":2,"phase":"train","seed":7,"budget_s":5,"threads":1,"mem_mb":64,"params":{}}')
    assert seen[1] == b"10", "the inputs are not the job's to write"
    ways = [(box.mounts["/lc/in"]["ReadOnly"], box.mounts["/lc/out"]["ReadOnly"]) for box in double.made if "sidecar" in box.name]
    assert ways[0] == (False, True), "the outputs are not the sidecar's"
    assert shown[-1] == Progress(4), "the last one is shown, however many came at once"
    room.settle()
    assert left(double) == ONE_WAITS


def test_an_evaluation_gets_model_and_hidden_data_and_room_for_both(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"m" * 3 * MIB)
    (tmp_path / "e").write_bytes(b"e" * 3 * MIB)
    seen: list[object] = []

    def job(box: Box) -> int:
        options = box.mounts["/lc/in"]["VolumeOptions"]["DriverConfig"]["Options"]["o"]
        seen.append(int(options.partition("size=")[2].partition(",")[0]) >= 6 * MIB)
        seen.append(sorted((file.name, file.stat().st_size) for file in box.inside.iterdir())[:1])
        seen.append((box.inside / "model").read_bytes() == b"m" * 3 * MIB)
        box.leave()
        return 0

    double.job = job
    outcome = room.run(spec(image, phase="evaluate", inputs={"model": tmp_path / "m", "eval": tmp_path / "e"}))
    assert (outcome.status, outcome.loss, outcome.outputs) == (RunStatus.OK, 375_000_000, {}), outcome
    assert outcome.result == Evaluated(LossTree([250_000_000, 500_000_000]).measurement, array("q", [250_000_000, 500_000_000]))
    assert seen == [True, [("eval", 3 * MIB)], True]


@pytest.mark.parametrize(
    ("losses", "status", "why"),
    [
        (None, RunStatus.BAD_RESULT, "losses is missing"),
        (b"", RunStatus.BAD_RESULT, "losses, line 1: the file is empty"),
        (b"0.5\nx\n", RunStatus.BAD_RESULT, "losses, line 2: 'x' is no loss"),
        (b"nan\nx\n", RunStatus.MODEL_INVALID, "losses, line 1: 'nan' is no number"),
        (b"nan\n" + b"0" * MAX_LOSSES_BYTES, RunStatus.MODEL_INVALID, "losses, line 1: 'nan' is no number"),
        (b"0" * (MAX_LOSSES_BYTES + 1), RunStatus.BAD_RESULT, "losses, line 1: the file has more than 25,165,824 bytes here"),
        (b"9" * 9 + b".9\n" + (b"9" * 9 + b".9\n") * 9, RunStatus.MODEL_INVALID, "add up to more than 63 bits hold"),
    ],
)
def test_losses_that_are_none_say_whose_fault_it_is_and_the_next_run_goes_on(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, losses: bytes | None, status: RunStatus, why: str
) -> None:
    """The first bad line decides, also in a file that is too long: the answer must be the same on every machine."""
    (tmp_path / "m").write_bytes(b"m")
    double.job = lambda box: box.leave(losses=losses) or 0  # type: ignore[func-returns-value]
    outcome = room.run(spec(image, phase="evaluate", inputs={"model": tmp_path / "m"}))
    assert (outcome.status, outcome.result, outcome.exit_code) == (status, None, 0), outcome
    assert why in outcome.reason
    double.job = lambda box: box.leave() or 0  # type: ignore[func-returns-value]
    assert room.run(spec(image, "s", phase="evaluate", inputs={"model": tmp_path / "m"})).loss == 375_000_000


def test_whoever_evaluates_a_model_hands_its_program_the_same(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's own evaluation and a committee's: other names of the run, another order of the inputs, another wall clock."""
    (tmp_path / "m").write_bytes(b"m")
    (tmp_path / "e").write_bytes(b"e")
    seen: list[Any] = []
    names: list[str] = []
    put = Sidecar._put

    def noted(self: Sidecar, name: str, *content: Any) -> None:
        names.append(name)
        put(self, name, *content)

    monkeypatch.setattr(Sidecar, "_put", noted)

    def job(box: Box) -> int:
        host = {key: value for key, value in box.config["HostConfig"].items() if key != "Mounts"}
        asked = {key: value for key, value in box.config.items() if key not in ("HostConfig", "User", "Labels")}
        seen.append((host, asked, [(path.name, path.read_bytes()) for path in sorted(box.inside.iterdir())]))
        seen.append(names[-3:])
        box.leave()
        return 0

    double.job = job
    given = {"model": tmp_path / "m", "eval": tmp_path / "e"}
    room.run(spec(image, "check-1", phase="evaluate", inputs=given))
    room.run(spec(image, "verify-2", phase="evaluate", wall_s=9, inputs=dict(reversed(given.items()))))
    assert seen[:2] == seen[2:]
    files = dict(seen[0][2])
    assert files["job.json"] == b'{"v":2,"phase":"evaluate","budget_s":5,"threads":1,"mem_mb":64,"params":{}}'
    assert seen[1] == ["job.json", "model", "eval"]
    assert [item for item in seen[0][1]["Env"] if "SEED" in item] == []


def test_an_input_that_is_gone_or_shrinks_ends_the_run_with_its_reason(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = room.run(spec(image, phase="evaluate", inputs={"model": tmp_path / "missing"}))
    assert outcome.status is RunStatus.ENGINE_ERROR
    assert "missing" in outcome.reason
    (tmp_path / "m").write_bytes(b"m" * 10)
    monkeypatch.setattr("learningchain.sandbox.docker.sidecar.os", SimpleNamespace(fstat=lambda _: SimpleNamespace(st_size=11)))
    outcome = room.run(spec(image, "s", phase="evaluate", inputs={"model": tmp_path / "m"}))
    assert (outcome.status, "became shorter" in outcome.reason) == (RunStatus.ENGINE_ERROR, True)
    assert left(double) == (0, 0)


def test_the_waiting_sidecar_is_taken_by_the_next_run_of_its_size_alone(room: Sandbox, double: DockerDouble, image: str) -> None:
    used: list[str] = []

    def job(box: Box) -> int:
        used.append(box.mounts["/lc/out"]["Source"])
        assert list(box.outside.iterdir()) == [], "nothing of another run"
        box.leave()
        return 0

    double.job = job
    for run in ("a", "b", "c"):
        assert room.run(spec(image, run)).status is RunStatus.OK
        room.settle()
        assert left(double) == ONE_WAITS
    assert len(set(used)) == 3, "no two runs share a volume"
    assert double.count("create_container_from_config lc-n-sidecar-") == 4, "one for each run, and the one that waits"
    assert room.run(spec(image, "d", model_cap=500_000)).status is RunStatus.OK
    room.settle()
    assert double.count("create_container_from_config lc-n-sidecar-") == 6, "one too small, then one more that waits"
    assert left(double) == ONE_WAITS
    assert "size=5048576," in next(iter(double.boxes.values())).mounts["/lc/out"]["VolumeOptions"]["DriverConfig"]["Options"]["o"]


def test_a_waiting_sidecar_that_died_is_not_taken_and_goes(room: Sandbox, double: DockerDouble, image: str) -> None:
    assert room.run(spec(image)).status is RunStatus.OK
    room.settle()
    (waiting,) = double.boxes.values()
    waiting.hush()
    assert waiting.dead.wait(10)
    assert room.run(spec(image, "s")).status is RunStatus.OK
    room.settle()
    assert waiting.name not in double.boxes
    assert left(double) == ONE_WAITS


def test_a_run_id_is_taken_while_its_run_is_under_way_and_free_after(room: Sandbox, double: DockerDouble, image: str) -> None:
    told: list[str] = []

    def job(box: Box) -> int:
        if not told:
            with pytest.raises(ValueError, match="under way already"):
                room.run(spec(image))
            told.append("x")
        box.leave(model=b"weights %d" % len(double.did))
        return 0

    double.job = job
    first = room.run(spec(image))
    before = first.outputs["model"].path.read_bytes()
    again = room.run(spec(image))
    assert (first.status, again.status, told) == (RunStatus.OK, RunStatus.OK, ["x"])
    assert again.outputs["model"].path.read_bytes() != before


def forever(box: Box) -> int:
    box.say(b"here\n")
    box.killed.wait(60)
    return 0


def silently(box: Box) -> int:
    box.hush()
    box.killed.wait(60)
    return 0


@pytest.mark.parametrize("job", [forever, silently])
def test_a_cancelled_run_is_killed_whether_or_not_it_still_talks(room: Sandbox, double: DockerDouble, image: str, job: Any) -> None:
    cancel = threading.Event()
    started = threading.Event()

    def told(box: Box) -> int:
        started.set()
        return int(job(box))

    double.job = told
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(room.run, spec(image, wall_s=3600), cancel=cancel)
        assert started.wait(20)
        cancel.set()
        outcome = running.result(timeout=30)
    assert (outcome.status, outcome.outputs) == (RunStatus.CANCELLED, {})
    room.settle()
    assert left(double) == ONE_WAITS


def test_a_run_that_was_cancelled_before_it_began_touches_nothing(room: Sandbox, double: DockerDouble, image: str) -> None:
    cancel = threading.Event()
    cancel.set()
    assert room.run(spec(image), cancel=cancel).status is RunStatus.CANCELLED
    assert double.count("create_container") == 0
    assert room.run(spec(image)).status is RunStatus.OK, "its id is free"


@pytest.mark.parametrize("job", [forever, silently])
def test_the_wall_clock_ends_a_run_whether_or_not_it_still_talks(room: Sandbox, double: DockerDouble, image: str, job: Any) -> None:
    double.job = job
    outcome = room.run(spec(image, wall_s=0.3 * SLOW))
    assert outcome.status is RunStatus.TIMEOUT
    assert double.count("kill lc-n-r") == 1
    room.settle()
    assert left(double) == ONE_WAITS


@pytest.mark.parametrize("stream", [1, 2])
def test_output_on_either_stream_counts_against_the_cap(room: Sandbox, double: DockerDouble, image: str, stream: int) -> None:
    def job(box: Box, size: int = 2048) -> int:
        box.say(b"x" * size, stream)
        if size > 2048:
            box.killed.wait(60)
        box.leave()
        return 0

    double.job = job
    assert room.run(spec(image)).status is RunStatus.OK, "exactly the cap"
    double.job = lambda box: job(box, 2049)
    outcome = room.run(spec(image, "s"))
    assert (outcome.status, outcome.reason) == (RunStatus.FAILED, "wrote more than 2048 bytes of output")


def test_an_end_that_comes_in_the_moment_of_the_kill_is_an_end(room: Sandbox, double: DockerDouble, image: str) -> None:
    def job(box: Box) -> int:
        box.say(b"x" * 5000)
        return 0

    double.job = job
    for status in (404, 409):
        double.faults["kill"] = [refusal(status)]
        assert room.run(spec(image, f"r{status}")).status is RunStatus.FAILED


def test_what_cannot_be_killed_is_no_ended_run_and_is_removed_before_anybody_goes_on(
    room: Sandbox, double: DockerDouble, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_KILL_WAIT_S", 0.0)
    removed = threading.Event()
    double.kill = lambda name: None  # type: ignore[method-assign]

    def job(box: Box) -> int:
        box.say(b"x" * 5000)
        removed.wait(60)
        return 0

    double.job = job
    outcome = room.run(spec(image))
    assert (outcome.status, "still runs" in outcome.reason) == (RunStatus.ENGINE_ERROR, True)
    assert left(double) == (0, 0), "before `run` returned"
    removed.set()


@pytest.mark.parametrize(
    ("method", "calls"),
    [
        ("create_container_from_config", [refusal(400)]),
        ("create_container_from_config", [None, refusal(400)]),
        ("start", [refusal(400)]),
        ("start", [None, refusal(400)]),
        ("attach_socket", [refusal(400)]),
        ("attach_socket", [None, refusal(400)]),
        ("inspect_container", [None, refusal(400)]),
        ("wait", [refusal(400)]),
    ],
)
def test_a_run_that_the_engine_breaks_off_leaves_nothing_when_it_returns(
    room: Sandbox, double: DockerDouble, image: str, method: str, calls: list[Exception | None]
) -> None:
    double.faults[method] = calls
    outcome = room.run(spec(image))
    assert outcome.status is RunStatus.ENGINE_ERROR, outcome
    assert left(double) == (0, 0)
    assert room.run(spec(image)).status is RunStatus.OK, "the next one is not held up"


@pytest.mark.parametrize(("model", "why"), [(None, "missing"), (b"", "empty"), (b"x" * 1001, "limit is 1000")])
def test_a_model_that_is_refused_leaves_no_file(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, model: bytes | None, why: str
) -> None:
    double.job = lambda box: box.leave(model=model) or 0  # type: ignore[func-returns-value]
    outcome = room.run(spec(image))
    assert (outcome.status, outcome.outputs, why in outcome.reason) == (RunStatus.BAD_RESULT, {}, True), outcome
    assert list((tmp_path / "data" / "out").iterdir()) == []
    double.job = lambda box: box.leave(model=b"x" * 1000) or 0  # type: ignore[func-returns-value]
    assert room.run(spec(image, "s")).outputs["model"].size == 1000


@pytest.mark.parametrize(
    ("told", "status"),
    [([True], RunStatus.OUT_OF_RESOURCES), ([False, True], RunStatus.OUT_OF_RESOURCES), ([False], RunStatus.FAILED)],
)
def test_only_what_memory_killed_ran_out_of_memory(
    room: Sandbox, double: DockerDouble, image: str, monkeypatch: pytest.MonkeyPatch, told: list[bool], status: RunStatus
) -> None:
    """An engine tells it beside the end, or a little later; where it tells nothing, it is not waited for longer than that."""
    monkeypatch.setattr(runner, "_OOM_WAIT_S", 60.0 * SLOW if True in told else 0.3)
    double.job = lambda box: 137
    honest = double.inspect_container

    def inspect(name: str) -> dict[str, Any]:
        facts: dict[str, Any] = honest(name)
        if double.boxes[name].dead.is_set():
            facts["State"]["OOMKilled"] = told.pop(0) if len(told) > 1 else told[0]
        return facts

    monkeypatch.setattr(double, "inspect_container", inspect)
    outcome = room.run(spec(image))
    assert (outcome.status, outcome.exit_code) == (status, 137)


def test_parameters_of_any_depth_are_refused_by_name(room: Sandbox, image: str) -> None:
    for params in ("[]", "{", '{"a":' * 10_000):
        outcome = room.run(spec(image, params=params))
        assert (outcome.status, "params" in outcome.reason) == (RunStatus.NOT_STARTED, True)


# --- images of a node -------------------------------------------------------------------------------------------------------------


def test_limits_of_the_caller_are_the_ones_that_count(room: Sandbox, tmp_path: Path) -> None:
    image = docker_archive(tmp_path / "a.tar", [GOOD])
    with pytest.raises(BadImage, match="more than 1 files"):
        room.load_archive(tmp_path / "a.tar", image, ImageLimits(files=1))


def test_a_clean_up_takes_all_of_this_node_and_nothing_of_another(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path
) -> None:
    other = Sandbox(tmp_path / "other", node_tag="n2")
    others = load(other, tmp_path)
    assert other.run(spec(others)).status is RunStatus.OK
    other.settle()
    more = load(room, tmp_path, "more")
    assert room.run(spec(image)).status is RunStatus.OK
    room.settle()
    double.names["learningchain/nx:abc"] = double.names[f"learningchain/n:{image[7:]}"]

    report = room.cleanup(keep_images=[image])
    assert (report.containers, report.volumes, report.images, report.problems) == (1, 2, 2, ())  # `more` and the sidecar's
    assert report.kept == (image,)
    assert (room.has_image(image), room.has_image(more), other.has_image(others)) == (True, False, True)
    assert room.run(spec(more)).status is RunStatus.ENGINE_ERROR
    assert left(double) == ONE_WAITS, "the other node's"
    assert "learningchain/nx:abc" in double.names
    assert room.run(spec(image)).status is RunStatus.OK, "the sidecar's image is loaded anew"
    assert other.run(spec(others)).status is RunStatus.OK
    other.cleanup()
    other.close()


def test_a_clean_up_says_what_it_could_not_remove_and_counts_the_rest(room: Sandbox, double: DockerDouble, image: str) -> None:
    assert room.run(spec(image)).status is RunStatus.OK
    room.settle()
    double.faults["remove_container"] = [refusal(400, "busy box")]
    report = room.cleanup()
    assert "busy box" in report.problems[0]
    room.cleanup()

    image = load(room, double.folder)
    assert room.run(spec(image)).status is RunStatus.OK
    room.settle()
    double.faults |= {"remove_volume": [refusal(400, "busy volume")], "remove_image": [refusal(409, "busy image")]}
    report = room.cleanup()
    assert report.images == 1
    assert [[word for word in ("volume", "image") if f"busy {word}" in text] for text in report.problems] == [["volume"], ["image"]]
    assert room.cleanup().problems == ()
    double.faults["containers"] = [refusal(400)]
    with pytest.raises(EngineError):
        room.cleanup()


def test_a_sidecar_that_cannot_be_prepared_costs_the_next_run_only_its_time(
    room: Sandbox, double: DockerDouble, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    def job(box: Box) -> int:
        double.faults["start"] = [refusal(400)]
        box.leave()
        return 0

    double.job = job
    assert room.run(spec(image)).status is RunStatus.OK
    room.settle()
    assert "no sidecar could be prepared" in caplog.text
    assert left(double) == (0, 0)
    assert room.run(spec(image, "s")).status is RunStatus.OK


def test_an_engine_that_does_not_answer_is_not_an_image_that_is_missing(room: Sandbox, double: DockerDouble, image: str) -> None:
    double.faults["inspect_image"] = [requests.ConnectionError("gone")] * 3
    with pytest.raises(EngineError, match="does not answer"):
        room.has_image(image)
    assert room.has_image(image)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"OSType": "windows"}, "Linux is needed"),
        ({"SecurityOptions": ["name=apparmor"]}, "no seccomp"),
        ({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "containerd image store"),
        ({"MemoryLimit": False}, "cannot limit memory"),
        ({"PidsLimit": False}, "cannot limit pids"),
        ({"CpuCfsQuota": False}, "cannot limit cpu"),
        ({"Runtimes": {"crun": {}}}, "no runtime 'runc'"),
    ],
)
def test_an_engine_that_cannot_keep_a_promise_is_not_used(
    double: DockerDouble, tmp_path: Path, facts: dict[str, Any], why: str
) -> None:
    double.facts |= facts
    with pytest.raises(SandboxUnavailable, match=why):
        Sandbox(tmp_path, node_tag="n").check_engine()
