"""A person at a shell: types what a page shows, line after line, at a terminal that can be asked and answered."""

from __future__ import annotations

import asyncio
import os
import pty
from pathlib import Path
from typing import Protocol

from tests.processes.harness import PASSPHRASE, ROOT
from tests.processes.test_readme import tools

TYPED_S = 180.0
"""Everything with containers: six nodes and their runs share two cores."""


class Placed(Protocol):
    """A node, or another machine: it has a data folder."""

    data: Path


class Owner:
    """Of a node or another machine, at a shell in `folder`."""

    def __init__(self, node: Placed, folder: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
        own = {"LEARNINGCHAIN_DATA": str(node.data), "LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}
        self._environment = kept | own | {"PATH": tools(folder / "bin"), "PYTHONPATH": str(ROOT)}
        self._folder = folder

    async def types(self, *lines: str, answer: str = "", within: float = TYPED_S) -> str:
        """Line after line at a terminal, until one fails; what came of it. `answer`: what is typed where a command asks."""
        keyboard, terminal = pty.openpty()
        try:
            os.write(keyboard, f"{answer}\n".encode() if answer else b"\x04")
            shell = await asyncio.create_subprocess_exec(
                *("bash", "-euc", "\n".join(lines)),
                stdin=terminal,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
            )
            out, _ = await asyncio.wait_for(shell.communicate(), within)
        finally:
            os.close(terminal)
            os.close(keyboard)
        assert shell.returncode == 0, out.decode()
        return out.decode()
