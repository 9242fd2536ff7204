"""The best loss of a job over its life: right however many events lie between two views, and bounded."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.job.messages import Claim, claim_commitment
from learningchain.client.contracts.job.http.best_line import CLAIMANTS, EVENTS, LINES, POINTS, READS, BestLine, BestLines, joined
from tests.unit.api_kit import MODEL_CID, sha
from tests.unit.dashboard_kit import browsing

ASKED = 50
WHO = "one"


def event(cursor: int, loss: Any = None) -> dict[str, Any]:
    """One a second. Without a loss it is another one than a claim."""
    data = {} if loss is None else {"claimant": WHO, "loss": loss}
    return {"cursor": cursor, "time": 1_000 * cursor, "topic": "vote" if loss is None else "claim", "data": data}


class Job:
    """A job's events, as a node that keeps those from `first` on tells them."""

    def __init__(self, events: Sequence[dict[str, Any]], first: int = 0) -> None:
        self.events, self.first, self.reads = list(events), first, 0

    async def read(self, before: int | None, limit: int) -> list[dict[str, Any]]:
        self.reads += 1
        assert limit in (ASKED, EVENTS)
        found = [one for one in self.events if self.first <= one["cursor"] and (before is None or one["cursor"] < before)]
        return found[::-1][:limit]

    async def seen(self, lines: BestLines) -> BestLine:
        newest = await self.read(None, ASKED)
        self.reads = 0
        line = await lines.seen("a job", newest, ASKED, self.read)
        assert self.reads <= READS
        return line

    @property
    def line(self) -> list[tuple[int, float]]:
        """Claims that were better than all before, the plain way."""
        claims = [(one["time"], float(one["data"]["loss"])) for one in self.events if one["topic"] == "claim"]
        best = list(accumulate((loss for _, loss in claims), min))
        return [(claims[at][0], loss) for at, loss in enumerate(best) if at == 0 or loss < best[at - 1]]


@pytest.mark.parametrize("seed", range(30))
async def test_the_line_becomes_that_of_the_whole_life_however_it_is_read(seed: int) -> None:
    rng = random.Random(seed)
    cursors = sorted(rng.sample(range(10**6), rng.choice((3, 49, 50, 51, 1_049, 5_000, 9_000))))
    events = [event(at, f"{rng.random():.9f}" if rng.random() < 0.7 else None) for at in cursors]
    job, lines, shown = Job([]), BestLines(), 0
    while shown < len(events):
        shown += rng.choice((1, 10, 60, 2_000, 8_000))
        job.events = events[:shown]
        line = await job.seen(lines)
        assert set(line.of.get(WHO, [])) <= set(job.line) or not line.whole
    while not line.whole:
        line = await job.seen(lines)
    assert line.of.get(WHO, []) == job.line
    await job.seen(lines)
    assert job.reads == 0, "a view without news reads nothing more"


async def test_views_at_the_same_time_take_nothing_twice() -> None:
    job, lines = Job([event(at, f"0.{9_999 - at}") for at in range(3_500)]), BestLines()
    newest = await job.read(None, ASKED)
    stale: BestLine = await lines.seen("a job", newest, ASKED, job.read)
    before = list(stale.of[WHO])
    stale.older(await job.read(stale.oldest, EVENTS), 10**9)
    stale.newer(newest)
    assert stale.of[WHO] == before == job.line


async def test_a_node_that_dropped_the_beginning_shows_what_it_has() -> None:
    job, lines = Job([event(at, f"{1 / (1 + at):.9f}") for at in range(2_000)], first=1_500), BestLines()
    line = await job.seen(lines)
    assert line.whole and line.of.get(WHO, []) == job.line[1_500:]


@pytest.mark.parametrize(
    ("claims", "points"),
    [
        ([], []),
        ([(1, 5.0)], []),
        ([(1, 5.0), (3, 7.0)], [(1, 5), (3, 5)]),
        ([(1, 5.0), (3, 4.0)], [(1, 5), (3, 4)]),
        ([(1, 5.0), (2, 6.0), (3, 4.0), (9, 8.0)], [(1, 5), (3, 4), (9, 4)]),
    ],
)
def test_it_has_a_point_where_a_better_claim_came_and_one_at_its_end(
    claims: list[tuple[int, float]], points: list[tuple[float, float]]
) -> None:
    line = BestLine()
    line.newer([event(at, loss) for at, loss in reversed(claims)])
    assert list(zip(*line.drawn([WHO]), strict=True)) == points


def test_each_claimant_has_its_line_and_all_end_together() -> None:
    line = BestLine()
    claims = [(1, "one", 5.0), (2, "two", 4.0), (3, "one", 3.0), (4, "two", 6.0), (9, "three", 7.0)]
    line.newer([event(at, loss) | {"data": {"claimant": who, "loss": loss}} for at, who, loss in reversed(claims)])
    assert line.drawn(["one", "two"]) == [[1, 2, 3, 9], [5, None, 3, 3], [None, 4, None, 4]]
    assert line.drawn(["nobody"]) == [], "it claimed nothing"
    line.newer([event(10 + at) | {"topic": "claim", "data": {"claimant": str(at), "loss": 1}} for at in reversed(range(CLAIMANTS))])
    assert len(line.of) == CLAIMANTS


def test_a_drawing_is_bounded_begins_and_ends_right_and_lies_on_the_line() -> None:
    line = BestLine()
    line.newer([event(at, 1 / (1 + at)) for at in reversed(range(16_384))])
    times, losses = line.drawn([WHO])
    assert len(times) <= POINTS and times == sorted(set(times)) and losses == sorted(losses, reverse=True)
    assert (times[0], losses[0], times[-1], losses[-1]) == (0, 1, 16_383, 1 / 16_384)
    assert set(zip(times, losses, strict=True)) <= {(at, 1 / (1 + at)) for at in range(16_384)}


@pytest.mark.parametrize("loss", ["x", [], "", {}])
def test_what_is_no_number_is_left_out(loss: Any) -> None:
    line = BestLine()
    line.newer([event(2, 0.5), event(1, loss)])
    assert line.of.get(WHO, []) == [(2_000, 0.5)]


def test_records_of_two_stretches_are_those_of_both() -> None:
    assert joined([(1, 5.0), (2, 3.0)], [(3, 4.0), (4, 2.0)]) == [(1, 5.0), (2, 3.0), (4, 2.0)]
    assert joined([(1, 5.0), (2, 3.0)], [(2, 2.0), (2, 2.5), (2, 1.0)]) == [(1, 5.0), (2, 1.0)], "a block has one time"


async def test_lines_of_the_jobs_that_were_looked_at_last_are_kept() -> None:
    lines, rows = BestLines(), [event(1, 1.0)]
    first = await lines.seen("0", rows, ASKED, Job([]).read)
    for at in range(1, LINES):
        await lines.seen(str(at), rows, ASKED, Job([]).read)
    assert await lines.seen("0", rows, ASKED, Job([]).read) is first
    await lines.seen("one more", rows, ASKED, Job([]).read)
    assert len(lines._lines) == LINES and "1" not in lines._lines and "0" in lines._lines


async def test_the_page_of_a_job_draws_claims_that_are_older_than_its_list_of_events(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        job = ledger.claimed_job("n1", 9_000)
        for at in range(15):
            for name in ("n2", "n3", "n4", "n1"):
                sealed = claim_commitment(ledger.chain_id, job, ledger.ids[name], MODEL_CID.digest, sha("salt"))
                codes = ledger.block(100, **{name: Claim(job, 8_000 * 8**at // 10**at, sealed, True)})
                assert codes == [0], (name, at)
        _, raw = await browser.raw(f"/dashboard/jobs/{job.hex()}")
        assert raw.count(b"0.000009000") == 0 and b"9e-06" in raw, "the first claim is on the curve, and no more in the list"
