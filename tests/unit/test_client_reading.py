"""What editors, shells and other systems add to a text does not count, wherever a person's text is read."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation.messages import MAX_FEDERATION_PARAMS
from learningchain.chain.contracts.job.messages import MAX_PARAMS_BYTES
from learningchain.chain.contracts.prediction.messages import MAX_MODEL_PARAMS
from learningchain.client import config, reading
from learningchain.client.callbacks.signatures import parse_secret, secret_text
from learningchain.client.cli.callbacks import secret_in
from learningchain.client.cli.common import MAX_PARAMS, WrongUsage, json_object, read_params
from learningchain.client.contracts.keys.http import request
from learningchain.client.contracts.membership.http import token
from learningchain.client.contracts.prediction.cli.ask import read_rows
from learningchain.client.contracts.prediction.http.model_schema import BadRow, decode_rows, parse_schema
from learningchain.client.contracts.prediction.sdk import rows_text
from learningchain.client.daemon.opening import api_token
from learningchain.client.data.table_schema import parse_table_schema
from learningchain.client.keys import names
from learningchain.client.keys.keystore import Keystore
from learningchain.client.machines import trust
from learningchain.client.notify.service import secret_of
from learningchain.client.sdk.http import read_token
from learningchain.sandbox.building.folder import read_list
from tests.unit.client_cli_kit import WORD
from tests.unit.ledger_kit import id_of, key_of
from tests.unit.test_client_cli_members import signed

pytest_plugins = ["tests.unit.client_cli_kit"]
ROOT = Path(__file__).parents[2]
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
    "callback.secret": (secret_text(b"k" * 32) + "\n", secret_in),
    "requirements.lock": ("six==1.17.0 --hash=sha256:0\n", read_list),
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


def test_a_mark_before_rows_that_are_kept_as_they_are_is_named() -> None:
    wanted = parse_schema(b'{"inputs": [{"name": "a", "datatype": "FP64"}]}')
    assert decode_rows(wanted, b"[1.5]\r\n[2]\r\n") == [[1.5], [2]]
    with pytest.raises(BadRow, match="begins with a byte order mark; save the file as UTF-8 without one"):
        decode_rows(wanted, MARK + b"[1.5]\n")


def test_a_passphrase_comes_from_a_pipe_and_not_in_utf_16(run: Any, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, f"{WORD}\n".encode())
    os.close(write)
    assert run("init", "--data", tmp_path / "a", "--passphrase-file", f"/dev/fd/{read}").code == 0
    os.close(read)
    assert Keystore.open(tmp_path / "a" / "keystore.json", WORD).address
    (tmp_path / "word").write_text(WORD, "utf-16")
    refused = run("init", "--data", tmp_path / "b", "--passphrase-file", tmp_path / "word")
    assert refused.code == 2 and "is not UTF-8 text. Save it as UTF-8" in refused.err and not (tmp_path / "b").exists()


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


WRAPPED = ("\r\n\t", *"\N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{SOFT HYPHEN}\N{WORD JOINER}", reading.MARK)
MACHINE = trust.MachineJoinToken("127.0.0.1:7403", bytes(32), bytes(range(32))).text()
COPIED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "invitation": (signed(), token.parse_token),
    "recovery": (request.make_request(key_of("alice"), id_of("alice"), bytes(32)), request.parse_request),
    "machine": (MACHINE, trust.parse_token),
    "callback": (secret_text(bytes(range(32))), parse_secret),
}


@pytest.mark.parametrize("sign", WRAPPED, ids=ascii)
@pytest.mark.parametrize("kind", COPIED)
def test_what_mail_and_chats_put_into_a_long_word_is_no_part_of_it(kind: str, sign: str) -> None:
    text, parse = COPIED[kind]
    for place in (0, 2, len(text) // 2, len(text)):
        assert parse(text[:place] + sign + text[place:]) == parse(text)


def test_a_network_s_file_is_installed_without_its_mark(run: Any, tmp_path: Path) -> None:
    file, data = tmp_path / "genesis.json", tmp_path / "node"
    (tmp_path / "word").write_text(WORD)
    assert run("init", "--data", data, "--passphrase-file", tmp_path / "word").code == 0
    key = run("id", "--public-key", "--data", data).out.strip()
    assert run("genesis", "new", "--out", file, "--name", "net", "--validator", f"{key}=10").code == 0
    file.write_bytes(MARK + file.read_bytes())
    assert run("genesis", "install", file, "--data", data).code == 0
    assert (data / "genesis.json").read_bytes()[:1] == b"{"


# --- one way for each kind of text ----------------------------------------------------------------------------------------------

WAYS: dict[str, dict[str, str]] = {
    "the environment": {
        "client/reading.py": "the one function",
        "client/config/loading.py": "hands all of it to the one function",
        "client/cli/lab.py": "hands it on to nodes",
        "client/machines/slurm.py": "hands it on to Slurm's commands, without what is the node's",
        "client/cli/machine.py": "what Slurm gave this job",
        "client/notify/delivery.py": "hands it on to the owner's command",
        "client/daemon/start.py": "puts back what a library would load",
        "client/node/process.py": "takes secrets out of it",
    },
    "a text file": {
        "client/cli/completion.py": "a shell's start file, searched for a line of ours",
        "client/cli/lab.py": "the end of a node's log",
        "client/contracts/__init__.py": "what a package says of itself",
        "client/contracts/job/cli/new.py": "files of this package",
        "client/contracts/prediction/roles/table.py": "the one for tables of rows",
        "client/api/load.py": "the kernel's",
        "client/node/process.py": "the kernel's",
        "client/node/processors.py": "the kernel's",
        "client/daemon/restart.py": "the kernel's",
        "client/sdk/listener.py": "the kernel's",
        "sandbox/building/folder.py": "a list of packages; rooms below the client have no other way",
        "sandbox/building/function.py": "in a container, what the sandbox wrote",
    },
    "a table": {
        "client/contracts/prediction/roles/table.py": "the one for tables of rows",
        "client/data/separators.py": "how a table is written",
        "client/data/table_schema.py": "the one for tables of own data",
    },
    "what is typed": {
        "client/cli/common.py": "the one for secrets and questions",
        "client/cli/database.py": "a URL with a password, which is no argument",
        "client/cli/top.py": "keys of a live picture",
        "client/contracts/prediction/cli/ask.py": "rows from a pipe",
        "sandbox/building/function.py": "in a container, what the sandbox sends",
    },
}
_NAMED = {"os.environ": "the environment", "os.getenv": "the environment", "sys.stdin": "what is typed", "csv.reader": "a table"}
_CALLED = {"input": "what is typed", "getpass": "what is typed", "read_text": "a text file", "DictReader": "a table"}


def ways_of(tree: ast.AST) -> set[str]:
    """What of a person's texts a module reads by itself."""
    named = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    found = {_NAMED[name] for name in named if name in _NAMED}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            found |= {_CALLED[name]} if name in _CALLED else set()
            if name in ("open", "fdopen"):
                given = node.args if isinstance(node.func, ast.Attribute) and name == "open" else node.args[1:]
                given = [*given, *(word.value for word in node.keywords if word.arg == "mode")]
                mode = ast.literal_eval(given[0]) if given and isinstance(given[0], ast.Constant) else "" if given else "r"
                found |= {"a text file"} if mode in ("r", "rt", "r+") else set()
    return found


def test_no_module_goes_around_the_one_way_to_read_what_people_write() -> None:
    found: dict[str, set[str]] = {way: set() for way in WAYS}
    for room in ("client", "sandbox/building"):
        for path in (ROOT / room).rglob("*.py"):
            for way in ways_of(ast.parse(path.read_text(encoding="utf-8"))):
                found[way].add(path.relative_to(ROOT).as_posix())
    for way, files in found.items():
        assert files == WAYS[way].keys(), f"{way}: use client/reading.py, or say here why not: {files ^ WAYS[way].keys()}"


OTHER = (
    *("os.getenv('A')", "os.environ['A']", "path.open()", "path.open(mode='r')", "open(path)", "os.fdopen(3)", "path.read_text()"),
    *("csv.reader(f)", "csv.DictReader(f)", "getpass.getpass()", "input()", "sys.stdin.read()"),
)


@pytest.mark.parametrize("line", OTHER)
def test_each_other_way_is_seen(line: str) -> None:
    assert len(ways_of(ast.parse(line))) == 1
    assert not ways_of(ast.parse("reading.file(path, 9); path.open('rb'); path.open('x'); Store.open(path); os.fdopen(3, 'wb')"))


def test_a_file_of_params_is_read_whole_or_refused_and_the_bound_is_that_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_text('{"a": 1}' + " " * (65_536 - 8))
    assert read_params(f"@{path}") == {"a": 1}
    path.write_text('{"a": 1}' + " " * 65_536)
    with pytest.raises(WrongUsage, match="more than 65536 bytes"):
        read_params(f"@{path}")
    assert MAX_PARAMS == MAX_PARAMS_BYTES == MAX_FEDERATION_PARAMS == MAX_MODEL_PARAMS
