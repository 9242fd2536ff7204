"""What every command that sends something has in common: how long it waits, and what its exit code says."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.crypto import SigningKey, parse_address
from learningchain.client.cli.ledger import MAX_WAIT
from learningchain.client.contracts.keys.http.request import make_request
from tests.unit.client_fake_api import JOB, OTHER, OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]
ID = "4be2" * 16
FINAL = {"tx": "ab" * 32, "status": "final", "height": 7, "index": 0, "code": 0, "code_name": "OK", "events": []}
PENDING = {"tx": "ab" * 32, "status": "pending"}
LINE = make_request(SigningKey(b"\7" * 32), parse_address(OTHER), b"\5" * 32)
COMMANDS: list[tuple[list[str], str]] = [
    (["transfer", OTHER, "1"], "/v1/transfers"),
    (["invite"], "/v1/invitations"),
    (["invite", "revoke", "01" * 4], "/v1/revocations"),
    (["leave", "--yes"], "/v1/leave"),
    (["judge", OTHER, "--lift"], "/v1/judgements"),
    (["release", "membership", OTHER, "--retry"], "/v1/releases"),
    (["propose", "ban", OTHER], "/v1/proposals"),
    (["vote", ID, "yes"], "/v1/votes"),
    (["withdraw", ID], "/v1/withdrawals"),
    (["guardians", "set", OTHER], "/v1/guardians"),
    (["recover", "approve", LINE], "/v1/recoveries"),
    (["recover", "object"], "/v1/objections"),
    (["job", "cancel", JOB], f"/v1/jobs/{JOB}/cancel"),
]


@pytest.fixture
def answering(api: Fake) -> Fake:
    keys = {
        "key_changes": 0,
        "guardians": [],
        "guardian_threshold": 0,
        "guardian_delay": 0,
        "guardians_coming": None,
        "recovery_barred_until": 0,
        "recovery": None,
    }
    for who in (OWN, OTHER):
        api.answers[f"GET /v1/accounts/{who}"] = (
            api.answers[f"GET /v1/accounts/{who}"] | {"id": who, "key": "02" + "ab" * 32} | keys
        )
    one = {"invitation": "01" * 32, "state": "open", "until": 1, "credits": "0", "counts": True}
    api.answers["GET /v1/invitations"] = [one]
    return api


def said(api: Fake, path: str, answer: dict[str, Any]) -> None:
    more = {"token": "lcjoin1x", "invitation": "ab" * 32, "expires": 1} if path == "/v1/invitations" else {}
    more |= {"job": JOB} if "/jobs/" in path else {}
    api.answers[f"POST {path}"] = answer | more


@pytest.mark.parametrize(("words", "path"), COMMANDS, ids=[" ".join(words[:2])[:20] for words, _ in COMMANDS])
def test_a_command_waits_as_long_as_it_is_told_and_a_node_holds_a_request(
    answering: Fake, run: Any, words: list[str], path: str
) -> None:
    said(answering, path, FINAL)
    for typed, asked in (("7", 7.0), ("99999", MAX_WAIT)):
        answering.seen.clear()
        assert run(*words, "--wait", typed).code == 0
        assert [float(query["wait"]) for method, at, query, _ in answering.seen if (method, at) == ("POST", path)] == [asked]


@pytest.mark.parametrize(("words", "path"), COMMANDS, ids=[" ".join(words[:2])[:20] for words, _ in COMMANDS])
def test_what_is_not_final_in_time_has_a_code_of_its_own_and_who_does_not_wait_has_none(
    answering: Fake, run: Any, words: list[str], path: str
) -> None:
    said(answering, path, PENDING)
    ran = run(*words, "--wait", "1")
    assert ran.code not in (0, 1, 2) and f"tx show {'ab' * 32}" in ran.err
    ran = run(*words, "--wait", "0", "--json")
    assert ran.code == 0 and ran.json["status"] == "pending", "for programs it says what the node said"
