"""Files in forms of the dashboard: streamed within bounds, by whoever has the session's token, looked at before they count."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from learningchain.client.api.files import PIN
from learningchain.client.api.route import ServerLimits
from tests.unit.dashboard_kit import HOSTILE, Browser, Read, browsing

PAGE, IMAGE = "/dashboard/jobs/new", "/dashboard/jobs/new/image"


def archive() -> tuple[bytes, str]:
    """As docker save makes one, of an empty layer; and the image's id."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w"):
        pass
    digest = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
    config = {"architecture": "arm64", "os": "linux", "config": {"Env": []}, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    raw = json.dumps(config).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"]}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in (("c.json", raw), ("l.tar", layer.getvalue()), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue(), "sha256:" + hashlib.sha256(raw).hexdigest()


class Sender:
    def __init__(self, browser: Browser) -> None:
        self.browser, self.token = browser, ""

    async def open(self) -> Sender:
        _, page = await self.browser.get(PAGE)
        self.token = page.form(IMAGE).fields["form_token"]
        return self

    async def send(self, *parts: tuple[str, Any], path: str = IMAGE, **headers: str) -> tuple[int, str, str]:
        """(status, where it ended, text) of a form with these parts; bytes are a file."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in parts:
            form.add_field(name, value, **({"filename": HOSTILE.partition("\x1b")[0]} if isinstance(value, bytes) else {}))
        url = self.browser.url
        async with self.browser._session.post(url + path, data=form, headers={"Origin": url} | headers) as response:
            return response.status, str(response.url), await response.text()

    @property
    def stored(self) -> list[Path]:
        return [path for path, _ in self.browser.api.node.files.added]


async def test_an_archive_is_stored_and_fills_in_the_form_of_the_job(tmp_path: Path) -> None:
    content, image_id = archive()
    async with browsing(tmp_path) as browser:
        sender = await Sender(browser).open()
        status, _, text = await sender.send(("form_token", sender.token), ("file", content))
        page = Read(text)
        fields = page.form(PAGE).fields
        assert status == 200 and "The archive is in this node" in page.text
        assert (fields["image_id"], fields["size"]) == (image_id, str(len(content)))
        assert browser.api.node.files.has(fields["cid"]) and browser.api.node.files.added[0][1] == PIN
        assert "<option selected>arm64" in text
        assert not list((tmp_path / "spool").glob("upload-*"))


@pytest.mark.parametrize("content", [b"x" * 700, HOSTILE.encode(), bytes(10_240), b""])
async def test_what_is_no_archive_is_told_and_not_kept(tmp_path: Path, content: bytes) -> None:
    async with browsing(tmp_path) as browser:
        sender = await Sender(browser).open()
        status, _, text = await sender.send(("form_token", sender.token), ("file", content))
        assert status == 400 and ("archive" in Read(text).text or "No file was chosen" in text)
        assert browser.api.node.files.unpinned == [PIN]


async def test_without_the_session_s_token_before_it_no_byte_of_a_file_is_kept(tmp_path: Path) -> None:
    content, _ = archive()
    async with browsing(tmp_path) as browser:
        sender = await Sender(browser).open()
        token, file = ("form_token", sender.token), ("file", content)
        for parts in ([file], [("form_token", "x" * 43), file], [file, token]):
            status, _, text = await sender.send(*parts)
            assert status == 403 and "FORM_TOKEN" in text
        status, _, text = await sender.send(("form_token", sender.token), ("file", content), Origin="http://evil.example")
        assert status == 403 and "WRONG_ORIGIN" in text and not sender.stored
    async with browsing(tmp_path, login=False) as browser:
        status, _, _ = await Sender(browser).send(("form_token", "x" * 43), ("file", content))
        assert status == 401


async def test_a_file_beyond_the_bound_ends_early_and_leaves_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path, limits=ServerLimits(upload_bytes=4_096)) as browser:
        sender = await Sender(browser).open()
        status, _, text = await sender.send(("form_token", sender.token), ("file", b"x" * 5_000))
        assert status == 413 and "larger than 4096 bytes" in text and not sender.stored
        assert not list((tmp_path / "spool").glob("upload-*"))
