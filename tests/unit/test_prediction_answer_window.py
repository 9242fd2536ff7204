"""How a model was answered lately: on real blocks, whoever follows and from when on, and in what a node's metrics name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learningchain.chain.contracts.prediction.messages import CancelRequest, ServeModel, UnserveModel
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.tally import VALUED, Answer, AnswerCode
from learningchain.client.api.metrics import Metrics
from learningchain.client.contracts.prediction.http import recent_answers
from learningchain.client.contracts.prediction.http.recent_answers import RecentAnswers, describe_answers
from learningchain.client.contracts.prediction.roles import answer_window, server
from learningchain.client.contracts.prediction.roles.answer_window import (
    COUNTED,
    NO_ANSWERS,
    AnswerSample,
    AnswerWindow,
    nearest_rank,
)
from learningchain.client.work.events import RunEnded, Submit
from learningchain.sandbox import RunStatus
from tests.unit.api_kit import FakeNode
from tests.unit.prediction_kit import ASKER, Table, code, number
from tests.unit.test_work_prediction_server import Bench, _run_of, committed, of, ran, seat

OK, NO = number(1_000), number(9_000_000)


@pytest.mark.parametrize(
    ("count", "p50", "p95"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (20, 10, 19), (21, 11, 20), (100, 50, 95), (128, 64, 122)]
)
def test_a_percentile_is_a_value_that_was_measured(count: int, p50: int, p95: int) -> None:
    ordered = list(range(1, count + 1))
    assert (nearest_rank(ordered, 50), nearest_rank(ordered, 95)) == (p50, p95)
    assert nearest_rank([], 50) is None


SAMPLES = st.builds(
    AnswerSample,
    answered=st.integers(0, 400),
    request=st.integers(0, 300).map(lambda n: n.to_bytes(32, "big")),
    took=st.integers(0, 10**6),
    outcome=st.sampled_from(sorted(COUNTED)),
)


@given(st.lists(SAMPLES, max_size=20), st.randoms())
def test_a_window_has_the_newest_each_once_in_whatever_order_they_come(samples: list[AnswerSample], random: object) -> None:
    kept = sorted(set(samples))[-6:]
    window, shuffled = AnswerWindow(), samples * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    with mock.patch.object(answer_window, "WINDOW", 6):
        for one in shuffled:
            window.add(one)
    found = window.figures()
    valued = sorted(one.took for one in kept if one.outcome in VALUED)
    assert (found.counted, found.since) == (len(kept), kept[0].answered if kept else None)
    assert found.agreed + found.weak == len(valued)
    if valued:
        assert found.p95_ms == valued[math.ceil(0.95 * len(valued)) - 1] and found.p50_ms in valued
    assert found.agreement is None if not kept else 0 <= (found.agreement or 0) <= 1


# --- on a ledger ----------------------------------------------------------------------------------------------------------------

SAID: list[tuple[str, dict[str, Any], list[Answer], str]] = [
    ("all say the same", {}, [OK] * 5, "agreed"),
    ("one lies", {}, [OK, OK, NO, OK, OK], "agreed"),
    ("fewer than were asked for", {"agree": 5}, [OK, OK, NO, OK, OK], "weak"),
    ("all say something else", {}, [number(10**8 * n) for n in range(1, 6)], "other"),
    ("the model is broken", {}, [code(AnswerCode.FAULT)] * 5, "other"),
    ("it takes too much memory", {}, [code(AnswerCode.OVERRUN)] * 5, "other"),
    ("the servers have other trouble", {}, [code(AnswerCode.ABSTAIN)] * 5, "other"),
    ("the rows do not fit", {}, [code(AnswerCode.BAD_INPUT)] * 5, "nothing"),
    ("the requester withholds the rows", {}, [code(AnswerCode.NO_DATA)] * 5, "nothing"),
]
"""What five seats say of a request, and what of the figures that moves."""


def settled(table: Table, follower: RecentAnswers | None = None) -> RecentAnswers:
    found = RecentAnswers(table.chain.state) if follower is None else follower
    while found.step():
        pass
    return found


def asked(table: Table, answers: list[Answer], **changes: Any) -> bytes:
    request = table.ask(**changes)
    table.answer(request, dict(zip(table.drawn(request), answers, strict=True)))
    return request


@pytest.mark.parametrize(("changes", "answers", "moves"), [case[1:] for case in SAID], ids=[case[0] for case in SAID])
def test_what_servers_answered_counts_and_what_the_requester_did_does_not(
    changes: dict[str, Any], answers: list[Answer], moves: str
) -> None:
    table = Table(servers=5)
    request = asked(table, answers, **changes)
    found, record = settled(table).of(table.model), table.record(request)
    assert found.counted == (moves != "nothing")
    assert (found.agreed, found.weak) == (moves == "agreed", moves == "weak")
    took = record.answered - table.terms(request).posted if moves in ("agreed", "weak") else None
    assert (found.p50_ms, found.p95_ms) == (took, took)
    assert found.since == (record.answered if found.counted else None)


def test_a_request_that_never_had_an_answer_is_none() -> None:
    table = Table(servers=5, register={"slots": 1})
    table.drawn(table.ask())  # which takes all seats that the model has at a time
    table.must(ASKER, CancelRequest(table.ask()))
    assert settled(table).of(table.model) == NO_ANSWERS
    assert describe_answers(NO_ANSWERS)["agreement"] is None


def test_who_looks_later_knows_the_same_as_who_followed_and_an_end_changes_nothing() -> None:
    table = Table(servers=5, pred_appeal=1_000)
    follower = settled(table)
    for answers in ([OK] * 5, [OK, NO, OK, NO, OK], [code(AnswerCode.FAULT)] * 5):
        request = asked(table, answers)
        settled(table, follower)
    assert follower.of(table.model) == settled(table).of(table.model) != NO_ANSWERS
    before = follower.of(table.model)
    assert (before.counted, before.agreed, before.agreement) == (3, 2, 2 / 3)
    for _ in range(4):
        table.block()
    assert table.record(request).state == RequestState.FAILED
    assert settled(table, follower).of(table.model) == before
    follower._feed.lost = True
    assert settled(table, follower).of(table.model) == before, "more changed than is followed: it looks anew"


def test_neither_a_start_nor_models_without_end_take_more_than_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(servers=5)
    for _ in range(3):
        asked(table, [OK] * 5)
    monkeypatch.setattr(recent_answers, "MOST_LOOKED_AT", 2)
    monkeypatch.setattr(recent_answers, "PIECE", 1)
    assert settled(table).of(table.model).counted == 2, "the newest ones"
    first, follower = table.model, settled(table)
    monkeypatch.setattr(recent_answers, "MOST_MODELS", 1)
    table.model = other = table.register(name="other")
    table.send(*((name, ServeModel(other, table.params.pred_stake * 2)) for name in table.servers))
    table.block()
    asked(table, [OK] * 5)
    settled(table, follower)
    assert (follower.of(first), follower.of(other).counted) == (NO_ANSWERS, 1)


# --- metrics of who serves -------------------------------------------------------------------------------------------------------


def exposed(tmp_path: Path, bench: Bench) -> list[str]:
    node = FakeNode(tmp_path)
    node.work.under_way = list(bench.machine.figures())
    return Metrics(node).expose().decode().splitlines()


def test_a_server_tells_how_its_models_are_answered_and_how_long_it_takes_itself(tmp_path: Path) -> None:
    table = Table(pred_open=30_000)
    model = table.model.hex()
    request, bench = seat(table)
    table.block(700)
    bench.look()
    drawn = table.record(request).rounds[0].started
    took = (table.chain.clock - drawn) / 1_000
    commit = committed(bench, ran(_run_of(bench), 1_000))
    table.send((bench.name, commit.op))
    bench.stored(commit)
    said = exposed(tmp_path, bench)
    assert took > 0.5 and f"lc_prediction_answer_seconds_sum {took}" in said and "lc_prediction_answer_seconds_count 1.0" in said
    assert 'lc_prediction_answer_seconds_bucket{le="0.5"} 0.0' in said
    assert not [line for line in said if line.startswith("lc_served_model") and model in line], "nobody has an answer yet"

    table.commit(request, {name: OK for name in table.seats(request) if name != bench.name})
    table.until(request, RequestState.OPEN)
    (opened,) = of(bench.look(), Submit)
    table.send((bench.name, opened.op))
    table.open(request, {name: OK for name in table.seats(request) if name != bench.name})
    table.leave(request, RequestState.OPEN)
    bench.look()
    seconds = (table.record(request).answered - table.terms(request).posted) / 1_000
    said = exposed(tmp_path, bench)
    for name in ("answers", "agreement_ratio"):
        assert f'lc_served_model_{name}{{model="{model}"}} 1.0' in said
    for percent in (50, 95):
        assert f'lc_served_model_seconds{{model="{model}",percentile="{percent}"}} {seconds}' in said

    table.send((bench.name, UnserveModel(table.model)))
    table.until(request, RequestState.FINAL, step=60_000)
    table.block()
    bench.look()
    assert not [line for line in exposed(tmp_path, bench) if model in line], "it serves it no more"


def test_an_answer_that_says_nothing_is_not_timed(tmp_path: Path) -> None:
    table = Table()
    _, bench = seat(table)
    (commit,) = of(bench.give(RunEnded(_run_of(bench), RunStatus.UNSUPPORTED, "", None)), Submit)
    bench.stored(commit)
    assert "lc_prediction_answer_seconds_count 0.0" in exposed(tmp_path, bench)


def test_metrics_name_no_more_models_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(servers=5)
    asked(table, [OK] * 5)
    bench = Bench(table)
    bench.look()
    assert [line for line in exposed(tmp_path, bench) if "lc_served_model_answers{" in line]
    monkeypatch.setattr(server, "MOST_NAMED", 0)
    assert not [line for line in exposed(tmp_path, bench) if "lc_served_model_answers{" in line]
