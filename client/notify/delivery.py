"""How a notification leaves the node. Each way has a line of its own with an end: one that is slow or broken holds up no other.

offer -> line of at most MAX_WAITING (the smallest payment gives way, then the oldest) -> one at a time -> done, or tried again,
or given up
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from learningchain.chain.types import parse_credits
from learningchain.client.callbacks.posting import Caller, Told
from learningchain.client.notify.events import PAYMENTS, Notification

log: Any = structlog.get_logger("notify")

MAX_WAITING: Final = 256
TRIES: Final = 8
FIRST_S: Final = 1.0
MOST_S: Final = 300.0
"""The first wait after a failure is FIRST_S, the longest MOST_S."""
COMMAND_S: Final = 30.0
"""Then a command is killed, with all that it started."""
APART_S: Final = 0.5
"""From the end of one command to the start of the next: 120 a minute at most, whatever comes."""
ENDED: Final = ("told", "failed", "given_up", "left_out")

Way = Callable[[Notification], Awaitable[str]]
"""Tells one: nothing where it was taken, else why not. Never raises but for cancellation."""


def _amount(payment: Notification) -> int:
    return parse_credits(payment.data["amount"])


class DeliveryLine:
    """One way with what waits for it. `tries`: how often one is told before it is given up."""

    def __init__(self, name: str, way: Way, tries: int, *, first_s: float = FIRST_S, apart_s: float = 0.0) -> None:
        self.name, self._way, self._tries, self._first_s, self._apart_s = name, way, tries, first_s, apart_s
        self._waiting: deque[Notification] = deque()
        self._came = asyncio.Event()
        self.ended: Counter[str] = Counter(dict.fromkeys(ENDED, 0))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def offer(self, news: Notification) -> None:
        if len(self._waiting) >= MAX_WAITING:
            # Anybody may pay this account as often as there is a block: that pushes out no case, no vote and no larger payment.
            payments = [at for at, one in enumerate(self._waiting) if one.kind == PAYMENTS]
            least = min(payments, key=lambda at: _amount(self._waiting[at]), default=0)
            self.ended["left_out"] += 1
            if news.kind == PAYMENTS and (not payments or _amount(news) <= _amount(self._waiting[least])):
                return
            del self._waiting[least]
        self._waiting.append(news)
        self._came.set()

    async def run(self) -> None:
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            await self._tell(self._waiting.popleft())
            await asyncio.sleep(self._apart_s)

    async def _tell(self, news: Notification) -> None:
        why = ""
        for attempt in range(self._tries):
            if attempt:
                await asyncio.sleep(min(MOST_S, self._first_s * 2 ** (attempt - 1)))
            why = await self._way(news)
            if not why:
                self.ended["told"] += 1
                return
            self.ended["failed"] += 1
        self.ended["given_up"] += 1
        log.warning("a notification is given up", way=self.name, kind=news.kind, id=news.id, why=why)


def webhook(caller: Caller, url: str, secret: bytes, network: str) -> Way:
    """A POST signed as callbacks are; the id of the notification is the webhook's."""

    async def tell(news: Notification) -> str:
        done = await caller.post(url, secret, news.id, int(time.time()), news.body(network))
        return "" if done.end is not Told.FAILED else done.note

    return tell


def command(words: Sequence[str], network: str, *, seconds: float = COMMAND_S) -> Way:
    """A program with its words, and no shell. It reads the notification as JSON from its standard input, has the kind and the id in
    its environment and nothing of the node's but PATH, HOME and LANG, and writes to nobody."""

    async def tell(news: Notification) -> str:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        kept |= {"LEARNINGCHAIN_NOTIFY_KIND": news.kind, "LEARNINGCHAIN_NOTIFY_ID": news.id}
        nobody = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.PIPE, stdout=nobody, stderr=nobody, env=kept, cwd="/", start_new_session=True
            )
        except (OSError, ValueError) as fault:
            return f"{words[0]} cannot be started: {getattr(fault, 'strerror', None) or fault}"
        try:
            async with asyncio.timeout(seconds):
                await process.communicate(news.body(network) + b"\n")
        except TimeoutError:
            return f"{words[0]} had not ended after {seconds:g} s and was killed"
        except OSError as fault:
            return f"{words[0]} took nothing: {fault}"
        finally:
            await _end(process)
        return "" if process.returncode == 0 else f"{words[0]} ended with {process.returncode}"

    return tell


async def _end(process: asyncio.subprocess.Process) -> None:
    """It and all of its session: what it left behind ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()
