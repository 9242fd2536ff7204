"""The real node, counting what its loop reads of the state: `python -m tests.processes.counted_node FILE node --data DIR …`.

FILE holds, as JSON, the most records that one step of the loop read, and in which callback that was: what one step may cost is a
number of records, and so the same on every machine. The loop is Python's own, whose steps can be counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

READS = 0


def count_reads() -> None:
    """Every look at a record, wherever it comes from."""
    from learningchain.chain.ledger.state import State

    get = State.get

    def counted(self: State, key: bytes) -> Any:
        global READS
        READS += 1
        return get(self, key)

    State.get = counted  # type: ignore[method-assign]


def count_steps(path: Path) -> None:
    most, run = 0, asyncio.Handle._run  # type: ignore[attr-defined]

    def counted(self: asyncio.Handle) -> None:
        nonlocal most
        before = READS
        run(self)
        if READS - before > most:
            most = READS - before
            path.with_suffix(".new").write_text(json.dumps({"reads": most, "step": repr(self)}))
            path.with_suffix(".new").replace(path)

    asyncio.Handle._run = counted  # type: ignore[method-assign]


def main() -> int:
    path = Path(sys.argv[1])
    del sys.argv[1]
    import uvloop

    uvloop.new_event_loop = asyncio.SelectorEventLoop  # type: ignore[assignment, misc]
    count_reads()
    count_steps(path)
    from learningchain.client.cli.app import main as run
    from learningchain.client.work import runner

    runner.PIECE_SHARE = 0  # who waits for this node is one test: it need not leave its loop to others
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
