"""The Open Inference Protocol, version 2, as bytes: a request to rows of a model, agreed values to a response.

    POST /v2/models/NAME/infer
    {"id": .., "inputs": [{"name": .., "datatype": .., "shape": .., "data": ..}], "outputs": [{"name": ..}], "parameters": {..}}

A tensor has one row of the model for each place of its first dimension; row i of all tensors is one line of the request's input.
The outputs are `class` (INT64, -1 where too few agreed; of a model with classes), `score` (FP64, NaN there, null in JSON) and
`agree` (INT32, how many answers support it). With the binary tensor extension (Triton) tensors follow the JSON, whose length the
header `Inference-Header-Content-Length` says.

Pure functions; what comes in is bounded by `MAX_BODY` and by the schema before anything is made of it.
"""

from __future__ import annotations

import difflib
import json
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, field

from learningchain.client.contracts.prediction.http.model_schema import BadRow, ModelInput, ModelSchema, check_row

MAX_BODY: Final = 8 * 2**20
"""Bytes of a request, packed and unpacked."""
VERSION: Final = "2"
EXTENSIONS: Final = ("binary_tensor_data",)
FORMATS: Final = {
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP16": "e", "FP32": "f", "FP64": "d", "BOOL": "B",
}  # fmt: skip
"""Of one value in a binary tensor, little-endian."""
OUTPUTS: Final = {"class": "INT64", "score": "FP64", "agree": "INT32"}
OTHERS: Final = frozenset({"timeout", "priority", "binary_data_output"})
"""Parameters of the protocol's extensions."""
CHANGES: Final = frozenset({"classification", "shared_memory_region"})
"""Those that change what an output is: whoever asks for one and is answered without it reads something else."""

Name = Annotated[str, Meta(max_length=256)]


class BadInference(ValueError):
    """The request is not one of the protocol or does not fit the model. The text says what to correct."""


class InferenceTensor(msgspec.Struct, frozen=True, kw_only=True):
    name: Name
    datatype: Annotated[str, Meta(max_length=16)]
    shape: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**31)], ...], Meta(max_length=8)]
    data: Any = None
    parameters: dict[str, Any] = field(default_factory=dict)


class InferenceOutput(msgspec.Struct, frozen=True, kw_only=True):
    name: Name
    parameters: dict[str, Any] = field(default_factory=dict)


class InferenceBody(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of a request as it came."""

    inputs: Annotated[tuple[InferenceTensor, ...], Meta(min_length=1, max_length=1024)]
    outputs: Annotated[tuple[InferenceOutput, ...], Meta(max_length=16)] = ()
    id: Annotated[str, Meta(max_length=256)] = ""
    parameters: dict[str, Any] = field(default_factory=dict)


class InferenceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of an answer. `parameters` say what it cost; a tensor without `data` follows the JSON as bytes."""

    model_name: str
    model_version: str
    outputs: tuple[InferenceTensor, ...]
    parameters: dict[str, Any]
    id: str = ""


class InferenceTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's `parameters` may set; what is left out is as the node's settings say."""

    n: Annotated[int, Meta(ge=1, le=15)] | None = None
    agree: Annotated[int, Meta(ge=1, le=15)] | None = None
    tip: Annotated[str, Meta(max_length=32)] | None = None
    max_charge: Annotated[str, Meta(max_length=32)] | None = None


class Inference(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was read: rows as the model's input has them, and the outputs wanted, each with whether it is binary."""

    id: str
    rows: list[list[Any]]
    outputs: tuple[tuple[str, bool], ...]
    terms: InferenceTerms


class InferredRow(msgspec.Struct, frozen=True, kw_only=True):
    """An agreed value. `score` as decimal text; None, as the class, where too few agreed."""

    class_: int | None
    score: str | None
    agree: int


# --- requests -------------------------------------------------------------------------------------------------------------------


def unpacked(raw: bytes, encoding: str) -> bytes:
    """The body as it was before `Content-Encoding`, at most MAX_BODY bytes of it. Raises BadInference."""
    wbits = {"": 0, "identity": 0, "gzip": 31, "deflate": 15}.get(encoding.strip().lower())
    if wbits is None:
        raise BadInference(f"Content-Encoding {encoding[:40]!r} is not read here: send gzip, deflate, or the body as it is")
    if not wbits:
        return raw
    try:
        unpack = zlib.decompressobj(wbits=wbits)
        data = unpack.decompress(raw, MAX_BODY + 1)
    except zlib.error as problem:
        raise BadInference(f"the body is not {encoding}: {problem}") from None
    if len(data) > MAX_BODY:
        raise BadInference(f"the body unpacks to more than {MAX_BODY} bytes: send fewer rows at once")
    if not unpack.eof or unpack.unused_data:
        raise BadInference(f"the body is not one whole stream of {encoding}")
    return data


def parse_inference(
    raw: bytes, header_length: str | None, schema: ModelSchema, *, max_rows: int, known: Sequence[str]
) -> Inference:
    """`header_length`: the value of Inference-Header-Content-Length, if there is one; `known`: the model's `output_names`.

    Raises BadInference.
    """
    size = _header_size(raw, header_length)
    try:
        body = msgspec.json.decode(raw[:size], type=InferenceBody)
    except msgspec.ValidationError as problem:
        raise BadInference(f"the request is not valid: {problem}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise BadInference(f"the request is no JSON: {problem}") from None
    tensors = {tensor.name: tensor for tensor in body.inputs}
    wanted = {one.name for one in schema.inputs}
    if len(tensors) != len(body.inputs):
        raise BadInference("two inputs of the request have the same name")
    if tensors.keys() != wanted:
        unknown, missing = sorted(tensors.keys() - wanted), sorted(wanted - tensors.keys())
        raise BadInference(f"the request's inputs are not the model's: missing {missing[:8]}, unknown {unknown[:8]}")
    rows = _row_count(tensors, schema, max_rows)
    values = _values(body, memoryview(raw)[size:], {one.name: one for one in schema.inputs}, rows)
    return Inference(
        id=body.id,
        rows=_rows(schema, values, rows),
        outputs=_outputs(body, known),
        terms=_terms(body.parameters),
    )


def _header_size(raw: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(raw)
    text = header_length.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > len(raw):
        raise BadInference("Inference-Header-Content-Length is no length within the body")
    return int(text)


def _row_count(tensors: dict[str, InferenceTensor], schema: ModelSchema, max_rows: int) -> int:
    """How many rows the tensors have, all the same number of them, each of its input's datatype and shape."""
    counts = set()
    for one in schema.inputs:
        tensor = tensors[one.name]
        if tensor.datatype != one.datatype:
            raise BadInference(f"input {one.name} is {tensor.datatype}, and the model takes {one.datatype}")
        inner = tensor.shape[1:]
        if not tensor.shape or (inner != one.shape and not (not one.shape and inner == (1,))):
            raise BadInference(f"input {one.name} has the shape {list(tensor.shape)}, and the model takes {_shape_of(one)}")
        counts.add(tensor.shape[0])
    if len(counts) != 1:
        raise BadInference(f"the inputs have different numbers of rows: {sorted(counts)[:8]}")
    rows = counts.pop()
    if not 1 <= rows <= max_rows:
        raise BadInference(f"the request has {rows} rows, and the model takes 1 to {max_rows} at once")
    return rows


def _values(body: InferenceBody, rest: memoryview, inputs: dict[str, ModelInput], rows: int) -> dict[str, list[Any]]:
    """The values of each tensor, one after the other; `rest` are the bytes behind the JSON."""
    found: dict[str, list[Any]] = {}
    for tensor in body.inputs:
        count = rows * inputs[tensor.name].elements
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            found[tensor.name] = _flat(tensor.name, tensor.data, count)
            continue
        if type(size) is not int or not 0 <= size <= len(rest):
            raise BadInference(f"input {tensor.name}: binary_data_size is no length within the body")
        if tensor.data is not None:
            raise BadInference(f"input {tensor.name} has data in JSON and binary data; send one of them")
        found[tensor.name] = _binary(tensor, rest[:size], count)
        rest = rest[size:]
    if rest:
        raise BadInference(f"{len(rest)} bytes stand behind the last tensor")
    return found


def _flat(name: str, data: Any, count: int) -> list[Any]:
    """JSON data, nested as the shape or flat. Never more than `count` values are taken."""
    if not isinstance(data, list):
        raise BadInference(f"input {name} has no list of data")
    values: list[Any] = []
    stack: list[Iterator[Any]] = [iter(data)]
    while stack:
        for part in stack[-1]:
            if isinstance(part, list):
                if len(stack) >= 8:
                    raise BadInference(f"input {name}: its data are nested too deeply")
                stack.append(iter(part))
                break
            values.append(part)
            if len(values) > count:
                raise BadInference(f"input {name} has more than the {count} values that its shape says")
        else:
            stack.pop()
    if len(values) != count:
        raise BadInference(f"input {name} has {len(values)} values, and its shape says {count}")
    return values


def _binary(tensor: InferenceTensor, raw: memoryview, count: int) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _texts(tensor.name, raw, count)
    form = FORMATS[tensor.datatype]
    if len(raw) != count * struct.calcsize(form):
        raise BadInference(f"input {tensor.name} has {len(raw)} bytes, and its shape says {count * struct.calcsize(form)}")
    values: list[Any] = list(struct.unpack(f"<{count}{form}", raw))
    if tensor.datatype == "BOOL":
        if any(value > 1 for value in values):
            raise BadInference(f"input {tensor.name}: a BOOL is a byte of 0 or 1")
        return [value == 1 for value in values]
    return values


def _texts(name: str, raw: memoryview, count: int) -> list[Any]:
    values: list[Any] = []
    while raw and len(values) < count:
        size = int.from_bytes(raw[:4], "little")
        if len(raw) < 4 + size:
            raise BadInference(f"input {name}: a text of {size} bytes goes beyond the tensor's end")
        try:
            values.append(bytes(raw[4 : 4 + size]).decode())
        except UnicodeDecodeError:
            raise BadInference(f"input {name}: text {len(values) + 1} is not UTF-8") from None
        raw = raw[4 + size :]
    if raw or len(values) != count:
        raise BadInference(f"input {name} holds other than the {count} texts that its shape says")
    return values


def _rows(schema: ModelSchema, values: dict[str, list[Any]], rows: int) -> list[list[Any]]:
    def of(one: ModelInput, row: int) -> Any:
        found = values[one.name][row * one.elements : (row + 1) * one.elements]
        return _nested(found, one.shape) if one.shape else found[0]

    try:
        return [check_row(schema, [of(one, row) for one in schema.inputs], row + 1) for row in range(rows)]
    except BadRow as problem:
        raise BadInference(str(problem)) from None


def _nested(values: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    if len(shape) == 1:
        return list(values)
    step = math.prod(shape[1:])
    return [_nested(values[start : start + step], shape[1:]) for start in range(0, len(values), step)]


def _outputs(body: InferenceBody, known: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    all_binary = body.parameters.get("binary_data_output", False)
    if type(all_binary) is not bool:
        raise BadInference("binary_data_output is true or false")
    if not body.outputs:
        return tuple((name, all_binary) for name in known)
    wanted = []
    for output in body.outputs:
        binary = output.parameters.get("binary_data", all_binary)
        if output.name not in known:
            raise BadInference(f"the model has no output {output.name[:40]!r}; it has {', '.join(known)}")
        if type(binary) is not bool:
            raise BadInference(f"output {output.name}: binary_data is true or false")
        if changed := sorted(output.parameters.keys() & CHANGES):
            raise BadInference(f"output {output.name}: this server has no extension for {changed[0]}. Ask without it")
        wanted.append((output.name, binary))
    if len({name for name, _ in wanted}) != len(wanted):
        raise BadInference("an output is asked for twice")
    return tuple(wanted)


def _terms(parameters: dict[str, Any]) -> InferenceTerms:
    """Parameters that are not known change nothing, as the protocol has it: clients send many of their own. One that looks like one
    of these is refused: a misspelt max_charge must not be an unlimited one."""
    known = InferenceTerms.__struct_fields__
    said = {name: value for name, value in parameters.items() if name in known}
    for name in parameters.keys() - said.keys() - OTHERS:
        if like := difflib.get_close_matches(name.lower().replace("-", "_"), known, 1, 0.8):
            raise BadInference(f"parameters: {name[:40]!r} is none; did you mean {like[0]}?")
    try:
        return msgspec.convert(said, InferenceTerms)
    except msgspec.ValidationError as problem:
        raise BadInference(f"parameters: {problem}; there are n, agree, tip, max_charge and binary_data_output") from None


# --- answers --------------------------------------------------------------------------------------------------------------------


def output_names(classes: bool) -> tuple[str, ...]:
    """`classes`: whether the model is of the kind CLASS."""
    return tuple(OUTPUTS) if classes else ("score", "agree")


def server_metadata(version: str) -> dict[str, Any]:
    return {"name": "learningchain", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(name: str, version: str, schema: ModelSchema, known: Sequence[str]) -> dict[str, Any]:
    """As `GET /v2/models/NAME` answers. The first dimension, -1, is that of the rows."""
    inputs = [{"name": one.name, "datatype": one.datatype, "shape": _shape_of(one)} for one in schema.inputs]
    outputs = [{"name": one, "datatype": OUTPUTS[one], "shape": [-1]} for one in known]
    return {"name": name, "versions": [version], "platform": "learningchain", "inputs": inputs, "outputs": outputs}


def _shape_of(one: ModelInput) -> list[int]:
    return [-1, *one.shape]


def inference_response(
    asked: Inference, rows: Sequence[InferredRow], *, name: str, version: str, parameters: dict[str, Any]
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where binary tensors follow."""
    outputs, tensors = [], []
    for output, binary in asked.outputs:
        document: dict[str, Any] = {"name": output, "datatype": OUTPUTS[output], "shape": [len(rows)]}
        if binary:
            tensors.append(_packed(output, rows))
            document["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            document["data"] = [_plain(output, row) for row in rows]
        outputs.append(document)
    head: dict[str, Any] = {"model_name": name, "model_version": version}
    if asked.id:
        head["id"] = asked.id
    text = json.dumps({**head, "parameters": parameters, "outputs": outputs}, separators=(",", ":")).encode()
    return (text + b"".join(tensors), len(text)) if tensors else (text, None)


def _plain(output: str, row: InferredRow) -> Any:
    if output == "class":
        return -1 if row.class_ is None else row.class_
    if output == "agree":
        return row.agree
    return None if row.score is None else float(row.score)


def _packed(output: str, rows: Sequence[InferredRow]) -> bytes:
    values = [math.nan if value is None else value for value in (_plain(output, row) for row in rows)]
    return struct.pack(f"<{len(values)}{FORMATS[OUTPUTS[output]]}", *values)
