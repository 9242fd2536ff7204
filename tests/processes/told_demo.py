"""A demo that tells its story in lines, as a process: what it said, whole, once every promise held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def told(module: str, promises: int, limit_s: float) -> str:
    """Whatever fails, it does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit_s)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
    assert process.returncode == 0, said
    assert said.count("  holds   ") == promises
    assert "FAILED" not in said
    assert f"{promises} of {promises} promises hold" in said
    return said
