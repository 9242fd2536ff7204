"""What the tests of the command line share: the fake API in the environment, and running a command in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli.app import main
from learningchain.client.keys import keystore
from tests.unit.client_fake_api import TOKEN, Fake, serving

WORD = "correct horse battery"


class Ran:
    """How a command ended."""

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


@pytest.fixture(scope="module")
def cli_server() -> Iterator[Fake]:
    with serving() as fake:
        yield fake


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LEARNINGCHAIN_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)


@pytest.fixture
def api(cli_server: Fake, clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """The fake API, and an environment in which every command finds it."""
    before = dict(cli_server.answers)
    cli_server.seen.clear()
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "api.token").write_text(TOKEN)
    monkeypatch.setenv("LEARNINGCHAIN_DATA", str(tmp_path / "node"))
    monkeypatch.setenv("LEARNINGCHAIN_API", cli_server.url)
    yield cli_server
    cli_server.hold.clear()
    cli_server.answers = before


@pytest.fixture
def run(clean_environment: None, capsys: pytest.CaptureFixture[str]) -> Any:
    def run_it(*words: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ran(code, out, err)

    return run_it
