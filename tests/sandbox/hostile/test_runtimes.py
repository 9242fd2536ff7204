"""gVisor as a node's runtime: well configured it passes the self-test, badly configured it is caught before any job runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import Sandbox, SelfTestReport

from .engine import OwnEngine, lacking_gvisor


@pytest.fixture
def self_test(own_engine: OwnEngine | None, tmp_path: Path) -> Iterator[Callable[[str], SelfTestReport]]:
    """The report of a node with this runtime."""
    if own_engine is None or lacking_gvisor():
        pytest.skip(f"no gVisor here: {lacking_gvisor()}")
    made: list[Sandbox] = []

    def report(runtime: str) -> SelfTestReport:
        made.append(Sandbox(tmp_path, base_url=own_engine.url, runtime=runtime, node_tag=f"own-{runtime}"))
        return made[-1].self_test()

    yield report
    for room in made:
        assert room.cleanup().problems == ()
        room.close()


def test_gvisor_keeps_every_limit(self_test: Callable[[str], SelfTestReport]) -> None:
    report = self_test("runsc")
    assert report.failures == ()
    assert "processes" in {check.name for check in report.checks}


def test_gvisor_without_our_filter_of_system_calls_is_caught(self_test: Callable[[str], SelfTestReport]) -> None:
    failed = {check.name for check in self_test("runsc-without-filter").failures}
    assert {"system_calls", "sockets"} <= failed


def test_gvisor_that_ignores_control_groups_is_caught(self_test: Callable[[str], SelfTestReport]) -> None:
    """It takes every limit and keeps none. What others leave of a busy machine may look like a limit of the processors."""
    failed = {check.name for check in self_test("runsc-without-cgroups").failures}
    assert {"memory", "processes"} <= failed
    assert not {"network", "system_calls", "clock", "log"} & failed
