#!/usr/local/bin/python3
# ruff: noqa: T201
"""The smallest complete job: finds the line y = a*x + b through 40 points by random steps, better ones kept."""

import json
import random
import sys
from pathlib import Path

POINTS = [(x / 10, 3 * x / 10 + 1 + (x * 7919 % 13 - 6) / 20) for x in range(40)]


def main(phase: str, lc: Path = Path("/lc")) -> int:
    job = json.loads((lc / "in/job.json").read_text())
    if job["v"] != 1 or phase not in ("train", "evaluate"):
        return 64  # unsupported

    def loss(line: list[float], points: list[tuple[float, float]] = POINTS) -> float:
        return sum((line[0] * x + line[1] - y) ** 2 for x, y in points) / len(points) if points else 0.0

    if phase == "train":
        rng, line = random.Random(job["seed"]), [0.0, 0.0]
        for step in range(1, 1001):
            line = min(line, [value + rng.gauss(0, 0.3) for value in line], key=loss)
            if step % 100 == 0:
                print("LC", json.dumps({"step": step, "of": 1000, "loss": loss(line)}), flush=True)
        (lc / "out/model").write_text(json.dumps(line))
    else:
        try:
            a, b = json.loads((lc / "in/model").read_text())
            line = [float(a), float(b)]
            if not loss(line) < 1e9:
                return 65
        except (ValueError, TypeError, OverflowError, RecursionError):
            return 65  # not a model
    probed = [p for i, p in enumerate(POINTS) if (job["probe"] + i * 1103515245) % 2**31 < 2**28]
    result = {"v": 1, "loss": f"{loss(line):.9f}", "n": len(POINTS), "probe_loss": f"{loss(line, probed):.9f}"}
    (lc / "out/result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
