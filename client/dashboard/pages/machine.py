"""How busy this machine is, now and in the last hours."""

from __future__ import annotations

from learningchain.client.dashboard.page import Drawn, Nav, PagesPart, Visit, page
from learningchain.client.dashboard.text import size

MAX_POINTS = 400


@page("/dashboard/machine")
async def machine(visit: Visit) -> Drawn:
    samples = list(visit.load.samples)
    thinned = samples[:: max(1, len(samples) // MAX_POINTS)]
    times = [one.time / 1_000 for one in thinned]
    facts = [("processors", visit.load.processors), ("memory", size(visit.load.memory))]
    if samples:
        last = samples[-1]
        facts += [
            ("disk free", size(last.disk_free)),
            ("in use now", f"{last.cpu} % of the processors, {last.memory} % of the memory"),
        ]
    values = {
        "facts": facts,
        "samples": samples[-20:],
        "cpu": [times, [one.cpu for one in thinned]],
        "memory": [times, [one.memory for one in thinned]],
        "own": [times, [one.own for one in thinned]],
    }
    return Drawn("machine.html", "Machine", values, ("machine",))


PART = PagesPart((machine,), (Nav(90, "Machine", "/dashboard/machine"),))
