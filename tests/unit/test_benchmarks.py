"""What turns measurements into figures: medians, ratios within a round, targets, the table, the picture, the peers' arguments."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import xml.etree.ElementTree as Xml
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from benchmarks import __main__ as main
from benchmarks import federation, federation_round, predictions
from benchmarks.figures import Row, figures, over, pick
from benchmarks.link import Link
from benchmarks.load import Block, requests
from benchmarks.peers import etcd, evm, evm_sign, h2
from benchmarks.peers.base import Processes, Progress, Unavailable
from benchmarks.plot import svg
from benchmarks.registry import FULL, MEASURES, QUICK, Measure
from benchmarks.report import BEGIN, END, markdown, placed, show
from benchmarks.rows import ROWS
from benchmarks.throughput import rate, steady_part

ROOT = Path(__file__).resolve().parents[2]
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


@pytest.mark.parametrize(
    ("least", "most", "reached"), [(20, None, True), (20.1, None, False), (None, 20, True), (None, 19.9, False)]
)
def test_a_target_is_reached_by_the_median(least: float | None, most: float | None, reached: bool) -> None:
    (figure,) = figures(run_of(ROUNDS), [Row("k", "point", "label", pick("a.x"), least=least, most=most)])
    assert figure.reached is reached


SHOWN = [Row("transfers", "speed", "transfers", pick("a.x")), Row("ratio", "speed", "ratio < 1", over("a.x", "b.x"), 2, least=1.5)]


def test_the_tables_name_every_figure_its_target_and_what_was_left_out() -> None:
    run = run_of(ROUNDS) | {"left_out": {"etcd": "there is no apt-get"}}
    some = figures(run, SHOWN)
    out = StringIO()
    show(run, some, Console(file=out, width=140))
    assert "not measured: etcd: there is no apt-get" in out.getvalue()
    assert "| ratio < 1 | 2.00 | 1.00 - 3.00 | at least 1.5 | yes |" in markdown(run, some)
    assert "not measured: etcd: there is no apt-get" in markdown(run, some)


def test_figures_are_put_between_the_marks_of_a_page_and_nothing_else_changes() -> None:
    page = f"# Speed\n\n{BEGIN}\nold\n{END}\n\nwhy\n"
    new = placed(page, "| table |\n", "pictures/speed.svg")
    assert new.startswith("# Speed\n\n") and new.endswith("\n\nwhy\n") and "| table |" in new and "old" not in new
    assert "](pictures/speed.svg)" in new and placed(new, "| table |\n", "pictures/speed.svg") == new
    with pytest.raises(ValueError, match="no place"):
        placed("# Speed", "", "")


def test_the_page_about_speed_has_the_place() -> None:
    placed((ROOT / "docs" / "performance.md").read_text(), "", "")


def test_the_picture_is_well_formed_and_shows_every_target() -> None:
    run = run_of(ROUNDS)
    texts = [one.text for one in Xml.fromstring(svg(run, figures(run, SHOWN))).iter() if one.text and one.text.strip()]
    assert {"transfers", "ratio < 1", "at least 1.5", "2.00"} <= set(texts)


def test_no_line_and_no_measurement_is_there_twice() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS) and len({row.label for row in ROWS}) == len(ROWS)
    assert len({one.name for one in MEASURES}) == len(MEASURES)


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


def test_etcd_members_listen_on_loopback_only_and_know_each_other() -> None:
    lines = etcd.commands("etcd", "/folder", [1001, 1002, 1003, 2001, 2002, 2003])
    assert len(lines) == 3
    for i, line in enumerate(lines):
        assert f"http://127.0.0.1:100{i + 1}" in line and f"/folder/m{i}" in line
        assert "m0=http://127.0.0.1:2001,m1=http://127.0.0.1:2002,m2=http://127.0.0.1:2003" in line
        assert all("127.0.0.1" in word for word in line if word.startswith("http"))


def test_every_claim_on_an_evm_chain_is_on_another_accounts_posting() -> None:
    addresses = [f"{i:040x}" for i in range(1, evm.ACCOUNTS + 1)]
    posts, claims = evm.job_calls({"post(a)": "aa", "claim(b)": "bb"}, "board", addresses, 40)
    assert len(posts) == len(claims) == 40
    for i, (account, _, _, data) in enumerate(claims):
        poster = (int(data[2:66], 16) >> 64) - 1
        assert poster == posts[i][0] != account and int(data[2:66], 16) & (2**64 - 1) == i
    assert len(posts[0][3]) == 2 + 64 * (2 + 21 + 2), "number, offset, the terms' 21 words, length and text of the params"


def test_recursive_length_prefix_as_the_yellow_paper_has_it() -> None:
    cases: list[tuple[Any, str]] = [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (0, "80"),
        (15, "0f"),
        (1024, "820400"),
    ]
    assert [evm_sign.rlp(item).hex() for item, _ in cases] == [text for _, text in cases]
    assert evm_sign.rlp(b"x" * 56)[:2].hex() == "b838"


def test_a_grpc_message_of_two_short_fields() -> None:
    assert h2.message((1, b"ab"), (2, b"c")).hex() == "0000000007" + "0a026162" + "120163"


class _Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def test_answers_are_counted_by_their_trailers_and_errors_are_seen() -> None:
    told: list[int] = []
    calls = h2.Calls("/kv/Put", "127.0.0.1:1", told.append)
    calls.connection_made(_Wire())  # type: ignore[arg-type]
    calls.call([b"one", b"two"])
    good = h2._frame(1, 4, 1, b"head") + h2._frame(0, 0, 1, b"body") + h2._frame(1, 5, 1, b"trailers")
    for i in range(len(good)):
        calls.data_received(good[i : i + 1])
    assert told == [1] and not calls.failed
    calls.data_received(h2._frame(1, 5, 3, b"only trailers: an error"))
    assert calls.failed


def test_requests_wait_for_the_servers_window() -> None:
    wire, calls = _Wire(), h2.Calls("/kv/Put", "127.0.0.1:1", lambda count: None)
    calls.connection_made(wire)  # type: ignore[arg-type]
    calls.call([bytes(40_000), bytes(40_000)])
    assert 40_000 < len(wire.written) < 41_000
    calls.data_received(h2._frame(8, 0, 1, (50_000).to_bytes(4, "big")))
    assert len(wire.written) < 41_000, "the window of one stream is not the connection's"
    calls.data_received(h2._frame(8, 0, 0, (50_000).to_bytes(4, "big")))
    assert len(wire.written) > 80_000


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n",
    ],
)
async def test_the_load_reads_answers_of_both_kinds_over_one_connection(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"POST /path HTTP/1.1\r\n") and b"Authorization: Bearer x" in head
            assert await reader.readexactly(4) == b"body"
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Link(f"http://127.0.0.1:{port}", {"Authorization": "Bearer x"}) as link:
        assert [await link.post("/path", b"body") for _ in range(2)] == [(200, b"hello")] * 2


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


def test_processes_of_a_peer_end_and_their_folder_goes_whatever_happens() -> None:
    with pytest.raises(RuntimeError), Processes("sleeper") as group:
        child = group.start([sys.executable, "-c", "import time; time.sleep(60)"])
        assert child.poll() is None
        raise RuntimeError("anything")
    assert child.poll() is not None and not group.folder.exists()


def test_a_peer_that_ends_by_itself_is_left_out_with_its_last_words() -> None:
    with Processes("broken") as group:
        child = group.start([sys.executable, "-c", "raise SystemExit('no such option')"])
        child.wait(30)
        with pytest.raises(Unavailable, match="no such option"):
            group.check()
    with Processes("absent") as group, pytest.raises(Unavailable, match="cannot be started"):
        group.start(["/no/such/program"])


def test_the_command_refuses_unknown_measurements() -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "there is no measurement nothing" in done.stderr


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


def test_flowers_environment_is_pinned_to_the_byte() -> None:
    text = (ROOT / "benchmarks/peers/flower.txt").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert any(line.startswith("flwr==") for line in pins)
    assert all("==" in line for line in pins)
    assert text.count("--hash=sha256:") >= len(pins)
