"""The job commands: what a contractor types becomes a posting, a job is followed to its end, a model is checked."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learningchain.chain.contracts.job.records import JobState
from learningchain.client.cli.common import Common
from learningchain.client.contracts.job.cli import check, jobs, watch
from learningchain.client.contracts.job.http.quotes import conspirators
from learningchain.client.keys import hidden
from tests.unit.client_fake_api import FINISHED, JOB, MODEL, OPEN, OWN, QUOTE, RUN, TOKEN, Fake, cid_of, refusal

pytest_plugins = ["tests.unit.client_cli_kit"]


def archive(path: Path, **more: Any) -> str:
    """A docker-archive of one empty layer; its image id."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w"):
        pass
    raw = layer.getvalue()
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": more,
        "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(raw).hexdigest()]},
    }
    document = json.dumps(config).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l/layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in (("c.json", document), ("l/layer.tar", raw), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return "sha256:" + hashlib.sha256(document).hexdigest()


def test_submit_an_archive(api: Fake, run: Any, tmp_path: Path) -> None:
    tar = tmp_path / "job.tar"
    image_id = archive(tar)
    (tmp_path / "p.json").write_text('{"epochs": 5}')
    terms = ["--params", f"@{tmp_path / 'p.json'}", "--fee", "0.1", "--finalists", "2", "--tol", "0.001", "--floor", "-1.5"]
    limits = ["--cpus", "0.5", "--mem-mb", "256", "--train-time", "30s", "--eval-time", "1m", "--model-mb", "2", "--threads", "1"]
    more = ["--float-kind", "f64", "--on-cheat", "next-best", "--tmp-mb", "8"]
    ran = run("job", "submit", "--image-archive", tar, "--bounty", "100", "--expires", "10m", *terms, *limits, *more, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["job"] == JOB
    assert json.loads((tmp_path / "node" / "names.json").read_text())["ids"] == {JOB: "job"}, "called as its archive is"
    cid = cid_of(tar.read_bytes())[0]
    assert api.bodies("POST", "/v1/jobs") == [
        {
            "image": {"cid": cid, "image_id": image_id, "size": tar.stat().st_size},
            "arch": "amd64",
            "bounty": "100",
            "expires_in_s": 600.0,
            "fee": "0.1",
            "finalists": 2,
            "tol": "0.001",
            "floor": "-1.5",
            "float_kind": "f64",
            "on_cheat": "next-best",
            "params": {"epochs": 5},
            "limits": {
                "cpus": 0.5,
                "mem_mb": 256,
                "tmp_mb": 8,
                "threads": 1,
                "train_s": 30,
                "eval_s": 60,
                "model_cap": 2 * 2**20,
            },
        }
    ]


def test_the_ledgers_refusal_of_a_job_counts(api: Fake, run: Any) -> None:
    api.answers["POST /v1/jobs"] = refusal("rejected", 409, 301, "BAD_EXPIRY")
    ran = run("job", "submit", "--image", "x@sha256:" + "a" * 64, "--bounty", "5", "--expires", "1s", "--json")
    assert ran.code == 1 and ran.error["code"] == 301


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "one image"),
        (["--image", "x:latest"], "not pinned"),
        (["--image", "X/@sha256:" + "a" * 64], "names no image"),
        (["--image-archive", "/nonexistent.tar"], "is not there"),
        (["--image", "x@sha256:" + "a" * 64, "--image-archive", "y.tar"], "one image"),
        (["--expires", "0s"], "not in the future"),
        (["--expires", "10 weeks"], "length of time"),
        (["--bounty", "0"], "--bounty"),
        (["--bounty", "much"], "--bounty"),
        (["--params", "{"], "no JSON"),
        (["--params", "[1]"], "JSON object"),
        (["--params", '{"a": NaN}'], "no JSON"),
        (["--params", '{"a": "' + "x" * 9000 + '"}'], "8192"),
        (["--params", "@/nonexistent"], "there is no file /nonexistent"),
        (["--params", "@/"], "the file / cannot be read: Is a directory"),
        (["--params", '{"a": 1,}'], "no JSON (line 1, column "),
        (["--finalists", "9"], "2 to 8"),
        (["--finalists", "1"], "2 to 8"),
        (["--hidden", "/nonexistent", "--image", "x@sha256:" + "a" * 64], "no file"),
        (["--hidden", "/dev/null", "--image", "x@sha256:" + "a" * 64], "is no file"),
        (["--arch", "arm64", "--image-archive", "y.tar"], "are for an image in a registry"),
        (["--image-mb", "9", "--image-archive", "y.tar"], "are for an image in a registry"),
        (["--image-mb", "0", "--image", "x@sha256:" + "a" * 64], "--image-mb is 1 or more"),
        (["--tol", "-1"], "not negative"),
        (["--tol", "small"], "--tol"),
        (["--floor", "1e-3"], "--floor"),
        (["--fee", "0.00000001"], "--fee"),
        (["--cpus", "0"], "--cpus"),
        (["--mem-mb", "1"], "--mem-mb"),
        (["--threads", "100000"], "--threads"),
        (["--train-time", "2h"], "longer than the job is open"),
        (["--eval-time", "3d"], "--eval-time"),
        (["--model-mb", "999999"], "--model-mb"),
        (["--on-cheat", "shrug"], "on-cheat"),
    ],
)
def test_obvious_mistakes_in_a_job_cost_nothing(api: Fake, run: Any, more: list[str], said: str) -> None:
    given = {"--bounty": "5", "--expires": "10m"} | dict(zip(more[::2], more[1::2], strict=True))
    ran = run("job", "submit", *(word for pair in given.items() for word in pair))
    assert ran.code == 2 and said in ran.err
    assert not any(method == "POST" for method, *_ in api.seen)


IMAGE = ("--image", "x@sha256:" + "a" * 64, "--bounty", "100", "--expires", "10m")


def test_a_dry_run_says_what_it_costs_and_sends_nothing(api: Fake, run: Any, tmp_path: Path) -> None:
    tar = tmp_path / "job.tar"
    archive(tar)
    ran = run("job", "submit", "--image-archive", tar, "--bounty", "100", "--expires", "10m", "--dry-run")
    assert ran.code == 0 and "Nothing was sent" in ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "bounty 100 the winner gets it; otherwise it comes back" in lines
    assert "fees 28.4 0.1 a vote x 71 votes x 4 finalists; what is not paid comes back" in lines
    assert "bond 40 of it burns what verdicts burn of workers' stakes; the rest comes back" in lines
    assert "locked 168.4 of 200 that are free" in lines and "a winner is paid 100.7 168.4" in lines
    assert "can judge 9 of 12 verifiers declared machines that cover these limits" in lines
    assert any(line.startswith("comparable jobs 3 paid 20 to 120, half of them at most 80; 2 of 5 paid nobody") for line in lines)
    assert "deposit" not in ran.out, "there is no hidden data"
    assert {path for method, path, *_ in api.seen if method == "POST"} == {"/v1/jobs/quote"}
    assert run("job", "submit", *IMAGE, "--image-mb", "300", "--dry-run", "--json").json == QUOTE
    assert api.bodies("POST", "/v1/jobs/quote")[-1]["image"]["size"] == 300 << 20


def test_a_dry_run_of_what_would_be_refused_says_why(api: Fake, run: Any) -> None:
    refused = {"code": 332, "name": "LOW_FEE", "message": "the fee is too low"}
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"refusal": refused, "deposit": "100"}
    ran = run("job", "submit", *IMAGE, "--dry-run")
    assert ran.code == 1 and "It would be refused now: the fee is too low (LOW_FEE 332)" in ran.out and "deposit" in ran.out
    assert "Without --dry-run it is refused." in ran.err and "is posted" not in ran.err
    ran = run("job", "submit", *IMAGE, "--json")
    assert (ran.code, ran.error["code"], ran.error["name"]) == (1, 332, "LOW_FEE")
    assert api.bodies("POST", "/v1/jobs") == []


@pytest.mark.parametrize(("trainers", "said"), [(0, "no nodes take on"), (1, "1 node takes on"), (4, "4 nodes take on")])
def test_a_dry_run_says_how_many_nodes_train_for_so_long(api: Fake, run: Any, trainers: int, said: str) -> None:
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"trainers": trainers, "train_s": 172_800}
    told = " ".join(run("job", "submit", *IMAGE, "--dry-run").out.split())
    assert f"{said} a training of 2 d" in told and ("work.max_run_s" in told) == (trainers == 0)


def test_a_check_of_an_image_asks_the_node_that_is_there_who_trains_for_so_long(api: Fake, tmp_path: Path) -> None:
    image = SimpleNamespace(config=SimpleNamespace(architecture="amd64"))
    checked: Any = SimpleNamespace(image=image, limits=SimpleNamespace(train_s=172_800))
    api.answers["GET /v1/trainers"] = {"trainers": 4}
    node = tmp_path / "node"
    assert check._trainers(Common(data=node, api=api.url), checked) == 4
    assert check._trainers(Common(data=node, api="http://127.0.0.1:9"), checked) is None


@pytest.mark.parametrize(
    ("judges", "verifiers", "risk"),
    [
        (6, 12, "Only 6 of 12 verifiers can judge this job; a whole committee has 7. 3 of them that conspire"),
        (3, 3, "Only 3 verifiers beside you can judge this job; a whole committee has 7. 2 of them that conspire"),
        (1, 1, "Only 1 verifier beside you can judge this job; a whole committee has 7. 1 of them that conspire"),
    ],
)
def test_below_seven_judges_it_says_how_many_would_have_to_conspire_and_asks(
    api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch, judges: int, verifiers: int, risk: str
) -> None:
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"judges": judges, "verifiers": verifiers, "conspirators": conspirators(judges)}
    ran = run("job", "submit", *IMAGE)
    assert ran.code == 2 and f"Nothing was sent. {risk}" in ran.err and "agree with --yes" in ran.err
    dry = run("job", "submit", *IMAGE, "--dry-run")
    assert dry.code == 0 and risk in dry.err and "you are asked whether to post it so" in dry.err
    agreed = run("job", "submit", *IMAGE, "--dry-run", "--yes")
    assert agreed.code == 0 and "Without --dry-run the job is posted." in agreed.err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    for answer, code in (("no", 2), ("yes", 0)):
        monkeypatch.setattr("builtins.input", {"Post it so? Type yes: ": answer}.__getitem__)
        ran = run("job", "submit", *IMAGE)
        assert ran.code == code and risk in ran.err
    assert len(api.bodies("POST", "/v1/jobs")) == 1
    assert run("job", "submit", *IMAGE, "--yes").code == 0
    assert len(api.bodies("POST", "/v1/jobs")) == 2


def opened(path: Path, key: bytes, posted: dict[str, Any], into: Path) -> bytes:
    """What everybody gets of a sealed file once the key is revealed."""
    hidden.decrypt(path, into, key, bytes.fromhex(posted["plain_hash"]))
    return into.read_bytes()


def test_hidden_data_is_sealed_and_its_key_left_with_the_node_before_the_job_is_posted(api: Fake, run: Any, tmp_path: Path) -> None:
    plain = tmp_path / "hidden.csv"
    plain.write_bytes(b"1,2\n3,4\n")
    assert run("job", "submit", *IMAGE, "--hidden", plain).code == 0
    order = [path for method, path, *_ in api.seen if method == "POST"]
    assert order == ["/v1/jobs/quote", "/v1/hidden-keys", "/v1/files", "/v1/jobs"], "no job whose key is nowhere"
    key = bytes.fromhex(api.bodies("POST", "/v1/hidden-keys")[0]["key"])
    posted = api.bodies("POST", "/v1/jobs")[0]["hidden"]
    sealed = next(body for method, path, _, body in api.seen if path == "/v1/files")
    assert posted["key_hash"] == hashlib.sha256(key).hexdigest() and posted["size"] == len(sealed)
    assert posted["cid"] == cid_of(sealed)[0] and b"1,2" not in sealed
    (tmp_path / "sealed").write_bytes(sealed)
    assert opened(tmp_path / "sealed", key, posted, tmp_path / "opened") == plain.read_bytes()


def test_a_dry_run_with_hidden_data_leaves_no_key(api: Fake, run: Any, tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(b"x")
    assert run("job", "submit", *IMAGE, "--hidden", tmp_path / "h", "--dry-run").code == 0
    assert [path for method, path, *_ in api.seen if method == "POST"] == ["/v1/jobs/quote"]


CID = "bafkrei" + "a" * 52
GPU = {"kind": "cuda", "count": 1, "mem_mb": 0}
SET = {"name": "digits", "cid": CID, "size": 9, "files": 2, "use": "both"}


@pytest.mark.parametrize(("typed", "use"), [("", "both"), (":train", "train"), (":evaluate", "evaluate")])
def test_a_set_is_posted_as_its_manifest_has_it(api: Fake, run: Any, typed: str, use: str) -> None:
    api.answers[f"GET /v1/sets/{CID}"] = {"cid": CID, "size": 9, "files": 2, "here": 0}
    assert run("job", "submit", *IMAGE, "--set", f"digits={CID}{typed}").code == 0
    assert api.bodies("POST", "/v1/jobs")[0]["data"] == [SET | {"use": use}]


@pytest.mark.parametrize("typed", ["digits", f"={CID}", f"Digits={CID}", "digits=", f"digits={CID}:predict"])
def test_a_set_without_a_name_or_a_use_is_refused_before_anything_is_asked(api: Fake, run: Any, typed: str) -> None:
    ran = run("job", "submit", *IMAGE, "--set", typed)
    assert ran.code == 2 and "NAME=CID" in ran.err and not api.seen


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ((), None),
        (("--gpus", "2"), {"kind": "cuda", "count": 2, "mem_mb": 0}),
        (("--gpus", "1", "--gpu-mem-mb", "8000", "--gpu-kind", "rocm"), {"kind": "rocm", "count": 1, "mem_mb": 8_000}),
    ],
)
def test_gpus_are_asked_for_and_told(api: Fake, run: Any, typed: tuple[str, ...], asked: Any) -> None:
    ran = run("job", "submit", *IMAGE, *typed)
    assert ran.code == 0 and api.bodies("POST", "/v1/jobs")[0].get("devices") == asked
    assert ("leave the job alone; evaluations need none" in ran.err) == (asked is not None)


def test_a_paid_job_s_model_is_fetched_served_and_posted_with_its_loss(api: Fake, run: Any) -> None:
    ran = run("job", "submit", *IMAGE, "--from", "3fa9c1")
    assert ran.code == 0, ran.err
    earlier = {"job": JOB, "cid": cid_of(MODEL)[0], "size": len(MODEL), "loss": FINISHED["claims"][0]["loss"]}
    assert api.bodies("POST", "/v1/jobs")[0]["earlier"] == earlier
    assert [path for method, path, *_ in api.seen if method == "POST"] == ["/v1/jobs/quote", "/v1/files", "/v1/jobs"]


@pytest.mark.parametrize("state", ["REFUNDED", "OPEN"])
def test_a_job_without_a_model_is_no_beginning_and_nothing_is_sent(api: Fake, run: Any, state: str) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = FINISHED | {"state": state, "model": None, "winner": None}
    ran = run("job", "submit", *IMAGE, "--from", JOB)
    assert ran.code != 0 and "has no winner's model" in ran.err
    assert not [path for method, path, *_ in api.seen if method == "POST"]


@pytest.mark.parametrize("typed", [("--gpus", "0"), ("--gpus", "9"), ("--gpu-mem-mb", "8"), ("--gpus", "1", "--gpu-mem-mb", "-1")])
def test_gpus_that_no_worker_can_give_are_refused_before_anything_is_asked(api: Fake, run: Any, typed: tuple[str, ...]) -> None:
    ran = run("job", "submit", *IMAGE, *typed)
    assert ran.code == 2 and "--gpus" in ran.err and not api.seen


ENDED = FINISHED | {
    "state": "REFUNDED",
    "winner": None,
    "key": "",
    "limits": {"cpus_milli": 500, "mem_mb": 512, "train_s": 30, "eval_s": 10, "model_cap": 100, "tmp_mb": 8, "threads": 1},
    "terms": FINISHED["terms"]
    | {"arch": "arm64", "params": '{"a":1}', "hidden": None, "data": [SET | {"here": 0}], "devices": GPU},
}


def test_a_refunded_job_is_posted_again_with_what_changed(api: Fake, run: Any) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = ENDED
    assert run("job", "repost", JOB, "--expires", "10m", "--bounty", "200", "--finalists", "5").code == 0
    body = api.bodies("POST", "/v1/jobs")[0]
    image = FINISHED["image"]
    assert body["image"] == {"cid": image["cid"], "image_id": image["image_id"], "size": image["size"]}
    assert (body["bounty"], body["finalists"], body["expires_in_s"], body["fee"]) == ("200", 5, 600.0, FINISHED["fee"])
    assert (body["data"], body["devices"]) == ([SET], GPU)
    assert (body["params"], body["arch"], body["limits"]["cpus"], body["limits"]["eval_s"]) == ({"a": 1}, "arm64", 0.5, 10)
    assert run("job", "repost", JOB, "--expires", "10m", "--dry-run").code == 0 and len(api.bodies("POST", "/v1/jobs")) == 1


def test_an_archive_that_no_worker_would_run_is_refused_before_the_upload(api: Fake, run: Any, tmp_path: Path) -> None:
    tar = tmp_path / "job.tar"
    archive(tar, Env=["A"])
    ran = run("job", "submit", "--image-archive", tar, "--bounty", "5", "--expires", "10m")
    assert ran.code == 2 and "environment is damaged. learningchain job build" in ran.err
    tar.write_bytes(b"no tar")
    assert run("job", "submit", "--image-archive", tar, "--bounty", "5", "--expires", "10m").code == 2
    assert not any(method == "POST" for method, *_ in api.seen)


def test_fetch(api: Fake, run: Any, tmp_path: Path) -> None:
    out = tmp_path / "model.bin"
    ran = run("job", "fetch", "3fa9c1", "--out", out, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert out.read_bytes() == MODEL
    assert ran.json == {"path": str(out), "cid": cid_of(MODEL)[0], "size": len(MODEL), "sha256": hashlib.sha256(MODEL).hexdigest()}
    assert run("job", "fetch", JOB, "--out", out).code == 2
    ran = run("job", "fetch", JOB, "--out", out, "--force")
    assert ran.code == 0 and hashlib.sha256(MODEL).hexdigest() in ran.out


MLFLOW: dict[str, Any] = {
    "GET /api/2.0/mlflow/experiments/get-by-name": (404, b"{}"),
    "POST /api/2.0/mlflow/experiments/create": {"experiment_id": "7"},
    "POST /api/2.0/mlflow/runs/create": {"run": {"info": {"run_id": "a1", "artifact_uri": "mlflow-artifacts:/7/a1/artifacts"}}},
    "POST /api/2.0/mlflow/runs/log-batch": {},
    "POST /api/2.0/mlflow/runs/update": {},
    "PUT /api/2.0/mlflow-artifacts/artifacts/7/a1/artifacts/model/m": {},
}


def test_a_fetched_job_is_logged_at_an_mlflow_server(api: Fake, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it asks for what it takes; clients/test_mlflow.py has a real one."""
    api.answers |= MLFLOW
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    base = "/api/2.0/mlflow/"
    ran = run("job", "fetch", JOB, "--out", tmp_path / "m", "--mlflow", api.url, "--json")
    assert (ran.code, ran.json["mlflow_run"]) == (0, "a1"), ran.err
    params, points = api.bodies("POST", f"{base}runs/log-batch")
    assert {"key": "bounty", "value": "100"} in params["params"]
    curve = [(one["step"], one["value"]) for one in points["metrics"] if one["key"] == "run_r-17_loss"]
    assert curve == [(1, 0.5), (2, 0.2)]
    assert {"claimed_loss", "best_loss"} <= {one["key"] for one in points["metrics"]}
    assert [body for method, path, _, body in api.seen if method == "PUT" and path.endswith("/7/a1/artifacts/model/m")] == [MODEL]
    assert api.bodies("POST", f"{base}runs/update")[-1]["status"] == "FINISHED"


def test_fetch_of_other_bytes_is_no_success(api: Fake, run: Any, tmp_path: Path) -> None:
    api.answers[f"GET /v1/jobs/{JOB}/model"] = (200, MODEL[:-1] + b"?")
    ran = run("job", "fetch", JOB, "--out", tmp_path / "m", "--json")
    assert ran.code == 3 and ran.error["kind"] == "bad_content"
    assert not (tmp_path / "m").exists()


def test_watch_keeps_curves_and_claims_as_csv(api: Fake, run: Any, tmp_path: Path) -> None:
    steps = [{"step": 1, "of": 9, "loss": 0.5}, {"step": 2, "of": 9, "loss": 0.25}]
    told = {"id": "r-17/../x", "job": JOB, "phase": "train", "state": "done", "progress": steps}
    api.answers["GET /v1/runs"] = [told]
    assert run("job", "watch", JOB, "--export", tmp_path / "out").code == 0
    written = {path.name: path.read_text().splitlines() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert written["run-r-17x.csv"] == ["step,of,loss", "1,9,0.5", "2,9,0.25"], "a name of others leads nowhere else"
    (claim,) = written["claims.csv"][1:]
    assert claim.split(",")[1:3] == [FINISHED["claims"][0]["claimant"], FINISHED["claims"][0]["loss"]]
    assert written["events.csv"][0] == "time_ms,block,event,data" and set(written) == {"run-r-17x.csv", "claims.csv", "events.csv"}


def test_watch_follows_to_the_end(api: Fake, run: Any) -> None:
    later = OPEN | {"claims": [*OPEN["claims"], OPEN["claims"][0] | {"claimant": OWN, "loss": "0.050000000"}]}
    api.answers["GET /v1/events"] = (200, f'event: note\ndata: {{"topic":"claim","ref":"{JOB}"}}\n\n'.encode())
    steps = [(200, OPEN), (200, later), (200, FINISHED)]
    api.answers[f"GET /v1/jobs/{JOB}"] = list(steps)
    watch.POLL_S, before = 0.05, watch.POLL_S
    try:
        ran = run("job", "watch", JOB, "--json")
        assert ran.code == 0
        lines = [json.loads(line) for line in ran.out.splitlines()]
        assert [line["job"]["state"] for line in lines] == ["OPEN", "OPEN", "PAID"]
        assert lines[0]["runs"][0]["id"] == "r-17"
        assert [one["left_s"] for one in lines[0]["coming"]] == [21]
        assert [[event["cursor"] for event in line["events"]] for line in lines] == [list(range(8)), [], []]
    finally:
        watch.POLL_S = before


def test_a_job_is_found_by_its_first_characters(api: Fake, run: Any) -> None:
    """The node looks through all of its jobs: nothing is listed for it."""
    assert run("job", "show", JOB[:8], "--json").json["id"] == JOB
    asked = [query for method, path, query, _ in api.seen if (method, path) == ("GET", "/v1/jobs")]
    assert asked == [{"id": JOB[:8], "limit": "2"}]
    api.answers["GET /v1/jobs"] = [FINISHED, FINISHED | {"id": JOB[:-1] + "1"}]
    ran = run("job", "show", JOB[:8])
    assert ran.code == 2 and f"More than one job begins with {JOB[:8]}" in ran.err


def test_every_state_of_a_job_is_explained() -> None:
    assert set(jobs.MEANING) == {state.name for state in JobState}


def test_a_job_without_winner_says_how_it_ended(api: Fake, run: Any, tmp_path: Path) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = api.answers[f"GET /v1/jobs/{JOB}"] | {"state": "EMPTY", "winner": None, "model": None}
    ran = run("job", "fetch", JOB, "--out", tmp_path / "m")
    assert ran.code == 2 and "ended as EMPTY" in ran.err and "watch" not in ran.err
    assert "no worker could get or run the image" in run("job", "show", JOB).out


def test_a_run_is_cancelled_by_the_beginning_of_its_id(api: Fake, run: Any) -> None:
    assert "r-17" in run("job", "cancel-run", "r-").out
    assert any((method, path) == ("DELETE", "/v1/runs/r-17") for method, path, *_ in api.seen)
    api.answers["GET /v1/runs"] = [RUN, RUN | {"id": "r-18"}]
    assert run("job", "cancel-run", "r-").code == 2, "two runs begin so: nothing is killed"


def test_the_latest_job(api: Fake, run: Any) -> None:
    assert run("job", "show", "latest", "--json").json["id"] == JOB
    api.answers["GET /v1/jobs"] = []
    ran = run("job", "show", "latest")
    assert ran.code == 2 and "no job yet" in ran.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "OPEN"}, "has not ended"),
        ({"state": "PAID"}, "was paid"),
        ({"key": "aa" * 32, "terms": ENDED["terms"] | {"hidden": {"cid": "b"}}}, "was revealed"),
    ],
)
def test_what_cannot_be_posted_again(api: Fake, run: Any, change: dict[str, Any], said: str) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = ENDED | change
    ran = run("job", "repost", JOB, "--expires", "10m")
    assert ran.code == 2 and said in ran.err and api.bodies("POST", "/v1/jobs") == []
