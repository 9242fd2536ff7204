"""What lies on a node and what comes there, as people and programs are told: for what, since when, how fast, and what may go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.api.contents import MAX_SHOWN
from learningchain.client.contracts.job.roles.cleanup import OWN_PIN, WON_PIN
from learningchain.client.dashboard import live
from learningchain.client.node.interface import ComingContent, KeptContent
from learningchain.client.sdk import http
from learningchain.client.sdk.client import Client
from learningchain.client.work.artifacts import IMAGE, reason
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.faults import FetchFailed
from learningchain.p2p.content.rates import STEP_MS, WINDOW_MS, DownloadRate
from learningchain.p2p.content.store import ContentStore
from tests.unit.api_kit import TOKEN, Api, serving
from tests.unit.content_kit import pattern
from tests.unit.dashboard_kit import browsing
from tests.unit.test_api_contractor import JOB
from tests.unit.test_content_service import Net, get, net
from tests.unit.test_work_graph import Graph, tmp_path
from tests.unit.work_kit import blocks, run_virtual, working

__all__ = ["net", "tmp_path"]

CIDS = sorted(str(cid_of(Codec.RAW, b"%d" % n)) for n in range(5))
SET = CIDS[0]


def many(count: int) -> list[str]:
    return [str(cid_of(Codec.RAW, b"%d" % n)) for n in range(count)]


@pytest.mark.parametrize(
    ("came", "at", "rate"),
    [
        ([], 5_000, None),
        ([(0, 700)], STEP_MS - 1, None),
        ([(0, 700), (1_000, 1_700)], 1_000, 1_000),
        ([(0, 700), (1_000, 1_700)], 4_000, 250),
        ([(0, 0), (WINDOW_MS, 5_000), (WINDOW_MS + 1_000, 8_000)], WINDOW_MS + 1_000, 3_000),
        ([(0, 700)], WINDOW_MS * 3, 0),
        ([(ms, ms) for ms in range(0, 60_000, 10)], 60_000, 1_000),
    ],
    ids=["nothing came", "too soon", "what was there before did not come", "slower", "long ago", "silent", "steady"],
)
def test_a_rate_is_what_came_lately(came: list[tuple[int, int]], at: int, rate: int | None) -> None:
    one = DownloadRate(0)
    for when, done in came:
        one.progress(when, done, 100_000)
    found = one.at(at)
    assert found.rate is None if rate is None else abs((found.rate or 0) - rate) <= rate // 100 + 1
    assert (found.done, found.since_ms) == (came[-1][1] if came else 0, at)


async def test_a_download_is_told_while_somebody_waits_for_it(net: Net) -> None:
    a, b = net.add(b"a"), net.add(b"b")
    data, seen = pattern(40 * CHUNK), list[tuple[int, int]]()
    root = await a.add(data, pin="x")

    def note(*_: int) -> None:
        seen.append(b.under_way()[root][:2])

    await b.fetch(root, max_size=2**30, timeout_s=60, on_progress=note)
    assert seen == sorted(seen) and seen[-1] == (len(data), len(data))
    assert b.under_way() == {}
    with pytest.raises(FetchFailed):
        await get(b, cid_of(Codec.RAW, b"nobody has it"), timeout_s=0.3)
    assert b.under_way() == {}


def test_what_goes_first_is_what_was_not_used_for_longest(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, quota=10_000, spare=0)
    first, kept, last = (store.add(bytes([n]) * 3_000, pin="x" if n == 1 else None) for n in range(3))
    assert [row.root for row in store.loose()] == [first, last]
    since = store.since(first)
    assert since is not None and abs(since - store.path(last).stat().st_mtime_ns // 1_000_000) < 60_000
    store.add(bytes(4_000))
    assert not store.has(first) and store.has(kept) and store.has(last) and store.since(first) is None
    store.close()


# --- over HTTP ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


def lying(cid: str, size: int, *reasons: str, goes: int | None = None) -> KeptContent:
    return KeptContent(cid, size, True, 1_700_000_000_000, goes, reasons)


async def test_contents_come_in_pages_and_each_once(api: Api) -> None:
    sizes = [9, 7, 7, 7, 1]
    api.node.lying = [lying(cid, size) for cid, size in zip(CIDS, sizes, strict=True)]
    found, after = list[str](), ""
    for _ in range(3):
        page = await api.get(f"/v1/contents?limit=2{after}")
        assert page["used"] == sum(sizes)
        found += [one["cid"] for one in page["contents"]]
        after = f"&after={page['next']}"
    assert (found, page["next"]) == (CIDS, None)
    for wrong in ("limit=101", "after=7", f"after=-1-{SET}"):
        assert (await api.refused("GET", f"/v1/contents?{wrong}", 400))["name"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("why", "what", "of", "ref"),
    [
        ("user", "user gave", None, None),
        ("user:0a1b2c3d", "user gave", "token", "0a1b2c3d"),
        (f"user:set:{SET}", "published set", "set", SET),
        (f"user:0a1b2c3d:set:{SET}", "published set", "set", SET),
        ("private.closed", "private", None, None),
        ("image:ab", "image", "job", "ab"),
    ],
)
async def test_why_content_is_kept_is_told_in_words(api: Api, why: str, what: str, of: str | None, ref: str | None) -> None:
    api.node.lying = [lying(SET, 5, why)]
    api.node.coming = [ComingContent(SET, 10, 100, 30, 1_700_000_000_000, [why]), ComingContent(SET, 0, 0, None, 1, [])]
    (one,) = (await api.get("/v1/contents"))["contents"]
    (told,) = one["kept_for"]
    assert what in told["what"] and (told["of"], told["ref"]) == (of, ref)
    coming, unknown = await api.get("/v1/transfers")
    assert coming["kept_for"] == one["kept_for"] and (coming["size"], coming["left_s"]) == (100, 3)
    assert (unknown["size"], unknown["rate"], unknown["left_s"]) == (None, None, None)


async def test_however_many_reasons_there_are_few_are_told(api: Api) -> None:
    api.node.lying = [lying(SET, 5, *(f"image:{n:02x}" for n in range(200)))]
    (one,) = (await api.get("/v1/contents"))["contents"]
    assert (one["reasons"], len(one["kept_for"])) == (200, MAX_SHOWN)


# --- while somebody waits ---------------------------------------------------------------------------------------------------------


async def test_who_waits_for_a_file_is_told_what_the_node_has_of_it(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "COMING_S", 0.01)
    data, seen = pattern(CHUNK), list[tuple[int, int]]()
    cid, api.node.files.hold = api.node.files.put(data), asyncio.Event()
    api.node.coming = [ComingContent(cid, 10, len(data), 30, 1, []), ComingContent(SET, 77, 100, 30, 1, [])]
    async with Client(api.url, TOKEN) as node:
        fetching = asyncio.create_task(
            node.fetch(cid, tmp_path / "copy", max_size=2**30, on_progress=lambda done, of: seen.append((done, of)))
        )
        while not seen:
            await asyncio.sleep(0.001)
        api.node.files.hold.set()
        await fetching
    assert seen[0] == (10, len(data)) and seen[-1] == (len(data), len(data)) and 77 not in [done for done, _ in seen]
    assert (tmp_path / "copy").read_bytes() == data


# --- what work keeps ------------------------------------------------------------------------------------------------------------


def test_work_says_of_which_job_its_content_is_and_until_when(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=1))
        await graph.start()
        node = graph.nodes["a"]
        job = graph.chain.post("boss")
        work: Any = node.work
        await blocks(graph.chain, lambda: work.stores.kept_for(SET, reason(IMAGE, job)).of == "job")
        told = work.stores.kept_for(SET, reason(IMAGE, job))
        assert "image" in told.what and (told.ref, told.until) == (job.hex(), None)
        assert work.stores.kept_for(SET, reason(OWN_PIN, job)).what == "own model"
        assert work.stores.kept_for(SET, "unheard-of:zz").what == "content"
        await graph.finish(job)
        won = reason(WON_PIN, job)
        await blocks(graph.chain, lambda: any(won in held for one in graph.nodes.values() for held in one.files.pins.values()))
        winner = next(one for one in graph.nodes.values() if any(won in held for held in one.files.pins.values()))
        kept: Any = winner.work
        cid = next(cid for cid, held in winner.files.pins.items() if won in held)
        told = kept.stores.kept_for(cid, won)
        assert "won" in told.what and told.until > 0
        await graph.stop()
        await asyncio.sleep(0)

    run_virtual(main())


# --- on the pages ---------------------------------------------------------------------------------------------------------------


async def test_the_pages_show_what_lies_here_and_what_comes(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        node = browser.api.node
        node.ledger.declare()
        job = (await browser.api.post("/v1/jobs?wait=10", JOB))["job"]
        node.lying = [lying(cid, 2**20 * (60 - n), "user", goes=n) for n, cid in enumerate(many(60))]
        node.coming = [ComingContent(SET, 2**20, 2**21, 2**18, 1, [f"image:{job}"]), ComingContent(CIDS[1], 0, 0, None, 1, [])]
        _, page = await browser.get("/dashboard/files")
        assert "1.0 MiB of 2.0 MiB" in page.text and "256.0 KiB/s" in page.text and "4 s" in page.text
        assert "10. when room is needed" in page.text and "60.0 MiB" in page.text and "5.0 MiB" not in page.text.split()
        _, page = await browser.get(f"/dashboard/files?after={2**20 * 11}-{node.lying[49].cid}")
        assert "60.0 MiB" not in page.text and "3.0 MiB" in page.text
        _, page = await browser.get(f"/dashboard/jobs/{job}")
        assert "Being fetched by this node" in page.text and "1.0 MiB of 2.0 MiB" in page.text
        assert (await browser.get("/dashboard/files?after=7"))[0] == 400


async def test_an_open_page_is_told_while_something_comes_and_not_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "COMING_S", 0.05)
    async with browsing(tmp_path) as browser:
        node = browser.api.node
        node.coming = [ComingContent(SET, 1, 2, None, 1, [])]
        async with browser._session.get(f"{browser.url}/dashboard/live?height=9") as response:
            for _ in range(2):
                await response.content.readuntil(b"event: run\n")
            node.coming = []
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    for _ in range(4):
                        await response.content.readuntil(b"event: run\n")
