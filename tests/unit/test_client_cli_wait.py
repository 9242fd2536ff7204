"""`status --wait`: what is waited for is told at once, and what no time mends ends the wait, with why and what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli import ready
from tests.unit.client_fake_api import ACCOUNT, OTHER, OWN, SEEN, STATUS, TOKEN, Fake, refusal

pytest_plugins = ["tests.unit.client_cli_kit"]

LONG = "300"
UP = (200, {"ready": True, "height": 7, "sandbox": {"ok": True}})
ALONE = STATUS | {"peers": 0, "validators": [OWN, OTHER]}


def not_ready(name: str, message: str) -> tuple[int, Any]:
    return 503, {"error": {"kind": "unavailable", "code": None, "name": name, "message": f"Not ready: {message}"}}


TESTING = not_ready("SANDBOX", "the sandbox's self-test has not ended. Wait, or check the container engine")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "POLL_S", 0.001)
    monkeypatch.setattr(ready, "GRACE_S", 0.0)


@pytest.fixture
def folder(api: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node's data folder whose API nobody answers at, and no word of another one."""
    monkeypatch.delenv("LEARNINGCHAIN_API")
    data = tmp_path / "node"
    (data / "genesis.json").write_text("{}")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        (data / "config.toml").write_text(f'[api]\nlisten = "127.0.0.1:{held.getsockname()[1]}"\n')
        yield data


def test_a_node_that_is_ready_is_waited_for_in_silence(api: Fake, run: Any) -> None:
    ran = run("status", "--wait", LONG)
    assert (ran.code, ran.err) == (0, "")


def test_the_end_of_the_time_says_what_is_missing(api: Fake, run: Any, quick: None) -> None:
    api.answers["GET /readyz"] = TESTING
    ran = run("status", "--wait", "0.01", "--json")
    assert ran.code == 3 and "self-test has not ended" in ran.error["message"]
    api.answers["GET /v1/status"] = ALONE
    api.answers["GET /readyz"] = UP
    api.answers["GET /v1/config"] = {"network.peers": {"value": [OTHER], "source": "file"}}
    api.answers["GET /v1/connections"] = []
    ran = run("status", "--wait", "0.01")
    assert ran.code == 3 and "no peer is connected" in ran.err and "learningchain peers" in ran.err


# --- what no time mends ----------------------------------------------------------------------------------------------------------

ELSEWHERE = "certificate refused, it belongs to another network: self-signed certificate in certificate chain"
OUTSIDER = f"{OWN} is not an active member (unknown, banned or removed)"


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({f"GET /v1/accounts/{OWN}": ACCOUNT | {"status": "banned"}}, 1, "is banned from network test"),
        ({f"GET /v1/accounts/{OWN}": refusal("not_found", 404)}, 1, "is no member of network test"),
        ({"GET /v1/connections": [SEEN | {"reason": OUTSIDER}]}, 1, "Every peer refuses this node"),
        (
            {"GET /v1/connections": [SEEN | {"event": "dial failed", "reason": ELSEWHERE}]},
            1,
            "Every peer belongs to another network",
        ),
        ({"GET /v1/connections": [SEEN | {"reason": "another network: ab, this one is cd"}]}, 1, "another network"),
        ({"GET /v1/config": {"network.peers": {"value": []}}, "GET /v1/connections": []}, 2, "No peer is configured"),
    ],
    ids=["banned", "no member", "outsider", "elsewhere", "other chain", "nobody"],
)
def test_it_ends_early_where_waiting_cannot_help(
    api: Fake, run: Any, quick: None, changed: dict[str, Any], code: int, said: str
) -> None:
    api.answers |= {"GET /v1/status": ALONE} | changed
    ran = run("status", "--wait", LONG)
    assert ran.code == code and said in ran.err and "learningchain" in ran.err.splitlines()[-1].partition(said)[2]
    api.answers["GET /v1/status"] = ALONE | {"peers": 1}
    assert run("status", "--wait", LONG).code == 0, "a node with a peer is one of the graph"


@pytest.mark.parametrize("lock", [None, "", "x", "0", "-1", str(2**70)])
def test_a_folder_on_which_nothing_runs_is_told(run: Any, quick: None, folder: Path, lock: str | None) -> None:
    if lock is not None:
        (folder / "lock").write_text(lock)
    ran = run("status", "--wait", LONG)
    assert ran.code == 3 and f"No node runs on {folder}. Start it: learningchain node" in ran.err
    assert "Waiting for the node to start" in ran.err


def test_a_node_that_starts_is_waited_for_and_one_that_ends_is_not(run: Any, quick: None, folder: Path, monkeypatch: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (folder / "lock").write_text(f"{other.pid}\n")

        def goes_on(self: Any, missing: str) -> None:
            assert missing.startswith("Waiting for the node's API")
            other.communicate()

        monkeypatch.setattr("learningchain.client.cli.common.Output.note", goes_on)
        ran = run("status", "--wait", LONG)
    assert ran.code == 1 and "ended while it was waited for" in ran.err


def test_a_node_that_comes_up_meanwhile_is_ready(api: Fake, run: Any, folder: Path, monkeypatch: Any) -> None:
    """The token too: a node writes it at its first start."""
    (folder / "api.token").unlink()
    (folder / "lock").write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(ready, "POLL_S", 0.001)

    def comes_up(self: Any, text: str) -> None:
        (folder / "api.token").write_text(TOKEN)
        (folder / "config.toml").write_text(f'[api]\nlisten = "{api.url.removeprefix("http://")}"\n')

    monkeypatch.setattr("learningchain.client.cli.common.Output.note", comes_up)
    assert run("status", "--wait", LONG).code == 0
