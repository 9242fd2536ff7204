"""Snapshots on disk: made beside a running node, served, staged over restarts, and switched to whole or not at all."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from learningchain.chain.buckets import BUCKETS, SUBROOT_BYTES, build, number_of
from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.crypto import sha256
from learningchain.chain.host import Due, History, Validators, due_key
from learningchain.chain.ledger.genesis import first_state
from learningchain.chain.ledger.snapshot import MAX_BUCKET, ValidatorSetChange, decode_subroots, encode_bucket, encode_subroots
from learningchain.chain.node import messages as m
from learningchain.chain.node.checks import make_buckets
from learningchain.chain.storage import index, schema, snapshot, staging, state_diffs, validator_changes
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.storage.snapshot import SnapshotFile, make
from learningchain.chain.storage.staging import Staging
from learningchain.chain.types import block_id, decode_block
from learningchain.client.daemon.opening import open_state, open_store
from learningchain.client.node import snapshots
from learningchain.client.node.snapshots import SnapshotService
from tests.unit.node_kit import Net, genesis
from tests.unit.storage_backends import Places
from tests.unit.storage_backends import backend as backend
from tests.unit.storage_backends import postgres as postgres
from tests.unit.storage_backends import pytest_generate_tests as pytest_generate_tests
from tests.unit.test_node_snapshot import SETS, change
from tests.unit.test_node_sync import chain_of

CHAIN = genesis().chain_id
HEIGHTS = 6


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS + 3)


def empty(path: Path) -> BlockStore:
    store = BlockStore.open(str(path), chain_id=CHAIN, create=True)
    if store.head() is None:
        store.commit(CommitBatch(0, CHAIN, b"", b"", [], [], [], first_state(genesis())[1]))
    return store


def fill(store: BlockStore, net: Net, first: int, last: int) -> None:
    for c in (net.commits[0][height] for height in range(first, last + 1)):
        store.commit(CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state))


@pytest.fixture
def server(tmp_path: Path, net: Net) -> Iterator[BlockStore]:
    store = empty(tmp_path / "server")
    fill(store, net, 1, HEIGHTS)
    yield store
    store.close()


def served(server: BlockStore, path: Path) -> SnapshotFile:
    assert make(server.where, CHAIN, str(path)) == server.head().height  # type: ignore[union-attr]
    return SnapshotFile(str(path))


def take(store: BlockStore, file: SnapshotFile, some: int = 1 << 16, links: list[ValidatorSetChange] | None = None) -> list[int]:
    """Stage the first `some` buckets that are not here; what was here."""
    area, subroots = Staging(store), decode_subroots(file.offer.subroots)
    held = area.begin(file.offer, links or [])
    wanted = [n for n in subroots if n not in held][:some]
    while wanted:
        buckets = file.buckets(wanted)
        made, wrong = make_buckets([(n, subroots[n], raw) for n, raw in zip(wanted, buckets, strict=False)])
        assert wrong == []
        area.put(made)
        wanted = wanted[len(buckets) :]
    return held


def staged(server: BlockStore, folder: Path, *, some: int = 1 << 16) -> tuple[BlockStore, SnapshotFile]:
    """A fresh store with the first `some` buckets of what is served; with all of them it is ready to be switched to."""
    store, file = empty(folder / "late"), served(server, folder / "file")
    take(store, file, some)
    if some == 1 << 16:
        Staging(store).ready()
    return store, file


def opened_again(store: BlockStore, folder: Path) -> BlockStore:
    """As a node's next start does."""
    store.close()
    return open_store(str(folder / "late"), CHAIN)


@pytest.mark.both
def test_a_fresh_database_becomes_the_one_that_was_served_and_goes_on(server: BlockStore, net: Net, tmp_path: Path) -> None:
    file = served(server, tmp_path / "file")
    store = empty(tmp_path / "late")
    assert take(store, file) == []
    Staging(store).ready()
    store = opened_again(store, tmp_path)
    state, subroot = open_state(store, genesis())
    assert (subroot.height, subroot.block_id, store.base) == (HEIGHTS, net.commits[0][HEIGHTS].block_id, HEIGHTS)
    assert state.root == server.open_state().root
    assert dict(state.items()) == dict(server.load_state())
    for prefix in (b"m/", b"d/", b"j/"):
        assert state.listing(prefix) == server.open_state().listing(prefix)
    store.check(True)
    fill(store, net, HEIGHTS + 1, HEIGHTS + 3)
    store.check(True)
    assert store.block(HEIGHTS - 1) is None and store.block(HEIGHTS).block == b""  # type: ignore[union-attr]
    assert [b.height for b in store.blocks(1, 99)] == [HEIGHTS, HEIGHTS + 1, HEIGHTS + 2, HEIGHTS + 3]
    store = opened_again(store, tmp_path)
    assert store.base == HEIGHTS
    assert open_state(store, genesis())[0].root == net.nodes[0].state.root
    again = served(store, tmp_path / "again")
    assert again.height == HEIGHTS + 3, "and it serves others"
    store.close()


def test_what_is_staged_stays_over_restarts_and_serves_the_next_target(server: BlockStore, net: Net, tmp_path: Path) -> None:
    store, file = staged(server, tmp_path, some=10)
    store.close()
    store = empty(tmp_path / "late")
    assert staging.switch(store) is None, "it is not whole"
    assert len(Staging(store).begin(file.offer, [])) == 10
    fill(server, net, HEIGHTS + 1, HEIGHTS + 3)
    later = served(server, tmp_path / "later")
    old, new = decode_subroots(file.offer.subroots), decode_subroots(later.offer.subroots)
    same = sorted(n for n in sorted(old)[:10] if old[n] == new.get(n))
    assert 0 < len(same) < 10
    assert take(store, later) == same
    Staging(store).ready()
    assert staging.switch(store) == HEIGHTS + 3
    store = opened_again(store, tmp_path)
    store.check(True)
    assert open_state(store, genesis())[0].root == net.nodes[0].state.root
    store.close()


def test_a_record_that_the_next_target_does_not_have_stands_in_no_listing(server: BlockStore, tmp_path: Path) -> None:
    file = served(server, tmp_path / "file")
    subroots, sent = decode_subroots(file.offer.subroots), []
    member = Member(bytes(20), True, 0, 0, [], 0, [], [])
    for key, record in ((due_key(bytes(20), 5, 1, bytes(32)), Due(1, bytes(32))), (member_key(bytes(20)), member)):
        bucket = build([(sha256(key), key, encode(record))])
        number = number_of(sha256(key))
        assert number not in subroots
        sent.append((number, bucket[:SUBROOT_BYTES], encode_bucket(bucket)))
    store, earlier = empty(tmp_path / "late"), dict(sorted((subroots | {n: subroot for n, subroot, _ in sent}).items()))
    Staging(store).begin(replace(file.offer, subroots=encode_subroots(earlier)), [])
    made, wrong = make_buckets(sent)
    assert wrong == [] and sorted(key[:2] for _, _, keys in made for key in keys) == [b"d/", b"m/", b"v/"]
    Staging(store).put(made)
    assert take(store, file) == []
    Staging(store).ready()
    store = opened_again(store, tmp_path)
    state, there = store.open_state(), server.open_state()
    for prefix in (b"m/", b"d/", b"j/"):
        assert (state.keys(prefix), state.listing(prefix)) == (there.keys(prefix), there.listing(prefix))
    store.close()


def test_a_snapshot_that_is_not_whole_never_becomes_the_state(server: BlockStore, tmp_path: Path) -> None:
    store, file = staged(server, tmp_path, some=10)
    Staging(store).ready()
    before = dict(store.load_state())
    assert staging.switch(store) is None
    assert Staging(store).begin(file.offer, []) == [], "it is taken once more"
    store.check(True)
    assert dict(store.load_state()) == before
    store.close()


def executed_until(store: BlockStore, net: Net, last: int, taken_over: int) -> None:
    for c in (net.commits[0][height] for height in range(1, last + 1)):
        batch = CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state)
        store.commit(dataclasses.replace(batch, executed=c.height != taken_over))


def test_nothing_of_the_blocks_before_a_snapshot_outlives_the_switch(
    server: BlockStore, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node had blocks of its own: what is known of them, and what waits to be audited, goes with them."""
    monkeypatch.setattr(index, "SEGMENT_ENTRIES", 1)
    file = served(server, tmp_path / "file")
    store = empty(tmp_path / "late")
    executed_until(store, net, 3, taken_over=2)
    assert store.segments() and state_diffs.audited(store) == 1
    old = [net.commits[0][height] for height in (1, 2, 3)]
    accounts = [account for c in old for account, _ in c.account_index]
    txs = [tx for c in old for tx in c.tx_ids]
    assert txs and accounts and all(store.tx(tx) for tx in txs)
    take(store, file)
    Staging(store).ready()
    store = opened_again(store, tmp_path)
    assert (store.base, store.segments(), state_diffs.audited(store)) == (HEIGHTS, [], HEIGHTS)
    assert [store.tx(tx) for tx in txs] == [None] * len(txs)
    assert [row for account in accounts for row in store.history(account, before=None, limit=99)] == []
    assert list(state_diffs.all_changes(store, HEIGHTS)) == []
    store.check(True)
    assert open_state(store, genesis())[0].root == server.open_state().root
    assert staging.switch(store) is None, "once"
    assert Staging(store).begin(file.offer, []) == []
    store.close()


@pytest.mark.parametrize("last", [HEIGHTS, HEIGHTS + 1])
def test_a_snapshot_that_the_blocks_have_reached_is_not_switched_to_and_goes(
    server: BlockStore, net: Net, tmp_path: Path, last: int
) -> None:
    store, file = staged(server, tmp_path)
    fill(store, net, 1, last)
    assert staging.switch(store) is None
    assert store.head().height == last and store.block(1) is not None  # type: ignore[union-attr]
    assert Staging(store).begin(file.offer, []) == []
    store.close()


def test_a_new_target_is_not_ready_though_the_one_before_it_was(server: BlockStore, tmp_path: Path) -> None:
    store, file = staged(server, tmp_path)
    assert len(Staging(store).begin(file.offer, [])) == len(decode_subroots(file.offer.subroots))
    assert staging.switch(store) is None
    Staging(store).ready()
    assert staging.switch(store) == HEIGHTS
    store.close()


def test_pages_under_a_header_of_another_state_never_become_the_state(server: BlockStore, tmp_path: Path) -> None:
    store = empty(tmp_path / "late")
    file = served(server, tmp_path / "file")
    take(store, file)
    lie = replace(file.offer, header=replace(file.offer.header, state_root=bytes(32)))
    Staging(store).begin(lie, [])
    Staging(store).ready()
    before = dict(store.load_state())
    assert staging.switch(store) is None
    assert dict(store.load_state()) == before
    assert Staging(store).begin(file.offer, []) == [], "it is taken once more"
    store.close()


def test_a_rotten_target_is_named_and_changes_nothing(server: BlockStore, tmp_path: Path) -> None:
    store, file = staged(server, tmp_path)
    with store.write("rot") as c:
        raw = bytearray(c.execute(sa.select(schema.staged.c.target)).scalar_one())
        raw[raw.index(file.offer.certificate.block_id)] ^= 1
        c.execute(sa.update(schema.staged).values(target=bytes(raw)))
    with pytest.raises(StorageDamaged, match="the staged snapshot"):
        staging.switch(store)
    assert store.head().height == 0  # type: ignore[union-attr]
    store.close()


def test_what_is_half_staged_goes_where_no_snapshot_is_wanted_any_more(server: BlockStore, tmp_path: Path) -> None:
    store, file = staged(server, tmp_path, some=10)
    store.close()
    store = open_store(str(tmp_path / "late"), CHAIN, keep=True)
    assert len(Staging(store).begin(file.offer, [])) == 10
    store.close()
    store = open_store(str(tmp_path / "late"), CHAIN, keep=False)
    assert Staging(store).begin(file.offer, []) == []
    store.close()


def test_a_snapshot_is_of_one_height_while_the_node_goes_on(
    server: BlockStore, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, done = snapshot._subbuckets, list[int]()

    def meanwhile(number: int, bucket: bytes, path: str) -> list[tuple[int, bytes, bytes]]:
        if not done:
            fill(server, net, HEIGHTS + 1, HEIGHTS + 3)
        done.append(number)
        return cut(number, bucket, path)

    monkeypatch.setattr(snapshot, "_subbuckets", meanwhile)
    assert make(server.where, CHAIN, str(tmp_path / "file")) == HEIGHTS
    store = empty(tmp_path / "late")
    take(store, SnapshotFile(str(tmp_path / "file")))
    Staging(store).ready()
    assert staging.switch(store) == HEIGHTS
    store.close()


# --- buckets of any size --------------------------------------------------------------------------------------------------------


def crowded(count: int, size: int) -> dict[bytes, bytes]:
    """Records of one bucket, as whoever tries long enough can have them."""
    found: dict[bytes, bytes] = {}
    number = number_of(sha256(b"jp/" + bytes(32)))
    trial = 0
    while len(found) < count:
        key = b"jp/" + trial.to_bytes(32, "big")
        if number_of(sha256(key)) == number:
            found[key] = (sha256(key) * (size // 32 + 1))[:size]
        trial += 1
    return found


@pytest.fixture(scope="module")
def crowd() -> dict[bytes, bytes]:
    return crowded(18, 400_000)


@pytest.fixture
def large(tmp_path: Path, net: Net, crowd: dict[bytes, bytes]) -> Iterator[BlockStore]:
    """A store whose state has one bucket of more than seven megabytes."""
    store = BlockStore.open(str(tmp_path / "large"), chain_id=CHAIN, create=True)
    items = {key: raw for key, raw in first_state(genesis())[1] if raw is not None} | crowd
    store.commit(CommitBatch(0, CHAIN, b"", b"", [], [], [], list(items.items())))
    c = net.commits[0][1]
    header = replace(decode_block(c.block).header, state_root=store.open_state().root)
    block = encode(replace(decode_block(c.block), header=header))
    store.commit(CommitBatch(1, block_id(header), block, c.certificate, c.tx_ids, c.receipts, c.account_index, []))
    yield store
    store.close()


def test_a_bucket_of_any_size_travels(large: BlockStore, tmp_path: Path, crowd: dict[bytes, bytes]) -> None:
    number = number_of(sha256(next(iter(crowd))))
    assert sum(map(len, crowd.values())) > MAX_BUCKET, "no message could carry it"
    file = served(large, tmp_path / "file")
    subroots = decode_subroots(file.offer.subroots)
    subbuckets = [n for n in subroots if n >= BUCKETS]
    assert number not in subroots
    assert len(subbuckets) > 2
    assert {(n >> n.bit_length() - 17) - BUCKETS for n in subbuckets} == {number}
    for n in subroots:
        (raw,) = file.buckets([n])
        assert len(raw) <= MAX_BUCKET
    store = empty(tmp_path / "late")
    assert take(store, file) == []
    Staging(store).ready()
    store = opened_again(store, tmp_path)
    assert store.head().height == 1  # type: ignore[union-attr]
    assert store.base == 1, "also a history that begins after the first block"
    store.check(True)
    assert store.open_state().root == large.open_state().root
    assert store.buckets.bucket(number) == large.buckets.bucket(number)
    assert dict(store.load_state()) == dict(large.load_state())
    # What came in subbuckets is served in the same ones.
    assert served(store, tmp_path / "again").offer.subroots == file.offer.subroots
    store.close()


def test_subbuckets_that_are_here_are_not_taken_again(large: BlockStore, tmp_path: Path) -> None:
    file = served(large, tmp_path / "file")
    subroots = decode_subroots(file.offer.subroots)
    subbuckets = [n for n in subroots if n >= BUCKETS]
    store = empty(tmp_path / "late")
    area = Staging(store)
    area.begin(file.offer, [])
    made, _ = make_buckets([(n, subroots[n], file.buckets([n])[0]) for n in subbuckets[:2]])
    area.put(made)
    store.close()
    store = empty(tmp_path / "late")
    assert take(store, file) == sorted(subbuckets[:2])
    Staging(store).ready()
    assert staging.switch(store) == 1
    store.close()


def test_a_rotten_subbucket_is_not_put_together(large: BlockStore, tmp_path: Path) -> None:
    store, _ = staged(large, tmp_path)
    p = schema.staged_pages.c
    with store.write("rot") as c:
        number, page = c.execute(sa.select(p.number, p.page).where(p.number >= BUCKETS).limit(1)).one()
        c.execute(sa.update(schema.staged_pages).where(p.number == number).values(page=bytes(page)[:-1] + b"?"))
    before = dict(store.load_state())
    with pytest.raises(StorageDamaged, match=f"subbucket {number} of the snapshot"):
        staging.switch(store)
    assert dict(store.load_state()) == before and store.head().height == 0  # type: ignore[union-attr]
    store.close()


def test_what_a_liar_makes_of_subbuckets_is_not_staged(large: BlockStore, tmp_path: Path) -> None:
    file = served(large, tmp_path / "file")
    subroots = decode_subroots(file.offer.subroots)
    one = next(n for n in subroots if n >= BUCKETS and subroots[n][:1] == b"\x03")
    other = next(n for n in subroots if n >= BUCKETS and n != one)
    raw, wrong = file.buckets([one])[0], file.buckets([other])[0]
    flat = msgspec.msgpack.decode(raw, type=list[bytes])
    lies = {
        "the next one's records": (one, subroots[one], wrong),
        "under the next one's number": (other, subroots[one], raw),
        "as a whole page": ((one >> one.bit_length() - 17) - BUCKETS, subroots[one], raw),
        "as the first half of it": (2 * one, subroots[one], raw),
        "as the second half of it": (2 * one + 1, subroots[one], raw),
        "another record": (one, subroots[one], encode([*flat[:-1], flat[-1] + b"x"])),
        "a record too few": (one, subroots[one], encode(flat[:-2])),
        "a record of another page": (one, subroots[one], encode([*flat, b"jp/" + b"?" * 32, b""])),
        "junk": (one, subroots[one], b"junk"),
    }
    assert make_buckets([(one, subroots[one], raw)])[1] == []
    for what, lie in lies.items():
        assert make_buckets([lie]) == ([], [lie[0]]), what


def test_an_answer_is_counted_as_a_whole_and_to_the_byte(
    server: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the size is the last; what would exceed the most an answer may have is left out, unless it is the first."""
    file = served(server, tmp_path / "file")
    numbers = sorted(decode_subroots(file.offer.subroots))
    sizes = [len(raw) + 4 for raw in file.buckets(numbers)]
    three = sum(sizes[:3])
    for enough, most, count in ((three, 10**9, 3), (three + 1, 10**9, 4), (10**9, three, 3), (10**9, three - 1, 2), (10**9, 1, 1)):
        monkeypatch.setattr(snapshot, "MAX_BUCKETS_BYTES", enough)
        monkeypatch.setattr(snapshot, "MAX_SYNC_ANSWER", most)
        assert len(file.buckets(numbers)) == count


def test_a_state_that_is_not_the_decided_one_is_not_served(net: Net, tmp_path: Path, backend: Places) -> None:
    store, c = empty(tmp_path / "db"), net.commits[0][1]
    store.commit(CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, []))
    store.close()
    held = backend.held(tmp_path)
    with pytest.raises(StorageDamaged, match="not the one that was decided"):
        make(store.where, CHAIN, str(tmp_path / "file"))
    gc.collect()  # what the error holds
    assert backend.lets_go(tmp_path, held)


@pytest.mark.parametrize(
    "raw", [b"", b"short", bytes(12), bytes(4096), b"\xff" * 100], ids=["empty", "short", "zeros", "many zeros", "ones"]
)
def test_a_file_that_is_no_snapshot_is_damaged(tmp_path: Path, raw: bytes) -> None:
    """Zeros are what a power cut leaves of a file whose size was noted before its bytes."""
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(StorageDamaged, match="the node makes another one"):
        SnapshotFile(str(tmp_path / "file"))


@pytest.mark.parametrize("at", [10, -20])
def test_a_rotten_snapshot_is_not_served(server: BlockStore, tmp_path: Path, at: int) -> None:
    path = tmp_path / "file"
    file = served(server, path)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(StorageDamaged):
        if at > 0:
            file.buckets(sorted(decode_subroots(file.offer.subroots)))
        else:
            SnapshotFile(str(path))


def test_a_store_without_a_block_has_no_snapshot(tmp_path: Path) -> None:
    store = empty(tmp_path / "fresh")
    assert make(store.where, CHAIN, str(tmp_path / "file")) == 0
    store.close()


def test_changes_are_kept_with_their_blocks_and_outlive_them(server: BlockStore, net: Net, tmp_path: Path) -> None:
    links = [change(net, 2, SETS[0], SETS[1]), change(net, 4, SETS[1], SETS[2])]
    store = empty(tmp_path / "late")
    take(store, served(server, tmp_path / "file"), links=links)
    Staging(store).ready()
    store = opened_again(store, tmp_path)
    assert validator_changes.read(store, 1, 64) == links
    assert validator_changes.read(store, 3, 64) == links[1:]
    assert validator_changes.read(store, 1, 1) == links[:1]
    with store.write("a block that changes the set") as c:
        third = change(net, 9, SETS[2], SETS[0])
        validator_changes.write(c, third.header, encode(third.certificate), encode(Validators(10, SETS[0])))
    assert validator_changes.read(store, 5, 64) == [third]
    store.close()


def test_changes_of_an_older_program_are_made_from_its_blocks(server: BlockStore, net: Net) -> None:
    validator_changes.complete(server, History([Validators(1, SETS[0]), Validators(3, SETS[1]), Validators(99, SETS[2])]))
    (found,) = validator_changes.read(server, 1, 64)
    assert found.header == decode_block(net.commits[0][2].block).header
    assert found.validators == SETS[1]
    validator_changes.complete(server, History([Validators(3, SETS[1])]))
    assert len(validator_changes.read(server, 1, 64)) == 1, "once"
    assert validator_changes.read(server, 2, 64) == [found] and validator_changes.read(server, 3, 64) == []
    with server.write("rot") as c:
        raw = bytes(c.execute(sa.select(schema.validator_changes.c.handover)).scalar_one())
        c.execute(sa.update(schema.validator_changes).values(handover=raw[:-1] + bytes([raw[-1] ^ 1])))
    with pytest.raises(StorageDamaged, match="validator set change 2"):
        validator_changes.read(server, 1, 64)


def test_no_handover_is_made_of_the_block_that_a_history_begins_after(server: BlockStore, tmp_path: Path) -> None:
    """Of it there is the header alone: what it handed over came with the snapshot, or is not known."""
    store, _ = staged(server, tmp_path)
    store = opened_again(store, tmp_path)
    validator_changes.complete(store, History([Validators(HEIGHTS + 1, SETS[1])]))
    validator_changes.complete(store, None)
    assert validator_changes.read(store, 1, 64) == []
    store.close()


async def asked(desk: SnapshotService, question: m.SnapshotQuestion) -> m.Message:
    return m.decode_message(await desk.answer(question) or b"")


async def _until_offered(desk: SnapshotService) -> m.Snapshot:
    while True:
        answer = await asked(desk, m.GetSnapshot())
        assert isinstance(answer, m.Snapshot)
        if not answer.making:
            return answer
        await asyncio.sleep(0.01)


async def test_a_node_makes_a_snapshot_when_it_is_asked_and_not_too_often(server: BlockStore, net: Net, tmp_path: Path) -> None:
    desk = SnapshotService(server, server.where, tmp_path, lambda: None)
    desk._helpers._count = 1
    (offer,) = (await _until_offered(desk)).offers
    assert offer.header.height == HEIGHTS and block_id(offer.header) == offer.certificate.block_id
    numbers = sorted(decode_subroots(offer.subroots))
    told = await asked(desk, m.GetBuckets(HEIGHTS, numbers))
    assert isinstance(told, m.Buckets) and told.numbers == numbers
    assert await asked(desk, m.GetBuckets(HEIGHTS - 1, numbers)) == m.Buckets(HEIGHTS - 1, [], [])
    assert await asked(desk, m.GetValidatorChanges(1)) == m.ValidatorChanges([])
    assert list(tmp_path.glob("snapshot*")) == [], "its file goes with the process"
    fill(server, net, HEIGHTS + 1, HEIGHTS + 3)
    desk.stale = 1
    assert (await _until_offered(desk)).offers == [offer], "it is old, but the next one has to wait"
    desk._not_before = 0.0
    (newer,) = (await _until_offered(desk)).offers
    assert newer.header.height == HEIGHTS + 3
    desk.close()
    assert await asked(desk, m.GetBuckets(HEIGHTS + 3, numbers)) == m.Buckets(HEIGHTS + 3, [], [])


async def test_buckets_that_are_not_what_their_subroots_say_are_not_staged(server: BlockStore, tmp_path: Path) -> None:
    file = served(server, tmp_path / "file")
    store = empty(tmp_path / "late")
    desk = SnapshotService(store, store.where, tmp_path, lambda: None)
    assert await desk.stage(file.offer, []) == []
    subroots = decode_subroots(file.offer.subroots)
    a, b = sorted(subroots)[:2]
    buckets = file.buckets([a, b])
    assert await desk.take([(a, subroots[a], buckets[0]), (b, subroots[b], buckets[0])]) == [b]
    assert await desk.stage(file.offer, []) == [a]
    numbers = sorted(subroots)
    sent = [(n, subroots[n], raw) for n, raw in zip(numbers, file.buckets(numbers), strict=True)]
    assert await asyncio.gather(*(desk.take(sent[i : i + 5]) for i in range(0, len(sent), 5))) == [[]] * -(-len(sent) // 5)
    assert await desk.stage(file.offer, []) == numbers, "also those that shared a transaction"
    changed = replace(file.offer, subroots=encode_subroots({a: b"\x02" + bytes(32)}))
    assert await desk.stage(changed, []) == []
    desk.close()
    with store.read("look") as c:
        assert c.execute(sa.select(sa.func.count()).select_from(schema.staged_pages)).scalar() == 0
    store.close()


# --- the desk that serves them ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def desk(server: BlockStore, tmp_path: Path) -> AsyncIterator[SnapshotService]:
    desk = SnapshotService(server, server.where, tmp_path, lambda: None)
    desk._helpers._count = 1
    yield desk
    desk.close()


async def test_without_another_process_it_is_made_in_this_one(desk: SnapshotService, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: Any) -> None:
        return None

    monkeypatch.setattr(desk._helpers, "make_snapshot", none)
    assert (await _until_offered(desk)).offers[0].header.height == HEIGHTS


async def test_a_snapshot_that_is_just_recent_enough_is_served_as_it_is(
    desk: SnapshotService, server: BlockStore, net: Net
) -> None:
    first = await _until_offered(desk)
    fill(server, net, HEIGHTS + 1, HEIGHTS + 2)
    desk.stale, desk._not_before = 2, 0.0
    assert await asked(desk, m.GetSnapshot()) == first and desk._making is None


async def test_a_snapshot_that_cannot_be_read_is_answered_by_nobody_and_served_no_more(
    desk: SnapshotService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _until_offered(desk)

    def rotten(*_: Any) -> bytes:
        raise StorageDamaged("it", "it is rotten", "make another")

    monkeypatch.setattr(snapshots, "_buckets", rotten)
    assert await desk.answer(m.GetBuckets(HEIGHTS, [1])) is None
    assert desk._file is None


@pytest.mark.parametrize(("took", "rest"), [(1.0, 60.0), (7.0, 70.0)])
async def test_it_rests_ten_times_as_long_as_making_took(
    desk: SnapshotService, monkeypatch: pytest.MonkeyPatch, took: float, rest: float
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(snapshots, "time", SimpleNamespace(monotonic=lambda: now[0]))
    made = desk._helpers.make_snapshot

    async def slowly(*how: Any) -> Any:
        now[0] += took
        return await made(*how)

    monkeypatch.setattr(desk._helpers, "make_snapshot", slowly)
    await _until_offered(desk)
    assert desk._not_before == 1_000 + took + rest
