"""The owner's other machines: how each is, what runs there, what it has; and the word that it takes no more."""

from __future__ import annotations

from learningchain.client.dashboard.page import Done, Drawn, Nav, PagesPart, Visit, change, page


@page("/dashboard/machines")
async def machines(visit: Visit) -> Drawn:
    found = await visit.ask("GET /v1/machines")
    known = {run["id"]: run for run in await visit.ask("GET /v1/runs")}
    rows = [one | {"runs": [known.get(run, {"id": run, "phase": "train"}) for run in one["runs"]]} for one in found]
    return Drawn("machines.html", "Machines", {"machines": rows, "known": known}, ("machines",))


@change("/dashboard/machines/{name}/drain")
async def drain_machine(visit: Visit) -> Done:
    on = visit.form.get("drain") == "yes"
    await visit.ask("PUT /v1/machines/{name}", visit.match, body={"drain": on})
    note = "takes no further training; those that it has go on" if on else "takes trainings again"
    return Done("/dashboard/machines", f"{visit.match['name']} {note}.")


PART = PagesPart((machines, drain_machine), (Nav(21, "Machines", "/dashboard/machines"),))
