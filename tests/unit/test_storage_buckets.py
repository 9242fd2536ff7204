"""The state's buckets in the database: written in turns, found after any end, damage told and never used."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.buckets import number_of
from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import StateDamaged
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger import state as ledger_state
from learningchain.chain.ledger.genesis import first_state
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.transition import commit
from learningchain.chain.storage import buckets as storage_buckets
from learningchain.chain.storage import schema
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import DiskFull, StorageDamaged
from learningchain.chain.storage.schema import add_checksum
from tests.sim.mutants.patch import Mutant, applied, mutant
from tests.unit.ledger_kit import Chain, genesis_of, id_of, key_of
from tests.unit.storage_backends import backend as backend
from tests.unit.storage_backends import postgres as postgres
from tests.unit.storage_backends import pytest_generate_tests as pytest_generate_tests
from tests.unit.storage_blocks import make_batch

NAMES = [f"n{i}" for i in range(40)]


def open_store(path: Path, chain: Chain, *, create: bool = False) -> BlockStore:
    return BlockStore.open(str(path), chain_id=chain.chain_id, create=create)


class Stored:
    """A chain whose state lies in a database, beside the same chain in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plain, self.chain = Chain(genesis_of(*NAMES)), Chain(genesis_of(*NAMES))
        self.store = open_store(path, self.chain, create=True)
        self.store.commit(CommitBatch(0, self.chain.chain_id, b"", b"", [], [], [], first_state(self.chain.genesis)[1]))
        self.parent = self.chain.chain_id
        self.chain.state = self.store.open_state()

    def block(self, rng: random.Random, transfers: int = 5) -> None:
        self.store.commit(self.batch(rng, transfers))

    def batch(self, rng: random.Random, transfers: int = 5) -> CommitBatch:
        """A block that is decided and not yet stored."""
        pairs = [rng.sample(NAMES, 2) for _ in range(transfers)]
        for chain in (self.plain, self.chain):
            chain.block(*(chain.tx(a, Transfer(id_of(b), 1, b"")) for a, b in pairs))
        assert self.chain.last is not None
        batch = make_batch(self.chain.height, self.parent, 0, 1, rng)
        self.parent = batch.block_id
        return CommitBatch(**(vars(batch) | {"state": self.chain.last.encoded}))

    def reopen(self) -> None:
        """As after a kill: what is in memory is gone."""
        self.store.close()
        self.store = open_store(self.path, self.chain)
        self.chain.state = self.store.open_state()

    def agrees(self) -> None:
        assert self.chain.state.root == self.plain.state.root
        assert dict(self.store.load_state()) == dict(self.plain.state.items())
        for prefix in ledger_state.SCANNED:
            assert self.chain.state.keys(prefix) == self.plain.state.keys(prefix)
            assert list(self.chain.state.scan(prefix, 99)) == list(self.plain.state.scan(prefix, 99))


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    stored = Stored(tmp_path / "db")
    yield stored
    stored.store.close()


@pytest.mark.parametrize("span", [400_000, 20_000, 100])
def test_a_state_in_buckets_is_the_one_in_memory_after_every_restart(
    stored: Stored, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no turn, with a part of the turns, and with every part written several times."""
    monkeypatch.setattr(storage_buckets, "SPAN", span)
    monkeypatch.setattr(ledger_state, "KEPT_RECORDS", 8)
    monkeypatch.setattr(ledger_state, "KEPT_BUCKETS", 2_000)
    rng = random.Random(span)
    for n in range(12):
        stored.block(rng)
        stored.agrees()
        if n % 3 == 2:
            stored.reopen()
            stored.agrees()
    with stored.store.engine.begin() as c:
        waiting = c.execute(sa.select(sa.func.count()).select_from(schema.journal)).scalar()
        subroots = c.execute(sa.select(schema.page_parts.c.heads)).scalars().all()
    turns = sum(storage_buckets._group.decode(bytes(sealed)[4:])[0] > 0 for sealed in subroots)
    assert {400_000: waiting == 12 and turns < 10, 20_000: waiting == 12 and 10 < turns < 30, 100: (waiting, turns) == (0, 256)}[
        span
    ]


def test_what_a_full_disk_undid_is_written_again(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the turns of the parts that were in the transaction."""
    monkeypatch.setattr(storage_buckets, "SPAN", 100)
    rng = random.Random(1)
    stored.block(rng)
    with monkeypatch.context() as m:
        m.setattr(storage_buckets.StateBuckets, "write_group", _turn_and_fail)
        with pytest.raises(DiskFull):
            stored.block(rng)
    assert stored.chain.last is not None
    batch = make_batch(stored.chain.height, stored.parent, 0, 1, rng)
    stored.store.commit(CommitBatch(**(vars(batch) | {"state": stored.chain.last.encoded})))
    stored.agrees()
    stored.reopen()
    stored.agrees()


@pytest.mark.parametrize("span", [100, 200, 1_000])
def test_heights_that_share_a_transaction_leave_the_newest_of_each_bucket(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, span: int
) -> None:
    """A part may have its turn with the first of them, and a bucket of it change with the second."""
    monkeypatch.setattr(storage_buckets, "SPAN", span)
    rng = random.Random(span)
    for _ in range(4):
        together = [stored.batch(rng, 30) for _ in range(3)]
        stored.store.commit_async(*together).result()
        assert dict(stored.store.open_state().items()) == dict(stored.plain.state.items()), "as it is read on"
        assert not stored.store.buckets._put and not stored.store.buckets._newest, "what is stored waits for nothing"
        stored.agrees()
    stored.reopen()
    stored.agrees()


def test_heights_that_share_a_transaction_are_undone_together(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_buckets, "SPAN", 100)
    rng = random.Random(1)
    stored.block(rng)
    buckets, together = stored.store.buckets, [stored.batch(rng) for _ in range(3)]
    before = list(buckets._written)
    with monkeypatch.context() as m:
        m.setattr(storage_buckets.StateBuckets, "write_group", _turn_and_fail_at(together[-1].height))
        with pytest.raises(DiskFull):
            stored.store.commit_async(*together).result()
    assert (buckets._written, buckets._turns) == (before, [])
    stored.store.commit_async(*together).result()
    stored.agrees()
    stored.reopen()
    stored.agrees()


@pytest.mark.parametrize("span", [100, 400_000])
def test_a_bucket_that_is_emptied_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, span: int) -> None:
    """Written or not: what was in it is neither read again nor damage."""
    monkeypatch.setattr(storage_buckets, "SPAN", span)
    chain = Chain(genesis_of())
    store = open_store(tmp_path / "db", chain, create=True)
    store.commit(CommitBatch(0, chain.chain_id, b"", b"", [], [], [], first_state(chain.genesis)[1]))
    before, rng, parent = dict(store.load_state()), random.Random(1), chain.chain_id
    key = account_key(b"\x07" * 20)
    assert number_of(sha256(key)) not in store.buckets.subroots()
    for height, record in ((1, encode(Account(key_of("alice").public, 0, 5, 0, [0] * 4, 0))), (2, None)):
        batch = make_batch(height, parent, 0, 1, rng)
        parent = batch.block_id
        store.commit(CommitBatch(**(vars(batch) | {"state": [(key, record)]})))
        assert dict(store.load_state()) == before | ({key: record} if record else {})
    for again in (store, open_store(tmp_path / "db", chain)):
        assert again.buckets.bucket(number_of(sha256(key))) == b""
        assert dict(again.load_state()) == before and dict(again.open_state().items()) == before
        again.close()


_turn = storage_buckets.StateBuckets.write_group


def _turn_and_fail_at(last: int) -> Callable[[storage_buckets.StateBuckets, sa.Connection, int], None]:
    def turn(buckets: storage_buckets.StateBuckets, connection: sa.Connection, height: int) -> None:
        _turn(buckets, connection, height)
        if height == last:
            raise DiskFull("store", "no space left", "")

    return turn


def _turn_and_fail(buckets: storage_buckets.StateBuckets, connection: sa.Connection, height: int) -> None:
    _turn(buckets, connection, height)
    raise DiskFull("store", "no space left", "")


@given(st.lists(st.tuples(st.sampled_from(["put", "drop", "block", "restart"]), st.integers(0, 30)), max_size=30))
@settings(max_examples=15, deadline=None)
def test_random_operations_over_a_database(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    """Records that come and go, heights that share nothing: the lazy state equals the eager one."""
    path = tmp_path_factory.mktemp("buckets") / "db"
    chain = Chain(genesis_of())
    store = open_store(path, chain, create=True)
    store.commit(CommitBatch(0, chain.chain_id, b"", b"", [], [], [], first_state(chain.genesis)[1]))
    states = [chain.state, store.open_state()]
    changes: dict[bytes, int | None] = {}
    parent, rng = chain.chain_id, random.Random(0)
    for what, n in steps:
        if what in ("put", "drop"):
            changes[n.to_bytes(20, "big")] = n if what == "put" else None
        elif what == "restart":
            store.close()
            store = open_store(path, chain)
            states[1] = store.open_state()
        else:
            chain.state = states[0]
            base = chain.try_()
            results = []
            for state in states:
                overlay = Overlay(state)
                for key, record in base.changes:
                    overlay.put(key, record)
                for identity, value in changes.items():
                    _put(overlay, identity, value)
                results.append(overlay.finish())
            assert results[0][:2] == results[1][:2] and results[0][2].root == results[1][2].root
            for state, (changed, _, tree) in zip(states, results, strict=True):
                state.commit(changed, tree)
            batch = make_batch(chain.height, parent, 0, 1, rng)
            parent = batch.block_id
            store.commit(CommitBatch(**(vars(batch) | {"state": results[1][1]})))
            changes = {}
    assert states[0].root == states[1].root
    assert dict(store.load_state()) == dict(states[0].items()) == dict(states[1].items())
    assert list(states[1].scan(b"m/", 99)) == list(states[0].scan(b"m/", 99))
    store.close()


def _put(overlay: Overlay, identity: bytes, value: int | None) -> None:
    if value is None:
        overlay.delete(account_key(identity))
        overlay.delete(member_key(identity))
        return
    overlay.put(account_key(identity), Account(key_of("alice").public, 0, value, 0, [0] * 4, 0))
    overlay.put(member_key(identity), Member(identity, value % 2 == 0, 0, 0, [], 0, [], []))


# --- damage -------------------------------------------------------------------------------------------------------------------


def written(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> int:
    """Everything is in its buckets; the number of the bucket of the first name's account."""
    monkeypatch.setattr(storage_buckets, "SPAN", 100)
    stored.block(random.Random(3))
    return number_of(sha256(account_key(id_of(NAMES[0]))))


def rewrite(stored: Stored, number: int, change: dict[bytes, bytes]) -> None:
    """Put another bucket in place of one, with a checksum that fits."""
    p = schema.pages.c
    with stored.store.engine.begin() as c:
        sealed = bytes(c.execute(sa.select(p.page).where(p.number == number)).scalar() or b"")
        bucket = sealed[4:]
        for old, new in change.items():
            assert bucket.count(old) == 1 and len(old) == len(new)
            bucket = bucket.replace(old, new)
        place = b"page" + number.to_bytes(4, "big")
        c.execute(sa.update(schema.pages).where(p.number == number).values(page=add_checksum(place, bucket)))


def test_a_rotten_bucket_ends_the_node_where_it_is_read(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    number = written(stored, monkeypatch)
    p = schema.pages.c
    with stored.store.engine.begin() as c:
        sealed = bytes(c.execute(sa.select(p.page).where(p.number == number)).scalar() or b"")
        c.execute(sa.update(schema.pages).where(p.number == number).values(page=sealed[:-1] + bytes([sealed[-1] ^ 1])))
    stored.reopen()
    assert stored.chain.state.root == stored.plain.state.root
    with pytest.raises(StorageDamaged, match="checksum"):
        stored.chain.state.get(account_key(id_of(NAMES[0])))
    with pytest.raises(StorageDamaged, match="checksum"):
        stored.store.check(full=True)


def test_a_record_that_somebody_changed_is_never_used(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum fits, the hashes stand as they were: the record does not have its own."""
    number = written(stored, monkeypatch)
    key = account_key(id_of(NAMES[0]))
    raw = stored.plain.state.raw(key)
    assert raw is not None
    rich = encode(Account(key_of(NAMES[0]).public, 0, 900_000, 0, stored.plain.account(NAMES[0]).sequences, 0))
    assert len(rich) == len(raw) and rich != raw
    rewrite(stored, number, {raw: rich})
    stored.reopen()
    with pytest.raises(StateDamaged, match="not the one that was hashed"):
        stored.chain.state.get(key)
    with pytest.raises(StateDamaged):
        stored.chain.try_(stored.chain.tx(NAMES[0], Transfer(id_of(NAMES[1]), 1, b"")), building=True)
    with pytest.raises(StorageDamaged, match="hashes that are stored"):
        stored.store.check(full=True)


def test_another_bucket_in_its_place_is_told(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every hash in it fits, but the tree names another: the subroot of a bucket is compared."""
    number = written(stored, monkeypatch)
    other = Chain(genesis_of(*NAMES))
    overlay = Overlay(other.state)
    key = account_key(id_of(NAMES[0]))
    overlay.put(key, Account(key_of(NAMES[0]).public, 0, 900_000, 0, [0] * 4, 0))
    bucket = overlay.finish()[2].buckets[number]
    with stored.store.engine.begin() as c:
        place = b"page" + number.to_bytes(4, "big")
        c.execute(sa.update(schema.pages).where(schema.pages.c.number == number).values(page=add_checksum(place, bucket)))
    stored.reopen()
    with pytest.raises(StateDamaged, match="does not have the hash that the tree says"):
        stored.chain.state.get(key)


def test_a_wrong_subroot_of_a_bucket_is_found_at_the_start(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    number = written(stored, monkeypatch)
    p = schema.page_parts.c
    part = number // storage_buckets.EACH
    with stored.store.engine.begin() as c:
        sealed = bytes(c.execute(sa.select(p.heads).where(p.part == part)).scalar() or b"")
        height, subroots = storage_buckets._group.decode(sealed[4:])
        subroots[number % storage_buckets.EACH] = subroots[number % storage_buckets.EACH][:1] + bytes(32)
        place = b"part" + part.to_bytes(8, "big")
        c.execute(sa.update(schema.page_parts).where(p.part == part).values(heads=add_checksum(place, encode((height, subroots)))))
    stored.reopen()
    assert stored.chain.state.root != stored.plain.state.root


def test_without_these_comparisons_a_wrong_record_would_be_used(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is taken out of the program: then nothing else stops the record that was put in place of the right one."""
    number = written(stored, monkeypatch)
    key = account_key(id_of(NAMES[0]))
    raw = stored.plain.state.raw(key)
    assert raw is not None
    rich = encode(Account(key_of(NAMES[0]).public, 0, 900_000, 0, stored.plain.account(NAMES[0]).sequences, 0))
    overlay = Overlay(stored.plain.state)
    overlay.put(key, Account(key_of(NAMES[0]).public, 0, 900_000, 0, stored.plain.account(NAMES[0]).sequences, 0))
    other = overlay.finish()[2].buckets[number]
    rewrite(stored, number, {raw: rich})
    blind = mutant("records not compared", "buckets", "        if digest != node[1:_HASH]:", "        if False:")
    _uses(stored, key, blind)
    stored.reopen()
    with applied(mutant("what was read counts as made here", "ledger.state", "self._own[number] = 0", "self._own[number] = 1")):
        assert stored.chain.state.get(key).balance == 900_000  # type: ignore[union-attr]
    with stored.store.engine.begin() as c:
        place = b"page" + number.to_bytes(4, "big")
        c.execute(sa.update(schema.pages).where(schema.pages.c.number == number).values(page=add_checksum(place, other)))
    _uses(stored, key, mutant("hash of a page not compared", "ledger.state", "if subroot_of(bucket) != subroot:", "if False:"))


def _uses(stored: Stored, key: bytes, broken: Mutant) -> None:
    stored.reopen()
    with pytest.raises(StateDamaged):
        stored.chain.state.get(key)
    with applied(broken):
        assert stored.chain.state.get(key).balance == 900_000  # type: ignore[union-attr]


def test_a_state_without_a_database_keeps_everything() -> None:
    chain = Chain(genesis_of(*NAMES))
    assert State.load(chain.state.items()).root == chain.state.root
    assert chain.last is None
    commit(chain.state, chain.try_())
    assert sum(chain.state.held()) == chain.state.total()
