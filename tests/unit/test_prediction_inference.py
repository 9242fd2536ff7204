"""The Open Inference Protocol as bytes: tensors in JSON and in binary become the same rows, and agreed values become tensors."""

from __future__ import annotations

import gzip
import json
import math
import struct
import tracemalloc
import zlib
from typing import Any

import pytest

from learningchain.client.contracts.prediction.http.inference import (
    MAX_BODY,
    BadInference,
    Inference,
    InferredRow,
    inference_response,
    model_metadata,
    output_names,
    parse_inference,
    unpacked,
)
from learningchain.client.contracts.prediction.http.model_schema import parse_schema

SCHEMA = parse_schema(
    json.dumps(
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [2]},
                {"name": "n", "datatype": "INT64"},
                {"name": "word", "datatype": "BYTES"},
                {"name": "flag", "datatype": "BOOL"},
            ],
            "classes": ["a", "b"],
        }
    ).encode()
)
ROWS = [[[0.5, 1], -7, "é", True], [[2.25, -3], 8, "", False]]
PLAIN = [
    {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[0.5, 1], [2.25, -3]]},
    {"name": "n", "datatype": "INT64", "shape": [2, 1], "data": [-7, 8]},
    {"name": "word", "datatype": "BYTES", "shape": [2], "data": ["é", ""]},
    {"name": "flag", "datatype": "BOOL", "shape": [2], "data": [True, False]},
]
PACKED = [
    struct.pack("<4f", 0.5, 1, 2.25, -3),
    struct.pack("<2q", -7, 8),
    b"\2\0\0\0" + "é".encode() + b"\0\0\0\0",
    b"\1\0",
]


def parse(inputs: Any, rest: bytes = b"", *, length: str | None = None, max_rows: int = 256, **more: Any) -> Inference:
    head = json.dumps({"inputs": inputs, **more}).encode()
    length = str(len(head)) if rest and length is None else length
    return parse_inference(head + rest, length, SCHEMA, max_rows=max_rows, known=output_names(True))


def binary(tensors: list[bytes] = PACKED) -> tuple[list[dict[str, Any]], bytes]:
    inputs: list[dict[str, Any]] = []
    for one, raw in zip(PLAIN, tensors, strict=True):
        head = {key: value for key, value in one.items() if key != "data"}
        inputs.append({**head, "parameters": {"binary_data_size": len(raw)}})
    return inputs, b"".join(tensors)


def test_json_and_binary_tensors_are_the_same_rows() -> None:
    assert parse(PLAIN).rows == parse(*binary()).rows == parse(list(reversed(PLAIN))).rows == ROWS
    flat = [{**PLAIN[0], "data": [0.5, 1, 2.25, -3]}, *PLAIN[1:]]
    assert parse(flat).rows == ROWS
    mixed, _ = binary()
    assert parse([mixed[0], *PLAIN[1:]], PACKED[0]).rows == ROWS


def replaced(place: int, **more: Any) -> list[dict[str, Any]]:
    return [{**one, **(more if at == place else {})} for at, one in enumerate(PLAIN)]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ([], "length >= 1"),
        (PLAIN[:3], "missing \\['flag'\\]"),
        ([*PLAIN, {**PLAIN[0], "name": "y"}], "unknown \\['y'\\]"),
        ([*PLAIN, PLAIN[0]], "the same name"),
        (replaced(0, datatype="FP64"), "FP64, and the model takes FP32"),
        (replaced(0, shape=[2, 3]), "has the shape \\[2, 3\\], and the model takes \\[-1, 2\\]"),
        (replaced(0, shape=[]), "has the shape"),
        (replaced(0, shape=[2, 2, 1]), "has the shape"),
        (replaced(1, shape=[3], data=[1, 2, 3]), "different numbers of rows"),
        (replaced(0, data=[1, 2, 3]), "has 3 values, and its shape says 4"),
        (replaced(0, data=[1, 2, 3, 4, 5]), "more than the 4 values"),
        (replaced(0, data=None), "no list of data"),
        (replaced(0, data=[[[[[[[[[1]]]]]]]]]), "too deeply"),
        (replaced(0, data=[1, 2, 3, "x"]), "row 2, x\\[1\\]: 'x' is not a number"),
        (replaced(1, data=[1.5, 1]), "row 1, n: 1.5"),
        (replaced(0, parameters={"binary_data_size": 0}), "send one of them"),
        (replaced(0, parameters={"binary_data_size": -1}, data=None), "no length within the body"),
        (replaced(0, parameters={"binary_data_size": True}, data=None), "no length within the body"),
        (replaced(0, parameters={"binary_data_size": 16}, data=None), "no length within the body"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(inputs: Any, why: str) -> None:
    with pytest.raises(BadInference, match=why):
        parse(inputs)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(BadInference, match="2 rows, and the model takes 1 to 1"):
        parse(PLAIN, max_rows=1)
    with pytest.raises(BadInference, match="0 rows"):
        parse([{**one, "shape": [0, *one["shape"][1:]], "data": []} for one in PLAIN])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("place", "raw", "why"),
    [
        (0, b"\0" * 15, "has 15 bytes, and its shape says 16"),
        (0, struct.pack("<4f", math.nan, 1, 1, 1), "row 1, x\\[0\\]: nan"),
        (2, b"\2\0\0\0", "beyond the tensor's end"),
        (2, b"\xff\xff\xff\xff", "beyond the tensor's end"),
        (2, b"\1\0\0\0\xff\0\0\0\0", "not UTF-8"),
        (2, b"\0\0\0\0" * 3, "other than the 2 texts"),
        (2, b"\0\0\0\0", "other than the 2 texts"),
        (3, b"\1\2", "a byte of 0 or 1"),
    ],
)
def test_binary_tensors_hold_what_their_shape_says(place: int, raw: bytes, why: str) -> None:
    tensors = [raw if at == place else one for at, one in enumerate(PACKED)]
    with pytest.raises(BadInference, match=why):
        parse(*binary(tensors))


@pytest.mark.parametrize("length", ["", "-1", "x", "99999", "1" * 30, "1" * 5_000, "٣"])
def test_a_header_length_beyond_the_body(length: str) -> None:
    with pytest.raises(BadInference, match="Inference-Header-Content-Length"):
        parse(PLAIN, b"", length=length)


def test_bytes_behind_the_last_tensor_and_other_bodies_are_refused() -> None:
    inputs, rest = binary()
    with pytest.raises(BadInference, match="1 bytes stand behind"):
        parse(inputs, rest + b"x")
    for raw in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(BadInference):
            parse_inference(raw, None, SCHEMA, max_rows=1, known=output_names(True))


@pytest.mark.parametrize(
    "outputs", [[{"name": "odds"}], [{"name": "class"}] * 2, [{"name": "class", "parameters": {"classification": 2}}]]
)
def test_outputs_that_no_model_here_has(outputs: Any) -> None:
    with pytest.raises(BadInference):
        parse(PLAIN, outputs=outputs)


def test_packed_bodies_are_bounded() -> None:
    assert unpacked(b"abc", "") == unpacked(gzip.compress(b"abc"), "gzip") == unpacked(zlib.compress(b"abc"), "Deflate") == b"abc"
    for raw, encoding in (
        (gzip.compress(b"\0" * (MAX_BODY + 1)), "gzip"),
        (gzip.compress(b"abc")[:-1], "gzip"),
        (gzip.compress(b"abc") + b"x", "gzip"),
        (gzip.compress(b"abc") * 2, "gzip"),
        (b"abc", "deflate"),
        (b"abc", "br"),
        (b"abc", "gzip, gzip"),
    ):
        with pytest.raises(BadInference):
            unpacked(raw, encoding)


VALUES = (InferredRow(class_=1, score="0.25", agree=5), InferredRow(class_=None, score=None, agree=0))


def test_of_a_body_that_unpacks_to_much_no_more_is_made_than_the_bound() -> None:
    bomb = gzip.compress(b"\0" * (8 * MAX_BODY), 1)
    tracemalloc.start()
    try:
        with pytest.raises(BadInference, match="unpacks to more"):
            unpacked(bomb, "gzip")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * MAX_BODY


def test_agreed_values_become_tensors() -> None:
    head: dict[str, Any] = {"name": "m", "version": "1", "parameters": {"cost": "0.1"}}
    body, length = inference_response(parse(PLAIN, id="7"), VALUES, **head)
    assert length is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "parameters": {"cost": "0.1"},
        "outputs": [
            {"name": "class", "datatype": "INT64", "shape": [2], "data": [1, -1]},
            {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.25, None]},
            {"name": "agree", "datatype": "INT32", "shape": [2], "data": [5, 0]},
        ],
    }
    body, length = inference_response(parse(PLAIN, parameters={"binary_data_output": True}), VALUES, **head)
    assert length is not None and "id" not in json.loads(body[:length]), "none was given"
    sizes = [output["parameters"]["binary_data_size"] for output in json.loads(body[:length])["outputs"]]
    assert sizes == [16, 16, 8]
    numbers = struct.unpack("<2q2d2i", body[length:])
    assert numbers[:3] == (1, -1, 0.25)
    assert math.isnan(numbers[3])
    assert numbers[4:] == (5, 0)


def test_metadata_say_what_a_tensor_looks_like() -> None:
    found = model_metadata("m", "1", SCHEMA, output_names(False))
    assert found["inputs"][:2] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "n", "datatype": "INT64", "shape": [-1]},
    ]
    assert [output["name"] for output in found["outputs"]] == ["score", "agree"]
    assert found["versions"] == ["1"]


def test_parameters_that_others_send_change_nothing_and_a_misspelt_one_is_refused() -> None:
    others = {"sequence_id": 7, "triton_enable_empty_final_response": True, "content_type": "np", "priority": 1, "headers": {}}
    assert parse(PLAIN, parameters=others).terms == parse(PLAIN).terms
    assert parse(PLAIN, parameters=others | {"max_charge": "2"}).terms.max_charge == "2"
    inputs = [one | {"parameters": {"content_type": "np"}} for one in PLAIN]
    outputs = [{"name": name, "parameters": {"content_type": "np", "x": {}}} for name in ("class", "score", "agree")]
    assert parse(inputs, outputs=outputs, more={}) == parse(PLAIN), "nor where they stand with a tensor"
    for name in ("max_charg", "maxcharge", "Max-Charge", "agre", "tips"):
        with pytest.raises(BadInference, match="did you mean"):
            parse(PLAIN, parameters={name: "2"})
    with pytest.raises(BadInference, match=r"\$\.n"):
        parse(PLAIN, parameters={"n": "many"})
