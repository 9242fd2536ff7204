"""Who trusts no node is convinced by what it answers over HTTP: the second implementation checks it, from genesis alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.codec import encode, read
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.host import account_key
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.client.api.route import ServerLimits
from tests.conformance import cases
from tests.conformance.checks import Refused
from tests.conformance.over_http import Follower
from tests.unit.api_kit import GRANT, Api, serving


@dataclass
class Convinced:
    """A stranger beside a node: it has the genesis, and asks."""

    api: Api
    follower: Follower

    async def receipt(self, tx: bytes) -> Any:
        shown = await self.api.get(f"/v1/tx/{tx.hex()}")
        answer = await self.api.get(f"/v1/blocks/{shown['height']}/receipts/{shown['index'] + 1}")
        return self.follower.receipt(answer, tx)


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[Convinced]:
    async with serving(tmp_path) as api:
        yield Convinced(api, Follower(encode(api.node.ledger.genesis)))


def paid(stranger: Convinced) -> list[bytes]:
    """Ids of two transactions of one block: the second was refused."""
    ledger = stranger.api.node.ledger
    assert ledger.block(n1=Transfer(ledger.ids["n2"], 5, b""), n3=Transfer(ledger.ids["n2"], 0, b"")) == [0, 3]
    return [tx.id for tx in ledger.blocks[-1][1]]


async def test_what_became_of_a_transaction_is_shown_to_who_trusts_nobody(stranger: Convinced) -> None:
    first, second = paid(stranger)
    ids = stranger.api.node.ledger.ids
    moved = [1, "transfer", ids["n1"], ids["n2"], 5, b""]
    assert await stranger.receipt(first) == [first, 0, [moved]]
    for index, tx in ((1, first), (2, second)):
        answer = await stranger.api.get(f"/v1/blocks/1/receipts/{index}")
        assert (answer["index"], answer["tx"]) == (index, tx.hex()), "it says whose receipt it is"
    assert await stranger.receipt(second) == [second, 3, []]


async def test_a_record_of_the_state_and_its_absence_are_shown(stranger: Convinced) -> None:
    paid(stranger)
    ledger = stranger.api.node.ledger
    key, nobody = account_key(ledger.ids["n2"]), account_key(bytes(20))
    header, record = stranger.follower.record(await stranger.api.get(f"/v1/proofs/{key.hex()}"), key)
    assert (header.height, record[2]) == (1, GRANT + 5)
    header, record = stranger.follower.record(await stranger.api.get(f"/v1/proofs/{nobody.hex()}"), nobody)
    assert record is None
    assert header.state_root == ledger.state.root


async def test_a_block_tells_its_header_and_its_signatures_as_bytes(stranger: Convinced) -> None:
    """D14: what is shown for people is not what is signed."""
    tx, _ = paid(stranger)
    shown = await stranger.api.get("/v1/blocks/1")
    header = stranger.follower.header({"header": shown["header"], "certificate": shown["certificate"]["bytes"]})
    assert header.state_root.hex() == shown["state_root"]
    raw = (await stranger.api.get(f"/v1/tx/{tx.hex()}"))["raw"]
    assert cases.light.tx_id(bytes.fromhex(raw)) == tx


LIES = ("header", "certificate", "receipt", "proof")


@pytest.mark.parametrize("field", LIES)
async def test_a_node_that_changes_a_byte_convinces_nobody(stranger: Convinced, field: str) -> None:
    tx, _ = paid(stranger)
    answer = await stranger.api.get("/v1/blocks/1/receipts/1")
    stranger.follower.receipt(answer, tx)
    raw = bytearray.fromhex(answer[field])
    raw[-1] ^= 1
    with pytest.raises(Refused):
        stranger.follower.receipt(answer | {field: raw.hex()}, tx)


async def test_a_node_that_answers_about_something_else_convinces_nobody(stranger: Convinced) -> None:
    first, second = paid(stranger)
    with pytest.raises(Refused):
        stranger.follower.receipt(await stranger.api.get("/v1/blocks/1/receipts/2"), first)
    ledger = stranger.api.node.ledger
    asked, told = account_key(ledger.ids["n1"]), account_key(ledger.ids["n2"])
    answer = await stranger.api.get(f"/v1/proofs/{told.hex()}")
    for lie in (answer, answer | {"key": asked.hex()}, answer | {"key": asked.hex(), "record": None}):
        with pytest.raises(Refused):
            stranger.follower.record(lie, asked)
    assert second != first


async def test_handovers_lead_on_when_the_validators_change(tmp_path: Path) -> None:
    vector = cases.load("snapshots")
    follower = Follower(bytes.fromhex(cases.load("genesis")["bytes"]))
    follower.take(vector["handovers"])
    with pytest.raises(Refused):
        Follower(bytes.fromhex(cases.load("genesis")["bytes"])).take(vector["handovers"][1:])
    async with serving(tmp_path) as api:
        assert await api.get("/v1/handovers") == {"handovers": []}
        api.node.handed = [read(ValidatorSetChange, bytes.fromhex(one)) for one in vector["handovers"]]
        heights = [one.header.height for one in api.node.handed]
        assert len(heights) == 2 and heights[0] < heights[1]
        for asked, told in (
            ("", vector["handovers"]),
            ("?limit=1", vector["handovers"][:1]),
            (f"?start={heights[0] + 1}", vector["handovers"][1:]),
            (f"?start={heights[1]}&limit=1", vector["handovers"][1:]),
            (f"?start={heights[1] + 1}", []),
        ):
            assert await api.get(f"/v1/handovers{asked}") == {"handovers": told}
        await api.refused("GET", "/v1/handovers?limit=65", 400)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("path", "made_by"),
    [
        ("/v1/blocks/1/raw", "raw_block"),
        ("/v1/receipts/1-0", "receipt_file"),
        (f"/v1/receipts?keys={account_key(bytes(20)).hex()}", "records_file"),
    ],
)
async def test_what_is_read_from_the_disk_takes_the_places_of_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, made_by: str
) -> None:
    """A block has four million bytes: many at the same time would be the node's memory."""
    async with serving(tmp_path, limits=ServerLimits(downloads=1)) as api:
        api.node.ledger.block()
        begun, go_on, make = asyncio.Event(), asyncio.Event(), getattr(api.node, made_by)

        async def held(*asked: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await make(*asked)

        monkeypatch.setattr(api.node, made_by, held)
        first = asyncio.create_task(api.call("GET", path))
        await begun.wait()
        assert (await api.refused("GET", path, 503))["name"] == "TOO_MANY"
        go_on.set()
        assert (await first)[0] == 200
        assert (await api.call("GET", path))[0] == 200
