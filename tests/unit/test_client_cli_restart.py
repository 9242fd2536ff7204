"""`restart plan | make | check`: everybody makes the same file, and what is otherwise in one is named (LC-BLK-37 to LC-BLK-40)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.crypto import address
from learningchain.chain.host import account_key
from learningchain.chain.ledger.genesis import RestartedGenesis, first_state, from_json, to_json
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.client.cli import restart
from learningchain.client.cli.restart import fingerprint
from tests.unit.node_kit import Net, genesis, ident
from tests.unit.test_client_audit import keep, taken_over
from tests.unit.test_node_executed_blocks import told
from tests.unit.test_node_sync import chain_of

pytest_plugins = ["tests.unit.client_cli_kit"]
HEIGHTS = 5
CHAIN = genesis().chain_id
STAY = [address(ident(n)) for n in range(2)]


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


def folder_of(path: Path, net: Net, heights: int = HEIGHTS) -> Path:
    """A data folder whose node has so many blocks."""
    path.mkdir()
    (path / "genesis.json").write_bytes(to_json(genesis()))
    store = BlockStore.open(str(path / "db"), chain_id=CHAIN, create=True)
    store.commit(CommitBatch(0, CHAIN, b"", b"", [], [], [], first_state(genesis())[1]))
    keep(store, taken_over(told(net))[:heights])
    store.close()
    return path


@pytest.fixture
def here(tmp_path: Path, net: Net) -> Path:
    return folder_of(tmp_path / "here", net)


def made(run: Any, folder: Path, out: Path, *names: str) -> RestartedGenesis:
    chosen = [word for name in (names or STAY) for word in ("--validator", name)]
    ran = run("restart", "make", out, "--name", "again", *chosen, "--data", folder)
    assert ran.code == 0, ran.err
    found = from_json(out.read_bytes())
    assert isinstance(found, RestartedGenesis)
    return found


def test_the_plan_says_what_to_compare(run: Any, here: Path) -> None:
    ran = run("restart", "plan", "--json", "--data", here)
    assert ran.code == 0 and ran.json["height"] == HEIGHTS and ran.json["quorum"] == 3
    assert ran.json["chain_id"] == CHAIN.hex() and set(STAY) <= set(ran.json["validators"])
    ran = run("restart", "plan", "--data", here)
    assert "block id" in ran.out and "restart make FILE" in ran.err


def test_everybody_makes_the_same_file_and_finds_it_right(run: Any, here: Path, tmp_path: Path, net: Net) -> None:
    found = made(run, here, tmp_path / "a.json")
    other = folder_of(tmp_path / "other", net)
    made(run, other, tmp_path / "b.json", *reversed(STAY))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    ran = run("restart", "check", tmp_path / "a.json", "--data", other)
    assert ran.code == 0 and "byte for byte" in ran.out and fingerprint(found.chain_id) in ran.out
    agreed = [word for name in STAY for word in ("--validator", name)]
    ran = run("restart", "check", tmp_path / "a.json", *agreed, "--json", "--data", other)
    assert ran.code == 0 and ran.json["holds"] and ran.json["differences"] == []
    ran = run("genesis", "show", tmp_path / "a.json", "--json")
    assert ran.json["base"]["height"] == HEIGHTS and ran.json["base"]["chain_id"] == CHAIN.hex()
    assert sum(account["validator"] for account in ran.json["accounts"]) == len(STAY)


def _edited(path: Path, found: RestartedGenesis, **records: int) -> Path:
    """Micro-credits more or less on accounts."""
    document = json.loads(to_json(found))
    state = first_state(found)[0]
    for name, more in records.items():
        key = account_key(ident(int(name[1:])))
        account: Any = state.get(key)
        document["base"]["records"][key.hex()] = encode(replace(account, balance=account.balance + more)).hex()
    path.write_text(json.dumps(document))
    return path


def test_a_forged_file_is_named(run: Any, here: Path, tmp_path: Path) -> None:
    found = made(run, here, tmp_path / "good.json")
    forged = _edited(tmp_path / "moved.json", found, n0=1, n1=-1)
    ran = run("restart", "check", forged, "--data", here)
    assert ran.code == 1 and "Do not start it" in ran.out
    assert ran.out.count("balance of Account") == 2 and STAY[0] in ran.out and STAY[1] in ran.out
    ran = run("restart", "check", _edited(tmp_path / "more.json", found, n0=1), "--data", here)
    assert ran.code == 2 and "not what their supply says" in ran.err
    document = json.loads(to_json(found)) | {"time": found.time + 1}
    (tmp_path / "time.json").write_text(json.dumps(document))
    ran = run("restart", "check", tmp_path / "time.json", "--json", "--data", here)
    assert ran.code == 1 and len(ran.json["differences"]) == 1 and "time is" in ran.json["differences"][0]


def test_what_cannot_be_is_refused_with_its_reason(run: Any, here: Path, tmp_path: Path, net: Net) -> None:
    ran = run("restart", "check", here / "genesis.json", "--data", here)
    assert ran.code == 2 and "no base to check" in ran.err
    stranger = address(b"\1" * 20)
    ran = run("restart", "make", tmp_path / "x.json", "--name", "again", "--validator", stranger, "--data", here)
    assert ran.code == 1 and "has no account in the base" in ran.err and not (tmp_path / "x.json").exists()
    there = here / "genesis.json"
    chosen = [word for name in STAY for word in ("--validator", name)]
    again = ("restart", "make", there, "--name", "again", *chosen, "--data", here)
    before, ran = there.read_bytes(), run(*again)
    assert ran.code == 2 and "say --force" in ran.err and there.read_bytes() == before
    ran = run("restart", "plan", "--data", folder_of(tmp_path / "empty", net, 0))
    assert ran.code == 1 and "no block yet" in ran.err


def at(height: int, chain: bytes = b"c" * 32, block: bytes = b"i" * 32) -> Any:
    """A base, and a header whose id it is."""
    return SimpleNamespace(chain_id=chain, height=height, block_id=block)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (at(7), None),
        (at(7, chain=b"o" * 32), "the file restarts the chain " + (b"o" * 32).hex()),
        (at(6), "block 7 would be undone"),
        (at(4), "block 5 to 7 would be undone"),
        (at(8), "the file goes on after block 8, this node's chain ends with 7"),
        (at(7, block=b"j" * 32), "block 7 of the file is " + (b"j" * 32).hex()),
    ],
)
def test_a_base_is_the_newest_block_of_this_very_chain(monkeypatch: pytest.MonkeyPatch, base: Any, said: str | None) -> None:
    monkeypatch.setattr("learningchain.chain.types.block_id", lambda header: header.block_id)
    found: Any = SimpleNamespace(base=base)
    wrong = restart._wrong_base(found, restart.ChainEnd(None, at(7), None))  # type: ignore[arg-type]
    assert wrong == [] if said is None else len(wrong) == 1 and said in wrong[0]
