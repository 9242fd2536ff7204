"""Content on this node's disk: each file once, as a plain file named by its CID, beside a small index.

The folder: `files/<cid>` (complete, read-only: what containers mount and engines load), `partial/<cid>` (downloads, written in
place, resumable), `tmp/` (files being added; emptied at start), `index.sqlite` (sizes, nodes, pins), `lock`.

Rules:
- LC-CONTENT-4: a file counts once its bytes, then its name, then its index entry are on disk, in this order; a start after a kill
  between any two of them finishes or undoes the step.
- LC-CONTENT-5: bytes are handed out only after their hash was checked in this very read. Damage sets the file aside as a partial
  download, so the next fetch loads the damaged pieces alone.
- LC-CONTENT-7: pinned content is never collected; unpinned content goes, least recently used first, when room is needed.

Calls do disk I/O and may be made from any thread; only `has`, `size`, `pinned` and `reasons` never touch the disk.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import structlog

from learningchain.chain.storage import private
from learningchain.p2p.content.cid import Cid, names
from learningchain.p2p.content.dag import CHUNK, MAX_FILE, Assembly, Builder, chunks
from learningchain.p2p.content.disk import FULL, allocate, named, own, scan
from learningchain.p2p.content.faults import Damaged, Missing, StoreError, StoreFull
from learningchain.p2p.content.index import Index, Row

log = structlog.get_logger(__name__)

SPARE = 64 * 2**20
"""Bytes of the disk that the store leaves free: the ledger beside it must always be able to write."""
STEP = 16 * 2**20
"""A stream of unknown length asks for room in steps of this many bytes."""
MAX_REASON = 128
MAX_REASONS = 8_192
"""Of one content: more than there are jobs at a time whose bounties somebody locked. Each takes some hundred
bytes of memory, and whoever asks for a block has them looked through."""
_TREES = 32
"""Trees of recently served contents kept in memory."""


class ContentStore:
    """A folder that one process owns. `quota` bounds the bytes of files, downloads and additions in progress."""

    def __init__(self, folder: Path, *, quota: int, max_file: int = MAX_FILE, spare: int = SPARE) -> None:
        self.folder, self.quota, self.max_file, self.spare = folder, quota, max_file, spare
        self._lock = threading.RLock()
        self._held = 0
        self._busy: dict[Cid, int] = {}
        self._touched: set[Cid] = set()
        self._trees: OrderedDict[Cid, Assembly] = OrderedDict()
        try:
            for part in ("files", "partial", "tmp"):
                (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise self.disk_fault(e) from None
        self._owner = own(folder)
        try:
            self._index = Index(folder / "index.sqlite")
            self._entries = {row.root: row for row in self._index.rows()}
            self._pins: dict[Cid, set[str]] = {}
            for root, reason in self._index.pins():
                self._pins.setdefault(root, set()).add(reason)
            self._clock = max((row.used for row in self._entries.values()), default=0)
            self._recover()
        except BaseException:
            os.close(self._owner)
            raise

    def close(self) -> None:
        with self._lock:
            self._flush_touched()
            self._index.close()
            os.close(self._owner)

    # --- start ----------------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        for left in (self.folder / "tmp").iterdir():
            left.unlink()
        for path in (self.folder / "files").iterdir():
            self._recover_file(path)
        for root, row in list(self._entries.items()):
            if row.complete and not self.path(root).exists():
                log.warning("content lost its file; fetch or add it again", cid=str(root))
                self._forget(root)
        for path in (self.folder / "partial").iterdir():
            known = named(path)
            if known is None or known not in self._entries or self._entries[known].complete:
                path.unlink()

    def _recover_file(self, path: Path) -> None:
        root = named(path)
        if root is None:
            log.warning("a foreign file lies among the contents and is left alone", path=str(path))
            return
        if path.is_symlink():
            log.warning("a link lay among the contents and was removed: the store makes none", path=str(path))
            path.unlink()
            return
        row = self._entries.get(root)
        if row is not None and row.complete and path.stat().st_size == row.size:
            return
        found, size, nodes = scan(path)
        if found == root:
            self._record(Row(root, size, True, self._tick()), nodes)
        elif row is not None:
            log.warning("a stored file has the wrong length and was set aside; fetch it again", cid=str(root))
            self._set_aside(root)
        else:
            path.unlink()

    # --- what is here ---------------------------------------------------------------------------------------------------------

    def has(self, root: Cid) -> bool:
        row = self._entries.get(root)
        return row is not None and row.complete

    def size(self, root: Cid) -> int:
        return self._complete(root).size

    def path(self, root: Cid) -> Path:
        return self.folder / "files" / str(root)

    def loose(self) -> list[Row]:
        """What goes when room is needed, first of all what was not used for longest."""
        with self._lock:
            return [row for row in self.contents() if row.root not in self._pins and row.root not in self._busy]

    def here(self, root: Cid) -> Path | None:
        """Where a complete content lies, unread: whoever reads it has to compare it with something else that it knows of it."""
        if not self.has(root):
            return None
        self._touch(root)
        return self.path(root)

    def contents(self) -> list[Row]:
        """Every content, complete or partial, least recently used first."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda row: (row.used, row.root))

    def since(self, root: Cid) -> int | None:
        """When the last of its bytes came (wall clock, ms); None where its file is gone."""
        for path in (self.path(root), self.partial_path(root)):
            with suppress(OSError):
                return path.stat().st_mtime_ns // 1_000_000
        return None

    def used(self) -> int:
        """Bytes that count against the quota; a partial download counts with its full size."""
        with self._lock:
            return self._held + sum(row.size for row in self._entries.values())

    def _complete(self, root: Cid) -> Row:
        row = self._entries.get(root)
        if row is None or not row.complete:
            raise Missing(f"{root} is not in this store: fetch it or add it first")
        return row

    # --- pins -----------------------------------------------------------------------------------------------------------------

    def pin(self, root: Cid, reason: str) -> None:
        """Keep `root`, which may still have to arrive, until every reason is taken back. Pinning twice is pinning once."""
        self.pin_all([root], reason)

    def pin_all(self, roots: Iterable[Cid], reason: str) -> None:
        """All of them or none: one write to the disk, however many they are."""
        if not 0 < len(reason) <= MAX_REASON:
            raise ValueError(f"a pin's reason has 1 to {MAX_REASON} characters")
        with self._lock:
            new = [root for root in dict.fromkeys(roots) if reason not in self._pins.get(root, ())]
            if full := next((root for root in new if len(self._pins.get(root, ())) >= MAX_REASONS), None):
                raise StoreError(f"{full} already has {MAX_REASONS} pins: take some back first")
            if new:
                self._index.pin(new, reason)
            for root in new:
                self._pins.setdefault(root, set()).add(reason)

    def unpin(self, root: Cid, reason: str) -> None:
        self.unpin_all([root], reason)

    def unpin_all(self, roots: Iterable[Cid], reason: str) -> None:
        with self._lock:
            there = [root for root in dict.fromkeys(roots) if reason in self._pins.get(root, ())]
            if there:
                self._index.unpin(there, reason)
            for root in there:
                self._pins[root].discard(reason)
                if not self._pins[root]:
                    del self._pins[root]

    def pinned(self, root: Cid) -> bool:
        return root in self._pins

    def reasons(self, root: Cid) -> list[str]:
        return sorted(self._pins.get(root, ()))

    def pinned_for(self, reason: str) -> list[tuple[Row, str]]:
        """The complete contents that are kept for this reason, or for one that goes on with a colon; each with its reason."""
        with self._lock:
            held = [(row, why) for row in self.contents() if row.complete for why in self.reasons(row.root)]
        return [(row, why) for row, why in held if why == reason or why.startswith(f"{reason}:")]

    # --- adding ---------------------------------------------------------------------------------------------------------------

    def add(self, source: Path | bytes | BinaryIO, *, pin: str | None = None) -> Cid:
        """Copy a file, bytes or a stream into the store; returns once it is durable. Raises `StoreFull`, `StoreError`."""
        if isinstance(source, bytes):
            return self._add(BytesIO(source), len(source), pin)
        if isinstance(source, Path):
            with source.open("rb") as file:
                return self._add(file, os.fstat(file.fileno()).st_size, pin)
        return self._add(source, 0, pin)

    def _add(self, source: BinaryIO, expected: int, pin: str | None) -> Cid:
        nodes: list[tuple[Cid, bytes]] = []
        builder = Builder(lambda cid, block: nodes.append((cid, block)))
        temp = self.folder / "tmp" / f"{os.getpid()}-{threading.get_ident()}"
        held = 0
        try:
            with private.writing(temp) as file:
                held += self._hold(expected)
                for chunk in chunks(source):
                    if builder.size + len(chunk) > self.max_file:
                        raise StoreError(f"the file is larger than this store takes ({self.max_file} bytes)")
                    if builder.size + len(chunk) > held:
                        held += self._hold(STEP)
                    builder.feed(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            root = builder.finish()
            with self._lock:
                self._held, held = self._held - held, 0
                if pin is not None:
                    self.pin(root, pin)
                self._place(temp, root, builder.size, nodes)
            return root
        except OSError as e:
            raise self.disk_fault(e) from None
        finally:
            with self._lock:
                self._held -= held
            temp.unlink(missing_ok=True)

    def _place(self, temp: Path, root: Cid, size: int, nodes: list[tuple[Cid, bytes]]) -> None:
        """Give durable bytes their name, then their index entry. The lock is held."""
        private.set_mode(temp, 0o444)
        os.replace(temp, self.path(root))
        private.sync_folder(self.folder / "files")
        self._record(Row(root, size, True, self._tick()), nodes)
        self.partial_path(root).unlink(missing_ok=True)

    def _hold(self, size: int) -> int:
        """Make room for `size` bytes of an addition and count them as used until it ends."""
        with self._lock:
            self.make_room(size)
            self._held += size
        return size

    # --- room -----------------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Bytes that may still be pinned: what the quota leaves beside what is kept or under way."""
        with self._lock:
            return self.quota - self.used() + sum(row.size for row in self.loose())

    def make_room(self, need: int) -> None:
        """Collect unpinned content until `need` bytes fit into quota and disk. Raises `StoreFull`, before anything is collected
        when even collecting all would not do."""
        with self._lock:
            loose = self.loose()
            over = self.used() + need - self.quota
            short = need + self.spare - shutil.disk_usage(self.folder).free
            freeable = sum(row.size for row in loose)
            if over > freeable or short > freeable:
                why = f"the quota is {self.quota} bytes" if over > freeable else f"the disk lacks {short} bytes of free space"
                raise StoreFull(
                    f"no room for {need} bytes: {why}, {self.used()} are used and {freeable} of them could be collected; raise the "
                    "quota, free disk space, or remove pins that are not needed"
                )
            for row in loose:
                if over <= 0 and short <= 0:
                    return
                log.info("content collected to make room", cid=str(row.root), size=row.size)
                self._delete(row.root)
                over, short = over - row.size, short - row.size

    def remove(self, root: Cid) -> bool:
        """Delete an unpinned content now; False when it is pinned, in use or not here."""
        with self._lock:
            if root not in self._entries or root in self._pins or root in self._busy:
                return False
            self._delete(root)
            return True

    def _delete(self, root: Cid) -> None:
        """Files first: an index entry without a file is noticed at the next start, the reverse would be taken over again."""
        self.path(root).unlink(missing_ok=True)
        self.partial_path(root).unlink(missing_ok=True)
        self._forget(root)

    def _forget(self, root: Cid) -> None:
        self._index.remove(root)
        self._entries.pop(root, None)
        self._trees.pop(root, None)

    def _record(self, row: Row, nodes: list[tuple[Cid, bytes]]) -> None:
        self._index.put(row, nodes)
        self._entries[row.root] = row

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _touch(self, root: Cid) -> None:
        """Note a use. It reaches the disk in batches: losing some costs order of collection, nothing else."""
        with self._lock:
            row = self._entries.get(root)
            if row is not None:
                self._entries[root] = row._replace(used=self._tick())
                self._touched.add(root)
                if len(self._touched) >= 64:
                    self._flush_touched()

    def _flush_touched(self) -> None:
        touched, self._touched = self._touched, set()
        known = [(root, self._entries[root].used) for root in touched if root in self._entries]
        if known:
            self._index.touch(known)

    # --- downloads (used by `partial` alone) ----------------------------------------------------------------------------------

    def hold(self, root: Cid) -> Row | None:
        """Keep `root` from being collected while it is fetched; returns what is known of it."""
        with self._lock:
            self._busy[root] = self._busy.get(root, 0) + 1
            return self._entries.get(root)

    def drop(self, root: Cid) -> None:
        with self._lock:
            left = self._busy.get(root, 0) - 1
            if left > 0:
                self._busy[root] = left
            else:
                self._busy.pop(root, None)

    def partial_path(self, root: Cid) -> Path:
        return self.folder / "partial" / str(root)

    def begin(self, root: Cid, size: int) -> int:
        """Make room for a download and create its file at full length; returns the open file. Idempotent."""
        with self._lock:
            known = self._entries.get(root)
            if known is None:
                if size > self.max_file:
                    raise StoreError(f"the file has {size} bytes, this store takes at most {self.max_file}")
                self.make_room(size)
            path = self.partial_path(root)
            fd = private.create(path) if known is None else private.open_or_create(path)
            try:
                allocate(fd, size)
                if known is None:
                    self._record(Row(root, size, False, self._tick()), [])
            except BaseException:
                os.close(fd)
                if known is None:
                    path.unlink(missing_ok=True)
                raise
            return fd

    def note_node(self, root: Cid, cid: Cid, block: bytes) -> None:
        with self._lock:
            self._index.put(self._entries[root], [(cid, block)])

    def finish(self, root: Cid) -> None:
        """Every piece of a download was checked, written and synced: it becomes a complete content."""
        with self._lock:
            if not self.has(root):
                self._place(self.partial_path(root), root, self._entries[root].size, [])

    # --- reading --------------------------------------------------------------------------------------------------------------

    def open(self, root: Cid) -> Path:
        """The path of a complete content, after every byte was checked. Pin it first if it must stay: collection may remove it.

        Raises `Missing`, `Damaged`.
        """
        for _ in self.chunks(root):
            pass
        return self.path(root)

    def chunks(self, root: Cid) -> Iterator[bytes]:
        """The file in checked pieces of at most CHUNK bytes. Raises `Missing`, `Damaged`."""
        size = self._complete(root).size
        tree = self._tree(root)
        leaves = {offset: leaf for leaf, offsets in tree.leaves.items() for offset in offsets}
        self._touch(root)
        try:
            with private.reading(self.path(root)) as file:
                for offset in range(0, max(size, 1), CHUNK):
                    data = file.read(CHUNK)
                    if not names(leaves[offset], data):
                        raise self._damage(root, offset)
                    yield data
        except FileNotFoundError:
            raise self._lost(root) from None
        except OSError as e:
            raise self.disk_fault(e) from None

    def read_block(self, root: Cid, cid: Cid) -> bytes:
        """One checked block of a complete content. Raises `Missing` (also when `cid` is no block of `root`), `Damaged`."""
        self._complete(root)
        tree = self._tree(root)
        self._touch(root)
        node = tree.nodes.get(cid)
        if node is not None:
            return node
        offsets = tree.leaves.get(cid)
        if offsets is None:
            raise Missing(f"{cid} is no block of {root}")
        try:
            with private.reading(self.path(root)) as file:
                data = os.pread(file.fileno(), tree.leaf_size(offsets[0]), offsets[0])
        except FileNotFoundError:
            raise self._lost(root) from None
        except OSError as e:
            raise self.disk_fault(e) from None
        if not names(cid, data):
            raise self._damage(root, offsets[0])
        return data

    def _tree(self, root: Cid) -> Assembly:
        with self._lock:
            tree = self._trees.get(root)
            if tree is None:
                tree = self.rebuild(root)
                if not tree.whole:  # damaged nodes: the file itself can replace them
                    found, _, nodes = scan(self.path(root))
                    if found != root:
                        raise self._damage(root, 0)
                    self._record(self._entries[root], nodes)
                    tree = self.rebuild(root)
                self._trees[root] = tree
                if len(self._trees) > _TREES:
                    self._trees.popitem(last=False)
            self._trees.move_to_end(root)
            return tree

    def rebuild(self, root: Cid) -> Assembly:
        """The tree of `root` as far as the index holds sound nodes of it."""
        row = self._entries.get(root)
        tree = Assembly(root, self.max_file)
        nodes = self._index.nodes(root)
        pending = list(tree.wanted)
        while pending:
            cid = pending.pop()
            block = nodes.get(cid)
            if block is not None and cid in tree.wanted and names(cid, block):
                pending += [child for child in tree.add_node(cid, block) if not child.raw]
        if root.raw and row is not None:
            tree.size = row.size
        return tree

    def _damage(self, root: Cid, offset: int) -> Damaged:
        with self._lock:
            log.error("stored content is damaged and was set aside; check this disk", cid=str(root), offset=offset)
            if self.has(root):
                self._set_aside(root)
        return Damaged(root, offset)

    def _set_aside(self, root: Cid) -> None:
        """Turn a complete file into a partial download of itself."""
        private.set_mode(self.path(root), 0o600)
        os.replace(self.path(root), self.partial_path(root))
        self._record(self._entries[root]._replace(complete=False), [])
        self._trees.pop(root, None)

    def _lost(self, root: Cid) -> Missing:
        """The index knows a file that somebody removed."""
        with self._lock:
            if self.has(root) and not self.path(root).exists():
                self._forget(root)
        return Missing(f"the file of {root} is gone from {self.folder / 'files'}: fetch it or add it again")

    def disk_fault(self, e: OSError) -> StoreError:
        if e.errno in FULL:
            return StoreFull(
                f"the disk of {self.folder} is full: free space on it, then try again; nothing incomplete counts as stored"
            )
        return StoreError(f"the content store cannot use {e.filename or self.folder}: {e.strerror}")
