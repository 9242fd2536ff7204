"""A slow cable to one node: so many bytes a second, so many milliseconds each way, frames lost. For kernels without a network
emulator, too.

Two taps, one on the switch of a `Lan`, one in place of the node's own cable; what comes out of one goes into the other when its
time has come. The kernel sees a real link: its TCP measures the delay and fills the queue. A frame that finds the queue full is
lost, and so is a share of the others, drawn by chance.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import struct
from types import TracebackType
from typing import Self

from tests.processes.netns import Lan, Refused, ip

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME = 2_000
_AT_ONCE = 64
"""Frames read before others have their turn."""


class _End:
    """One end's way to the other: a queue as long as half a second of the link."""

    def __init__(self, source: int, target: int, rate: float, delay: float, loss: float, rng: random.Random) -> None:
        self._source, self._target, self._rate, self._delay = source, target, rate, delay
        self._loss, self._rng = loss, rng
        self._free = 0.0
        self.carried = self.lost = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source, self._readable)

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                frame = os.read(self._source, _FRAME)
            except BlockingIOError:
                return
            now = self._loop.time()
            self._free = max(self._free, now)
            if self._free - now > 0.5 or self._rng.random() < self._loss:
                self.lost += 1
                continue
            self._free += len(frame) / self._rate
            self._loop.call_at(self._free + self._delay, self._deliver, frame)

    def become(self, rate: float, delay: float) -> None:
        """For frames that come from now on."""
        self._rate, self._delay = rate, delay

    def _deliver(self, frame: bytes) -> None:
        self.carried += len(frame)
        with contextlib.suppress(OSError):  # a full or closed tap loses the frame, as a cable would
            os.write(self._target, frame)

    def close(self) -> None:
        self._loop.remove_reader(self._source)


class SlowLink:
    """In place of `name`'s cable: `rate` in bytes a second, `delay` in seconds each way, of 1 frame `loss` is lost. Raises
    `Refused` without taps."""

    def __init__(self, lan: Lan, name: str, *, rate: float, delay: float, loss: float = 0.0) -> None:
        self._lan, self._name, self._rate, self._delay = lan, name, rate, delay
        self._loss, self._rng = loss, random.Random(lan.names.index(name))
        self._taps: list[int] = []
        self._ends: list[_End] = []

    async def __aenter__(self) -> Self:
        try:
            for part, namespace in (("s", self._lan.switch), ("n", self._lan.namespace(self._name))):
                device = f"{part}{os.getpid()}t{self._lan.names.index(self._name)}"
                self._taps.append(_tap(device))
                ip("link", "set", device, "netns", namespace)
                self._lan.replace_cable(self._name, device, at_node=part == "n")
        except BaseException:
            self._close()
            raise
        here, there = self._taps
        wire = (self._rate, self._delay, self._loss, self._rng)
        self._ends = [_End(here, there, *wire), _End(there, here, *wire)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def become(self, rate: float, delay: float) -> None:
        """Another cable, for frames that come from now on."""
        for end in self._ends:
            end.become(rate, delay)

    @property
    def carried(self) -> int:
        """Bytes that went either way."""
        return sum(end.carried for end in self._ends)

    @property
    def lost(self) -> int:
        """Frames that found the queue full, or that chance took."""
        return sum(end.lost for end in self._ends)

    def _close(self) -> None:
        """A tap's device goes with its descriptor."""
        for end in self._ends:
            end.close()
        for tap in self._taps:
            os.close(tap)
        self._taps.clear()


def _tap(device: str) -> int:
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        raise Refused(f"/dev/net/tun: {fault.strerror}") from None
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError as fault:
        os.close(tap)
        raise Refused(f"a tap: {fault.strerror}") from None
    return tap
