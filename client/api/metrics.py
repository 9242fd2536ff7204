"""Metrics in a registry of this server's own, so that two nodes in one process do not mix. Read from the node when asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from client.core import NodeService

_GAUGES = {
    "peers": ("peers", "Connected peers"),
    "mempool": ("mempool", "Transactions that wait for a block"),
}
_LISTS = {
    "parked": "References that the status lists as parked",
    "failing": "Parts of the node's own work that fail at present",
}
_FLAGS = {"syncing": "The node still fetches blocks", "validator": "The node is a validator", "working": "The node runs jobs"}


class _NodeGauges(Collector):
    """What the node says of itself at the moment of the scrape."""

    def __init__(self, node: NodeService) -> None:
        self._node = node

    def collect(self) -> Iterable[Metric]:
        status = self._node.status()
        yield GaugeMetricFamily("lc_height", "Height of the last final block", value=self._node.ledger.height)
        for name, (key, text) in _GAUGES.items():
            value = _number(status.get(key))
            if value is not None:
                yield GaugeMetricFamily(f"lc_{name}", text, value=value)
        for name, text in _LISTS.items():
            yield GaugeMetricFamily(f"lc_{name}", text, value=len(status.get(name, [])))
        for name, text in _FLAGS.items():
            yield GaugeMetricFamily(f"lc_{name}", text, value=bool(status.get(name)))
        yield self._runs()

    def _runs(self) -> Metric:
        family = GaugeMetricFamily("lc_runs", "Runs that the node remembers, by phase and state", labels=["phase", "state"])
        counts: dict[tuple[str, str], int] = {}
        for run in [] if self._node.runs is None else self._node.runs.list_runs():
            key = (str(run.get("phase")), str(run.get("state")))
            counts[key] = counts.get(key, 0) + 1
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        return family


def _number(value: Any) -> float | None:
    """A plain number, or the `size` of a dictionary."""
    if isinstance(value, dict):
        value = value.get("size")
    return float(value) if isinstance(value, int | float) else None


class Metrics:
    def __init__(self, node: NodeService) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_NodeGauges(node))
        self._requests = Counter("lc_http_requests", "Answered requests", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "lc_http_seconds", "Time to answer", ["route"], registry=self._registry, buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """`route` is a line of the table, never the path that a client wrote: the number of labels stays bounded."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def expose(self) -> bytes:
        return generate_latest(self._registry)
