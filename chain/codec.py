"""The one canonical encoding (LC-ENC-1 to LC-ENC-6): msgspec structs as MessagePack arrays with integer tags.

Wire types are int, bool, str, bytes, list and struct. No map, set, float, default or extension: their encoding is not unique.
Bytes that do not re-encode to themselves are refused, so every value has exactly one encoding and every hash one pre-image.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec

from learningchain.chain.errors import Malformed

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of everything that crosses a boundary: an immutable record encoded as an array of its fields.

    Nothing in such a record can lead back to it: the garbage collector need not look at them.
    """


@cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def read(kind: type[T], data: bytes) -> T:
    """Decode bytes that a hash proves to be canonical, or that do not count before it does. Raises `Malformed`."""
    try:
        return _decoder(kind).decode(data)  # type: ignore[arg-type, no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from None


def decode(kind: type[T], data: bytes, limit: int) -> T:
    """Decode canonical bytes of at most `limit` bytes.

    LC-ENC-3. Raises `Malformed` on anything that is too long, of another shape, out of bounds, trailing, or not canonical.
    """
    if len(data) > limit:
        raise Malformed(f"{len(data)} bytes, at most {limit} allowed")
    try:
        value = _decoder(kind).decode(data)  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from None
    if encode(value) != data:
        raise Malformed("not the canonical encoding")
    return value  # type: ignore[no-any-return]
