"""`learningchain`, on a machine that lies: lying_machine.py changed|long machine run ...

`changed`: the first byte of every model is another one. `long`: every model is a byte longer than its job allows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from msgspec import structs

from learningchain.client.cli.app import main
from learningchain.client.machines.frames import GiveOutput
from learningchain.client.machines.program import MachineProgram
from learningchain.sandbox.spec import load_run
from tests.processes.hasty import hurry


def lie(how: str) -> None:
    honest: Any = MachineProgram._give

    async def give(self: MachineProgram, given: GiveOutput, path: Path) -> None:
        raw = bytearray(path.read_bytes())
        raw[0] ^= 0x40
        if how == "long":
            cap = load_run(self._held[given.run].take.order).limits.model_cap
            raw = bytearray(cap + 1)
        path.write_bytes(raw)
        await honest(self, structs.replace(given, size=len(raw)), path)

    MachineProgram._give = give  # type: ignore[method-assign]


if __name__ == "__main__":
    lie(sys.argv.pop(1))
    hurry()
    sys.exit(main())
