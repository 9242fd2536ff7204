"""The real node on a clock that a test moves: `python -m tests.processes.clocked_node FILE node --data DIR …`.

FILE holds one number: milliseconds that are added to the wall clock wherever the node reads it in small units, which is wherever it
goes by it: the times of its blocks and what it takes for timely, the chain clock that it tells, when its work has to be done.
What is read in seconds stays: it dates certificates and addresses of peers. `clocked` writes the file and says why.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path


def moved(path: Path) -> Callable[[], int]:
    """`time.time_ns` and the number in the file. In shared memory: all nodes see a new one at once, and none sees half of it."""
    with path.open("rb") as file:
        shared = memoryview(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)).cast("q")
    wall = time.time_ns
    return lambda: wall() + shared[0] * 1_000_000


def main() -> int:
    time.time_ns = moved(Path(sys.argv[1]))  # before anything of the node is loaded
    del sys.argv[1]
    from learningchain.client.cli.app import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
