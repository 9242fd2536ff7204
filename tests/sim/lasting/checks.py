"""What must hold in the lasting graph: who was there loses nothing, who did the work is paid, nothing grows, nothing stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from learningchain.chain.crypto import address
from learningchain.chain.types import Event, TransferEvent
from tests.sim.lasting.machines import now_s
from tests.unit.composed_kit import holdings

if TYPE_CHECKING:
    from tests.sim.lasting.graph import Lasting

BLAMED = {
    "strike": -1,
    "silent": 0,
    "answer.silent": 1,
    "fed.silent": 2,
    "fed.excluded": 0,
    "fed.unopened": 2,
    "server.slashed": 0,
}
"""Topics of events that hold something against somebody: where in their data they say whom; below 0, the event is about it."""
BURNED = ("stake.burned", "deposit.burned", "pledge.burned")
WINDOW_S = 3_600.0
"""What the rules ask for before such an event lies within this."""
MORE = 1.05


class Checks:
    def __init__(self, graph: Lasting) -> None:
        self.graph = graph
        self.faults: list[str] = []
        self.excused: Counter[str] = Counter()
        """What was held against nodes that were off when they were asked."""
        self.jobs: Counter[str] = Counter()
        self.sizes: list[tuple[float, dict[str, int]]] = []
        self.tell: Callable[[str], None] = lambda _: None

    # --- events --------------------------------------------------------------------------------------------------------------

    def heard(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TransferEvent):
                if event.reason in BURNED:
                    self._blame(event.reason, event.source[32:52], event)
            elif event.topic in BLAMED:
                place = BLAMED[event.topic]
                self._blame(event.topic, event.ref if place < 0 else event.data[place], event)
            elif event.topic in ("suspended", "banned"):
                self.fault(str(event))

    def _blame(self, what: str, who: Any, event: Event) -> None:
        name = self.graph.chain.names.get(bytes(who), "")
        node = self.graph.nodes.get(name)
        if node is not None and not node.was_up(now_s() - WINDOW_S, now_s()):
            self.excused[f"{what} of {name}"] += 1
        else:
            self.fault(f"{what} of {name or bytes(who).hex()}, who was there: {event}")

    def logged(self, level: str, event: MutableMapping[str, Any]) -> None:
        """What a node calls an error is one."""
        if level in ("error", "critical"):
            self.fault(", ".join(f"{name}={value}" for name, value in event.items()))

    # --- what comes to its end -----------------------------------------------------------------------------------------------

    def job(self, kind: str, found: dict[str, Any]) -> None:
        """A job that ended: it is paid by the votes of all who were there."""
        self.jobs[f"{kind} {found['state']}"] += 1
        if found["state"] != "PAID":
            self.fault(f"a job of kind {kind} is {found['state']}: {len(found['claims'])} claims")
        for vote in (vote for round_ in found["rounds"] for seat in round_["committee"] for vote in seat["votes"]):
            if vote["vote"] != "OK" and self._was_up(vote["candidate"]):
                self.fault(f"kind {kind}: a vote of {vote['vote']} on {vote['candidate']}")
        if found["hidden"] == "OFF":
            self.fault(f"kind {kind}: its hidden data did not decide")

    def _was_up(self, who: str) -> bool:
        return any(address(n.ledger.own_id) == who and n.was_up(now_s() - WINDOW_S, now_s()) for n in self.graph.nodes.values())

    def fault(self, text: str) -> None:
        self.faults.append(f"hour {now_s() / 3_600:.2f}: {text}")
        self.tell(self.faults[-1])

    # --- sizes ---------------------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """How much everything has now."""
        self.tell(f"day {now_s() / 86_400:.2f}: {dict(self.jobs)}")
        found: dict[str, int] = {"ledger": sum(1 for _ in self.graph.chain.state.records(b""))}
        for name, node in self.graph.nodes.items():
            if node.work is not None and not node.work._stopping:
                found |= {f"{name}: {what}": count for what, count in holdings(node).items()}
                found[f"{name}: files"] = len(node.files.held)
                found[f"{name}: images"] = len(node.engine.images)
        self.sizes.append((now_s(), found))

    def grown(self, begin_s: float, middle_s: float, end_s: float, passing: Collection[str], stays: Collection[str]) -> list[str]:
        """What all nodes together have more of in the second span than in the first, on average: who does a job differs from day to
        day, how many jobs there are does not. Apart from what is to stay, and from nodes that pass through."""

        def usual(since: float, until: float) -> dict[str, float]:
            samples, total = 0, Counter[str]()
            for at, found in self.sizes:
                if since <= at < until:
                    samples += 1
                    for name, count in found.items():
                        node, _, what = name.rpartition(": ")
                        if node not in passing:
                            total[what] += count
            return {what: count / samples for what, count in total.items()}

        before, after = usual(begin_s, middle_s), usual(middle_s, end_s)
        return [
            f"{what}: {before.get(what, 0):.1f}, then {n:.1f}"
            for what, n in sorted(after.items())
            if n > MORE * before.get(what, 0) + 1 and what not in stays
        ]

    def owed(self) -> list[str]:
        """Escrows that hold something."""
        found = [(key, record.amount) for key, record in self.graph.chain.state.records(b"e/")]
        return [f"{key[2:].hex()} holds {amount}" for key, amount in found if amount]
