"""`runs`, `runs show`, `runs log`: what this node computes for others, one run, and what its program said."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, ago, cell, clean, facts, listing, named, short_id
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.sdk.types import UsageError

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client

NEWEST_JOBS = 20
"""Open jobs of which `runs` says why this node leaves them alone."""
ROWS = 24
"""Lines of curve and log that `runs show` has at most."""
MOST_LINES = 100_000
RunRef = Annotated[str, Parameter(name="RUN", help="The run's id or its first characters, or latest.")]


def runs(*, common: Common = HERE) -> int:
    """Runs of this node's worker and verifier, and why it leaves the newest open jobs alone."""
    found, alone, works = common.ask(_runs_and_reasons)

    def people(console: Console) -> None:
        if found:
            rows = [[cell(r.get("id")), r.get("state"), r.get("loss"), ago(r.get("started")), r.get("reason")] for r in found]
            console.print(listing(["run", "state", "loss", "started", "reason"], rows, {"loss"}, whole={"run"}))
        elif not alone:
            none = "No runs yet: no open job is for this node. It runs others' jobs, not its own"
            console.print(
                f"{none}." if works else "No runs: this node was started without them. Start it with: learningchain node --work"
            )
        for job, why in alone.items():
            console.print(named(f"Job {short_id(job)} is left alone: {clean(why)}."), soft_wrap=True)

    common.out.show({"runs": found, "left_alone": alone}, people)
    return 0


async def _runs_and_reasons(node: Client) -> tuple[list[Any], dict[str, str], bool]:
    """The runs, why open jobs are left alone, and whether this node works at all."""
    jobs = await node.jobs(live=True, limit=NEWEST_JOBS)
    reasons = await node.reasons([job["id"] for job in jobs])
    works = bool((await node.status()).get("working"))
    return await node.runs(), {one["ref"]: one["why"] for one in reasons if one["why"]}, works


def show(run: RunRef, /, *, common: Common = HERE) -> int:
    """One run: its job, state and losses, its curve and the end of its log."""
    found = common.ask(lambda node: _run(node, run))

    def people(console: Console) -> None:
        rows = [
            (name, value) for name, value in found.items() if name not in ("progress", "log", "last", "id") and value is not None
        ]
        told = [(name, ago(value) if name in ("started", "ended") else value) for name, value in rows]
        console.print(facts(f"Run {found['id']}", told))
        from learningchain.client.cli.run_screen import run_screen

        console.print(run_screen(found, console, ROWS))

    common.out.show(found, people)
    return 0


def log(
    run: RunRef,
    /,
    *,
    lines: Annotated[int, Parameter(help="The last so many lines.")] = 1_000,
    common: Common = HERE,
) -> int:
    """What the program of a run printed: a stranger's words, without what would move the cursor or colour it."""
    found = common.ask(lambda node: _run(node, run))
    from learningchain.client.cli.run_screen import last_lines

    said = last_lines(found.get("log"), max(1, min(lines, MOST_LINES)), whole=True)
    common.out.show(
        {"run": found["id"], "log": found.get("log") or ""}, lambda _: sys.stdout.writelines(f"{line}\n" for line in said)
    )
    return 0


async def _run(node: Client, text: str) -> dict[str, Any]:
    """The run behind an id, the beginning of one, or `latest`. Raises `UsageError`."""
    known = [str(one["id"]) for one in await node.runs()]
    found = (
        known[:1] if text == "latest" else [one for one in known if one == text] or [one for one in known if one.startswith(text)]
    )
    if len(found) != 1:
        problem = "There is no run yet" if text == "latest" else f"{len(found)} runs begin with {text[:80]!r}"
        raise UsageError(f"{problem}. learningchain runs lists those that this node remembers")
    return await node.run(found[0])
