"""The command line as scripts and people see it: exit codes, JSON, help, and that no mistake ends in a stack trace."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import learningchain
from client import keystore
from client.cli import app, common, watch
from client.cli.app import main
from tests.unit.client_fake_api import DONE, FINISHED, JOB, MODEL, OPEN, OTHER, OWN, TOKEN, TX, Fake, cid_of, refusal, serving

WORD = "correct horse battery"
KEYS = [
    "026807a6d6a3e2562d9de1facc563808565a2bbb0bac06856b12fd9510ba4e4bd4",
    "025d75c937b4a477b9b642d8ac4da9a0e3164e81e64a137d5e313b87bbac0bbdaa",
]

COMMANDS = [[name] for name, *_ in app._COMMANDS] + [
    command for name, _, _, inner in app._GROUPS for command in ([name], *([name, i] for i, *_ in inner))
]


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LEARNINGCHAIN_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)


@pytest.fixture
def api(server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """The fake API, and an environment in which every command finds it."""
    before = dict(server.answers)
    server.seen.clear()
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "api.token").write_text(TOKEN)
    monkeypatch.setenv("LEARNINGCHAIN_DATA", str(tmp_path / "node"))
    monkeypatch.setenv("LEARNINGCHAIN_API", server.url)
    yield server
    server.hold.clear()
    server.answers = before


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        assert self.out == ""
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run_it(*words: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ran(code, out, err)

    return run_it


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


# --- help ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(run: Any, words: list[str]) -> None:
    ran = run(*words, "--help")
    assert ran.code == 0
    assert f"Example: learningchain {words[0]}" in ran.out
    if words[-1] not in ("genesis", "job", "block", "tx"):
        assert "--json" in ran.out and "--data" in ran.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_example_is_accepted(words: list[str]) -> None:
    """Examples are parsed, so that none of them teaches a mistake."""
    tree = app.build()
    examples = {name: example for name, _, _, _, example in app._COMMANDS}
    examples |= {f"{name} {i}": e for name, _, _, inner in app._GROUPS for i, _, _, e in inner}
    example = examples.get(" ".join(words))
    if example is not None:
        command, bound, _ = tree.parse_args(example.split(), exit_on_error=False, print_error=False)
        assert callable(command) and bound is not None
        assert example.startswith(" ".join(words))


def test_the_start_page_and_the_version(run: Any) -> None:
    ran = run("--help")
    assert ran.code == 0 and "learningchain init" in ran.out
    for name, *_ in app._COMMANDS + app._GROUPS:
        assert f" {name} " in ran.out
    assert run().code == 0
    assert run("--version").out.strip() == f"learningchain {app.own_version()}"


def test_help_and_import_load_nothing_heavy() -> None:
    program = (
        "import sys, learningchain; from client.cli.app import main; main(['--help']); "
        "heavy = {'aiohttp', 'sqlalchemy', 'docker', 'coincurve', 'cryptography', 'client.sdk'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


# --- reading commands ----------------------------------------------------------------------------------------------------------

READING = [
    (["status"], "test"),
    (["balance"], "12.5"),
    (["balance", OTHER], OTHER),
    (["history"], "transfer"),
    (["peers"], OTHER),
    (["runs"], "r-17"),
    (["block", "show"], TX),
    (["block", "show", "latest"], "cd" * 32),
    (["tx", "show", TX], "Transfer"),
    (["job", "list"], JOB[:12]),
    (["job", "show", JOB], OTHER),
    (["job", "show", "3fa9c1"], "bounty"),
    (["job", "watch", JOB], "PAID"),
    (["job", "cancel-run", "r-17"], "r-17"),
    (["config"], "work.attempts"),
]


@pytest.mark.parametrize(("words", "shown"), READING, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_reading_for_people_and_for_machines(api: Fake, run: Any, words: list[str], shown: str) -> None:
    people = run(*words)
    assert (people.code, people.err) == (0, "")
    assert shown in people.out
    machine = run(*words, "--json")
    assert (machine.code, machine.err) == (0, "")
    assert shown in json.dumps(machine.json)
    assert len(machine.out.splitlines()) == 1


def test_strangers_cannot_write_on_the_terminal(api: Fake, run: Any) -> None:
    """A memo with an escape sequence stays text."""
    assert "\x1b[31m" not in run("history").out
    assert "\\u001b" in run("history", "--json").out


def test_empty_answers_are_said(api: Fake, run: Any) -> None:
    for path, words in (
        ("jobs", ["job", "list"]),
        ("runs", ["runs"]),
        ("peers", ["peers"]),
        (f"accounts/{OWN}/history", ["history"]),
    ):
        api.answers[f"GET /v1/{path}"] = []
        assert run(*words).out.strip()
        assert run(*words, "--json").json == []


def test_a_suspension_is_shown(api: Fake, run: Any) -> None:
    account = api.answers[f"GET /v1/accounts/{OWN}"]
    case = {"until": 1_700_000_000_000, "refs": [], "corroborated": False, "confirm": [OTHER], "lift": []}
    api.answers[f"GET /v1/accounts/{OWN}"] = account | {"status": "suspended", "frozen": "7", "case": case}
    out = run("balance").out
    assert "suspended" in out and "7" in out and "1 confirm" in out


def test_query_options_arrive(api: Fake, run: Any) -> None:
    run("history", "--limit", "7", "--before", "30")
    assert api.seen[-1][2] == {"limit": "7", "before": "30"}
    run("job", "list", "--live", "--limit", "3", "--before", "9")
    assert ("GET", "/v1/jobs", {"live": "true", "limit": "3", "before": "9"}, b"") in api.seen


# --- exit codes ----------------------------------------------------------------------------------------------------------------


def test_refused_by_the_rules_is_1_with_the_code(api: Fake, run: Any) -> None:
    api.answers["POST /v1/transfers"] = refusal("rejected", 422, 1, "INSUFFICIENT_CREDITS")
    ran = run("transfer", OTHER, "5")
    assert ran.code == 1 and ran.out == "" and "(INSUFFICIENT_CREDITS 1)" in ran.err
    ran = run("transfer", OTHER, "5", "--json")
    assert ran.code == 1 and ran.error["code"] == 1 and ran.error["name"] == "INSUFFICIENT_CREDITS"
    api.answers["POST /v1/transfers"] = refusal("invalid", 422, 14, "NOT_ACTIVE")
    ran = run("transfer", OTHER, "5", "--json")
    assert ran.code == 1 and ran.error["kind"] == "invalid"


WRONG: list[list[str]] = [
    ["trnasfer"],
    ["transfer"],
    ["transfer", OTHER],
    ["transfer", "lc1nobody", "1"],
    ["transfer", OTHER[:-1] + "q", "1"],
    ["transfer", OTHER, "0"],
    ["transfer", OTHER, "-1"],
    ["transfer", OTHER, "0.0000001"],
    ["transfer", OTHER, "1", "--wait", "soon"],
    ["balance", "me"],
    ["status", "--nonsense"],
    ["status", "more"],
    ["job", "show", "xyz"],
    ["job", "show", "77"],
    ["job", "show", "0" * 64],
    ["job", "submit", "--bounty", "5"],
    ["job", "submit", "--bounty", "5", "--expires", "soon", "--image", "x"],
    ["tx", "show", "../status"],
    ["tx", "show", "00" * 32],
    ["config", "set", "work.atempts", "3"],
    ["config", "set", "work.attempts", "0"],
    ["genesis", "show", "/nonexistent"],
    ["genesis", "install", "/nonexistent"],
    ["genesis", "new", "--name", "x"],
    ["node"],
    ["status", "--token-file", "/nonexistent"],
    ["status", "--api", "127.0.0.1:1"],
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage_is_2(api: Fake, run: Any, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 2 and ran.out == ""
    assert ran.err.startswith("learningchain: ") and len(ran.err.splitlines()) == 1
    ran = run(*words, "--json")
    assert ran.code == 2
    assert ran.error["kind"] in ("usage", "not_found") and ran.error["message"]
    assert not any(method == "POST" for method, *_ in api.seen)


NEEDING_A_NODE = [words for words, _ in READING if words != ["config"]] + [
    ["transfer", OTHER, "1"],
    ["job", "fetch", JOB],
    ["job", "submit", "--bounty", "5", "--expires", "60s", "--image", "x@sha256:" + "0" * 64],
]


@pytest.mark.parametrize("words", NEEDING_A_NODE, ids=" ".join)
def test_no_node_is_3(run: Any, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RETRIES", 0)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        where = ["--api", f"http://127.0.0.1:{s.getsockname()[1]}", "--data", str(tmp_path)]
        ran = run(*words, *where)
        assert ran.code == 3 and "Cannot reach the node" in ran.err
        ran = run(*words, *where, "--json")
        assert ran.code == 3 and ran.error["kind"] == "unreachable"


def test_a_node_that_cannot_now_is_3(api: Fake, run: Any) -> None:
    api.answers["GET /v1/status"] = refusal("unavailable", 503)
    assert run("status").code == 3


def test_a_wrong_token_is_2(api: Fake, run: Any, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("wrong")
    ran = run("status", "--token-file", tmp_path / "other", "--json")
    assert ran.code == 2 and ran.error["kind"] == "unauthorized"


def test_a_bug_of_ours_is_70_and_its_trace_goes_to_a_file(
    api: Fake, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: Any) -> None:
        raise RuntimeError("no such thing \x1b[2J")

    monkeypatch.setattr(common.Common, "ask", broken)
    people = run("status")
    assert people.code == 70 and "our mistake" in people.err and "\x1b" not in people.err
    for report in tmp_path.glob("learningchain-error-*"):
        report.unlink()
    ran = run("status", "--json")
    assert ran.code == 70 and ran.error["kind"] == "bug"
    (report,) = tmp_path.glob("learningchain-error-*")
    assert "Traceback" in report.read_text() and str(report) in ran.error["message"]


def test_interruption_is_130(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(common.Common, "ask", interrupted)
    ran = run("status")
    assert ran.code == 130 and ran.out == "" and ran.err.strip() == ""


def test_ctrl_c_while_watching_ends_cleanly(api: Fake, tmp_path: Path) -> None:
    """A real process with a real signal: it watches an open job until it is interrupted."""
    api.answers[f"GET /v1/jobs/{JOB}"] = OPEN
    api.hold.set()
    command = [sys.executable, "-m", "learningchain", "job", "watch", JOB, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["job"]["state"] == "OPEN"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error(api: Fake) -> None:
    api.answers["GET /v1/jobs"] = [FINISHED] * 900
    shell = f"'{sys.executable}' -m learningchain job list | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert "no." in done.stdout and done.stderr == ""


# --- transfer ------------------------------------------------------------------------------------------------------------------


def test_transfer(api: Fake, run: Any) -> None:
    ran = run("transfer", OTHER, "1.5", "--memo", "thanks", "--wait", "9999")
    assert ran.code == 0 and "in block 8" in ran.out
    assert api.bodies("POST", "/v1/transfers") == [{"to": OTHER, "amount": "1.5", "memo": "thanks"}]
    assert api.seen[-1][2] == {"wait": "300.0"}
    assert run("transfer", OTHER, "1", "--json").json == DONE


def test_a_transfer_that_is_not_final_in_time_is_3(api: Fake, run: Any) -> None:
    api.answers["POST /v1/transfers"] = (202, {"tx": TX, "status": "pending"})
    ran = run("transfer", OTHER, "1")
    assert ran.code == 3 and TX in ran.out and "not final" in ran.err
    assert run("transfer", OTHER, "1", "--wait", "0").code == 0


# --- jobs ----------------------------------------------------------------------------------------------------------------------


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
        api.answers[f"GET /v1/jobs/{JOB}"] = list(steps)
        ran = run("job", "watch", JOB)
    finally:
        watch.POLL_S = before
    assert ran.code == 0
    for told in (f"{OWN} claims loss 0.050000000", f"{OWN} votes OK on {OTHER}", f"job {JOB} is PAID"):
        assert told in ran.out


def test_the_live_display_counts_down_and_draws_curves(api: Fake) -> None:
    console = common.Console(file=io.StringIO(), width=160, force_terminal=False)
    shown = watch.Shown(OPEN, [api.answers["GET /v1/runs"][0]], OPEN["deadline"] - 30_000)
    for part in watch.display(shown, OWN):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "claims end in" in text and ("30 s" in text or "29 s" in text)
    assert "█▁" in text and "2/3" in text and "0.100000000" in text


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([1, None, "x", float("nan")], "▁"), ([3, 2, 1], "█▅▁"), ([5, 5], "▁▁")])
def test_loss_curves(values: list[Any], bars: str) -> None:
    assert watch.sparkline(values) == bars


# --- identity, network, settings -----------------------------------------------------------------------------------------------


def test_init_makes_a_node(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "new" / "node"
    (tmp_path / "word").write_text(WORD + "\n")
    ran = run("init", "--data", data, "--name", "alice", "--peer", "a:1", "--passphrase-file", tmp_path / "word", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for name in ("keystore.json", "config.toml"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
    identity = keystore.Keystore.open(data / "keystore.json", WORD)
    assert ran.json["address"] == identity.address and ran.json["public_key"] == identity.key.public.hex()
    settings = {s["name"]: s for s in run("config", "--data", data, "--json").json["settings"]}
    assert settings["name"]["value"] == "alice" and settings["name"]["source"] == "file"
    assert settings["network.peers"]["value"] == ["a:1"] and settings["work.enabled"]["source"] == "default"
    before = (data / "keystore.json").read_bytes()
    assert run("init", "--data", data, "--passphrase-file", tmp_path / "word").code == 2
    assert (data / "keystore.json").read_bytes() == before


def test_init_from_the_environment_and_for_people(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    ran = run("init", "--data", tmp_path / "n")
    assert ran.code == 0
    assert keystore.Keystore.open(tmp_path / "n" / "keystore.json", WORD).key.public.hex() in ran.out
    assert "Back up" in ran.err


def test_passphrases_are_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    typed = iter([WORD, WORD + "x", WORD, WORD])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    ran = run("init", "--data", tmp_path / "n")
    assert ran.code == 2 and "differ" in ran.err and not (tmp_path / "n" / "keystore.json").exists()
    assert run("init", "--data", tmp_path / "n").code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--passphrase-file", "/nonexistent"], "cannot be read"),
        ([], "no terminal"),
        (["--listen", "everywhere"], "network.listen"),
        (["--peer", "x"], "network.peers"),
        (["--genesis", "/nonexistent"], "no network file"),
    ],
)
def test_a_wrong_init_makes_nothing(run: Any, tmp_path: Path, more: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if more and more[0] in ("--listen", "--peer", "--genesis"):
        monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    ran = run("init", "--data", tmp_path / "n", *more)
    assert ran.code == 2 and said in ran.err
    assert not (tmp_path / "n").exists()


def test_a_short_passphrase_leaves_no_identity(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "short")
    ran = run("init", "--data", tmp_path / "n")
    assert ran.code == 2 and "too short" in ran.err
    assert not (tmp_path / "n" / "keystore.json").exists()


def test_a_network_from_keys(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    own = run("init", "--data", tmp_path / "n", "--json").json["public_key"]
    file = tmp_path / "genesis.json"
    members = ["--validator", f"{own}=1000", "--validator", f"{KEYS[0]}=1000", "--member", f"{KEYS[1]}=0.5"]
    made = run("genesis", "new", "--name", "demo", *members, "--param", "job_min_open=5000", "--out", file, "--json")
    assert made.code == 0
    shown = run("genesis", "show", file, "--json").json
    assert shown == {k: v for k, v in made.json.items() if k != "file"}
    assert shown["supply"] == "2000.5" and shown["params"]["job_min_open"] == 5000
    assert [a["validator"] for a in shown["accounts"]] == [True, True, False]
    assert "job_min_open" in run("genesis", "show", file).out
    assert run("genesis", "new", "--name", "demo", *members, "--out", file).code == 2  # never overwritten unasked
    installed = run("genesis", "install", file, "--data", tmp_path / "n", "--json")
    assert installed.json["chain_id"] == shown["chain_id"] and installed.json["member"] is True
    assert run("genesis", "install", file, "--data", tmp_path / "n").code == 0  # the same again
    assert run("genesis", "show", "--data", tmp_path / "n", "--json").json == shown
    assert run("genesis", "new", "--name", "other", "--validator", f"{KEYS[0]}=1", "--out", tmp_path / "g2").code == 0
    ran = run("genesis", "install", tmp_path / "g2", "--data", tmp_path / "n")
    assert ran.code == 2 and "another network" in ran.err
    assert run("init", "--data", tmp_path / "m", "--genesis", tmp_path / "g2", "--json").code == 0
    ran = run("genesis", "install", tmp_path / "g2", "--data", tmp_path / "m")
    assert ran.code == 0 and "no member" in ran.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--validator", "xyz=5"], "PUBLICKEY=CREDITS"),
        (["--validator", "02" + "00" * 32 + "=5"], "public key"),
        (["--validator", f"{KEYS[0]}=much"], "decimal"),
        (["--validator", f"{KEYS[0]}=1", "--member", f"{KEYS[0]}=1"], "twice"),
        (["--validator", f"{KEYS[0]}=1", "--param", "job_mn_open=5"], 'did you mean "job_min_open"'),
        (["--validator", f"{KEYS[0]}=1", "--param", "job_min_open=0"], "job_min_open"),
        (["--validator", f"{KEYS[0]}=1", "--param", "job_min_open=x"], "job_min_open"),
        (["--validator", f"{KEYS[0]}=1", "--param", "job_min_open=99999999999"], "above job_max_open"),
        (["--validator", f"{KEYS[0]}=9000000000000", "--member", f"{KEYS[1]}=9000000000000"], "largest supply"),
        (["--validator", f"{KEYS[0]}=9999999999999"], "more credits than can exist"),
        (["--member", f"{KEYS[0]}=1"], "validator"),
    ],
)
def test_networks_that_cannot_start(run: Any, tmp_path: Path, more: list[str], said: str) -> None:
    ran = run("genesis", "new", "--name", "x", *more, "--out", tmp_path / "g")
    assert ran.code == 2 and said in ran.err
    assert not (tmp_path / "g").exists()


def test_a_damaged_network_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "g").write_text("{}")
    ran = run("genesis", "show", tmp_path / "g")
    assert ran.code == 2 and "damaged or no network file" in ran.err


def test_settings_are_changed_in_the_file(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("config", "set", "work.attempts", "5", "--data", tmp_path).code == 0
    assert run("config", "set", "network.peers", "a:1,b:2", "--data", tmp_path, "--json").json["value"] == ["a:1", "b:2"]
    settings = {s["name"]: s for s in run("config", "--data", tmp_path, "--json").json["settings"]}
    assert (settings["work.attempts"]["value"], settings["work.attempts"]["source"]) == (5, "file")
    monkeypatch.setenv("LEARNINGCHAIN_WORK_ATTEMPTS", "7")
    assert "still overrides" in run("config", "set", "work.attempts", "6", "--data", tmp_path).err
    assert run("config", "set", "work.attempts", "6", "--data", tmp_path / "none").code == 2


def test_node_hands_over_to_the_daemon(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    run("init", "--data", tmp_path / "n")
    calls: list[Any] = []

    def daemon_run(data: Path, word: str, *, work: bool | None, accept_new_guard: bool) -> int:
        calls.append((data, word, work, accept_new_guard))
        return 7

    daemon = type(sys)("client.daemon")
    daemon.run = daemon_run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "client.daemon", daemon)
    monkeypatch.setattr("client.daemon", daemon, raising=False)
    assert run("node", "--data", tmp_path / "n").code == 7
    assert run("node", "--data", tmp_path / "n", "--work", "--accept-new-guard").code == 7
    assert run("node", "--data", tmp_path / "n", "--no-work").code == 7
    assert calls == [(tmp_path / "n", WORD, work, guard) for work, guard in ((None, False), (True, True), (False, False))]


def test_demo_hands_over_to_its_scene(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = type(sys)("client.demo")
    seen: list[Any] = []
    scene.main = lambda **options: seen.append(options) or 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "client.demo", scene)
    assert run("demo", "--json-file", tmp_path / "s.json").code == 1
    assert run("demo", "--keep", "--json").code == 1
    assert seen == [
        {"json_file": tmp_path / "s.json", "keep": False, "to_stderr": False},
        {"json_file": None, "keep": True, "to_stderr": True},
    ]


# --- the public face -----------------------------------------------------------------------------------------------------------


def test_everything_public_is_there() -> None:
    for name in learningchain.__all__:
        assert getattr(learningchain, name) is not None
    assert set(learningchain._WHERE) | {"main"} == set(learningchain.__all__)
    assert learningchain.__version__ == app.own_version()
    assert set(learningchain.__all__) <= set(dir(learningchain))
    with pytest.raises(AttributeError):
        learningchain.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("text", "value"), [("60s", 60), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5min", 90), ("45", 45), ("200ms", 0.2)]
)
def test_lengths_of_time(text: str, value: float) -> None:
    assert common.seconds(text, "--x") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1e3", "5 weeks", "٣s", "1.2345s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(common.WrongUsage):
        common.seconds(text, "--x")
