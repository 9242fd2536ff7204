"""What editors, shells and other systems add to a text does not count, wherever a person's text is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.client import config
from learningchain.client.callbacks.signatures import secret_text
from learningchain.client.cli.common import json_object
from learningchain.client.contracts.prediction.cli.ask import read_rows
from learningchain.client.contracts.prediction.http.model_schema import parse_schema
from learningchain.client.contracts.prediction.sdk import rows_text
from learningchain.client.data.table_schema import parse_table_schema
from learningchain.client.keys import names
from learningchain.client.keys.keystore import Keystore
from learningchain.client.node.daemon import api_token
from learningchain.client.notify.service import secret_of
from learningchain.client.sdk.http import read_token
from tests.unit.client_cli_kit import WORD

pytest_plugins = ["tests.unit.client_cli_kit"]
ME = "lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq"
MARK = b"\xef\xbb\xbf"


READ: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "config.toml": ('name = "alice"\n', lambda path: config.load(path.parent, {}).config.name),
    "names.json": (
        '{"version": 1, "names": {"lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq": "alice"}}',
        lambda path: names.load(path.parent).address("alice"),
    ),
    "api.token": ("x" * 40 + "\n", lambda path: (read_token(path), read_token(path, own=True), api_token(path.parent))),
    "notify.secret": (secret_text(b"k" * 32) + "\n", lambda path: secret_of(path.parent)),
    "params.json": ('{"epochs": 5}', lambda path: json_object(f"@{path}")),
    "rows.jsonl": ("[1]\n", lambda path: (read_rows((), path), rows_text(path))),
    "model.schema": ('{"inputs": [{"name": "a", "datatype": "FP64", "shape": [1]}]}', lambda path: parse_schema(path.read_bytes())),
    "table.schema": ('{"columns": [{"name": "a", "datatype": "FP64"}]}', lambda path: parse_table_schema(path.read_bytes())),
}


@pytest.mark.parametrize("name", READ)
def test_a_byte_order_mark_before_a_text_is_no_part_of_it(tmp_path: Path, name: str) -> None:
    text, read = READ[name]
    path = tmp_path / name
    path.write_text(text)
    plain = read(path)
    path.write_bytes(MARK + text.encode())
    assert read(path) == plain


@pytest.mark.parametrize("saved", [MARK + f"{WORD}\r\n".encode(), f"{WORD}\n\n".encode(), f"{WORD}\r".encode(), WORD.encode()])
def test_a_keystore_that_a_file_made_opens_when_its_line_is_typed(
    run: Any, tmp_path: Path, saved: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, file = tmp_path / "node", tmp_path / "word"
    file.write_bytes(saved)
    assert run("init", "--data", data, "--passphrase-file", file).code == 0
    assert Keystore.open(data / "keystore.json", WORD).address
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", saved.decode())
    assert run("keystore", "export", tmp_path / "copy", "--data", data, "--new-passphrase-file", file).code == 0


@pytest.mark.parametrize("saved", [f"{WORD}\nand more\n", f"{WORD}\rand more", f"\n{WORD}\n"])
def test_a_passphrase_of_two_lines_is_refused_by_name(
    run: Any, tmp_path: Path, saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, file = tmp_path / "node", tmp_path / "word"
    file.write_bytes(saved.encode())
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", saved)
    for where, words in ((str(file), ["--passphrase-file", str(file)]), ("LEARNINGCHAIN_PASSPHRASE", [])):
        ran = run("init", "--data", data, *words)
        assert ran.code == 2 and where in ran.err and "more than one line" in ran.err and not data.exists()
        assert WORD not in ran.err


def test_a_network_s_file_is_installed_without_its_mark(run: Any, tmp_path: Path) -> None:
    file, data = tmp_path / "genesis.json", tmp_path / "node"
    (tmp_path / "word").write_text(WORD)
    assert run("init", "--data", data, "--passphrase-file", tmp_path / "word").code == 0
    key = run("id", "--public-key", "--data", data).out.strip()
    assert run("genesis", "new", "--out", file, "--name", "net", "--validator", f"{key}=10").code == 0
    file.write_bytes(MARK + file.read_bytes())
    assert run("genesis", "install", file, "--data", data).code == 0
    assert (data / "genesis.json").read_bytes()[:1] == b"{"
