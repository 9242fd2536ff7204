"""Every measurement of `make bench` runs, at the smallest size that it has, and yields what its lines of the table read. No figure
is looked at.

What starts more nodes or containers than the first tier has time for is left to the second. Of these the first sees that the lines
of the table read what the measurement returns, by its type, and that `ledger`, which has four validators from start to end, runs.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from benchmarks.__main__ import measure
from benchmarks.figures import at
from benchmarks.registry import MEASURES, SMALLEST, Measure
from benchmarks.rows import ROWS

SECOND = {
    "etcd": "it installs a peer; unit/test_benchmarks.py has its arguments and its wire format",
    "syncobj": "it installs a peer; unit/test_benchmarks.py has processes of peers",
    "anvil": "it installs a peer; unit/test_benchmarks.py has the calls and how they are signed",
    "ganache": "it installs a peer; unit/test_benchmarks.py has the calls and how they are signed",
    "sync": "four more nodes and a fifth; `ledger` has the load, `replay` the catching up",
    "snapshot": "two more nodes; unit/test_benchmark_growth.py makes the same state",
    "growth": "10,000 accounts beside the others, and three starts; unit/test_benchmark_growth.py has its chains and blocks",
    "idle": "four more nodes, and seconds of quiet; `ledger` has the same graph",
    "startup": "four more nodes; `ledger` starts and ends them",
    "building": "it fetches a package; unit/test_building.py builds of a folder of wheels",
    "answers": "three containers; `sandbox` has the same image and runs",
    "predictions": "six nodes and eleven containers; unit/test_benchmarks.py has its sums, test_predictions.py its requests",
    "federation": "rounds of a million values; unit/test_benchmarks.py plays one of 1,500",
    "federation_round": "four graphs of nine nodes; unit/test_benchmarks.py has how events are read",
    "wan": "four more nodes behind 100 ms; `ledger` has finality on loopback",
    "dashboard": "four more nodes, and people who stay at pages; unit/test_benchmark_growth.py makes the same state",
    "full_mempools": "66 MB to four more nodes; sim/attacks has the hoarder in virtual time",
    "askers": "four more nodes and 70 heights; sim/attacks has the flooder in virtual time",
    "block_askers": "four more nodes and a process of those that ask; sim/attacks has them in virtual time",
    "large_file": "four more nodes; test_large_files.py has such a file between two",
    "beside_file": "four more nodes; test_large_files.py has such a file between two, and transfers beside it",
    "machines": "unit/test_machines.py has the same programs, and starts of the node",
    "published_set": "four containers and a copy; sandbox/test_data.py has data sets on an engine",
    "set_on_nodes": "four more nodes, three with containers; test_published_set.py has a set between such nodes",
    "slow_link": "four more nodes behind 200 ms; sim/test_sim.py has slow links in virtual time",
}
"""Left to `make test-full`, each with why and what stands for it."""
READ = sorted({path for row in ROWS for path in row.values.paths})


def read_of(one: Measure) -> list[str]:
    return [path for path in READ if path.partition(".")[0] == one.name]


@pytest.mark.parametrize(
    "one", [pytest.param(m, marks=[pytest.mark.full(SECOND[m.name])] if m.name in SECOND else [], id=m.name) for m in MEASURES]
)
async def test_a_measurement_runs_and_yields_what_the_table_reads(one: Measure) -> None:
    run = await measure(SMALLEST, (one,))
    if one.name in SECOND and run["left_out"]:
        pytest.skip(run["left_out"][one.name])
    assert (run["failed"], run["left_out"]) == ([], {})
    found = run["once"] if one.once else run["rounds"][0]
    values = {path: at(found, path) for path in read_of(one)}
    # What is measured beside a peer is None where the peer cannot be had.
    assert [path for path, value in values.items() if value is None and not may_be_none(one.figure, path)] == []
    assert all(isinstance(value, int | float) for value in values.values() if value is not None)


@pytest.mark.parametrize("one", MEASURES, ids=lambda one: one.name)
def test_the_table_reads_what_a_measurement_returns(one: Measure) -> None:
    paths = read_of(one)
    assert paths, "the table shows something of it"
    for path in paths:
        assert kind_at(one.figure, path) in (int, float, int | None, float | None), path


def test_what_the_table_reads_is_measured_and_what_is_left_to_the_second_tier_exists() -> None:
    names = {one.name for one in MEASURES}
    assert {path.partition(".")[0] for path in READ} == names
    assert set(SECOND) < names


def kind_at(figure: type, path: str) -> Any:
    """The type of what stands at a path into this measurement's figures. KeyError where there is nothing."""
    kind: Any = figure
    for name in path.split(".")[1:]:
        if is_dataclass(kind):
            kind = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}[name]
        else:
            assert get_origin(kind) is dict, f"{path}: nothing stands below {kind}"
            kind = get_args(kind)[1]
    return kind


def may_be_none(figure: type, path: str) -> bool:
    kind = kind_at(figure, path)
    return isinstance(kind, UnionType) and type(None) in get_args(kind)
