"""`earnings`: credits a day by what they are for, hours of runs, and what jobs paid; `pause` and `resume`."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.client import config
from learningchain.client.contracts.job.cli.earnings import by_day, going
from tests.unit.client_fake_api import OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]
NOON, DAY = 1_700_049_600_000, 86_400_000


def move(reason: str, amount: str | None, time: int = NOON) -> dict[str, Any]:
    return {"cursor": 1, "height": 1, "time": time, "tx": None, "reason": reason, "amount": amount, "ref": "", "other": None}


MOVES = [
    move("bounty", "20"),
    move("fee", "0.1"),
    move("fee", "0.2"),
    move("answer.paid", "0.000001"),
    move("stake", "2"),
    move("transfer", "50"),
    move("stake.locked", "-2"),
    move("left", None),
    move("bounty", "5", NOON - DAY),
]
RUNS = [
    {"started": NOON - 7_200_000, "ended": NOON - 3_600_000, "job": "j"},
    {"started": NOON - 1_800_000, "ended": None},
    {"started": None},
]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_a_day_has_what_was_earned_and_not_what_came_back_or_was_given() -> None:
    today, yesterday, before = by_day(MOVES, RUNS, NOON, 3, {"j": 2_500})  # type: ignore[arg-type]
    assert today == {
        "day": "2023-11-15",
        "bounties": "20",
        "votes": "0.3",
        "answers": "0.000001",
        "other": "0",
        "earned": "20.300001",
        "run_hours": 1.5,
        "processor_hours": 3.0,
    }
    assert (yesterday["bounties"], yesterday["earned"], before["earned"]) == ("5", "5", "0")


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        ([], (0, 0, None, None, None, None)),
        ([("EMPTY", "9", 0)], (1, 0, None, None, None, None)),
        ([("PAID", "20", 3), ("PAID", "5", 1), ("PAID", "100", 8), ("OPEN", "1", 0)], (4, 3, "5", "20", "100", 3)),
    ],
)
def test_prices_are_those_of_jobs_that_paid(jobs: list[tuple[str, str, int]], says: tuple[Any, ...]) -> None:
    found = going([{"state": state, "bounty": bounty, "claimants": n} for state, bounty, n in jobs])  # type: ignore[typeddict-item]
    assert tuple(found.values()) == says


def test_the_command_shows_days_that_had_something_and_the_prices(api: Fake, run: Any) -> None:
    now = api.answers["GET /v1/status"]["clock_now"]
    api.answers[f"GET /v1/accounts/{OWN}/history"] = [move("bounty", "20", now), move("bounty", "3", now - 40 * DAY)]
    api.answers["GET /v1/runs"] = []
    ran = run("earnings")
    assert ran.code == 0, ran.err
    (line,) = [line.split() for line in ran.out.splitlines() if line.startswith("together")]
    assert line == ["together", "20", "0", "0", "0", "20", "0.0", "0.0"] and "Jobs of the network in 30 days" in ran.out
    assert len(run("earnings", "--days", "7", "--json").json["days"]) == 7
    assert run("earnings", "--days", "0").code == 2


def test_a_pause_is_a_setting_that_a_running_node_takes_up(api: Fake, run: Any, tmp_path: Any) -> None:
    for word, paused in (("pause", True), ("resume", False)):
        assert run(word).code == 0
        assert config.load(tmp_path / "node").config.work.paused is paused
    assert run("config", "set", "work.hours", "22:00-07:00").code == 0
    assert "no time of day" in run("config", "set", "work.hours", "night").err
