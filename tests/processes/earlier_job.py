#!/usr/local/bin/python3
"""A job that goes on from an earlier model where it finds one: a model is a number of halvings of its loss."""

import os
import sys
from pathlib import Path

LC = Path("/lc")


def main(phase: str) -> int:
    begun = LC / "in/model"
    if phase == "train":
        (LC / "out/model").write_text(str(1 + (int(begun.read_text()) if begun.exists() else 0)))
        return 0
    if sorted(os.listdir(LC / "in")) != ["job.json", "model"]:
        return 1
    loss = 1 / 2 ** int(begun.read_text())
    (LC / "out/losses").write_text(f"{loss}\n{loss}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
