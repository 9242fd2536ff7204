"""Receipt files over HTTP: what a node hands out convinces `verify.py`, which trusts a genesis file alone."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import address
from learningchain.chain.host import account_key
from learningchain.chain.ledger.genesis import to_json
from learningchain.chain.ledger.receipt_file import MAX_RECORDS
from learningchain.client.api.route import ServerLimits
from learningchain.client.receipts.files import check_receipt
from tests.unit.api_kit import GRANT, Api, serving

VERIFY = Path(__file__).parents[2] / "protocol_spec" / "verify.py"


def stranger() -> ModuleType:
    """`verify.py` as a stranger has it: a file that imports nothing of the product."""
    spec = importlib.util.spec_from_file_location("verify", VERIFY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERIFIER = stranger()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as made:
        ledger = made.node.ledger
        assert ledger.block(n1=Transfer(ledger.ids["n2"], 5, b"rent"), n3=Transfer(ledger.ids["n2"], 0, b"")) == [0, 3]
        yield made


def both(api: Api, answer: dict[str, Any]) -> tuple[str, str]:
    """What the product and the stranger say of a file."""
    raw, genesis = bytes.fromhex(answer["file"]), api.node.ledger.genesis
    return "\n".join(check_receipt(raw, genesis).lines), "\n".join(VERIFIER.check(raw, to_json(genesis)))


async def test_the_receipt_of_a_payment_convinces_a_stranger(api: Api) -> None:
    ledger = api.node.ledger
    tx = ledger.blocks[0][1][0].id.hex()
    answer = await api.get(f"/v1/receipts/{tx}")
    assert (answer["height"], answer["index"], answer["tx"], answer["trusted"]) == (1, 1, tx, None)
    for said in both(api, answer):
        assert "3 of its 4 validators" in said and tx in said and "0.000005 credits" in said
        assert address(ledger.ids["n1"]) in said and address(ledger.ids["n2"]) in said
    assert await api.get("/v1/receipts/1-1") == answer


async def test_records_and_their_absence_are_shown(api: Api) -> None:
    own, nobody = account_key(api.node.ledger.ids["n2"]), account_key(bytes(20))
    answer = await api.get(f"/v1/receipts?keys={nobody.hex()},{own.hex()}")
    product, verifier = both(api, answer)
    assert f"{GRANT // 10**6}.000005 free and 0 frozen credits" in product
    assert f"{GRANT // 10**6}.000005 free and 0 frozen credits" in verifier
    assert f"no account {address(bytes(20))}" in product and f"under key {nobody.hex()} nothing" in verifier


async def test_a_submission_comes_back_with_its_receipt_where_it_is_asked_for(api: Api) -> None:
    ledger = api.node.ledger
    raw = {"raw": ledger.signed("n1", Transfer(ledger.ids["n2"], 9, b"")).hex()}
    done = await api.post("/v1/tx?wait=10&receipt=true", raw)
    assert done["tx"] in "\n".join(check_receipt(bytes.fromhex(done["receipt"]), ledger.genesis).lines)
    raw = {"raw": ledger.signed("n1", Transfer(ledger.ids["n2"], 9, b"")).hex()}
    assert "receipt" not in await api.post("/v1/tx?wait=10", raw)


async def test_what_is_final_stays_so_where_no_place_is_left_to_make_its_receipt(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(downloads=0)) as api:
        ledger = api.node.ledger
        raw = {"raw": ledger.signed("n1", Transfer(ledger.ids["n2"], 5, b"")).hex()}
        done = await api.post("/v1/tx?wait=10&receipt=true", raw)
        assert done["status"] == "final" and "receipt" not in done, "asking for it says why"
        assert (await api.refused("GET", f"/v1/receipts/{done['tx']}", 503))["name"] == "TOO_MANY"


async def test_as_many_records_as_a_file_may_hold_are_shown_and_one_more_is_not_asked_for(api: Api) -> None:
    keys = [account_key(n.to_bytes(20, "big")).hex() for n in range(1, MAX_RECORDS + 2)]
    assert (await api.get(f"/v1/receipts?keys={','.join(keys[:-1])}"))["file"]
    assert "holds at most" in (await api.refused("GET", f"/v1/receipts?keys={','.join(keys)}", 400))["message"]
