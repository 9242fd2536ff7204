"""Nodes and machines whose silences are short, so that a test sees their end: `-m tests.processes.hasty FILE node …` is a node on a
moved clock (`clocked_node`), `-m tests.processes.hasty machine …` a machine.

Both sides of a connection must have the same pulse. All that is counted in it shrinks alike.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

PING_S, SILENT_S, LOST_S, LOOK_S = 2.0, 6.0, 15.0, 2.0


def hurry() -> None:
    from learningchain.client.machines import frames, hub, leases, rests

    frames.PING_S, frames.SILENT_S = PING_S, SILENT_S  # type: ignore[misc]
    hub.LOST_S, leases.LOOK_S = LOST_S, LOOK_S  # type: ignore[misc]
    rests.REST_S = 0.0  # type: ignore[misc]  # a machine that a test kills again and again goes on


def main() -> int:
    if sys.argv[1] != "machine":
        from tests.processes.clocked_node import moved

        time.time_ns = moved(Path(sys.argv[1]))  # before anything of the node is loaded
        del sys.argv[1]
    hurry()
    from learningchain.client.cli.app import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
