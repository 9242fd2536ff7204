"""`case list`, `case show`: what waits for a validator's word, what it needs, and how to say it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client_fake_api import JOB, OTHER, OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]

CASE: dict[str, Any] = {
    "number": 1,
    "since": 1_700_000_000_000,
    "until": 1_700_000_060_000,
    "refs": [{"ref": JOB, "owner": OWN, "origin": OWN}, {"ref": "ab" * 32, "owner": OTHER, "origin": OTHER}],
    "corroborated": True,
    "judges": 3,
    "confirm": [OWN],
    "lift": [],
    "to_ban": 2,
    "to_lift": 2,
    "words": ["2 false claims in jobs of 2 contractors.", "A ban needs 2 of 3 judges."],
}
OPEN = {"account": OTHER, "case": CASE, "own_word": None, "may": ["confirm", "lift"]}


def test_open_cases_are_listed_with_what_they_need(api: Fake, run: Any) -> None:
    api.answers["GET /v1/cases"] = [OPEN, OPEN | {"account": OWN, "own_word": None, "may": []}]
    ran = run("case", "list")
    first, second = (" ".join(line.split()) for line in ran.out.splitlines()[1:3])
    assert (ran.code, first) == (0, f"{OTHER} in 1 min 2, corroborated 1 of 2 0 of 2 waits for it")
    assert second.startswith(OWN) and second.endswith("0 of 2 -"), "this node is no judge of a case against itself"
    assert "case show" in ran.err and run("case", "list", "--json").json[0]["case"] == CASE


def test_nobody_is_suspended(api: Fake, run: Any) -> None:
    api.answers["GET /v1/cases"] = []
    ran = run("case", "list")
    assert (ran.code, ran.out, ran.err) == (0, "No account is suspended.\n", "")


@pytest.mark.parametrize(("may", "words"), [(["confirm", "lift"], "--confirm or --lift"), (["lift"], "--lift")])
def test_a_case_is_shown_whole_with_how_to_speak(api: Fake, run: Any, may: list[str], words: str) -> None:
    api.answers["GET /v1/cases"] = [OPEN | {"may": may}]
    ran = run("case", "show", OTHER)
    assert ran.code == 0 and "A ban needs 2 of 3 judges." in ran.out and f"{JOB} of {OWN}" in ran.out
    assert f"learningchain judge {OTHER} {words}. Nobody is banned by silence" in ran.err
    assert f"job recheck {JOB[:12]} --claimant {OTHER}" in ran.err


def test_whoever_has_spoken_is_not_asked_again(api: Fake, run: Any) -> None:
    api.answers["GET /v1/cases"] = [OPEN | {"own_word": "lift"}]
    assert "Say it" not in run("case", "show", OTHER).err and "Look at one" not in run("case", "list").err


def test_an_account_without_a_case(api: Fake, run: Any) -> None:
    api.answers["GET /v1/cases"] = []
    ran = run("case", "show", OTHER)
    assert ran.code == 2 and "There is no open case" in ran.err
