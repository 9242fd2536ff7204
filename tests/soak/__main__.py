"""`python -m tests.soak --minutes 20`: real nodes under load, disturbed every few seconds; exit code 1 where something broke.

Four validators, an observer and a late joiner run as processes with real TLS, databases and disks. They are killed, paused, cut off
from each other, restored from old copies; their disks fill up and rot. At the end every node's disk is read and judged: one chain,
sound certificates, equal states, credits conserved, every escrow owed to somebody, nothing signed twice, nobody punished, nothing
lost that was called final, bounded memory and disk. A seed fixes what is done and in which order, not when the machine gets to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Soak, Summary


async def _until_signalled(soak: Soak) -> Summary:
    """SIGTERM ends it like Ctrl-C: processes, namespaces and mounts go."""
    task = asyncio.create_task(soak.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path, help="also write the summary to this file")
    parser.add_argument("--no-namespaces", action="store_true", help="run on loopback, without partitions")
    parser.add_argument("--keep", action="store_true", help="keep the nodes' folders and logs also after a good run")
    parser.add_argument("--only", default="", help="kinds of disturbances, with commas between them")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lc-soak-"))
    print(f"seed {given.seed}, nodes in {folder}", flush=True)
    soak = Soak(
        folder,
        given.seed,
        given.minutes * 60,
        lambda line: print(line, flush=True),
        namespaces=not given.no_namespaces,
        only=[kind for kind in given.only.split(",") if kind],
    )
    summary = asyncio.run(_until_signalled(soak))
    text = json.dumps(summary.json(), indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")
    if summary.violations:
        print(f"FAILED, seed {given.seed}: the nodes' logs and folders are in {folder}", file=sys.stderr)
        return 1
    if not given.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"good: {sum(summary.disturbances.values())} disturbances, {summary.blocks} blocks, nothing broken")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
