"""`case list`, `case show`, `judge`, `release`: what waits for a validator's word, what it needs, and how to say it."""

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
    "counted": 3,
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


@pytest.mark.parametrize(("may", "words"), [(["confirm", "lift"], "--confirm or --lift"), (["lift"], "--lift")])
def test_a_case_is_shown_whole_with_how_to_speak(api: Fake, run: Any, may: list[str], words: str) -> None:
    api.answers["GET /v1/cases"] = [OPEN | {"may": may}]
    ran = run("case", "show", OTHER)
    assert ran.code == 0 and "A ban needs 2 of 3 judges." in ran.out and f"{JOB} of {OWN}" in ran.out
    assert f"learningchain judge {OTHER} {words}. Nobody is banned by silence" in ran.err
    assert f"job recheck {JOB[:12]} --claimant {OTHER}" in ran.err


@pytest.mark.parametrize(("word", "confirm"), [("--lift", False), ("--confirm", True)])
def test_a_validator_judges(api: Fake, run: Any, word: str, confirm: bool) -> None:
    assert run("judge", OTHER, word).code == 0
    assert api.bodies("POST", "/v1/judgements") == [{"account": OTHER, "confirm": confirm}]


@pytest.mark.parametrize(("word", "give_back"), [("--retry", False), ("--give-back", True)])
def test_a_validator_releases_what_is_parked(api: Fake, run: Any, word: str, give_back: bool) -> None:
    assert run("release", "job", JOB, word).code == 0
    assert api.bodies("POST", "/v1/releases") == [{"contract": "job", "ref": JOB, "give_back": give_back}]
    assert run("release", "membership", OTHER, word).code == 0
    assert api.bodies("POST", "/v1/releases")[1] == {"contract": "membership", "ref": OTHER, "give_back": give_back}


@pytest.mark.parametrize(
    ("contract", "path", "what"),
    [("job", "jobs", "job"), ("prediction", "predictions", "request's"), ("federation", "federations", "federation's")],
)
def test_what_is_parked_is_released_by_the_first_characters_of_its_id(
    api: Fake, run: Any, contract: str, path: str, what: str
) -> None:
    api.answers[f"GET /v1/{path}"] = [{"id": JOB}]
    assert run("release", contract, JOB[:6], "--retry").code == 0
    assert api.bodies("POST", "/v1/releases")[0]["ref"] == JOB
    wrong = run("release", contract, "xyz", "--retry")
    assert wrong.code == 2 and f"'xyz' is no {what} id" in wrong.err
