"""What a node opens before it runs, how it ends, and what it does with what comes out of it: piece by piece."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.host import ACTIVE, BANNED, Account, account_key
from learningchain.chain.ledger.genesis import first_state
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.node import events as e
from learningchain.chain.node.recovery import DECIDED
from learningchain.chain.storage.blockstore import BlockStore, Head
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.errors import GuardMissing, StorageDamaged
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import Certificate, Header, LogEvent, Receipt
from learningchain.client.config import Config, Loaded, ServeConfig, WorkConfig
from learningchain.client.daemon import running as daemon
from learningchain.client.daemon.faults import StartError
from learningchain.client.daemon.opening import load_genesis, open_guard, open_state
from learningchain.client.daemon.running import Daemon
from learningchain.client.node import process
from tests.unit.node_kit import CHAIN, genesis, ident, state_of

G = genesis()
BEGUN = Head(5, CHAIN, None)


# --- files ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("raw", "said"), [(None, "is missing"), (b"{}", "cannot be used"), (b"\xff", "cannot be used")])
def test_a_folder_without_a_usable_genesis_says_how_to_get_one(tmp_path: Path, raw: bytes | None, said: str) -> None:
    if raw is not None:
        (tmp_path / "genesis.json").write_bytes(raw)
    with pytest.raises(StartError, match=said) as fault:
        load_genesis(tmp_path)
    assert "learningchain genesis install" in str(fault.value)


# --- the database ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    opened = BlockStore.open(str(tmp_path / "db"), chain_id=G.chain_id, create=True)
    yield opened
    opened.close()


def test_an_empty_database_begins_with_genesis_and_goes_on_from_it(store: BlockStore) -> None:
    for _ in range(2):
        state, head = open_state(store, G)
        assert state.root == first_state(G)[0].root
        assert (head.height, head.block_id) == (0, G.chain_id)


def test_a_state_that_was_not_decided_is_not_begun_from(store: BlockStore) -> None:
    """Another genesis of the same chain id, or pages that a disk mixed up: the root tells."""
    open_state(store, G)
    other = genesis(3)
    assert first_state(other)[0].root != first_state(G)[0].root
    with pytest.raises(StorageDamaged, match="not the one that was decided") as fault:
        open_state(store, other)
    assert "start again" in str(fault.value)


# --- the guard ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataDir]:
    opened = DataDir.open(str(tmp_path / "node"), create=True)
    yield opened
    opened.close()


def log(folder: DataDir, *records: bytes) -> Wal:
    """As a start finds it: a log that is opened tells what it held."""
    with contextlib.closing(Wal.open(folder.wal, chain_id=CHAIN, create=True)) as written:
        for record in records:
            written.append(record)
        written.sync()
    return Wal.open(folder.wal, chain_id=CHAIN, create=False)


def signs(guard: Guard, height: int) -> bool:
    return guard.sign(Kind.PREVOTE, height, 0, bytes(32), lambda digest: bytes(64)) is not None


def test_a_chain_that_has_not_begun_gets_a_guard_and_keeps_the_one_it_has(folder: DataDir) -> None:
    wal = log(folder)
    first = open_guard(folder, wal, Head(0, CHAIN, None), [], accept_new=False)
    assert signs(first, 1)
    first.close()
    again = open_guard(folder, wal, Head(0, CHAIN, None), [], accept_new=False)
    assert again.signed == (1, 0, 1), "what was signed of the first height is known still"
    again.close()
    wal.close()


@pytest.mark.parametrize("begun", ["blocks", "log"])
def test_a_chain_that_has_begun_gets_no_guard_without_the_operator_s_word(folder: DataDir, begun: str) -> None:
    """Also where only the log shows it: its first height may be half signed."""
    wal = log(folder, *([b"Bsomething"] if begun == "log" else []))
    with contextlib.closing(wal), pytest.raises(GuardMissing):
        open_guard(folder, wal, Head(0, CHAIN, None) if begun == "log" else BEGUN, [], accept_new=False)
    assert not Path(folder.guard).exists()


@pytest.mark.parametrize(("validators", "logged", "silent"), [(4, 5, 6), (4, 7, 8), (4, 3, 6), (3, 5, 5), (1, 7, 7)])
def test_with_the_operator_s_word_the_height_that_may_be_half_signed_is_left_to_the_others(
    folder: DataDir, validators: int, logged: int, silent: int
) -> None:
    """The last decided one is in the database or further on, in the log. Where a quorum is everybody what is decided has to do."""
    wal = log(folder, DECIDED + encode(Certificate(logged, 0, bytes(32), [0], [bytes(64)])))
    guard = open_guard(folder, wal, BEGUN, validators_of(state_of(genesis(validators))), accept_new=True)
    assert not signs(guard, silent)
    assert signs(guard, silent + 1)
    guard.close()
    wal.close()


# --- life -------------------------------------------------------------------------------------------------------------------------


class Node(Daemon):
    """Everything but its parts: what they would tell, the test tells."""

    def __init__(self) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(process, "raise_file_limit", lambda: 1_024)
            nothing = cast(Any, None)
            super().__init__(Path("/nowhere"), nothing, cast(Any, SimpleNamespace(name="test")), nothing, work=False)
        loop = asyncio.get_running_loop()
        self.identity = cast(Any, SimpleNamespace(address="lc1"))
        self.node = cast(Any, SimpleNamespace(height=3, faults=["a fault"], parked=[], state=None))
        self.network = cast(Any, SimpleNamespace(port=lambda: 1))
        self.api_port = 2
        ends = {name: loop.create_future() for name in ("failed", "switched", "outdated")}
        self.driver = cast(Any, SimpleNamespace(**ends))
        self.closed: list[str] = []

    async def _open(self, folder: DataDir, stack: contextlib.AsyncExitStack, accept_new_guard: bool) -> None:
        for part in ("the first", "the last"):
            stack.callback(self.closed.append, part)


async def lives(node: Node) -> int | None:
    async with asyncio.timeout(20):
        return await node._live(cast(Any, None), False)


async def test_a_node_that_is_told_to_stop_ends_well_and_closes_what_it_opened_last_first() -> None:
    node = Node()
    node.stop()
    assert await lives(node) == 0
    assert node.closed == ["the last", "the first"]


async def test_a_node_that_fails_ends_with_one_and_its_evidence_is_in_the_log() -> None:
    """Also where it is told to stop in the same moment: whoever restarts it on failure has to see it."""
    for also in (False, True):
        node = Node()
        node.driver.failed.set_exception(StorageDamaged("the disk", "lies", "look at it"))
        if also:
            node.stop()
        with structlog.testing.capture_logs() as lines:
            assert await lives(node) == 1
        (line,) = [line for line in lines if line["log_level"] == "error"]
        assert "lies" in line["why"] and (line["kind"], line["faults"]) == ("StorageDamaged", ["a fault"])
        assert node.closed == ["the last", "the first"]


# --- what comes in and goes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "votes", "let_in"), [(ACTIVE, False, True), (ACTIVE, True, True), (BANNED, False, False), (BANNED, True, True)]
)
async def test_who_is_banned_is_an_outsider_but_while_its_votes_count(status: int, votes: bool, let_in: bool) -> None:
    node, state = Node(), state_of(G)
    voters = [v.id for v in validators_of(state)]
    who = voters[0] if votes else next(ident(i) for i in range(6) if ident(i) not in voters)
    account = state.get(account_key(who))
    assert isinstance(account, Account)
    changed = {account_key(who): replace(account, status=status)}
    node.node = cast(Any, SimpleNamespace(state=SimpleNamespace(get=lambda key: changed.get(key) or state.get(key))))
    assert node._current_key(who) == (account.key if let_in else None)
    assert node._current_key(b"nobody" * 3 + b"xx") is None


async def test_who_left_hears_of_it_before_it_is_cut_off_and_who_was_banned_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    node, asked = Node(), list[set[bytes]]()
    parted = asyncio.Event()

    def recheck(spared: set[bytes] | None = None) -> None:
        asked.append(spared or set())
        if len(asked) == 2:
            parted.set()

    left, banned = ident(4), ident(5)
    monkeypatch.setattr(daemon, "PART_S", 0.0)
    node.ledger = cast(Any, SimpleNamespace(on_decided=lambda d: None))
    node.network = cast(
        Any, SimpleNamespace(recheck_membership=recheck, peers=lambda: [SimpleNamespace(id=left), SimpleNamespace(id=banned)])
    )
    node._set_validators = lambda: None  # type: ignore[method-assign]
    node._pruner = cast(Any, SimpleNamespace(decided=lambda: None))
    member = Member(left, False, 0, 0, [], 0, [], [], left=9)
    node.node = cast(Any, SimpleNamespace(state=SimpleNamespace(get={member_key(left): member}.get), parked=[]))
    told = [Receipt(bytes(32), 0, [LogEvent("left", left, []), LogEvent("banned", banned, [])])]
    node._decided(e.Decided(4, bytes(32), cast(Header, SimpleNamespace(proposer=ident(0))), [], told, []))
    assert asked == [{left}]
    async with asyncio.timeout(20):
        await parted.wait()
    assert asked == [{left}, set()]
    await node._end_tasks()


@pytest.mark.parametrize("topic", ["banned", "validator.ejected", "job.posted"])
async def test_connections_are_looked_at_again_when_membership_changed(monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    """In the block's own receipt, or in that of any transaction."""
    for receipts in ([topic, None], [None, topic]):
        node, seen = Node(), list[str]()
        node.ledger = cast(Any, SimpleNamespace(on_decided=lambda d, seen=seen: seen.append("ledger")))
        node.network = cast(Any, SimpleNamespace(recheck_membership=lambda spared, seen=seen: seen.append("members"), peers=list))
        node._pruner = cast(Any, SimpleNamespace(decided=lambda: None))
        node._set_validators = lambda seen=seen: seen.append("validators")  # type: ignore[method-assign, misc]
        node._own_keys = cast(Any, SimpleNamespace(look=lambda seen=seen: seen.append("key")))
        told = [Receipt(bytes(32), 0, [LogEvent(name, b"r" * 20, [])] if name else []) for name in receipts]
        header = cast(Header, SimpleNamespace(proposer=ident(0)))
        node._decided(e.Decided(4, bytes(32), header, [], told, []))
        assert seen == ["ledger"] + (["validators", "key", "members"] if topic != "job.posted" else [])


async def test_changed_settings_reach_the_work_and_the_command_still_says_whether_it_trains() -> None:
    node, shown, working = Node(), list[Loaded](), list[WorkConfig]()
    node.view = cast(Any, SimpleNamespace(take_settings=shown.append))
    node._work = cast(Any, SimpleNamespace(reconfigure=working.append))
    section, serve = WorkConfig(enabled=True, attempts=7), ServeConfig(slots=3)
    changed = Loaded(Config(work=section, serve=serve), {})
    node._take_settings(changed)
    assert shown == [changed] and working == [replace(section, enabled=False, serve=serve)]
