"""The backend without Docker: crun, started as the user nobody, through the suite that every backend must pass."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from learningchain.sandbox import Progress, RunStatus, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.oci.service import OciSandbox
from learningchain.sandbox.phases import PHASES

from .backend_suite import LARGE, SUM, BackendSuite
from .newer import FIRST, HOOKED, SECOND, device, write_spec
from .oci_room import DELEGATED, NOBODY, ON_ONE, UNIFIED, UNSHARE, cdi_folder, oci_room
from .test_backend import archive as archive
from .test_devices import GIVEN, LOOK, look, told

pytestmark = pytest.mark.skipif(shutil.which("crun") is None, reason="there is no crun: apt-get install crun")


@pytest.fixture(scope="module")
def backend() -> Iterator[OciSandbox]:
    with pytest.MonkeyPatch.context() as patch, oci_room(patch, disk_from=LARGE) as sandbox:
        sandbox.check_engine()
        yield sandbox
        sandbox.close()
        report = sandbox.cleanup()
        assert (report.containers, report.volumes, report.problems) == (0, 0, ())


@pytest.mark.full("a training runs every time, and Docker's passes it every time")
class TestOci(BackendSuite):
    """Every test of the suite, as nobody."""


def test_nobody_trains_and_evaluates(backend: OciSandbox, archive: tuple[Path, str]) -> None:
    assert backend.check_engine().version == f"crun, as user {NOBODY}"
    image = backend.load_archive(*archive)
    outcome = backend.run(BackendSuite().spec(image, "good"))
    model = outcome.outputs["model"].path
    assert (outcome.status, model.read_bytes()) == (RunStatus.OK, b"weights"), outcome
    outcome = backend.run(BackendSuite().spec(image, "echo", "evaluate", inputs={"model": model}))
    assert (outcome.status, outcome.loss) == (RunStatus.OK, 375_000_000), outcome


def test_nobody_reads_a_data_set(
    backend: OciSandbox, archive: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PHASES, "sum", SUM)
    BackendSuite().test_a_data_set_is_read_by_any_number_of_runs(backend, backend.load_archive(*archive), tmp_path)


@pytest.mark.full("it takes seconds, and a node that has this backend does it at each start")
def test_every_limit_holds(backend: OciSandbox) -> None:
    report = backend.self_test()
    assert report.failures == ()
    assert {"memory", "cpu", "pids", "namespaces", "clock"} <= {check.name for check in report.checks}


LEASE = {"memory": f"memory.limit_in_bytes={1 << 30}"}
"""What a cluster's job has: a group that is not the user's, with a bound, and a processor."""


@pytest.mark.skipif(UNIFIED, reason="test_oci_v2.py has it for groups of version 2")
@pytest.mark.full("it takes seconds; the limits of groups that are the user's hold in the test above")
def test_every_limit_holds_in_a_clusters_job(monkeypatch: pytest.MonkeyPatch, archive: tuple[Path, str]) -> None:
    with oci_room(monkeypatch, limits=LEASE, owner=0, begin=ON_ONE) as sandbox:
        engine = sandbox.check_engine()
        assert (engine.cpus, engine.mem_mb, engine.whole_processors) == (1, 1024, True)
        assert sandbox.self_test().failures == ()
        image = sandbox.load_archive(*archive)
        spec, held = BackendSuite().spec(image, "forever"), list[int | None]()

        def look(_: Progress) -> None:
            held.append(sandbox.memory(spec.run_id))
            sandbox.cancel(spec.run_id)

        assert sandbox.run(spec, on_progress=look).status is RunStatus.CANCELLED
        assert held[0] is not None and 1 << 17 < held[0] < 96 << 20
        assert sandbox.cleanup().problems == ()


def test_nothing_is_left_of_an_engine_that_was_killed(monkeypatch: pytest.MonkeyPatch, archive: tuple[Path, str]) -> None:
    """The kernel ends what runs with it; the next call has a new one, with the images of the old."""
    with oci_room(monkeypatch) as sandbox:
        image = sandbox.load_archive(*archive)
        spec, ran = BackendSuite().spec(image, "forever"), list[int]()

        def kill(_: Progress) -> None:
            ran.extend(engine_of(sandbox))
            for process in ran[:1]:
                os.kill(process, signal.SIGKILL)

        outcome = sandbox.run(spec, on_progress=kill)
        assert outcome.status is RunStatus.ENGINE_ERROR, outcome
        until = time.monotonic() + 10
        while left := [process for process in ran if lives(process)]:
            assert time.monotonic() < until, left
            time.sleep(0.01)
        assert len(ran) > 3
        assert sandbox.cleanup(keep_images=[image]).problems == ()
        assert sandbox.run(BackendSuite().spec(image, "good")).status is RunStatus.OK


def lives(process: int) -> bool:
    """One that only waits to be buried has no words."""
    with suppress(OSError):
        return Path("/proc", str(process), "cmdline").read_bytes() != b""
    return False


def engine_of(sandbox: OciSandbox) -> list[int]:
    """What started the engine, the engine, and all that runs in it."""
    parents, found = dict[int, int](), list[int]()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            parents[int(name)] = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"unshare") and str(sandbox.host.folder).encode() in words:
                found.append(int(name))
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


@pytest.mark.parametrize(
    ("begin", "limits", "why"),
    [
        ("", {}, "cannot limit (memory|cpu).*Delegate=yes"),
        (
            f"exec {UNSHARE} -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; exec {UNSHARE} \"$@\"' - ",
            DELEGATED,
            "user namespaces",
        ),
    ],
    ids=["no group binds", "no user namespaces"],
)
def test_a_machine_that_separates_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, begin: str, limits: dict[str, str], why: str
) -> None:
    with oci_room(monkeypatch, limits=limits, begin=begin) as sandbox, pytest.raises(SandboxUnavailable, match=why):
        sandbox.check_engine()


def test_a_training_has_exactly_the_devices_that_it_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two names of this machine's own harmless ones, one with a library beside it; the image's folders stay as they were."""
    asks = ["PATH=/usr/local/bin", "LD_LIBRARY_PATH=/x", "CUDA_VISIBLE_DEVICES=0"]
    made = build_python_image(tmp_path / "look.tar", {"/lc/job": LOOK}, with_packages=(), config={"Env": asks})
    with cdi_folder() as specs, oci_room(monkeypatch, devices=(FIRST, SECOND, HOOKED)) as sandbox:
        library = specs / "library.so"
        library.write_bytes(b"\x7fELF")
        mount = {"hostPath": str(library), "containerPath": "/usr/lib/lctest.so", "options": ["ro", "nosuid", "nodev", "bind"]}
        write_spec(specs, device("first", {"mounts": [mount], "env": ["TEST_DEVICE=first"]}), device("second", host="/dev/zero"))
        write_spec(specs, device("hooked", {"hooks": [{"hookName": "createContainer", "path": "/bin/sh"}]}), file="hooked.json")
        report = sandbox.self_test()
        assert (report.failures, [one.ok for one in report.devices]) == ((), [True, False, True]), report.devices
        assert "hooks, programs that the engine would run as root" in report.devices[1].detail
        image = sandbox.load_archive(tmp_path / "look.tar", made)
        for devices, there in GIVEN:
            assert told(look(sandbox, image, *devices)) == there, devices
        assert "hooks" in look(sandbox, image, HOOKED).reason
        assert sandbox.cleanup(keep_images=[image]).problems == ()
        trees = (sandbox.host.data / "images").glob("*/root/usr/lib/lctest.so")
        assert not list(trees), "the next container of the image would find its place"
