"""Notifications of a running node: follows blocks and notices, and hands what is news to each way that is set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from learningchain.chain.crypto import address
from learningchain.chain.storage import private
from learningchain.chain.types import parse_credits
from learningchain.client import contracts, reading
from learningchain.client.addresses import AllowedAddresses
from learningchain.client.callbacks.posting import Caller
from learningchain.client.callbacks.signatures import new_secret, parse_secret, secret_text
from learningchain.client.node.interface import Ledger
from learningchain.client.notify.delivery import APART_S, TRIES, DeliveryLine, command, webhook
from learningchain.client.notify.events import KINDS, NOTIFY, Notification, OwnNews

if TYPE_CHECKING:
    from learningchain.client.config import Config

log: Any = structlog.get_logger("notify")

SECRET_FILE: Final = "notify.secret"
MAX_SECRET_FILE: Final = 1_024
AGAIN_S: Final = 5.0
LOOK_S: Final = 2.0
"""Between two looks at the notices at least: they are made by work, not by blocks alone."""


def secret_of(folder: Path) -> bytes:
    """What webhooks are signed by; made where there is none. Raises OSError, ValueError."""
    path = folder / SECRET_FILE
    try:
        return parse_secret(reading.file(path, MAX_SECRET_FILE, own=True).decode("ascii", "replace"))
    except FileNotFoundError:
        made = new_secret()
        private.replace(path, secret_text(made).encode() + b"\n")
        return made


class NotifyService:
    """All methods are for the event loop's thread. `now`: wall clock, milliseconds."""

    def __init__(
        self,
        ledger: Ledger,
        notices: Callable[[], list[dict[str, Any]]],
        news: OwnNews,
        lines: list[DeliveryLine],
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._ledger, self._notices, self._news, self._now = ledger, notices, news, now
        self.lines = lines
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def of(
        cls, config: Config, folder: Path, ledger: Ledger, notices: Callable[[], list[dict[str, Any]]], version: str
    ) -> NotifyService:
        """With the ways that are set. Raises OSError, ValueError where the secret's file cannot be used."""
        settings, network = config.notify, ledger.chain_id.hex()
        lines = []
        if settings.url:
            caller = Caller(AllowedAddresses.of(config.callback.allow), version)
            lines.append(DeliveryLine("webhook", webhook(caller, settings.url, secret_of(folder), network), TRIES))
        if settings.command:
            lines.append(DeliveryLine("command", command(settings.command, network), 1, apart_s=APART_S))
        return cls(
            ledger,
            notices,
            OwnNews(ledger.own_id, settings.kinds or KINDS, parse_credits(settings.least), contracts.parts(NOTIFY).values()),
            lines,
        )

    def start(self) -> None:
        blocks = self._ledger.committed()
        self._tasks = [asyncio.create_task(line.run()) for line in self.lines]
        self._tasks += [asyncio.create_task(self._follow(blocks)), asyncio.create_task(self._watch())]
        log.info("the operator is told", ways=[line.name for line in self.lines], account=address(self._ledger.own_id))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def metrics(self) -> Mapping[str, tuple[int, Mapping[str, int]]]:
        """Of each way, how many wait and how many ended how since the start."""
        return {line.name: (line.waiting, dict(line.ended)) for line in self.lines}

    def _tell(self, news: list[Notification]) -> None:
        for one in news:
            for line in self.lines:
                line.offer(one)

    async def _follow(self, blocks: Any) -> None:
        while True:
            try:
                async for block in blocks:
                    self._tell(self._news.of_block(block, self._now()))
            except LookupError as gap:
                log.warning("notifications fell behind: what these blocks noted is not told", why=str(gap))
            except Exception as fault:  # a slice's words are no reason to tell nothing more
                log.error("what a block noted could not be told", exc_info=fault)
            blocks = self._ledger.committed()
            await asyncio.sleep(AGAIN_S)

    async def _watch(self) -> None:
        while True:
            try:
                self._tell(self._news.of_notices(self._notices(), self._now()))
            except Exception as fault:
                log.error("notices could not be told", exc_info=fault)
            await asyncio.sleep(LOOK_S)
