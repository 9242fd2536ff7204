"""Reads progress lines in a job's output. Pure functions; for display only, nothing in them is checked.

These bytes come from a stranger's program. Nothing here recurses.
"""

from __future__ import annotations

import json
import re

import msgspec

PROGRESS_LINE_CAP = 512
"""A progress line is shorter than this many bytes (container contract)."""
READY_LINE = b'LC {"ready":1}'
"""What a job of a phase with late inputs prints when it waits for them."""
DONE_LINE = b'LC {"done":1}'
"""What such a job may print when its outputs are written: they are taken, and it is killed, before it ends by itself."""
_MAX_COUNT = (1 << 53) - 1
_NUMBER = rb"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:e[-+]?\d{1,3})?"
_STEP = re.compile(rb"(?i)\b(?:global_)?(?:step|epoch|iter(?:ation)?)\b[\"']?\s?[=:#]?\s?\[?(\d{1,15})(?:\s?/\s?(\d{1,15}))?")
_LOSS = re.compile(
    rb"(?i)\b(?:(?:train(?:ing)?|val(?:id(?:ation)?)?|eval|test)[_ /-])?loss\b[\"']?\s?[=:]\s?(" + _NUMBER + rb")(?![\w.])"
)
"""What trainers commonly print: `step=3 loss=0.2`, `Epoch 3/10, val_loss: 0.2`, a line of JSON with such names."""


class Progress(msgspec.Struct, frozen=True):
    """One progress line of a job."""

    step: int
    of: int | None = None
    loss: float | None = None


def parse_progress(line: bytes) -> Progress | None:
    """The progress in one line of output without its newline: the contract's own form, or one that trainers commonly print, with a
    step and a loss. None for every other line."""
    if len(line) >= PROGRESS_LINE_CAP:
        return None
    if not line.startswith(b"LC "):
        return _common(line)
    if not line.startswith(b"LC {"):
        return None
    value = _flat_object(line[3:])
    if value is None:
        return None
    step, of, loss = value.get("step"), value.get("of"), value.get("loss")
    if type(step) is not int or not 0 <= step <= _MAX_COUNT:
        return None
    total = of if type(of) is int and 0 <= of <= _MAX_COUNT else None
    shown = float(loss) if type(loss) in (int, float) and abs(loss) < 1e18 else None  # type: ignore[arg-type]
    return Progress(step, total, shown)


def _common(line: bytes) -> Progress | None:
    step = _STEP.search(line) if b"oss" in line or b"OSS" in line else None
    loss = _LOSS.search(line) if step is not None else None
    if step is None or loss is None or abs(value := float(loss[1])) >= 1e18:
        return None
    return Progress(int(step[1]), None if step[2] is None else int(step[2]), value)


def _flat_object(raw: bytes) -> dict[str, object] | None:
    """One flat JSON object, no key twice. The brackets are counted before parsing, so the parser never recurses."""
    if b"[" in raw or raw.count(b"{") > 1:
        return None
    try:
        pairs = json.loads(raw.decode("utf-8"), object_pairs_hook=list, parse_constant=_no_constant)
    except ValueError:
        return None
    found: dict[str, object] = dict(pairs)
    return found if len(found) == len(pairs) else None


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
