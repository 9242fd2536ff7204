"""The page of a request: its receipt, and what its requester can still do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import address
from learningchain.client.api.errors import RequestError
from learningchain.client.contracts.prediction.pages import named_rows
from learningchain.client.receipts.files import check_receipt
from learningchain.client.sdk.client import Client
from tests.unit.api_kit import TOKEN
from tests.unit.dashboard_kit import HOSTILE, Browser, browsing
from tests.unit.test_api_predictions import answered, ask, served, seven


async def test_the_receipt_of_a_prediction_convinces_a_stranger(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        api, ledger = browser.api, browser.api.node.ledger
        ledger.declare()
        request = (await ask(api, await served(api)))["request"]
        answered(api, request, seven(), seven(), seven())
        path = f"/dashboard/predictions/{request}"
        _, page = await browser.get(path)
        assert f"{path}/receipt" in page.links
        response, raw = await browser.raw(f"{path}/receipt")
        assert response.status == 200 and f'filename="{request}.lcr"' in response.headers["Content-Disposition"]
        proven = check_receipt(raw, ledger.genesis, keys=[]).document
        assert request in str(proven) and "AGREED" in str(proven) and "2.500000000" in str(proven)
        response, _ = await browser.raw(f"/dashboard/predictions/{'ab' * 32}/receipt")
        assert response.status == 404


async def test_the_pages_of_models_say_how_they_answered_lately(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        api, ledger = browser.api, browser.api.node.ledger
        ledger.declare()
        model = await served(api)
        _, page = await browser.get(f"/dashboard/models/{model}")
        assert "answered within" not in page.text, "nobody asked it yet"
        answered(api, (await ask(api, model))["request"], seven(), seven(), seven())
        found = (await api.get(f"/v1/models/{model}"))["answers"]
        _, page = await browser.get(f"/dashboard/models/{model}")
        assert "100 % of the last 1 request" in page.text and f"{found['p50_ms'] / 1000:.3g} s half of the time" in page.text
        _, page = await browser.get("/dashboard/models")
        assert f"{found['p50_ms'] / 1000:.3g} s" in page.text and "100 %" in page.text


async def test_of_a_request_that_left_the_state_nothing_is_proven_any_more_and_its_page_says_so(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        api, ledger = browser.api, browser.api.node.ledger
        ledger.declare()
        model = await served(api)
        path = f"/dashboard/predictions/{(await ask(api, model))['request']}"
        ledger.block(3_700_000)
        await ask(api, model)
        _, page = await browser.get(path)
        assert "left the state in block" in page.text and f"{path}/receipt" not in page.links
        status, page = await browser.get(f"{path}/receipt")
        assert status == 404 and "nothing of now proves it" in page.text


# --- what its requester can still do --------------------------------------------------------------------------------------------


async def waiting(browser: Browser) -> str:
    """The page of a request that waits until another one is answered: servers have one slot each."""
    browser.api.node.ledger.declare()
    model = await served(browser.api, slots=1)
    await ask(browser.api, model)
    request = (await ask(browser.api, model, within_s=600))["request"]
    browser.api.node.ledger.mine()
    return f"/dashboard/predictions/{request}"


async def free(browser: Browser) -> int:
    account = browser.api.node.ledger
    return round(10**6 * float((await browser.api.get(f"/v1/accounts/{address(account.own_id)}"))["balance"]))


async def test_a_tip_is_raised_after_what_it_locks_was_shown_and_the_request_taken_back(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        path, node = await waiting(browser), browser.api.node
        _, page = await browser.get(path)
        assert "number 1 of 1 that wait" in page.text
        before, height = await free(browser), node.ledger.height
        status, page = await browser.send(page.form(f"{path}/tip"), None, amount="0.1")
        assert status == 200 and "Raise it: lock 0.10497 credits" in page.text and node.ledger.height == height
        sure = next(form for form in page.forms if form.fields.get("step") == "tip")
        status, page = await browser.send(sure)
        assert status == 200 and "The tip is raised, final" in page.text and "higher tip than 0.1003" in page.text
        assert before - await free(browser) == 104_970, "what the page said"
        burns = (await browser.api.get(f"/v1{path.removeprefix('/dashboard')}"))["burned"]
        assert f"Take it back: burn {burns} credits" in page.text
        status, page = await browser.send(page.form(f"{path}/cancel"))
        assert status == 200 and "taken back, final" in page.text and "What you can still do" not in page.text
        assert (await browser.api.get(f"/v1{path.removeprefix('/dashboard')}"))["cost"] == burns


@pytest.mark.parametrize(
    ("amount", "status", "said"), [("0", 200, "would be refused now"), (HOSTILE, 400, "tip"), ("", 400, "tip"), ("-1", 400, "tip")]
)
async def test_a_tip_that_makes_no_sense_is_told_and_sends_nothing(tmp_path: Path, amount: str, status: int, said: str) -> None:
    async with browsing(tmp_path) as browser:
        path = await waiting(browser)
        height = browser.api.node.ledger.height
        _, page = await browser.get(path)
        found, page = await browser.send(page.form(f"{path}/tip"), None, amount=amount)
        assert (found, said in page.text) == (status, True), page.text
        assert not [form for form in page.forms if form.fields.get("step") == "tip"]
        assert browser.api.node.ledger.height == height


async def test_an_answer_is_appealed_by_its_requester_who_is_told_the_bond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with browsing(tmp_path) as browser:
        api, ledger = browser.api, browser.api.node.ledger
        ledger.declare()
        request = (await ask(api, await served(api)))["request"]
        answered(api, request, seven(), seven(), seven())
        path = f"/dashboard/predictions/{request}"
        _, raw = await browser.raw(path)
        assert b"#steps" in raw, "what can still be done follows the state, as all of the page does"
        _, page = await browser.get(path)
        assert "Take it back" not in page.text and "that wait" not in page.text
        assert "agreed agreed" not in page.text and ", unless it is appealed" in page.text
        assert "An appeal would be refused now" in page.text and "(NO_COMMITTEE)" in page.text
        assert not [form for form in page.forms if form.action.endswith("/appeal")], "a graph of four has no judges"
        monkeypatch.setattr("learningchain.chain.contracts.prediction.formulas.least_judges", lambda opened, agree: 1)
        _, page = await browser.get(path)
        bond = (await api.get(f"/v1/predictions/{request}/steps"))["appeal"]["credits"]
        assert f"Appeal: lock {bond} credits" in page.text
        before = await free(browser)
        refusals = ((HOSTILE, "Rows are numbers"), ("1,", "Rows are numbers"), ("2", "different rows"), ("99999", "not valid"))
        for rows, said in refusals:
            status, page = await browser.send(page.form(f"{path}/appeal"), None, rows=rows)
            assert status in (400, 409) and said in page.text, rows
        status, page = await browser.send(page.form(f"{path}/appeal"), None, rows="1")
        assert status == 200 and "The appeal stands" in page.text
        found = await api.get(f"/v1/predictions/{request}")
        assert (found["appeal"]["rows"], found["appeal"]["bond"]) == ([0], bond)
        assert f"{before - await free(browser)}" == f"{round(10**6 * float(bond))}"
        ledger.own = "n1"
        _, page = await browser.get(path)
        assert "What you can still do" not in page.text, "of a stranger's request"


@pytest.mark.parametrize(
    ("text", "rows"), [("", []), ("1", [0]), ("3, 1", [2, 0]), *((bad, None) for bad in ("0", "x", "1,,2", "²", "1;2"))]
)
def test_rows_are_counted_as_the_table_counts_them(text: str, rows: list[int] | None) -> None:
    if rows is None:
        with pytest.raises(RequestError):
            named_rows(text)
    else:
        assert named_rows(text) == rows


async def test_what_each_step_costs_is_said_over_http_and_of_no_request_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        path = await waiting(browser)
        steps: Any = await browser.api.get(f"/v1{path.removeprefix('/dashboard')}/steps?tip=0.2")
        assert (steps["tip"]["credits"], steps["appeal"]["refusal"]["name"]) == ("0.20997", "WRONG_STATE")
        async with Client(browser.api.url, TOKEN) as client:
            request = path.rpartition("/")[2]
            assert await client.prediction_steps(request, tip="0.2") == steps
            assert await client.prediction_steps(request) == steps | {"tip": {"credits": "0.000001", "refusal": None}}
        assert (await browser.api.refused("GET", f"/v1/predictions/{'ab' * 32}/steps", 404))["name"] == "NO_SUCH_REQUEST"
        browser.api.node.ledger.own = "n1"
        steps = await browser.api.get(f"/v1{path.removeprefix('/dashboard')}/steps")
        assert steps["tip"]["refusal"] and steps["cancel"] == {"credits": None, "refusal": steps["cancel"]["refusal"]}


# --- serving --------------------------------------------------------------------------------------------------------------------


async def test_a_server_sees_its_models_their_containers_its_seats_and_what_came_in(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        api, ledger = browser.api, browser.api.node.ledger
        _, page = await browser.get("/dashboard/serving")
        assert "answers for no model" in page.text and "Nothing among the newest lines" in page.text
        api.node.extra["id"] = address(b"n" * 20)
        status, page = await browser.get("/dashboard/serving")
        assert status == 200 and "answers for no model" in page.text, "an account that no block has named yet"
        del api.node.extra["id"]
        ledger.declare()
        model = await served(api)
        request = (await ask(api, model))["request"]
        answered(api, request, seven(), seven(), seven())
        warm = {"starting": 1, "ready": 2, "answering": 3}
        api.node.extra["serving"] = [{"model": one, **warm} for one in (model, "ab" * 32)]
        ledger.own = "n1"
        _, page = await browser.get("/dashboard/serving")
        assert f"/dashboard/models/{model}" in page.links and "1 start, 2 wait, 3 answer" in page.text
        [mine] = [one for one in (await api.get(f"/v1/models/{model}"))["members"] if one["server"] == address(ledger.own_id)]
        assert f"{mine['state']} {mine['stake']}" in page.text and "no server of it now" in page.text
        lines = await api.get(f"/v1/accounts/{address(ledger.own_id)}/history")
        paid = [one["amount"] for one in lines if one["reason"] == "answer.paid"]
        assert f"answer paid {len(paid)} {paid[0].removeprefix('+')}" in page.text, page.text
