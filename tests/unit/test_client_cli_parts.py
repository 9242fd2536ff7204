"""What the commands make of the node's answers: who is what, what is told of troubles, what a genesis holds, exit codes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chain.crypto import SigningKey, sha256
from chain.ledger.genesis import to_json
from client.cli import ledger, network, ready
from client.cli.common import WrongUsage
from client.cli.ledger import MAX_TROUBLES, PENDING, finished, paid_by_hand, role_of
from client.cli.network import make_genesis, put_genesis

KEYS = [SigningKey(sha256(bytes((n,)))).public.hex() for n in range(4)]


# --- what a node says -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("validator", "verifier", "role"),
    [(True, True, "validator"), (True, False, "validator"), (False, True, "verifier"), (False, False, "member")],
)
def test_a_validator_is_told_as_such_though_it_verifies_too(validator: bool, verifier: bool, role: str) -> None:
    assert role_of(cast(Any, {"validator": validator, "verifier": verifier})) == role


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"audited": 9, "height": 9}, "every block was executed here"),
        ({"audited": 8, "height": 9}, "every block was executed here"),
        ({"audited": 7, "height": 9}, "up to block 7; those after it rest on their certificates"),
        ({"audited": 9, "height": 9, "first_block": 1}, "every block was executed here"),
        ({"audited": 9, "height": 9, "first_block": 2}, "every block from 2 on"),
    ],
)
def test_how_far_a_node_executed_its_blocks_itself(found: dict[str, int], says: str) -> None:
    assert says in ledger._audited(cast(Any, found))


def event(what: str, address: str, reason: str = "it broke") -> dict[str, str]:
    return {"event": what, "address": address, "reason": reason}


def test_troubles_are_told_once_each_and_not_where_it_came_right() -> None:
    """Newest first. Of who knocks the host is told: its port is another one each time."""
    seen = [
        event("dial failed", "a:1"),
        event("peer connected", "b:1"),
        event("dial failed", "b:1"),
        event("dial failed", "a:1"),
        event("dial failed", "c:1", "it is the node itself"),
        event("peer gone", "d:1"),
        event("connection refused", "e:5001"),
        event("connection refused", "e:5002"),
        event("dial failed", "f:1"),
        event("dial failed", "f:2"),
    ]
    assert [one["address"] for one in ledger._troubles(seen)] == ["a:1", "e:5001", "f:1", "f:2"]
    assert len(ledger._troubles([event("dial failed", f"x:{n}") for n in range(50)])) == MAX_TROUBLES


def test_only_who_was_paid_by_hand_is_known_by_it() -> None:
    """Whoever sends a grain of credits from an address that looks like a known one does not become known."""
    entries: list[dict[str, Any]] = [
        {"reason": "transfer", "other": "paid", "amount": "-1"},
        {"reason": "transfer", "other": "payer", "amount": "+1"},
        {"reason": "bounty", "other": "job", "amount": "-1"},
        {"reason": "transfer", "other": None, "amount": "-1"},
    ]
    assert paid_by_hand(entries) == {"paid"}


def test_the_receipt_of_a_transaction_stands_behind_that_of_its_block() -> None:
    asked: list[tuple[int, int]] = []

    class Node:
        async def tx(self, tx: str) -> dict[str, int]:
            return {"height": 7, "index": 2}

        async def receipt(self, height: int, index: int) -> dict[str, int]:
            asked.append((height, index))
            return {}

    asyncio.run(ledger._proven(cast(Any, Node()), "ab"))
    assert asked == [(7, 3)]


@pytest.mark.parametrize(
    ("done", "wait", "code"),
    [({"height": 5}, 10, 0), ({"tx": "ab"}, 0, 0), ({"tx": "ab"}, 10, PENDING)],
    ids=["final", "nobody waited", "in time nothing"],
)
def test_how_a_submission_ends(done: dict[str, Any], wait: float, code: int) -> None:
    told: list[str] = []
    common: Any = SimpleNamespace(out=SimpleNamespace(note=told.append), keep_receipt=lambda done: None)
    assert finished(common, cast(Any, done), wait) == code
    assert ["tx show ab" in text for text in told] == ([True] if code else [])


# --- a genesis --------------------------------------------------------------------------------------------------------------------


def test_a_new_network_has_the_members_that_were_named() -> None:
    made = make_genesis("n", [f"{KEYS[0]}=5"], [f"{KEYS[1]}=2.5"], [KEYS[2]], ["job_reveal=30s", "block_txs=100"], now=1_000.5)
    assert [(a.validator, a.verifier, a.credits) for a in made.accounts] == [
        (True, True, 5_000_000),
        (False, True, 2_500_000),
        (False, False, 0),
    ]
    assert made.time == 1_000_500
    params = network._document(made)["params"]
    assert (params["job_reveal"], params["block_txs"]) == (30_000, 100)
    assert network._document(made)["supply"] == "7.5"


@pytest.mark.parametrize("ran", ["db", "wal", "guard"])
def test_a_folder_whose_node_ran_belongs_to_its_network_for_good(tmp_path: Path, ran: str) -> None:
    first, second = (make_genesis(name, [f"{KEYS[0]}=5"], [], [], [], now=1_000) for name in ("one", "two"))
    for number, genesis in enumerate((first, second)):
        (tmp_path / f"{number}.json").write_bytes(to_json(genesis))
    data = tmp_path / "data"
    data.mkdir()
    put_genesis(data, tmp_path / "0.json")
    with pytest.raises(WrongUsage, match="--force replaces"):
        put_genesis(data, tmp_path / "1.json")
    assert put_genesis(data, tmp_path / "1.json", replace=True).name == "two"
    (data / ran).write_bytes(b"")
    with pytest.raises(WrongUsage, match="another network already"):
        put_genesis(data, tmp_path / "0.json", replace=True)
    assert put_genesis(data, tmp_path / "1.json").name == "two", "its own is no other"


# --- whether a node runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "runs"), [(b"0", False), (b"-1", False), (b"junk", False), (b"", False), (b"1", True)])
def test_a_folder_s_lock_tells_whether_its_node_runs(tmp_path: Path, text: bytes, runs: bool) -> None:
    lock = tmp_path / "lock"
    lock.write_bytes(text)
    lock.chmod(0o600)
    assert ready._running(lock) is runs
    assert not ready._running(tmp_path / "none")


def test_the_last_word_of_each_address_counts() -> None:
    seen = [
        event("refused by peer", "a:1", "new"),
        event("dial failed", "a:1", "old"),
        event("dial failed", "b:1", "it is the node itself"),
        event("connection refused", "c:1", "they knocked"),
    ]
    assert ready._last_refusals(seen) == [(True, "new")]
