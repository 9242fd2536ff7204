#!/usr/local/bin/python3
"""A job that takes as long as its parameters say: `{"train": seconds, "evaluate": seconds}`. Its loss depends on the seed alone.

Its model is that loss as text, and every example loses as much: one, or `examples` of them. A training leaves a checkpoint after
each of its ten steps, and goes on from the one that it is given.
"""

import json
import os
import sys
import time
from pathlib import Path


def main(phase: str, lc: Path = Path("/lc")) -> int:
    job = json.loads((lc / "in/job.json").read_text())
    seconds = job["params"][phase]
    before = lc / "in/checkpoint"
    for step in range(1 + (int(before.read_text()) if before.exists() else 0), 11):
        time.sleep(seconds / 10)
        print("LC", json.dumps({"step": step, "of": 10, "loss": 1 / step}), flush=True)
        if phase == "train":
            (lc / "out/new").write_text(str(step))
            os.replace(lc / "out/new", lc / "out/checkpoint")
    if phase == "train":
        (lc / "out/model").write_text(f"0.5{job['seed'] % 1000:03d}")
    else:
        (lc / "out/losses").write_text(((lc / "in/model").read_text() + "\n") * job["params"].get("examples", 1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
