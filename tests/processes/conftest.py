"""Shows the ends of the nodes' logs when a test of real processes fails, begins with the files that take longest, and has the cable
to a machine in a network of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.processes.harness import Graph
from tests.processes.machines import Cable
from tests.processes.netns import Refused

LONGEST = (
    "test_slurm.py",
    "test_machines_cut.py",
    "test_machines.py",
    "test_hidden.py",
    "test_questions.py",
    "test_readme.py",
    "test_federation.py",
    "test_kill.py",
    "test_restore.py",
    "test_signer.py",
    "test_hoarders.py",
    "test_joining.py",
    "test_contract_added.py",
    "test_backup.py",
    "test_governance.py",
    "test_predictions.py",
    "test_partition.py",
)
"""Half a minute and more each, the longest first; xdist would begin with the files of many tests, which are the short ones."""
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)) if item.path.parent == HERE else -1)


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


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    made = Cable()
    try:
        made.__enter__()
    except Refused as why:
        pytest.skip(str(why))
    yield made
    made.__exit__()
