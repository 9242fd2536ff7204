"""The page of a request: its receipt, and what its requester can still do."""

from __future__ import annotations

from pathlib import Path

from client.receipts import check_receipt
from tests.unit.dashboard_kit import browsing
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
