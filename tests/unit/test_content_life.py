"""The life of a content store: whatever is added, pinned, fetched, collected and removed, over clean ends and kills, the store
is what a few dictionaries say it is. And what a second call, a second holder or a failed call must leave as it was."""

from __future__ import annotations

import os
import random
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from learningchain.p2p.content import store as store_module
from learningchain.p2p.content.cid import Cid, Codec, cid_of
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.faults import Missing, StoreError, StoreFull
from learningchain.p2p.content.partial import Downloads
from learningchain.p2p.content.store import MAX_REASON, MAX_REASONS, ContentStore
from tests.descriptors import below
from tests.unit.content_kit import kill, pattern, root_of

DATA = pattern(2 * CHUNK + 99)
ROOT, BLOCKS = root_of(DATA)
LEAVES = [cid_of(Codec.RAW, DATA[at : at + CHUNK]) for at in range(0, len(DATA), CHUNK)]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., ContentStore]]:
    """Open the store of this test (again, after a kill)."""
    opened: list[ContentStore] = []

    def make(quota: int = 100 * 2**20, **more: int) -> ContentStore:
        if opened:
            kill(opened.pop())
        opened.append(ContentStore(tmp_path / "store", quota=quota, **{"spare": 0, **more}))
        return opened[0]

    yield make
    for store in opened:
        kill(store)


def files(store: ContentStore, part: str) -> list[str]:
    return sorted(path.name for path in (store.folder / part).iterdir())


def begin(downloads: Downloads) -> None:
    """A download that has its first node, hence its room."""
    downloads.resume(ROOT)
    downloads.put_node(ROOT, ROOT, BLOCKS[ROOT], len(DATA))


class Model:
    """What a store must show: contents by age, pins, downloads that are open."""

    def __init__(self) -> None:
        self.held: dict[Cid, bytes] = {}
        """The least recently used first."""
        self.pins: dict[Cid, set[str]] = {}

    def loose(self) -> list[Cid]:
        return [cid for cid in self.held if not self.pins.get(cid)]

    def used(self) -> int:
        return sum(len(data) for data in self.held.values())

    def add(self, cid: Cid, data: bytes, quota: int) -> bool:
        """Whether there is room; gives up what has to go."""
        over = self.used() + len(data) - quota
        if over > sum(len(self.held[c]) for c in self.loose()):
            return False
        for old in self.loose():
            if over <= 0:
                break
            over -= len(self.held.pop(old))
        self.held.pop(cid, None)
        self.held[cid] = data
        return True

    def use(self, cid: Cid) -> None:
        self.held[cid] = self.held.pop(cid)


def same(store: ContentStore, model: Model) -> None:
    assert [row.root for row in store.contents()] == list(model.held)
    assert store.used() == model.used()
    assert files(store, "files") == sorted(map(str, model.held))
    assert files(store, "partial") == files(store, "tmp") == []
    for cid in {*model.held, *model.pins}:
        assert store.has(cid) == (cid in model.held)
        assert store.reasons(cid) == sorted(model.pins.get(cid, ()))
        assert store.pinned(cid) == bool(model.pins.get(cid))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_to_a_store_it_holds_what_it_should(make: Callable[..., ContentStore], seed: int) -> None:
    rng, quota, model = random.Random(seed), 4_000, Model()
    store = make(quota=quota)
    items = [bytes([i]) * rng.choice([0, 1, 700, 1_000, 1_900]) + b"%d" % i for i in range(8)]
    names = [cid_of(Codec.RAW, data) for data in items]
    for _ in range(60):
        index, reason = rng.randrange(len(items)), rng.choice(["job:1", "job:2", "won:1"])
        cid, data = names[index], items[index]
        match rng.choice(["add", "add", "add", "pin", "unpin", "unpin", "use", "remove", "end", "kill"]):
            case "add":
                source = data if rng.random() < 0.5 else None
                pin = reason if rng.random() < 0.2 else None
                if model.add(cid, data, quota):
                    path = store.folder / "source"
                    path.write_bytes(data)
                    assert store.add(path if source is None else source, pin=pin) == cid
                    if pin:
                        model.pins.setdefault(cid, set()).add(pin)
                else:
                    with pytest.raises(StoreFull):
                        store.add(data, pin=pin)
            case "pin":
                store.pin(cid, reason)
                model.pins.setdefault(cid, set()).add(reason)
            case "unpin":
                store.unpin(cid, reason)
                model.pins.get(cid, set()).discard(reason)
            case "use":
                if cid in model.held:
                    how = rng.choice(["open", "block"])
                    found = store.open(cid).read_bytes() if how == "open" else store.read_block(cid, cid)
                    assert found == data
                    model.use(cid)
                else:
                    with pytest.raises(Missing):
                        store.open(cid)
            case "remove":
                gone = cid in model.loose()
                assert store.remove(cid) == gone
                if gone:
                    del model.held[cid]
            case "end":
                store.close()
                store = make(quota=quota)
            case "kill":
                store = make(quota=quota)
                # Uses since the last clean end may be lost: they order what is collected, nothing else.
                assert sorted(row.root for row in store.contents()) == sorted(model.held)
                model.held = {row.root: model.held[row.root] for row in store.contents()}
        same(store, model)


# --- holders ----------------------------------------------------------------------------------------------------------------------


def test_a_download_is_neither_removed_nor_collected_before_its_last_holder_left(make: Callable[..., ContentStore]) -> None:
    store = make(quota=len(DATA) + 10)
    first, second = Downloads(store), Downloads(store)
    begin(first)
    second.resume(ROOT)
    first.release(ROOT)
    assert not store.remove(ROOT)
    with pytest.raises(StoreFull):
        store.add(bytes(100))
    second.release(ROOT)
    assert store.remove(ROOT)
    assert store.used() == 0 and files(store, "partial") == []
    nothing = Downloads(store)
    nothing.resume(ROOT)  # of which nothing is known, and nothing comes
    nothing.release(ROOT)
    assert store.remove(store.add(DATA)) and store.remove(ROOT) is False


def test_downloads_leave_no_open_file(make: Callable[..., ContentStore]) -> None:
    store = make()
    before, downloads = below(store.folder), Downloads(store)
    begin(downloads)
    downloads.release(ROOT)
    begin(downloads)
    assert len(below(store.folder)) == len(before) + 1
    downloads.close()
    assert below(store.folder) == before
    assert store.remove(ROOT), "whoever closed them holds nothing"


def test_a_refused_second_owner_leaves_no_open_file(make: Callable[..., ContentStore]) -> None:
    store = make()
    before = below(store.folder)
    with pytest.raises(StoreError, match="another process"):
        ContentStore(store.folder, quota=1)
    assert below(store.folder) == before


# --- pieces -----------------------------------------------------------------------------------------------------------------------


def test_a_disk_that_writes_a_little_at_a_time_gets_it_all(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, whole = make(), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, data[:100_000], offset))
    downloads = Downloads(store)
    begin(downloads)
    for index, leaf in enumerate(LEAVES):
        downloads.put_leaf(ROOT, BLOCKS[leaf], (index * CHUNK,), len(DATA))
    downloads.complete(ROOT)
    downloads.release(ROOT)
    assert store.open(ROOT).read_bytes() == DATA


# --- room and bounds --------------------------------------------------------------------------------------------------------------


def test_the_ledgers_room_on_the_disk_is_left_free(make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(spare=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(10_000, 8_900, 1_100))
    kept = store.add(bytes(100), pin="x")
    with pytest.raises(StoreFull, match="free space"):
        store.add(bytes(101))
    assert store.has(kept)


def test_an_addition_that_fails_midway_gives_its_room_back(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "STEP", CHUNK)
    store = make(quota=4 * CHUNK)

    class Breaks(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 2 * CHUNK:
                raise OSError(5, "the source is gone")
            return super().read(size)

    for _ in range(3):
        with pytest.raises(StoreError):
            store.add(Breaks(pattern(4 * CHUNK)))
        assert store.used() == 0 and files(store, "tmp") == []
    assert store.has(store.add(BytesIO(pattern(4 * CHUNK))))
    assert store.used() == 4 * CHUNK


def test_pins_are_bounded_in_length_and_number_and_one_that_fails_harms_no_other(make: Callable[..., ContentStore]) -> None:
    store = make()
    for bad in ("", "x" * (MAX_REASON + 1)):
        with pytest.raises(ValueError, match="1 to 128"):
            store.pin(ROOT, bad)
    with pytest.raises(UnicodeEncodeError):
        store.pin(ROOT, "\ud800")  # no text that a disk can hold: the change is undone whole
    store.pin(ROOT, "x" * MAX_REASON)
    store.pin(ROOT, "y")
    store.unpin(ROOT, "y")
    store = make()
    assert store.reasons(ROOT) == ["x" * MAX_REASON], "one reason was taken back, over a restart too"
    store._pins[ROOT] |= {str(i) for i in range(MAX_REASONS - 1)}
    with pytest.raises(StoreError, match=f"{MAX_REASONS} pins"):
        store.pin(ROOT, "one more")
    store.pin(ROOT, "x" * MAX_REASON)  # known: nothing new


def test_many_contents_are_pinned_and_given_up_with_one_write_each_all_or_none(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set of ten thousand files is not ten thousand waits for the disk."""
    store, writes = make(), list[int]()
    for name in ("pin", "unpin"):
        honest = getattr(store._index, name)
        monkeypatch.setattr(
            store._index, name, lambda roots, why, honest=honest: (writes.append(len(list(roots))), honest(roots, why))
        )
    many = [cid_of(Codec.RAW, b"%d" % number) for number in range(1_000)]
    store.pin(many[0], "before")
    store._pins[ROOT] = {str(i) for i in range(MAX_REASONS)}
    with pytest.raises(StoreError, match=f"{MAX_REASONS} pins"):
        store.pin_all([*many, ROOT], "set")
    assert (store.reasons(many[0]), store.pinned(many[1])) == (["before"], False)
    store.pin_all([*many, *many], "set")
    store.unpin_all(many[:600], "set")
    assert writes == [1, 1_000, 600]
    store = make()
    assert [sum(map(store.pinned, part)) for part in (many[:1], many[1:600], many[600:])] == [1, 0, 400]


def test_the_limit_of_one_file_holds_to_the_byte_for_additions_and_downloads(make: Callable[..., ContentStore]) -> None:
    store = make(max_file=len(DATA))
    assert store.has(store.add(DATA)) and store.remove(ROOT)
    begin(downloads := Downloads(store))
    downloads.release(ROOT)
    store = make(max_file=len(DATA) - 1)
    assert store.remove(ROOT)
    with pytest.raises(StoreError, match="larger than this store takes"):
        store.add(DATA)
    downloads = Downloads(store)
    downloads.resume(ROOT)
    with pytest.raises(StoreError, match="takes at most"):
        downloads.put_node(ROOT, ROOT, BLOCKS[ROOT], len(DATA))
    downloads.release(ROOT)
    assert store.used() == 0 and files(store, "partial") == []


def test_a_link_among_the_contents_is_removed_and_what_it_points_to_is_not(
    make: Callable[..., ContentStore], tmp_path: Path
) -> None:
    store, outside = make(), tmp_path / "outside"
    outside.write_bytes(DATA)
    store.path(ROOT).symlink_to(outside)
    store = make()
    assert not store.has(ROOT) and files(store, "files") == []
    assert outside.read_bytes() == DATA


def test_a_content_is_never_without_the_pin_that_it_was_added_with(
    make: Callable[..., ContentStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill may leave a pin without its content, never the reverse: the next addition would collect it."""
    for step in ("pin", "put"):
        store = make()
        with monkeypatch.context() as patch:
            patch.setattr(store._index, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                store.add(DATA, pin="job:1")
        store = make()
        assert not store.has(ROOT) or store.pinned(ROOT)
