"""The command line as scripts and people see it: exit codes, JSON, help, and that no mistake ends in a stack trace."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli import app, asking, commands, common, entries
from learningchain.client.cli.common import Output, in_commands
from learningchain.client.contracts.job.cli import watch
from learningchain.client.sdk.http import NodeApi
from tests.unit.client_fake_api import ACCOUNT, DONE, FINISHED, JOB, OTHER, OWN, STATUS, TX, Fake, refusal

pytest_plugins = ["tests.unit.client_cli_kit"]

ENTRIES = [entry for entries in commands.SECTIONS.values() for entry in entries]
COMMANDS = [[entry.name] for entry in ENTRIES] + [[family.name, c.name] for family in commands.families() for c in family.commands]


# --- help ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(run: Any, words: list[str]) -> None:
    ran = run(*words, "--help")
    assert ran.code == 0
    assert f"Example: learningchain {words[0]}" in ran.out
    if words[-1] not in {family.name for family in commands.families()} - {"config"}:
        assert "--json" in ran.out and "--data" in ran.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_example_is_accepted(words: list[str]) -> None:
    """Examples are parsed, so that none of them teaches a mistake."""
    tree = app.build()
    examples = {entry.name: entry.example for entry in ENTRIES if isinstance(entry, entries.Command)}
    examples |= {f"{family.name} {c.name}": c.example for family in commands.families() for c in family.commands}
    example = examples.get(" ".join(words))
    if example is not None:
        command, bound, _ = tree.parse_args(example.split(), exit_on_error=False, print_error=False)
        assert callable(command) and bound is not None
        assert example.startswith(" ".join(words))


HEAVY = {"aiohttp", "sqlalchemy", "docker", "coincurve", "cryptography", "msgspec", "learningchain.client.sdk.client"}


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--help"], {"cyclopts", "rich", "asyncio", "importlib.metadata"}),
        (["job"], {"cyclopts", "rich", "asyncio", "importlib.metadata"}),
        (["node", "--help"], set()),
        (["status", "--help"], set()),
        (["job", "submit", "--help"], set()),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_help_loads_nothing_heavy(words: list[str], more: set[str]) -> None:
    program = (
        f"import sys, learningchain; from learningchain.client.cli.app import main; main({words!r}); "
        f"heavy = {HEAVY | more!r} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


QUESTIONS = [
    ["status"],
    ["status", "--json"],
    ["balance"],
    ["history"],
    ["peers"],
    ["accounts"],
    ["runs"],
    ["files"],
    ["block", "show"],
    ["tx", "show", TX],
    ["job", "list"],
    ["job", "show", "3fa9c1"],
]
NOT_FOR_A_QUESTION = HEAVY - {"learningchain.client.sdk.client"} | {
    *("cyclopts", "rich", "asyncio", "ssl", "http.client", "numpy", "pydantic", "importlib.metadata", "platformdirs"),
    *("dataclasses", "inspect", "pkgutil"),
    *(
        "learningchain.client.config",
        "learningchain.client.schema.bodies",
        "learningchain.chain.contracts",
        "learningchain.chain.host",
    ),
}


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_a_question_loads_a_socket_and_json(api: Fake, words: list[str]) -> None:
    """Most of what such a command costs is what it imports."""
    program = (
        f"import sys; from learningchain.client.cli.app import main; code = main({words!r}); "
        f"heavy = {NOT_FOR_A_QUESTION!r} & set(sys.modules); sys.exit(repr(heavy) if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["job", "show", "latest"], True),
        (["job", "show", "--json", "latest", "--data", "node"], True),
        (["job", "show", "--data=node", "latest"], True),
        (["job", "show"], False),
        (["job", "show", "a", "b"], False),
        (["job", "list", "--live"], False),
        (["job", "list", "--data"], False),
        (["job", "list", "--data", "--json"], False),
        (["job", "list", "--receipt", "r"], False),
        (["status", "--help"], False),
        (["job"], False),
        (["runs"], True),
        (["transfer", OTHER, "5"], False),
        ([""], False),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_only_a_question_in_plain_words_goes_without_the_parser(words: list[str], asked: bool) -> None:
    assert (asking.question(words) is not None) is asked


# --- reading commands ----------------------------------------------------------------------------------------------------------

READING = [
    (["status"], "test"),
    (["balance"], "12.5"),
    (["balance", OTHER], OTHER),
    (["history"], "transfer"),
    (["peers"], OTHER),
    (["files"], "own model that won"),
    (["accounts"], OWN),
    (["runs"], "r-17"),
    (["runs"], "the bounty is 1, below 5"),
    (["block", "show"], TX),
    (["block", "show", "latest"], "cd" * 32),
    (["tx", "show", TX], "Transfer"),
    (["tx", "show", TX, "--proof"], '"receipt": "93"'),
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


def test_a_stranger_s_text_begins_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).note("Invitation of lc1x to the network lab\nAdmitted: you are in")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_strangers_cannot_write_on_the_terminal(api: Fake, run: Any) -> None:
    """A memo with an escape sequence stays text."""
    assert "\x1b[31m" not in run("history").out
    assert "\\u001b" in run("history", "--json").out


# --- exit codes ----------------------------------------------------------------------------------------------------------------


def test_refused_by_the_rules_is_1_with_the_code(api: Fake, run: Any) -> None:
    api.answers["POST /v1/transfers"] = refusal("rejected", 409, 1, "INSUFFICIENT_CREDITS")
    ran = run("transfer", OTHER, "5")
    assert ran.code == 1 and ran.out == "" and "(INSUFFICIENT_CREDITS 1)" in ran.err
    ran = run("transfer", OTHER, "5", "--json")
    assert ran.code == 1 and ran.error["code"] == 1 and ran.error["name"] == "INSUFFICIENT_CREDITS"
    api.answers["POST /v1/transfers"] = refusal("invalid", 409, 14, "BANNED")
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
    ["id"],
    ["judge", OTHER],
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


def test_a_bug_of_ours_is_70_and_its_trace_goes_to_a_file(
    api: Fake, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: Any) -> None:
        raise RuntimeError("no such thing \x1b[2J postgresql://u:sesame@open@h/db")

    monkeypatch.setattr(common.Common, "ask", broken)
    people = run("status")
    assert people.code == 70 and "our mistake" in people.err and "\x1b" not in people.err
    for report in tmp_path.glob("learningchain-error-*"):
        report.unlink()
    ran = run("status", "--json")
    assert ran.code == 70 and ran.error["kind"] == "bug"
    (report,) = tmp_path.glob("learningchain-error-*")
    assert "Traceback" in report.read_text() and str(report) in ran.error["message"]
    assert "open" not in report.read_text().partition("RuntimeError")[2] and "sesame" not in people.err + ran.err


def test_interruption_is_130(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(common.Common, "ask", interrupted)
    ran = run("status")
    assert ran.code == 130 and ran.out == "" and ran.err.strip() == ""


MODEL, REQUEST = "5a" * 32, "7b12e0" + "00" * 29
SUBMIT = ["job", "submit", "--image", "x@sha256:" + "a" * 64, "--bounty", "5", "--expires", "1h", "--yes"]
VOTED = "4be2" * 16
ASKING = ["predict", MODEL, "2.5"]
LOCKED = "The request goes on, and what it locks stays locked until it has ended: learningchain prediction show "


@pytest.mark.parametrize(
    ("words", "interrupted", "said"),
    [
        (["transfer", OTHER, "1"], "GET /v1/status", ""),
        (["transfer", OTHER, "1"], "POST /v1/transfers", "The credits may be on their way already: learningchain history"),
        (SUBMIT, "POST /v1/jobs/quote", ""),
        (SUBMIT, "POST /v1/jobs", "The job may be posted already, and stays so then: learningchain job list"),
        (["job", "watch", "latest"], f"GET /v1/jobs/{JOB}", f"The job goes on without you: learningchain job watch {JOB[:12]}"),
        (["vote", VOTED, "yes"], "POST /v1/votes", "Your word may be on its way already: learningchain proposals"),
        (ASKING, f"GET /v1/models/{MODEL}", ""),
        (ASKING, "POST /v1/predictions", "The request may be sent already, and goes on then: learningchain prediction show latest"),
        (ASKING, f"GET /v1/predictions/{REQUEST}", LOCKED + REQUEST),
    ],
)
def test_who_interrupts_what_was_sent_is_told_that_it_goes_on(
    api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], interrupted: str, said: str
) -> None:
    call = NodeApi.call

    async def until(self: NodeApi, method: str, path: str, **more: Any) -> Any:
        if f"{method} {path}" == interrupted:
            raise KeyboardInterrupt
        return await call(self, method, path, **more)

    monkeypatch.setattr(NodeApi, "call", until)
    api.answers[f"GET /v1/models/{MODEL}"] = {"id": MODEL, "name": "line", "schema": None}
    api.answers["POST /v1/predictions"] = DONE | {"request": REQUEST, "charge": "1"}
    ran = run(*words)
    assert ran.code == 130 and ran.out == "" and ran.err.endswith(f"\nlearningchain: Interrupted. {said}\n" if said else "\n")
    assert run(*words, "--json").error["message"] == f"Interrupted. {said}".rstrip()


def test_a_reader_that_goes_away_is_no_error(api: Fake) -> None:
    api.answers["GET /v1/jobs"] = [FINISHED | {"number": number} for number in range(899, -1, -1)]
    shell = f"'{sys.executable}' -m learningchain job list --limit 900 | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert "no." in done.stdout and done.stderr == ""


@pytest.mark.usefixtures("clean_environment")
def test_the_module_ends_with_the_command_s_exit_code() -> None:
    for words, code in ((["--version"], 0), (["no-such-command"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "learningchain", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, (words, done.stdout + done.stderr)


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


# --- the public face -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("60s", 60), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5min", 90), ("45", 45), ("200ms", 0.2)]
)
def test_lengths_of_time(text: str, value: float) -> None:
    assert common.seconds(text, "--x") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1e3", "5 weeks", "٣s", "1.2345s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(common.WrongUsage):
        common.seconds(text, "--x")


ROOT = Path(__file__).parents[2]


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


def test_accounts_are_listed_page_by_page(api: Fake, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learningchain.client.contracts.membership.cli.members.PAGE", 1)
    api.answers["GET /v1/accounts"] = [(200, [ACCOUNT]), (200, [ACCOUNT | {"id": OTHER, "validator": False}]), (200, [])]
    out = run("accounts").out
    assert OWN in out and OTHER in out and "validator" in out and "verifier" in out
    assert [query.get("after") for _, path, query, _ in api.seen if path == "/v1/accounts"] == [None, OWN, OTHER]


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


def test_who_listens_nowhere_is_told_in_words(run: Any, tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        ran = run("status", "--api", f"http://127.0.0.1:{s.getsockname()[1]}", "--data", tmp_path)
    assert ran.code == 3 and "nothing listens there" in ran.err and "(" not in ran.err.split(". Is it running")[0]


def test_texts_of_the_api_become_commands() -> None:
    """People at the command line are never told to send an HTTP request, whatever text of the API reaches them."""
    source = "".join(path.read_text() for path in sorted((ROOT / "client" / "api").glob("*.py")) if path.name != "openapi.py")
    requests = set(re.findall(r"(?<!Route\()[^\"(]{0,3}GET (/v1/[a-z.{}/_]+[a-z}])", source))
    assert len(requests) >= 5
    for request in requests:
        assert "/v1/" not in in_commands(f"Something is wrong. GET {request} shows more"), request


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


def test_status_says_whether_jobs_can_run(api: Fake, run: Any) -> None:
    assert re.search(r"sandbox +ready", run("status").out)
    assert " ago)" in run("status").out, "a graph that stands still is seen by the age of its last block"
    message = {"kind": "unavailable", "code": None, "name": "SANDBOX", "message": "Not ready: no Docker Engine answers"}
    api.answers["GET /readyz"] = (503, {"error": message})
    assert re.search("sandbox +Not ready: no Docker Engine answers", run("status").out)
    api.answers["GET /readyz"] = {"ready": True, "height": 7, "sandbox": None}
    assert re.search("sandbox +not used", run("status").out)


def test_a_choice_that_is_not_made_is_told_with_both_its_words(api: Fake, run: Any) -> None:
    assert "Say one of --lift or --confirm." in run("judge", OTHER).err
