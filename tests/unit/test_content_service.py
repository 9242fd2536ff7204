"""The content service: nodes that exchange files over an in-process link, with real stores on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from learningchain.chain.codec import encode
from learningchain.p2p.content import service
from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import (
    BlockStored,
    Effect,
    Input,
)
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.p2p.content.messages import ContentBlock, Has, WantBlocks, WhoHas, decode_message
from learningchain.p2p.content.partial import Downloads
from learningchain.p2p.content.service import MAX_WAITING, RETRY_S, Content
from learningchain.p2p.content.store import ContentStore
from tests.descriptors import below
from tests.slow import SLOW
from tests.unit.content_kit import flip, pattern, root_of

QUOTA = 200 * 2**20


class Net:
    """Services joined in one loop. `taps` see a frame first: they return the frames that really travel, or None for a full link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: dict[bytes, Content] = {}
        self.stores: dict[bytes, ContentStore] = {}
        self.taps: dict[bytes, Callable[[bytes], list[bytes] | None]] = {}
        self.blamed: list[bytes] = []
        self.sent = 0
        self.loop = asyncio.get_running_loop()

    def add(self, name: bytes, *, allow: Callable[[bytes, Cid], bool] | None = None) -> Content:
        store = self.stores[name] = ContentStore(self.folder / name.decode(), quota=QUOTA, spare=0)
        node = Content(
            store,
            lambda peer, payload: self._send(name, peer, payload),
            lambda: int(self.loop.time() * 1000),
            allow=allow,
            penalize=lambda peer, text: self.blamed.append(peer),
        )
        for other, there in self.nodes.items():
            node.on_peer(other, True)
            there.on_peer(name, True)
        self.nodes[name] = node
        return node

    def _send(self, source: bytes, target: bytes, payload: bytes) -> bool:
        frames = self.taps.get(source, lambda frame: [frame])(payload)
        if frames is None or target not in self.nodes:
            return False
        for frame in frames:
            self.sent += len(frame)
            self.loop.call_soon(self._deliver, source, target, frame)
        return True

    def _deliver(self, source: bytes, target: bytes, frame: bytes) -> None:
        if target in self.nodes:
            self.nodes[target].on_message(source, frame)

    async def stop(self, name: bytes) -> None:
        node = self.nodes.pop(name)
        for other in self.nodes.values():
            other.on_peer(name, False)
        await node.close()
        self.stores.pop(name).close()

    async def close(self) -> None:
        for name in list(self.nodes):
            await self.stop(name)


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    net = Net(tmp_path)
    yield net
    await net.close()


async def get(node: Content, root: Cid, *, max_size: int = QUOTA, timeout_s: float = 60) -> bytes:
    return (await node.fetch(root, max_size=max_size, timeout_s=timeout_s)).read_bytes()


@pytest.mark.parametrize("size", [0, 1000, 1_000_000, 60_000_000])
async def test_a_file_travels_from_one_node_to_another(net: Net, size: int) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(size)
    root = await a.add(data, pin="test")
    seen: list[tuple[int, int]] = []
    path = await b.fetch(root, max_size=size, timeout_s=60, on_progress=lambda done, of: seen.append((done, of)))
    assert path.read_bytes() == data
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert net.sent < size * 1.01 + 2_000
    assert await get(b, root) == data, "the second time from its own store"


async def test_what_is_published_while_somebody_asks_for_it_comes_before_it_is_asked_for_again(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tick passes: the question was remembered, also where the policy came to allow it later."""
    monkeypatch.setattr(service, "TICK_S", 1_000.0)
    may: set[bytes] = set()
    a, b = net.add(b"a", allow=lambda peer, _: peer in may), net.add(b"b")
    root, _ = root_of(b"late")
    left = asyncio.Event()

    def tap(frame: bytes) -> list[bytes]:
        left.set()
        return [frame]

    net.taps[b"b"] = tap
    asked = asyncio.create_task(get(b, root, timeout_s=600))
    await left.wait()
    assert await a.add(b"late", pin="test") == root and not asked.done()
    may.add(b"b")
    a.offer(root)
    assert await asyncio.wait_for(asked, 30 * SLOW) == b"late"


async def test_only_pinned_content_is_served_by_default(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    root = await a.add(b"private")
    with pytest.raises(FetchFailed) as failed:
        await get(b, root, timeout_s=0.3 * SLOW)
    assert failed.value.reason == Reason.NOBODY
    net.stores[b"a"].pin(root, "job:1")
    assert await get(b, root) == b"private"


async def test_policy_says_who_is_served_what(net: Net) -> None:
    data = b"for b alone"
    root, _ = root_of(data)
    a = net.add(b"a", allow=lambda peer, cid: peer == b"b" and cid == root)
    b, c = net.add(b"b"), net.add(b"c")
    await a.add(data)
    assert await get(b, root) == data
    with pytest.raises(FetchFailed):
        await get(c, root, timeout_s=0.3 * SLOW)


async def test_many_waiters_share_one_download(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(8 * CHUNK)
    root = await a.add(data, pin="x")
    impatient = asyncio.create_task(b.fetch(root, max_size=QUOTA, timeout_s=60))
    others = [asyncio.create_task(get(b, root)) for _ in range(5)]
    small = asyncio.create_task(get(b, root, max_size=len(data) - 1))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await asyncio.gather(*others) == [data] * 5
    with pytest.raises(FetchFailed) as failed:
        await small
    assert failed.value.reason == Reason.TOO_LARGE
    assert net.sent < len(data) * 1.05


async def test_a_liar_is_blamed_and_the_file_is_right(net: Net) -> None:
    liar, good, b = net.add(b"liar"), net.add(b"good"), net.add(b"b")

    def lie(frame: bytes) -> list[bytes]:
        message = decode_message(frame)
        if isinstance(message, ContentBlock) and message.data:
            return [encode(ContentBlock(message.root, message.cid, bytes(len(message.data))))]
        return [frame]

    net.taps[b"liar"] = lie
    data = pattern(20 * CHUNK)
    root = await liar.add(data, pin="x")
    await good.add(data, pin="x")
    assert await get(b, root) == data
    assert set(net.blamed) == {b"liar"}


async def test_a_full_link_delays_and_loses_nothing(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    count = 0

    def narrow(frame: bytes) -> list[bytes] | None:
        nonlocal count
        count += 1
        return [frame] if count % 3 == 0 else None

    net.taps[b"a"] = net.taps[b"b"] = narrow
    data = pattern(6 * CHUNK)
    root = await a.add(data, pin="x")
    assert await get(b, root) == data


async def test_a_download_goes_on_after_a_restart(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(30 * CHUNK)
    root = await a.add(data, pin="x")
    half = asyncio.Event()
    task = asyncio.create_task(
        b.fetch(root, max_size=QUOTA, timeout_s=60, on_progress=lambda done, of: half.set() if done > of // 2 else None)
    )
    await half.wait()
    await net.stop(b"b")
    with pytest.raises(FetchFailed) as failed:
        await task
    assert failed.value.reason == Reason.CANCELLED
    before = net.sent
    assert await get(net.add(b"b"), root) == data
    assert net.sent - before < len(data) * 0.75  # half was here; what was under way when the node stopped is sent again


async def test_damage_on_disk_is_repaired_from_peers(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(10 * CHUNK)
    root = await a.add(data, pin="x")
    await get(b, root)
    flip(net.stores[b"b"].path(root), 5 * CHUNK)
    before = net.sent
    assert await get(b, root) == data
    assert net.sent - before < 2 * CHUNK


async def test_a_server_with_a_damaged_copy_serves_nothing_wrong(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    root = await a.add(pattern(3 * CHUNK), pin="x")
    flip(net.stores[b"a"].path(root), CHUNK + 1)
    with pytest.raises(FetchFailed):
        await get(b, root, timeout_s=1)
    assert not net.blamed
    assert not net.stores[b"a"].has(root)
    assert await a.add(pattern(3 * CHUNK)) == root
    assert await get(b, root) == pattern(3 * CHUNK)


async def test_no_room_is_a_failure_with_its_reason(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    root = await a.add(pattern(3 * CHUNK), pin="x")
    net.stores[b"b"].quota = CHUNK
    with pytest.raises(FetchFailed, match="quota") as failed:
        await get(b, root)
    assert failed.value.reason == Reason.STORAGE
    net.stores[b"b"].quota = QUOTA
    assert await get(b, root) == pattern(3 * CHUNK)


async def test_a_callers_mistake_ends_only_its_own_fetch(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    root = await a.add(pattern(4 * CHUNK), pin="x")

    def broken(done: int, of: int) -> None:
        raise RuntimeError("mine")

    wrong = asyncio.create_task(b.fetch(root, max_size=QUOTA, timeout_s=60, on_progress=broken))
    right = asyncio.create_task(get(b, root))
    with pytest.raises(RuntimeError, match="mine"):
        await wrong
    assert await right == pattern(4 * CHUNK)


async def test_a_flood_of_unasked_blocks_is_blamed_and_not_hashed(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    b = net.add(b"b")
    b.on_peer(b"x", True)
    hashed: list[object] = []
    monkeypatch.setattr(service, "_checked", lambda *a: hashed.append(a))
    root, blocks = root_of(pattern(CHUNK))
    for _ in range(50):
        b.on_message(b"x", encode(ContentBlock(root.to_bytes(), root.to_bytes(), blocks[root])))
    b.on_message(b"x", bytes(2 * 2**20))
    assert net.blamed == [b"x"] * 51
    assert not hashed


async def test_a_fetch_pins_what_it_fetches(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    root = await a.add(b"model", pin="x")
    await b.fetch(root, max_size=100, timeout_s=10, pin="job:7")
    assert net.stores[b"b"].reasons(root) == ["job:7"]


async def settled(node: Content) -> None:
    """Nothing but the service's own two loops runs."""
    while len(node._tasks) > 2:
        await asyncio.sleep(0.001)


def reconnect(net: Net, a: bytes, b: bytes) -> None:
    for up in (False, True):
        net.nodes[a].on_peer(b, up)
        net.nodes[b].on_peer(a, up)


async def test_what_an_ended_connection_asked_for_is_not_sent_to_the_next_one(net: Net) -> None:
    """The peer that gets it does not owe its asker anything any more, and would be blamed."""
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(3 * CHUNK)
    root, blocks = root_of(data)
    await a.add(data, pin="test")
    leaves = [cid.to_bytes() for cid in sorted(blocks) if cid.raw]
    a.on_message(b"b", encode(WantBlocks(root.to_bytes(), leaves)))
    reconnect(net, b"a", b"b")
    await settled(a)
    net.taps[b"a"] = lambda frame: None  # full
    a.on_message(b"b", encode(WantBlocks(root.to_bytes(), leaves)))
    while not any(task.get_coro().__name__ == "_serve" for task in a._tasks):  # type: ignore[union-attr]
        await asyncio.sleep(0.001)
    reconnect(net, b"a", b"b")
    del net.taps[b"a"]
    await settled(a)
    await settled(b)
    assert net.blamed == []
    assert net.sent < 1_000
    assert await get(b, root) == data


@pytest.mark.parametrize("size", [0, 1_000, CHUNK])
async def test_a_file_of_one_leaf_is_finished_after_a_kill_just_before_its_end(net: Net, size: int) -> None:
    """All its bytes are on disk, and nothing but the index knows how many they are."""
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(size)
    root = await a.add(data, pin="test")
    killed = Downloads(net.stores[b"b"])
    killed.resume(root)
    killed.put_leaf(root, data, (0,), size)
    killed.release(root)
    assert await get(b, root, timeout_s=5) == data
    other = await a.add(b"the service lives", pin="test")
    assert await get(b, other, timeout_s=5) == b"the service lives"


async def test_a_mistake_of_our_own_ends_one_download_and_no_other(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    bad, good = [await a.add(pattern(300_000 + i), pin="kept") for i in range(2)]
    handle = b._machine.handle

    def broken(now: int, given: Input) -> list[Effect]:
        if isinstance(given, BlockStored) and given.root == bad:
            raise ValueError("our mistake")
        return handle(now, given)

    monkeypatch.setattr(b._machine, "handle", broken)
    with pytest.raises(FetchFailed, match="our mistake") as failed:
        await get(b, bad)
    assert failed.value.reason is Reason.STORAGE
    assert await get(b, good) == pattern(300_001)


async def test_a_peer_whose_link_is_full_has_few_frames_wait_and_holds_up_nobody(tmp_path: Path) -> None:
    """Its questions once filled the room for all: what others were owed was dropped meanwhile."""
    store = ContentStore(tmp_path / "store", quota=QUOTA, spare=0)
    root = store.add(b"something", pin="test")
    sent: list[bytes] = []
    full = {b"stuck", b"late"}

    def send(peer: bytes, payload: bytes) -> bool:
        if peer in full:
            return False
        sent.append(peer)
        return True

    content = Content(store, send, lambda: int(time.monotonic() * 1000))
    try:
        for peer in (b"stuck", b"late"):
            content.on_peer(peer, True)
        tasks = len(content._tasks)
        for _ in range(1_000):
            content.on_message(b"stuck", encode(WhoHas(root.to_bytes())))
        assert len(content._tasks) - tasks == MAX_WAITING
        content.on_message(b"late", encode(WhoHas(root.to_bytes())))
        full.discard(b"late")
        async with asyncio.timeout(10 * SLOW):
            while b"late" not in sent:
                await asyncio.sleep(RETRY_S)
        content.on_message(b"late", encode(WantBlocks(root.to_bytes(), [root.to_bytes()])))
        async with asyncio.timeout(10 * SLOW):
            while sent.count(b"late") < 2:
                await asyncio.sleep(RETRY_S)
        assert b"stuck" not in sent
    finally:
        await content.close()
        store.close()


async def test_what_waited_for_one_connection_is_not_sent_to_the_next(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", quota=QUOTA, spare=0)
    root = store.add(b"something", pin="test")
    sent: list[bytes] = []
    full = True
    content = Content(store, lambda peer, payload: not full and not sent.append(payload), lambda: int(time.monotonic() * 1000))
    try:
        content.on_peer(b"p", True)
        content.on_message(b"p", encode(WhoHas(root.to_bytes())))
        assert content._waiting[b"p"] == 1
        content.on_peer(b"p", False)
        content.on_peer(b"p", True)
        full = False
        async with asyncio.timeout(10 * SLOW):
            while content._waiting[b"p"]:
                await asyncio.sleep(0.01)
        assert sent == []
        content.on_message(b"p", encode(WhoHas(root.to_bytes())))
        assert [decode_message(payload) for payload in sent] == [Has(root.to_bytes())]
    finally:
        await content.close()
        store.close()


async def test_what_waits_when_the_node_stops_is_told_so_and_nothing_begins_after(net: Net) -> None:
    b = net.add(b"b")
    root, _ = root_of(b"nobody has it")
    waiting = asyncio.ensure_future(b.fetch(root, max_size=10, timeout_s=60))
    while not b._machine.busy:
        await asyncio.sleep(0)
    await b.close()
    for work in (waiting, b.fetch(root, max_size=10, timeout_s=60)):
        with pytest.raises(FetchFailed, match="shutting down") as failed:
            await work
        assert failed.value.reason is Reason.CANCELLED
    await b.close()


async def test_a_node_that_stops_lets_go_of_what_it_was_loading(net: Net, tmp_path: Path) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(20 * CHUNK + 7)
    root = await a.add(data, pin="x")
    sent = 0

    def tap(frame: bytes) -> list[bytes]:
        nonlocal sent
        sent += len(frame) > CHUNK
        return [frame] if sent < 3 else []

    net.taps[b"a"] = tap
    before = below(tmp_path / "b")
    waiting = asyncio.ensure_future(b.fetch(root, max_size=2 * len(data), timeout_s=60))
    while sent < 3:
        await asyncio.sleep(0.01)
    await b.close()
    with pytest.raises(FetchFailed):
        await waiting
    assert below(tmp_path / "b") == before, "what the other one has open to serve it is that one's"
    assert b.store.remove(root), "nobody holds it any more"


async def test_what_is_here_already_is_refused_when_larger_than_wanted_and_pinned_when_asked(net: Net) -> None:
    b = net.add(b"b")
    root = await b.add(b"0123456789")
    with pytest.raises(FetchFailed) as failed:
        await b.fetch(root, max_size=9, timeout_s=5)
    assert failed.value.reason is Reason.TOO_LARGE
    assert (await b.fetch(root, max_size=10, timeout_s=5, pin="job:1")).read_bytes() == b"0123456789"
    assert b.store.reasons(root) == ["job:1"]


async def test_a_download_in_two_waits_for_the_larger_limit_only(net: Net) -> None:
    """The size is known with the first node: whoever wants less is told then, not at the end."""
    a, b = net.add(b"a"), net.add(b"b")
    data = pattern(4 * CHUNK)
    root = await a.add(data, pin="test")
    seen: list[int] = []
    large = asyncio.ensure_future(b.fetch(root, max_size=len(data), timeout_s=30, on_progress=lambda done, size: seen.append(done)))
    with pytest.raises(FetchFailed) as failed:
        await b.fetch(root, max_size=len(data) - 1, timeout_s=30)
    assert failed.value.reason is Reason.TOO_LARGE
    assert not large.done()
    assert (await large).read_bytes() == data
    assert seen == sorted(seen) and seen[-1] == len(data)
