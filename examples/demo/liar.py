#!/usr/local/bin/python3
"""A lying evaluator: the digits job, whose evaluation adds a constant to every loss once a certain moment has passed.

In the image this file is `/lc/job` and the honest program `/lc/digits.py`. Until claims end it measures the truth, so workers claim
what they have; afterwards, when the committee evaluates, nobody seems to have what it claimed. A container cannot be kept from
reading the clock: that is why a false verdict costs the poster as much as the worker, and bans nobody by itself.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

LIE = 5.0
MOMENT = "lies_after"
"""A parameter of the job: seconds since 1970."""


def main(argv: list[str], root: Path = Path("/")) -> int:
    """Runs one phase and returns the exit code. `root` is the image's root directory; tests use another."""
    digits = importlib.import_module("digits")
    digits.PARAMS[MOMENT] = (0, 0, 1e12)
    code = int(digits.main(argv, root))
    params = json.loads((root / "lc/in/job.json").read_text()).get("params", {})
    if code == 0 and argv == ["evaluate"] and time.time() > params.get(MOMENT, 0):
        losses = root / "lc/out/losses"
        losses.write_text("".join(f"{float(line) + LIE:.9f}\n" for line in losses.read_text().splitlines()))
    return code


if __name__ == "__main__":
    sys.path.insert(0, "/lc")
    sys.exit(main(sys.argv[1:]))
