"""The best claimed loss of a job and of each claimant over its whole life, for a drawing.

A job may have thousands of claims, and its page is drawn anew with every block. So a line is kept: a view reads what came since the
last one, and goes on towards the beginning, a bounded number of events at a time. Claims that were no better than an earlier one
of the same claimant never show on a line, so none of them is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CLAIMED: Final = "claim"
EVENTS: Final = 1_000
"""Of a job, that are read at once."""
READS: Final = 4
"""At most, for one view."""
LINES: Final = 32
"""Jobs whose lines are kept: those that were looked at last."""
CLAIMANTS: Final = 256
"""Of a job, whose lines are kept: those that were read first."""
POINTS: Final = 400
"""Steps of a drawing."""

Event = Mapping[str, Any]
Read = Callable[[int | None, int], Awaitable[Sequence[Event]]]
"""Events of a job below a cursor, newest first, at most so many; none where there are no more."""
Record = tuple[int, float]
"""When a claim became the best one, in milliseconds, and its loss."""


@dataclass
class BestLine:
    """What is known of a job: all its claims whose cursors are from `oldest` to `newest`; None before any was read."""

    newest: int | None = None
    oldest: int | None = None
    whole: bool = False
    last: int = 0
    """When the newest claim came, in milliseconds."""
    of: dict[str, list[Record]] = field(default_factory=dict)
    """By claimant: each of its claims that was better than all its earlier ones."""

    def newer(self, events: Sequence[Event]) -> None:
        """Events that follow on those that are known, newest first; those that are known among them are nothing new."""
        fresh = [event for event in events if self.newest is None or event["cursor"] > self.newest]
        if not fresh:
            return
        for claimant, claims in self._known(fresh):
            self.of[claimant] = joined(self.of.get(claimant, []), claims)
        self.newest = fresh[0]["cursor"]
        if self.oldest is None:
            self.oldest = fresh[-1]["cursor"]

    def older(self, events: Sequence[Event], below: int | None) -> None:
        """Events directly below the cursor `below`, newest first; none of them: this was the beginning. What another view has read
        meanwhile is not taken twice."""
        if below != self.oldest or below is None:
            return
        if not events:
            self.whole = True
            return
        for claimant, claims in self._known(events):
            self.of[claimant] = joined(claims, self.of.get(claimant, []))
        self.oldest = events[-1]["cursor"]

    def _known(self, events: Sequence[Event]) -> Iterator[tuple[str, list[Record]]]:
        """Claims by claimant, of those whose lines are kept."""
        for claimant, claims in _by_claimant(events).items():
            self.last = max([self.last, *(time for time, _ in claims)])
            if claimant in self.of or len(self.of) < CLAIMANTS:
                yield claimant, claims

    def drawn(self, claimants: Sequence[str]) -> list[list[Any]]:
        """Seconds, and for each of these claimants its best loss where it changed; all lines end with the last claim.

        At most POINTS steps of each: of those that are too close to be told apart the last one."""
        lines = [dict(_thinned(self.of.get(one, []))) for one in claimants]
        times = sorted({time for line in lines for time in line} | ({self.last} if any(lines) else set()))
        for line in lines:
            if line:
                line.setdefault(self.last, min(line.values()))
        return [[time / 1_000 for time in times], *([line.get(time) for time in times] for line in lines)] if len(times) > 1 else []


def joined(earlier: Sequence[Record], later: Sequence[Record]) -> list[Record]:
    """The records of both: each better than all before it. Of those of one block, which has one time, the best."""
    found: list[Record] = []
    for time, loss in (*earlier, *later):
        if found and loss >= found[-1][1]:
            continue
        if found and found[-1][0] == time:
            found.pop()
        found.append((time, loss))
    return found


def _claims(events: Sequence[Event]) -> list[Record]:
    """Oldest first. What is no number of a claim is left out."""
    found = []
    for event in reversed(events):
        loss = number(event["data"].get("loss")) if event["topic"] == CLAIMED else None
        if loss is not None:
            found.append((int(event["time"]), loss))
    return found


def _by_claimant(events: Sequence[Event]) -> dict[str, list[Record]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        if event["topic"] == CLAIMED:
            found.setdefault(str(event["data"].get("claimant")), []).append(event)
    return {claimant: _claims(own) for claimant, own in found.items()}


def _thinned(records: Sequence[Record]) -> list[Record]:
    if len(records) < POINTS:
        return list(records)
    begin, end = records[0][0], records[-1][0]
    last_of = {(time - begin) * (POINTS - 3) // max(1, end - begin): (time, loss) for time, loss in records[1:]}
    return [records[0], *last_of.values()]


def number(text: Any) -> float | None:
    """A loss as a drawing needs it; None where it is none."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


class BestLines:
    """Of one node's jobs, the last LINES that were looked at."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, BestLine] = OrderedDict()

    async def seen(self, job: str, newest: Sequence[Event], asked: int, read: Read) -> BestLine:
        """The line of a job of whose events the `newest` were read, `asked` of them where there are so many."""
        line = self._lines.setdefault(job, BestLine())
        self._lines.move_to_end(job)
        if len(self._lines) > LINES:
            self._lines.popitem(last=False)
        rows, reads = list(newest), READS
        while line.newest is not None and rows and rows[-1]["cursor"] > line.newest and reads:
            more = await read(rows[-1]["cursor"], EVENTS)
            rows, reads = [*rows, *more], reads - 1
            if not more:
                break
        if line.newest is not None and rows and rows[-1]["cursor"] > line.newest and not reads:
            line = self._lines[job] = BestLine()  # too much came since: it is begun anew
        line.newer(rows)
        if newest and len(newest) < asked and line.oldest == newest[-1]["cursor"]:
            line.whole = True
        while not line.whole and reads and (below := line.oldest) is not None:
            line.older(await read(below, EVENTS), below)
            reads -= 1
        return line
