"""The audit of what was taken over: it executes it again, goes on where it ended, and says which block does not hold and why."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import STATE_TYPES
from learningchain.chain.errors import BrokenInvariant, Malformed, SupplyBroken
from learningchain.chain.host import account_key
from learningchain.chain.ledger.genesis import first_state, to_json
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.state_diff import Record, changes_of
from learningchain.chain.ledger.transition import commit
from learningchain.chain.node import decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.storage import schema, state_diffs
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.types import PRECOMMIT, Block, block_id, decode_block, tx_root, validators_hash, vote_digest
from learningchain.client.cli import app
from learningchain.client.node.helpers import Helpers
from learningchain.client.receipts import audit as module
from learningchain.client.receipts.audit import Audit, Findings
from tests.unit.node_kit import Net, fresh, genesis, ident, key_of, of_kind, receive
from tests.unit.test_node_executed_blocks import richer, told
from tests.unit.test_node_sync import chain_of

HEIGHTS = 5
CHAIN = genesis().chain_id


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    opened = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=True)
    opened.commit(CommitBatch(0, CHAIN, b"", b"", [], [], [], first_state(genesis())[1]))
    yield opened
    opened.close()


def keep(store: BlockStore, commits: list[e.Commit]) -> None:
    for c in commits:
        store.commit(
            CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state, c.executed)
        )


def taken_over(items: list[m.ExecutedBlock]) -> list[e.Commit]:
    """What a node that trusts certificates stores of them."""
    node = fresh(4, trusting=1)
    receive(node, 1, m.Status(len(items), 1))
    commits = of_kind(receive(node, 1, m.ExecutedBlocks(items)), e.Commit)
    assert [c.height for c in commits] == list(range(1, len(items) + 1))
    return commits


def audit(store: BlockStore, *, again: bool = False) -> Findings:
    told: list[int] = []
    found = asyncio.run(Audit(store, genesis(), again=again).run(told.append))
    assert told == sorted(told)
    return found


def test_what_was_taken_over_is_executed_once(net: Net, store: BlockStore) -> None:
    keep(store, taken_over(told(net)))
    assert state_diffs.audited(store) == 0
    assert audit(store) == Findings(1, HEIGHTS, HEIGHTS, "")
    assert state_diffs.audited(store) == HEIGHTS
    assert audit(store) == Findings(HEIGHTS + 1, HEIGHTS, 0, ""), "there is nothing left to do"
    assert audit(store, again=True) == Findings(1, HEIGHTS, HEIGHTS, "")


def test_it_goes_on_where_the_last_one_ended(net: Net, store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, taken_over(told(net)))
    state_diffs.set_audited(store, 3)
    executed: list[int] = []
    check = decided.check

    def noted(state, parent, item, pool):  # type: ignore[no-untyped-def]
        executed.append(item.block.header.height)
        return check(state, parent, item, pool)

    monkeypatch.setattr(decided, "check", noted)
    assert audit(store) == Findings(4, 5, 2, "")
    assert executed == [4, 5]


def coined(net: Net) -> list[m.ExecutedBlock]:
    """A chain whose third block makes its first account richer: nothing in it says why, and all validators signed it."""
    good = told(net)
    state = first_state(genesis())[0]
    parent = CHAIN
    for item in good[:2]:
        block = decode_block(item.block)
        commit(state, decided.redo(state, parent, block, None))
        parent = block_id(block.header)
    third = good[2]
    block = decode_block(third.block)
    first = next(i for i, record in enumerate(third.changes.put) if record.key.startswith(b"a/"))
    put = [richer(record) if i == first else record for i, record in enumerate(third.changes.put)]
    root = root_after(state, put)
    header = replace(block.header, state_root=root)
    validators = genesis().validators
    assert header.validators_hash == validators_hash(validators)
    keys = {ident(i): key_of(i) for i in range(4)}
    digest = vote_digest(CHAIN, PRECOMMIT, 3, 0, block_id(header))
    signatures = [keys[v.id].sign(digest) for v in validators]
    certificate = replace(third.certificate, round=0, block_id=block_id(header), signers=[0, 1, 2, 3], signatures=signatures)
    forged = m.ExecutedBlock(encode(Block(header, block.txs)), certificate, third.receipts, replace(third.changes, put=put))
    return [*good[:2], forged]


def root_after(state, put: list[Record]) -> bytes:  # type: ignore[no-untyped-def]
    """Of the state with these records: what a node says that takes them over."""
    overlay = Overlay(state)
    for record in put:
        overlay.put(record.key, decode(STATE_TYPES[record.key[: record.key.index(b"/") + 1]], record.value, 10**6))
    changes, _, tree = overlay.finish()
    state.commit(changes, tree)
    return state.root  # type: ignore[no-any-return]


def test_a_block_that_two_thirds_signed_and_nobody_may_is_named(net: Net, store: BlockStore) -> None:
    """That is what resting on certificates means, and why there is an audit."""
    keep(store, taken_over(coined(net)))
    found = audit(store)
    assert (found.first, found.last) == (1, 2)
    assert found.fault.startswith("block 3: ") and "state root" in found.fault
    assert state_diffs.audited(store) == 2
    assert audit(store).fault == found.fault, "and again, until somebody does something about it"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process helps: what they do is done here, as where they fail."""

    async def nothing(self: Helpers, task: int, work: object) -> list[object]:
        return []

    monkeypatch.setattr(Helpers, "_run", nothing)


def signed_by_all(item: m.ExecutedBlock, **header: bytes) -> m.ExecutedBlock:
    """The block of a height under another header, as all validators would sign it."""
    block = decode_block(item.block)
    changed = replace(block.header, **header)
    keys = {ident(i): key_of(i) for i in range(4)}
    digest = vote_digest(CHAIN, PRECOMMIT, changed.height, 0, block_id(changed))
    signatures = [keys[v.id].sign(digest) for v in genesis().validators]
    signed = replace(item.certificate, round=0, block_id=block_id(changed), signers=[0, 1, 2, 3], signatures=signatures)
    return m.ExecutedBlock(encode(Block(changed, block.txs)), signed, item.receipts, item.changes)


@pytest.mark.parametrize("helpers", ["helpers", "alone"])
def test_a_transaction_that_its_sender_never_signed_is_named_though_all_validators_signed_its_block(
    net: Net, store: BlockStore, helpers: str, request: pytest.FixtureRequest
) -> None:
    if helpers == "alone":
        request.getfixturevalue("alone")
    good = told(net)
    block = decode_block(good[2].block)
    assert block.txs
    txs = [block.txs[0][:-1] + bytes([block.txs[0][-1] ^ 1]), *block.txs[1:]]
    unsigned = m.ExecutedBlock(encode(Block(block.header, txs)), good[2].certificate, good[2].receipts, good[2].changes)
    keep(store, taken_over([*good[:2], signed_by_all(unsigned, tx_root=tx_root(txs))]))
    found = audit(store)
    assert found.last == 2 and found.fault.startswith("block 3: ") and "signature" in found.fault


@pytest.mark.parametrize(("read", "gone"), [(64, 3), (2, 3), (1, 5)])
def test_a_block_that_is_not_there_is_named(
    alone: None, net: Net, store: BlockStore, monkeypatch: pytest.MonkeyPatch, read: int, gone: int
) -> None:
    monkeypatch.setattr(module, "READ", read)
    keep(store, taken_over(told(net)))
    with store.engine.begin() as c:
        c.execute(sa.delete(schema.blocks).where(schema.blocks.c.height == gone))
    monkeypatch.setattr(store, "head", lambda: SimpleNamespace(height=HEIGHTS))
    found = audit(store)
    assert found.last < gone and any(why in found.fault for why in (f"block {gone} is not in the database", "not consecutive"))


@pytest.mark.parametrize("fault", [Malformed("so it is"), BrokenInvariant("so it is"), SupplyBroken("so it is")])
def test_whatever_a_block_breaks_is_a_finding_and_leaves_no_process(
    alone: None, net: Net, store: BlockStore, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    keep(store, taken_over(told(net)))
    check, closed, close = decided.check, [], Helpers.close

    def broken(state, parent, item, pool):  # type: ignore[no-untyped-def]
        if item.block.header.height == 4:
            raise fault
        return check(state, parent, item, pool)

    def noted(self: Helpers) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(decided, "check", broken)
    monkeypatch.setattr(Helpers, "close", noted)
    assert audit(store) == Findings(1, 3, 3, "block 4: so it is")
    assert state_diffs.audited(store) == 3 and len(closed) == 1


def test_a_state_that_was_changed_here_is_no_start(alone: None, net: Net, store: BlockStore) -> None:
    """What was audited is put together again from changes on this disk, and must have the root that all signed."""
    keep(store, taken_over(told(net)))
    state_diffs.set_audited(store, 3)
    with store.engine.begin() as c:
        wrong = schema.add_checksum(schema.at(2, "changes"), encode(changes_of([(account_key(ident(1)), b"\x90")])))
        c.execute(sa.update(schema.changes).where(schema.changes.c.height == 2).values(changes=wrong))
    found = audit(store)
    assert (found.first, found.last) == (1, 1) and "block 2: its changes are stored otherwise" in found.fault


def test_receipts_and_changes_that_were_changed_here_are_named(net: Net, store: BlockStore) -> None:
    keep(store, taken_over(told(net)))
    with store.engine.begin() as c:
        wrong = schema.add_checksum(schema.at(2, "changes"), encode(changes_of([(account_key(ident(1)), b"\x90")])))
        c.execute(sa.update(schema.changes).where(schema.changes.c.height == 2).values(changes=wrong))
    found = audit(store)
    assert found.last == 1
    assert "changes" in found.fault


def test_the_command_tells_what_was_found(net: Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "genesis.json").write_bytes(to_json(genesis()))
    store = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=True)
    store.commit(CommitBatch(0, CHAIN, b"", b"", [], [], [], first_state(genesis())[1]))
    keep(store, taken_over(told(net)))
    store.close()
    tmp_path.chmod(stat.S_IRWXU)

    def run(*words: str) -> tuple[int, str]:
        code = app.main(["audit", *words, "--data", str(tmp_path)])
        return code, capsys.readouterr().out

    assert run() == (0, "Blocks 1 to 5 hold: 5 transactions, each executed with its signature checked.\n")
    code, text = run("--json")
    assert code == 0
    assert json.loads(text) == {"holds": True, "first": 6, "audited": 5, "transactions": 0, "fault": ""}
    code, text = run("--again")
    assert (code, "Blocks 1 to 5 hold" in text) == (0, True)
