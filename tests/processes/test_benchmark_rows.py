"""Every measurement of `make bench` runs, at the smallest size that it has, and yields what its lines of the table read. No figure
is looked at: a quick run says how fast, this says that there is something to run.

What starts more nodes or containers than the first tier has time for is in the second, each with what stands for it in the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from benchmarks.__main__ import measure
from benchmarks.figures import at
from benchmarks.registry import MEASURES, SMALLEST, Measure
from benchmarks.rows import ROWS

GRAPH = "`ledger` has four validators to their end, and this one's own parts stand in "
SECOND = {
    "etcd": "it installs a peer; unit/test_benchmarks.py has its arguments and its wire format",
    "syncobj": "it installs a peer; unit/test_benchmarks.py has processes of peers",
    "anvil": "it installs a peer; unit/test_benchmarks.py has the messages that are sent to it",
    "ganache": "it installs a peer; unit/test_benchmarks.py has the messages that are sent to it",
}
WITHOUT = ("flower", "etcd")
"""What a measurement has only beside a peer that had to be installed."""
READ = sorted({path for row in ROWS for path in row.values.paths})


def cases() -> Iterable[object]:
    for one in MEASURES:
        marks = [pytest.mark.full(SECOND[one.name])] if one.name in SECOND else []
        yield pytest.param(one, marks=marks, id=one.name)


@pytest.mark.parametrize("one", cases())
async def test_a_measurement_runs_and_yields_what_the_table_reads(one: Measure, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [path for path in READ if path.partition(".")[0] == one.name]
    assert wanted, "the table shows something of it"
    run = await asyncio.wait_for(measure(SMALLEST, (one,)), None)
    if one.name in SECOND and run["left_out"]:
        pytest.skip(run["left_out"][one.name])
    assert (run["failed"], run["left_out"]) == ([], {})
    found = run["once"] if one.once else run["rounds"][0]
    missing = [path for path in wanted if not isinstance(at(found, path), int | float)]
    assert [path for path in missing if not any(peer in path for peer in WITHOUT)] == []


def test_every_line_of_the_table_reads_something_that_is_measured() -> None:
    assert {path.partition(".")[0] for path in READ} == {one.name for one in MEASURES}
    assert set(SECOND) <= {one.name for one in MEASURES}
