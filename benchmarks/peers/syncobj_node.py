"""One pysyncobj node: `python -m benchmarks.peers.syncobj_node JOURNAL OWN OTHER...`, told what to do by lines on standard input.

`leader?` answers whether it leads, `keys` how many it has; `many COUNT OUTSTANDING` keeps so many commands on their way and answers
`[[seconds, done], ...]`; `one COUNT` answers the milliseconds of each. Commands are given within the node's own process: no client
costs anything.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, replicated  # type: ignore[import-not-found,unused-ignore]

VALUE = "v" * 112
LIMIT_S = 120.0


class Store(SyncObj):  # type: ignore[misc]
    """What etcd does: one key gets one value."""

    def __init__(self, own: str, others: list[str], journal: str) -> None:
        super().__init__(own, others, SyncObjConf(journalFile=journal, dynamicMembershipChange=False))
        self.values: dict[str, str] = {}

    @replicated  # type: ignore[untyped-decorator]
    def put(self, key: str, value: str) -> None:
        self.values[key] = value


def many(store: Store, count: int, outstanding: int) -> list[list[float]]:
    """Answers come on the node's own thread, and each sends the next command."""
    seen, ended = [[time.perf_counter(), 0.0]], threading.Event()
    state = {"sent": 0, "done": 0, "failed": 0}

    def send() -> None:
        state["sent"] += 1
        store.put(f"all-{state['sent']:012d}", VALUE, callback=answered)

    def answered(result: Any, error: Any) -> None:
        state["failed"] += error != 0
        state["done"] += 1
        if state["done"] % 100 == 0:
            seen.append([time.perf_counter(), float(state["done"])])
        if state["sent"] < count:
            send()
        if state["done"] == count:
            ended.set()

    for _ in range(min(outstanding, count)):
        send()
    if not ended.wait(LIMIT_S) or state["failed"]:
        raise RuntimeError(f"{state} of {count} commands")
    return seen


def one(store: Store, count: int) -> list[float]:
    times = []
    for i in range(count):
        began = time.perf_counter()
        store.put(f"one-{i:012d}", VALUE, sync=True, timeout=LIMIT_S)
        times.append((time.perf_counter() - began) * 1000)
    return times


def answer(store: Store, words: list[str]) -> Any:
    if words[0] == "leader?":
        return bool(store.isReady() and store._isLeader())
    if words[0] == "keys":
        return len(store.values)
    if words[0] == "one":
        return one(store, int(words[1]))
    return many(store, int(words[1]), int(words[2]))


def main(journal: str, own: str, *others: str) -> None:
    store = Store(own, list(others), journal)
    for line in sys.stdin:
        print(json.dumps(answer(store, line.split())), flush=True)
    store.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
