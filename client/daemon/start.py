"""Starts a node's daemon: opens the keystore, which takes half a second on purpose, while the daemon's code is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learningchain.client.keys.keyring import open_keyring


def run(
    data: Path,
    passphrase: str | None,
    *,
    work: bool | None = None,
    accept_new_guard: bool = False,
    signed_up_to: int | None = None,
    restart: bool = False,
) -> int:
    """Run a node until SIGINT or SIGTERM. The exit code: 0 stopped, 1 refused to start or halted (stderr says why), 75 where that
    may pass by itself.

    Without a passphrase the key lies with a signer.
    """
    with ThreadPoolExecutor(1) as aside:
        opening = None if passphrase is None else aside.submit(open_keyring, data, passphrase)
        with quick_imports():
            from learningchain.client.daemon import main as daemon
            from learningchain.client.signer import pairing
        keys = opening.result if opening is not None else lambda: pairing.read_pairing(data / pairing.FILE)
        return daemon.run(data, keys, work=work, accept_new_guard=accept_new_guard, signed_up_to=signed_up_to, restart=restart)


@contextmanager
def quick_imports() -> Iterator[None]:
    """What imports do for nothing takes a quarter of a start.

    Nothing that an import makes is garbage, so nobody looks for it, then or later. aiohttp reads the system's certificate
    authorities twice, of which a node trusts none: the genesis names the graph's own. structlog loads rich for tracebacks that a
    node does not write.
    """
    modules: dict[str, Any] = sys.modules
    trusted, rich = os.environ.get("SSL_CERT_FILE"), modules.get("rich")
    gc.disable()
    os.environ["SSL_CERT_FILE"] = os.devnull
    modules["rich"] = rich
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if rich is None:
            del modules["rich"]
        if trusted is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = trusted
