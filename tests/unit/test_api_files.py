"""Files over HTTP: streamed in with a cap, streamed out, every failure named."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections import namedtuple
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from learningchain.client.api.route import ServerLimits
from learningchain.client.data.published import cid_of_manifest, describe
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.p2p.content.faults import FetchFailed, Reason, StoreFull
from tests.unit.api_kit import TOKEN, Api, serving

DATA = bytes(range(256)) * 8_192  # 2 MiB: more than one piece
CID = str(cid_of(Codec.RAW, DATA))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_goes_in_and_comes_out_again(api: Api, tmp_path: Path, announced: bool) -> None:
    status, stored = await api.call("POST", "/v1/files", data=DATA if announced else pieces(DATA))
    assert (status, stored) == (200, {"cid": CID, "size": len(DATA)})
    assert api.node.files.added[0][1] == "user"
    assert await api.get(f"/v1/files/{CID}") == DATA
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_download_can_go_on_and_is_offered_as_a_file(api: Api) -> None:
    api.node.files.put(DATA)
    headers = {"Authorization": f"Bearer {TOKEN}", "Range": "bytes=2000000-"}
    async with api.session.get(f"{api.url}/v1/files/{CID}", headers=headers) as response:
        assert (response.status, await response.read()) == (206, DATA[2_000_000:])
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{CID}"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_link_that_stands_in_a_file_s_place_is_not_followed(api: Api, tmp_path: Path) -> None:
    """Planted after the store looked at the bytes: another file of the machine is no download."""
    api.node.files.put(DATA)
    (tmp_path / "secret").write_bytes(b"a secret of the machine")
    path = await api.node.files.fetch(CID, max_size=1 << 30, timeout_s=1.0)
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    async with api.session.get(f"{api.url}/v1/files/{CID}", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 404 and b"secret" not in await response.read()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_above_the_cap_is_refused_and_leaves_nothing(tmp_path: Path, announced: bool) -> None:
    async with serving(tmp_path, limits=ServerLimits(upload_bytes=1_000_000)) as api:
        error = await api.refused("POST", "/v1/files", 413, data=DATA if announced else pieces(DATA))
        assert "1000000" in error["message"]
        assert list((tmp_path / "spool").iterdir()) == []
        assert not api.node.files.added


async def test_a_full_disk_refuses_an_upload_before_it_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1_000))
    error = await api.refused("POST", "/v1/files", 503, data=DATA)
    assert error["name"] == "DISK_FULL"
    assert "Free some space" in error["message"]


async def test_an_upload_that_stalls_is_ended(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(read_idle_s=0.05)) as api:
        stalled = asyncio.Event()

        async def stream() -> AsyncIterator[bytes]:
            yield b"a beginning"
            await stalled.wait()

        error = await api.refused("POST", "/v1/files", 408, data=stream())
        stalled.set()
        assert error["name"] == "TIMEOUT"
        assert list((tmp_path / "spool").iterdir()) == []


async def test_an_upload_that_breaks_off_leaves_nothing(api: Api, tmp_path: Path) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\nhalf"
    writer.write(head.encode())
    await writer.drain()
    while not list((tmp_path / "spool").iterdir()):
        await asyncio.sleep(0)
    writer.close()
    while list((tmp_path / "spool").iterdir()):
        await asyncio.sleep(0)
    assert not api.node.files.added


async def test_uploads_above_the_limit_wait_for_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(uploads=1)) as api:
        go_on = asyncio.Event()

        async def stream() -> AsyncIterator[bytes]:
            yield b"a beginning"
            await go_on.wait()

        first = asyncio.create_task(api.call("POST", "/v1/files", data=stream()))
        while not list((tmp_path / "spool").iterdir()):
            await asyncio.sleep(0)
        assert (await api.refused("POST", "/v1/files", 503, data=b"x"))["name"] == "TOO_MANY"
        go_on.set()
        assert (await first)[0] == 200


async def test_downloads_above_the_limit_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(downloads=1)) as api:
        api.node.files.hold = asyncio.Event()
        api.node.files.put(DATA)
        first = asyncio.create_task(api.call("GET", f"/v1/files/{CID}"))
        while not api.node.files.waiting:
            await asyncio.sleep(0)
        assert (await api.refused("GET", f"/v1/files/{CID}", 503))["name"] == "TOO_MANY"
        api.node.files.hold.set()
        assert (await first)[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        (FetchFailed(cid_of(Codec.RAW, DATA), Reason.NOBODY, "nobody has it"), 404, "NOBODY"),
        (FetchFailed(cid_of(Codec.RAW, DATA), Reason.TIMEOUT, "too slow"), 503, "TIMEOUT"),
        (FetchFailed(cid_of(Codec.RAW, DATA), Reason.BUSY, "busy"), 503, "BUSY"),
        (FetchFailed(cid_of(Codec.RAW, DATA), Reason.MALFORMED, "it is no file"), 503, "MALFORMED"),
        (TimeoutError(), 503, "TIMEOUT"),
        (StoreFull("the quota has no room; raise it"), 503, "STORE"),
    ],
)
async def test_a_failed_fetch_says_why(api: Api, fault: Exception, status: int, name: str) -> None:
    api.node.files.fault = fault
    assert (await api.refused("GET", f"/v1/files/{CID}", status))["name"] == name


async def test_a_file_larger_than_asked_for_is_not_sent(api: Api) -> None:
    api.node.files.put(DATA)
    error = await api.refused("GET", f"/v1/files/{CID}?max_size=1000", 413)
    assert "max_size" in error["message"]


async def test_what_is_uploaded_lies_where_nobody_else_of_this_machine_looks(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with serving(tmp_path):
            assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    finally:
        os.umask(before)


async def test_what_an_earlier_server_left_in_the_spool_is_removed(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "upload-old").write_bytes(b"half")
    async with serving(tmp_path):
        assert list((tmp_path / "spool").iterdir()) == []


# --- bounds -----------------------------------------------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "status"), [(len(DATA) + 1_000, 200), (len(DATA) + 999, 503)])
async def test_an_upload_leaves_the_space_free_that_the_node_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, free))
    async with serving(tmp_path, limits=ServerLimits(spare_bytes=1_000)) as api:
        found, answer = await api.call("POST", "/v1/files", data=DATA)
        assert found == status, answer


async def test_what_announces_too_much_is_refused_before_any_of_it_came(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(upload_bytes=1_000_000)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000001\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()


async def test_a_published_set_is_kept_and_given_up_as_one(api: Api, tmp_path: Path) -> None:
    """Beside single files: what a user keeps by itself stays when a set with the same bytes goes."""
    folder, small = tmp_path / "digits", DATA[:1_000]  # one leaf: the files of this room know no larger trees
    single = str(cid_of(Codec.RAW, small))
    folder.mkdir()
    for name, content in (("a", small), ("b", small), ("c", b"other")):
        (folder / name).write_bytes(content)
    found, _ = describe(folder)
    cid, whole = cid_of_manifest(found.manifest), {"files": 3, "size": 2 * len(small) + 5, "here": 2 * len(small) + 5}
    await api.call("POST", "/v1/files", data=small)
    for content in (small, b"other"):
        assert (await api.call("POST", f"/v1/files?set={cid}", data=content))[0] == 200
    assert await api.get("/v1/sets") == [], "without its manifest it was never finished"
    assert (await api.call("POST", f"/v1/files?set={cid}", data=found.manifest))[1]["cid"] == cid
    assert await api.get("/v1/sets") == [{"cid": cid, **whole}]
    assert await api.get(f"/v1/sets/{cid}") == {"cid": cid, **whole}
    assert [kept["cid"] for kept in await api.get("/v1/files")] == [single]
    (api.node.files.folder / str(cid_of(Codec.RAW, b"other"))).unlink()
    assert (await api.get(f"/v1/sets/{cid}"))["here"] == 2 * len(small)
    (api.node.files.folder / str(cid_of(Codec.RAW, b"other"))).write_bytes(b"other")

    assert (await api.call("POST", f"/v1/files?set={single}", data=small))[0] == 200
    assert await api.get("/v1/sets") == [{"cid": cid, **whole}], "what is no set hides none"
    assert (await api.call("DELETE", f"/v1/sets/{single}"))[0] == 200
    assert await api.call("DELETE", f"/v1/sets/{cid}") == (200, {"cid": cid, "removed": True})
    assert await api.get("/v1/sets") == []
    assert [kept["cid"] for kept in await api.get("/v1/files")] == [single]
    assert (await api.refused("DELETE", f"/v1/sets/{cid}", 404))["name"] == "NOT_KEPT"
    assert (await api.refused("GET", f"/v1/sets/{single}", 400))["name"] == "NO_SET"
