"""What is counted of blocks, and that everything that rules and dashboard ask for is a metric of a node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
from learningchain.chain.node.events import Decided
from learningchain.chain.types import LogEvent, Receipt
from learningchain.client.api.metrics import RUN_PHASES, RUN_STATES, Metrics
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.figures import PredictionFigures
from learningchain.client.contracts.prediction.roles.answer_window import AnswerSample, AnswerWindow
from learningchain.client.contracts.prediction.roles.requester import Requester
from learningchain.client.contracts.prediction.roles.server import PredictionServer
from learningchain.client.node.block_figures import MAX_TAKEN, OTHER, BlockFigures, Distribution
from learningchain.client.node.disk_use import DiskRoom
from learningchain.client.work.machine import Recalled
from learningchain.client.work.trials import Trials
from learningchain.sandbox.phases import PHASES
from learningchain.sandbox.spec import RunStatus
from tests.unit.api_kit import FakeNode

DOCS = Path(__file__).parents[2] / "docs/monitoring"
ZERO = bytes(32)
TOPICS = {topic: contract.name for contract in CONTRACTS for topic in contract.events}


def block(node: FakeNode, *receipts: Receipt, round_: int = 0, time: int = 1_000) -> Decided:
    node.ledger.block()
    header = msgspec.structs.replace(node.ledger.blocks[-1][0], round=round_, time=time)
    return Decided(header.height, ZERO, header, [r.tx for r in receipts], [Receipt(ZERO, 0, []), *receipts], [])


def test_a_block_adds_its_time_its_rounds_its_transactions_and_what_it_noted(tmp_path: Path) -> None:
    figures, node = BlockFigures(TOPICS), FakeNode(tmp_path)
    figures.taken(b"a" * 32, 10.0)
    noted: list[Any] = [
        LogEvent("job.posted", ZERO, []),
        LogEvent("job.posted", ZERO, []),
        LogEvent("whatever a stranger wrote", ZERO, []),
    ]
    both = Receipt(b"a" * 32, 0, noted), Receipt(b"b" * 32, 7, [])
    figures.decided(block(node, *both, round_=2, time=1_000), 1_400, 12.0, live=True)
    figures.decided(block(node), 999_000, 13.0, live=False)
    assert (figures.blocks, figures.live, figures.rounds) == (2, 1, 2)
    assert figures.txs == {"applied": 1, "refused": 1}
    assert (figures.block_seconds.sum, figures.tx_seconds.sum) == (0.4, 2.0)
    assert dict(figures.block_seconds.buckets())["0.5"] == 1 and dict(figures.block_seconds.buckets())["0.25"] == 0
    events = figures.counted_events()
    assert events["job", "job.posted"] == 2 and events[OTHER, OTHER] == 1 and events["job", "paid"] == 0
    assert len(events) == len(TOPICS) + 1


def test_what_users_offer_without_end_is_timed_up_to_a_bound() -> None:
    figures = BlockFigures({})
    for n in range(MAX_TAKEN + 5):
        figures.taken(n.to_bytes(32, "big"), 0.0)
    assert len(figures._taken) == MAX_TAKEN
    figures.lost((MAX_TAKEN + 1).to_bytes(32, "big"))
    figures.lost(b"never taken")
    assert figures.dropped == 1


def test_a_distribution_counts_up_to_each_bound() -> None:
    found = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        found.add(value)
    assert found.buckets() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)] and found.sum == 12.0


def trials() -> Trials:
    """Of a node that tries none."""
    return Trials(None, spawn=lambda work: None, now_s=lambda: 0.0, now_ms=lambda: 0)  # type: ignore[arg-type]


def exposed(tmp_path: Path) -> str:
    """All that a node may say."""
    node = FakeNode(tmp_path)
    node.figures, node.disk = BlockFigures(TOPICS, [PredictionFigures(b"n" * 20)]), DiskRoom(10, 100)
    known = Recalled(b"n" * 20, ZERO, WorkConfig(), bytes)
    server = PredictionServer(known)
    server._served, server._answers = {ZERO}, {ZERO: AnswerWindow()}
    server._answers[ZERO].add(AnswerSample(9_000, ZERO, 400, PredictionOutcome.AGREED))
    node.work.under_way = [*Requester(known).figures(), *server.figures(), trials().figure()]
    node.extra = {
        "mempool": 1,
        "round": 0,
        "clock_offset_ms": -1_500,
        "mempool_room": {"common": {"bytes": 5, "limit": 10, "accounts": 1}},
        "notices": [{"topic": "case.waits"}],
        "serving": [{"model": "ab", "starting": 1, "ready": 2, "answering": 3}] * 2,
    }
    node.callbacks = SimpleNamespace(metrics=lambda: {"rows": {"waiting": 2}, "attempts": {"told": 5}, "running": 3})  # type: ignore[assignment]
    node.machines = SimpleNamespace(shown=lambda: [{"state": "away"}])  # type: ignore[assignment]
    metrics = Metrics(node)
    metrics.count("GET /v1/jobs", 200, 0.1)
    return metrics.expose({"ok": True, "checks": []}).decode()


def asked() -> list[str]:
    dashboard = json.loads((DOCS / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [*queries, *re.findall(r"^ +expr: (.*?)\n +(?:for|labels):", (DOCS / "alerts.yml").read_text(), re.M | re.S)]


def test_rules_and_dashboard_ask_for_nothing_that_no_node_says(tmp_path: Path) -> None:
    known = set(re.findall(r"^([a-z_]+)", exposed(tmp_path), re.M))
    named: dict[str, Any] = {name: query for query in asked() for name in re.findall(r"\b(?:lc|process)_[a-z_]+", query)}
    assert len(named) > 30
    for name, query in named.items():
        assert name in known, query


@pytest.mark.parametrize("label", ["topic", "contract"])
def test_events_that_the_dashboard_names_are_those_of_the_contracts(label: str) -> None:
    known = set(TOPICS) if label == "topic" else set(TOPICS.values())
    text = "\n".join(query for query in asked() if "lc_ledger_events" in query)
    words = {word for group in re.findall(rf'{label}=~?"([^"]+)"', text) for word in group.split("|")}
    assert words and words <= known


def test_phases_and_states_of_runs_are_those_of_the_sandbox() -> None:
    assert tuple(PHASES) == RUN_PHASES and tuple(status.value for status in RunStatus) == RUN_STATES
