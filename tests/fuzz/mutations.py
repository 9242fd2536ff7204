"""Hypothesis strategies: bytes that are nearly right. Cut, changed and spliced bytes, and documents with one part replaced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

HOSTILE: tuple[bytes, ...] = (
    b"",
    b"\x00",
    b"\xff" * 64,
    b"[" * 4_000,
    b'{"a":' * 1_000,
    b"[" * 1_500 + b"]" * 1_500,
    b"\x91" * 4_000,
    b"\x81\xa0" * 2_000,
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc7\x0c\xff" + bytes(12),
    b"\xa4\xed\xa0\x80\xed",
    b"9" * 4_400,
    b"-" + b"0" * 4_400,
    b"0x" + b"f" * 5_000,
    b"1e999",
    b"NaN",
    b'"\\ud800"',
    b'"' + b"\\u0000" * 100 + b'"',
    "\N{SUPERSCRIPT TWO}\N{ARABIC-INDIC DIGIT FIVE}\N{FULLWIDTH DIGIT ONE}".encode(),
    b"\xef\xbb\xbf{}",
    b"{}".decode().encode("utf-16"),
)
"""Tried on every target as they are."""

_LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.0, 1e308, float("inf"), float("nan"),
    "", "a", "\0", "nan", "inf", "é" * 50, "x" * 5_000, "9" * 5_000, b"", b"\0", bytes(20), bytes(32), bytes(64), b"\xff" * 33,
    [], [[]], [1] * 200, {}, {"a": 1}, {"": {"": {}}}, {1: 2},
)  # fmt: skip


def near(examples: list[bytes], max_bytes: int) -> st.SearchStrategy[bytes]:
    """Mostly changed examples, some bytes out of nothing."""
    whole, hostile, leaf = _one_of(examples), _one_of(HOSTILE), _one_of(_LEAVES)
    changed = [
        st.builds(_with_bytes, whole, st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6)),
        st.builds(_spliced, whole, whole, st.integers(0, 2**16), st.integers(0, 2**16)),
        st.builds(_inserted, whole, st.integers(0, 2**16), st.one_of(st.binary(max_size=16), hostile)),
        st.builds(_document, whole, st.lists(st.integers(0, 300), max_size=6), leaf, st.booleans()),
        st.builds(_widened, whole, st.integers(0, 2**16)),
        st.binary(max_size=256),
    ]
    return st.one_of(changed).map(lambda data: data[: 2 * max_bytes])


def _one_of(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Like `sampled_from`, which would print all of them at a failure."""
    return st.integers(0, len(values) - 1).map(lambda i: values[i])


def _with_bytes(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for at, value in edits:
        if out:
            out[at % len(out)] = value
    return bytes(out)


def _spliced(a: bytes, b: bytes, at: int, start: int) -> bytes:
    return a[: at % (len(a) + 1)] + b[start % (len(b) + 1) :]


def _inserted(data: bytes, at: int, more: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + more + data[at:]


def _widened(data: bytes, at: int) -> bytes:
    """One MessagePack head in a longer form that means the same: what only a check for the canonical form refuses."""
    for i in [*range(at % (len(data) + 1), len(data)), *range(at % (len(data) + 1))]:
        head = data[i]
        if head < 0x80:
            return data[:i] + b"\xcc" + data[i:]
        if 0x90 <= head < 0xA0:
            return data[:i] + b"\xdc\x00" + bytes([head & 15]) + data[i + 1 :]
        if head == 0xC4 and i + 1 < len(data):
            return data[:i] + b"\xc5\x00" + data[i + 1 :]
    return data


def _document(data: bytes, path: list[int], leaf: Any, as_json: bool) -> bytes:
    """With the part at `path` replaced, in whichever encoding the example has, also behind a selecting byte."""
    for head in (b"", data[:1]):
        body = data[len(head) :]
        try:
            if body[:1] in (b"{", b"["):
                return head + json.dumps(_replaced(json.loads(body), path, leaf), default=str).encode()
            return head + msgspec.msgpack.encode(_replaced(msgspec.msgpack.decode(body), path, leaf))
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            continue
    return data + (json.dumps(leaf, default=str).encode() if as_json else b"")


def _replaced(value: Any, path: list[int], leaf: Any) -> Any:
    if not path or not isinstance(value, list | dict) or not value:
        return leaf
    step = path[0] % len(value)
    if isinstance(value, list):
        return [*value[:step], _replaced(value[step], path[1:], leaf), *value[step + 1 :]]
    key = list(value)[step]
    return value | {key: _replaced(value[key], path[1:], leaf)}
