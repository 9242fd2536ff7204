"""Strict safetensors: what is read is what the safetensors package reads; what could be read in two ways is refused."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.client.contracts.federation.arithmetic.tensors import MAX_HEADER, BadTensors, read_layout, read_model, values_of


def file_of(header: bytes | str, values: int) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw)) + raw + np.arange(values, dtype="<f4").tobytes()


def entry(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = {"w": entry([2, 3], 0, 24), "b": entry([], 24, 28)}


def test_a_model_of_two_tensors() -> None:
    layout = read_layout(file_of(json.dumps(GOOD) + "   ", 7))
    assert layout.tensors == (("w", (2, 3)), ("b", ())) and layout.dims == 7
    assert values_of(file_of(json.dumps(GOOD), 7), read_layout(file_of(json.dumps(GOOD), 7))).tolist() == list(range(7))
    assert layout.size == len(file_of(json.dumps(GOOD) + "   ", 7))


STRICTER = {
    "a field more",
    "a letter beyond ASCII",
    "an escape",
    "another dtype",
    "half precision",
    "metadata alone",
    "no tensor",
    "nothing in a dimension",
    "white space before",
}
"""What that package reads."""


def changed(**tensors: Any) -> str:
    return json.dumps(GOOD | tensors)


BAD: dict[str, tuple[bytes | str, int]] = {
    "metadata of numbers": (changed(__metadata__={"epoch": 7}), 7),
    "metadata that is a list": (changed(__metadata__=["pt"]), 7),
    "metadata alone": (json.dumps({"__metadata__": {"format": "pt"}}), 0),
    "metadata that is a tensor": (json.dumps({"__metadata__": entry([1], 0, 4)}), 1),
    "a name twice": (json.dumps({"w": entry([1], 0, 4), "v": entry([1], 4, 8)}).replace("v", "w"), 2),
    "a field twice": ('{"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 1),
    "a field more": (changed(b=entry([], 24, 28) | {"x": 1}), 7),
    "no dtype": ('{"w":{"shape":[1],"data_offsets":[0,4]}}', 1),
    "another dtype": (changed(b=entry([], 24, 28, "I32")), 7),
    "a dtype that is no text": (changed(b=entry([], 24, 28, ["F32"])), 7),
    "half precision": (json.dumps({"w": entry([2], 0, 4, "F16")}), 1),
    "a shape that is true": (changed(w=entry([True, 6], 0, 24)), 7),
    "a shape with a fraction": ('{"w":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', 1),
    "a shape with an exponent": ('{"w":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', 1),
    "a negative shape": ('{"w":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}', 1),
    "minus zero": ('{"w":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', 1),
    "a plus": ('{"w":{"dtype":"F32","shape":[+1],"data_offsets":[0,4]}}', 1),
    "leading zeros": ('{"w":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', 1),
    "a number of a million digits": ('{"w":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % ("9" * 200_000), 1),
    "NaN": ('{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', 1),
    "a shape that is none": (changed(b=entry([], 24, 28) | {"shape": 1}), 7),
    "nothing in a dimension": (changed(c=entry([0], 28, 28)), 7),
    "a shape beyond 2^28": (json.dumps({"w": entry([2**14, 2**15], 0, 4)}), 1),
    "three offsets": (changed(b=entry([], 24, 28) | {"data_offsets": [24, 28, 28]}), 7),
    "a gap": (changed(b=entry([], 28, 32)), 8),
    "an overlap": (changed(b=entry([], 20, 24)), 7),
    "a begin behind the file's": (json.dumps({"w": entry([1], 4, 8)}), 2),
    "another length than the shape's": (changed(b=entry([2], 24, 28)), 7),
    "values more": (changed(), 8),
    "values less": (changed(), 6),
    "no tensor": ("{}", 0),
    "a list": ("[]", 0),
    "a text": ('"w"', 0),
    "white space before": (" " + json.dumps(GOOD), 7),
    "something behind": (json.dumps(GOOD) + "{}", 7),
    "an escape": (json.dumps(GOOD).replace("w", "\\u0077"), 7),
    "a control character": (json.dumps(GOOD).replace("w", "\x01"), 7),
    "a letter beyond ASCII": (json.dumps(GOOD).replace("w", "ä"), 7),
    "no UTF-8": (json.dumps(GOOD).replace("w", "#").encode().replace(b"#", b"\xff"), 7),
    "zeros behind": (json.dumps(GOOD) + "\0", 7),
    "200,000 brackets": ("{" + "[" * 200_000, 0),
    "200,000 objects": ('{"a":' * 40_000, 0),
    "nested too deeply": ('{"w":{"dtype":"F32","shape":[[[1]]],"data_offsets":[0,4]}}', 1),
    "a bracket that hides in a name": ('{"[[[[[[":', 0),
    "cut off": ('{"w":', 0),
    "a quote without end": ('{"w', 0),
}


@pytest.mark.parametrize("why", BAD)
def test_what_can_be_read_in_two_ways_is_refused(why: str) -> None:
    header, values = BAD[why]
    with pytest.raises(BadTensors) as refused:
        read_layout(file_of(header, values))
    assert str(refused.value).isascii() and len(str(refused.value)) < 300


@pytest.mark.parametrize("length", [1, MAX_HEADER, MAX_HEADER + 1, 2**63, 2**64 - 1])
def test_a_header_that_is_not_there_or_too_long_is_not_read(length: int) -> None:
    tracemalloc.start()
    with pytest.raises(BadTensors, match="cut off"):
        read_layout(struct.pack("<Q", length))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"w": np.ones(2, "<f8")}, "w is F64, and a model is F32 alone; save {name: tensor.float()"),
        ({"w": np.ones(2, "<f2")}, "w is F16"),
        ({"w": np.ones(2, "<f4"), "bn.num_batches_tracked": np.array(3)}, "bn.num_batches_tracked is I64"),
        ({"w": np.ones((0, 4), "<f4")}, "w is of no shape with 1 to"),
        ({"gewicht\u00fc": np.ones(2, "<f4")}, "plain names"),
        ({}, "0 bytes of values"),
    ],
)
def test_what_else_training_saves_is_named_with_what_mends_it(tensors: dict[str, Any], why: str) -> None:
    with pytest.raises(BadTensors) as refused:
        read_layout(safetensors.numpy.save(tensors))
    assert why in str(refused.value)


SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=6)


@settings(max_examples=50)
@given(shapes=SHAPES, seed=st.integers(0, 2**32 - 1), notes=st.sampled_from([None, {}, {"format": "pt"}, {"a": "{[", "b": ""}]))
def test_what_the_package_writes_is_read_alike(shapes: list[list[int]], seed: int, notes: dict[str, str] | None) -> None:
    numbers = np.random.default_rng(seed)
    tensors = {f"layer.{n}": numbers.normal(size=shape).astype("<f4").reshape(shape) for n, shape in enumerate(shapes)}
    raw = safetensors.numpy.save(tensors, notes)
    layout = read_layout(raw)
    values, at = values_of(raw, layout), 0
    read = safetensors.numpy.load(raw)
    for name, shape in layout.tensors:
        size = int(np.prod(shape))
        assert read[name].shape == shape and read[name].tobytes() == values[at : at + size].tobytes()
        at += size
    assert at == layout.dims and read.keys() == dict(layout.tensors).keys()


def test_where_this_is_stricter_than_the_package() -> None:
    """Everything else it refuses, too, so that what stands here is not refused by a slip of the case."""
    read = set()
    for why, (header, values) in BAD.items():
        with suppress(safetensors.SafetensorError):
            safetensors.numpy.load(file_of(header, values))
            read.add(why)
    assert read == STRICTER


def model(header: dict[str, Any], values: list[float]) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + np.array(values, "<f4").tobytes()


def test_a_local_model_has_the_shape_of_the_initial_one_and_is_finite() -> None:
    wanted = read_layout(file_of(json.dumps(GOOD), 7))
    another_text = {"b": GOOD["b"], "w": GOOD["w"]}
    assert read_model(model(another_text, [1.0] * 7), wanted).tolist() == [1.0] * 7
    for other in (
        {"w": entry([3, 2], 0, 24), "b": entry([], 24, 28)},
        {"b": entry([], 0, 4), "w": entry([2, 3], 4, 28)},
        {"w": entry([2, 3], 0, 24), "c": entry([], 24, 28)},
        {"w": entry([7], 0, 28)},
    ):
        with pytest.raises(BadTensors, match="not those of the initial"):
            read_model(model(other, [1.0] * 7), wanted)
    for bad in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(BadTensors, match="not finite"):
            read_model(model(GOOD, [1.0] * 6 + [bad]), wanted)


def test_a_value_that_is_not_finite_is_found_at_every_border_of_a_piece() -> None:
    dims = 3 * 65_536 + 5
    header = {"w": entry([dims], 0, 4 * dims)}
    values = np.ones(dims, "<f4")
    raw = bytearray(model(header, values.tolist()))
    wanted = read_layout(raw)
    start = len(wanted.head)
    for at in (0, 65_535, 65_536, dims - 1):
        raw[start + 4 * at : start + 4 * at + 4] = struct.pack("<f", float("nan"))
        with pytest.raises(BadTensors, match="not finite"):
            read_model(bytes(raw), wanted)
        raw[start + 4 * at : start + 4 * at + 4] = struct.pack("<f", 1.0)
    read_model(bytes(raw), wanted)


def test_a_shape_without_end_is_refused_at_once() -> None:
    """The product of 130,000 nines has 124,000 digits: it took most of a minute, with all duties of the node behind it."""
    began = time.process_time()
    with pytest.raises(BadTensors, match="is of no shape with"):
        read_layout(file_of(json.dumps({"w": entry([9] * 130_000, 0, 4)}, separators=(",", ":")), 1))
    assert time.process_time() - began < 5
