"""Shows the ends of the nodes' logs when a test of real processes fails."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.processes.harness import Graph


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for graph in Graph.live:
            report.sections.append((f"nodes in {graph.folder}", graph.logs()))
    if report.when == "teardown":
        Graph.live[:] = [graph for graph in Graph.live if not graph.closed]
    return report
