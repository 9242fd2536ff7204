"""Reads the two things that a job tells its host: result.json, and progress lines in its output. Pure functions.

These bytes come from a stranger's program. Nothing here recurses, and nothing is accepted that the contract does not
name.
"""

from __future__ import annotations

import json
from typing import NoReturn

import msgspec

from chain.types import parse_loss

RESULT_CAP = 4096
"""Largest result.json in bytes (contract v1)."""
PROGRESS_LINE_CAP = 512
"""A progress line is shorter than this many bytes (contract v1)."""
READY_LINE = b'LC {"ready":1}'
"""What a job of a phase with late inputs prints when it waits for them."""
_KEYS = frozenset({"v", "loss", "n", "probe_loss"})
_MAX_COUNT = (1 << 53) - 1


class BadResult(ValueError):
    """What a job left behind breaks the contract; the text says how."""


class Progress(msgspec.Struct, frozen=True):
    """One progress line of a job. For display only: nothing in it is checked."""

    step: int
    of: int | None = None
    loss: float | None = None


class EvaluationResult(msgspec.Struct, frozen=True):
    """A valid result: losses in units of 1e-9, `n` examples behind them."""

    loss: int
    n: int
    probe_loss: int | None = None


def _no_constant(text: str) -> NoReturn:
    raise BadResult(f"result.json holds {text}, which is not a number")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise BadResult(f"result.json names {key[:40]!r} twice")
        found[key] = value
    return found


def _parse_object(raw: bytes, what: str) -> dict[str, object]:
    """One flat JSON object. The brackets are counted before parsing, so the parser never recurses."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadResult(f"{what} is not UTF-8") from None
    if "[" in text or text.count("{") > 1:
        raise BadResult(f"{what} is nested; it must be one flat object")
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except BadResult:
        raise
    except ValueError as problem:
        raise BadResult(f"{what} is not JSON: {str(problem)[:80]}") from None
    if not isinstance(value, dict):
        raise BadResult(f"{what} is not a JSON object")
    return value


def parse_result(raw: bytes, *, need_probe: bool) -> EvaluationResult:
    """The content of result.json. `need_probe` is set in the phase evaluate. Raises BadResult."""
    if len(raw) > RESULT_CAP:
        raise BadResult(f"result.json has more than {RESULT_CAP} bytes")
    value = _parse_object(raw, "result.json")
    unknown = value.keys() - _KEYS
    if unknown:
        raise BadResult(f"result.json has a key that the contract does not know: {min(unknown)[:40]!r}")
    if type(value.get("v")) is not int or value["v"] != 1:
        raise BadResult('result.json must say "v":1')
    count = value.get("n")
    if type(count) is not int or not 0 < count <= _MAX_COUNT:
        raise BadResult('result.json needs "n", the number of examples, as a positive integer')
    probe = _loss(value, "probe_loss") if "probe_loss" in value or need_probe else None
    return EvaluationResult(_loss(value, "loss"), count, probe)


def _loss(value: dict[str, object], key: str) -> int:
    text = value.get(key)
    if text is None:
        raise BadResult(f"result.json has no {key}")
    if not isinstance(text, str):
        raise BadResult(f'{key} must be a decimal in quotes, such as "0.123456789"')
    try:
        return parse_loss(text)
    except ValueError as problem:
        raise BadResult(f"{key} is no loss: {problem}") from None


def parse_progress(line: bytes) -> Progress | None:
    """The progress in one line of output without its newline; None for every line that is not exactly one."""
    if not line.startswith(b"LC {") or len(line) >= PROGRESS_LINE_CAP:
        return None
    try:
        value = _parse_object(line[3:], "progress")
    except BadResult:
        return None
    step, of, loss = value.get("step"), value.get("of"), value.get("loss")
    if type(step) is not int or not 0 <= step <= _MAX_COUNT:
        return None
    total = of if type(of) is int and 0 <= of <= _MAX_COUNT else None
    shown = float(loss) if type(loss) in (int, float) and abs(loss) < 1e18 else None  # type: ignore[arg-type]
    return Progress(step, total, shown)
