"""The rows of an input: text of one row a line (LC-PRE-56)."""

from __future__ import annotations

from typing import Final

MAX_SAMPLE: Final = 8 * 2**20
"""Bytes of a model's sample."""
MAX_ANSWERS: Final = 16_384
"""Bytes of its owner's answers to it."""


def lines_of(data: bytes) -> list[bytes]:
    """The last one's line feed may be missing."""
    lines = data.split(b"\n")
    return lines[:-1] if not lines[-1] else lines
