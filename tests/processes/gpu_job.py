#!/usr/local/bin/python3
"""A job that trains where it finds its device, and nowhere else; and whose evaluation finds fault with one that is there."""

import os
import sys
from pathlib import Path

DEVICE = Path("/dev/lctest0")


def main(phase: str) -> int:
    others = [name for name in os.listdir("/dev") if name.startswith("lctest") and name != DEVICE.name]
    if others:
        return 1
    if phase == "train":
        with DEVICE.open("r+b", buffering=0) as device:
            Path("/lc/out/model").write_text(f"written to the device: {device.write(b'tensor')} bytes")
        return 0
    losses = "9" if DEVICE.exists() else "0.25"
    Path("/lc/out/losses").write_text(f"{losses}\n{losses}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
