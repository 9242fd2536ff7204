"""A node, its jobs and models as objects: numbers are numbers, times are times, blocking and awaited alike, every refusal says what
to do; rows go in as lists, arrays or frames, and values come back so."""

from __future__ import annotations

import json
import pydoc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import learningchain
from learningchain.client.contracts.job import objects as jobs
from learningchain.client.contracts.prediction.objects import Model
from learningchain.client.sdk import types
from tests.unit.client_fake_api import FINISHED, JOB, MODEL, OPEN, OWN, QUOTE, TOKEN, Fake, cid_of, refusal, serving
from tests.unit.test_client_cli_predictions import AGREED, FAILED, POSTED, REQUEST, WHOLE
from tests.unit.test_client_cli_predictions import MODEL as ASKED

PINNED = "registry.example/job@sha256:" + "0" * 64
LINE = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [], "min": -100, "max": 100}], "unit": "m"}
PEOPLE = {
    "inputs": [{"name": "age", "datatype": "INT64", "shape": []}, {"name": "at", "datatype": "FP64", "shape": [2]}],
    "classes": ["no", "yes"],
}
HOLDS_NUMBERS = {"kind": "number", "classes": None, "max_rows": 256}


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with serving() as fake:
        yield fake


@pytest.fixture
def api(server: Fake) -> Iterator[Fake]:
    before = dict(server.answers)
    server.seen.clear()
    yield server
    server.answers = before


@pytest.fixture
def node(api: Fake) -> Iterator[learningchain.Node]:
    with learningchain.connect(url=api.url, token=TOKEN) as made:
        yield made


# --- a node and its jobs ---------------------------------------------------------------------------------------------------------


def test_numbers_are_numbers_and_times_are_times(node: learningchain.Node) -> None:
    assert node.balance() == Decimal("12.5")
    status = node.status()
    assert (status.height, status.id, status.time) == (7, OWN, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))
    job = node.jobs.get("latest")
    assert (job.id, job.state, job.is_over, job.bounty, job.claims, job.loss) == (JOB, "PAID", True, Decimal(100), 1, 0.1)
    assert job.expires == datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC) and job.ended is None
    assert [one.id for one in node.jobs.list(live=True)] == [node.jobs["3fa9c1"].id] == [JOB]
    assert node.calls.status()["height"] == 7, "each call of the API is there, too"


async def test_awaited_it_is_the_same(api: Fake, tmp_path: Path) -> None:
    async with await learningchain.connect_async(url=api.url, token=TOKEN) as node:
        assert await node.balance() == Decimal("12.5")
        job = await node.jobs.post(PINNED, bounty=5, expires=60)
        await job.wait(timeout=5)
        assert (job.state, await job.model()) == ("PAID", MODEL)
        assert [one.id for one in await node.jobs.list()] == [JOB]
        api.answers |= {f"GET /v1/models/{ASKED}": WHOLE | HOLDS_NUMBERS, "POST /v1/predictions": POSTED}
        api.answers[f"GET /v1/predictions/{REQUEST}"] = AGREED
        assert await (await node.model(ASKED)).predict([[1], [2]]) == [2.5, None]


def test_a_job_is_posted_as_people_say_it(node: learningchain.Node, api: Fake) -> None:
    with pytest.warns(UserWarning, match="3 verifiers can judge this job.* 2 of them that conspire"):
        api.answers["POST /v1/jobs/quote"] = QUOTE | {"judges": 3}
        job = node.jobs.post(PINNED, bounty=0.1, expires="1.5h", params={"a": 1}, limits={"cpus": 2}, fee=Decimal("0.01"), tol=1e-7)
    (body,) = api.bodies("POST", "/v1/jobs")
    assert job.id == JOB and body == {
        "image": {"reference": PINNED},
        "bounty": "0.1",
        "expires_in_s": 5_400,
        "params": {"a": 1},
        "limits": {"cpus": 2},
        "fee": "0.01",
        "tol": "0.0000001",
    }
    node.jobs.post(PINNED, bounty="20", expires=timedelta(minutes=1))
    assert api.bodies("POST", "/v1/jobs")[1]["expires_in_s"] == 60


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"bounty": "much"}, "bounty cannot be 'much'"),
        ({"image": "nowhere.tar", "begin_with": JOB}, "no file or folder nowhere.tar"),  # before that model is fetched
        ({"bounty": 0.0000001}, "bounty cannot be 1e-07"),
        ({"bounty": 0}, "nothing at all"),
        ({"expires": "soon"}, "expires cannot be 'soon'"),
        ({"image": "no-such.tar"}, "no file or folder no-such.tar"),
        ({"image": "name@sha256:12"}, "names no image"),
    ],
)
def test_what_cannot_be_posted_is_refused_with_what_to_do(
    node: learningchain.Node, api: Fake, words: dict[str, Any], why: str
) -> None:
    with pytest.raises(learningchain.UsageError, match=why) as refused:
        given: dict[str, Any] = {"image": PINNED, "bounty": 5, "expires": "1h"}
        node.jobs.post(**given | words)
    assert refused.value.remedy.startswith(("Give ", "Name ", "Write "))
    assert not [path for _, path, *_ in api.seen if path.startswith("/v1/jobs")]


def test_what_the_ledger_would_refuse_is_not_sent(node: learningchain.Node, api: Fake, tmp_path: Path) -> None:
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"refusal": {"code": 3, "name": "TOO_POOR", "message": "too few. Earn some"}}
    with pytest.raises(learningchain.RejectedError) as refused:
        node.jobs.post(PINNED, bounty=5, expires="1h")
    assert (refused.value.code, refused.value.name, refused.value.remedy) == (3, "TOO_POOR", "Earn some")
    (tmp_path / "text.tar").write_text("no archive")
    with pytest.raises(learningchain.UsageError, match="No worker would run"):
        node.jobs.post(tmp_path / "text.tar", bounty=5, expires="1h")
    assert api.bodies("POST", "/v1/jobs") == [] and not any(path == "/v1/files" for _, path, *_ in api.seen)


def test_a_job_is_waited_for_until_it_is_over(
    node: learningchain.Node, api: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(jobs, "POLL_S", 0.0)
    api.answers[f"GET /v1/jobs/{JOB}"] = [(200, OPEN), (200, OPEN | {"state": "COMMIT"}), (200, FINISHED)]
    job = node.jobs.get(JOB)
    assert not job.is_over
    with pytest.raises(learningchain.UnavailableError, match="is COMMIT still"):
        job.wait(timeout=0)
    job.wait(progress=True)
    assert (job.state, job.winner is not None) == ("PAID", True)
    assert capsys.readouterr().err == "job 3fa9c1000000: PAID, 1 claim, loss 0.1\n"
    assert job.model() == MODEL == job.save_model(tmp_path).read_bytes()
    api.answers[f"GET /v1/jobs/{JOB}"] = FINISHED | {"state": "EMPTY", "model": None, "winner": None}
    with pytest.raises(learningchain.NotFoundError, match="it ended as EMPTY"):
        job.model()


def test_objects_show_themselves_and_strangers_words_are_no_markup(node: learningchain.Node, api: Fake) -> None:
    job = node.jobs.get(JOB)
    assert repr(job).startswith("<Job id=3fa9c1000000 state=PAID bounty=100 claims=1 loss=0.1 ")
    api.answers[f"GET /v1/jobs/{JOB}"] = FINISHED | {"winner": "<script>"}
    job.refresh()
    assert "<td>&lt;script&gt;</td>" in job._repr_html_() and "<script>" not in job._repr_html_()


# --- models ----------------------------------------------------------------------------------------------------------------------


def model(node: learningchain.Node, api: Fake, schema: dict[str, Any] | None, **more: Any) -> Model:
    raw = json.dumps(schema).encode()
    cid = None if schema is None else cid_of(raw)[0]
    whole = WHOLE | {"max_rows": 256, "schema": cid} | more
    api.answers |= {f"GET /v1/models/{ASKED}": whole, "GET /v1/models": [whole], f"GET /v1/files/{cid}": (200, raw)}
    api.answers["POST /v1/predictions"] = POSTED
    api.answers[f"GET /v1/predictions/{REQUEST}"] = AGREED
    return node.model("digits")


LISTS = [([[2.5], [3]], "[2.5]\n[3]\n"), ((2.5, 3), "[2.5]\n[3]\n"), ([{"x": 1}, [np.float32(2)]], "[1]\n[2]\n")]


@pytest.mark.parametrize(("rows", "sent"), LISTS)
def test_a_list_gives_a_list(node: learningchain.Node, api: Fake, rows: Any, sent: str) -> None:
    line = model(node, api, LINE, kind="number", classes=None)
    assert (line.inputs, line.unit, line.price, line.servers) == (["x"], "m", Decimal("0.001"), 3)
    assert line.predict(rows, n=3, max_charge=1) == [2.5, None]
    (body,) = api.bodies("POST", "/v1/predictions")
    assert (body["input"], body["n"], body["max_charge"]) == (sent, 3, "1")


def test_an_array_gives_an_array_and_a_series_a_series(node: learningchain.Node, api: Fake) -> None:
    line = model(node, api, LINE, kind="number", classes=None)
    for rows in (np.array([[2.5], [3.0]]), np.array([2.5, 3.0])):
        values = line.predict(rows)
        assert isinstance(values, np.ndarray) and values.dtype == np.float64
        np.testing.assert_array_equal(values, [2.5, np.nan])
    series = line.predict(pd.Series([2.5, 3.0], index=["a", "b"]))
    pd.testing.assert_series_equal(series, pd.Series([2.5, np.nan], index=["a", "b"], name="value"))
    assert {body["input"] for body in api.bodies("POST", "/v1/predictions")} == {"[2.5]\n[3]\n"}


def test_a_frame_gives_a_frame_with_its_index_and_other_columns_stay_at_home(node: learningchain.Node, api: Fake) -> None:
    asked = model(node, api, PEOPLE, classes=2)
    api.answers[f"GET /v1/predictions/{REQUEST}"] = AGREED | {"values": [AGREED["values"][0] | {"class": 1}]}
    index = pd.Index([7, 9], name="patient")
    frame = pd.DataFrame({"name": ["eve", "bob"], "at[0]": [0.5, 1.0], "at[1]": [2, 3], "age": [40, 50]}, index=index)
    found = asked.predict(frame)
    expected = pd.DataFrame({"value": ["yes", None], "support": [3, 0]}, index=index)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    asked.predict(pd.DataFrame({"at": [[0.5, 2], np.array([1, 3])], "age": [40, 50]}))
    assert [body["input"] for body in api.bodies("POST", "/v1/predictions")] == ["[40,[0.5,2]]\n[50,[1,3]]\n"] * 2
    assert model(node, api, None).predict(frame)["value"].tolist() == [7, None], "without names a class is its number"
    assert api.bodies("POST", "/v1/predictions")[-1]["input"] == '["eve",0.5,2,40]\n["bob",1.0,3,50]\n'


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([[1], [250]], "row 2, x: 250 is not a number from -100 to 100"),
        (np.array([[np.nan]]), "row 1, x: nan is not"),
        (np.array(2.5), "An array of no dimension"),
        (pd.DataFrame({"y": [1]}), "The frame has no column 'x'"),
        ("2.5", "str is no list of rows"),
        (2.5, "float is no list of rows"),
    ],
)
def test_rows_that_do_not_fit_cost_nothing(node: learningchain.Node, api: Fake, rows: Any, why: str) -> None:
    with pytest.raises(learningchain.UsageError, match=why):
        model(node, api, LINE, kind="number", classes=None).predict(rows)
    assert api.bodies("POST", "/v1/predictions") == []


def test_no_value_at_all_is_an_error_that_names_the_request(node: learningchain.Node, api: Fake) -> None:
    line = model(node, api, LINE, kind="number", classes=None)
    api.answers[f"GET /v1/predictions/{REQUEST}"] = FAILED
    with pytest.raises(learningchain.UnavailableError, match=REQUEST) as refused:
        line.predict([1])
    assert refused.value.name == "NO_AGREEMENT"
    with pytest.raises(learningchain.UsageError, match="registered no model called 'nobody-s'"):
        api.answers["GET /v1/models"] = []
        node.model("nobody-s")


# --- the whole -------------------------------------------------------------------------------------------------------------------


def test_connecting_says_what_is_wrong(api: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEARNINGCHAIN_API", "LEARNINGCHAIN_DATA", "LEARNINGCHAIN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(learningchain.UsageError, match="no data folder"):
        learningchain.connect(tmp_path / "none")
    with pytest.raises(learningchain.UsageError, match="two nodes"):
        learningchain.connect(tmp_path, url=api.url)
    with pytest.raises(learningchain.UnauthorizedError) as refused:
        learningchain.connect(url=api.url, token="wrong")
    assert "api.token" in refused.value.remedy
    monkeypatch.setenv("LEARNINGCHAIN_API", api.url)
    monkeypatch.setenv("LEARNINGCHAIN_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text(TOKEN)
    with learningchain.connect() as node:
        assert node.status().height == 7
    api.answers["GET /v1/status"] = refusal("unavailable", 503)
    with pytest.raises(learningchain.UnavailableError):
        learningchain.connect()


def test_errors_are_named_as_errors_and_each_says_what_to_do() -> None:
    for kind in types.KINDS.values():
        assert kind.__name__.endswith("Error") and getattr(learningchain, kind.__name__) is kind
        assert kind("There is none").remedy == kind.helps != types.ApiError.helps
        assert kind("There is none. Make one").remedy == "Make one"


def test_help_fits_a_screen() -> None:
    """Of each call that people type, blocking or awaited."""
    asked: list[Any] = [learningchain.connect, learningchain.connect_async]
    for kind in (learningchain.Node, learningchain.Job, Model, jobs.Jobs, jobs.AsyncJobs):
        asked += [value for name in dir(kind) if not name.startswith("_") and callable(value := getattr(kind, name))]
    assert len(asked) > 15
    for one in asked:
        text = pydoc.plain(pydoc.render_doc(one))
        assert one.__doc__ and len(text.splitlines()) <= 24, text
