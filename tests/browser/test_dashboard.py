"""The dashboard of real nodes in a real browser: each page with and without data, by axe-core, on a phone's width and in the dark.

`LC_SHOTS=folder` keeps the pictures.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from learningchain.client.cli import dashboard
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest
from learningchain.client.sdk.http import link_url
from learningchain.client.sdk.types import Json
from learningchain.sandbox.images import build_python_image
from tests.browser.looking import look, refused, shot
from tests.browser.person import Person, person
from tests.processes.harness import Graph, NodeProcess, Role, eventually, validators, with_params
from tests.processes.scripted import JUDGE, declare

pytestmark = [pytest.mark.full("it brings Chromium; test_dashboard.py has every page without one"), pytest.mark.timeout(900)]
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}\u202e"
"""What a stranger writes wherever it may."""
REFERENCE = "registry.example/nothing@sha256:" + "ab" * 32
SAVED = ("/dashboard/receipts/", "/dashboard/static/")
"""A browser saves these instead of showing them."""
SECOND_MS = 1_000
SLOWER = 8
"""This machine is shared."""
PROGRAMS = [Path(__file__).parents[1] / "processes" / name for name in ("slow_job.py", "asked_model.py")]
JOB = b"""#!/usr/local/bin/python3
import sys
import asked_model, slow_job
sys.exit((asked_model if sys.argv[1] == "predict" else slow_job).main(sys.argv[1]))
"""
"""Trains and is measured as a slow job, and its model answers as one that others ask."""
WORKS = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
VERIFIES = {"work.verify": True, "serve.mem_mb": 512, "serve.warm": 1}
PARAMS = with_params(
    job_min_open=5_000,
    job_reveal=6_000,
    job_vote_base=90_000,
    job_open_votes=60_000,
    pred_a0=60_000,
    pred_open=30_000,
    pred_appeal=3_000,
)
SCHEMA = {
    "inputs": [
        {"name": "left", "datatype": "FP64", "min": 0, "max": 100},
        {"name": "right", "datatype": "FP64", "min": 0, "max": 100},
    ]
}
CONTAINERS_S = 150
CHARTS_S = 60


async def log_in(someone: Person, node: NodeProcess) -> str:
    """Where the node's pages are."""
    link = await node.api.dashboard_link()
    await someone.do("open", url=link_url(node.api.url, link["path"], link["host"]))
    await someone.do("arrive", path="/dashboard")
    return link_url(node.api.url, "", link["host"])


async def every_page(someone: Person, base: str, name: str, *more: str) -> dict[str, Any]:
    """Each page that a link leads to, one of a kind, and what is wrong with it."""
    wrong: dict[str, Any] = {}
    seen, open_ = set[str](), ["/dashboard", *more]
    while open_:
        path = open_.pop(0)
        kind = "/".join(
            "x" if any(c.isdigit() or c == "." for c in part) or len(part) > 20 else part for part in path.split("?")[0].split("/")
        )
        if kind in seen or path.startswith(SAVED) or path.endswith("/model"):
            continue
        seen.add(kind)
        came = await someone.do("open", url=base + path)
        looked = await someone.do("look", shot=shot(name + kind.replace("/", "-")))
        found = {where: what for where, what in looked.items() if what}
        if found or came["status"] != 200 or came["ms"] > SLOWER * SECOND_MS:
            wrong[path] = found | {"status": came["status"], "ms": came["ms"]}
        open_ += [link for link in await someone.do("links") if link not in open_]
    assert len(seen) > 8, seen
    return wrong


async def charts(someone: Person, base: str) -> None:
    """Waits until the machine has curves of its load: two samples."""

    async def drawn() -> bool:
        await someone.do("open", url=base + "/dashboard/machine")
        return "Processors in use" in await someone.do("text")

    await eventually("the machine's load is drawn", drawn, CHARTS_S)


async def test_every_page_with_and_without_data(tmp_path: Path) -> None:
    async with Graph(tmp_path, [*validators(1), Role("late")], people=[JUDGE]) as graph, person(tmp_path) as someone:
        await graph.start()
        node = graph["v0"]
        base = await log_in(someone, node)
        wrong = await every_page(someone, base, "empty")
        assert not wrong, json.dumps(wrong, indent=1)
        await declare(node, [JUDGE])
        await node.api.transfer(graph["late"].address, "3", memo=HOSTILE[:64], wait=30)
        ask = JobRequest(image=ImageRequest(reference=REFERENCE), bounty="1", expires_in_s=3, params={HOSTILE: HOSTILE})
        job = (await node.api.submit_job(ask, wait=30))["job"]
        await node.job_in(job, "EMPTY")
        await charts(someone, base)
        wrong = await every_page(someone, base, "data", f"/dashboard/jobs/{job}")
        assert not wrong, json.dumps(wrong, indent=1)
        await someone.do("open", url=f"{base}/dashboard/jobs/{job}")
        assert HOSTILE[:20] in await someone.do("text")


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
async def test_a_person_posts_a_job_fetches_its_model_asks_it_and_sees_what_was_paid(tmp_path: Path, keys: bool) -> None:
    """By the forms, with real containers: the price before each, and what happens without loading a page again. By the keyboard
    alone, too, from the first page on: every page is come to by its link."""
    roles = [
        Role("v0", validator=True),
        *(Role(f"v{i}", validator=True, verifier=True, settings=VERIFIES) for i in (1, 2, 3)),
        Role("worker", settings=WORKS),
    ]
    archive = tmp_path / "slow.tar"
    programs = {"/lc/job": JOB} | {f"/lc/{path.name}": path.read_bytes() for path in PROGRAMS}
    image_id = build_python_image(archive, programs, with_packages=())
    async with Graph(tmp_path, roles, params=PARAMS) as graph, person(tmp_path, keys=keys) as someone:
        await graph.start()
        node = graph["v0"]
        for role in roles[1:]:
            await graph[role.name].logs("the sandbox is ready", within=CONTAINERS_S)

        async def judged() -> bool:
            accounts = [await node.api.account(graph[f"v{i}"].address) for i in (1, 2, 3)]
            return all(one["capacity"] is not None and one["box_key"] is not None for one in accounts)

        await eventually("the verifiers say what their machines take", judged, CONTAINERS_S)
        base = await log_in(someone, node)
        job = await posted_by_form(someone, base, node, archive, image_id)
        await fetched(someone, node, graph["worker"], job)
        model = await offered(graph, node, job, tmp_path)
        await asked_by_form(someone, base, node, model)
        await someone.do("press", name="Overview", role="link")
        history = await someone.do("text")
        for what in ("bounty locked", "fees returned", "request locked"):
            assert what in history, history
        came = await someone.do("press", name=job[:12], role="link")
        assert came["path"] == f"/dashboard/jobs/{job}", "a line leads to what the credits moved for"
        await someone.do("press", name="Models", role="link")
        await someone.do("press", name="Predictions", role="link")
        assert "agreed" in await someone.do("text")
        await log_in(someone, graph["worker"])
        assert "+100" in await someone.do("text"), "who won sees the bounty in the history of the own node"


async def posted_by_form(someone: Person, base: str, node: NodeProcess, archive: Path, image_id: str) -> str:
    """The job's id: its image uploaded by the form, its price seen, then posted."""
    await someone.do("press", name="Work", role="link")
    await someone.do("press", name="Post a job", role="link")
    went = await someone.do("upload", label="Archive", file=str(archive), after="The archive is in this node")
    assert went > 0, "its progress was seen"
    assert await someone.do("value", label="Image id") == image_id
    for label, value in {
        "Bounty in credits": "100",
        "Minutes until claims close": "1",
        "Processors": "0.5",
        "Memory in MiB": "64",
        "Seconds of training": "20",
        "Seconds of evaluation": "20",
        "Largest model in MiB": "1",
    }.items():
        await someone.do("fill", label=label, value=value)
    await someone.do("tap", text="More")
    await someone.do("fill", label="Parameters as JSON", value='{"train": 3, "evaluate": 2}')
    await someone.do("press", name="What would it cost?")
    assert "credits are locked" in await someone.do("text")
    assert not await node.api.jobs()
    await someone.do("press", name="Post it")
    [posted] = await node.api.jobs()
    assert posted["id"] in await someone.do("text")
    return str(posted["id"])


async def fetched(someone: Person, node: NodeProcess, worker: NodeProcess, job: str) -> None:
    """Its page shows claims and the model as they come, loaded once."""
    page = await someone.do("loads")
    await someone.do("wait", text="lc1", seconds=CONTAINERS_S)
    await someone.do("wait", text="Fetch the model", seconds=CONTAINERS_S)
    assert await someone.do("loads") == page, "it was loaded once"
    view = await node.api.job(job)
    assert (view["state"], view["winner"]) == ("PAID", worker.address)
    model = view["model"]
    assert model is not None and await someone.do("save", name="Fetch the model") == model["size"]
    await look(someone, "way-job")


async def offered(graph: Graph, node: NodeProcess, job: str, folder: Path) -> str:
    """The job's model, offered by its contractor and served by three nodes, as their commands do it."""
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    schema = await node.api.upload(folder / "schema.json")
    terms: Json = {"name": "sums", "kind": "number", "price": "0.001", "floor": "0.0001", "job": job, "start_s": 20, "row_ms": 500}
    terms["schema"] = {"cid": schema["cid"], "size": schema["size"]}
    model = (await node.api.register_model(terms, wait=30))["model"]
    for name in ("v1", "v2", "v3"):
        await graph[name].api.serve(model, untried=True, wait=30)
    return str(model)


async def asked_by_form(someone: Person, base: str, node: NodeProcess, model: str) -> None:
    """By the form that is made from the model's schema; the answer comes onto the page."""
    await someone.do("press", name="Models", role="link")
    await someone.do("press", name="sums", role="link")
    await look(someone, "way-model")
    for label, value in {"left": "1", "right": "hello", "Answers that are asked for": "3"}.items():
        await someone.do("fill", label=label, value=value)
    await someone.do("press", name="What would it cost?")
    assert "right is" in await someone.do("text"), "what cannot be asked is said by the field's name"
    await refused(someone)
    await someone.do("fill", label="right", value="2")
    await someone.do("press", name="What would it cost?")
    assert "credits are locked" in await someone.do("text")
    assert not await node.api.predictions()
    await someone.do("press", name="Ask: lock")
    [asked] = await node.api.predictions()
    assert asked["model"] == model
    page = await someone.do("loads")
    await someone.do("wait", text="What at least as many as were asked agreed on", seconds=CONTAINERS_S)
    assert await someone.do("loads") == page, "it was loaded once"
    [answer] = (await node.api.prediction(asked["id"]))["values"]
    assert float(str(answer["score"])) > 0 and str(answer["score"]) in await someone.do("text")
    await look(someone, "way-answer")


async def test_a_setting_is_changed_by_its_form(tmp_path: Path) -> None:
    """It is in force, and the pages say so; what is no value of it is refused beside the form."""
    async with Graph(tmp_path, validators(1)) as graph, person(tmp_path) as someone:
        await graph.start()
        node = graph["v0"]
        base = await log_in(someone, node)
        await someone.do("open", url=base + "/dashboard/settings")
        await someone.do("press", name="change work.min_bounty", role="link")
        await someone.do("fill", label="New value", value="much")
        await someone.do("press", name="Write it")
        await someone.do("wait", text="a decimal number")
        await refused(someone)
        assert "after a restart" not in await someone.do("text")
        await someone.do("fill", label="New value", value="5")
        await someone.do("press", name="Write it")
        await someone.do("open", url=base + "/dashboard/settings")
        assert "after a restart" not in str(await someone.do("text")).partition("work.min_bounty")[2][:40]
        assert (await node.api.config())["work.min_bounty"]["value"] == "5"
        await look(someone, "way-settings")


@contextlib.asynccontextmanager
async def another_port() -> AsyncIterator[tuple[int, list[str]]]:
    """What another user of this machine may serve: its port, and the cookies that it was sent."""
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie", ""))
        return web.Response(text="<!doctype html><title>theirs</title><h1>theirs</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], sent
    finally:
        await runner.cleanup()


async def test_another_port_of_this_machine_sees_no_session(tmp_path: Path) -> None:
    """Cookies know no ports: at the node's own address it would be sent, which is shown, too, or this test could not fail."""
    async with Graph(tmp_path, validators(1)) as graph, person(tmp_path) as someone, another_port() as (port, sent):
        await graph.start()
        node = graph["v0"]
        base = await log_in(someone, node)
        for host in ("127.0.0.1", "localhost", "lc-0.localhost"):
            assert (await someone.do("open", url=f"http://{host}:{port}/dashboard"))["status"] == 200
        assert len(sent) >= 3 and not any(sent), sent
        assert (await someone.do("open", url=f"{base}/dashboard"))["status"] == 200, "the session is there"
        assert (await someone.do("open", url=f"{node.api.url}/dashboard"))["status"] == 401
        plain = await node.api.dashboard_link(plain=True)
        await someone.do("open", url=node.api.url + plain["path"])
        await someone.do("arrive", path="/dashboard")
        await someone.do("open", url=f"http://127.0.0.1:{port}/dashboard")
        assert any(one.startswith("learningchain-dashboard-") for one in sent), "at the address itself a browser sends it"


async def test_the_file_that_a_browser_is_started_with_logs_it_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `learningchain dashboard` hands the link over: nothing but the file's name stands in the browser's command line."""
    async with Graph(tmp_path, validators(1)) as graph, person(tmp_path) as someone:
        await graph.start()
        node = graph["v0"]
        link = await node.api.dashboard_link()
        started: list[str] = []
        monkeypatch.setattr("webbrowser.open", lambda url: started.append(url) or True)
        assert dashboard._opened(link_url(node.api.url, link["path"], link["host"]), node.data)
        base = link_url(node.api.url, "", link["host"])
        came = await someone.do("come", file=started[0], own=base)
        assert came["url"] == f"{base}/dashboard" and "code" not in started[0]
        assert "Credits" in await someone.do("text") or "credits" in await someone.do("text")
