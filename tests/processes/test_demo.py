"""The whole demo, once, as `make demo JSON=file` runs it: what it prints, what it leaves behind, and a summary that holds."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
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


@contextlib.contextmanager
def demo(summary: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process. Whatever fails, it does not outlive the test."""
    process = subprocess.Popen(
        [ROOT / "scripts" / "demo.sh", str(summary)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    summary = tmp_path_factory.mktemp("demo") / "summary.json"
    with demo(summary) as process:
        output, _ = process.communicate(timeout=LIMIT_S)
    return Shown(process.returncode, output, json.loads(summary.read_text()) if summary.exists() else {})


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


def left_behind(identities: list[str], folder: Path) -> list[str]:
    """Containers, volumes, images and processes that nodes of one run left."""
    connect: Any = docker.client.from_env
    engine = connect()
    found: list[str] = []
    for tag in (identity[:20] for identity in identities):
        mine = {"label": f"learningchain.node={tag}"}
        found += [c.name for c in engine.containers.list(all=True, filters=mine)]
        found += [v.name for v in engine.volumes.list(filters=mine)]
        found += [str(i.tags) for i in engine.images.list(f"learningchain/{tag}")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if str(folder).encode() in process.read_bytes():
                found.append(f"process {process.parent.name}")
    return found + [str(path) for path in folder.glob("nodes")]


def folder_of(output: str) -> Path:
    line = next(line for line in output.splitlines() if " logs: " in line)
    return Path(line.partition(" logs: ")[2]).parent


def test_nothing_is_left_behind_but_the_logs(shown: Shown) -> None:
    nodes = shown.summary["nodes"]
    folder = folder_of(shown.output)
    assert left_behind([node["id"] for node in nodes], folder) == []
    assert {path.stem for path in (folder / "logs").glob("*.log")} >= {node["name"] for node in nodes}


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGINT, as Ctrl-C sends it, in the middle of the first job."""
    with demo(tmp_path / "summary.json") as process:
        output = ""
        for line in process.stdout or ():
            output += line
            if "training 1" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    output += rest
    assert process.returncode == 130, output
    identities = re.findall(r" (lc1[a-z0-9]{38,}), ", output)
    assert len(identities) == 6
    assert left_behind(identities, folder_of(output)) == []
    assert not (tmp_path / "summary.json").exists()
