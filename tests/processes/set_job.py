#!/usr/local/bin/python3
"""A job that learns a published set by heart: its model is the SHA-256 of all files, and every file loses as much as it differs.

It reads each byte in training and in evaluation, and fails where the set is not there, or can be written to.
"""

import hashlib
import sys
from pathlib import Path

LC = Path("/lc")
SET = LC / "in/sets/digits"


def digests() -> list[str]:
    found = []
    for path in sorted(SET.rglob("*.bin")):
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


def main(phase: str) -> int:
    try:
        (SET / "mine").write_text("x")
    except OSError:
        pass
    else:
        return 1
    found = digests()
    if phase == "train":
        (LC / "out/model").write_text("\n".join(found))
        return 0
    known = (LC / "in/model").read_text().split("\n")
    losses = ["0.25" if one in known else "9" for one in found]
    (LC / "out/losses").write_text("\n".join(losses) + "\n")
    return 0 if losses else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
