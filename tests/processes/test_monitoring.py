"""Alert rules and dashboard of docs/monitoring with a real Prometheus before real nodes: what is asked has an answer, what is wrong
fires, and what is well does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from learningchain.client import config
from tests.processes.harness import ROOT, Graph, NodeProcess, eventually, validators
from tests.processes.prometheus import Prometheus, programs, promtool, scraping

DOCS = ROOT / "docs/monitoring"
RULES = (DOCS / "alerts.yml").read_text()
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.full("it fetches Debian's Prometheus and lets it scrape real nodes for a minute"),
]

NODE = 'instance="n",job="learningchain"'
FIRED_BY: dict[str, dict[str, str]] = {
    "NodeDown": {f"up{{{NODE}}}": "0x90"},
    "NoBlocks": {f"lc_height{{{NODE}}}": "5x90", f"lc_block_timestamp_seconds{{{NODE}}}": "0x90"},
    "NoPeers": {f"lc_peers{{{NODE}}}": "0x90", f"lc_validators{{{NODE}}}": "4x90"},
    "StillSyncing": {f"lc_syncing{{{NODE}}}": "1x90"},
    "SlowFinality": {
        f'lc_block_final_seconds_bucket{{{NODE},le="10.0"}}': "0x90",
        f'lc_block_final_seconds_bucket{{{NODE},le="30.0"}}': "0+9x90",
        f'lc_block_final_seconds_bucket{{{NODE},le="+Inf"}}': "0+9x90",
    },
    "FailedRounds": {f"lc_failed_rounds_total{{{NODE}}}": "0+30x90", f"lc_blocks_total{{{NODE}}}": "0+30x90"},
    "ClockOff": {f"lc_clock_offset_seconds{{{NODE}}}": "-1.5x90"},
    "DiskLow": {f"lc_disk_free_bytes{{{NODE}}}": "1000x90"},
    "MempoolFull": {
        f'lc_mempool_bytes{{{NODE},kind="common"}}': "95x90",
        f'lc_mempool_limit_bytes{{{NODE},kind="common"}}': "100x90",
    },
    "WorkFails": {f"lc_failing{{{NODE}}}": "1x90"},
    "Parked": {f"lc_parked{{{NODE}}}": "2x90"},
    "NoSandbox": {f"lc_runs_work{{{NODE}}}": "1x90", f"lc_sandbox_ok{{{NODE}}}": "0x90"},
    "MachineAway": {f'lc_machines{{{NODE},state="away"}}': "1x90"},
    "RunsFail": {
        f'lc_runs_ended_total{{{NODE},phase="train",state="failed"}}': "0+1x90",
        f'lc_runs_ended_total{{{NODE},phase="train",state="ok"}}': "0x90",
    },
    "SeatsLost": {f'lc_prediction_seats_ended_total{{{NODE},role="server",end="silent"}}': "0+1x90"},
    "ServedModelDisagrees": {
        f'lc_served_model_agreement_ratio{{{NODE},model="ab"}}': "0.4x90",
        f'lc_served_model_answers{{{NODE},model="ab"}}': "25x90",
    },
    "CaseAgainstThisNode": {f'lc_notices{{{NODE},topic="case.own"}}': "1x90"},
    "OwnerIsWanted": {f'lc_notices{{{NODE},topic="proposal.waits"}}': "1x90"},
    "OperatorNotice": {f'lc_notices{{{NODE},topic="image.missing"}}': "1x90"},
    "ApiErrors": {f'lc_http_requests_total{{{NODE},route="none",status="503"}}': "0+60x90"},
    "CallbacksGivenUp": {f'lc_callbacks{{{NODE},state="given_up"}}': "1x90"},
}
"""Series, a value a minute, by which each alert must fire after 80 minutes, and without which none does."""


OF_SERVERS: dict[str, tuple[dict[str, str], list[float]]] = {
    "From the draw to this node's answer": (
        {
            f'lc_prediction_answer_seconds_bucket{{{NODE},le="0.5"}}': "0x90",
            f'lc_prediction_answer_seconds_bucket{{{NODE},le="1.0"}}': "0+10x90",
            f'lc_prediction_answer_seconds_bucket{{{NODE},le="+Inf"}}': "0+10x90",
        },
        [0.75, 0.975],
    ),
    "Served models: from a request to its values": (
        {
            f'lc_served_model_seconds{{{NODE},model="ab",percentile="50"}}': "0.4x90",
            f'lc_served_model_seconds{{{NODE},model="ab",percentile="95"}}': "1.2x90",
        },
        [0.4, 1.2],
    ),
    "Served models: requests that agreed": ({f'lc_served_model_agreement_ratio{{{NODE},model="ab"}}': "0.9x90"}, [0.9]),
}
"""Panels that show nothing where no model is served: series, and what each query makes of them, in their order."""


def names_of(rules: str) -> list[str]:
    return re.findall(r"alert: (\w+)", rules)


def test_each_rule_fires_by_what_it_names_and_by_nothing_else(tmp_path: Path) -> None:
    place = programs(tmp_path)
    assert set(FIRED_BY) == set(names_of(RULES))
    promtool(place, "check", "rules", DOCS / "alerts.yml")
    tests: list[dict[str, Any]] = []
    for name, series in FIRED_BY.items():
        given = [{"series": key, "values": values} for key, values in series.items()]
        # Whether one fires is a series of Prometheus' own.
        asked = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "80m"}
        wanted = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
        tests.append({"interval": "1m", "input_series": given, "promql_expr_test": [asked | {"exp_samples": wanted}]})
    (tmp_path / "alerts.yml").write_text(RULES)
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}))
    promtool(place, "test", "rules", tmp_path / "test.yml")


def queries() -> list[tuple[str, str]]:
    dashboard = json.loads((DOCS / "dashboard.json").read_text())
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_what_servers_alone_say_is_asked_for_as_it_is_said(tmp_path: Path) -> None:
    place = programs(tmp_path)
    tests: list[dict[str, Any]] = []
    for title, (series, values) in OF_SERVERS.items():
        given = [{"series": key, "values": numbers} for key, numbers in series.items()]
        found = [query.replace("$instance", ".*").replace("$__rate_interval", "5m") for name, query in queries() if name == title]
        asked = [
            {"expr": f"round(sum({query}), 0.001)", "eval_time": "30m", "exp_samples": [{"labels": "{}", "value": value}]}
            for query, value in zip(found, values, strict=True)
        ]
        tests.append({"interval": "1m", "input_series": given, "promql_expr_test": asked})
    (tmp_path / "alerts.yml").write_text(RULES)
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}))
    promtool(place, "test", "rules", tmp_path / "test.yml")


async def test_every_query_has_data_and_what_is_wrong_fires(tmp_path: Path) -> None:
    place = programs(tmp_path)
    async with Graph(tmp_path, validators(2)) as graph:
        await graph.start()
        one, other = graph["v0"], graph["v1"]
        where = [config.load(node.data, {}).config.api.listen for node in (one, other)]
        # Patience is for operators: here a condition counts after a second, and half a minute without a block is long.
        rules = re.sub(r"for: \w+", "for: 1s", RULES).replace("> 300", "> 30")
        async with scraping(place, tmp_path, where, rules) as prometheus:
            left = {title: query for title, query in queries() if title not in OF_SERVERS}
            assert len(left) > 25

            async def answered() -> bool:
                """Some need two blocks, some a transaction on the way."""
                await one.api.transfer(other.address, "0.001", wait=20)
                for title, query in list(left.items()):
                    if await prometheus.ask(query.replace("$instance", ".*").replace("$__rate_interval", "20s")):
                        del left[title]
                return not left

            await eventually("each query of the dashboard has data", answered, 120)
            assert not {name for name, _ in await prometheus.firing()} & {
                "NodeDown",
                "NoPeers",
                "NoBlocks",
                "WorkFails",
                "Parked",
                "DiskLow",
            }
            await _is_lint_free(place, where[0])
            await other.kill()
            await _fires(prometheus, "NodeDown", where[1])
            await _fires(prometheus, "NoPeers", where[0])
            await _fires(prometheus, "NoBlocks", where[0])
            await _over_again(prometheus, other, where)


async def _is_lint_free(place: Path, where: str) -> None:
    """By Prometheus' own rules on names, units and help."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{where}/metrics") as answer:
        said = promtool(place, "check", "metrics", text=await answer.text())
    assert not said, said


async def _fires(prometheus: Prometheus, name: str, instance: str) -> None:
    async def fired() -> bool:
        return (name, instance) in await prometheus.firing()

    await eventually(f"{name} fires for {instance}", fired)


async def _over_again(prometheus: Prometheus, other: NodeProcess, where: list[str]) -> None:
    await other.start()

    async def over() -> bool:
        return not {name for name, _ in await prometheus.firing()} & {"NodeDown", "NoPeers", "NoBlocks"}

    await eventually(f"nothing fires once {where[1]} is back", over)
