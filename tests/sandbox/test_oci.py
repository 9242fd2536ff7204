"""The backend without Docker: crun, started as the user nobody, through the suite that every backend must pass."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import RunStatus, SandboxUnavailable
from learningchain.sandbox.oci.service import OciSandbox

from .backend_suite import LARGE, BackendSuite
from .oci_room import DELEGATED, UNSHARE, oci_room
from .test_backend import archive as archive

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
    image = backend.load_archive(*archive)
    outcome = backend.run(BackendSuite().spec(image, "good"))
    model = outcome.outputs["model"].path
    assert (outcome.status, model.read_bytes()) == (RunStatus.OK, b"weights"), outcome
    outcome = backend.run(BackendSuite().spec(image, "echo", "evaluate", inputs={"model": model}))
    assert (outcome.status, outcome.loss) == (RunStatus.OK, 375_000_000), outcome


@pytest.mark.full("it takes seconds, and a node that has this backend does it at each start")
def test_every_limit_holds(backend: OciSandbox) -> None:
    report = backend.self_test()
    assert report.failures == ()
    assert {"memory", "cpu", "pids", "namespaces", "clock"} <= {check.name for check in report.checks}


@pytest.mark.parametrize(
    ("begin", "limits", "why"),
    [
        ("", {}, "cannot limit memory.*Delegate=yes"),
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
