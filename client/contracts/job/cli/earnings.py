"""`earnings`: what this machine earned on each of the last days, how long it computed, and what jobs of the network paid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, listing
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.job.earned import COLUMNS, EARNED

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobSummary
    from learningchain.client.schema.bodies import HistoryView
    from learningchain.client.sdk.client import Client

MOST_DAYS = 365
HOURS = ("run_hours", "processor_hours")
ONE_PROCESSOR = 1_000
"""In thousandths; also of a run whose job is not known here."""
PAGE, MOST_PAGES, MOST_JOBS = 1_000, 200, 2_000


def earnings(
    *,
    days: Annotated[int, Parameter(help="How many days, up to 365.")] = 30,
    common: Common = HERE,
) -> int:
    """What this node's account earned a day, how long runs computed here, and what the network's jobs paid in these days.

    Hours are of runs that the node remembers: the newest ones since its start. Processor hours count each as often as it may use
    processors, as far as its job is among those of these days.
    """
    if not 1 <= days <= MOST_DAYS:
        raise WrongUsage(f"--days is 1 to {MOST_DAYS}, not {days}")

    async def read(node: Client) -> tuple[list[HistoryView], list[Any], list[JobSummary], int]:
        clock = (await node.status())["clock_now"]
        since = clock - days * 86_400_000
        moves, before = [], None
        for _ in range(MOST_PAGES):
            page = await node.history(before=before, limit=PAGE)
            moves += [move for move in page if move["time"] >= since]
            if len(page) < PAGE or page[-1]["time"] < since:
                break
            before = page[-1]["cursor"]
        jobs: list[JobSummary] = []
        async for job in node.every_job(page=PAGE):
            if job["posted"] < since or len(jobs) == MOST_JOBS:
                break
            jobs.append(job)
        return moves, await node.runs(), jobs, clock

    moves, runs, jobs, clock = common.ask(read)
    table, prices = by_day(moves, runs, clock, days, {job["id"]: job["limits"]["cpus_milli"] for job in jobs}), going(jobs)
    total = {name: str(sum((Decimal(day[name]) for day in table), Decimal())) for name in (*COLUMNS, "earned")}

    def hours(day: dict[str, Any]) -> list[str]:
        return [f"{day[name]:.1f}" for name in HOURS]

    def people(console: Console) -> None:
        busy = [day for day in table if day["earned"] != "0" or day["run_hours"]]
        spent = [name.replace("_", " ") for name in HOURS]
        if busy:
            rows = [[day["day"], *(day[name] for name in (*COLUMNS, "earned")), *hours(day)] for day in busy]
            rows.append(
                [
                    "together",
                    *(total[name] for name in (*COLUMNS, "earned")),
                    *hours({name: sum(day[name] for day in table) for name in HOURS}),
                ]
            )
            console.print(listing(["day", *COLUMNS, "earned", *spent], rows, {*COLUMNS, "earned", *spent}))
        else:
            console.print(f"Nothing was earned in {days} days. What this node computes, and why not: learningchain runs")
        console.print()
        told = [
            ("posted", prices["posted"]),
            ("paid", prices["paid"]),
            ("bounty", _bounty(prices)),
            ("claimants", prices["claimants"]),
        ]
        console.print(facts(f"Jobs of the network in {days} days", [one for one in told if one[1] is not None]))

    common.out.show({"days": table, "total": total, "prices": prices}, people)
    return 0


def by_day(
    moves: list[HistoryView], runs: list[Any], clock: int, days: int, processors: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """Credits by kind, and hours of runs, of each day of this machine's zone, the newest first. `processors`: what a run of a
    job may use, in thousandths."""
    earned: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    hours: dict[str, float] = defaultdict(float)
    computed: dict[str, float] = defaultdict(float)
    for move in moves:
        if (kind := EARNED.get(move["reason"])) is not None and move["amount"] is not None:
            earned[_day(move["time"]), kind] += Decimal(move["amount"])
    for run in runs:
        if run.get("started"):
            lasted = max(0, (run.get("ended") or clock) - run["started"]) / 3_600_000
            hours[_day(run["started"])] += lasted
            computed[_day(run["started"])] += lasted * (processors or {}).get(run.get("job"), ONE_PROCESSOR) / ONE_PROCESSOR
    today, found = datetime.fromtimestamp(clock / 1_000, UTC).astimezone(), []
    for back in range(days):
        day = f"{today - timedelta(days=back):%Y-%m-%d}"
        kinds = {name: earned[day, name] for name in COLUMNS}
        found.append(
            {"day": day, **{name: f"{value:f}" for name, value in kinds.items()}, "earned": f"{sum(kinds.values()):f}"}
            | {"run_hours": round(hours[day], 3), "processor_hours": round(computed[day], 3)}
        )
    return found


def going(jobs: list[JobSummary]) -> dict[str, Any]:
    """What jobs that were paid paid: lowest, median and highest bounty, and how many claimed in half of them at most."""
    paid = [job for job in jobs if job["state"] == "PAID"]
    bounties = sorted(Decimal(job["bounty"]) for job in paid)
    said = [f"{value.normalize():f}" for value in (bounties[0], median(bounties), bounties[-1])] if bounties else [None] * 3
    lowest, middle, highest = said
    claimants = median(job["claimants"] for job in paid) if paid else None
    return {"posted": len(jobs), "paid": len(paid), "lowest": lowest, "median": middle, "highest": highest, "claimants": claimants}


def _bounty(prices: dict[str, Any]) -> str | None:
    return prices["median"] and f"{prices['lowest']} to {prices['highest']}, half of them at most {prices['median']}"


def _day(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1_000, UTC).astimezone():%Y-%m-%d}"
