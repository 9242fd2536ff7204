"""`status --wait`: what is waited for is told at once, and what no time mends ends the wait, with why and what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.cli import ready
from tests.unit.client_fake_api import ACCOUNT, OTHER, OWN, PEER, SEEN, STATUS, TOKEN, Fake, refusal

pytest_plugins = ["tests.unit.client_cli_kit"]

LONG = "300"
UP = (200, {"ready": True, "height": 7, "sandbox": {"ok": True}})
ALONE = STATUS | {"peers": 0, "validators": [OWN, OTHER]}


def not_ready(name: str, message: str) -> tuple[int, Any]:
    return 503, {"error": {"kind": "unavailable", "code": None, "name": name, "message": f"Not ready: {message}"}}


SYNCING = not_ready("SYNCING", "the node is at height 7 and still fetches blocks. Wait, or check its peers")
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


def test_what_is_waited_for_is_told_at_once(api: Fake, run: Any, quick: None) -> None:
    api.answers["GET /v1/peers"] = [PEER | {"height": 9}, PEER | {"height": 12_345}, PEER | {"height": 0}]
    api.answers["GET /readyz"] = [SYNCING, SYNCING, TESTING, TESTING, UP]
    ran = run("status", "--wait", LONG)
    assert ran.code == 0
    assert ran.err.splitlines() == [
        "Waiting for 12,338 blocks: the node is at 7, its peers at 12,345",
        "Waiting for the sandbox: the sandbox's self-test has not ended. Wait, or check the container engine",
    ]
    api.answers["GET /readyz"] = [SYNCING, UP]
    ran = run("status", "--wait", LONG, "--json")
    assert (ran.code, ran.err) == (0, ""), "machines are spared it"


def test_a_number_that_changes_is_told_again_after_a_while(
    api: Fake, run: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_height(height: int) -> tuple[int, Any]:
        return 200, [PEER | {"height": height}]

    for pause, told in ((1e9, ["100"]), (0.0, ["100", "99"])):
        monkeypatch.setattr(ready, "AGAIN_S", pause)
        api.answers["GET /v1/peers"] = [of_height(107), of_height(107), of_height(106)]
        api.answers["GET /readyz"] = [SYNCING, SYNCING, SYNCING, UP]
        lines = run("status", "--wait", LONG).err.splitlines()
        assert [line.split()[2] for line in lines] == told


def test_a_first_peer_is_waited_for_where_there_are_others(api: Fake, run: Any, quick: None) -> None:
    api.answers["GET /v1/connections"] = []
    api.answers["GET /v1/status"] = [(200, ALONE), (200, ALONE), (200, ALONE | {"peers": 1})]
    ran = run("status", "--wait", LONG)
    assert (ran.code, ran.err) == (0, "Waiting for peers: none is connected\n")
    api.answers["GET /v1/status"] = STATUS | {"peers": 0}
    assert run("status", "--wait", LONG).err == "", "the only validator needs nobody"


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


@pytest.mark.parametrize(
    "seen",
    [
        [SEEN | {"reason": OUTSIDER}, SEEN | {"address": "b:1", "event": "dial failed", "reason": "nothing listens there"}],
        [SEEN | {"event": "dial failed", "reason": "nothing listens there"}, SEEN | {"reason": OUTSIDER}],
        [SEEN | {"event": "dial failed", "reason": OUTSIDER}],
        [SEEN | {"event": "connection refused", "reason": ELSEWHERE}],
        [SEEN | {"event": "dial failed", "reason": "this is the node itself"}],
        [
            SEEN | {"event": "dial failed", "reason": ELSEWHERE},
            SEEN | {"address": "b:1", "event": "dial failed", "reason": "no answer"},
        ],
    ],
    ids=["another may have it", "it was so before", "its own word", "a stranger's mistake", "itself", "one of two is elsewhere"],
)
def test_what_may_come_right_is_waited_for(api: Fake, run: Any, quick: None, seen: list[Any]) -> None:
    api.answers |= {"GET /v1/connections": seen, "GET /v1/config": {"network.peers": {"value": ["b:1"]}}}
    api.answers["GET /v1/status"] = [(200, ALONE)] * 5 + [(200, STATUS)]
    assert run("status", "--wait", LONG).code == 0


def test_a_node_that_looks_for_peers_on_the_local_network_is_waited_for(api: Fake, run: Any, quick: None) -> None:
    settings = {"network.peers": {"value": []}, "network.mdns": {"value": True}}
    api.answers |= {"GET /v1/connections": [], "GET /v1/config": settings}
    api.answers["GET /v1/status"] = [(200, ALONE)] * 5 + [(200, STATUS)]
    assert run("status", "--wait", LONG).code == 0


def test_a_node_of_another_folder_is_told(api: Fake, run: Any, quick: None, tmp_path: Path) -> None:
    (tmp_path / "node" / "api.token").write_text(TOKEN + "x")
    ran = run("status", "--wait", LONG)
    assert ran.code == 2 and f"does not know the token in {tmp_path / 'node' / 'api.token'}" in ran.err
    assert run("status", "--wait", LONG, "--data", tmp_path / "none", "--api", api.url).code == 2


def test_a_folder_without_a_network_is_told(run: Any, quick: None, folder: Path) -> None:
    (folder / "genesis.json").unlink()
    ran = run("status", "--wait", LONG)
    assert ran.code == 2 and "There is no network in" in ran.err and "learningchain genesis install FILE" in ran.err


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

        monkeypatch.setattr("client.cli.common.Output.note", goes_on)
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

    monkeypatch.setattr("client.cli.common.Output.note", comes_up)
    assert run("status", "--wait", LONG).code == 0


def test_a_remote_node_is_waited_for_to_the_end(run: Any, quick: None, folder: Path) -> None:
    """Its data folder is not here: nobody knows whether it runs."""
    url = "http://" + (folder / "config.toml").read_text().split('"')[1]
    began = time.monotonic()
    ran = run("status", "--wait", "0.3", "--api", url)
    assert ran.code == 3 and "nothing listens there" in ran.err and time.monotonic() - began >= 0.3
