"""Jobs over HTTP: posting with defaults and with every term, mistakes by name, lists, a whole job, the winner's model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.job import JobCode
from learningchain.chain.contracts.job.duties import duties_in
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.http.postings import check_open
from tests.unit.api_kit import CREDIT, GRANT, MODEL, MODEL_CID, Api, serving, sha
from tests.unit.job_kit import ballot

OK = ballot(BallotCode.OK, 5_000)
ARCHIVE = {"cid": str(MODEL_CID), "image_id": "sha256:" + sha("image").hex(), "size": 1_000}
REGISTRY = {"reference": "registry.example/digits:1@sha256:" + "ab" * 32}
JOB: dict[str, Any] = {"image": ARCHIVE, "bounty": "10", "expires_in_s": 60}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        api.node.ledger.declare()
        yield api


async def test_a_job_with_defaults_is_posted_and_shown(api: Api) -> None:
    clock = api.node.ledger.clock
    posted = await api.post("/v1/jobs?wait=10", JOB)
    assert (posted["code"], posted["expiry"]) == (0, clock + 60_000)
    job = await api.get(f"/v1/jobs/{posted['job']}")
    assert (job["state"], job["bounty"], job["fee"]) == ("OPEN", "10", "0.01")
    assert job["terms"] | {"finalists": 4, "float_kind": "f32", "tol": "0.000000000", "on_cheat": "next-best"} == job["terms"]
    assert (job["terms"]["fees_locked"], job["terms"]["bond"], job["terms"]["stake"]) == ("2.84", "4", "1")
    assert job["terms"]["arch"] == "amd64"
    assert job["limits"] == {
        "cpus_milli": 1_000,
        "mem_mb": 1_024,
        "train_s": 30,
        "eval_s": 60,
        "model_cap": 64 * 2**20,
        "tmp_mb": 64,
        "threads": 1,
    }
    assert job["payments"]["in_escrow"] == {"bounty": "10", "fees": "2.84", "bond": "4", "deposit": "0", "stakes": "0"}
    assert job["image"] == {"kind": "archive", "reference": "", **ARCHIVE, "image_id": sha("image").hex()}


async def test_every_term_is_carried_into_the_contract_and_the_id_is_known_before_the_block(api: Api) -> None:
    api.node.ledger.auto = False
    limits = {"cpus": 2.5, "mem_mb": 512, "train_s": 9, "eval_s": 8, "model_cap": 7_000, "tmp_mb": 0, "threads": 4}
    terms = {"fee": "0.5", "tol": "0.001", "floor": "-2", "float_kind": "f64", "finalists": 2.0, "on_cheat": "next-best"}
    body = {"image": REGISTRY, "bounty": "1", "expiry": api.node.ledger.clock + 20_000, "limits": limits, **terms}
    posted = await api.post("/v1/jobs", body | {"params": {"epochs": 3.0, "name": "ü"}}, 202)
    api.node.ledger.mine()
    job = await api.get(f"/v1/jobs/{posted['job']}")
    assert job["limits"] == {"cpus_milli": 2_500, **{k: v for k, v in limits.items() if k != "cpus"}}
    assert job["fee"] == "0.5"
    assert (job["terms"]["tol"], job["terms"]["floor"]) == ("0.001000000", "-2.000000000")
    assert (job["terms"]["float_kind"], job["terms"]["on_cheat"], job["terms"]["finalists"]) == ("f64", "next-best", 2)
    assert "3.0" in job["terms"]["params"] and msgspec.json.decode(job["terms"]["params"]) == {"epochs": 3, "name": "ü"}
    assert (job["image"]["reference"], job["image"]["kind"]) == (REGISTRY["reference"], "registry")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image": {}}, "image.cid"),
        ({"image": ARCHIVE | REGISTRY}, "image.reference"),
        ({"image": {"reference": "digits:latest"}}, "name@sha256"),
        ({"image": {"cid": str(MODEL_CID)}}, "image.image_id"),
        ({"image": ARCHIVE | {"cid": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"}}, "image.cid"),
        ({"image": ARCHIVE | {"image_id": "latest"}}, "image.image_id"),
        ({"image": ARCHIVE | {"size": 0}}, "size"),
        ({"image": ARCHIVE | {"tag": "x"}}, "tag"),
        ({"bounty": "many"}, "bounty"),
        ({"bounty": 10}, "bounty"),
        ({"fee": "-1"}, "fee"),
        ({"tol": "-0.1"}, "tol"),
        ({"tol": "1e-9"}, "tol"),
        ({"floor": "nan"}, "floor"),
        ({"float_kind": "f16"}, "float_kind"),
        ({"on_cheat": "ban"}, "on_cheat"),
        ({"expires_in_s": None}, "expires_in_s"),
        ({"expiry": 5}, "expires_in_s"),
        ({"expires_in_s": -5}, "expires_in_s"),
        ({"expires_in_s": 10**10}, "expires_in_s"),
        ({"params": []}, "params"),
        ({"params": {"x": "y" * 8_192}}, "params"),
        ({"limits": {"pids": 5}}, "pids"),
        ({"limits": {"cpus": 0}}, "cpus"),
        ({"limits": {"mem_mb": -1}}, "mem_mb"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_posting_that_makes_no_sense_names_the_field(api: Api, change: dict[str, Any], named: str) -> None:
    error = await api.refused("POST", "/v1/jobs", 400, json=JOB | change)
    assert error["kind"] == "usage"
    assert named in error["message"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"bounty": "1000"}, "INSUFFICIENT_CREDITS"),
        ({"bounty": "0", "fee": "1"}, "LOW_BOUNTY"),
        ({"fee": "0.000001"}, "LOW_FEE"),
        ({"limits": {"cpus": 65}}, "FEW_VERIFIERS"),
        ({"finalists": 1}, "BAD_TERMS"),
        ({"finalists": 9}, "BAD_TERMS"),
        ({"expires_in_s": 1}, "BAD_EXPIRY"),
        ({"expires_in_s": 10**9}, "BAD_EXPIRY"),
        ({"expires_in_s": None, "expiry": 5}, "BAD_EXPIRY"),
        ({"limits": {"mem_mb": 10**9}}, "IMPOSSIBLE_LIMIT"),
        ({"limits": {"train_s": 0}}, "IMPOSSIBLE_LIMIT"),
        ({"limits": {"cpus": 0.001}}, "IMPOSSIBLE_LIMIT"),
        ({"image": ARCHIVE | {"size": 2**40}}, "BAD_IMAGE"),
    ],
)
async def test_a_posting_against_the_rules_is_refused_with_their_code_and_costs_nothing(
    api: Api, change: dict[str, Any], name: str
) -> None:
    error = await api.refused("POST", "/v1/jobs?wait=10", 409, json=JOB | change)
    assert (error["kind"], error["name"]) == ("rejected", name)
    assert error["code"] == (1 if name == "INSUFFICIENT_CREDITS" else JobCode[name])
    assert len(api.node.ledger.blocks) == 1, "that of the capacities"


async def test_deep_params_are_refused_without_harm(api: Api) -> None:
    body = b'{"image": {}, "bounty": "1", "params": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert (await api.refused("POST", "/v1/jobs", 400, data=body))["name"] == "BAD_JSON"


@pytest.mark.parametrize(
    ("seconds", "refused"), [(None, False), (4.999, False), (5.0, True), (6.999, True), (7.0, False), (60.0, False)]
)
def test_a_job_that_would_be_too_short_once_it_stands_in_a_block_is_refused_now(seconds: float | None, refused: bool) -> None:
    """Shorter ones the rules refuse by themselves; one with an absolute expiry is as long as its contractor says."""
    params = JobParams(job_min_open=5_000)
    if refused:
        with pytest.raises(Reject, match=r"5 s to .* from their block on, which may be 2 s away") as found:
            check_open(seconds, params)
        assert found.value.code == JobCode.BAD_EXPIRY
    else:
        check_open(seconds, params)


async def test_a_paid_job_shows_votes_and_money_as_text_and_gives_its_model(api: Api) -> None:
    job = api.node.ledger.judged_job(OK).hex()
    shown = await api.get(f"/v1/jobs/{job}")
    winner = address(api.node.ledger.ids["n1"])
    assert (shown["state"], shown["winner"], shown["claims"][0]["loss"]) == ("PAID", winner, "0.000005000")
    votes = [vote for voter in shown["rounds"][0]["committee"] for vote in voter["votes"]]
    assert {(vote["vote"], vote["measured"]) for vote in votes} == {("OK", "0.000005000")}
    assert shown["payments"]["bounty_paid"] == "10"
    assert shown["claims"][0]["stake"] == "1"
    assert shown["model"] == {"cid": str(MODEL_CID), "sha256": MODEL_CID.digest.hex(), "size": len(MODEL)}
    error = await api.refused("GET", f"/v1/jobs/{job}/model", 404)
    assert error["name"] == "NOBODY"
    api.node.files.put(MODEL)
    assert await api.get(f"/v1/jobs/{job}/model") == MODEL


async def test_the_balances_after_a_job_are_the_ones_of_the_ledger(api: Api) -> None:
    job = api.node.ledger.judged_job(OK)
    shown = {account["id"]: account["balance"] for account in await api.get("/v1/accounts")}
    assert shown[address(api.node.ledger.ids["n1"])] == str((GRANT + 10 * CREDIT) // CREDIT)
    assert duties_in(api.node.ledger.state, job, api.node.ledger.ids["n1"], api.node.ledger.clock) == []


async def test_a_job_is_found_by_its_first_characters_behind_any_number_of_newer_ones(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr("learningchain.client.contracts.job.api.AT_ONCE", 2)
    ledger = api.node.ledger
    first = ledger.claimed_job()
    for _ in range(7):
        assert ledger.block(boss=ledger.posting(bounty=CREDIT)) == [0]
    listed = await api.get("/v1/jobs")
    for query in ("", "&live=true"):
        found = await api.get(f"/v1/jobs?id={first.hex()[:16]}{query}")
        assert [job["id"] for job in found] == [first.hex()]
    letter = listed[0]["id"][0]
    expected = [job["id"] for job in listed if job["id"][0] == letter]
    assert [job["id"] for job in await api.get(f"/v1/jobs?id={letter}")] == expected
    assert [job["id"] for job in await api.get(f"/v1/jobs?id={letter}&limit=1")] == expected[:1]
    below = listed[0]["number"]
    assert [job["id"] for job in await api.get(f"/v1/jobs?id={letter}&before={below}")] == expected[1:]
    await api.refused("GET", "/v1/jobs?id=XYZ", 400)
