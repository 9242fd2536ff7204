"""Strict safetensors (LC-FILE-2 to LC-FILE-6): what a stranger's program wrote is a model of the known shape, or nothing. Pure.

The header is read without trust: its characters and its depth are looked at before any parser sees it, so that none recurses. The
values stay where they are: a caller may hand in a file that the system maps.
"""

from __future__ import annotations

import json
import re
from math import prod
from mmap import mmap
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.places import MAX_DIMS

Buffer = bytes | bytearray | memoryview | mmap
MAX_HEADER: Final = 262_144
"""LC-FILE-2: bytes of the header, without the eight of its length."""
PIECE: Final = 1 << 16
"""Coordinates that are worked on at once."""
_CHARACTERS = re.compile(rb"[ -\[\]-~\t\r\n]*")
"""Printable ASCII without the backslash, and white space: so no escapes."""
_BRACKETS = re.compile(rb'"[^"]*"|[{}\[\]]')
_NATURAL = re.compile(r"0|[1-9][0-9]{0,15}")
_DEPTH = 4
_NOTES = "__metadata__"
"""What libraries write beside the tensors, such as {"format": "pt"}: it says nothing of the values."""


class BadTensors(ValueError):
    """Not a model of the expected shape; the text says what is wrong. Nobody needs more than its first 200 characters."""


class TensorLayout(NamedTuple):
    """What a header says: `head` is the file up to the first value, `tensors` are names and shapes in the order of the values."""

    head: bytes
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    dims: int

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.head) + 4 * self.dims


def read_layout(file: Buffer) -> TensorLayout:
    """LC-FILE-2 to LC-FILE-4. Raises BadTensors."""
    with memoryview(file) as raw:
        length = int.from_bytes(raw[:8], "little")
        if len(raw) < 8 or length > MAX_HEADER or len(raw) < 8 + length:
            raise BadTensors(f"the header is cut off, or has more than {MAX_HEADER:,} bytes")
        head, values = bytes(raw[: 8 + length]), len(raw) - 8 - length
    at, tensors = 0, []
    for name, (shape, begin, end) in sorted(_parsed(head[8:]).items(), key=lambda one: one[1][1]):
        if begin != at or end != at + 4 * prod(shape):
            raise BadTensors(
                f"the values of {name[:60]} lie from {begin} to {end}: not behind the last ones, or another number of them"
            )
        at = end
        tensors.append((name, shape))
    if at != values or not 1 <= at // 4 <= MAX_DIMS:
        raise BadTensors(f"the file has {values} bytes of values and its header names {at}; a model has 1 to {MAX_DIMS:,} values")
    return TensorLayout(head, tuple(tensors), at // 4)


def _parsed(header: bytes) -> dict[str, tuple[tuple[int, ...], int, int]]:
    """Shape, first byte and end of each tensor by its name."""
    if not header.startswith(b"{") or not _CHARACTERS.fullmatch(header):
        raise BadTensors("the header is no object of printable ASCII without backslashes; give the tensors plain names")
    depth = 0
    for found in _BRACKETS.finditer(header):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(found[0], 0)
        if depth > _DEPTH:
            raise BadTensors(f"the header is nested deeper than {_DEPTH}")
    try:
        said = json.loads(header, object_pairs_hook=_unique, parse_int=_natural, parse_float=_refuse, parse_constant=_refuse)
    except json.JSONDecodeError as bad:
        raise BadTensors(f"the header is no JSON: {bad}") from None
    notes = said.pop(_NOTES, {})
    if not isinstance(notes, dict) or not all(isinstance(text, str) for text in notes.values()):
        raise BadTensors(f"{_NOTES} is no object of texts")
    return {name: _tensor(name, value) for name, value in said.items()}


def _tensor(name: str, said: Any) -> tuple[tuple[int, ...], int, int]:
    if not isinstance(said, dict) or said.keys() != {"dtype", "shape", "data_offsets"}:
        raise BadTensors(f"{name[:60] or 'a tensor without name'} has not dtype, shape and data_offsets alone")
    shape, offsets = said["shape"], said["data_offsets"]
    if said["dtype"] != "F32":
        raise BadTensors(f"{name[:60]} is {str(said['dtype'])[:20]}, and a model is F32 alone; save {{name: tensor.float(), ...}}")
    if not _naturals(shape) or not 1 <= _values(shape) <= MAX_DIMS:
        raise BadTensors(f"{name[:60]} is of no shape with 1 to {MAX_DIMS:,} values")
    if not _naturals(offsets) or len(offsets) != 2:
        raise BadTensors(f"{name[:60]} has not two offsets")
    return tuple(shape), offsets[0], offsets[1]


def _values(shape: list[int]) -> int:
    """Their product; where it is too large, some number that is: the product of a hostile header takes most of a minute."""
    count = 0 if 0 in shape else 1
    for one in shape:
        count *= one
        if count > MAX_DIMS:
            break
    return count


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int for one in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadTensors("a name stands twice in one object of the header")
    return found


def _natural(text: str) -> int:
    if not _NATURAL.fullmatch(text):
        raise BadTensors("a number of the header has a sign, or more than 16 digits")
    return int(text)


def _refuse(text: str) -> NoReturn:
    raise BadTensors(f"a number of the header is no integer: {text[:20]}")


# --- values --------------------------------------------------------------------------------------------------------------------


def read_model(file: Buffer, wanted: TensorLayout) -> NDArray[np.float32]:
    """LC-FILE-5: the values of a model of that shape, where they lie in the file. Raises BadTensors."""
    layout = read_layout(file)
    if layout.tensors != wanted.tensors:
        raise BadTensors("the names, the order or the shapes of its tensors are not those of the initial model")
    found = values_of(file, layout)
    for at in range(0, layout.dims, PIECE):
        if not np.isfinite(found[at : at + PIECE]).all():
            raise BadTensors(f"a value from number {at} to {min(at + PIECE, layout.dims) - 1} is not finite")
    return found


def values_of(file: Buffer, layout: TensorLayout) -> NDArray[np.float32]:
    """All of them, in the order of the file; whether they are finite is not looked at."""
    return np.frombuffer(file, "<f4", layout.dims, len(layout.head))
