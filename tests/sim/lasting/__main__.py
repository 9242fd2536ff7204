"""Weeks of the lasting graph.

python -m tests.sim.lasting            a month; what was found against the rules is told as it is found
python -m tests.sim.lasting --days 12  fewer days of it, 12 at least where sizes are to be compared
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.sim.lasting.program import play, weeks

MEMORY = "/dev/shm"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim.lasting", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as folder:
        checks = play(weeks(given.days), Path(folder), lambda line: print(line, flush=True)).checks
    print(f"ended: {dict(checks.jobs)}\nheld against nodes that were off: {dict(checks.excused)}")
    print(f"{time.process_time() / 60:.1f} minutes of a processor, {len(checks.faults)} faults")
    return 1 if checks.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
