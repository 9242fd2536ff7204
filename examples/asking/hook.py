"""Who is told by callback: a small web server that keeps what it was told and whether the signature was right."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import Any

from aiohttp import web

from learningchain.client.callbacks.signatures import new_secret, secret_text, signature


class Hook:
    """Listens on this machine. `told` are the events that came with a right signature."""

    def __init__(self) -> None:
        self._secret = new_secret()
        self.secret = secret_text(self._secret)
        self.url = ""
        self.told: list[dict[str, Any]] = []
        self.forged = 0
        self._came = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=2**20)
        app.router.add_post("/told", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/told"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        given = {name: request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")}
        if not given["timestamp"].isdecimal() or not self._is_right(given, body):
            self.forged += 1
            return web.Response(status=401)
        self.told.append(json.loads(body))
        self._came.set()
        return web.Response(status=204)

    def _is_right(self, given: dict[str, str], body: bytes) -> bool:
        wanted = signature(self._secret, given["id"], int(given["timestamp"]), body)
        return hmac.compare_digest(wanted.encode(), given["signature"].encode())

    async def event(self, kind: str, ref: str, limit_s: float) -> dict[str, Any]:
        """The event of this type about a reference. Raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while True:
                self._came.clear()
                for one in self.told:
                    if one["type"] == kind and one["ref"] == ref:
                        return one
                await self._came.wait()
