"""What this node computes: its runs, one with its progress and log, and the word to stop it."""

from __future__ import annotations

from typing import Any

from learningchain.client.dashboard.page import ROWS, Done, Drawn, Nav, PagesPart, Visit, change, page
from learningchain.client.dashboard.text import flat

MAX_POINTS = 400
LOG_CHARACTERS = 64 * 1024
_SHOWN_ELSEWHERE = frozenset({"id", "log", "progress", "state", "reason"})


@page("/dashboard/runs")
async def runs(visit: Visit) -> Drawn:
    found = await visit.ask("GET /v1/runs")
    rows = [
        run | {"last": last_step(run), "loss": rounded(run.get("loss"))}
        for run in sorted(found, key=lambda run: -(run.get("started") or 0))[:ROWS]
    ]
    values = {"runs": rows, "more": len(found) if len(found) > ROWS else 0, "works": visit.context.node.runs is not None}
    return Drawn("runs.html", "Runs of this node", values, ("runs",))


@page("/dashboard/runs/{run}")
async def one_run(visit: Visit) -> Drawn:
    run = await visit.ask("GET /v1/runs/{run}", visit.match)
    last, loss = last_step(run), rounded(run.get("loss"))
    said = run | {"loss": loss if loss is not None or last is None else last["loss"]}
    facts = flat({name: value for name, value in said.items() if name not in _SHOWN_ELSEWHERE})
    steps = [step for step in run.get("progress") or [] if isinstance(step, dict)]
    values = {
        "run": run,
        "facts": facts[:ROWS],
        "last": last,
        "steps": steps[-20:],
        "points": points(steps),
        "log": _tail(run.get("log")),
    }
    return Drawn("run.html", f"Run {visit.match['run'][:16]}", values, ("run", "log"))


@change("/dashboard/runs/{run}/stop")
async def stop_run(visit: Visit) -> Done:
    await visit.ask("DELETE /v1/runs/{run}", visit.match)
    return Done(f"/dashboard/runs/{visit.match['run']}", "This run was told to stop.")


def last_step(run: dict[str, Any]) -> dict[str, Any] | None:
    """The last step that the program told, with numbers that a bar can show."""
    steps = run.get("progress") or []
    last = steps[-1] if steps else None
    if not isinstance(last, dict) or not isinstance(last.get("of"), int) or not isinstance(last.get("step"), int):
        return None
    return {"step": last["step"], "of": last["of"], "loss": rounded(last.get("loss"))}


def rounded(loss: Any) -> str | None:
    """A loss with as many digits as the ledger has; None where there is none."""
    found = number(loss)
    return None if found is None else f"{found:.9f}"


def points(steps: list[dict[str, Any]]) -> list[list[float]]:
    """Steps and losses for a drawing; what is no finite number is left out."""
    pairs = [(number(step.get("step")), number(step.get("loss"))) for step in steps]
    good = [(x, y) for x, y in pairs if x is not None and y is not None]
    thinned = [*good[:-1][:: max(1, len(good) // MAX_POINTS)], *good[-1:]]
    return [[x for x, _ in thinned], [y for _, y in thinned]] if len(thinned) > 1 else []


def number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < 1e15 else None


def _tail(log: Any) -> str:
    return str(log or "")[-LOG_CHARACTERS:]


PART = PagesPart((runs, one_run, stop_run), (Nav(20, "Runs", "/dashboard/runs"),))
