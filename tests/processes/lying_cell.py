"""The real node as a bad owner of a cell runs it: `python -m tests.processes.lying_cell CLOCK node --data DIR …`.

Its updates point the other way, with a proof that holds; and of each sum that it adds up it names another model than the others.
CLOCK is the file of `clocked_node`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace as copy
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation.messages import SumCells
from learningchain.client.contracts.federation.small_tasks import MakeSmall
from tests.processes.clocked_node import moved


def lie() -> None:
    from learningchain.client.contracts.federation.roles.making import UpdateMaker
    from learningchain.client.contracts.federation.roles.seated import SeatedAttempt

    submit, task = SeatedAttempt.submit, UpdateMaker._task

    def other_model(self: Any, what: str, op: Any) -> Any:
        return submit(self, what, replace(op, models=[op.sums, *op.models[1:]]) if isinstance(op, SumCells) else op)

    def turned(self: Any, *given: Any) -> Any:
        made = task(self, *given)
        return copy(made, base=made.local, local=made.base) if isinstance(made, MakeSmall) else made

    SeatedAttempt.submit = other_model  # type: ignore[method-assign]
    UpdateMaker._task = turned  # type: ignore[method-assign, assignment]


def main() -> int:
    clock = sys.argv[1]
    del sys.argv[1]
    time.time_ns = moved(Path(clock))  # before anything of the node is loaded
    lie()
    from learningchain.client.cli.app import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
