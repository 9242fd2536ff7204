"""The whole demo, once, as `make demo JSON=file` runs it: what it prints, what it leaves behind, and a summary that holds."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import docker.client
import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 360
pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Shown:
    code: int
    output: str
    summary: dict[str, Any]

    @property
    def race(self) -> dict[str, Any]:
        found: dict[str, Any] = self.summary["jobs"][0]
        return found

    @property
    def fraud(self) -> dict[str, Any]:
        found: dict[str, Any] = self.summary["jobs"][1]
        return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Runs the demo. Whatever fails, none of its processes outlives the tests."""
    summary = tmp_path_factory.mktemp("demo") / "summary.json"
    process = subprocess.Popen(
        [ROOT / "scripts" / "demo.sh", str(summary)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
        document = json.loads(summary.read_text()) if summary.exists() else {}
        yield Shown(process.returncode, output, document)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def digest_in(cid: str) -> str:
    """The SHA-256 that a CIDv1 of one raw block names: of the file itself."""
    raw = base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
    assert raw[:4] == b"\x01\x55\x12\x20"
    return raw[4:].hex()


def test_every_promise_holds(shown: Shown) -> None:
    assert shown.code == 0, shown.output
    assert "promises hold on every node" in shown.output
    assert "NOT TRUE" not in shown.output


def test_the_summary_has_exactly_these_fields(shown: Shown) -> None:
    assert set(shown.summary) == {"nodes", "height", "state_root", "jobs", "balances", "supply"}
    job = {"id", "outcome", "winner", "cheater", "claimed_loss", "measured_losses", "votes", "bounty", "model"}
    assert [set(j) for j in shown.summary["jobs"]] == [job | {"downloaded_sha256", "containers"}] * 2


def test_five_nodes_stand_at_one_block(shown: Shown) -> None:
    nodes = shown.summary["nodes"]
    assert len({node["id"] for node in nodes}) == 5
    assert {node["state_root"] for node in nodes} == {shown.summary["state_root"]}
    assert {node["height"] for node in nodes} == {shown.summary["height"]}
    assert len(shown.summary["state_root"]) == 64
    assert sum(node["validator"] for node in nodes) == 4
    assert sum(node["working"] for node in nodes) >= 3


def test_the_race_was_won_verified_and_paid(shown: Shown) -> None:
    job, nodes = shown.race, {node["id"]: node for node in shown.summary["nodes"]}
    assert (job["outcome"], job["cheater"]) == ("paid", None)
    assert nodes[job["winner"]]["working"]
    assert len(job["votes"]) >= 3
    assert {vote["vote"] for vote in job["votes"]} == {"OK"}
    assert {vote["candidate"] for vote in job["votes"]} == {job["winner"]}
    voters = {vote["voter"] for vote in job["votes"]}
    assert len(voters) == len(job["votes"])
    assert voters <= set(nodes) - {job["winner"]}
    claimed = Decimal(job["claimed_loss"])
    assert 0 < claimed < Decimal("0.5")
    assert all(abs(Decimal(loss) - claimed) < Decimal("0.0000001") for loss in job["measured_losses"])
    assert len(job["measured_losses"]) == len(job["votes"])


def test_the_contractor_has_the_winners_model(shown: Shown) -> None:
    assert shown.race["downloaded_sha256"] == digest_in(shown.race["model"])
    assert "digits correctly" in shown.output


def test_the_race_ran_in_containers(shown: Shown) -> None:
    """At least three workers trained and evaluated their own model, one of them more often, and each voter evaluated."""
    assert shown.race["containers"] >= 2 * 3 + 2 + len(shown.race["votes"])
    assert shown.fraud["containers"] == len(shown.fraud["votes"])


def test_the_cheater_was_found_out_and_banned(shown: Shown) -> None:
    job = shown.fraud
    assert (job["outcome"], job["winner"], job["downloaded_sha256"]) == ("banned", None, None)
    assert job["cheater"] not in {node["id"] for node in shown.summary["nodes"]}
    assert len([vote for vote in job["votes"] if vote["vote"] == "FALSE"]) >= 3
    assert all(Decimal(loss) > Decimal(job["claimed_loss"]) + 1 for loss in job["measured_losses"])
    assert shown.summary["balances"][job["cheater"]] == "0"
    assert "NOT_ACTIVE" in shown.output


def test_the_balances_add_up_to_the_supply(shown: Shown) -> None:
    balances = {account: Decimal(text) for account, text in shown.summary["balances"].items()}
    assert sum(balances.values()) == Decimal(shown.summary["supply"])
    race, fraud = shown.race, shown.fraud
    contractor = next(node["id"] for node in shown.summary["nodes"] if not node["validator"])
    others = {account for account in balances if account not in (contractor, fraud["cheater"])}
    granted, fee = Decimal(20), Decimal(1)
    for account in others:
        votes = sum(vote["voter"] == account for job in (race, fraud) for vote in job["votes"])
        won = Decimal(race["bounty"]) if account == race["winner"] else 0
        assert balances[account] == granted + fee * votes + won
    # The bounty of job two came back whole: only the race and the verifiers were paid.
    spent = Decimal(race["bounty"]) + fee * (len(race["votes"]) + len(fraud["votes"]))
    assert balances[contractor] == 1000 - spent


def test_nothing_is_left_behind(shown: Shown) -> None:
    connect: Any = docker.client.from_env
    engine = connect()
    for node in shown.summary["nodes"]:
        mine = {"label": f"learningchain.node={node['id'][:20]}"}
        assert engine.containers.list(all=True, filters=mine) == []
        assert engine.volumes.list(filters=mine) == []
        assert engine.images.list(f"learningchain/{node['id'][:20]}") == []
    line = next(line for line in shown.output.splitlines() if " logs: " in line)
    logs = Path(line.partition(" logs: ")[2])
    assert {path.stem for path in logs.glob("*.log")} >= {node["name"] for node in shown.summary["nodes"]}
    assert not (logs.parent / "nodes").exists()
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(logs.parent).encode() not in cmdline.read_bytes()
        except OSError:
            continue  # ended meanwhile
