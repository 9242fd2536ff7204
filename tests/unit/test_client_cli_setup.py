"""The commands that make identities, networks and settings, and those that start nodes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.ledger.genesis import PARAMETERS, from_json
from learningchain.chain.params import Params
from learningchain.client.cli import network
from learningchain.client.keys import keystore
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import Keystore
from tests.unit.client_cli_kit import WORD

pytest_plugins = ["tests.unit.client_cli_kit"]

KEYS = [
    "026807a6d6a3e2562d9de1facc563808565a2bbb0bac06856b12fd9510ba4e4bd4",
    "025d75c937b4a477b9b642d8ac4da9a0e3164e81e64a137d5e313b87bbac0bbdaa",
]


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


@pytest.mark.parametrize("name", ["DATA", "API", "TOKEN_FILE", "NAME", "NETWORK_PEERS", "NO_SUCH_SETTING"])
def test_a_variable_that_is_set_and_empty_is_not_set(run: Any, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv(f"LEARNINGCHAIN_{name}", "")
    monkeypatch.chdir(tmp_path)
    ran = run("config", "--json")
    assert ran.json["file"] == str(tmp_path / "home" / ".local/share/learningchain/config.toml")
    assert {setting["source"] for setting in ran.json["settings"]} == {"default"}


@pytest.mark.parametrize("words", [("init", "--data", ""), ("data", "add", "x", ""), ("status", "--token-file", "")])
def test_an_empty_word_is_no_path(run: Any, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*words)
    assert ran.code == 2 and "is empty: name a file or a folder" in ran.err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("held", "taken"), [(["notes.txt"], False), (["genesis.json", "tokens.db-wal", ".profile", "lost+found"], True)]
)
def test_a_folder_that_holds_other_things_is_never_made_a_data_folder(
    run: Any, held: list[str], taken: bool, tmp_path: Path
) -> None:
    data = tmp_path / "place"
    data.mkdir()
    data.chmod(0o755)
    for name in held:
        (data / name).touch()
    (tmp_path / "word").write_text(WORD)
    ran = run("init", "--data", data, "--passphrase-file", tmp_path / "word")
    assert ran.code == (0 if taken else 2) and ("holds other things ('notes.txt')" in ran.err) is not taken
    assert stat.S_IMODE(data.stat().st_mode) == (0o700 if taken else 0o755)
    assert taken or [path.name for path in data.iterdir()] == held


@pytest.mark.parametrize("name", ["a b \N{FOX FACE}", "Zoe\u0308", "Zo\u00eb", "line\nbreak", "\udcff", "-dash", "~"])
def test_a_folder_of_any_name_is_found_again_by_it(run: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    data = tmp_path / name
    made = run("init", "--data", data)
    assert made.code == 0, made.err
    assert run("id", "--data", data, "--json").json["data"] == str(data)
    assert [path.name for path in tmp_path.iterdir()] == [name], "no other form of the same letters"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_whatever_a_user_s_umask_is_its_owner_and_nobody_else_reads_an_identity(run: Any, mask: int, tmp_path: Path) -> None:
    (tmp_path / "word").write_text(WORD)
    before = os.umask(mask)
    try:
        assert run("init", "--data", tmp_path / "d", "--passphrase-file", tmp_path / "word").code == 0
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in [tmp_path / "d", *(tmp_path / "d").iterdir()]}
    assert modes == {"d": "0o700", "config.toml": "0o600", "keystore.json": "0o600"}


@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (("id", "\N{EM DASH}data", "d"), "2014"),
        (("\N{EN DASH}-json", "id"), "2013"),
        (("id\N{NO-BREAK SPACE}--data", "d"), "00A0"),
        (("id", "--\N{ZERO WIDTH SPACE}json"), "200B"),
    ],
)
def test_what_an_editor_made_of_a_command_is_named(run: Any, words: tuple[str, ...], sign: str) -> None:
    ran = run(*words)
    assert ran.code == 2 and f"U+{sign} in it is not the hyphen or space that it looks like" in ran.err


def test_a_user_without_a_home_is_told_to_name_a_folder(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: Any, **__: Any) -> None:
        raise RuntimeError("no home")

    monkeypatch.setattr("platformdirs.user_data_path", homeless)
    ran = run("id")
    assert ran.code == 2 and "Name it with --data" in ran.err


def test_a_home_that_is_not_there_is_said_wherever_a_place_below_it_is_meant(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    assert "This user has no home. Set HOME" in run("data", "add", "x", "~nobody-is-called-so/y").err
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    ran = run("completion", "bash", "--install")
    assert ran.code == 2 and "This user has no home. Set HOME" in ran.err


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


def test_a_folder_that_others_may_read_is_closed_to_them(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    (tmp_path / "n").mkdir(mode=0o755)
    (tmp_path / "n").chmod(0o755)
    assert run("init", "--data", tmp_path / "n").code == 0
    assert stat.S_IMODE((tmp_path / "n").stat().st_mode) == 0o700


def test_a_name_that_leads_nowhere_is_an_identity_too(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk may not be mounted: what is made beside it would be another identity."""
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "keystore.json").symlink_to(tmp_path / "not" / "mounted")
    ran = run("init", "--data", tmp_path / "n")
    assert (
        ran.code == 2
        and "holds an identity already" in ran.err
        and list((tmp_path / "n").iterdir()) == [tmp_path / "n" / "keystore.json"]
    )


def test_a_network_is_installed_where_there_is_no_identity_yet(run: Any, tmp_path: Path) -> None:
    assert run("genesis", "new", "--name", "n", "--validator", f"{KEYS[0]}=1", "--out", tmp_path / "g.json").code == 0
    (tmp_path / "n").mkdir()
    ran = run("genesis", "install", tmp_path / "g.json", "--data", tmp_path / "n", "--json")
    assert ran.code == 0 and ran.json["member"] is None
    ran = run("genesis", "install", tmp_path / "g.json", "--data", tmp_path / "n")
    assert ran.code == 0 and "no member" not in ran.err, "the same one once more is nothing new"


def test_node_hands_over_to_the_daemon(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    run("init", "--data", tmp_path / "n")
    calls: list[Any] = []
    guarded: list[str] = []
    # It would guard the process of the tests for good.
    monkeypatch.setattr("learningchain.client.node.process.guard", guarded.append)

    def daemon_run(
        data: Path,
        keys: Callable[[], Keyring],
        *,
        work: bool | None,
        accept_new_guard: bool,
        signed_up_to: int | None,
        restart: bool,
    ) -> int:
        calls.append((data, keys().newest.address, work, accept_new_guard, signed_up_to, restart))
        return 7

    daemon = type(sys)("learningchain.client.daemon.main")
    daemon.run = daemon_run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "learningchain.client.daemon.main", daemon)
    monkeypatch.setattr("learningchain.client.daemon.main", daemon, raising=False)
    assert run("node", "--data", tmp_path / "n").code == 7
    assert guarded == ["LEARNINGCHAIN_PASSPHRASE"]
    assert run("node", "--data", tmp_path / "n", "--work", "--accept-new-guard").code == 7
    assert run("node", "--data", tmp_path / "n", "--no-work", "--signed-up-to", "70", "--restart").code == 7
    assert run("node", "--data", tmp_path / "n", "--signed-up-to", "-1").code == 2
    own = Keystore.open(tmp_path / "n" / "keystore.json", WORD).address
    given = ((None, False, None, False), (True, True, None, False), (False, False, 70, True))
    assert calls == [(tmp_path / "n", own, *words) for words in given]


"""What a node that runs no jobs needs neither for its first vote nor later."""


def test_a_node_without_identity_does_not_start(run: Any, tmp_path: Path) -> None:
    """Exit code 1, like everything else that keeps a node from starting."""
    ran = run("node", "--data", tmp_path)
    assert ran.code == 1 and "The node does not start: There is no keystore" in ran.err and "learningchain init" in ran.err
    ran = run("node", "--data", tmp_path, "--json")
    assert ran.code == 1 and ran.error["kind"] == "not_started"


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
