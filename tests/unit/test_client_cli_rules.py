"""What commands share, piece by piece: where a passphrase comes from, texts for people, which node is asked, how commands end."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli import app, common, ready
from learningchain.client.cli.common import MAX_PASSPHRASE_FILE, PASSPHRASE_VARIABLE, Common, WrongUsage, passphrase
from learningchain.client.config import ConfigError, parse, parse_value
from learningchain.client.sdk import types as sdk_types
from learningchain.client.sdk.types import UsageError

pytest_plugins = ["tests.unit.client_cli_kit"]


# --- passphrases ----------------------------------------------------------------------------------------------------------------


def test_a_file_goes_before_the_environment_and_that_before_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: (asked.append(prompt), "typed")[1])
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "of the environment")
    (tmp_path / "word").write_text("of the file\n")
    assert passphrase(tmp_path / "word", confirm=True) == "of the file"
    assert passphrase(None, confirm=True) == "of the environment"
    assert asked == []
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")  # is not set
    assert passphrase(None, confirm=False) == "typed" and len(asked) == 1
    assert passphrase(None, confirm=True) == "typed" and len(asked) == 3


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b" spaces stay \n", " spaces stay "),
        (b"dos\r\n", "dos"),
        (b"none", "none"),
        ("\u00e9\n".encode(), "\u00e9"),
        (b"x" * MAX_PASSPHRASE_FILE, "x" * MAX_PASSPHRASE_FILE),
    ],
)
def test_a_passphrase_file_is_its_line_without_the_end(tmp_path: Path, raw: bytes, word: str) -> None:
    (tmp_path / "word").write_bytes(raw)
    assert passphrase(tmp_path / "word", confirm=False) == word


@pytest.mark.parametrize(
    ("raw", "said"),
    [(b"x" * (MAX_PASSPHRASE_FILE + 1), "more than 4096 bytes"), (b"secret\xff", "not UTF-8"), (None, "No such")],
)
def test_a_file_that_holds_no_passphrase_is_not_shown(tmp_path: Path, raw: bytes | None, said: str) -> None:
    if raw is not None:
        (tmp_path / "word").write_bytes(raw)
    with pytest.raises(WrongUsage, match=said) as fault:
        passphrase(tmp_path / "word", confirm=False)
    assert "xxx" not in str(fault.value) and "secret" not in str(fault.value)


# --- secrets that settings hold ---------------------------------------------------------------------------------------------------

URL = "postgresql://u:sesame@h/db"


def test_a_database_password_is_not_said_again_by_who_changes_it_or_refuses_it(run: Any, tmp_path: Path) -> None:
    """Terminals and logs are kept and shown to others."""
    for words in ([], ["--json"]):
        ran = run("config", "set", "storage.url", URL, "--data", tmp_path, *words)
        assert ran.code == 0 and "u:***@h/db" in ran.out
        assert "sesame" not in ran.out + ran.err
    assert "sesame" in (tmp_path / "config.toml").read_text()
    for refused in (
        lambda: parse_value("storage.url", URL + "x" * 2_000, "environment variable LEARNINGCHAIN_STORAGE_URL"),
        lambda: parse(f'storage.url = "{URL}{"x" * 2_000}"', "config.toml"),
    ):
        with pytest.raises(ConfigError, match=r"storage\.url") as fault:
            refused()
        assert "sesame" not in str(fault.value)


# --- which node is asked ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(clean_environment: None, tmp_path: Path) -> Path:
    (tmp_path / "api.token").write_text("t" * 32 + "\n")
    return tmp_path


def test_a_token_that_is_named_goes_before_the_folder_s_and_must_be_there(folder: Path, tmp_path: Path) -> None:
    from learningchain.client.sdk import client as sdk

    (tmp_path / "other").write_text("o" * 32)
    seen: list[str | None] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sdk, "Client", lambda url, token: seen.append(token))
        Common(data=folder, token_file=tmp_path / "other").client()
        Common(data=folder).client()
        (folder / "api.token").unlink()
        Common(data=folder).client()
        assert seen == ["o" * 32, "t" * 32, None], "without any, the node says what is missing"
        with pytest.raises(WrongUsage, match="no token file"):
            Common(data=folder, token_file=tmp_path / "none").client()


def test_a_link_in_the_folder_leads_to_no_token(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("o" * 32)
    (folder / "api.token").unlink()
    (folder / "api.token").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="cannot be read"):
        Common(data=folder).client()


def test_a_receipt_takes_the_place_of_nothing_not_even_of_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "not" / "there")
    (tmp_path / "file").write_bytes(b"")
    for taken in ("link", "file"):
        with pytest.raises(WrongUsage, match="Nothing was sent"):
            Common(data=folder, receipt=tmp_path / taken).client()


# --- how commands end -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("rejected", 1),
        ("invalid", 1),
        ("usage", 2),
        ("not_found", 2),
        ("unauthorized", 2),
        ("unreachable", 3),
        ("unavailable", 3),
        ("bad_content", 3),
    ],
)
def test_every_kind_of_error_has_its_exit_code(kind: str, code: int) -> None:
    assert app._EXIT[kind] == code
    assert set(app._EXIT) == {each.kind for each in _errors(sdk_types.ApiError)}


def _errors(kind: type[sdk_types.ApiError]) -> list[type[sdk_types.ApiError]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_errors(sub))]


# --- who runs ---------------------------------------------------------------------------------------------------------------------


def test_a_folder_s_node_runs_while_the_process_that_locked_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock"
    assert not ready._running(lock)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for text, runs in (
        (str(os.getpid()), True),
        (f"{os.getpid()}\n", True),
        (str(ended.pid), False),
        ("0", False),
        ("-1", False),
        (str(-os.getpid()), False),
        ("", False),
        ("a node", False),
        ("9" * 30, False),
    ):
        lock.write_text(text)
        monkeypatch.setattr(os, "kill", only_ours)
        assert ready._running(lock) is runs, text
    lock.write_text("1")

    def not_ours(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_ours)
    assert ready._running(lock), "it is somebody else's, and there"
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(str(os.getpid()))
    assert not ready._running(lock)


def only_ours(pid: int, signal: int) -> None:
    """Looks, and does nothing to anybody."""
    assert signal == 0
    if pid > 2**31:
        raise OverflowError
    if pid > 0 and pid != os.getpid():
        raise ProcessLookupError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (0.6, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (86_400, "1 d"),
        (86_399, "23 h 59 min"),
        (90_061, "1 d 1 h"),
        (86_460, "1 d 1 min"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert common.span(seconds) == text


def test_times_of_day_are_milliseconds() -> None:
    now = int(time.time() * 1_000)
    assert common.when(now)[:4] == str(time.localtime(now // 1_000).tm_year)
    assert common.ago(now - 61_500).startswith("1 min") and common.ago("5") == "-"
