"""A run in a terminal: the curve's dots lie where its points do, and of a stranger's output only text comes through."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from learningchain.client.cli.curve import BRAILLE, curve
from learningchain.client.cli.run_screen import CHARACTERS, POINTS, last_lines, losses, run_screen

LAST = 8
LOW_TO_HIGH = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]


@pytest.mark.parametrize(
    ("points", "size", "drawn"),
    [
        (LOW_TO_HIGH, (3, 3), ["  *", " **", "**"]),
        ([(0.0, 2.0), (1.0, 1.0), (2.0, 0.0)], (3, 3), ["**", " **", "  *"]),
        ([(0.0, 5.0), (9.0, 5.0)], (4, 2), ["", "****"]),
        ([(0.0, 0.0), (3.0, 0.0), (3.2, 9.0), (3.4, 0.0), (9.0, 0.0)], (4, 2), [" *", "****"]),
        ([(0.0, 1.0)], (4, 2), []),
        ([(3.0, 1.0), (3.0, 2.0)], (4, 2), []),
        (LOW_TO_HIGH, (0, 2), []),
    ],
    ids=["rises", "falls", "flat", "a peak between two columns", "one point", "one place", "no room"],
)
def test_a_curve_of_stars(points: list[tuple[float, float]], size: tuple[int, int], drawn: list[str]) -> None:
    assert curve(points, *size, ascii_only=True) == drawn


def test_a_curve_of_dots_has_two_by_four_a_character() -> None:
    assert curve([(0.0, 0.0), (1.0, 7.0)], 1, 2) == [
        chr(BRAILLE + 0x08 + 0x10 + 0x20 + 0x80),
        chr(BRAILLE + 0x40 + 0x08 + 0x10 + 0x20 + 0x80),
    ]


@given(st.lists(st.tuples(st.floats(-1e14, 1e14), st.floats(-1e14, 1e14)), min_size=2, max_size=50), st.integers(1, 9))
def test_each_curve_stays_in_its_room_and_has_no_gap(points: list[tuple[float, float]], size: int) -> None:
    ordered = sorted(dict(points).items())
    lines = curve(ordered, size, size, ascii_only=True)
    assert (not lines) == (len(ordered) < 2) or ordered[0][0] == ordered[-1][0]
    if lines:
        assert len(lines) == size and all(len(line) <= size for line in lines)
        assert all(any(line[column : column + 1] == "*" for line in lines) for column in range(size))


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (None, []),
        ("", []),
        ("one\ntwo\n", ["one", "two"]),
        ("\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1Hhome", ["red home"]),
        ("\x9b31mred\x9b0m", ["red"]),
        ("\x1b]0;a title\x07after", ["after"]),
        ("\x1b]8;;http://elsewhere\x1b\\link\x1b]8;;\x1b\\", ["link"]),
        ("\x9d52;c;ZXZpbA==\x9cclipboard", ["clipboard"]),
        ("\x1bP1$r0m\x1b\\string", ["string"]),
        ("\x1bcreset\x1b(Bcharset\x1b=keys", ["resetcharsetkeys"]),
        ("broken off \x1b[3", ["broken off"]),
        ("broken off \x1b]0;title", ["broken off"]),
        (" 10 %\r 50 %\r100 %\r\ndone", ["100 %", "done"]),
        ("bell\x07 back\x08 \u202eright to left\u200b", ["bell\ufffd back\ufffd \ufffdright to left\ufffd"]),
        ("[bold]no markup[/bold] :smile:", ["[bold]no markup[/bold] :smile:"]),
        ("a\tb", ["a       b"]),
        ("\n".join(str(n) for n in range(100)), [str(n) for n in range(100 - LAST, 100)]),
        ("x" * 10 * CHARACTERS, ["x" * CHARACTERS]),
    ],
)
def test_of_a_log_only_text_comes_through_the_last_lines(log: Any, shown: list[str]) -> None:
    assert last_lines(log, LAST) == shown


@given(st.text(st.characters(max_codepoint=0xFF)))
def test_no_control_character_comes_through(log: str) -> None:
    assert all(line.isprintable() for line in last_lines(log, LAST))


@pytest.mark.parametrize(
    ("steps", "points"),
    [
        (None, []),
        ([{"step": 2, "loss": "0.5"}, {"step": 1, "loss": 1}], [(1.0, 1.0), (2.0, 0.5)]),
        ([{"step": n, "loss": bad} for n, bad in enumerate(("nan", "inf", "1e300", "x"))] + [{"step": 9, "loss": None}], []),
        (["no step", {"step": "x", "loss": 1}, {}], []),
        ([{"step": 1, "loss": 2}, {"step": 1, "loss": 1}], [(1.0, 1.0)]),
        ([{"step": n, "loss": 1} for n in range(2 * POINTS)], [(float(n), 1.0) for n in range(POINTS, 2 * POINTS)]),
    ],
)
def test_losses_are_those_that_can_be_drawn(steps: Any, points: list[tuple[float, float]]) -> None:
    assert losses(steps) == points


@pytest.mark.parametrize(
    ("rows", "curve_lines", "log_lines"),
    [(-3, 0, 0), (1, 0, 0), (2, 0, 1), (8, 0, 7), (9, 3, 2), (11, 3, 4), (13, 5, 4), (14, 6, 4), (18, 6, 8), (40, 6, 30)],
)
@pytest.mark.parametrize("width", [20, 80, 300])
def test_a_screen_has_the_lines_it_is_given_whatever_a_program_prints(
    width: int, rows: int, curve_lines: int, log_lines: int
) -> None:
    steps = [{"step": n, "of": 9_999, "loss": 1 / (1 + n)} for n in range(9_999)]
    run = {"id": "\x1b[2Jr" + "a" * 64, "progress": steps, "log": ("\x1b[2J" + "w" * 300 + "\n") * 50}
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, no_color=True)
    console.print(run_screen(run, console, rows), end="")
    told = console.file.getvalue()  # type: ignore[attr-defined]
    lines = told.splitlines()
    assert "\x1b" not in told and all(len(line) <= width for line in lines)
    assert ("Loss by step" in told) == bool(curve_lines) and sum(line.startswith("w") for line in lines) == log_lines
    assert (
        len(lines)
        == (curve_lines + 3 if curve_lines else 0) + (log_lines + 1 if log_lines else 0)
        == max(0, rows if rows > 1 else 0)
    )


def test_a_log_has_every_line_where_no_curve_can_be_drawn() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(run_screen({"id": "r", "log": "\n".join("abcdefghijkl")}, console, 11), end="")
    assert console.file.getvalue().splitlines()[1:] == list("cdefghijkl")  # type: ignore[attr-defined]
