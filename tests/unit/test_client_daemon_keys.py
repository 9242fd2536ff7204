"""A node whose key changes or lies elsewhere, and what it says of what went wrong: the parts that put a node together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.errors import Malformed
from learningchain.chain.host import ACTIVE, Account, BeaconCommitment, account_key
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.node import events as e
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.types import Header, Receipt
from learningchain.client.daemon import identity
from learningchain.client.daemon import main as daemon
from learningchain.client.daemon.faults import StartError, UnknownProtocol
from learningchain.client.daemon.identity import OwnKeys, present, use_key
from learningchain.client.keys import keyring
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import Identity, beacon_key
from learningchain.client.keys.signing import LocalSigner
from tests.unit.node_kit import CHAIN, genesis, ident, state_of
from tests.unit.test_client_daemon_parts import Node

G = genesis()


# --- this node's own key ----------------------------------------------------------------------------------------------------------


def keyring_of(*numbers: int) -> Keyring:
    """An identity with so many keys: its first one names it."""
    keys = [SigningKey(bytes((number,)) * 32) for number in numbers]
    id_ = account_id(keys[0].public)
    return Keyring(*(Identity(key, id_, beacon_key(key.secret)) for key in keys))


def ledger_says(keys: Keyring, public: bytes | None) -> Any:
    """A state in which the identity has this key; none knows it where there is none."""
    account = Account(public, ACTIVE, 0, 0, [0, 0, 0, 0], 0) if public else None
    return SimpleNamespace(get=lambda key: account if key == account_key(keys.id) else None)


async def test_a_node_is_who_the_ledger_says_and_else_who_it_wants_to_be() -> None:
    keys = keyring_of(1, 2)
    first, second = keys.all
    assert present(keys, ledger_says(keys, first.key.public)) is first
    assert present(keys, ledger_says(keys, second.key.public)) is second
    for unknown in (SigningKey(b"\7" * 32).public, None):
        assert present(keys, ledger_says(keys, unknown)) is second


@pytest.mark.parametrize(("named", "shows", "votes"), [(1, 1, True), (2, 2, True), (7, 2, False), (None, 2, True)])
async def test_a_validator_signs_with_the_key_of_its_set_and_with_no_other(named: int | None, shows: int, votes: bool) -> None:
    keys, used = keyring_of(1, 2), list[tuple[bytes, bool]]()
    signer = LocalSigner(keys.all[0].key, cast(Any, None), CHAIN, keys.id)
    signer.use_key = lambda key, *, votes: used.append((key.public, votes))  # type: ignore[method-assign]
    public = None if named is None else SigningKey(bytes((named,)) * 32).public
    use_key(signer, keys, ledger_says(keys, public))
    assert used == [(SigningKey(bytes((shows,)) * 32).public, votes)]


def own_keys(data: Path, keys: Keyring, node: Any, spawn: Any, **parts: Any) -> OwnKeys:
    given = {"signer": None, "network": None, "driver": None} | parts
    return OwnKeys(data, keys, keys.all[0], node=node, spawn=spawn, **given)


async def test_a_node_whose_key_was_replaced_goes_on_with_the_other_one_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, seen = keyring_of(1, 2), list[tuple[str, Any]]()
    first, second = keys.all
    node = SimpleNamespace(height=9, use_beacon_key=lambda key: seen.append(("beacon", key)), state=None)
    network = SimpleNamespace(use_key=lambda key: seen.append(("network", key.public)))
    monkeypatch.setattr(identity, "use_key", lambda signer, keys, state: seen.append(("signer", keys)))
    own = own_keys(Path("/nowhere"), keys, node, asyncio.create_task, network=network)

    async def settle(public: bytes) -> None:
        seen.append(("disk", public))

    own.settle = settle  # type: ignore[method-assign]
    for public in (first.key.public, second.key.public, second.key.public):
        seen.clear()
        node.state = ledger_says(keys, public)
        own.look()
        await asyncio.sleep(0)
        changed = [("beacon", second.beacon_key), ("network", second.key.public), ("signer", keys), ("disk", second.key.public)]
        fresh = public == second.key.public and ("disk", public) in seen
        assert seen == (changed if fresh else [("signer", keys)])
    assert own.identity is second and seen == [("signer", keys)], "once"


async def test_a_replaced_key_s_file_is_moved_once_its_block_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done, moved = asyncio.Event(), list[tuple[Path, bytes]]()
    own = own_keys(tmp_path, keyring_of(1, 2), None, None, driver=SimpleNamespace(settled=done.wait))
    monkeypatch.setattr(keyring, "settle", lambda folder, public: moved.append((folder, public)))
    settling = asyncio.create_task(own.settle(b"public"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert moved == [], "not while the block may still be lost"
    done.set()
    async with asyncio.timeout(20):
        await settling
    assert moved == [(tmp_path, b"public")]

    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyring, "settle", full)
    with structlog.testing.capture_logs() as lines:
        await own.settle(b"public")
    assert "at the next start" in lines[0]["event"] and "No space" in lines[0]["why"]


@pytest.mark.parametrize("votes", [True, False])
async def test_the_signer_of_a_validator_prepares_the_blocks_to_come(votes: bool) -> None:
    node, asked, state = Node(), list[tuple[int, int | None]](), state_of(G)
    voter = validators_of(state)[0].id
    node.identity = cast(Any, SimpleNamespace(id=voter if votes else b"n" * 20))
    node._remote = cast(Any, SimpleNamespace(prepare=lambda *given: asked.append(given)))
    node.ledger = cast(Any, SimpleNamespace(on_decided=lambda d: None))
    node._pruner = cast(Any, SimpleNamespace(decided=lambda: None))
    last = BeaconCommitment(7, b"c" * 32)
    node.node = cast(
        Any, SimpleNamespace(state=SimpleNamespace(get=lambda key: last if key == b"gb/" + voter else state.get(key)), parked=[])
    )
    header = cast(Header, SimpleNamespace(proposer=ident(0)))
    node._decided(e.Decided(9, bytes(32), header, [], [Receipt(bytes(32), 0, [])], []))
    assert asked == ([(9, 7)] if votes else [])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (UnknownProtocol("install a newer one"), "install a newer one\n"),
        (StartError("no network"), "The node does not start: no network\n"),
        (StorageDamaged("the disk", "lies", "look at it"), "The node does not start: the disk"),
        (Malformed("no genesis"), "The node does not start: no genesis\n"),
        (MemoryError("none left"), "The node does not start: none left\n"),
    ],
)
def test_a_start_that_fails_ends_with_one_and_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: BaseException, said: str
) -> None:
    async def fails(*_: Any, **__: Any) -> int:
        raise fault

    monkeypatch.setattr(daemon, "_run", fails)
    assert daemon.run(Path("/nowhere"), cast(Any, None)) == 1
    assert capsys.readouterr().err.startswith(said)


def test_the_data_folder_is_absolute_whatever_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of models and secrets stand in its databases, and the next start may be typed in another folder."""
    given: list[Path] = []

    async def taken(data: Path, *_: Any, **__: Any) -> int:
        given.append(data)
        return 0

    monkeypatch.setattr(daemon, "_run", taken)
    monkeypatch.chdir(tmp_path)
    assert daemon.run(Path("lab/node0"), cast(Any, None)) == 0
    assert given == [tmp_path / "lab/node0"]
