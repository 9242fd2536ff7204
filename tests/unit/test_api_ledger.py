"""Accounts, supply, transfers, judgements, blocks and transactions over HTTP, on a real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as replace_struct

from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.contracts.credits import CreditCode, Transfer
from learningchain.chain.contracts.job import CONTRACT as JOB
from learningchain.chain.contracts.job.messages import Reveal
from learningchain.chain.contracts.membership import MemberCode, Release
from learningchain.chain.crypto import address
from learningchain.chain.errors import Code, Reject, TxCode
from learningchain.chain.host import BANNED, Host, account_key, read_parked
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.types import tx_id
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.submit import try_out
from learningchain.client.schema.render import render_event, render_parked
from tests.unit.api_kit import CREDIT, GRANT, MODEL, MODEL_CID, NAMES, Api, serving, sha
from tests.unit.job_kit import ballot

FALSE = ballot(BallotCode.FALSE, 900_000_000)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


def who(api: Api, name: str) -> str:
    return address(api.node.ledger.ids[name])


# --- accounts and supply --------------------------------------------------------------------------------------------------------


async def test_an_account_shows_its_credits_as_text_and_what_its_jobs_lock(api: Api) -> None:
    api.node.ledger.claimed_job("n1")
    boss = await api.get(f"/v1/accounts/{who(api, 'boss')}")
    assert (boss["balance"], boss["frozen"], boss["locked"]) == ("986.787", "0", "13.213")
    worker = await api.get(f"/v1/accounts/{who(api, 'n1')}")
    assert (worker["balance"], worker["locked"], worker["validator"]) == ("999", "1", True)
    assert worker["key"] == api.node.ledger.keys["n1"].public.hex()


async def test_an_account_shows_its_bandwidth_and_a_refusal_says_how_long_to_wait(api: Api) -> None:
    ledger = api.node.ledger
    path, rate, window_s = f"/v1/accounts/{who(api, 'boss')}", 64 + 16 * 1_000, 4_096
    assert (await api.get(path))["bandwidth"] == {"left": rate * window_s, "per_s": rate}
    account: Any = ledger.state.get(account_key(ledger.ids["boss"]))
    full = (chain_record(ledger.state).clock + (window_s + 3) * 1_000) * 1_000
    ledger.state.commit([(account_key(ledger.ids["boss"]), msgspec.structs.replace(account, arrival=full))], ledger.state.tree)
    assert (await api.get(path))["bandwidth"] == {"left": -3 * rate, "per_s": rate}
    error = await api.refused("POST", "/v1/transfers", 409, json={"to": who(api, "n1"), "amount": "1"})
    assert (error["kind"], error["name"], error["retry_after_s"]) == ("invalid", "BANDWIDTH", 4)
    assert "send it again in 4 s" in error["message"]
    error = await api.refused("POST", "/v1/transfers", 409, json={"to": who(api, "boss"), "amount": "1"})
    assert error["retry_after_s"] is None


async def test_the_supply_adds_up_while_credits_lie_in_escrow(api: Api) -> None:
    before = await api.get("/v1/supply")
    assert (before["supply"], before["escrows"]) == (str(GRANT // CREDIT * len(NAMES)), "0")
    api.node.ledger.claimed_job("n1")
    api.node.ledger.block()
    shown = await api.get("/v1/supply")
    while shown["height"] != api.node.ledger.height:
        shown = await api.get("/v1/supply")
    assert shown["escrows"] == "14.213"
    assert Decimal(shown["accounts"]) + Decimal(shown["escrows"]) == Decimal(shown["supply"])
    assert Decimal(shown["minted"]) - Decimal(shown["burned"]) == Decimal(shown["supply"])


# --- transfers ------------------------------------------------------------------------------------------------------------------


async def test_a_transfer_that_is_waited_for_is_final_with_its_events(api: Api) -> None:
    sent = await api.post("/v1/transfers?wait=10", {"to": who(api, "n1"), "amount": "2.5", "memo": "grüße"})
    assert (sent["status"], sent["code"], sent["code_name"], sent["height"], sent["index"]) == ("final", 0, "OK", 1, 0)
    assert sent["events"][0] | {"amount": "2.5", "target": who(api, "n1"), "ref": "grüße"} == sent["events"][0]
    tx = await api.get(f"/v1/tx/{sent['tx']}")
    assert tx["ops"] == [{"type": "Transfer", "target": who(api, "n1"), "amount": "2.5", "memo": "grüße"}]
    assert tx["events"] == sent["events"]
    assert (await api.get(f"/v1/accounts/{who(api, 'n1')}"))["balance"] == "1002.5"


@pytest.mark.parametrize(
    ("to", "amount", "code"),
    [
        ("boss", "1", CreditCode.SELF_TRANSFER),
        ("n1", "1000.000001", Code.INSUFFICIENT_CREDITS),
        ("n1", "0", Code.BAD_AMOUNT),
        (None, "1", Code.UNKNOWN_ACCOUNT),
    ],
)
async def test_a_transfer_against_the_rules_is_refused_before_it_is_sent(api: Api, to: str | None, amount: str, code: Any) -> None:
    target = who(api, to) if to else address(bytes(20))
    error = await api.refused("POST", "/v1/transfers", 409, json={"to": target, "amount": amount})
    assert (error["kind"], error["code"], error["name"]) == ("rejected", code, code.name)
    assert not api.node.ledger.pool and not api.node.ledger.blocks


async def test_a_suspended_account_moves_what_is_not_frozen_and_a_banned_one_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, own="n1") as api:
        state = api.node.ledger.state
        api.node.ledger.judged_job(FALSE)
        assert (await api.post("/v1/transfers?wait=10", {"to": who(api, "n2"), "amount": "0.1"}))["code"] == 0
        error = await api.refused("POST", "/v1/transfers", 409, json={"to": who(api, "n2"), "amount": "990"})
        assert error["name"] == "INSUFFICIENT_CREDITS"
        key = account_key(api.node.ledger.ids["n1"])
        account: Any = state.get(key)
        state.commit([(key, replace_struct(account, status=BANNED))], state.tree)
        raw = api.node.ledger.signed("n1", Transfer(api.node.ledger.ids["n2"], 1, b""))
        error = await api.refused("POST", "/v1/tx", 409, json={"raw": raw.hex()})
        assert (error["kind"], error["code"], error["name"]) == ("invalid", TxCode.BANNED, "BANNED")


async def test_waits_above_the_limit_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(waits=1)) as api:
        api.node.ledger.auto = False
        body = {"to": who(api, "n1"), "amount": "1"}
        first = asyncio.create_task(api.call("POST", "/v1/transfers?wait=30", json=body))
        while not api.node.ledger.readers[1:]:
            await asyncio.sleep(0)
        error = await api.refused("POST", "/v1/transfers?wait=30", 503, json=body)
        assert (error["kind"], error["name"]) == ("unavailable", "TOO_MANY")
        api.node.ledger.mine()
        assert (await first)[0] == 200


# --- signed elsewhere -----------------------------------------------------------------------------------------------------------


async def test_a_transaction_signed_elsewhere_is_offered_and_its_receipt_answered(api: Api) -> None:
    ledger = api.node.ledger
    good = ledger.signed("n1", Transfer(ledger.ids["n2"], 7, b""))
    assert (await api.post("/v1/tx?wait=10", {"raw": good.hex()}))["code"] == 0
    refused = ledger.signed("n1", Transfer(ledger.ids["n2"], 2 * GRANT, b""))
    error = await api.refused("POST", "/v1/tx?wait=10", 409, json={"raw": refused.hex()})
    assert (error["kind"], error["code"], error["name"]) == ("rejected", 1, "INSUFFICIENT_CREDITS")
    assert "block 2" in error["message"]
    shown = await api.get(f"/v1/tx/{ledger.blocks[-1][1][0].id.hex()}")
    assert (shown["code"], shown["code_name"], shown["events"]) == (1, "INSUFFICIENT_CREDITS", [])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda raw: b"\x00" + raw, "MALFORMED"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "BAD_SIGNATURE"),
    ],
)
async def test_bytes_that_can_stand_in_no_block_are_invalid(api: Api, change: Any, name: str) -> None:
    raw = change(api.node.ledger.signed("n1", Transfer(api.node.ledger.ids["n2"], 7, b"")))
    error = await api.refused("POST", "/v1/tx", 422 if name == "MALFORMED" else 409, json={"raw": raw.hex()})
    assert (error["kind"], error["name"], error["code"]) == ("invalid", name, TxCode[name])


async def test_a_batch_is_taken_but_for_what_can_stand_in_no_block(api: Api) -> None:
    ledger = api.node.ledger
    ledger.auto = False
    good = [ledger.signed(name, Transfer(ledger.ids["boss"], 1, b"")) for name in ("n1", "n2")]
    forged = ledger.signed("n3", Transfer(ledger.ids["boss"], 1, b""))[:-1] + b"\x00"
    answer = await api.post("/v1/txs", {"raws": [good[0].hex(), forged.hex(), good[1].hex()]})
    assert answer["txs"] == [tx_id(raw).hex() for raw in good]
    assert [(r["index"], r["code"], r["name"]) for r in answer["refused"]] == [(1, TxCode.BAD_SIGNATURE, "BAD_SIGNATURE")]
    ledger.mine()
    assert [tx.raw for tx in ledger.blocks[-1][1]] == good


async def test_where_there_is_no_room_the_rest_of_a_batch_is_refused_and_keeps_its_order(api: Api) -> None:
    """What was taken before stays; none of the rest is taken, or it would stand behind a gap in its sender's sequences."""
    ledger = api.node.ledger
    ledger.auto = False
    raws = [ledger.signed("n1", Transfer(ledger.ids["boss"], 1, b""), ahead=i) for i in range(40)]
    ledger.rooms = iter([True, False])
    answer = await api.post("/v1/txs", {"raws": [raw.hex() for raw in raws]})
    assert len(answer["txs"]) == 32
    assert [(r["index"], r["name"]) for r in answer["refused"]] == [(i, "MEMPOOL_FULL") for i in range(32, 40)]
    ledger.rooms = iter([False])
    refusal = await api.refused("POST", "/v1/tx", 409, json={"raw": raws[32].hex()})
    assert (refusal["name"], "try again later" in refusal["message"]) == ("MEMPOOL_FULL", True)
    ledger.rooms = repeat(True)
    assert len((await api.post("/v1/txs", {"raws": [raw.hex() for raw in raws[32:]]}))["txs"]) == 8


async def test_a_sender_without_bandwidth_holds_up_nobody_else_of_a_batch(api: Api) -> None:
    ledger = api.node.ledger
    ledger.auto = False
    key = account_key(ledger.ids["n1"])
    account: Any = ledger.state.get(key)
    ledger.state.commit([(key, replace_struct(account, arrival=10**12))], ledger.state.tree)
    raws = [ledger.signed(name, Transfer(ledger.ids["boss"], 1, b"")) for name in ("n1", "n2")]
    answer = await api.post("/v1/txs", {"raws": [raw.hex() for raw in raws]})
    assert answer["txs"] == [tx_id(raws[1]).hex()]
    assert [(r["index"], r["name"]) for r in answer["refused"]] == [(0, "BANDWIDTH")]


@pytest.mark.parametrize("raws", [[], ["00"] * 1_001, ["00", "xyz"]])
async def test_a_batch_that_is_empty_too_long_or_no_hex_is_refused_whole(api: Api, raws: list[str]) -> None:
    assert "raws" in (await api.refused("POST", "/v1/txs", 400, json={"raws": raws}))["message"]
    assert not api.node.ledger.pool


# --- judgements -----------------------------------------------------------------------------------------------------------------


async def test_a_parked_job_is_told_of_refuses_claims_and_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(host: Host, ref: bytes, at: int) -> None:
        raise KeyError("a bug")

    async with serving(tmp_path, own="n2") as api:
        ledger = api.node.ledger
        job = ledger.claimed_job("n1")
        monkeypatch.setitem(BY_NUMBER, JOB.number, replace(JOB, on_due=fail))
        event = render_event(ledger.mine(50_000).receipts[0].events[-1])
        assert event == {"type": "noted", "topic": "parked", "ref": job.hex(), "data": {"contract": "job", "fault": "failed"}}
        (told,) = [render_parked(*one) for one in read_parked(ledger.state, 16)]
        assert told | {"height": 0} == {
            "contract": "job",
            "ref": job.hex(),
            "height": 0,
            "fault": "failed",
            "retry": [],
            "give_back": [],
        }
        message = Reveal(job, 1, MODEL_CID.to_bytes(), len(MODEL), sha("salt"))
        assert ledger.block(n1=message) == [Code.PARKED]
        with pytest.raises(Reject, match="parked since block"):
            try_out(ledger, message)
        body = {"contract": "job", "ref": job.hex(), "give_back": True}
        assert (await api.post("/v1/releases?wait=10", body | {"give_back": False}))["code"] == 0
        (told,) = [render_parked(*one) for one in read_parked(ledger.state, 16)]
        assert (told["retry"], told["give_back"]) == ([who(api, "n2")], [])
        assert (await api.post("/v1/releases?wait=10", body))["code"] == 0
        assert render_parked(*read_parked(ledger.state, 16)[0])["give_back"] == [who(api, "n2")]
        assert (await api.refused("POST", "/v1/releases", 409, json=body))["name"] == MemberCode.ALREADY_VOTED.name
        assert ledger.block(n1=Release(3, job, True), n3=Release(3, job, True)) == [0, 0]
        assert read_parked(ledger.state, 16) == []
        assert (await api.get("/v1/supply"))["escrows"] == "0"
        assert (await api.get(f"/v1/jobs/{job.hex()}"))["state"] == "EMPTY"
        wrong = await api.refused("POST", "/v1/releases", 400, json=body | {"contract": "lottery"})
        assert "no contract is called lottery" in wrong["message"]
        wrong = await api.refused("POST", "/v1/releases", 400, json=body | {"ref": "no reference"})
        assert "ref is not valid: a job's id in lower-case hex is expected" in wrong["message"]
        unknown = await api.refused("POST", "/v1/releases", 409, json=body | {"ref": "ab" * 32})
        text = f"The release of job {'ab' * 32} would be refused and was not sent: it is not parked"
        assert unknown["name"] == MemberCode.NOT_PARKED.name and text in unknown["message"]
