"""`learningchain dashboard`: what a browser is started with, and what is printed where there is none."""

from __future__ import annotations

import re
import stat
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client_cli_kit import api as api
from tests.unit.client_cli_kit import clean_environment as clean_environment
from tests.unit.client_cli_kit import cli_server as cli_server
from tests.unit.client_cli_kit import run as run
from tests.unit.client_fake_api import Fake

CODE = "s3cret-code"
HOST = "lc-00ff.localhost"


@pytest.fixture
def linked(api: Fake) -> Fake:
    api.answers["POST /v1/dashboard/links"] = {"path": f"/dashboard/login?code={CODE}", "host": HOST, "good_for_s": 120}
    return api


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What browsers were started with."""
    words: list[str] = []

    def start(url: str, *_: Any) -> bool:
        words.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", start)
    return words


def test_a_browser_is_started_with_no_secret_and_finds_the_link_in_a_file_of_the_owner(
    run: Any, linked: Fake, started: list[str], tmp_path: Path
) -> None:
    """Its words stand in /proc for every user of the machine."""
    ran = run("dashboard", "--open")
    assert ran.code == 0 and CODE not in ran.out + ran.err
    file = tmp_path / "node" / "dashboard.html"
    assert started == [file.as_uri()] and CODE not in started[0] and HOST not in started[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    port = linked.url.rpartition(":")[2]
    [way] = re.findall(r'content="0; url=([^"]+)"', file.read_text())
    assert way == f"http://{HOST}:{port}/dashboard/login?code={CODE}"


def test_what_a_node_says_is_text_in_that_file(run: Any, linked: Fake, started: list[str], tmp_path: Path) -> None:
    linked.answers["POST /v1/dashboard/links"] = {"path": '/"><script>x</script>', "host": HOST, "good_for_s": 120}
    assert run("dashboard", "--open").code == 0
    assert "<script>" not in (tmp_path / "node" / "dashboard.html").read_text()


def test_a_link_of_that_name_in_the_folder_is_not_followed(run: Any, linked: Fake, started: list[str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / "node" / "dashboard.html").symlink_to(other)
    run("dashboard", "--open")
    assert other.read_text() == "kept"


def test_without_a_browser_the_link_is_printed(run: Any, linked: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> bool:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "open", none)
    for words in (("--open",), ("--no-open",)):
        ran = run("dashboard", *words)
        assert ran.code == 0 and f"http://{HOST}:" in ran.out and f"code={CODE}" in ran.out
