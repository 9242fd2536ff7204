"""What turns measurements into figures: medians, ratios within a round, what is left out, rounds of federated training."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from benchmarks import __main__ as main
from benchmarks import federation, federation_round, predictions
from benchmarks.figures import Row, figures, over, pick
from benchmarks.load import Block, requests
from benchmarks.peers.base import Progress, Unavailable
from benchmarks.registry import FULL, QUICK, Measure
from benchmarks.report import markdown
from benchmarks.rows import ROWS
from benchmarks.throughput import rate, steady_part

MACHINE = {"python": "3.11", "machine": "x86_64", "cores": 2, "time": 0.0}


def run_of(rounds: list[dict[str, Any]], once: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"machine": MACHINE, "rounds": rounds, "once": once or {}, "left_out": {}, "failed": []}


ROUNDS = [{"a": {"x": 10}, "b": {"x": 5}}, {"a": {"x": 30}, "b": {"x": 10}}, {"a": {"x": 20}, "b": {"x": 20}}]


def test_a_figure_is_the_median_with_the_extremes_of_its_rounds() -> None:
    (figure,) = figures(run_of(ROUNDS), [Row("k", "point", "label", pick("a.x"))])
    assert (figure.median, figure.low, figure.high, figure.reached) == (20, 10, 30, None)


def test_a_ratio_is_taken_within_each_round_and_not_of_medians() -> None:
    (figure,) = figures(run_of(ROUNDS), [Row("k", "point", "label", over("a.x", "b.x", 2))])
    assert figure.values == [4, 6, 2]


def test_what_is_measured_once_is_held_against_the_median_of_the_rounds() -> None:
    (figure,) = figures(run_of(ROUNDS, {"c": {"x": 5}}), [Row("k", "point", "label", over("c.x", "a.x"))])
    assert figure.values == [0.25]


def test_a_figure_without_its_measurement_is_left_out() -> None:
    rows = [Row("k", "point", "label", pick("gone.x")), Row("l", "point", "label", over("a.x", "gone.x"))]
    assert figures(run_of(ROUNDS), rows) == []


async def test_a_peer_that_cannot_be_had_is_left_out_with_its_reason_and_asked_once() -> None:
    asked = []

    async def missing(size: Any, say: Any) -> Any:
        asked.append("missing")
        raise Unavailable("no such package")

    async def limits(size: Any, say: Any) -> Any:
        return Progress([(0.0, 0), (1.0, 5)], 0.0).rate()

    run = await main.measure(FULL, (Measure("limits", limits), Measure("peer", missing)))
    assert asked == ["missing"] and run["left_out"] == {"peer": "no such package"}
    assert [list(one) for one in run["rounds"]] == [["limits"]] * FULL.rounds


async def test_a_measurement_that_fails_is_kept_apart_and_the_others_go_on() -> None:
    async def wrong(size: Any, say: Any) -> Any:
        raise RuntimeError("transactions are missing")

    async def right(size: Any, say: Any) -> Any:
        return Progress([(0.0, 0), (1.0, 5)], 0.0).rate()

    run = await main.measure(QUICK, (Measure("ledger", wrong), Measure("etcd", right)))
    assert run["failed"] == ["round 1 of 1: ledger: RuntimeError: transactions are missing"]
    assert list(run["rounds"][0]) == ["etcd"] and "FAILED" in markdown(run, [])


def test_a_prediction_on_machines_of_their_own_is_the_sum_of_its_parts() -> None:
    turn = predictions.Turn(1_000.0, 5.0, 20.0, [3.0, 5.0], {"drawn_ms": 30.0}, 9)
    slow = predictions.Turn(3_000.0, 5.0, 40.0, [4.0], {"drawn_ms": 50.0}, 11)
    found = predictions.summary([turn, slow], "", 100.0, 2, 60.0, 0.5)
    assert found.own_machines_ms == predictions.STEP_BLOCKS * 30.0 + 100.0
    assert (found.p50_ms, found.p95_ms, found.to_http, found.etcd_p50_ms) == (2_000.0, 3_000.0, 400.0, 4.0)
    assert (found.parts, found.blocks) == ({"drawn_ms": 40.0}, 10.0)


def test_requests_keep_every_senders_order() -> None:
    bodies = requests([[f"a{i}" for i in range(300)], [f"b{i}" for i in range(10)]])
    assert [count for count, _ in bodies] == [250, 10, 50]
    raws = [raw for _, body in bodies for raw in msgspec.json.decode(body)["raws"]]
    assert [r for r in raws if r[0] == "a"] == [f"a{i}" for i in range(300)]


def test_the_rate_is_taken_without_the_start_and_the_end() -> None:
    slow = [Block(1, 0, 150, 0.0), Block(2, 9_000, 40, 0.0)]
    steady = [Block(3 + i, 10_000 + 100 * i, 100, 0.0) for i in range(7)]
    end = [Block(11, 99_000, 110, 0.0)]
    assert rate(steady_part(slow + steady + end)) == pytest.approx(1_000)
    progress = Progress([(0.0, 0), (10.0, 200), (11.0, 300), (12.0, 400), (16.0, 800), (99.0, 1_000)])
    assert progress.rate().per_s == pytest.approx(100)


# --- rounds of federated training ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [True, False])
def test_a_round_of_the_benchmark_is_whole(secret: bool) -> None:
    """Every part takes its time, all five updates are used, and it counts what an owner sends."""
    one = federation.Round(1_500, secret, 1)
    found = one.play()
    assert set(found) == {"make", "open", "sketch", "screen", "masks", "sum", "total", "cpu"}
    assert all(ms > 0 for ms in found.values())
    assert found["total"] == pytest.approx(sum(ms for part, ms in found.items() if part not in ("total", "cpu")))
    assert one.sends == 3 * (4 * 1_500 + 500)
    assert one.gets == one.base.size


def test_a_round_is_its_arithmetic_and_its_blocks() -> None:
    rows = [row for row in ROWS if row.key in ("fed_round", "fed_round_open")]
    parts = {"small": {"sum": {"total": 30.0}, "open": {"total": 20.0}}, "blocks": 12}
    run = run_of([{"ledger": {"finality": {"p50_ms": ms}}} for ms in (10.0, 14.0, 18.0)], {"federation": parts})
    assert [(one.median, one.reached) for one in figures(run, rows)] == [(198.0, True), (188.0, False)]
    assert figures(run_of([], {"federation": parts}), rows) == [], "without the ledger's measurement nothing is said of a round"


def events_of(*rounds: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Of rounds: number, height and time (ms) at which each starts; every event 1 block and 10 ms behind the last."""
    return [
        {"topic": topic, "height": height + n, "time": at + 10 * n, "data": {"r": r}}
        for r, height, at in rounds
        for n, topic in enumerate(federation_round.PARTS)
    ]


def test_a_round_of_real_nodes_lasts_from_the_one_before_to_its_own_end() -> None:
    events = events_of((1, 10, 1_000), (2, 20, 1_200), (3, 30, 1_400))
    first, second = federation_round.rounds_of(events, 2)
    assert (first["r"], first["from"], first["to"], first["blocks"]) == (2, 1_090, 1_290, 10)
    assert first["parts"] == {"fed.started": 110} | dict.fromkeys(federation_round.PARTS[1:], 10)
    assert second["from"] == first["to"]
    void = {"topic": "fed.void", "height": 25, "time": 1_250, "data": {}}
    with pytest.raises(RuntimeError, match=r"fed\.void at height 25"):
        federation_round.rounds_of([*events, void], 2)


def test_programs_that_run_at_the_same_time_are_taken_off_once() -> None:
    spans = [(10.0, 20.0), (15.0, 30.0), (0.0, 5.0), (90.0, 200.0), (16.0, 18.0)]
    assert federation_round.covered_ms(spans, 3.0, 100.0) == 2 + 20 + 10
