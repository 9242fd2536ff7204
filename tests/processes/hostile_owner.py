"""The real node as its owner changed it: `python -m tests.processes.hostile_owner ATTACK ARCHIVE IMAGE CLOCK node --data DIR …`.

Its `local` is another image's (`attack_job`), told which attack. The host around it is the honest one, with two exceptions, as what
they do is no program's to do:

* `scaling`: the update is not shortened to the clip.
* `malformed`: what the program left in the first round are no numbers; later the file begins with something else than an update.
* `copy`: nothing is changed. Its data are another owner's, with an empty line behind them.

CLOCK is the file of `clocked_node`.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.processes.clocked_node import moved

PROGRAM_OF = {"malformed": "not_a_number"}
"""Where it is called otherwise than the attack."""
WIDEST = 2**30


def with_own_program(attack: str, archive: Path, image: str) -> None:
    from learningchain.sandbox.docker.service import Sandbox

    run, bases = Sandbox.run, [b"", b""]

    def hostile(self: Any, spec: Any, **more: Any) -> Any:
        if not spec.run_id.startswith("fed-") or spec.phase != "local":
            return run(self, spec, **more)  # the self-test's
        base = spec.inputs["model"].read_bytes()
        if base != bases[-1]:
            bases[:] = bases[-1] or base, base
        if not self.has_image(image):
            self.load_archive(archive, image)
        before = base64.b64encode(bases[0][8 + int.from_bytes(bases[0][:8], "little") :]).decode()
        params = json.loads(spec.params) | {"attack": PROGRAM_OF.get(attack, attack), "before": before}
        return run(self, replace(spec, image_id=image, params=json.dumps(params)), **more)

    Sandbox.run = hostile  # type: ignore[method-assign]


def with_own_arithmetic(attack: str) -> None:
    """In this process: the one that would compute is a new one, and knows nothing of the change."""
    import numpy as np

    from learningchain.client.contracts.federation.arithmetic import updates
    from learningchain.client.contracts.federation.arithmetic.places import CQ
    from learningchain.client.work import computing, runner

    class ComputingHere(computing.ComputingProcess):
        async def perform(self, module: str, task: Any) -> Any:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return importlib.import_module(module).perform_in(task, self._folder)

    runner.ComputingProcess = ComputingHere  # type: ignore[attr-defined]
    honest_file = updates.update_file

    def unbounded(base: Any, local: Any, clip: int) -> Iterator[Any]:
        g = local.astype(np.float64) - base.astype(np.float64)
        yield np.clip(np.rint(g * (CQ / (clip / 1e9))), -WIDEST, WIDEST).astype(np.int32)

    def malformed(sealed: Any, x: Any) -> Iterator[bytes]:
        whole = b"".join(honest_file(sealed, x))
        yield b"NOFILE" + whole[6:]

    if attack == "scaling":
        updates.update_of = unbounded
    elif attack == "malformed":
        updates.update_file = malformed


def main() -> int:
    attack, archive, image, clock = sys.argv[1:5]
    del sys.argv[1:5]
    time.time_ns = moved(Path(clock))  # before anything of the node is loaded
    if attack != "copy":
        with_own_program(attack, Path(archive), image)
    if attack in ("scaling", "malformed"):
        with_own_arithmetic(attack)
    from learningchain.client.cli.app import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
