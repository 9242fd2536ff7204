#!/usr/local/bin/python3
"""A job that takes as long as its parameters say: `{"train": seconds, "evaluate": seconds}`. Its loss depends on the seed alone."""

import json
import sys
import time
from pathlib import Path


def main(phase: str, lc: Path = Path("/lc")) -> int:
    job = json.loads((lc / "in/job.json").read_text())
    seconds = job["params"][phase]
    for step in range(1, 11):
        time.sleep(seconds / 10)
        print("LC", json.dumps({"step": step, "of": 10, "loss": 1 / step}), flush=True)
    if phase == "train":
        loss = f"0.5{job['seed'] % 1000:03d}"
        (lc / "out/model").write_text(loss)
    else:
        loss = (lc / "in/model").read_text()
    (lc / "out/result.json").write_text(json.dumps({"v": 1, "loss": loss, "n": 1, "probe_loss": loss}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
