"""`db check` and `db copy`, as somebody types them: between a file and a real server, and never with a password to be seen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.storage import schema
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.datadir import DataDir
from learningchain.client import config
from tests.postgres import Server
from tests.postgres import postgres as postgres
from tests.unit.node_kit import Net
from tests.unit.test_client_cli_restart import CHAIN, HEIGHTS, folder_of
from tests.unit.test_node_sync import chain_of

pytest_plugins = ["tests.unit.client_cli_kit"]
SECRET = "sesame-open"


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


@pytest.fixture
def here(tmp_path: Path, net: Net) -> Path:
    return folder_of(tmp_path / "here", net)


def test_a_good_database_holds_and_a_rotten_one_is_named(run: Any, here: Path) -> None:
    ran = run("db", "check", "--json", "--data", here)
    assert ran.code == 0, ran.err
    assert (ran.json["holds"], ran.json["height"], ran.json["first_block"]) == (True, HEIGHTS, 1)
    store = BlockStore.open(str(here / "db"), chain_id=CHAIN, create=False)
    with store.write("spoil it") as c:
        c.execute(schema.blocks.update().where(schema.blocks.c.height == 2).values(receipts=b"rot"))
    store.close()
    assert run("db", "check", "--quick", "--data", here).code == 0
    ran = run("db", "check", "--data", here)
    assert ran.code == 1 and "damaged at receipts of height 2" in ran.err and "restore the database" in ran.err


def test_a_running_node_is_left_alone(run: Any, here: Path, tmp_path: Path) -> None:
    folder = DataDir.open(str(here), create=False)
    for words in (["check"], ["copy", str(tmp_path / "copy")]):
        ran = run("db", *words, "--data", here)
        assert ran.code == 1 and "a node is already running there" in ran.err
    folder.close()
    assert not (tmp_path / "copy").exists()


def test_to_a_server_and_back(run: Any, here: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("db", "check", "--json", "--data", here).json
    url = postgres.new_schema().replace("postgres@", f"postgres:{SECRET}@")
    refused = run("db", "copy", url, "--data", here)
    assert refused.code == 2 and "~/.pgpass" in refused.err and SECRET not in refused.out + refused.err
    monkeypatch.setattr("sys.stdin", io.StringIO(url + "\n"))
    ran = run("db", "copy", "-", "--use", "--json", "--data", here)
    assert ran.code == 0, ran.err
    assert SECRET not in ran.out + ran.err and "postgres:***@" in ran.json["target"]
    assert config.load(here).config.storage.url == url
    there = run("db", "check", "--json", "--data", here)
    same = ("height", "block", "state_root", "first_block")
    assert [there.json[name] for name in same] == [first[name] for name in same]
    assert SECRET not in there.out + there.err and "***" in there.json["database"]
    ran = run("db", "copy", here / "db", "--use", "--data", here)
    assert ran.code == 1 and "is not empty" in ran.err, "the old file is still there"
    (here / "db").rename(here / ".db.old")
    ran = run("db", "copy", here / "db", "--use", "--data", here)
    assert ran.code == 0, ran.err
    assert config.load(here).config.storage.url == ""
    assert run("db", "check", "--json", "--data", here).json == first


@pytest.mark.parametrize("given", ["", "\n", "postgresql://h/" + "x" * 2_000])
def test_no_url_on_standard_input_is_told(run: Any, here: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    ran = run("db", "copy", "-", "--data", here)
    assert ran.code == 2 and "holds no URL" in ran.err and "xxx" not in ran.err
