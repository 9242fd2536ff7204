"""The job commands: what a contractor types becomes a posting, a job is followed to its end, a model is checked."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from client import hidden
from client.cli import common
from client.contracts.job.cli import watch
from tests.unit.client_fake_api import FINISHED, HAPPENED, JOB, MODEL, OPEN, OTHER, OWN, QUOTE, STATUS, Fake, cid_of, refusal

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


def test_submit_from_a_registry(api: Fake, run: Any) -> None:
    reference = "registry.example.org/team/job@sha256:" + "a" * 64
    ran = run("job", "submit", "--image", reference, "--bounty", "5", "--expires", "60")
    assert ran.code == 0 and JOB in ran.out and "job watch" in ran.err
    assert api.bodies("POST", "/v1/jobs") == [{"image": {"reference": reference}, "bounty": "5", "expires_in_s": 60.0}]


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
        (["--arch", "arm64", "--image-archive", "y.tar"], "--arch is for an image in a registry"),
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
    assert run("job", "submit", *IMAGE, "--dry-run", "--json").json == QUOTE


def test_a_dry_run_of_what_would_be_refused_says_why(api: Fake, run: Any) -> None:
    refused = {"code": 332, "name": "LOW_FEE", "message": "the fee is too low"}
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"refusal": refused, "deposit": "100"}
    ran = run("job", "submit", *IMAGE, "--dry-run")
    assert ran.code == 1 and "It would be refused now: the fee is too low (LOW_FEE 332)" in ran.out and "deposit" in ran.out
    assert "Without --dry-run it is refused." in ran.err and "is posted" not in ran.err
    ran = run("job", "submit", *IMAGE, "--json")
    assert (ran.code, ran.error["code"], ran.error["name"]) == (1, 332, "LOW_FEE")
    assert api.bodies("POST", "/v1/jobs") == []


def test_below_seven_judges_it_takes_force(api: Fake, run: Any) -> None:
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"judges": 6}
    ran = run("job", "submit", *IMAGE)
    assert ran.code == 2 and "Only 6 of 12 verifiers" in ran.err and "--force" in ran.err
    assert api.bodies("POST", "/v1/jobs") == []
    dry = run("job", "submit", *IMAGE, "--dry-run")
    assert dry.code == 2, "as without --dry-run"
    assert "it is not posted either: Only 6 of 12 verifiers" in dry.err
    forced = run("job", "submit", *IMAGE, "--dry-run", "--force")
    assert forced.code == 0 and "Without --dry-run the job is posted." in forced.err
    assert run("job", "submit", *IMAGE, "--force").code == 0
    assert len(api.bodies("POST", "/v1/jobs")) == 1


def test_where_every_verifier_could_judge_nobody_is_told_to_ask_for_less(api: Fake, run: Any) -> None:
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"judges": 3, "verifiers": 3}
    ran = run("job", "submit", *IMAGE)
    assert ran.code == 2 and "has only 3 verifiers beside you" in ran.err and "--force" in ran.err and "--cpus" not in ran.err


def test_an_archive_that_is_none_is_not_named_as_the_file_to_write(api: Fake, run: Any, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("not an archive\n" * 100)
    ran = run("job", "submit", "--image-archive", tmp_path / "README.md", "--bounty", "5", "--expires", "10m")
    assert ran.code == 2 and ran.err.rstrip().endswith("docker save IMAGE -o job.tar")


def test_the_fee_of_a_seat_stands_once_beside_its_votes(api: Fake, run: Any) -> None:
    seat = FINISHED["rounds"][0]["committee"][0]
    two = seat | {"votes": [seat["votes"][0], seat["votes"][0]], "fee": "7.75"}
    api.answers[f"GET /v1/jobs/{JOB}"] = FINISHED | {"rounds": [FINISHED["rounds"][0] | {"committee": [two]}]}
    assert run("job", "show", JOB).out.count("7.75") == 1


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


def test_data_is_sealed_once_and_posted_later(api: Fake, run: Any, tmp_path: Path) -> None:
    plain = tmp_path / "hidden.csv"
    plain.write_bytes(b"1,2\n")
    ran = run("hidden", "seal", plain)
    note = tmp_path / "hidden.csv.sealed.json"
    assert ran.code == 0 and "hidden.csv.sealed.json" in ran.out
    said = json.loads(note.read_text())
    assert set(said) == {"cid", "plain_hash", "key_hash", "size"}, "nothing that opens it"
    assert [path for method, path, *_ in api.seen if method == "POST"] == ["/v1/hidden-keys", "/v1/files"]
    assert run("job", "submit", *IMAGE, "--hidden", note).code == 0
    assert api.bodies("POST", "/v1/jobs")[0]["hidden"] == said and len(api.bodies("POST", "/v1/hidden-keys")) == 1
    again = run("hidden", "seal", plain)
    assert again.code == 2 and "is there already" in again.err, "the note of a posted job is not overwritten"
    note.write_text("{}")
    ran = run("job", "submit", *IMAGE, "--hidden", note)
    assert ran.code == 2 and "no note of hidden seal" in ran.err


def test_a_job_is_taken_back(api: Fake, run: Any) -> None:
    ran = run("job", "cancel", JOB)
    assert ran.code == 0 and "taken back" in ran.out
    api.answers[f"POST /v1/jobs/{JOB}/cancel"] = refusal("rejected", 409, 336, "HAS_CLAIMS")
    ran = run("job", "cancel", JOB, "--json")
    assert (ran.code, ran.error["name"]) == (1, "HAS_CLAIMS")


def test_a_job_gets_more_time(api: Fake, run: Any) -> None:
    ran = run("job", "extend", JOB, "--expires", "2h")
    assert ran.code == 0 and "claims end" in ran.out
    assert api.bodies("POST", f"/v1/jobs/{JOB}/extension") == [{"expires_in_s": 7200.0}]
    assert run("job", "extend", JOB, "--expires", "0s").code == 2


ENDED = FINISHED | {
    "state": "REFUNDED",
    "winner": None,
    "key": "",
    "limits": {"cpus_milli": 500, "mem_mb": 512, "train_s": 30, "eval_s": 10, "model_cap": 100, "tmp_mb": 8, "threads": 1},
    "terms": FINISHED["terms"] | {"arch": "arm64", "params": '{"a":1}', "hidden": None},
}


def test_a_refunded_job_is_posted_again_with_what_changed(api: Fake, run: Any) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = ENDED
    assert run("job", "repost", JOB, "--expires", "10m", "--bounty", "200", "--finalists", "5").code == 0
    body = api.bodies("POST", "/v1/jobs")[0]
    image = FINISHED["image"]
    assert body["image"] == {"cid": image["cid"], "image_id": image["image_id"], "size": image["size"]}
    assert (body["bounty"], body["finalists"], body["expires_in_s"], body["fee"]) == ("200", 5, 600.0, FINISHED["fee"])
    assert (body["params"], body["arch"], body["limits"]["cpus"], body["limits"]["eval_s"]) == ({"a": 1}, "arm64", 0.5, 10)
    assert run("job", "repost", JOB, "--expires", "10m", "--dry-run").code == 0 and len(api.bodies("POST", "/v1/jobs")) == 1


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


def test_a_seat_is_a_line_a_vote_and_each_of_its_steps_where_they_are_asked_for(api: Fake, run: Any) -> None:
    """One evaluation of one seat is a commitment, a column for each kind of data, an opening and a vote."""
    steps = [("commit", {}), ("column", {"candidate": 0, "hidden": 0}), ("column", {"candidate": 0, "hidden": 1}), ("opened", {})]
    said = [HAPPENED[5] | {"topic": topic, "data": {"voter": OWN} | more} for topic, more in steps]
    happened = [*HAPPENED[:5], *said, *HAPPENED[5:]]
    api.answers[f"GET /v1/jobs/{JOB}/events"] = [one | {"cursor": at} for at, one in enumerate(happened)][::-1]
    few, all_ = (run("job", "watch", JOB, *words).out.splitlines() for words in ([], ["--verbose"]))
    assert [line[21:] for line in all_ if line not in few] == [
        f"{OWN} committed to its votes",
        f"{OWN} shows losses of {OTHER}",
        f"{OWN} shows losses of {OTHER} on the hidden data",
        f"{OWN} has shown all that it measured: its votes count",
    ]
    assert len(few) == len(all_) - 4 and any("votes OK" in line for line in few)
    assert [len(json.loads(line)["events"]) for line in run("job", "watch", JOB, "--json").out.splitlines()] == [len(happened)]


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


HIDDEN_CLAIMS = [
    FINISHED["claims"][0] | {"rank": 1, "hidden_rank": 2, "hidden_loss": "0.300000000", "stake": "10", "stake_is": "released"},
    FINISHED["claims"][0] | {"claimant": OWN, "rank": 2, "hidden_rank": 1, "hidden_loss": "0.200000000", "stake": "0"},
]


def test_show_tells_both_losses_and_ranks_of_a_job_with_hidden_data(api: Fake, run: Any) -> None:
    seat = FINISHED["rounds"][0]["committee"][0]
    vote = seat["votes"][0] | {"hidden_loss": "0.310000000"}
    rounds = [{"audit": 0, "round": 1, "committee": [seat | {"votes": [vote], "struck": "hidden loss off"}]}]
    api.answers[f"GET /v1/jobs/{JOB}"] = FINISHED | {"hidden": "ON", "claims": HIDDEN_CLAIMS, "rounds": rounds}
    out = run("job", "show", JOB).out
    assert "hidden rank" in out and "hidden loss" in out
    lines = [line.split() for line in out.splitlines()]
    assert any(line[:1] == ["1"] and "0.100000000" in line and "0.300000000" in line and "10" in line for line in lines)
    assert any(line[:1] == ["2"] and "0.200000000" in line and "none" in line for line in lines)
    assert "0.310000000" in out and "hidden loss off" in out and "sealed until all models are shown" in out
    plain = run("job", "show", JOB, "--json").json
    assert plain["claims"][0]["hidden_rank"] == 2


def test_show_tells_what_this_node_ran_for_a_job_and_what_it_could_not(api: Fake, run: Any) -> None:
    failed = {"id": "image-3fa9", "state": "not-fetched", "loss": None, "reason": f"no such repository, says {OTHER}", "job": JOB}
    api.answers["GET /v1/runs"] = [failed, failed | {"id": "image-of-another-job", "job": "ab" * 32}]
    ran = run("job", "show", JOB)
    assert "image-3fa9" in ran.out and "not-fetched" in ran.out and "no such repository" in ran.out and "another" not in ran.out
    assert run("job", "show", JOB, "--json").json["own_runs"] == [failed]
    api.answers["GET /v1/runs"] = refusal("unavailable", 503)
    assert run("job", "show", JOB).code == 0


def test_show_warns_of_a_metric_in_one_line_and_of_few_judges(api: Fake, run: Any) -> None:
    warning = "the evaluation writes one number: this gives up the protection against partial runs"
    could = {"verifiers": 9, "judges": 4}
    more = {"examples": 1, "warning": warning, "could_judge": could, "latest_end": 1_700_000_360_000, "latest_end_draw_blocks": 9}
    api.answers[f"GET /v1/jobs/{JOB}"] = OPEN | more
    out = run("job", "show", JOB).out
    assert warning in out and "4 of 9 verifiers, fewer than a whole committee" in out
    assert "in 6 min, and 9 blocks of draws" in " ".join(out.split())
    api.answers[f"GET /v1/jobs/{JOB}"] = OPEN | more | {"could_judge": could | {"judges": 7}}
    assert "fewer than a whole committee" not in run("job", "show", JOB).out


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({"claims": [FINISHED["claims"][0] | {"model": None}]}, [], "Nobody has shown a model"),
        ({"claims": [FINISHED["claims"][0] | {"model": {"cid": "b"}}]}, ["--claimant", OWN], "has shown no model"),
        ({}, ["--most", "0"], "--most"),
        ({}, ["--claimant", "nobody"], "is no account"),
    ],
)
def test_a_recheck_that_cannot_be_made_says_why(api: Fake, run: Any, change: dict[str, Any], words: list[str], said: str) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = FINISHED | change
    ran = run("job", "recheck", JOB, *words)
    assert ran.code == 2 and said in ran.err
