"""`/lc/out/losses`: what a stranger's evaluation may write, and what becomes of everything else (LC-LOSS-15 to LC-LOSS-18)."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.losses import MAX_EXAMPLES, LossTree
from learningchain.sandbox.losses import MAX_LOSSES_BYTES, BadLosses, LossesBroken, LossesInvalid, LossReader, parse_losses
from tests.conformance import losses as plain
from tests.conformance.checks import Refused

MIB = 2**20


# --- lines --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "losses"),
    [
        (b"0\n", [0]),
        (b"-0\n-0.0\n", [0, 0]),
        (b"0.5\n1\n-2.25\n", [500_000_000, 1_000_000_000, -2_250_000_000]),
        (b"0.0000000001\n-0.0000000001\n", [1, 0]),
        (b"0.1000000001\n-0.1000000009\n", [100_000_001, -100_000_000]),
        (b"999999999.999999999999999999\n", [10**18]),
        (b"-999999999.999999999999999999\n", [-(10**18) + 1]),
        (b"999999999.999999999\n", [10**18 - 1]),
    ],
)
def test_a_loss_a_line_in_units_of_1e_9_rounded_up(raw: bytes, losses: list[int]) -> None:
    """LC-LOSS-16"""
    assert list(parse_losses(raw)) == losses
    assert LossTree(parse_losses(raw)).measurement.total == sum(losses)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"nan",
            b"NaN",
            b"NAN",
            b"-nan",
            b"+nan",
            b"+NaN",
            b"inf",
            b"Inf",
            b"-inf",
            b"+INF",
            b"infinity",
            b"-Infinity",
            b"+INFINITY",
        ),
        *(b"1e5", b"1E5", b"1e-05", b"-1.5e+300", b"0e0", b"1e0", b"2.5E-7", b"1e" + b"9" * 10**6, b"-0e-" + b"9" * 10**6),
        *(b"1000000000", b"-1000000000.5", b"0.1234567890123456789", b"1." + b"0" * 19, b"9" * 4_301, b"0." + b"3" * 10**6),
    ],
    ids=lambda line: line[:20].decode(),
)
def test_a_number_that_no_vote_can_say_makes_the_vote_invalid(line: bytes) -> None:
    """LC-LOSS-17"""
    for raw in (line + b"\n", b"0\n0.5\n" + line + b"\n0\n"):
        with pytest.raises(LossesInvalid, match=r"is no number|exponent or too many digits") as caught:
            parse_losses(raw)
        assert caught.value.line == raw.count(b"\n", 0, raw.index(line)) + 1
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("line", "why"),
    [
        *((line, "it is empty") for line in (b"",)),
        *((line, "carriage return") for line in (b"0.5\r", b"\r", b"nan\r")),
        *((line, "byte order mark") for line in (b"\xef\xbb\xbf0.5",)),
        *((line, "is no loss") for line in (b" 0.5", b"0.5 ", b"\t1", b"1\x0b", b"1\x0c", b"1\x00", b"\x00", b"\x001")),
        *((line, "is no loss") for line in (b"1_000", b"1,5", b"0.5,", b"0.5;0.5", b"0.5 0.5", b'"0.5"', b"[0.5]")),
        *(
            (line, "is no loss")
            for line in (b"+1", b"+0.5", b"--1", b"-", b"+", b".", b".5", b"-.5", b"1.", b"-1.", b"e5", b"1e", b"1e+")
        ),
        *((line, "is no loss") for line in (b"01", b"-01", b"00", b"00.5", b"0000000001", b"01e5", b"1.e5", b".5e5", b"+1e5")),
        *(
            (line, "is no loss")
            for line in (b"0x10", b"0x1p3", b"1f", b"1.0f", b"1/2", b"1j", b"None", b"null", b"loss", b"nanx", b"na")
        ),
        *(
            (line, "is no loss")
            for line in (b"nan(0x8)", b"-nan(ind)", b"1.#INF", b"infinit", b"infin", b"++inf", b"1e5e5", b"1-5")
        ),
        *((line, "is no loss") for line in ("\u0661".encode(), "\uff11".encode(), "\u22121".encode(), b"\xff", b"1\xa0", b"\xb2")),
        *((line, "is no loss") for line in (b"\xff\xfe0\x00", b"-" * 10**6, b"0." * 10**6, b"1" * 10**6 + b"x")),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else value,
)
def test_every_other_line_makes_it_broken(line: bytes, why: str) -> None:
    """LC-LOSS-18"""
    for raw in (line + b"\n", b"0\n0.5\n" + line + b"\nnan\n"):
        with pytest.raises(LossesBroken, match=why) as caught:
            parse_losses(raw)
        assert caught.value.line == (1 if raw.startswith(line + b"\n") and not raw.startswith(b"0\n") else 3)
        assert str(caught.value).isascii() and str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("raw", "line", "why"),
    [
        (b"", 1, "the file is empty"),
        (b"0.5", 1, "no newline at its end"),
        (b"0.5\n0.25\n0.1", 3, "no newline at its end"),
        (b"0.5\nnan", 2, "no newline at its end"),
        (b"0.5\n1e5", 2, "no newline at its end"),
        (b"0.5\n\n", 2, "it is empty"),
        (b"\n", 1, "it is empty"),
    ],
)
def test_a_file_that_is_cut_off_or_empty_is_broken(raw: bytes, line: int, why: str) -> None:
    with pytest.raises(LossesBroken, match=why) as caught:
        parse_losses(raw)
    assert caught.value.line == line


def test_the_first_bad_line_decides() -> None:
    """LC-LOSS-15"""
    with pytest.raises(LossesInvalid, match="line 2"):
        parse_losses(b"1\nnan\nx\n")
    with pytest.raises(LossesBroken, match="line 2"):
        parse_losses(b"1\nx\nnan\n")


# --- bounds -------------------------------------------------------------------------------------------------------------------


def after(raw: bytes) -> Callable[[bytes], LossReader]:
    """A reader that has taken so much, once for each piece that follows."""
    reader = LossReader()
    reader.take(raw)

    def follow(piece: bytes) -> LossReader:
        twin = copy.deepcopy(reader)
        twin.take(piece)
        return twin

    return follow


def test_as_many_lines_as_may_be_and_one_more() -> None:
    follow = after(b"0\n" * (MAX_EXAMPLES - 1))
    assert len(follow(b"0\n").finish()) == MAX_EXAMPLES
    for more in (b"0\n", b"nan\n", b"\n"):
        with pytest.raises(LossesBroken, match="line 1048577: an evaluation has at most 1,048,576 losses"):
            follow(b"0\n" + more)
    with pytest.raises(LossesBroken, match="line 1048577: it has no newline"):
        follow(b"0\n0").finish()


def test_as_many_bytes_as_may_be_and_one_more() -> None:
    """Lines of all the digits that a loss may have: the bytes are their bound."""
    longest, last = b"-123456789.123456789012345678\n", b"123456789.0123456789012\n"
    count = MAX_LOSSES_BYTES // len(longest)
    assert count * len(longest) + len(last) == MAX_LOSSES_BYTES == 24 * MIB
    follow = after(longest * count)
    losses = follow(last).finish()
    assert (losses[0], losses[-1], len(losses)) == (-123_456_789_123_456_789, 123_456_789_012_345_679, count + 1)
    for more in (b"\n", b"0\n", b"nan\n", b"0" * MIB):
        with pytest.raises(LossesBroken, match=f"line {count + 2}: the file has more than 25,165,824 bytes here"):
            follow(last + more)
    with pytest.raises(LossesBroken, match=f"line {count + 1}: the file has more than 25,165,824 bytes here"):
        follow(b"0" + last)
    with pytest.raises(LossesInvalid, match=f"line {count + 1}: 'nan'"):
        follow(b"nan\n" + last)


HOSTILE = {
    "one line of digits without an end": (b"1" * 24 * MIB, LossesBroken),
    "one line of digits that is too long": (b"1" * (24 * MIB) + b"\n", LossesBroken),
    "one line of digits": (b"1" * (24 * MIB - 1) + b"\n", LossesInvalid),
    "one line of points": (b"." * (24 * MIB - 1) + b"\n", LossesBroken),
    "one line of an exponent": (b"1e" + b"9" * (24 * MIB - 3) + b"\n", LossesInvalid),
    "one line of exponents": (b"1e" * (12 * MIB - 1) + b"\n", LossesBroken),
    "one line of zeros": (bytes(24 * MIB - 1) + b"\n", LossesBroken),
    "nothing but newlines": (b"\n" * (24 * MIB), LossesBroken),
    "nothing but newlines after a loss": (b"0\n" + b"\n" * (24 * MIB), LossesBroken),
}


@pytest.mark.parametrize("size", [2**16, 25 * MIB])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_a_few_times_its_bytes_in_memory(name: str, size: int) -> None:
    raw, kind = HOSTILE[name]
    tracemalloc.start()
    try:
        reader = LossReader()
        with pytest.raises(kind):
            for at in range(0, len(raw), size):
                reader.take(raw[at : at + size])
            reader.finish()
        assert tracemalloc.get_traced_memory()[1] < 4 * 24 * MIB, "the line as it grew, cut off, and as a text"
    finally:
        tracemalloc.stop()


# --- in pieces ----------------------------------------------------------------------------------------------------------------

PARTS = st.sampled_from([
    b"0", b"1", b"9", b"-", b"+", b".", b"e", b"E", b"\n", b"\n", b"\n", b"0.5\n", b"-12.25\n", b"nan\n", b"-INF\n", b"infinity",
    b"\r\n", b"1e5\n", b"123456789", b"\x00", b" ", b"_", "\u0661".encode(), b"\xef\xbb\xbf", b"0.123456789012345678\n",
])  # fmt: skip
FILES = st.lists(PARTS, max_size=30).map(b"".join)


def outcome(pieces: list[bytes]) -> object:
    reader = LossReader()
    try:
        for piece in pieces:
            reader.take(piece)
        return list(reader.finish())
    except BadLosses as bad:
        return type(bad), bad.line, bad.why


@given(FILES, st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_the_pieces_in_which_it_comes_do_not_matter(raw: bytes, size: int) -> None:
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert outcome(pieces) == outcome([raw]) == outcome([b"", raw, b""])


@given(FILES)
@settings(max_examples=500, deadline=None)
def test_it_is_read_as_the_spec_says(raw: bytes) -> None:
    try:
        expected: object = plain.read_file(raw)
    except plain.Invalid:
        expected = LossesInvalid
    except Refused:
        expected = LossesBroken
    found = outcome([raw])
    assert (found[0] if isinstance(found, tuple) else found) == expected
