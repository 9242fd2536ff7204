"""Starts a node's daemon: opens the keystore, which takes half a second on purpose, while the daemon's code is imported."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from client.keystore import Keystore


def run(data: Path, passphrase: str, *, work: bool | None = None, accept_new_guard: bool = False) -> int:
    """Run a node until SIGINT or SIGTERM. The exit code: 0 stopped, 1 refused to start or halted (stderr says why)."""
    with ThreadPoolExecutor(1) as aside:
        opening = aside.submit(Keystore.open, data / "keystore.json", passphrase)
        gc.disable()  # nothing of what an import makes is garbage: looking for it takes a twelfth of the time
        from client import daemon

        gc.enable()
    return daemon.run(data, opening.result, work=work, accept_new_guard=accept_new_guard)
