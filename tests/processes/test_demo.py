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
    def jobs(self) -> list[dict[str, Any]]:
        """The race, the cheater's two frauds, the lie about a worker."""
        found: list[dict[str, Any]] = self.summary["jobs"]
        return found

    def named(self, name: str) -> str:
        """A member's address, as the demo told it."""
        return str(re.findall(rf" {name}: (lc1[a-z0-9]{{38,}}), ", self.output)[0])

    def balance(self, name: str) -> Decimal:
        return Decimal(self.summary["balances"][self.named(name)])


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
    assert set(shown.summary) == {"nodes", "height", "state_root", "jobs", "balances", "burned", "supply"}
    job = {"id", "contractor", "outcome", "winner", "accused", "became", "claimed_loss", "measured_losses", "votes", "bounty"}
    job |= {"fees_paid", "stakes_burned", "bond_burned", "model", "downloaded_sha256", "containers"}
    assert [set(one) for one in shown.jobs] == [job] * 4


def test_five_nodes_stand_at_one_block(shown: Shown) -> None:
    nodes = shown.summary["nodes"]
    assert len({node["id"] for node in nodes}) == 5
    assert {node["state_root"] for node in nodes} == {shown.summary["state_root"]}
    assert {node["height"] for node in nodes} == {shown.summary["height"]}
    assert len(shown.summary["state_root"]) == 64
    assert sum(node["validator"] for node in nodes) == 4
    assert sum(node["working"] for node in nodes) >= 3


def test_the_race_was_won_verified_and_paid(shown: Shown) -> None:
    job, nodes = shown.jobs[0], {node["id"]: node for node in shown.summary["nodes"]}
    assert (job["outcome"], job["accused"]) == ("paid", None)
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
    assert shown.jobs[0]["downloaded_sha256"] == digest_in(shown.jobs[0]["model"])
    assert "digits correctly" in shown.output


def test_the_jobs_ran_in_containers(shown: Shown) -> None:
    """At least three workers trained and evaluated their own model, one of them more often, and each voter evaluated."""
    race, *frauds, lie = shown.jobs
    assert race["containers"] >= 2 * 3 + 2 + len(race["votes"])
    for fraud in frauds:
        assert fraud["containers"] == len(fraud["votes"])
    assert lie["containers"] >= 2 + len(lie["votes"])


def test_the_cheater_lied_to_two_contractors_and_was_banned(shown: Shown) -> None:
    frauds = shown.jobs[1:3]
    assert [fraud["contractor"] for fraud in frauds] == [shown.named("erin"), shown.named("frank")]
    for fraud in frauds:
        assert (fraud["outcome"], fraud["winner"], fraud["downloaded_sha256"]) == ("refunded", None, None)
        assert (fraud["accused"], fraud["became"]) == (shown.named("mallory"), "banned")
        assert len([vote for vote in fraud["votes"] if vote["vote"] == "FALSE"]) >= 3
        assert all(Decimal(loss) > Decimal(fraud["claimed_loss"]) + 1 for loss in fraud["measured_losses"])
    assert shown.balance("mallory") == 0
    assert shown.output.index("mallory is suspended") < shown.output.index("mallory is banned by")
    assert "name BANNED" in shown.output


def test_a_contractor_that_lies_about_a_worker_pays_as_much_and_nobody_is_banned(shown: Shown) -> None:
    lie, alice = shown.jobs[3], shown.named("alice")
    assert (lie["contractor"], lie["outcome"], lie["winner"]) == (shown.named("grace"), "refunded", None)
    assert (lie["accused"], lie["became"]) == (alice, "active")
    stake = Decimal(lie["bounty"]) / 10
    assert Decimal(lie["stakes_burned"]) == Decimal(lie["bond_burned"]) == stake
    assert shown.balance("grace") == 1000 - stake - Decimal(lie["fees_paid"])
    assert "alice is banned" not in shown.output
    assert "the case against alice lapses" in shown.output


def test_the_balances_add_up_to_the_supply(shown: Shown) -> None:
    balances = {account: Decimal(text) for account, text in shown.summary["balances"].items()}
    burned, supply = Decimal(shown.summary["burned"]), Decimal(shown.summary["supply"])
    assert sum(balances.values()) == supply == 4 * 20 + 3 * 1000 + 50 - burned
    assert burned == 50 + 2 * sum(Decimal(job["bond_burned"]) for job in shown.jobs) - sum(
        Decimal(job["stakes_burned"]) for job in shown.jobs[1:3]
    ), "all that the cheater had, a worker's stake, and of every contractor as much as of the accused"
    race, first, *_ = shown.jobs
    spent = Decimal(race["bounty"]) + sum(Decimal(job["fees_paid"]) for job in (race, first)) + Decimal(first["bond_burned"])
    assert shown.balance("erin") == 1000 - spent


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
    assert len(identities) == 8
    assert left_behind(identities, folder_of(output)) == []
    assert not (tmp_path / "summary.json").exists()
