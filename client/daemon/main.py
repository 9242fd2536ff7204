"""The process of a node: its folder, its signals, its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import structlog
import uvloop

from learningchain.chain.errors import OWN_FAULTS, BrokenInvariant, Malformed
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.errors import StorageError
from learningchain.client import config as configuration
from learningchain.client.daemon.faults import StartError, UnknownProtocol, exit_code
from learningchain.client.daemon.opening import (
    load_genesis,
)
from learningchain.client.daemon.restart import LEAVE, NotReplaced, replace_running
from learningchain.client.daemon.running import Daemon
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import KeystoreError
from learningchain.client.node import logs
from learningchain.client.node.screen import Screen
from learningchain.client.signer.pairing import Pairing, PairingError

log: Any = structlog.get_logger("daemon")

_NOT_STARTED = StartError, NotReplaced, StorageError, KeystoreError, PairingError, configuration.ConfigError


@contextlib.asynccontextmanager
async def _signals(daemon: Daemon) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, LEAVE):
        loop.add_signal_handler(number, functools.partial(daemon.stop, leave=number == LEAVE))
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, LEAVE):
            loop.remove_signal_handler(number)


async def _run(
    data: Path,
    keys: Callable[[], Keyring | Pairing],
    *,
    work: bool | None,
    accept_new_guard: bool,
    signed_up_to: int | None,
    restart: bool,
) -> int:
    settings = configuration.load(data)
    form = settings.config.log.format
    logs.configure(settings.config.log.level, form, Screen(data) if form == "console" and sys.stderr.isatty() else None)
    if restart and await asyncio.to_thread(replace_running, data):
        log.info("the node that ran here has stopped")
    folder = DataDir.open(str(data), create=False)
    try:
        folder.check_free()
        genesis = load_genesis(data)
        wanted = settings.config.work.enabled if work is None else work
        daemon = Daemon(data, keys, genesis, settings, work=wanted)
        async with _signals(daemon):
            return await daemon.run(folder, accept_new_guard=accept_new_guard, signed_up_to=signed_up_to)
    finally:
        folder.close()


def run(
    data: Path,
    keys: Callable[[], Keyring | Pairing],
    *,
    work: bool | None = None,
    accept_new_guard: bool = False,
    signed_up_to: int | None = None,
    restart: bool = False,
) -> int:
    """Run a node until SIGINT or SIGTERM, or SIGUSR1, which leaves its trainings for the next start. The exit code: 0 stopped, 1
    refused to start or halted (stderr says why), `AGAIN` where that may pass by itself. `restart`: in the place of the one that
    runs in this folder.

    `keys` gives the node's own, or where its signer is; or raises `KeystoreError`, `PairingError`.
    """
    data = data.absolute()  # its databases note paths of models and secrets, and the next start may be typed elsewhere
    try:
        # uvloop costs a validator a tenth less processor time than Python's own loop.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            started = _run(data, keys, work=work, accept_new_guard=accept_new_guard, signed_up_to=signed_up_to, restart=restart)
            return runner.run(started)
    except UnknownProtocol as fault:
        print(fault, file=sys.stderr)  # noqa: T201
        return 1
    except (*_NOT_STARTED, BrokenInvariant, Malformed, *OWN_FAULTS) as fault:
        print(f"The node does not start: {fault}", file=sys.stderr)  # noqa: T201
        return exit_code(fault)
