"""Metrics in a registry of this server's own, so that two nodes in one process do not mix. Read from the node when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from learningchain.chain.host import K_SUPPLY, Account, Supply, account_key
from learningchain.chain.params import CREDIT
from learningchain.client.api.whole_node import NodeService
from learningchain.client.node.block_figures import AnyFigure, BlockFigures, Figure, HistogramFigure

_GAUGES = {
    "peers": ("peers", "Connected peers"),
    "first_block": ("first_block", "Height of the first block that the node keeps"),
    "audited": ("audited", "Height up to which the node executed every block itself"),
    "round": ("round", "Round of the consensus on the next block"),
    "mempool": ("mempool", "Transactions that wait for a block"),
}
_LISTS = {
    "parked": "References that the status lists as parked",
    "failing": "Parts of the node's own work that fail at present",
    "validators": "Validators of the next block",
}
_FLAGS = {"syncing": "The node still fetches blocks", "validator": "The node is a validator", "working": "The node runs jobs"}
RUN_PHASES = ("train", "evaluate", "evaluates", "predict", "local")
RUN_STATES = (
    "ok",
    "unsupported",
    "model-invalid",
    "out-of-resources",
    "failed",
    "input-refused",
    "bad-result",
    "timeout",
    "cancelled",
    "engine-error",
    "not-started",
)
"""Those of the sandbox, which is loaded later than this: a node votes before it looks for its engine."""
_SERVED = ("starting", "ready", "answering")


class _NodeGauges(Collector):
    """What the node says of itself at the moment of the scrape. Nothing here grows with what strangers do."""

    def __init__(self, node: NodeService) -> None:
        self._node = node
        self.sandbox: Mapping[str, Any] | None = None

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
        yield from self._times(status)
        yield from self._queues(status)
        yield from self._credits()
        yield from self._machine(status)
        yield self._notices(status.get("notices", []))
        yield from self._runs()
        yield from self._callbacks()
        yield from self._notify()
        yield from (_family(GaugeMetricFamily, figure) for figure in self._node.work.figures())
        text = "Bytes of files, by way and direction"
        yield _family(CounterMetricFamily, Figure("lc_file_bytes", text, ("way", "direction"), self._node.carried()))
        text = "Questions for files of peers that had all the bytes that a peer is sent in a day"
        yield CounterMetricFamily("lc_file_refusals", text, value=self._node.refused_files())
        if self._node.figures is not None:
            yield from _blocks(self._node.figures)
            yield from (_family(CounterMetricFamily, figure) for part in self._node.figures.own for figure in part.figures())

    def _times(self, status: Mapping[str, Any]) -> Iterable[Metric]:
        text = "Time of the last final block, by its proposer's clock"
        yield GaugeMetricFamily("lc_block_timestamp_seconds", text, value=status.get("time", 0) / 1_000)
        if (offset := status.get("clock_offset_ms")) is not None:
            text = "How far this clock is before those of other proposers, the time of a round included"
            yield GaugeMetricFamily("lc_clock_offset_seconds", text, value=offset / 1_000)

    def _queues(self, status: Mapping[str, Any]) -> Iterable[Metric]:
        used = GaugeMetricFamily("lc_mempool_bytes", "Bytes that wait in the mempool, by kind of space", labels=["kind"])
        limit = GaugeMetricFamily("lc_mempool_limit_bytes", "Bytes that may wait there", labels=["kind"])
        for kind, room in status.get("mempool_room", {}).items():
            used.add_metric([kind], room["bytes"])
            limit.add_metric([kind], room["limit"])
        yield used
        yield limit
        peers = self._node.peers()
        sides = GaugeMetricFamily("lc_peer_connections", "Connected peers, by who connected", labels=["direction"])
        for direction in ("in", "out"):
            sides.add_metric([direction], sum(peer.get("direction") == direction for peer in peers))
        yield sides
        text = "Bytes that wait to be sent to peers"
        yield GaugeMetricFamily("lc_peer_queued_bytes", text, value=sum(_number(peer.get("queued")) or 0 for peer in peers))

    def _credits(self) -> Iterable[Metric]:
        state, own = self._node.ledger.state, self._node.ledger.own_id
        account, supply = state.get(account_key(own)), state.get(K_SUPPLY)
        mine = GaugeMetricFamily("lc_credits", "Credits of this node's account, without what lies in escrows", labels=["part"])
        if isinstance(account, Account):
            mine.add_metric(["free"], account.balance / CREDIT)
            mine.add_metric(["frozen"], account.frozen / CREDIT)
        yield mine
        if isinstance(supply, Supply):
            yield CounterMetricFamily("lc_minted_credits", "Credits that were ever made", value=supply.minted / CREDIT)
            yield CounterMetricFamily("lc_burned_credits", "Credits that were ever burned", value=supply.burned / CREDIT)

    def _machine(self, status: Mapping[str, Any]) -> Iterable[Metric]:
        if self._node.disk is not None:
            yield GaugeMetricFamily("lc_disk_free_bytes", "Free bytes on the data folder's disk", value=self._node.disk.free)
            yield GaugeMetricFamily("lc_disk_size_bytes", "Bytes of the data folder's disk", value=self._node.disk.size)
        yield GaugeMetricFamily(
            "lc_runs_work", "The node runs containers: it trains, serves, or may be drawn", value=self._node.runs is not None
        )
        proved = self.sandbox is not None and bool(self.sandbox.get("ok"))
        yield GaugeMetricFamily("lc_sandbox_ok", "The sandbox's self-test held", value=proved)
        served = GaugeMetricFamily("lc_served_containers", "Containers of served models, by what they do", labels=["state"])
        for state in _SERVED:
            served.add_metric([state], sum(one.get(state, 0) for one in status.get("serving", [])))
        yield served
        if self._node.machines is not None:
            family = GaugeMetricFamily("lc_machines", "Other machines of the owner, by state", labels=["state"])
            states = [one["state"] for one in self._node.machines.shown()]
            for state in ("invited", "queued", "away", "failing", "draining", "ready"):
                family.add_metric([state], states.count(state))
            yield family

    def _notices(self, notices: list[Any]) -> Metric:
        """None where all is well."""
        family = GaugeMetricFamily("lc_notices", "What the node's operator should know at present, by topic", labels=["topic"])
        topics = [str(one.get("topic")) for one in notices]
        for topic in sorted(set(topics)):
            family.add_metric([topic], topics.count(topic))
        return family

    def _runs(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("lc_runs", "Runs that the node remembers, by phase and state", labels=["phase", "state"])
        runs = self._node.runs
        counts: dict[tuple[str, str], int] = {}
        for run in [] if runs is None else runs.list():
            key = (str(run.get("phase")), str(run.get("state")))
            counts[key] = counts.get(key, 0) + 1
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        yield family
        ended = CounterMetricFamily("lc_runs_ended", "Runs that ended since the start", labels=["phase", "state"])
        known = {(phase, status): 0 for phase in RUN_PHASES for status in RUN_STATES}
        for labels, count in sorted((known | ({} if runs is None else dict(runs.ended))).items()):
            ended.add_metric(labels, count)
        yield ended

    def _callbacks(self) -> Iterable[Metric]:
        if self._node.callbacks is None:
            return
        found = self._node.callbacks.metrics()
        rows = GaugeMetricFamily("lc_callbacks", "Events for callbacks that the node keeps, by state", labels=["state"])
        attempts = CounterMetricFamily("lc_callback_attempts", "Attempts to tell an event, by their end", labels=["end"])
        for family, counts in ((rows, found["rows"]), (attempts, found["attempts"])):
            for label, count in sorted(counts.items()):
                family.add_metric([label], count)
            yield family
        yield GaugeMetricFamily("lc_callbacks_running", "Attempts that run", value=found["running"])

    def _notify(self) -> Iterable[Metric]:
        if self._node.notify is None:
            return
        waiting = GaugeMetricFamily("lc_notify_waiting", "Notifications that wait to be told, by way", labels=["way"])
        ended = CounterMetricFamily(
            "lc_notify_attempts", "Notifications and attempts to tell them, by their end", labels=["way", "end"]
        )
        for way, (number, ends) in self._node.notify.metrics().items():
            waiting.add_metric([way], number)
            for end, count in sorted(ends.items()):
                ended.add_metric([way, end], count)
        yield waiting
        yield ended


def _blocks(figures: BlockFigures) -> Iterable[Metric]:
    """What was counted as blocks became final."""
    yield CounterMetricFamily("lc_blocks", "Blocks that became final here since the start", value=figures.blocks)
    yield CounterMetricFamily("lc_live_blocks", "Of these, those that were not fetched later", value=figures.live)
    yield CounterMetricFamily("lc_failed_rounds", "Rounds that ended without a block, before these blocks", value=figures.rounds)
    for name, text, found in (
        ("lc_block_final_seconds", "From a block's time to its being final here", figures.block_seconds),
        (
            "lc_tx_final_seconds",
            "From a transaction's entering this node's pool by its API to its block being final",
            figures.tx_seconds,
        ),
    ):
        yield HistogramMetricFamily(name, text, buckets=found.buckets(), sum_value=found.sum)
    txs = CounterMetricFamily("lc_txs", "Transactions in blocks, by what became of them", labels=["result"])
    for result, count in figures.txs.items():
        txs.add_metric([result], count)
    yield txs
    yield CounterMetricFamily("lc_txs_dropped", "Transactions of this node's users that stand in no block", value=figures.dropped)
    events = CounterMetricFamily("lc_ledger_events", "What blocks noted, by contract and topic", labels=["contract", "topic"])
    for labels, count in sorted(figures.counted_events().items()):
        events.add_metric(labels, count)
    yield events


def _family(kind: type[GaugeMetricFamily | CounterMetricFamily], figure: AnyFigure) -> Metric:
    if isinstance(figure, HistogramFigure):
        return HistogramMetricFamily(figure.name, figure.text, buckets=figure.found.buckets(), sum_value=figure.found.sum)
    family = kind(figure.name, figure.text, labels=figure.labels)
    for labels, value in sorted(figure.values.items()):
        family.add_metric(labels, value)
    return family


def _number(value: Any) -> float | None:
    """A plain number, or the `size` of a dictionary."""
    if isinstance(value, dict):
        value = value.get("size")
    return float(value) if isinstance(value, int | float) else None


class Metrics:
    def __init__(self, node: NodeService) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._gauges = _NodeGauges(node)
        self._registry.register(self._gauges)
        ProcessCollector(registry=self._registry)
        self._requests = Counter("lc_http_requests", "Answered requests", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "lc_http_seconds", "Time to answer", ["route"], registry=self._registry, buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """`route` is a line of the table, never the path that a client wrote: the number of labels stays bounded."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def expose(self, sandbox: Mapping[str, Any] | None = None, *, encode: Callable[..., bytes] = generate_latest) -> bytes:
        """`sandbox`: what its self-test said, where there was one. `encode`: the form of a library."""
        self._gauges.sandbox = sandbox
        return encode(self._registry)
