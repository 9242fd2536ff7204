"""`key box`: what others seal under, whether this node opens it, and another one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client_fake_api import OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]

OLD, NEW = "aa" * 32, "bb" * 32
NOW = 1_700_000_100_000
KEPT = [{"key": OLD, "made": NOW - 90_000}, {"key": NEW, "made": NOW - 60_000}]
VIEW: dict[str, Any] = {"key": NEW, "since": NOW - 60_000, "here": True, "kept": KEPT}


@pytest.mark.parametrize(
    ("view", "said", "note"),
    [
        (VIEW, f"key {NEW}", ""),
        (VIEW, "opens here", ""),
        (VIEW, f"kept as well {OLD}", ""),
        (VIEW | {"here": False, "kept": []}, "opens not here", "puts one of its own in its place"),
        ({"key": None, "since": 0, "here": False, "kept": []}, "key none yet", ""),
    ],
)
def test_it_is_shown_with_what_opens_it(api: Fake, run: Any, view: dict[str, Any], said: str, note: str) -> None:
    api.answers["GET /v1/box-key"] = view
    ran = run("key", "box")
    assert ran.code == 0 and said in " ".join(ran.out.split()) and note in ran.err
    assert run("key", "box", "--json").json == view


def test_it_is_replaced_and_a_new_backup_asked_for(api: Fake, run: Any) -> None:
    api.answers["POST /v1/box-key"] = (200, {"tx": "cd" * 32, "status": "final", "height": 7, "code": 0, "key": NEW})
    ran = run("key", "box", "--renew")
    assert (ran.code, ran.out) == (0, f"Others seal under {NEW} from now on.\n") and "learningchain backup" in ran.err
    assert run("key", "box", "--renew", "--json").json["key"] == NEW


def test_an_account_shows_its_own(api: Fake, run: Any) -> None:
    assert "box key none: nobody can seal anything for it" in " ".join(run("balance", OWN).out.split())
