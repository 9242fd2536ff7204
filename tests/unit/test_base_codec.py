"""The canonical encoding under random values and hostile bytes; numbers as text (LC-ENC-1 to LC-ENC-8)."""

from __future__ import annotations

import contextlib
from decimal import ROUND_CEILING, Decimal
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import CONTRACTS, STATE_TYPES, decode_message
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import LogEvent, format_credits, format_loss, parse_credits, parse_loss
from tests.vectors.base_vectors import records

RECORDS = records()
LIMIT = 5_000_000

# --- random values of every type ----------------------------------------------------------------------------------------------


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a wire type, drawn from its annotations."""
    if get_origin(kind) is Annotated:
        base, *metas = get_args(kind)
        bounds: dict[str, Any] = {}
        for meta in (given for given in metas if isinstance(given, msgspec.Meta)):
            for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
                if getattr(meta, name) is not None:
                    bounds[name] = getattr(meta, name)
        return _bounded(base, bounds)
    return _bounded(kind, {})


def _bounded(kind: Any, bounds: dict[str, Any]) -> st.SearchStrategy[Any]:
    if get_origin(kind) is Annotated:
        inner, *_ = get_args(kind)
        return values(kind) if not bounds else _bounded(inner, bounds)
    low, high = bounds.get("min_length", 0), min(bounds.get("max_length", 3), bounds.get("min_length", 0) + 3)
    if kind is int:
        top = bounds["lt"] - 1 if "lt" in bounds else bounds.get("le", 2**64 - 1)
        return st.integers(bounds.get("ge", -(2**63)), top)
    if kind is bool:
        return st.booleans()
    if kind is bytes:
        return st.binary(min_size=low, max_size=high)
    if kind is str:
        return st.text(min_size=low, max_size=high)
    if kind is Any:
        return st.integers(-(2**63), 2**64 - 1) | st.text(max_size=3) | st.binary(max_size=3) | st.booleans()
    if kind is msgspec.Raw:
        return st.integers(0, 127).map(lambda n: msgspec.Raw(bytes([n])))
    if get_origin(kind) is list:
        return st.lists(values(get_args(kind)[0]), min_size=low, max_size=high)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return st.sampled_from(kind)
    options = [option for option in get_args(kind) if option is not type(None)]
    return st.one_of(*map(values, options))


@cache
def structs(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in msgspec.structs.fields(kind)})


KINDS = sorted(
    {type(value) for name, value in RECORDS if name != "ValidatorSet"}
    | {kind for contract in CONTRACTS for kind in contract.messages}
    | set(STATE_TYPES.values()),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_every_record_comes_back_as_it_was(kind: Any, data: st.DataObject) -> None:
    value = data.draw(structs(kind))
    raw = encode(value)
    assert decode(kind, raw, LIMIT) == value
    assert encode(decode(kind, raw, LIMIT)) == raw


# --- hostile bytes ------------------------------------------------------------------------------------------------------------


@given(st.sampled_from([r for r in RECORDS if r[0] != "ValidatorSet"]), st.data())
@settings(max_examples=250, deadline=None)
def test_changed_bytes_are_malformed_or_another_value(record: tuple[str, Any], data: st.DataObject) -> None:
    kind, value = type(record[1]), record[1]
    raw = bytearray(encode(value))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(kind, bytes(raw), LIMIT)
    except Malformed:
        return
    assert found != value
    assert encode(found) == raw


@given(st.sampled_from(KINDS), st.binary(max_size=60))
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_a_value_or_malformed(kind: Any, raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert encode(decode(kind, raw, 50)) == raw
    with contextlib.suppress(Malformed):
        assert encode(decode_message(raw)) == raw


HEADS = [bytes([b]) for b in range(256)]
LENGTHS = [b"", b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 9]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_claimed_lengths_cost_nothing(kind: Any) -> None:
    """A head that promises four thousand million items must not make anybody reserve them."""
    whole = encode(next((v for v in (r[1] for r in RECORDS) if type(v) is kind), 0))
    for head in HEADS:
        for tail in LENGTHS:
            for raw in (head + tail, whole[:1] + head + tail, whole[:-1] + head + tail):
                with contextlib.suppress(Malformed):
                    decode(kind, raw, LIMIT)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_transaction_or_malformed(raw: bytes) -> None:
    with contextlib.suppress(InvalidTx):
        assert parse_tx(raw).raw == raw


def test_a_deep_nesting_is_malformed() -> None:
    for raw in (b"\x91" * 100_000, b"\x92\x96\x00\xc4\x14" + bytes(20) + b"\x00\x00\x01\x91" + b"\x91" * 60_000):
        with pytest.raises(InvalidTx):
            parse_tx(raw)


def test_a_limit_is_kept() -> None:
    kind, raw = type(RECORDS[0][1]), encode(RECORDS[0][1])
    decode(kind, raw, len(raw))
    with pytest.raises(Malformed, match="at most"):
        decode(kind, raw, len(raw) - 1)


@pytest.mark.parametrize("data", [[1.5], [None], [[1]], [{}]])
def test_an_event_s_data_are_plain(data: list[Any]) -> None:
    with pytest.raises(ValueError, match="event's data"):
        LogEvent("t", b"", data)


# --- numbers as text ----------------------------------------------------------------------------------------------------------

LOSSES = st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,18})?", fullmatch=True)


@given(LOSSES)
@settings(max_examples=60, deadline=None)
def test_a_loss_is_rounded_towards_plus_infinity(text: str) -> None:
    """LC-ENC-7"""
    if not text.isascii():
        return
    expected = int((Decimal(text) * 10**9).to_integral_value(ROUND_CEILING))
    assert parse_loss(text) == expected
    assert abs(expected) <= 10**18
    assert parse_loss(format_loss(expected)) == expected


@pytest.mark.parametrize(
    ("text", "loss"),
    [("0", 0), ("-0", 0), ("0.0000000001", 1), ("-0.0000000001", 0), ("1.5", 1_500_000_000), ("-1.5000000009", -1_500_000_000),
     ("999999999.999999999999999999", 10**18), ("-999999999.999999999999999999", -999_999_999_999_999_999)],
)  # fmt: skip
def test_losses(text: str, loss: int) -> None:
    assert parse_loss(text) == loss


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "01",
        "1.",
        ".5",
        "1e3",
        "nan",
        "inf",
        "-",
        "--1",
        "1,5",
        "0x1",
        "1_0",
        "٣",
        "1" * 10,
        "0." + "1" * 19,
        "1.5.5",
    ],
)
def test_what_is_no_loss(text: str) -> None:
    with pytest.raises(ValueError, match="a loss is"):
        parse_loss(text)


@given(st.integers(0, MAX_INT))
def test_credits_come_back(amount: int) -> None:
    """LC-ENC-8"""
    text = format_credits(amount)
    assert parse_credits(text) == amount
    assert not text.endswith(".") and not ("." in text and text.endswith("0"))


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.", ".1", "1.0000000", "01", "1e6", "٣", "9223372036854.775808", "1" + "0" * 13, "1\n"]
)
def test_what_are_no_credits(text: str) -> None:
    with pytest.raises(ValueError, match="credits"):
        parse_credits(text)


def test_the_largest_credits() -> None:
    assert parse_credits("9223372036854.775807") == MAX_INT
    assert format_credits(-1_500_000) == "-1.5"
