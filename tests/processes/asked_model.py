#!/usr/local/bin/python3
"""A model that others ask: a row `[1, 2]` is answered with the sum of its numbers, times the number in the model's file. With
`{"seconds": s}` as its parameters it takes so long for a request."""

import json
import sys
import time
from pathlib import Path


def main(phase: str, lc: Path = Path("/lc")) -> int:
    if phase != "predict":
        return 64
    params = json.loads((lc / "in/job.json").read_text())["params"]
    factor = float((lc / "in/model").read_text())
    print('LC {"ready":1}', flush=True)
    if not sys.stdin.readline():
        return 0
    request = json.loads((lc / "in/request.json").read_text())
    time.sleep(params.get("seconds", 0))
    try:
        rows = [[float(value) for value in json.loads(line)] for line in (lc / "in/input").read_text().splitlines()]
    except (ValueError, TypeError):
        return 66
    change = 1 + (1 + request["challenge"] % 997) / 10**5
    check = sum(factor * change * sum(row) for row in rows)
    answers = [f"{factor * sum(row):.9f}" for row in rows]
    (lc / "out/answer").write_text("\n".join([*answers, f"check {check:.9f}"]) + "\n")
    print('LC {"done":1}', flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
