"""What the command line tells people so that they can go on: reasons, units, next steps, and names of commands they can type."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.contracts.job import JobCode
from chain.contracts.job.records import JobState
from chain.ledger.genesis import PARAMETERS, from_json
from chain.params import Params
from client.api.explain import explain
from client.cli import network
from client.cli.common import in_commands
from client.contracts.job.cli import jobs
from client.contracts.job.schema import JobRequest, LimitsRequest
from tests.unit.client_cli_kit import WORD
from tests.unit.client_fake_api import ACCOUNT, JOB, OTHER, OWN, RUN, SEEN, STATUS, Fake, refusal
from tests.unit.test_client_cli_setup import KEYS

pytest_plugins = ["tests.unit.client_cli_kit"]

ROOT = Path(__file__).parents[2]


# --- the node ------------------------------------------------------------------------------------------------------------------


def test_peers_say_why_others_are_missing(api: Fake, run: Any) -> None:
    out = run("peers").out
    assert "1.5 ms" in out and "198.51.100.7:7400" in out and "is not an active member" in out
    api.answers["GET /v1/peers"] = []
    assert "Failed or refused lately" in run("peers").out
    itself = SEEN | {"event": "dial failed", "reason": "this is the node itself"}
    api.answers["GET /v1/connections"] = [itself, SEEN | {"event": "peer gone"}]
    assert "network.peers" in run("peers").out, "whoever has no peers and no trouble is told how to name one"
    del api.answers["GET /v1/connections"]
    assert "network.peers" in run("peers").out, "an older node does not tell"


def test_trouble_that_is_over_is_not_told(api: Fake, run: Any) -> None:
    api.answers["GET /v1/connections"] = [SEEN | {"event": "peer connected", "reason": "dialled"}, SEEN]
    assert "lately" not in run("peers").out


def test_status_tells_who_is_no_member(api: Fake, run: Any) -> None:
    assert re.search("role +validator", run("status").out)
    account = api.answers[f"GET /v1/accounts/{OWN}"]
    api.answers[f"GET /v1/accounts/{OWN}"] = {**account, "validator": False, "left": 7}
    assert re.search("role +left", run("status").out), "who left is called no member"
    api.answers[f"GET /v1/accounts/{OWN}"] = refusal("not_found", 404)
    assert re.search("role +no member of this network", run("status").out)
    api.answers["GET /v1/status"] = {**api.answers["GET /v1/status"], "height": 0, "peers": 0}
    ran = run("status")
    assert re.search("role +unknown: this node has no block", ran.out), "it may be one: nobody told this node yet"
    assert re.search("peers +0: who refused.*learningchain peers", ran.out)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nothing", "There is no {}"),
        ("folder", "{} is a folder, and a file is needed"),
        ("file/below", "leads through a file"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_words(api: Fake, run: Any, tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for words in (["tx", "submit"], ["restore", "--data", tmp_path / "new"]):
        ran = run(*words, tmp_path / path)
        assert ran.code == 2 and said.format(tmp_path / path) in ran.err, words
    ran = run("signer", "use", "--data", tmp_path / "new", tmp_path / "nothing")
    assert ran.code == 2 and f"There is no {tmp_path / 'nothing'}" in ran.err


def test_one_trouble_is_told_once(api: Fake, run: Any) -> None:
    refused = {"event": "connection refused", "reason": "TLS: unknown ca"}
    api.answers["GET /v1/connections"] = [SEEN | refused | {"address": f"203.0.113.5:{port}"} for port in range(40_000, 40_030)]
    assert run("peers").out.count("unknown ca") == 1


def test_status_says_whether_jobs_can_run(api: Fake, run: Any) -> None:
    assert re.search(r"sandbox +ready", run("status").out)
    assert " ago)" in run("status").out, "a graph that stands still is seen by the age of its last block"
    message = {"kind": "unavailable", "code": None, "name": "SANDBOX", "message": "Not ready: no Docker Engine answers"}
    api.answers["GET /readyz"] = (503, {"error": message})
    assert re.search("sandbox +Not ready: no Docker Engine answers", run("status").out)
    api.answers["GET /readyz"] = {"ready": True, "height": 7, "sandbox": None}
    assert re.search("sandbox +not used", run("status").out)


def test_accounts_are_listed_page_by_page(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.contracts.membership.cli.PAGE", 1)
    api.answers["GET /v1/accounts"] = [(200, [ACCOUNT]), (200, [ACCOUNT | {"id": OTHER, "validator": False}]), (200, [])]
    out = run("accounts").out
    assert OWN in out and OTHER in out and "validator" in out and "verifier" in out
    assert [query.get("after") for _, path, query, _ in api.seen if path == "/v1/accounts"] == [None, OWN, OTHER]


@pytest.mark.parametrize(("word", "confirm"), [("--lift", False), ("--confirm", True)])
def test_a_validator_judges(api: Fake, run: Any, word: str, confirm: bool) -> None:
    assert run("judge", OTHER, word).code == 0
    assert api.bodies("POST", "/v1/judgements") == [{"account": OTHER, "confirm": confirm}]


@pytest.mark.parametrize(("word", "give_back"), [("--retry", False), ("--give-back", True)])
def test_a_validator_releases_what_is_parked(api: Fake, run: Any, word: str, give_back: bool) -> None:
    assert run("release", "job", JOB, word).code == 0
    assert api.bodies("POST", "/v1/releases") == [{"contract": "job", "ref": JOB, "give_back": give_back}]
    assert run("release", "membership", OTHER, word).code == 0
    assert api.bodies("POST", "/v1/releases")[1] == {"contract": "membership", "ref": OTHER, "give_back": give_back}


def test_a_parked_job_is_released_by_the_first_characters_of_its_id(api: Fake, run: Any) -> None:
    assert run("release", "job", JOB[:6], "--retry").code == 0
    assert api.bodies("POST", "/v1/releases")[0]["ref"] == JOB
    wrong = run("release", "job", "xyz", "--retry")
    assert wrong.code == 2 and "'xyz' is no job id" in wrong.err


def test_status_says_what_waits_and_which_room_is_fullest(api: Fake, run: Any) -> None:
    room = {"common": {"bytes": 30, "limit": 40, "accounts": 2}, "urgent": {"bytes": 33, "limit": 60, "accounts": 0}}
    api.answers["GET /v1/status"] = STATUS | {"mempool": 3, "mempool_room": room}
    assert re.search(r"mempool +3 waiting; fullest: common, 75% of its room", run("status").out)
    api.answers["GET /v1/status"] = STATUS | {"mempool": 0, "mempool_room": room}
    assert re.search(r"mempool +0 waiting *\n", run("status").out)


def test_a_block_is_shown_without_its_bytes(api: Fake, run: Any) -> None:
    shown = {"height": 7, "time": 1_700_000_000_000, "id": "ab" * 32, "header": "cd" * 90, "txs": [], "certificate": None}
    api.answers["GET /v1/blocks/7"] = shown
    out = run("block", "show", "7").out
    assert "ab" * 32 in out and "cdcd" not in out
    assert run("block", "show", "7", "--json").json["header"] == "cd" * 90


def test_status_says_what_is_parked_and_which_part_fails(api: Fake, run: Any) -> None:
    assert "parked" not in run("status").out and "failing" not in run("status").out
    parked = {"contract": "job", "ref": JOB, "height": 5, "fault": "failed", "retry": [OWN], "give_back": []}
    failing = {"part": "worker", "since": 1_700_000_000_000, "why": "TypeError: a bug"}
    serving = {"model": "ab" * 32, "starting": 1, "ready": 2, "answering": 0}
    api.answers["GET /v1/status"] = STATUS | {"parked": [parked], "failing": [failing], "serving": [serving]}
    assert f"model {'ab' * 8}: 2 containers wait, 0 answer, 1 start" in " ".join(run("status").out.split())
    out = " ".join(run("status").out.split())
    assert f"job {JOB}: failed in block 5; 1 validators for retry, 0 for giving back" in out
    assert "worker, since" in out and "TypeError: a bug" in out
    notice = {"topic": "case.own", "ref": "ab", "since": 1_700_000_000_000, "text": "A case is open against this node's identity."}
    api.answers["GET /v1/status"] = STATUS | {"notices": [notice]}
    assert "A case is open against this node's identity. (since 2023" in " ".join(run("status").out.split())


def test_a_node_without_identity_does_not_start(run: Any, tmp_path: Path) -> None:
    """Exit code 1, like everything else that keeps a node from starting."""
    ran = run("node", "--data", tmp_path)
    assert ran.code == 1 and "The node does not start: There is no keystore" in ran.err and "learningchain init" in ran.err
    ran = run("node", "--data", tmp_path, "--json")
    assert ran.code == 1 and ran.error["kind"] == "not_started"


def test_a_missing_data_folder_is_named(run: Any, tmp_path: Path) -> None:
    ran = run("status", "--data", tmp_path / "none")
    assert ran.code == 2 and "There is no data folder" in ran.err and "--data" in ran.err


def test_who_listens_nowhere_is_told_in_words(run: Any, tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        ran = run("status", "--api", f"http://127.0.0.1:{s.getsockname()[1]}", "--data", tmp_path)
    assert ran.code == 3 and "nothing listens there" in ran.err and "(" not in ran.err.split(". Is it running")[0]


# --- identity and network ------------------------------------------------------------------------------------------------------


def test_an_identity_is_shown_again_without_node_and_passphrase(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    made = run("init", "--data", tmp_path / "n", "--json").json
    monkeypatch.delenv("LEARNINGCHAIN_PASSPHRASE")
    assert run("id", "--data", tmp_path / "n", "--json").json == made
    assert made["public_key"] in run("id", "--data", tmp_path / "n").out


def test_a_member_need_not_verify(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "g.json"
    members = ["--validator", f"{KEYS[0]}=1", "--non-verifier", f"{KEYS[1]}=2"]
    made = run("genesis", "new", "--name", "x", *members, "--out", file, "--json").json
    assert [(a["validator"], a["verifier"]) for a in made["accounts"]] == [(True, True), (False, False)]
    assert [a.verifier for a in from_json(file.read_bytes()).accounts] == [True, False]
    assert "verifier" in run("genesis", "show", file).out
    twice = run("genesis", "new", "--name", "x", *members, "--member", f"{KEYS[1]}=2", "--out", tmp_path / "h")
    assert twice.code == 2 and "twice" in twice.err


def test_parameters_that_are_times_take_units(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "g.json"
    given = ["--param", "job_reveal=30s", "--param", "appeal=2h", "--param", "heartbeat=1500", "--param", "quota=7"]
    made = run("genesis", "new", "--name", "x", "--validator", f"{KEYS[0]}=1", *given, "--out", file, "--json").json
    found = {name: made["params"][name] for name in ("job_reveal", "appeal", "heartbeat", "quota")}
    assert found == {"job_reveal": 30_000, "appeal": 7_200_000, "heartbeat": 1_500, "quota": 7}
    everything = run("genesis", "show", file, "--all").out
    assert all(f.name in everything for f in msgspec.structs.fields(Params))
    assert "30000 (30 s)" in everything
    for wrong in ("quota=7s", "appeal=soon", "appeal="):
        ran = run("genesis", "new", "--name", "x", "--validator", f"{KEYS[0]}=1", "--param", wrong, "--out", tmp_path / "h")
        assert ran.code == 2 and wrong.partition("=")[0] in ran.err


def test_every_parameter_is_known_as_a_time_or_a_count() -> None:
    """A new parameter must be put into one of the two: a unit on a count would be a factor of a thousand."""
    counts = {"block_bytes", "block_txs", "block_work", "quota", "max_due", "max_due_work", "block_reward", "evidence_age"}
    counts |= {"bandwidth_base", "bandwidth_per_credit", "job_max_claimants", "job_max_live", "job_max_live_bytes"}
    counts |= {"job_min_bounty", "job_rate", "join_policy", "invite_branch"}
    counts |= {f"pred_{name}" for name in ("sub", "epoch_sub", "stake", "deposit", "fee", "row")}
    counts |= {f"pred_{name}" for name in ("servers", "models", "waiting", "waiting_own")}
    counts |= {f"fed_{name}" for name in ("rate", "live", "dropped")}
    times = {"heartbeat", "max_step", "drift", "timeout_propose", "timeout_vote", "timeout_step", "timeout_max", "appeal"}
    times |= {
        "bandwidth_window",
        "job_min_open",
        "job_max_open",
        "job_reveal",
        "job_key",
        "job_vote_base",
        "job_open_votes",
        "job_keep",
        "standing_life",
        *("invite_longest", "invite_rest", "proposal_life"),
        *("key_rest", "recovery_delay_min", "recovery_delay_max", "recovery_gather"),
        *("pred_a0", "pred_open", "pred_keys", "pred_appeal", "pred_vote_base", "pred_open_votes", "pred_keep", "pred_epoch"),
        *("fed_base", "fed_ready", "fed_open", "fed_pending", "fed_keep", "fed_least", "fed_longest"),
    }
    assert times == network.TIMES and counts == {*PARAMETERS} - network.TIMES


@pytest.mark.parametrize("left", ["db", "wal", "guard"])
def test_a_wrong_network_can_be_replaced_until_the_node_ran(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """Any file of the node shows that it ran: of a damaged database the operator moves only that one away."""
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    data = tmp_path / "n"
    key = run("init", "--data", data, "--json").json["public_key"]
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        assert run("genesis", "new", "--name", file.stem, "--validator", f"{key}=1", "--out", file).code == 0
    assert run("genesis", "install", files[0], "--data", data).code == 0
    ran = run("genesis", "install", files[1], "--data", data)
    assert ran.code == 2 and "--force" in ran.err
    assert run("genesis", "install", files[1], "--data", data, "--force").code == 0
    assert from_json((data / "genesis.json").read_bytes()).name == "b"
    (data / left).touch()
    ran = run("genesis", "install", files[0], "--data", data, "--force")
    assert ran.code == 2 and "keystore.json" in ran.err
    assert from_json((data / "genesis.json").read_bytes()).name == "b"


def test_a_wrong_key_is_told_in_words(run: Any, tmp_path: Path) -> None:
    ran = run("genesis", "new", "--name", "x", "--validator", "KEY_A=100", "--out", tmp_path / "g")
    assert ran.code == 2 and "66 hex digits" in ran.err and "learningchain id" in ran.err and "fromhex" not in ran.err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("log.level", "loud", "it is one of debug, info, warning, error"),
        ("work.enabled", "maybe", "it is true or false"),
        ("work.attempts", "0", "it is a whole number from 1 to 1000"),
        ("work.concurrent", "many", "it is a whole number from 1 to 64"),
        ("name", "", "it is a text of 1 to 64 characters"),
        ("storage.url", "x" * 1_025, "it is a text of at most 1,024 characters"),
        ("sandbox.backend", "Docker!", "it begins with a letter or a digit"),
        ("network.advertise", ",".join(["a:1"] * 9), "it is a list of at most 8 texts"),
        ("network.listen", "everywhere:1", "is no IP address"),
    ],
)
def test_a_wrong_setting_says_what_would_do(run: Any, tmp_path: Path, name: str, value: str, said: str) -> None:
    ran = run("config", "set", name, value, "--data", tmp_path)
    assert ran.code == 2 and said in ran.err and "Expected `" not in ran.err
    assert not (tmp_path / "config.toml").exists()


def test_a_node_that_runs_is_told_of_where_a_setting_waits_for_it(run: Any, tmp_path: Path) -> None:
    assert run("config", "set", "work.attempts", "5", "--data", tmp_path).err == "", "none runs: there is nothing to start again"
    (tmp_path / "lock").write_text(f"{os.getpid()}\n")
    (tmp_path / "lock").chmod(0o600)
    assert "The node that runs here takes it up" in run("config", "set", "work.attempts", "6", "--data", tmp_path).err


def test_an_api_that_others_reach_is_warned_of(run: Any, tmp_path: Path) -> None:
    assert "in reach of other machines" in run("config", "set", "api.listen", "0.0.0.0:7401", "--data", tmp_path).err
    assert "in reach" not in run("config", "set", "api.listen", "127.0.0.1:7401", "--data", tmp_path).err


# --- jobs ----------------------------------------------------------------------------------------------------------------------


def test_every_state_of_a_job_is_explained() -> None:
    assert set(jobs.MEANING) == {state.name for state in JobState}


def test_a_job_without_winner_says_how_it_ended(api: Fake, run: Any, tmp_path: Path) -> None:
    api.answers[f"GET /v1/jobs/{JOB}"] = api.answers[f"GET /v1/jobs/{JOB}"] | {"state": "EMPTY", "winner": None, "model": None}
    ran = run("job", "fetch", JOB, "--out", tmp_path / "m")
    assert ran.code == 2 and "ended as EMPTY" in ran.err and "watch" not in ran.err
    assert "no worker could get or run the image" in run("job", "show", JOB).out


def test_limits_have_units() -> None:
    assert jobs.limits_text({"cpus_milli": 1000, "threads": 1}) == "1 processor, 1 thread"
    text = jobs.limits_text({"cpus_milli": 1500, "mem_mb": 512, "train_s": 90, "model_cap": 64 * 2**20, "threads": 2})
    assert text == "1.5 processors, 2 threads, 512 MiB of memory, 1 min 30 s to train, a model of 64.0 MiB"


def test_a_run_is_cancelled_by_the_beginning_of_its_id(api: Fake, run: Any) -> None:
    assert "r-17" in run("job", "cancel-run", "r-").out
    assert any((method, path) == ("DELETE", "/v1/runs/r-17") for method, path, *_ in api.seen)
    api.answers["GET /v1/runs"] = [RUN, RUN | {"id": "r-18"}]
    assert run("job", "cancel-run", "r-").code == 2, "two runs begin so: nothing is killed"


def test_defaults_told_in_the_help_of_submit_are_those_of_the_node(run: Any) -> None:
    text = " ".join(run("job", "submit", "--help").out.replace("│", " ").split())
    told = dict(re.findall(r"--([a-z-]+) [A-Z]+ .*?Default: (.*?)\.(?= --| \[|$| │|\s)", text))
    for option, kind, field, shown in (
        ("finalists", JobRequest, "finalists", str),
        ("float-kind", JobRequest, "float_kind", str),
        ("on-cheat", JobRequest, "on_cheat", str),
        ("cpus", LimitsRequest, "cpus", lambda v: f"{v:g}"),
        ("mem-mb", LimitsRequest, "mem_mb", str),
        ("tmp-mb", LimitsRequest, "tmp_mb", str),
        ("eval-time", LimitsRequest, "eval_s", lambda v: f"{v}s"),
        ("model-mb", LimitsRequest, "model_cap", lambda v: str(v >> 20)),
    ):
        default = next(f.default for f in msgspec.structs.fields(kind) if f.name == field)
        assert told[option] == shown(default), option


def test_a_folder_is_no_archive(api: Fake, run: Any, tmp_path: Path) -> None:
    ran = run("job", "submit", "--image-archive", tmp_path, "--bounty", "1", "--expires", "60s")
    assert ran.code == 2 and "is a folder" in ran.err and "docker save" in ran.err


# --- words ---------------------------------------------------------------------------------------------------------------------


def test_texts_of_the_api_become_commands() -> None:
    """People at the command line are never told to send an HTTP request, whatever text of the API reaches them."""
    source = "".join(path.read_text() for path in sorted((ROOT / "client" / "api").glob("*.py")) if path.name != "openapi.py")
    requests = set(re.findall(r"(?<!Route\()[^\"(]{0,3}GET (/v1/[a-z.{}/_]+[a-z}])", source))
    assert len(requests) >= 5
    for request in requests:
        assert "/v1/" not in in_commands(f"Something is wrong. GET {request} shows more"), request


def test_the_apis_word_for_a_time_is_the_option() -> None:
    assert in_commands(explain(JobCode.BAD_EXPIRY)[1]) == "Choose another --expires, with a second to spare"


def test_a_refusal_names_commands(api: Fake, run: Any) -> None:
    status, body = refusal("not_found", 404)
    body["error"]["message"] = "There is no run x on this node; GET /v1/runs lists the runs that it remembers"
    api.answers["DELETE /v1/runs/x"] = status, body
    assert "; learningchain runs lists the runs" in run("job", "cancel-run", "x").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jobs"], 'Did you mean "job"? Try: learningchain --help'),
        (["job", "show"], "Try: learningchain job show --help"),
        (["status", "now"], 'takes no such words: "now"'),
        (["config", "get", "name"], 'takes no such words: "get name"'),
    ],
)
def test_mistakes_in_words(api: Fake, run: Any, words: list[str], said: str) -> None:
    ran = run(*words)
    assert ran.code == 2 and said in ran.err


def test_config_show_is_what_config_shows(api: Fake, run: Any) -> None:
    assert run("config", "show", "--json").json == run("config", "--json").json


def test_flags_do_not_show_that_they_are_off(run: Any) -> None:
    for words in (["node"], ["init"], ["demo"], ["genesis", "new"], ["job", "fetch"], ["job", "list"]):
        assert "default: False" not in run(*words, "--help").out, words


def test_next_steps_name_the_data_folder(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told to be typed next works as it stands."""
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    data = tmp_path / "a folder"
    assert f"learningchain genesis install genesis.json --data '{data}'" in run("init", "--data", data).err
    monkeypatch.setenv("LEARNINGCHAIN_DATA", str(tmp_path / "b"))
    assert run("init").err.rstrip().endswith("learningchain genesis install genesis.json")


def test_a_time_in_the_past_is_told_as_that(api: Fake, run: Any) -> None:
    ran = run("job", "submit", "--bounty", "5", "--expires", "-5s", "--image", "x")
    assert ran.code == 2 and "--expires is a length of time such as 60s" in ran.err


# --- for scripts ---------------------------------------------------------------------------------------------------------------


def test_a_script_gets_the_bare_key(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    made = run("init", "--data", tmp_path / "n", "--json").json
    assert run("id", "--data", tmp_path / "n", "--public-key").out == made["public_key"] + "\n"
    assert run("id", "--data", tmp_path / "n", "--address").out == made["address"] + "\n"


def test_a_script_waits_for_a_node_that_starts(api: Fake, run: Any) -> None:
    up = {"ready": True, "height": 7, "sandbox": {"ok": True}}
    api.answers["GET /readyz"] = [refusal("unavailable", 503), refusal("unavailable", 503), (200, up)]
    assert run("status", "--wait", "30").code == 0
    assert sum(path == "/readyz" for _, path, *_ in api.seen) == 4
    api.answers["GET /readyz"] = refusal("unavailable", 503)
    assert run("status", "--wait", "0.1").code == 3


def test_the_latest_job(api: Fake, run: Any) -> None:
    assert run("job", "show", "latest", "--json").json["id"] == JOB
    api.answers["GET /v1/jobs"] = []
    ran = run("job", "show", "latest")
    assert ran.code == 2 and "no job yet" in ran.err
