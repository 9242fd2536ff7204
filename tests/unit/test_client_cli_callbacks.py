"""`callback`: what is told where, what was not taken and why, and a secret that is shown once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.callbacks.signatures import secret_text
from client.cli import callbacks
from client.cli.callbacks import event_words
from client.cli.common import when
from tests.unit.client_fake_api import Fake, refusal

pytest_plugins = ["tests.unit.client_cli_kit"]

REF = "ab" * 32
NOW = 1_700_000_000_000
SECRET = secret_text(b"s" * 32)


def event(name: str, state: str, attempts: int, **more: Any) -> dict[str, Any]:
    return {"event": name, "state": state, "attempts": attempts, "due": None, "status": None, "note": "", "changed": NOW} | more


VIEW: dict[str, Any] = {
    "ref": REF,
    "source": "prediction",
    "url": "https://example.org/hook",
    "state": "open",
    "token": "",
    "created": NOW,
    "events": [
        event("agreed", "delivered", 1, status=200),
        event("overturned", "given_up", 30, note="the answer was 500"),
        event("final", "waiting", 2, due=NOW + 4_000, note="301: a redirect"),
    ],
}


def test_what_is_told_where(api: Fake, run: Any) -> None:
    api.answers["GET /v1/callbacks"] = [VIEW]
    ran = run("callback", "list")
    assert ran.code == 0 and "1 of 3" in ran.out and "https://example.org/hook" in ran.out
    assert run("callback", "list", "--json").json == [VIEW]
    api.answers["GET /v1/callbacks"] = []
    assert "No callbacks" in run("callback", "list").out


def test_a_list_that_is_cut_says_so_and_goes_on_by_pages(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PAGE_MOST", 2)
    many = [VIEW | {"ref": f"{number:064x}"} for number in range(5)]

    def page(query: Any) -> list[dict[str, Any]]:
        first = 0 if "before" not in query else int(query["before"].partition("-")[2], 16) + 1
        assert first == 0 or query["before"].startswith(f"{NOW}-")
        return many[first : first + int(query["limit"])]

    api.answers["GET /v1/callbacks"] = page
    cut = run("callback", "list", "--limit", "3")
    assert "these 3" in cut.err and "--limit 10000" in cut.err and cut.out.count("https://") == 3
    assert run("callback", "list", "--limit", "3", "--json").json == many[:3]
    monkeypatch.setattr(callbacks, "PAGE", 4)
    assert "these 4" in run("callback", "list").err
    whole = run("callback", "list", "--json")
    assert whole.json == many and "older" not in whole.err
    assert run("callback", "show", f"{4:064x}"[:63], "--json").code == 2  # one of two that begin so is not guessed
    assert run("callback", "list", "--limit", "0").code == 2


def test_whose_token_has_ended_is_said(api: Fake, run: Any) -> None:
    api.answers[f"GET /v1/callbacks/{REF}"] = VIEW | {"state": "revoked", "token": "ab12cd34"}
    said = " ".join(run("callback", "show", REF).out.split())
    assert "revoked, asked for by token ab12cd34: that token was revoked or has expired" in said


def test_each_event_says_how_it_stands(api: Fake, run: Any) -> None:
    api.answers["GET /v1/callbacks"] = [VIEW]
    ran = run("callback", "show", REF[:8])
    said = " ".join(ran.out.split())
    assert "delivered" in said and "given up after 30 attempts: the answer was 500" in said and "waits, 2 attempts" in said
    assert "callback retry" in ran.err
    api.answers[f"GET /v1/callbacks/{REF}"] = VIEW
    assert run("callback", "show", REF, "--json").json == VIEW
    assert run("callback", "show", "nothing").code == 2
    assert "No callback begins with cccccc" in run("callback", "show", "cccccc").err


def test_one_is_added_and_its_secret_shown_once_or_read_from_a_file(api: Fake, run: Any, tmp_path: Path) -> None:
    api.answers["POST /v1/callbacks"] = VIEW | {"secret": SECRET}
    ran = run("callback", "add", "prediction", REF, "https://example.org/hook")
    assert ran.code == 0 and SECRET in ran.err and "not shown again" in ran.err
    assert api.bodies("POST", "/v1/callbacks") == [{"source": "prediction", "ref": REF, "url": "https://example.org/hook"}]
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    api.answers["POST /v1/callbacks"] = VIEW
    ran = run("callback", "add", "prediction", REF, "https://example.org/hook", "--secret-file", str(file))
    assert ran.code == 0 and SECRET not in ran.out + ran.err
    assert api.bodies("POST", "/v1/callbacks")[1]["secret"] == SECRET
    file.write_text("whsec_short")
    assert run("callback", "add", "prediction", REF, "https://example.org/hook", "--secret-file", str(file)).code == 2
    assert "holds no secret" in run("callback", "test", "https://a.b/", "--secret-file", str(tmp_path / "none")).err


def test_a_test_ends_with_what_the_url_answered(api: Fake, run: Any) -> None:
    api.answers["POST /v1/callbacks/test"] = {"taken": True, "status": 204, "note": "", "secret": SECRET}
    ran = run("callback", "test", "https://example.org/hook")
    assert ran.code == 0 and "Taken: the answer was 204" in ran.out
    api.answers["POST /v1/callbacks/test"] = {"taken": False, "status": None, "note": "no answer within 15 s", "secret": SECRET}
    ran = run("callback", "test", "https://example.org/hook")
    assert ran.code == 1 and "no answer within 15 s" in ran.out


def test_it_is_tried_again_and_removed(api: Fake, run: Any) -> None:
    api.answers |= {f"GET /v1/callbacks/{REF}": VIEW, f"POST /v1/callbacks/{REF}/retry": {"events": 2}}
    assert "2 events tried now" in run("callback", "retry", REF).out
    assert run("callback", "retry", REF, "--json").json == {"ref": REF, "events": 2}
    api.answers[f"DELETE /v1/callbacks/{REF}"] = {"removed": True}
    assert run("callback", "remove", REF).code == 0
    api.answers[f"GET /v1/callbacks/{REF}"] = refusal("not_found", 404)
    assert run("callback", "remove", REF).code != 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (event("a", "delivered", 1), f"delivered {when(NOW)}, 1 attempt"),
        (event("a", "delivered", 2), f"delivered {when(NOW)}, 2 attempts"),
        (event("a", "given_up", 30, note="500"), "given up after 30 attempts: 500"),
        (event("a", "given_up", 0), "given up after 0 attempts"),
        (event("a", "waiting", 0, due=NOW), "waits for its first attempt"),
        (event("a", "waiting", 1, due=NOW, note="500"), f"waits, 1 attempt, next {when(NOW)}: 500"),
        (event("a", "waiting", 1), "given up after 1 attempt"),
    ],
)
def test_how_an_event_stands_in_words(found: Any, said: str) -> None:
    assert event_words(found) == said


def test_a_reference_is_typed_by_its_beginning_where_one_begins_so(api: Fake, run: Any) -> None:
    other = "abab" + "cd" * 30
    api.answers["GET /v1/callbacks"] = [VIEW, VIEW | {"ref": other}]
    api.answers[f"GET /v1/callbacks/{other}"] = VIEW | {"ref": other}
    assert run("callback", "show", "ababcd", "--json").json["ref"] == other
    assert run("callback", "show", other, "--json").json["ref"] == other
    for typed, said in (("abab", "no reference"), ("ababxx", "no reference"), ("ffffff", "No callback begins with ffffff")):
        ran = run("callback", "show", typed)
        assert ran.code == 2 and said in ran.err
    api.answers["GET /v1/callbacks"] = [VIEW, VIEW | {"ref": REF[:62] + "cd"}]
    ran = run("callback", "show", REF[:60])
    assert ran.code == 2 and "2 callbacks begin with" in ran.err


def test_a_file_that_holds_no_secret_is_told_without_its_text(api: Fake, run: Any, tmp_path: Path) -> None:
    for raw in (b"whsec_short", b"\xff", b"sesame" * 400):
        (tmp_path / "secret").write_bytes(raw)
        ran = run("callback", "test", "https://example.org/", "--secret-file", tmp_path / "secret")
        assert ran.code == 2 and "holds no secret of a callback" in ran.err and "sesame" not in ran.err
    assert api.seen == []
