"""What a contractor asks of its node: a price that sends nothing, a job taken back or put off, a key that is kept, open cases."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.membership import SetCapacity, SetTraining
from learningchain.chain.crypto import account_id, address
from learningchain.chain.host.terms import Arch, Capacity, HiddenSet
from learningchain.chain.types import format_credits
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.schema.explain import explain
from tests.unit.api_kit import CREDIT, GRANT, MODEL_CID, Api, FakeLedger, serving, sha

ARCHIVE = {"cid": str(MODEL_CID), "image_id": "sha256:" + sha("image").hex(), "size": 1_000}
JOB: dict[str, Any] = {"image": ARCHIVE, "bounty": "10", "expires_in_s": 60}
HIDDEN = {"cid": str(MODEL_CID), "plain_hash": "11" * 32, "key_hash": hashlib.sha256(b"k" * 32).hexdigest(), "size": 99}
HOUR_S = 3_600
LARGE = Capacity(Arch.AMD64, 8_000, 16_384, 2**34, 2**33, 3_600)


ME = address(account_id(FakeLedger().keys["boss"].public))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        declared: dict[str, Any] = {name: SetCapacity(LARGE) for name in ("n1", "n2", "n3")}
        small = SetCapacity(Capacity(Arch.AMD64, 500, 16_384, 2**34, 2**33, 3_600))
        codes = api.node.ledger.block(**declared, n4=small)
        assert set(codes) <= {0, 212}, "where the kit declared the same already"
        trains: dict[str, Any] = {name: SetTraining(Arch.AMD64, HOUR_S) for name in ("boss", "n1", "n2", "n3")}
        assert set(api.node.ledger.block(**trains)) == {0}
        yield api


async def test_a_price_names_every_line_and_sends_nothing(api: Api) -> None:
    quote = await api.post("/v1/jobs/quote", JOB)
    fee, finalists = "0.01", 4
    fees = 10_000 * 71 * finalists
    assert (quote["bounty"], quote["fee"], quote["fees"], quote["finalists"]) == ("10", fee, format_credits(fees), finalists)
    assert (quote["bond"], quote["deposit"], quote["stake"]) == ("4", "0", "1")
    assert quote["total"] == format_credits(10 * CREDIT + fees + 4 * CREDIT) and quote["free"] == format_credits(GRANT)
    assert quote["least_fee"] == "0.00066", "60 seconds of one processor, and six of what a verifier does besides"
    assert quote["refusal"] is None
    assert (quote["trainers"], quote["train_s"]) == (3, 30), "its own node does not train for it"
    for arch, train_s, count in (("amd64", HOUR_S, 3), ("amd64", HOUR_S + 1, 0), ("arm64", 1, 0)):
        assert await api.get(f"/v1/trainers?arch={arch}&train_s={train_s}") == {"trainers": count}
    assert {end["state"]: (end["usual"], end["most"]) for end in quote["ends"]} == {
        "PAID": ("10.07", quote["total"]),
        "REFUNDED": ("1.07", format_credits(fees + 4 * CREDIT)),
        "EMPTY": ("0", "0.28"),
    }
    assert api.node.ledger.pool == [] and (await api.get("/v1/jobs")) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"bounty": "0.5"}, "LOW_BOUNTY"),
        ({"fee": "0.0001"}, "LOW_FEE"),
        ({"bounty": "990"}, "INSUFFICIENT"),
        ({"expires_in_s": 1}, "BAD_EXPIRY"),
    ],
)
async def test_a_price_says_why_the_posting_would_be_refused(api: Api, change: dict[str, Any], name: str) -> None:
    refusal = (await api.post("/v1/jobs/quote", JOB | change))["refusal"]
    assert refusal["name"].startswith(name) and refusal["message"].endswith(f". {explain(refusal['code'])[1]}"), "what to do, too"


async def test_a_job_without_a_claim_is_taken_back_or_put_off(api: Api) -> None:
    posted = await api.post("/v1/jobs?wait=10", JOB)
    path = f"/v1/jobs/{posted['job']}"
    extended = await api.post(f"{path}/extension?wait=10", {"expires_in_s": 3_600})
    assert (await api.get(path))["expiry"] == extended["expiry"] > posted["expiry"]
    error = await api.refused("POST", f"{path}/extension", 409, json={"expires_in_s": 60})
    assert error["name"] == "BAD_EXPIRY" and re.search(r"claims end in 3[56]\d\d[0-9.]* s", error["message"])
    assert (await api.post(f"{path}/cancel?wait=10", None))["job"] == posted["job"]
    job = await api.get(path)
    assert (job["state"], job["payments"]["bounty_returned"]) == ("EMPTY", "10")
    assert (await api.get("/v1/accounts/" + ME))["balance"] == format_credits(GRANT)


async def test_a_key_is_kept_before_it_is_answered(api: Api) -> None:
    key = bytes(range(32))
    kept = await api.post("/v1/hidden-keys", {"key": key.hex()})
    assert kept == {"key_hash": hashlib.sha256(key).hexdigest()}
    assert api.node.work.secrets.all == [secrets.of_key(key)]
    for wrong in ("", "00", "zz" * 32, "00" * 33):
        assert "key" in (await api.refused("POST", "/v1/hidden-keys", 400, json={"key": wrong}))["message"]


async def test_hidden_data_of_a_posting_is_carried_into_the_contract(api: Api) -> None:
    posted = await api.post("/v1/jobs?wait=10", JOB | {"hidden": HIDDEN})
    posting: Any = api.node.ledger.state.get(records.posting_key(bytes.fromhex(posted["job"])))
    terms = posting.terms
    assert terms.hidden == [HiddenSet(MODEL_CID.to_bytes(), b"\x11" * 32, hashlib.sha256(b"k" * 32).digest(), 99)]
    assert terms.arch == Arch.AMD64 and (await api.get(f"/v1/jobs/{posted['job']}"))["hidden"] == "ON"
