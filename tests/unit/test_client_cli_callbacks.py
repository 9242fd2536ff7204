"""`callback`: a secret that is shown once, a test, and what is tried again or removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learningchain.client.callbacks.signatures import secret_text
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


def test_a_file_that_holds_no_secret_is_told_without_its_text(api: Fake, run: Any, tmp_path: Path) -> None:
    for raw in (b"whsec_short", b"\xff", b"sesame" * 400):
        (tmp_path / "secret").write_bytes(raw)
        ran = run("callback", "test", "https://example.org/", "--secret-file", tmp_path / "secret")
        assert ran.code == 2 and "holds no secret of a callback" in ran.err and "sesame" not in ran.err
    assert api.seen == []
