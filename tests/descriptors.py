"""What of its own a test left open, whatever other tests of the same process and its threads hold, open or close meanwhile.

A count of all descriptors is theirs as well: one that is opened or collected in the same moment makes it wrong.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def targets() -> list[str]:
    """What each descriptor of this process is of, as the kernel names it: a path, `socket:[inode]`, `/memfd:name (deleted)`."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed since it was listed
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(found)


def below(folder: Path) -> list[str]:
    """The open files at and below a folder, one for each descriptor; also those that have no name there any more."""
    own = str(folder.resolve())
    return [target for target in targets() if target == own or target.startswith(own + "/")]


def sockets_at(port: int) -> int:
    """The sockets that this process holds on its side of a TCP port: one that listens, and one for each connection to it.

    The other ends of these connections have ports of their own, also where they belong to this process.
    """
    ours = set(targets())
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/self/net", name).read_text().splitlines()[1:]]
    return sum(int(row[1].rpartition(":")[2], 16) == port and f"socket:[{row[9]}]" in ours for row in rows)
