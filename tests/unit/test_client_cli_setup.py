"""The commands that make identities, networks and settings, and those that start nodes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client import keystore
from client.keyring import Keyring
from client.keystore import Keystore
from client.start import quick_imports
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


def test_a_setting_that_the_environment_overrides_is_not_effective(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("config", "set", "work.attempts", "5", "--data", tmp_path, "--json").json["effective"] is True
    monkeypatch.setenv("LEARNINGCHAIN_WORK_ATTEMPTS", "7")
    assert run("config", "set", "work.attempts", "6", "--data", tmp_path, "--json").json["effective"] is False
    for listen in ("127.0.0.1:1", "[::1]:1", "localhost:1"):
        assert "in reach of other machines" not in run("config", "set", "api.listen", listen, "--data", tmp_path).err
    for listen in ("0.0.0.0:1", "192.168.1.7:1", "[2001:db8::1]:1"):
        assert "in reach of other machines" in run("config", "set", "api.listen", listen, "--data", tmp_path).err


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


def test_who_is_shown_where_a_keystore_lies_beside_a_pairing(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    made = run("init", "--data", tmp_path / "n", "--json").json
    (tmp_path / "n" / "signer.pair").write_text("{}")
    assert run("id", "--data", tmp_path / "n", "--address").out.strip() == made["address"]
    assert run("id", "--data", tmp_path / "n", "--public-key").out.strip() == made["public_key"]


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
    monkeypatch.setattr("client.process.guard", guarded.append)  # it would guard the process of the tests for good

    def daemon_run(
        data: Path, keys: Callable[[], Keyring], *, work: bool | None, accept_new_guard: bool, signed_up_to: int | None
    ) -> int:
        calls.append((data, keys().newest.address, work, accept_new_guard, signed_up_to))
        return 7

    daemon = type(sys)("client.daemon")
    daemon.run = daemon_run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "client.daemon", daemon)
    monkeypatch.setattr("client.daemon", daemon, raising=False)
    assert run("node", "--data", tmp_path / "n").code == 7
    assert guarded == ["LEARNINGCHAIN_PASSPHRASE"]
    assert run("node", "--data", tmp_path / "n", "--work", "--accept-new-guard").code == 7
    assert run("node", "--data", tmp_path / "n", "--no-work", "--signed-up-to", "70").code == 7
    assert run("node", "--data", tmp_path / "n", "--signed-up-to", "-1").code == 2
    own = Keystore.open(tmp_path / "n" / "keystore.json", WORD).address
    given = ((None, False, None), (True, True, None), (False, False, 70))
    assert calls == [(tmp_path / "n", own, *words) for words in given]


def test_demo_hands_over_to_its_scene(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = type(sys)("examples.demo")
    seen: list[Any] = []
    scene.main = lambda **options: seen.append(options) or 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "examples.demo", scene)
    assert run("demo", "--json-file", tmp_path / "s.json").code == 1
    assert run("demo", "--keep", "--json").code == 1
    assert seen == [
        {"json_file": tmp_path / "s.json", "keep": False, "to_stderr": False},
        {"json_file": None, "keep": True, "to_stderr": True},
    ]


def test_an_installed_package_without_the_examples_says_where_the_demo_is(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "examples", type(sys)("examples"))
    monkeypatch.delitem(sys.modules, "examples.demo", raising=False)
    monkeypatch.setattr(sys.modules["examples"], "__path__", [], raising=False)
    ended = run("demo")
    assert ended.code == 1 and "Run `make demo` in a clone of the repository" in ended.err


HEAVY = {
    "docker",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "client.sdk",
    "client.work",
    "client.work_service",
    "sandbox",
    "cyclopts",
}
"""What a node that runs no jobs needs neither for its first vote nor later."""


def test_a_start_loads_nothing_that_its_first_vote_does_not_need() -> None:
    """And neither the network nor the database before it has begun with the slow part, the keystore."""
    program = (
        "import gc, os, ssl, sys, client.start; before = {'aiohttp', 'sqlalchemy', 'client.daemon'} & set(sys.modules)\n"
        "with client.start.quick_imports():\n    import client.daemon\n"
        f"late = {HEAVY!r} & set(sys.modules)\n"
        "from aiohttp import connector; read = connector._SSL_CONTEXT_VERIFIED.get_ca_certs()\n"
        "kept = 'SSL_CERT_FILE' in os.environ or not gc.isenabled() or gc.get_freeze_count() < 100_000\n"
        "import rich\n"
        "sys.exit(repr((before, late, read[:1], kept)) if before or late or read or kept else 0)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_start_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/own.pem")
    import rich

    with pytest.raises(ImportError), quick_imports():
        raise ImportError("a part is missing")
    assert os.environ["SSL_CERT_FILE"] == "/etc/own.pem"
    assert sys.modules["rich"] is rich
