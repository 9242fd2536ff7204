"""An account on the terminal: what it verifies with, its strikes that count, and the case against it."""

from __future__ import annotations

from typing import Any

import pytest

from client.contracts.membership.people import role, rows
from tests.unit.client_fake_api import ACCOUNT, OTHER

NOW = 1_700_000_000_000
MINUTE = 60_000


def told(**changed: Any) -> dict[str, str]:
    found: Any = ACCOUNT | changed
    return {name or "more": text for name, text in rows(found, NOW)}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({}, "verifier"),
        ({"verifier": False}, None),
        ({"left": 9}, "left"),
        ({"left": 9, "verifier": False}, "left"),
        ({"left": 0}, "verifier"),
    ],
)
def test_what_an_account_is(changed: dict[str, Any], word: str | None) -> None:
    found: Any = ACCOUNT | changed
    assert role(found) == word


def test_strikes_count_until_their_end() -> None:
    strikes = [{"origin": OTHER, "end": end} for end in (NOW - 1, NOW, NOW + 1, NOW + 5 * MINUTE, NOW + MINUTE)]
    assert told(strikes=strikes)["strikes"].startswith("of 3 contractors, the last ends in 5 min")
    assert "strikes" not in told(strikes=strikes[:2]) and "strikes" not in told(strikes=[])


def test_a_verifier_says_with_what_machine_or_why_it_is_not_drawn() -> None:
    assert told()["verifier"] == "amd64, 2.5 processors, 4096 MiB, image 4.0 GiB, model 1.0 GiB, 600 s"
    assert told(capacity=None)["verifier"].startswith("never drawn")
    assert told(rests_until=NOW + MINUTE)["verifier"].startswith("rests until in 1 min")
    assert not told(rests_until=NOW)["verifier"].startswith("rests")
    assert "verifier" not in told(verifier=False)


def test_a_case_is_told_in_words_and_when_it_is_decided() -> None:
    found: Any = ACCOUNT | {"case": {"until": NOW + 2 * MINUTE, "words": ["one.", "two."]}}
    assert rows(found, NOW)[-3:] == [("suspension", "decided in 2 min"), ("", "one."), ("", "two.")]
    assert "suspension" not in told()


def test_who_has_no_box_key_cannot_be_written_to() -> None:
    assert told(box_key="ab" * 32)["box key"] == "ab" * 32 and told(box_key=None)["box key"].startswith("none")
