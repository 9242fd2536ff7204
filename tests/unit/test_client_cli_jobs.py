"""The job commands: what a contractor types becomes a posting, a job is followed to its end, a model is checked."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from client.cli import common
from client.contracts.job.cli import watch
from tests.unit.client_fake_api import FINISHED, HAPPENED, JOB, MODEL, OPEN, OTHER, OWN, STATUS, Fake, cid_of, refusal

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
    cid = cid_of(tar.read_bytes())[0]
    assert api.bodies("POST", "/v1/jobs") == [
        {
            "image": {"cid": cid, "image_id": image_id, "size": tar.stat().st_size},
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


def test_submit_from_a_registry(api: Fake, run: Any) -> None:
    reference = "registry.example.org/team/job@sha256:" + "a" * 64
    ran = run("job", "submit", "--image", reference, "--bounty", "5", "--expires", "60")
    assert ran.code == 0 and JOB in ran.out and "job watch" in ran.err
    assert api.bodies("POST", "/v1/jobs") == [{"image": {"reference": reference}, "bounty": "5", "expires_in_s": 60.0}]


def test_the_ledgers_refusal_of_a_job_counts(api: Fake, run: Any) -> None:
    api.answers["POST /v1/jobs"] = refusal("rejected", 422, 301, "BAD_EXPIRY")
    ran = run("job", "submit", "--image", "x@sha256:" + "a" * 64, "--bounty", "5", "--expires", "1s", "--json")
    assert ran.code == 1 and ran.error["code"] == 301


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "one image"),
        (["--image", "x:latest"], "not pinned"),
        (["--image", "X/@sha256:" + "a" * 64], "names no image"),
        (["--image-archive", "/nonexistent.tar"], "no image archive"),
        (["--image", "x@sha256:" + "a" * 64, "--image-archive", "y.tar"], "one image"),
        (["--expires", "0s"], "not in the future"),
        (["--expires", "10 weeks"], "length of time"),
        (["--bounty", "0"], "--bounty"),
        (["--bounty", "much"], "--bounty"),
        (["--params", "{"], "no JSON"),
        (["--params", "[1]"], "JSON object"),
        (["--params", '{"a": NaN}'], "no JSON"),
        (["--params", '{"a": "' + "x" * 9000 + '"}'], "8192"),
        (["--params", "@/nonexistent"], "cannot be read"),
        (["--finalists", "9"], "1 to 8"),
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


def test_an_archive_that_no_worker_would_run_is_refused_before_the_upload(api: Fake, run: Any, tmp_path: Path) -> None:
    tar = tmp_path / "job.tar"
    archive(tar, Volumes={"/data": {}})
    ran = run("job", "submit", "--image-archive", tar, "--bounty", "5", "--expires", "10m")
    assert ran.code == 2 and "VOLUME" in ran.err
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


def test_fetch_of_other_bytes_is_no_success(api: Fake, run: Any, tmp_path: Path) -> None:
    api.answers[f"GET /v1/jobs/{JOB}/model"] = (200, MODEL[:-1] + b"?")
    ran = run("job", "fetch", JOB, "--out", tmp_path / "m", "--json")
    assert ran.code == 3 and ran.error["kind"] == "bad_content"
    assert not (tmp_path / "m").exists()


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
        assert [[event["cursor"] for event in line["events"]] for line in lines] == [list(range(8)), [], []]
    finally:
        watch.POLL_S = before


def test_watch_tells_each_thing_once_with_the_time_of_its_block(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past things at once, then what comes: nothing bears the time at which it was looked at."""
    monkeypatch.setattr(watch, "POLL_S", 0.05)
    api.answers[f"GET /v1/jobs/{JOB}"] = [(200, OPEN), (200, FINISHED)]
    api.answers[f"GET /v1/jobs/{JOB}/events"] = [(200, HAPPENED[1::-1]), (200, HAPPENED[::-1])]
    ran = run("job", "watch", JOB)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()[: len(HAPPENED)]
    assert [line[:19] for line in lines] == [common.when(event["time"]) for event in HAPPENED]
    told = [line[21:] for line in lines]
    assert told[1] == f"{OTHER} claims loss 0.100000000"
    assert told[5] == f"{OWN} votes OK on {OTHER}, measured 0.100000000"
    assert told[7] == f"job {JOB} is PAID: 100 to {OTHER}"
    assert ran.out.splitlines()[len(HAPPENED)].startswith(f"Job {JOB}")


def test_a_job_that_ended_long_ago_is_told_from_all_pages(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PAGE", 3)
    pages = [HAPPENED[7:4:-1], HAPPENED[4:1:-1], HAPPENED[1::-1]]
    api.answers[f"GET /v1/jobs/{JOB}/events"] = [(200, page) for page in pages]
    out = run("job", "watch", JOB).out
    assert [line[:19] for line in out.splitlines()[:8]] == [common.when(event["time"]) for event in HAPPENED]
    asked = [query.get("before") for _, path, query, _ in api.seen if path.endswith("/events") and "limit" in query]
    assert asked == [None, "5", "2"]


def test_a_node_whose_history_begins_later_says_so(api: Fake, run: Any) -> None:
    api.answers[f"GET /v1/jobs/{JOB}/events"] = HAPPENED[:4:-1]
    ran = run("job", "watch", JOB)
    assert ran.code == 0 and "before block 7 is not in this node's history" in ran.err
    del api.answers[f"GET /v1/jobs/{JOB}/events"]  # an older node
    ran = run("job", "watch", JOB)
    assert ran.code == 0 and "is not in this node's history" in ran.err and "PAID" in ran.out


def test_every_event_of_a_job_can_be_told() -> None:
    """One that this program does not know is told by its own words."""
    event = HAPPENED[0] | {"topic": "second.life", "data": {"claimant": OTHER}}
    assert watch.told(event, OPEN) == f"second life: claimant={OTHER}"  # type: ignore[arg-type]
    assert watch.told(event | {"data": {}}, OPEN) == "second life"  # type: ignore[arg-type]
    assert watch.told(HAPPENED[1] | {"data": {}}, OPEN) == "claim"  # type: ignore[arg-type]


def test_the_live_display_counts_down_and_draws_curves(api: Fake) -> None:
    console = common.Console(file=io.StringIO(), width=160, force_terminal=False)
    shown = watch.Shown(OPEN, [api.answers["GET /v1/runs"][0]], OPEN["deadline"] - 30_000)  # type: ignore[arg-type]
    for part in watch.display(shown, OWN):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "claims end in" in text and ("30 s" in text or "29 s" in text)
    assert "█▁" in text and "2/3" in text and "0.100000000" in text


def test_a_parked_job_is_told_as_such(api: Fake, run: Any) -> None:
    """Its state does not go on: who waits for it has to know."""
    parked = {"contract": "job", "ref": JOB, "height": 5, "fault": "failed", "retry": [], "give_back": []}
    text = "parked: a program failed here in block 5"
    assert text not in run("job", "show", JOB).out
    api.answers["GET /v1/status"] = STATUS | {"parked": [parked | {"ref": "ab" * 32}]}
    assert text not in run("job", "show", JOB).out
    api.answers["GET /v1/status"] = STATUS | {"parked": [parked]}
    assert text in run("job", "show", JOB).out
    shown = watch.Shown(OPEN, [], OPEN["deadline"] + 1, parked)  # type: ignore[arg-type]
    console = common.Console(file=io.StringIO(), width=160, force_terminal=False)
    for part in watch.display(shown, OWN):
        console.print(part)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert text in told and "any moment" not in told


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([1, None, "x", float("nan")], "▁"), ([3, 2, 1], "█▅▁"), ([5, 5], "▁▁")])
def test_loss_curves(values: list[Any], bars: str) -> None:
    assert watch.sparkline(values) == bars


def test_a_job_is_found_by_its_first_characters(api: Fake, run: Any) -> None:
    """The node looks through all of its jobs: nothing is listed for it."""
    assert run("job", "show", JOB[:8], "--json").json["id"] == JOB
    asked = [query for method, path, query, _ in api.seen if (method, path) == ("GET", "/v1/jobs")]
    assert asked == [{"id": JOB[:8], "limit": "2"}]
    api.answers["GET /v1/jobs"] = [FINISHED, FINISHED | {"id": JOB[:-1] + "1"}]
    ran = run("job", "show", JOB[:8])
    assert ran.code == 2 and f"More than one job begins with {JOB[:8]}" in ran.err


def test_more_than_a_thousand_jobs_are_listed_page_by_page(api: Fake, run: Any) -> None:
    jobs = [FINISHED | {"id": f"{number:064x}", "number": number} for number in range(2_500, 0, -1)]
    api.answers["GET /v1/jobs"] = [(200, jobs[:1_000]), (200, jobs[1_000:2_000]), (200, jobs[2_000:])]
    assert [job["number"] for job in run("job", "list", "--limit", "20000", "--json").json] == list(range(2_500, 0, -1))
    asked = [(q["limit"], q.get("before")) for _, path, q, _ in api.seen if path == "/v1/jobs"]
    assert asked == [("1000", None), ("1000", "1501"), ("1000", "501")]
    api.answers["GET /v1/jobs"] = [(200, jobs[:1_000]), (200, jobs[1_000:2_000])]
    ran = run("job", "list", "--limit", "1500")
    assert ran.err == "There may be more: --before 1001\n"
    for limit in ("0", "20001"):
        ran = run("job", "list", "--limit", limit)
        assert ran.code == 2 and "from 1 to 20000" in ran.err


def test_a_node_that_lists_the_same_jobs_again_is_not_asked_for_ever(api: Fake, run: Any) -> None:
    api.answers["GET /v1/jobs"] = [FINISHED | {"id": "f" * 64, "number": number} for number in range(1_000, 0, -1)]
    ran = run("job", "list", "--limit", "2000")
    assert ran.code == 3 and "lists the same jobs again" in ran.err
    assert sum(path == "/v1/jobs" for _, path, *_ in api.seen) == 2
    ran = run("job", "show", "ab12")
    assert ran.code == 2
