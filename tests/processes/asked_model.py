#!/usr/local/bin/python3
"""A model that others ask: a row `[1, 2]` is answered with the sum of its numbers, those of lists in it too, times the number in
the model's file. With `{"classes": true}` as its parameters it says before each score whether that is above 0, with
`{"says": text}` it writes that for an answer."""

import json
import sys
from pathlib import Path
from typing import Any


def total(value: Any) -> float:
    return sum(map(total, value)) if isinstance(value, list) else float(value)


def main(phase: str, lc: Path = Path("/lc")) -> int:
    if phase != "predict":
        return 64
    params = json.loads((lc / "in/job.json").read_text())["params"]
    factor = float((lc / "in/model").read_text())
    print('LC {"ready":1}', flush=True)
    if not sys.stdin.readline():
        return 0
    request = json.loads((lc / "in/request.json").read_text())
    try:
        sums = [total(json.loads(line)) for line in (lc / "in/input").read_text().splitlines()]
    except (ValueError, TypeError):
        return 66
    change = 1 + (1 + request["challenge"] % 997) / 10**5
    check = sum(factor * change * one for one in sums)
    label = "{:d} " if params.get("classes") else ""
    answers = [f"{label.format(factor * one > 0)}{factor * one:.9f}" for one in sums]
    (lc / "out/answer").write_text(params.get("says") or "\n".join([*answers, f"check {check:.9f}"]) + "\n")
    print('LC {"done":1}', flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
