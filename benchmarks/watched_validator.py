"""The process of one node in a measurement that notes each step of its event loop: `FOLDER FIGURES`.

Python's own loop takes uvloop's place; a step is the processor time of the loop's thread. From one SIGUSR2 to the next it counts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.probed_node import Probe, watch_loop
from learningchain.client.daemon.start import run

if __name__ == "__main__":
    probe = Probe(Path(sys.argv[2]))
    watch_loop(probe)
    try:
        sys.exit(run(Path(sys.argv[1]), os.environ["LEARNINGCHAIN_PASSPHRASE"], work=False))
    finally:
        probe.write()
