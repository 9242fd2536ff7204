"""The process of one node in a measurement: the product's daemon and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from learningchain.client.daemon.start import run

if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), os.environ["LEARNINGCHAIN_PASSPHRASE"], work=False))
