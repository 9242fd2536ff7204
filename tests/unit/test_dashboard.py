"""The dashboard before a real server and a real ledger: who gets in, what may change something, and that text is text."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import Ballot, job_id_of
from learningchain.chain.contracts.keys import SetGuardians
from learningchain.chain.crypto import address
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.dashboard import site
from learningchain.client.dashboard.text import flat, words
from learningchain.client.keys.names import FILE as NAMES
from tests.unit.api_kit import CREDIT, a_run
from tests.unit.dashboard_kit import HOSTILE, Browser, Form, browsing
from tests.unit.job_kit import column

PINNED = {
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "sse.min.js": "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
    "uplot.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""SHA-256 of the files of htmx 2.0.11, htmx-ext-sse 2.2.4 and uPlot 1.6.32, as they were released."""


# --- coming in ----------------------------------------------------------------------------------------------------------------


async def test_a_link_logs_one_browser_in_once(tmp_path: Path) -> None:
    async with browsing(tmp_path, login=False) as first:
        made = await first.link()
        _, page = await first.get(made["path"])
        form = page.form("/dashboard/login")
        status, home = await first.send(form)
        assert status == 200 and "credits free" in home.text
        again, refused = await first.send(form)
        assert again == 401 and "no longer good" in refused.text
        status, page = await first.get("/dashboard")
        assert status == 200, "the second try ended nothing"


async def test_the_cookie_is_for_this_site_alone_and_out_of_reach_of_scripts(tmp_path: Path) -> None:
    async with browsing(tmp_path, login=False) as browser:
        made = await browser.link()
        code = made["path"].partition("code=")[2]
        async with browser.api.session.post(
            browser.url + "/dashboard/login",
            data={"code": code},
            headers={"Origin": browser.url},
            allow_redirects=False,
        ) as response:
            cookie = response.headers["Set-Cookie"]
            assert response.status == 303 and response.headers["Location"] == "/dashboard"
        assert {"HttpOnly", "SameSite=Strict", "Path=/dashboard"} <= set(cookie.split("; "))
        assert code not in cookie and str(browser.api.port) in cookie.partition("=")[0]


@pytest.mark.parametrize(
    "path", ["/dashboard", "/dashboard/jobs", "/dashboard/live", "/dashboard/nothing", "/dashboard/receipts/1-0"]
)
async def test_nobody_sees_a_page_without_a_session(tmp_path: Path, path: str) -> None:
    async with browsing(tmp_path, login=False) as browser:
        status, page = await browser.get(path)
        assert status == 401 and "learningchain dashboard" in page.text and not page.forms
        async with browser.api.session.get(browser.url + path, headers={"Authorization": f"Bearer {'t' * 43}"}) as response:
            assert response.status == 401, "the API's token is no session"


async def test_who_types_the_node_s_address_is_shown_how_to_come_in(tmp_path: Path) -> None:
    async with browsing(tmp_path, login=False) as browser:
        browser.url = browser.api.url
        status, page = await browser.get("/", Accept="text/html,*/*;q=0.8")
        assert status == 200 and "learningchain dashboard" in page.text and not page.forms
        assert (await browser.api.call("GET", "/"))[0] == 404, "a program hears what every path says that is none"


@pytest.mark.parametrize(
    "path", ["jobs/zz", "accounts/lc1zz", "runs/none", "models/zz", "blocks/999999", f"federations/{'ab' * 32}"]
)
async def test_a_refusal_speaks_of_pages(tmp_path: Path, path: str) -> None:
    async with browsing(tmp_path) as browser:
        status, page = await browser.get(f"/dashboard/{path}")
        assert status in (400, 404) and "/v1/" not in page.text and "Correct job" not in page.text, page.text


async def test_who_founded_the_network_is_a_member_since_its_beginning(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        for path in ("members", f"accounts/{address(browser.api.node.ledger.own_id)}"):
            _, page = await browser.get(f"/dashboard/{path}")
            assert "the network's beginning" in page.text and " d ago" not in page.text, path


async def test_an_account_is_told_in_words_and_not_by_the_fields_of_the_api(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        assert ledger.block(n1=SetGuardians([ledger.own_id], 1, 86_400_000)) == [0]
        own, guarded = address(ledger.own_id), address(ledger.ids["n1"])
        fields = {words(name) for name, _ in flat(await browser.api.get(f"/v1/accounts/{guarded}")) if not name.isalpha()}
        assert {"guardian threshold", "bandwidth per s"} <= fields
        _, page = await browser.get(f"/dashboard/accounts/{guarded}")
        assert not [name for name in fields - {"box key"} if name in page.text]
        assert f"/dashboard/accounts/{own}" in page.links and "1 of 1, and 1 d to object" in page.text


@pytest.mark.parametrize(("plain", "status"), [(False, 403), (True, 401)])
async def test_the_cookie_opens_nothing_of_the_api(tmp_path: Path, plain: bool, status: int) -> None:
    async with browsing(tmp_path, plain=plain) as browser:
        response, _ = await browser.raw("/v1/status")
        assert response.status == status


async def test_the_pages_have_a_name_that_nobody_is_told_without_the_token(tmp_path: Path) -> None:
    """Browsers send a cookie to every port of its host: whoever knew the name could serve pages under it at another one."""
    async with browsing(tmp_path) as browser:
        name = browser.host.partition(":")[0]
        assert re.fullmatch(r"lc-[0-9a-f]{32}\.localhost", name)
        cookie = "; ".join(f"{one.key}={one.value}" for one in browser._session.cookie_jar)
        for path in ("/dashboard", "/dashboard/login", "/dashboard/nothing", "/dashboard/login?code=x"):
            for host in ("127.0.0.1", "localhost", f"lc-{'0' * 32}.localhost"):
                headers = {"Host": f"{host}:{browser.api.port}", "Cookie": cookie}
                way: Any = {"headers": headers, "allow_redirects": False}
                async with browser.api.session.get(f"http://127.0.0.1:{browser.api.port}{path}", **way) as response:
                    told = str(response.headers) + await response.text()
                    assert name not in told, (path, host)
                    assert response.status in (200, 401, 403) and "credits free" not in told, (path, host)
        assert (await browser.get("/dashboard"))[0] == 200, "the session stays what it was"


@pytest.mark.parametrize("plain", [False, True])
async def test_a_link_is_good_only_where_it_was_made_for(tmp_path: Path, plain: bool) -> None:
    async with browsing(tmp_path, login=False, plain=plain) as browser:
        made = await browser.link()
        there, other = browser.url, Browser(browser.api, browser._session, plain=not plain)
        await other.link()
        assert other.url != there
        status, page = await other.get(made["path"])
        assert status == 401 and "no longer good" in page.text and not page.forms
        status, page = await other.send(Form("post", "/dashboard/login", {"code": made["path"].partition("code=")[2]}))
        assert status == 401
        status, page = await browser.get(made["path"])
        assert status == 200, "where it belongs it is still good"
        status, page = await browser.send(page.form("/dashboard/login"))
        assert status == 200 and "credits free" in page.text
        status, page = await other.get("/dashboard")
        assert status == 401, "nor is the session one there"


async def test_logging_out_ends_the_session(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        _, page = await browser.get("/dashboard")
        status, page = await browser.send(page.form("/dashboard/logout"))
        assert status == 200 and "learningchain dashboard" in page.text
        status, _ = await browser.get("/dashboard")
        assert status == 401


# --- changing something -------------------------------------------------------------------------------------------------------


async def running(browser: Browser) -> Form:
    """The form that stops a run."""
    browser.api.node.runs.all = [a_run("r1")]  # type: ignore[union-attr]
    _, page = await browser.get("/dashboard/runs/r1")
    return page.form("/dashboard/runs/r1/stop")


def is_running(browser: Browser) -> bool:
    return browser.api.node.runs.all[0]["state"] == "running"  # type: ignore[union-attr,no-any-return]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "same-site"}],
)
async def test_a_form_of_another_page_changes_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async with browsing(tmp_path) as browser:
        status, page = await browser.send(await running(browser), headers)
        assert status == 403 and "WRONG_ORIGIN" in page.text and is_running(browser)


async def test_a_form_without_the_session_s_token_changes_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        form = await running(browser)
        for token in ("", "x" * 43, "\x00"):
            status, page = await browser.send(form, form_token=token)
            assert status == 403 and "FORM_TOKEN" in page.text and is_running(browser)


async def test_a_form_counts_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        form = await running(browser)
        await browser.send(form)
        browser.api.node.runs.all[0]["state"] = "running"  # type: ignore[union-attr]
        status, page = await browser.send(form)
        assert status == 409 and "SENT_TWICE" in page.text and is_running(browser)


@pytest.mark.parametrize("port", ["99999", "abc", "-5", "7401:1"])
async def test_a_port_that_is_none_is_refused_in_turn_with_other_strangers(tmp_path: Path, port: str) -> None:
    """It is read before anything is known of who asks."""
    async with browsing(tmp_path) as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.api.port)
        writer.write(f"GET /dashboard HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] in (b"401", b"403")
        writer.close()


async def test_only_pages_and_forms_are_answered(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        for method in ("PUT", "DELETE", "OPTIONS"):
            async with browser.api.session.request(method, browser.url + "/dashboard") as response:
                assert response.status == 405 and response.headers["Allow"] == "GET, POST", method
        status, page = await browser.send(Form("post", "/dashboard/jobs", (await running(browser)).fields))
        assert status == 405 and "WRONG_METHOD" in page.text
        async with browser._session.post(
            browser.url + "/dashboard/jobs", data=(await running(browser)).fields, headers={"Origin": browser.url}
        ) as response:
            assert response.headers["Allow"] == "GET"
        status, _ = await browser.send(await running(browser), junk="x" * 300_000)
        assert status == 413


# --- pages ----------------------------------------------------------------------------------------------------------------------

EMPTY = [page.path for page in site.table() if page.method == "GET" and "{" not in page.path and page.path != "/dashboard/find"]


@pytest.mark.parametrize("path", EMPTY)
async def test_every_page_without_a_variable_part_is_drawn_where_there_is_nothing(tmp_path: Path, path: str) -> None:
    async with browsing(tmp_path) as browser:
        browser.api.node.runs.all = []  # type: ignore[union-attr]
        status, page = await browser.get(path)
        assert status == 200
        assert {group.entries[0].path for group in site.menu()} <= set(page.links)


async def test_each_page_of_the_menu_has_the_pages_of_its_group_and_tells_which_it_is(tmp_path: Path) -> None:
    assert [group.label for group in site.menu()] == [label for _, label in site.GROUPS]
    async with browsing(tmp_path) as browser:
        for group in site.menu():
            for entry in group.entries:
                _, body = await browser.raw(entry.path)
                text = body.decode()
                current = re.findall(r'href="([^"]*)" aria-current="page"', text.partition("</nav>")[0])
                assert entry.path in current and set(current) <= {entry.path, group.entries[0].path}
                assert all(f'<a href="{one.path}"' in text for one in group.entries)


async def test_the_overview_and_the_history_lead_to_receipts_that_can_be_saved(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        ledger.block(boss=Transfer(ledger.ids["n1"], 2 * CREDIT, b"for lunch"))
        _, page = await browser.get("/dashboard")
        assert "998" in page.text and "for lunch" in page.text and "-2" in page.text
        [receipt, *_] = [link for link in page.links if link.startswith("/dashboard/receipts/")]
        response, body = await browser.raw(receipt)
        assert response.status == 200 and response.headers["Content-Disposition"].endswith('.lcr"') and len(body) > 500
        assert response.content_type == "application/octet-stream"


async def test_the_overview_begins_with_what_runs_its_curve_and_what_was_earned(tmp_path: Path) -> None:
    async with browsing(tmp_path, own="n1") as browser:
        node: Any = browser.api.node
        steps = [{"step": step, "of": 40, "loss": f"{1 / (1 + step)}"} for step in range(1, 31)]
        node.runs.all = [a_run("going") | {"progress": steps}, a_run("over", "done")]
        job = node.ledger.judged_job(Ballot(int(BallotCode.OK), [column(5_000)], [], False)).hex()
        (tmp_path / NAMES).write_text(json.dumps({"version": 1, "names": {}, "ids": {job: "digits"}}))
        (tmp_path / NAMES).chmod(0o600)
        _, page = await browser.get("/dashboard")
        assert page.text.index("Running now") < page.text.index("Open jobs") < page.text.index("credits free")
        assert "/dashboard/runs/going" in page.links and "/dashboard/runs/over" not in page.links
        assert "30 of 40" in page.text and "0.032258065" in page.text and "Its loss by step" in page.text
        assert "10 credits earned in the last seven days" in page.text, "the bounty, and not the stake that came back"
        assert "Three things to do" not in page.text
        _, page = await browser.get("/dashboard/jobs?which=all")
        assert "digits" in page.text and "(you)" in page.text


async def test_the_overview_of_a_node_with_nothing_says_what_to_do(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        browser.api.node.runs.all = []  # type: ignore[union-attr]
        _, page = await browser.get("/dashboard")
        assert "Three things to do" in page.text
        assert page.links.count("/dashboard/jobs/new") == 1 and page.links.count("/dashboard/federations") == 2


# --- strangers' text ------------------------------------------------------------------------------------------------------------


def hostile_node(browser: Browser) -> None:
    node: Any = browser.api.node
    node.extra = {
        "network": HOSTILE,
        "notices": [{"topic": HOSTILE, "ref": HOSTILE, "since": 1, "text": HOSTILE}],
        "failing": [{"part": HOSTILE, "since": 1, "why": HOSTILE}],
        "parked": [{"contract": HOSTILE, "ref": HOSTILE, "height": 1, "fault": HOSTILE, "retry": [], "give_back": []}],
    }
    node.runs.all = [
        a_run("r1")
        | {
            "log": HOSTILE + "\n" + HOSTILE,
            "reason": HOSTILE,
            "job": HOSTILE,
            "state": HOSTILE,
            "phase": HOSTILE,
            "loss": HOSTILE,
            "progress": [{"step": 1, "of": 2, "loss": HOSTILE}, {"step": HOSTILE, "of": HOSTILE, "loss": "nan"}, {}],
        },
        a_run("r<b>2") | {"id": HOSTILE[:40]},
    ]
    node.peers = lambda: [{"id": HOSTILE, "address": HOSTILE, "direction": HOSTILE, "rtt_ms": HOSTILE}]
    node.connections = lambda: [{"time": 1, "event": HOSTILE, "address": HOSTILE, "id": HOSTILE, "reason": HOSTILE}]
    node.config = lambda: {f"x.{HOSTILE}": {"value": {HOSTILE: [HOSTILE]}, "source": HOSTILE}}


async def test_hostile_text_is_shown_as_text_on_every_page(tmp_path: Path) -> None:
    """The reader of the kit refuses any tag, handler or address that a template does not write."""
    async with browsing(tmp_path) as browser:
        hostile_node(browser)
        ledger = browser.api.node.ledger
        memo = "<script>alert(1)</script>'\""
        ledger.block(boss=Transfer(ledger.ids["n1"], CREDIT, memo.encode()))
        ledger.declare()
        posting = ledger.posting(params='{"a":"</script><script>alert(1)//\\"\'><img src=x onerror=1>"}')
        assert ledger.block(boss=posting) == [0]
        job = job_id_of(ledger.blocks[-1][1][0].id, 0).hex()
        tx = ledger.blocks[-2][1][0].id.hex()
        own = address(ledger.own_id)
        more = [f"/dashboard/jobs/{job}", f"/dashboard/tx/{tx}", "/dashboard/runs/r1", f"/dashboard/accounts/{own}"]
        shown = ""
        for path in [*EMPTY, *more]:
            status, page = await browser.get(path)
            assert status == 200, path
            assert str(777 * 777) not in page.text, "a template of a stranger"
            assert "\u202e" not in page.text and "\x1b" not in page.text
            shown += page.text
        assert memo in shown and shown.count("<script>alert(1)</script>") > 10 and "{{ 777*777 }}" in shown


# --- files of the package -------------------------------------------------------------------------------------------------------


def static() -> dict[str, bytes]:
    folder = resources.files("learningchain.client.dashboard") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_libraries_are_the_released_ones() -> None:
    found = {name: hashlib.sha256(static()[name]).hexdigest() for name in PINNED}
    assert found == PINNED
    licences = static()["LICENSES.txt"].decode()
    assert all(name in licences for name in PINNED)


def test_htmx_runs_no_code_of_a_page(tmp_path: Path) -> None:
    base = (resources.files("learningchain.client.dashboard") / "templates" / "base.html").read_text()
    for setting in ('"includeIndicatorStyles":false', '"allowEval":false', '"allowScriptTags":false', '"selfRequestsOnly":true'):
        assert setting in base


# --- live -----------------------------------------------------------------------------------------------------------------------


async def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        browser.api.node.ledger.mine()
        _, page = await browser.get("/dashboard")
        async with browser._session.get(browser.url + "/dashboard/live") as response:
            await response.content.readany()
            await browser.send(page.form("/dashboard/logout"))
            browser.api.node.ledger.mine()
            async with asyncio.timeout(20):
                while await response.content.readany():
                    pass
