"""The commands about models, requests and policies: what one types becomes a request of the API, what came of it is shown, and exit
codes say whether the servers agreed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from learningchain.client.cli.common import WrongUsage
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.cli import ask, shown
from learningchain.client.contracts.prediction.http.model_schema import ModelSchema, parse_schema
from learningchain.client.receipts import files as receipts
from learningchain.client.receipts.files import CheckedReceipt
from learningchain.client.work.tries import Trial, TriedRun
from learningchain.sandbox import AnswerForm, AnswerOutcome, ParsedAnswer
from learningchain.sandbox.answers import parse_answer
from tests.unit.client_fake_api import DONE, OTHER, OWN, Fake, cid_of, refusal

pytest_plugins = ["tests.unit.client_cli_kit"]

MODEL, REQUEST, POLICY = "5a" * 32, "7b12e0" + "00" * 29, "c0" * 32
SUMMARY: dict[str, Any] = {
    "id": MODEL,
    "number": 3,
    "name": "digits",
    "owner": OWN,
    "state": "LIVE",
    "kind": "class",
    "classes": 10,
    "price": "0.001",
    "floor": "0.0001",
    "servers": 4,
    "awake": 3,
    "waiting": 2,
    "registered": 1_699_999_000_000,
    "answers": {
        "counted": 40,
        "agreed": 37,
        "weak": 2,
        "agreement": 0.925,
        "p50_ms": 412,
        "p95_ms": 61_900,
        "since": 1_699_999_100_000,
    },
}
NOT_ASKED = {"counted": 0, "agreed": 0, "weak": 0, "agreement": None, "p50_ms": None, "p95_ms": None, "since": None}
SERVER = {"server": OTHER, "state": "asleep", "since": 4, "stake": "2", "unfinal": 1, "good": 20, "bad": 3, "silent": 3}
WHOLE: dict[str, Any] = SUMMARY | {
    "next": {"price": "0.001", "floor": "0.0002"},
    "next_from": 1_700_003_600_000,
    "tol": "0.000001000",
    "slots": 4,
    "max_rows": 2,
    "input_cap": 2**20,
    "row_ms": 50,
    "start_s": 5,
    "cpus_milli": 1_000,
    "mem_mb": 512,
    "tmp_mb": 64,
    "threads": 1,
    "arch": "amd64",
    "image": {"kind": "archive", "reference": "", "cid": "bimage", "image_id": "ab" * 32, "size": 9},
    "params": "{}",
    "model": {"cid": "bmodel", "size": 700},
    "schema": None,
    "sample": None,
    "sample_answers": None,
    "source": None,
    "previous": None,
    "shares": [],
    "deposit": "1",
    "royalties": "0",
    "stake_needed": "1.02",
    "members": [SERVER],
}
SEAT = {"server": OTHER, "round": 1, "committed": True, "opened": True, "code": "OK", "paid": "0.0005"}
WAITING: dict[str, Any] = {
    "id": REQUEST,
    "number": 8,
    "model": MODEL,
    "requester": OWN,
    "state": "WAITING",
    "outcome": None,
    "rows": 2,
    "n": 3,
    "agree_asked": 2,
    "tip": "0.0006",
    "locked": "0.00273",
    "cost": None,
    "posted": 1_699_999_999_000,
    "deadline": 1_700_000_029_000,
    "ended": None,
    "place": 2,
    "queue": 5,
    "wait_until": 1_700_000_029_000,
    "royalty": "0.002",
    "burned": "0.00013",
    "input": {"cid": "brows", "size": 20, "inline": True},
    "private": False,
    "policy": None,
    "round": 0,
    "asked": 0,
    "seats": [],
    "votes": {},
    "values": [],
    "valued": 0,
    "agree": None,
    "decisions": [],
    "ordinal": 0,
    "appeal": None,
    "left": None,
}
VALUES: list[dict[str, Any]] = [
    {"row": 0, "class": 7, "score": "2.500000000", "support": 3, "new_class": None, "new_score": None},
    {"row": 1, "class": None, "score": None, "support": 0, "new_class": None, "new_score": None},
]
DRAWN = WAITING | {"state": "ANSWER", "round": 1, "asked": 3, "seats": [SEAT | {"opened": False, "code": None}] * 3}
AGREED = WAITING | {
    "state": "AGREED",
    "outcome": "AGREED",
    "cost": "0.00143",
    "locked": "0",
    "asked": 3,
    "seats": [SEAT] * 3,
    "votes": {"OK": 3},
    "values": VALUES,
    "valued": 1,
    "agree": 3,
}
WEAK = AGREED | {"state": "WEAK", "outcome": "WEAK", "agree": 2, "agree_asked": 3}
FAILED = WAITING | {"state": "FAILED", "outcome": "NO_AGREEMENT", "cost": "0.0003", "locked": "0", "votes": {"OK": 1, "FAULT": 2}}
POSTED = DONE | {"request": REQUEST, "charge": "0.00273", "tip": "0.0006"}
QUOTED: dict[str, Any] = {
    "charge": "0.00273",
    "tip": "0.0006",
    "least_tip": "0.0006",
    "royalty": "0.002",
    "burned": "0.00013",
    "rows": 2,
    "seats": 3,
    "pool": 4,
    "judges": 3,
    "judges_needed": 4,
    "waiting": 5,
    "latest_answer_s": 50.0,
    "refusal": None,
}
RULE: dict[str, Any] = {
    "id": POLICY,
    "number": 1,
    "model": MODEL,
    "owner": OWN,
    "accept": "below",
    "threshold": "0.200000000",
    "rates": [{"start": "-1000000000.000000000", "ppm": 125_000}],
    "least": 3,
    "most": 0,
    "live": 1,
    "dropped": None,
}


@pytest.fixture(autouse=True)
def served(api: Fake) -> None:
    api.answers |= {
        "GET /v1/models": [SUMMARY],
        f"GET /v1/models/{MODEL}": WHOLE,
        f"GET /v1/models/{OTHER}~digits": WHOLE,
        "POST /v1/models": DONE | {"model": MODEL},
        **{f"POST /v1/models/{MODEL}/{verb}": DONE for verb in ("price", "retire", "unserve")},
        f"POST /v1/models/{MODEL}/serve": DONE | {"tried": False},
        "GET /v1/predictions": [AGREED],
        "POST /v1/predictions": POSTED,
        "POST /v1/predictions/quote": QUOTED,
        f"GET /v1/predictions/{REQUEST}": [WAITING, DRAWN, AGREED],
        **{f"POST /v1/predictions/{REQUEST}/{verb}": DONE for verb in ("tip", "cancel", "appeal")},
        "POST /v1/policies": DONE | {"policy": POLICY},
        "GET /v1/policies": [RULE],
        f"GET /v1/policies/{POLICY}": RULE,
    }


# --- asking -------------------------------------------------------------------------------------------------------------------


def ways(*views: Any) -> list[Any]:
    """Answers one after the other; the last one stays."""
    return [(200, view) for view in views]


def test_rows_are_asked_and_the_way_to_the_values_is_told(api: Fake, run: Any) -> None:
    api.answers[f"GET /v1/predictions/{REQUEST}"] = ways(WAITING, DRAWN, AGREED)
    ran = run("predict", f"{OTHER}/digits", "[0.1, 0.7]", '{"b": 1}', "--n", "3", "--tip", "0.0006", "--max-charge", "1")
    assert ran.code == 0
    body = {"model": MODEL, "n": 3, "within_s": 30.0, "tip": "0.0006", "max_charge": "1", "input": '[0.1,0.7]\n{"b":1}\n'}
    assert api.bodies("POST", "/v1/predictions") == [body]
    assert "waits: place 2 of 5" in ran.err and "3 of 3 servers sealed their answers" in ran.err
    assert "7" in ran.out and "2.500000000" in ran.out and "0.00143" in ran.out and "3 of 3" in ran.out


@pytest.mark.parametrize(("view", "code"), [(AGREED, 0), (FAILED, 4), (WEAK, 5)])
def test_the_exit_code_says_whether_the_servers_agreed(api: Fake, run: Any, view: dict[str, Any], code: int) -> None:
    api.answers[f"GET /v1/predictions/{REQUEST}"] = ways(view)
    assert run("predict", MODEL, "[1]").code == code
    assert run("prediction", "watch", REQUEST).code == code


SCORE: dict[str, Any] = {"row": 0, "class": None, "score": "8.493763251", "support": 3, "new_class": None, "new_score": None}
ONE: dict[str, Any] = AGREED | {"rows": 1, "values": [SCORE]}
PLAIN = {"values": [{"class": None, "score": "1.000000000"}, None], "decisions": []}


@pytest.mark.parametrize(
    ("view", "first"),
    [
        (ONE, "8.493763251   (3 of 3 agree, cost 0.00143)"),
        (AGREED, "class 7, 2.500000000; no value   (3 of 3 agree, cost 0.00143)"),
        (ONE | {"values": [SCORE] * 10}, f"{'; '.join(['8.493763251'] * 8)} and 2 more   (3 of 3 agree, cost 0.00143)"),
        (ONE | {"values": [SCORE | {"new_score": "9.0"}]}, "9.0   (3 of 3 agree, cost 0.00143)"),
        (ONE | {"private": True, "plain": PLAIN}, "1.000000000; no value   (3 of 3 agree, cost 0.00143)"),
        (ONE | {"private": True}, "blinded: this node has not the key   (3 of 3 agree, cost 0.00143)"),
        (WEAK, "class 7, 2.500000000; no value   (2 of 3 agree, asked for 3, cost 0.00143)"),
        (FAILED, "no answer   (NO_AGREEMENT, cost 0.0003)"),
        (WAITING, "no answer yet   (WAITING, 0.00273 locked)"),
    ],
)
def test_the_first_line_is_the_answer(api: Fake, run: Any, view: dict[str, Any], first: str) -> None:
    api.answers[f"GET /v1/predictions/{REQUEST}"] = ways(view)
    for words in (("predict", "digits", "[1]", "--wait", "0.01"), ("prediction", "show", REQUEST)):
        line, title, *_ = run(*words).out.splitlines()
        assert (line, title) == (first, f"Request {REQUEST}")


@pytest.mark.parametrize(
    ("classes", "called"),
    [([*"abcdefg", "[red]bill"], "[red]bill"), (["a"], "class 7"), (None, "class 7")],
)
def test_a_class_is_called_as_the_models_schema_does(api: Fake, run: Any, classes: Any, called: str) -> None:
    schema: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP64"}]}
    schema |= {"classes": classes} if classes else {}
    raw = json.dumps(schema).encode()
    cid, number = cid_of(raw)[0], {"classes": len(classes or "12345678"), "schema": cid_of(raw)[0]}
    api.answers |= {f"GET /v1/models/{MODEL}": WHOLE | number, f"GET /v1/files/{cid}": (200, raw)}
    changed = AGREED | {"values": [SCORE | {"class": 7, "new_class": 7, "new_score": "1.0"}]}
    hidden = AGREED | {"private": True, "plain": {"values": [{"class": 7, "score": "1.0"}], "decisions": []}}
    ways_in = [("predict", "digits", "[1]", "--wait", "0.01"), *(("prediction", word, REQUEST) for word in ("show", "watch"))]
    for view, said in ((AGREED, "2.500000000; no value"), (changed, "1.0"), (hidden, "1.0")):
        api.answers[f"GET /v1/predictions/{REQUEST}"] = ways(view)
        for words in ways_in:
            out = run(*words).out
            assert out.startswith(f"{called}, {said}") and out.count(called) >= 2, "in the first line, and in the row's own"
    api.answers[f"GET /v1/files/{cid}"] = (404, b"")
    assert "class 7, 1.0" in run("prediction", "show", REQUEST).out, "who has no schema at hand still says what the ledger does"


def test_a_price_is_told_before_anything_is_sent(api: Fake, run: Any) -> None:
    ran = run("predict", MODEL, "[1]", "--dry-run")
    assert ran.code == 0 and "0.00273" in ran.out and api.bodies("POST", "/v1/predictions") == []
    assert "nothing can change the answer" in ran.out, "three are left to judge, and it takes four"
    api.answers["POST /v1/predictions/quote"] = QUOTED | {
        "refusal": {"code": 420, "name": "NO_SERVERS", "message": "too few servers"}
    }
    ran = run("predict", MODEL, "[1]", "--dry-run")
    assert ran.code == 1 and "too few servers" in ran.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["[1]", "--n", "4"], "odd number"),
        (["[1]", "--m", "9"], "--m is a number from 1 to 5"),
        (["[1]", "--within", "2h"], "from 1s to 1h"),
        (["[NaN]"], "Row 1 is no JSON"),
        (["[1]", "--file", "x"], "exclude each other"),
        (["--file", "/nowhere/x"], "cannot be read"),
        (["[1]", "--tip", "-1"], "--tip"),
        (["[1]", "--wait", "9999"], "--wait"),
    ],
)
def test_mistakes_are_named_before_anything_is_asked(api: Fake, run: Any, words: list[str], says: str) -> None:
    ran = run("predict", MODEL, *words)
    assert ran.code == 2 and says in ran.err and api.seen == []


NUMBER = {"inputs": [{"name": "x", "datatype": "FP64", "min": -100, "max": 100}]}
TWO = {
    "inputs": [{"name": "age", "datatype": "INT64", "min": 18}, {"name": "job", "datatype": "BYTES", "values": ["none", "a clerk"]}]
}
GRID = {"inputs": [{"name": "g", "datatype": "INT8", "shape": [2]}, {"name": "on", "datatype": "BOOL"}]}


@pytest.mark.parametrize(
    ("schema", "words", "sent"),
    [
        (NUMBER, ["2.5"], "[2.5]\n"),
        (NUMBER, ["2.5", "-3", "1e1"], "[2.5]\n[-3]\n[10]\n"),
        (NUMBER, ["[2.5]", "7"], "side by side"),
        (NUMBER, ["[2.5]", '{"x": 7}'], '[2.5]\n{"x":7}\n'),
        (NUMBER, ["2.5", "250"], "row 2, x: '250' is not a number from -100 to 100 (FP64)"),
        (NUMBER, ["two"], "row 1, x: 'two' is not a number from -100 to 100"),
        (TWO, ["40", "a clerk"], '[40,"a clerk"]\n'),
        (TWO, ["17", "none"], "row 1, age: '17' is not a whole number from 18"),
        (TWO, ["40", "king"], "row 1, job: 'king' is not one of none, a clerk"),
        (TWO, ["40"], "a row of model digits is 2 values in this order: age, job; 1 were typed"),
        (GRID, ["1", "2", "true"], "[[1,2],true]\n"),
        (GRID, ["1", "2"], "3 values in this order: g[0], g[1], on; 2 were typed"),
        (NUMBER | {"classes": ["a", "b"]}, ["2.5"], "is not its own"),
        (None, ["2.5", "-.5"], "[2.5]\n[-0.5]\n"),
        (None, ["true"], "true\n"),
        (None, ["1e999"], "Row 1 is no JSON"),
        (None, ["no json"], "Row 1 is no JSON"),
    ],
)
def test_plain_values_are_rows_by_the_models_schema_and_checked_before_anything_is_sent(
    api: Fake, run: Any, schema: Any, words: list[str], sent: str
) -> None:
    raw = json.dumps(schema).encode()
    cid = None if schema is None else cid_of(raw)[0]
    api.answers |= {f"GET /v1/models/{MODEL}": WHOLE | {"schema": cid}, f"GET /v1/files/{cid}": (200, raw)}
    ran = run("predict", "digits", *words, "--wait", "0")
    if sent.endswith("\n"):
        assert ran.code == 0 and [body["input"] for body in api.bodies("POST", "/v1/predictions")] == [sent]
        assert ("nothing can check the rows before they are paid for" in ran.err) == (schema is None)
    else:
        assert ran.code == 2 and sent in " ".join(ran.err.split()) and all(method == "GET" for method, *_ in api.seen)
    owns = [query for method, path, query, _ in api.seen if path == "/v1/models"]
    assert all((query["owner"], query["name"]) == (OWN, "digits") for query in owns), "a bare name is one of this node's models"
    shown = run("model", "show", "digits").out
    assert ("x: a number from -100 to 100" in shown) == (schema == NUMBER)
    assert ("a row has" in shown) == (schema in (NUMBER, TWO, GRID)), "of a schema that is not the model's own nothing is told"


def test_rows_that_lie_in_the_graph_are_asked_about_by_their_cid(api: Fake, run: Any) -> None:
    rows = b"[2.5]\n[3.5]\n"
    cid = cid_of(rows)[0]
    api.answers |= {f"GET /v1/models/{MODEL}": WHOLE, f"GET /v1/files/{cid}": (200, rows)}
    assert run("predict", MODEL, cid, "--wait", "0").code == 0
    assert [body["input"] for body in api.bodies("POST", "/v1/predictions")] == [rows.decode()]
    assert run("predict", MODEL, cid_of(b"nobody has it")[0]).code != 0


def test_files_are_given_to_the_graph_and_taken_back(api: Fake, run: Any, tmp_path: Path) -> None:
    data = b"[2.5]\n"
    cid = cid_of(data)[0]
    (tmp_path / "rows.jsonl").write_bytes(data)
    added = run("file", "add", tmp_path / "rows.jsonl")
    assert (added.code, added.out.strip()) == (0, cid) and f"predict MODEL {cid}" in " ".join(added.err.split())
    api.answers |= {
        f"GET /v1/files/{cid}": (200, data),
        f"DELETE /v1/files/{cid}": {"cid": cid},
        "GET /v1/files": [{"cid": cid, "size": len(data), "by": None}, {"cid": "b" * 59, "size": 1_000_000, "by": "0a1b2c3d"}],
    }
    assert run("file", "get", cid, "--out", tmp_path / "copy").code == 0 and (tmp_path / "copy").read_bytes() == data
    listed = run("file", "list").out
    assert cid in listed and "1,000,000" in listed and "0a1b2c3d" in listed and "owner" in listed
    assert run("file", "remove", cid).code == 0
    assert run("file", "add", tmp_path / "nothing").code == 2


def test_a_refusal_of_the_rules_is_told(api: Fake, run: Any) -> None:
    api.answers["POST /v1/predictions"] = refusal("rejected", 409, 420, "NO_SERVERS")
    ran = run("predict", MODEL, "[1]", "--json")
    assert ran.code == 1 and ran.error["name"] == "NO_SERVERS"


# --- requests -----------------------------------------------------------------------------------------------------------------


def test_tip_cancel_and_appeal_are_sent(api: Fake, run: Any) -> None:
    assert run("prediction", "tip", REQUEST, "0.5").code == 0
    assert run("prediction", "cancel", REQUEST).code == 0
    assert run("prediction", "appeal", REQUEST, "--row", "3", "--row", "1").code == 0
    assert api.bodies("POST", f"/v1/predictions/{REQUEST}/tip") == [{"amount": "0.5"}]
    assert api.bodies("POST", f"/v1/predictions/{REQUEST}/appeal") == [{"rows": [3, 1]}]
    rows = [word for row in range(9) for word in ("--row", str(row))]
    assert "eight rows" in run("prediction", "appeal", REQUEST, *rows).err


# --- models -------------------------------------------------------------------------------------------------------------------


def test_a_paid_job_becomes_a_model_by_one_message(api: Fake, run: Any) -> None:
    job = "3fa9c1" + "00" * 29
    words = ["--name", "digits", "--kind", "class", "--classes", "10", "--price", "0.001", "--floor", "0.0001"]
    ran = run("model", "register", "--job", job, *words, "--row-time", "20ms", "--share", f"{OTHER}=3", "--json")
    assert ran.code == 0 and ran.json["model"] == MODEL
    (sent,) = api.bodies("POST", "/v1/models")
    assert (sent["job"], sent["row_ms"], sent["shares"]) == (job, 20, [{"account": OTHER, "weight": 3}])
    assert "image" not in sent and "limits" not in sent


@pytest.mark.parametrize(
    ("row_time", "start_time", "told"), [("1s", "584s", False), ("1001ms", "584s", True), ("37s", "8s", False), ("38s", "5s", True)]
)
def test_an_owner_is_told_where_hardly_anybody_could_judge_an_appeal(
    api: Fake, run: Any, row_time: str, start_time: str, told: bool
) -> None:
    """What a judge has to have declared is more than verifiers declare by default (LC-PRE-52)."""
    words = ["--job", "3fa9c1" + "00" * 29, "--name", "x", "--kind", "number", "--row-time", row_time, "--start-time", start_time]
    ran = run("model", "register", *words)
    assert ran.code == 0 and ("A judge of an appeal would need" in " ".join(ran.err.split())) is told
    assert WorkConfig().max_eval_s == 600


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "one place"),
        (["--job", "3f", "--image-archive", "x.tar"], "one place"),
        (["--image-archive", "x.tar"], "stand together"),
        (["--job", "3f", "--cpus", "2"], "brings its limits"),
        (["--job", "3f", "--params", "{}"], "and its params along"),
        (["--image-archive", "x.tar", "--model", "m", "--params", "[5]"], "--params is a JSON object"),
        (["--image-archive", "x.tar", "--model", "m", "--params", '{"a": NaN}'], "no JSON"),
        (["--job", "3f", "--schema", "/nowhere"], "there is no file"),
        (["--job", "3f", "--share", "alice"], "ACCOUNT=WEIGHT"),
        (["--job", "3f", "--row-time", "2m"], "--row-time is a time from 1ms to 60000ms, not 2m"),
        (["--job", "3f", "--start-time", "0s"], "--start-time is a time from 1s to 600s"),
        (["--job", "3f", "--sample-answers", "x"], "give both"),
    ],
)
def test_a_registration_that_makes_no_sense_is_named(api: Fake, run: Any, words: list[str], says: str) -> None:
    ran = run("model", "register", "--name", "x", "--kind", "number", *words)
    assert ran.code == 2 and says in ran.err and api.bodies("POST", "/v1/models") == []


JOB: dict[str, Any] = {
    "id": "3f" * 32,
    "state": "PAID",
    "winner": OTHER,
    "image": {"kind": "archive", "cid": "bimage", "image_id": "1a" * 32, "size": 9, "reference": ""},
    "limits": {"cpus_milli": 1_000, "mem_mb": 128, "tmp_mb": 64, "threads": 1, "train_s": 1, "eval_s": 1},
    "terms": {"params": "{}"},
    "claims": [{"claimant": OWN, "model": None}, {"claimant": OTHER, "model": {"cid": "bmodel", "size": 7}}],
}


@pytest.fixture
def sampled(api: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A sample of two rows, and what a run of it on this machine comes to; `terms` is the model that was tried."""
    (tmp_path / "rows.jsonl").write_text("[1]\n[2]\n")
    api.answers[f"GET /v1/jobs/{JOB['id']}"] = JOB
    answer = ParsedAnswer(classes=(3, 0), scores=(1_500_000_000, -1), check=12_750_000_000)
    run = TriedRun(outcome=AnswerOutcome.OK, reason="", answer=answer, ready_s=1, answer_s=1, log_tail="loading\nno such row\n")
    found: dict[str, Any] = {"trial": Trial(runs=(run, run))}

    async def tried(_node: Any, _common: Any, model: dict[str, Any], _rows: Path) -> Trial:
        found["terms"] = model
        return found["trial"]

    monkeypatch.setattr("learningchain.client.contracts.prediction.cli.samples.trial_of", tried)
    return found


def test_a_sample_gets_its_answers_from_a_run_here(api: Fake, run: Any, tmp_path: Path, sampled: dict[str, Any]) -> None:
    words = ["--job", JOB["id"], "--name", "x", "--kind", "class", "--classes", "10", "--sample", tmp_path / "rows.jsonl"]
    assert run("model", "register", *words).code == 0
    (sent,) = api.bodies("POST", "/v1/models")
    assert sent["sample"] and sent["sample_answers"]
    uploaded = [body for method, path, _, body in api.seen if (method, path) == ("POST", "/v1/files")]
    assert uploaded == [b"[1]\n[2]\n", b"3 1.500000000\n0 -0.000000001\ncheck 12.750000000\n"]
    assert parse_answer(uploaded[1], AnswerForm(rows=2, classes=10)) == sampled["trial"].runs[0].answer
    assert sampled["terms"]["model"] == {"cid": "bmodel", "size": 7} and sampled["terms"]["mem_mb"] == 128


def test_a_model_is_tried_with_what_predict_takes(api: Fake, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes | None] = []
    answer = ParsedAnswer(classes=(), scores=(5,), check=0)
    one = TriedRun(outcome=AnswerOutcome.OK, reason="", answer=answer, ready_s=1, answer_s=1, log_tail="")

    async def tried(_node: Any, _common: Any, _model: Any, rows: bytes | None) -> Trial:
        asked.append(rows)
        return Trial(runs=(one, one))

    async def schema(*_: Any) -> ModelSchema:
        inputs = [{"name": "age", "datatype": "INT64", "shape": []}, {"name": "x", "datatype": "FP64", "shape": []}]
        return parse_schema(json.dumps({"inputs": inputs}).encode())

    monkeypatch.setattr("learningchain.client.contracts.prediction.cli.trying.trial_of", tried)
    for module in ("trying", "typed"):
        monkeypatch.setattr(f"learningchain.client.contracts.prediction.cli.{module}.schema_for", schema)
    (tmp_path / "rows.jsonl").write_text('{"x": 0.5, "age": 40}\n')
    assert run("model", "try", MODEL, "[40, 1]", '{"x": 2, "age": 3}').code == 0
    api.answers[f"GET /v1/models/{MODEL}"] = WHOLE | {"schema": "bschema"}
    assert run("model", "try", MODEL, "[40, 1]", '{"x": 2, "age": 3}').code == 0
    assert run("model", "try", MODEL, tmp_path / "rows.jsonl").code == 0
    assert run("model", "try", MODEL, "--file", tmp_path / "rows.jsonl").code == 0
    assert run("model", "try", MODEL).code == 0
    assert run("model", "try", MODEL, "40", "1").code == 0
    assert asked == [b'[40,1]\n{"x":2,"age":3}\n', b"[40,1]\n[3,2]\n", *[b"[40,0.5]\n"] * 2, None, b"[40,1]\n"]
    ran = run("model", "try", MODEL, '{"age": "old", "x": 1}')
    assert ran.code == 2 and "row 1, age" in ran.err


@pytest.mark.parametrize(
    ("schema", "rows", "says"),
    [
        ("no json", "[1]", "the schema is no JSON"),
        ('{"inputs": [{"name": "x", "datatype": "FP65"}]}', "[1]", "the schema is not valid"),
        (json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "max": 9}]}), "[1]\n[10]", "row 2, x: 10 is not a number"),
        (json.dumps({"inputs": [{"name": "x", "datatype": "FP64"}]}), "[1]\nno json", "row 2: it is no JSON"),
    ],
)
def test_a_schema_is_read_before_anything_is_uploaded_or_run(
    api: Fake, run: Any, tmp_path: Path, sampled: dict[str, Any], schema: str, rows: str, says: str
) -> None:
    (tmp_path / "schema.json").write_text(schema)
    (tmp_path / "rows.jsonl").write_text(f"{rows}\n")
    words = ["--sample", tmp_path / "rows.jsonl", "--schema", tmp_path / "schema.json"]
    ran = run("model", "register", "--job", JOB["id"], "--name", "x", "--kind", "number", *words)
    assert ran.code == 2 and says in " ".join(ran.err.split()) and "othing was registered" in ran.err and api.seen == []


def test_a_sample_that_the_model_cannot_answer_is_told_before_anything_is_locked(
    api: Fake, run: Any, tmp_path: Path, sampled: dict[str, Any]
) -> None:
    sampled["trial"] = Trial(runs=sampled["trial"].runs, why="two runs differ")
    ran = run("model", "register", "--job", JOB["id"], "--name", "x", "--kind", "number", "--sample", tmp_path / "rows.jsonl")
    assert ran.code == 2 and "two runs differ" in ran.err and "no such row" in ran.err and api.bodies("POST", "/v1/models") == []


def test_how_a_model_answered_lately_is_told_where_it_was_asked(api: Fake, run: Any) -> None:
    shown = " ".join(run("model", "show", MODEL).out.split())
    assert "92 % of the last 40, since" in shown and "2 more with fewer than were asked for" in shown
    assert "0.412 s (p50), 1 min 2 s (p95)" in shown
    assert run("model", "show", MODEL, "--json").json["answers"]["agreement"] == 0.925
    listed = run("model", "list").out.split()
    assert "92" in listed and "0.412" in listed
    api.answers[f"GET /v1/models/{MODEL}"] = WHOLE | {"answers": NOT_ASKED}
    api.answers["GET /v1/models"] = [SUMMARY | {"answers": NOT_ASKED}]
    never = run("model", "show", MODEL)
    assert never.code == 0 and "agreed" not in never.out and "p50" not in never.out
    assert run("model", "list").code == 0
    api.answers[f"GET /v1/models/{MODEL}"] = WHOLE | {"answers": NOT_ASKED | {"counted": 3, "agreement": 0.0, "since": 5}}
    assert "0 % of the last 3" in run("model", "show", MODEL).out, "and none of them had values, so that none took long"


def test_a_bare_name_is_never_a_strangers(api: Fake, run: Any) -> None:
    api.answers["GET /v1/models"] = []
    ran = run("model", "show", "digits")
    assert ran.code == 2 and "lc1.../digits" in ran.err


# --- receipts -------------------------------------------------------------------------------------------------------------------


def _receipts(api: Fake, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, Any]]:
    """A private request, its key and a receipt that proves nothing until `checked` has another word for it."""
    view = AGREED | {"private": True, "left": None, "policy": None}
    api.answers[f"GET /v1/predictions/{REQUEST}"] = view
    api.answers[f"GET /v1/predictions/{REQUEST}/key"] = {"key": "ab" * 32}
    api.answers["GET /v1/receipts"] = {"file": b"junk".hex(), "height": 7, "trusted": None}
    checked: list[tuple[bytes, Any]] = []

    def check(raw: bytes, genesis: Any = None, *, trusted: Any = None, keys: Any = ()) -> CheckedReceipt:
        checked.append((raw, list(keys)))
        return CheckedReceipt(None, ["all of it"], {})  # type: ignore[arg-type]

    monkeypatch.setattr(receipts, "check_receipt", check)
    monkeypatch.setattr("learningchain.client.cli.receipts._genesis", lambda *_: None)
    (home / "genesis.json").write_text("{}")
    return checked


def test_nothing_is_written_before_the_receipt_is_proven(
    api: Fake, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "node"
    checked = _receipts(api, home, monkeypatch)
    out, key = tmp_path / "it.lcr", tmp_path / "it.key"
    words = ("prediction", "receipt", REQUEST, "--out", out, "--key-out", key)
    with monkeypatch.context() as lying:
        lying.setattr(receipts, "check_receipt", Mock(side_effect=ValueError("a signature is wrong")))
        ran = run(*words)
        assert ran.code == 1 and "proves nothing: a signature is wrong" in ran.err and not out.exists() and not key.exists()
    out.write_text("another's")
    assert run(*words).code == 2 and not key.exists(), "a file in the way stops both"
    out.unlink()
    key.write_text("another's")
    assert "say --force" in run(*words).err and not out.exists() and key.read_text() == "another's"
    assert run(*words, "--force").code == 0 and key.read_text() == "ab" * 32 + "\n" and out.read_bytes() == b"junk"
    assert key.stat().st_mode & 0o077 == 0 and checked[-1] == (b"junk", [b"\xab" * 32])
    assert "name one file" in run("prediction", "receipt", REQUEST, "--out", out, "--key-out", out, "--force").err
    (home / "genesis.json").unlink()
    key.unlink()
    ran = run(*words, "--force")
    assert ran.code == 1 and "to check the receipt by" in ran.err and not key.exists()


SECRET = "whsec_" + "c3Nz" * 11


def test_the_secret_of_a_callback_is_in_the_document_where_nothing_else_is_said(api: Fake, run: Any) -> None:
    """With --json there are no notes: what is shown once has to stand in the document."""
    api.answers |= {"POST /v1/predictions": POSTED | {"callback_secret": SECRET}, f"GET /v1/predictions/{REQUEST}": AGREED}
    ran = run("predict", MODEL, "[1]", "--callback", "https://example.org/hook", "--json")
    assert ran.json["callback_secret"] == SECRET, ran.err
    assert api.bodies("POST", "/v1/predictions")[0]["callback"] == "https://example.org/hook"
    assert SECRET in run("predict", MODEL, "[1]", "--callback", "https://example.org/hook").err
    assert run("predict", MODEL, "[1]", "--callback-secret", "nothing").code == 2


def test_a_request_says_how_far_its_callback_is(api: Fake, run: Any) -> None:
    event = {
        "event": "agreed",
        "state": "waiting",
        "attempts": 2,
        "due": 1_700_000_030_000,
        "status": 503,
        "note": "no",
        "changed": 1,
    }
    callback = {"ref": REQUEST, "url": "https://example.org/hook", "state": "open", "events": [event]}
    api.answers[f"GET /v1/predictions/{REQUEST}"] = AGREED | {"callback": callback}
    said = " ".join(run("prediction", "show", REQUEST).out.split())
    assert "https://example.org/hook" in said and "agreed waits, 2 attempts" in said


@pytest.mark.parametrize(
    ("view", "code"), [(AGREED, 0), (WEAK, 5), (FAILED, 4), (WAITING, 3), (AGREED | {"state": "FINAL"}, 0), (DRAWN, 3)]
)
def test_every_end_has_its_exit_code(view: Any, code: int) -> None:
    assert shown.exit_code(view) == code


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0, None, "30s"), "--n is an odd number"),
        ((2, None, "30s"), "--n is an odd number"),
        ((17, None, "30s"), "--n is an odd number"),
        ((3, 0, "30s"), "--m is a number from 1 to 3"),
        ((3, 4, "30s"), "--m is a number from 1 to 3"),
        ((3, None, "999ms"), "--within is a time"),
        ((3, None, "3601s"), "--within is a time"),
    ],
)
def test_terms_out_of_their_bounds_are_named(given: tuple[int, int | None, str], said: str) -> None:
    n, m, within = given
    with pytest.raises(WrongUsage, match=said):
        ask._terms(n, m, None, None, within)


def test_rows_are_read_up_to_their_most_bytes_and_each_stands_on_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "MAX_INPUT", 2**20)
    (tmp_path / "rows").write_bytes(b"1" * 2**20)
    assert ask.read_rows((), tmp_path / "rows") == b"1" * 2**20
    (tmp_path / "rows").write_bytes(b"1" * (2**20 + 1))
    with pytest.raises(WrongUsage, match="more than 1 MiB"):
        ask.read_rows((), tmp_path / "rows")
    (tmp_path / "rows").write_bytes(b"")
    with pytest.raises(WrongUsage, match="no rows in it"):
        ask.read_rows((), tmp_path / "rows")
    assert ask.read_rows(('{\n"a": "\u00fc"}', "[1,\n2]"), None) == '{"a":"\u00fc"}\n[1,2]\n'.encode()
    for number, rows in ((1, ("NaN",)), (2, ("1", "x")), (1, ("[" * 100_000,))):
        with pytest.raises(WrongUsage, match=f"Row {number} is no JSON"):
            ask.read_rows(rows, None)


def test_a_request_in_a_list_has_its_models_name(api: Fake, run: Any) -> None:
    asked = {"number": 0, "id": REQUEST, "model": MODEL, "state": "FINAL", "outcome": "AGREED", "rows": 1, "n": 3, "tip": "0.1"}
    asked |= {"cost": "0.2", "locked": "0", "posted": 1, "requester": OWN}
    gone = {"error": {"kind": "not_found", "code": None, "name": "NO_SUCH_MODEL", "message": "There is no such model"}}
    api.answers |= {"GET /v1/predictions": [asked, asked | {"model": "ee" * 32}]}
    api.answers |= {f"GET /v1/models/{MODEL}": WHOLE, f"GET /v1/models/{'ee' * 32}": (404, gone)}
    ran = run("prediction", "list")
    assert ran.code == 0 and f"digits ({MODEL[:12]})" in ran.out and "ee" * 6 in ran.out, ran.err
