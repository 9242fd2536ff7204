#!/usr/local/bin/python3
import json
import random
import sys
from pathlib import Path

POINTS = [(x / 10, 3 * x / 10 + 1 + (x * 7919 % 13 - 6) / 20) for x in range(40)]
losses = lambda line: [(line[0] * x + line[1] - y) ** 2 for x, y in POINTS]
if sys.argv[1] == "train":
    rng, line = random.Random(json.loads(Path("/lc/in/job.json").read_text())["seed"]), [0.0, 0.0]
    for step in range(1, 1001):
        line = min(line, [value + rng.gauss(0, 0.3) for value in line], key=lambda line: sum(losses(line)))
        print(f'LC {{"step":{step},"of":1000,"loss":{sum(losses(line)) / 40}}}')  # for people to watch
    Path("/lc/out/model").write_text(json.dumps(line))
else:
    try:
        line = [float(value) for value in json.loads(Path("/lc/in/model").read_text())]
        Path("/lc/out/losses").write_text("".join(f"{loss:.9f}\n" for loss in losses(line)))
    except (ValueError, TypeError, IndexError, OverflowError, RecursionError):
        sys.exit(65)  # not a model: the claim fails
